package jsonl

import "math/big"

// quoteBigNumbers puts quotes around the numbers of a JSON text whose magnitude
// exceeds 2^53-1, which no reader of JSON keeps exactly (RFC 7493 §2.2 asks for
// strings there). Everything else stays byte for byte.
func quoteBigNumbers(raw []byte) []byte {
	out := make([]byte, 0, len(raw)+16)
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			end := stringEnd(raw, i)
			out = append(out, raw[i:end]...)
			i = end
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(raw) && isNumberByte(raw[end]) {
				end++
			}
			if beyondSafe(string(raw[i:end])) {
				out = append(append(append(out, '"'), raw[i:end]...), '"')
			} else {
				out = append(out, raw[i:end]...)
			}
			i = end
		default:
			out = append(out, c)
			i++
		}
	}
	return out
}

// stringEnd is the index after the string that begins at i.
func stringEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

var maxSafe = big.NewFloat(1<<53 - 1)

// maxDigits is the longest number looked at: longer ones are text anyhow.
const maxDigits = 400

func beyondSafe(s string) bool {
	if len(s) > maxDigits {
		return true
	}
	f, _, err := big.ParseFloat(s, 10, 2048, big.ToNearestEven)
	if err != nil {
		return false // no number: the parser after this says so
	}
	return f.Abs(f).Cmp(maxSafe) > 0
}
