package timeline

import (
	"bytes"

	"github.com/danvoulez/logline/internal/span"
)

// WrongPayload is what Beside says of a payload.
const WrongPayload = "payload and salt are not those that the line has the hash of"

// Beside holds payload, salt and detail against the hashes in the line; Entry
// must be set. wrong says what is not the line's, "" for nothing. gone says that
// something the line has the hash of is not there, as after a redaction.
func (r *Record) Beside() (gone bool, wrong string) {
	switch salt, err := span.ParseB64(r.Salt, 16); {
	case r.Payload == nil && r.Salt == "":
		gone = true
	case err != nil, span.PayloadHash(salt, r.Payload).String() != r.Entry.Span.PayloadHash:
		wrong = WrongPayload
	}
	switch hash := r.Entry.Decision.DetailHash; {
	case hash == "" && r.Detail != nil:
		wrong = "a detail is kept that the line has no hash of"
	case hash == "":
	case r.Detail == nil:
		gone = true
	default:
		d, canonical, err := span.ParseDetail(r.Detail)
		if err != nil || d.Hash().String() != hash || !bytes.Equal(canonical, r.Detail) {
			wrong = "the decision's detail is not the one that the line has the hash of"
		}
	}
	return gone, wrong
}
