package cloudevents

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/danvoulez/logline/internal/span"
)

const (
	eventDomain = "logline.event.v1\n"
	saltDomain  = "logline.event.salt.v1\n"
	maxType     = 128 // bytes of a span's type
)

// SpanType is the span type that stands for an event's type: lower case, with an
// underscore for every byte that a type cannot have and for an empty segment,
// "e_" before what does not begin with a letter, "event." before what would be a
// reserved type, and where it is too long a hash of the whole for the rest. The
// type as it was is in the payload.
func SpanType(eventType string) string {
	segments := strings.Split(eventType, ".")
	for i, segment := range segments {
		if segment == "" {
			segment = "_"
		}
		b := []byte(segment)
		for j, c := range b {
			switch {
			case c >= 'A' && c <= 'Z':
				b[j] = c + 'a' - 'A'
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_', c == '-':
			default:
				b[j] = '_'
			}
		}
		segments[i] = string(b)
	}
	typ := strings.Join(segments, ".")
	if typ[0] < 'a' || typ[0] > 'z' {
		typ = "e_" + typ
	}
	if segments[0] == "logline" { // also by itself: no type of ours is only that
		typ = "event." + typ
	}
	if len(typ) > maxType {
		sum := sha256.Sum256([]byte(eventType))
		mark := "-" + hex.EncodeToString(sum[:8])
		typ = strings.TrimRight(typ[:maxType-len(mark)], ".") + mark
	}
	return typ
}

// SpanID is the one span id of a caller's (source, id) in a tenant: 122 bits of
// HMAC-SHA-256(secret, "logline.event.v1\n" || JCS([tenant, author, source, id]))
// in the form of a UUIDv7. No clock is in it, because an event that is sent again
// with another time must meet the first one; so its first part is no time. The
// author's secret is, for ids of events are easily guessed: others in the tenant
// could spend the span ids of events that are yet to come.
func SpanID(secret []byte, tenant, author, source, id string) string {
	m := append([]byte(eventDomain), '[')
	for i, text := range []string{tenant, author, source, id} {
		if i > 0 {
			m = append(m, ',')
		}
		m = span.AppendString(m, text)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write(append(m, ']'))
	b := [16]byte(mac.Sum(nil)[:16])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	x := hex.EncodeToString(b[:])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// salt is the salt of the span with an id: a repeat must hash to the same, and
// nobody without the secret can guess a payload against its hash.
func salt(secret []byte, spanID string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(saltDomain + spanID))
	return mac.Sum(nil)[:16]
}
