package span

import (
	"github.com/go-json-experiment/json"

	"github.com/danvoulez/logline/internal/fault"
)

// Canonicalize gives JCS (RFC 8785) of src, which must be I-JSON with an
// object at the top, at most 64 levels deep, and no number beyond 2^53-1
// (PROTOCOL §1). -0 becomes 0. A refusal is a fault whose code names the
// reason (json_syntax, json_not_object, json_trailing_data, json_too_deep,
// json_duplicate_member, json_number_range, json_nul, json_lone_surrogate,
// json_invalid_utf8) and whose first field points at the member.
// src is not kept.
func Canonicalize(src []byte) ([]byte, error) {
	return canonicalize(src, len(src))
}

func canonicalize(src []byte, size int) ([]byte, error) {
	s := scanner{src: src}
	if c := s.peek(); c != '{' && s.pos < len(src) {
		// A value of another kind and plain nonsense are told apart.
		if _, err := s.value(nil); err != nil {
			return nil, err
		}
		return nil, errNotObject()
	}
	out, err := s.value(make([]byte, 0, size))
	if err != nil {
		return nil, err
	}
	if err := s.end(); err != nil {
		return nil, err
	}
	return out, nil
}

// Canonical marshals a Go value by its json tags and canonicalizes it: for
// cold paths. Fails as Canonicalize, or with marshal_failed.
func Canonical(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fault.New(fault.Internal, "marshal_failed", "the value has no JSON form").Because(err)
	}
	return Canonicalize(b)
}
