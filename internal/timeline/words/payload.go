package words

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// texts yields the strings and the numbers of a JSON text, without the names of
// members. What is no JSON yields something or nothing.
func texts(raw []byte, yield func(text []byte) bool) bool {
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			end := closing(raw, i+1)
			body := raw[i+1 : end]
			quoted := raw[i:min(end+1, len(raw))]
			i = end + 1
			if isName(raw, i) {
				continue
			}
			if bytes.IndexByte(body, '\\') >= 0 {
				body, _ = jsontext.AppendUnquote(nil, quoted) // what there is of it
			}
			if !yield(body) {
				return false
			}
		case c == '-' || '0' <= c && c <= '9':
			begin := i
			for i++; i < len(raw) && inNumber(raw[i]); i++ {
			}
			if !yield(raw[begin:i]) {
				return false
			}
		default:
			i++
		}
	}
	return true
}

// closing is where the string that is open ends: at its closing quote or at the
// end of the text.
func closing(raw []byte, i int) int {
	for ; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return len(raw)
}

// isName says whether what stands before i is the name of a member.
func isName(raw []byte, i int) bool {
	for ; i < len(raw); i++ {
		switch raw[i] {
		case ' ', '\t', '\n', '\r':
		default:
			return raw[i] == ':'
		}
	}
	return false
}

func inNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}
