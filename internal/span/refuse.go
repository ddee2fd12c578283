package span

import (
	"fmt"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// Every refusal is one fault.Error with one field, whose pointer grows from
// the inside out as the scanner returns: the path costs nothing until it is
// needed.

func refuse(code, detail string) error {
	return fault.New(fault.Invalid, code, detail).At("", detail)
}

func refusef(code, format string, args ...any) error {
	return refuse(code, fmt.Sprintf(format, args...))
}

// maxToken is how many bytes of a member's name a refusal repeats.
const maxToken = 256

// within prefixes err's pointer with one reference token (RFC 6901 §3), cut
// where it is long. The error must be fresh from refuse: it is changed in place.
func within(err error, token string) error {
	if len(token) > maxToken {
		token = strings.ToValidUTF8(token[:maxToken], "") + "…"
	}
	if e, ok := err.(*fault.Error); ok && len(e.Fields) > 0 {
		if strings.ContainsAny(token, "~/") {
			token = strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
		}
		e.Fields[0].Pointer = "/" + token + e.Fields[0].Pointer
	}
	return err
}

func (s *scanner) syntax(what string) error {
	return refusef("json_syntax", "not valid JSON at byte %d: %s", s.pos, what)
}

func errTooDeep() error {
	return refusef("json_too_deep", "objects and arrays are nested more than %d levels deep", maxDepth)
}

func errTrailing(at int) error {
	return refusef("json_trailing_data", "something follows the object at byte %d; send one object", at)
}

func errNotObject() error {
	return refuse("json_not_object", "the value is not a JSON object")
}

func errDuplicate() error {
	return refuse("json_duplicate_member", "the member stands twice in its object")
}

func errNumber() error {
	return refuse("json_number_range", "the number's magnitude exceeds 2^53-1; send it as a string")
}

func errNul() error {
	return refuse("json_nul", "U+0000 is not allowed in strings")
}

func errSurrogate() error {
	return refuse("json_lone_surrogate", "the string has a surrogate without its pair")
}

func errUTF8(at int) error {
	return refusef("json_invalid_utf8", "invalid UTF-8 at byte %d", at)
}

func errUnknown() error {
	return refuse("member_unknown", "the member is not part of the protocol; free data goes under payload")
}

func errMissing(name string) error {
	return within(refuse("member_missing", "the member is required"), name)
}

const codeType = "member_type"

func errType(want string) error {
	return refusef(codeType, "the member must be %s", want)
}

func errEmpty() error {
	return refuse("member_empty", "an optional member is absent, never null or empty; leave it out")
}
