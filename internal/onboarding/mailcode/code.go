package mailcode

import (
	"io"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// A code is "llc_", 6 characters that say which it is and 10 that are its secret (50
// bits), of an alphabet in which no two look alike. The prefix is for secret scanners.
const (
	prefix      = "llc_"
	alphabet    = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's, in lower case
	selectorLen = 6
	secretLen   = 10
	codeLen     = len(prefix) + selectorLen + secretLen
)

// alike are the letters that people take for others.
var alike = strings.NewReplacer("o", "0", "i", "1", "l", "1")

// ErrMalformed is for what is no code by its form alone; it repeats nothing of it.
var ErrMalformed = fault.New(fault.Invalid, "code_malformed", "this is no code: it begins with llc_ and has 16 letters and digits behind that; type it as it stands in the mail")

// Is says whether a text is meant to be a code.
func Is(text string) bool { return strings.HasPrefix(strings.ToLower(text), prefix) }

// parse is the code as it is written in mails; ErrMalformed.
func parse(text string) (code string, err error) {
	text = strings.ToLower(strings.TrimSpace(text))
	body, ok := strings.CutPrefix(text, prefix)
	if !ok || len(text) != codeLen {
		return "", ErrMalformed
	}
	body = alike.Replace(body)
	if strings.ContainsFunc(body, func(r rune) bool { return !strings.ContainsRune(alphabet, r) }) {
		return "", ErrMalformed
	}
	return prefix + body, nil
}

func selectorOf(code string) string { return code[len(prefix) : len(prefix)+selectorLen] }

// makeCode makes a code of 16 bytes of rand: 256 is eight times the alphabet, so that
// no character is likelier.
func makeCode(rand io.Reader) (string, error) {
	var b [selectorLen + secretLen]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for a code").Because(err)
	}
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return prefix + string(b[:]), nil
}
