package httpapi

import "strings"

// forwardedElements reads a Forwarded header (RFC 7239 §4), names in lower case.
// Of one that is malformed there is nothing: where a quote is open, nobody knows
// which commas part elements.
func forwardedElements(text string) []map[string]string {
	var out []map[string]string
	element := map[string]string{}
	for rest := text; ; {
		name, value, after, ok := forwardedPair(rest)
		if !ok {
			return nil
		}
		if name != "" {
			if _, twice := element[name]; twice {
				return nil
			}
			element[name] = value
		}
		if after == "" {
			if len(element) == 0 && len(out) == 0 {
				return nil
			}
			return append(out, element)
		}
		if after[0] == ',' {
			out, element = append(out, element), map[string]string{}
		}
		rest = after[1:]
	}
}

// forwardedPair reads name=value, or nothing, up to a semicolon, a comma or the
// end, which after begins with.
func forwardedPair(text string) (name, value, after string, ok bool) {
	text = strings.TrimLeft(text, " \t")
	if text == "" || text[0] == ';' || text[0] == ',' {
		return "", "", text, true
	}
	name, text, ok = strings.Cut(text, "=")
	if !ok || name == "" || strings.ContainsAny(name, " \t;,\"") {
		return "", "", "", false
	}
	if strings.HasPrefix(text, `"`) {
		value, text, ok = unquote(text)
	} else {
		end := strings.IndexAny(text, ";, \t")
		if end < 0 {
			end = len(text)
		}
		value, text = text[:end], text[end:]
		ok = !strings.Contains(value, `"`)
	}
	text = strings.TrimLeft(text, " \t")
	if !ok || text != "" && text[0] != ';' && text[0] != ',' {
		return "", "", "", false
	}
	return strings.ToLower(name), value, text, true
}

// unquote reads a quoted string (RFC 9110 §5.6.4) at the beginning of text.
func unquote(text string) (value, after string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}
