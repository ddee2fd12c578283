package span

import "strings"

const maxType = 128 // bytes of a type or a pattern

// ValidType reports whether typ is `^[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$` of at
// most 128 bytes, reserved or not.
func ValidType(typ string) bool {
	if typ == "" || len(typ) > maxType || typ[0] < 'a' || typ[0] > 'z' {
		return false
	}
	dot := false // the previous byte was a dot
	for i := range len(typ) {
		switch c := typ[i]; {
		case c == '.':
			if dot {
				return false
			}
			dot = true
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-':
			dot = false
		default:
			return false
		}
	}
	return !dot
}

// ValidPattern reports whether pattern is a type in which whole segments may
// be `*`, and the last one `**`.
func ValidPattern(pattern string) bool {
	if pattern == "" || len(pattern) > maxType {
		return false
	}
	for i, rest, more := 0, pattern, true; more; i++ {
		var seg string
		seg, rest, more = strings.Cut(rest, ".")
		switch {
		case seg == "*":
		case seg == "**":
			if more {
				return false
			}
		case i == 0 && !ValidType(seg), i > 0 && !ValidType("a"+seg), seg == "":
			return false
		}
	}
	return true
}

// MatchType reports whether typ matches pattern: `*` stands for exactly one
// segment, a final `**` for the rest, which is at least one segment. An
// invalid pattern matches nothing it does not spell out.
func MatchType(pattern, typ string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, ".")
		if p == "**" && !pmore {
			return typ != ""
		}
		t, trest, tmore := strings.Cut(typ, ".")
		if p != t && (p != "*" || t == "") {
			return false
		}
		if !pmore || !tmore {
			return pmore == tmore
		}
		pattern, typ = prest, trest
	}
}
