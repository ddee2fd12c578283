package importer

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"maps"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// maxCauses is how many causes a header holds (PROTOCOL section 1).
const maxCauses = 64

// latest is the last moment that a LogLine time can write.
var latest = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)

// SpanTime is t as a span can hold it: in UTC, to the millisecond, and moved to
// the nearest end when it lies outside 1970-01-01 to 9999-12-31. A UUIDv7 counts
// milliseconds from 1970 and a LogLine time has four digits of year, while
// sources hold clocks that were wrong.
func SpanTime(t time.Time) time.Time {
	switch t = t.UTC().Truncate(time.Millisecond); {
	case t.Before(time.Unix(0, 0)):
		return time.Unix(0, 0).UTC()
	case t.After(latest):
		return latest
	default:
		return t
	}
}

// digest is the random part of an item's id: the first 80 bits of
// H("logline.import.v1\n" || JCS([source, source id])), of which a UUIDv7 takes 74.
func digest(source, sourceID string) [10]byte {
	msg := append([]byte("logline.import.v1\n"), '[')
	msg = span.AppendString(msg, source)
	msg = append(msg, ',')
	msg = span.AppendString(msg, sourceID)
	sum := span.Sum(append(msg, ']'))
	return [10]byte(sum[:10])
}

// SpanID is the id an item gets: a UUIDv7 of its time (see SpanTime) and of the
// hash of source and source id, hence the same on every run and every machine.
func SpanID(source, sourceID string, t time.Time) string {
	return span.NewID(SpanTime(t), digest(source, sourceID))
}

// Salt is the salt of the span with the given id: the first 16 bytes of
// HMAC-SHA256(secret, "logline.salt.v1\n" || id). It is the same on every run, and
// nobody without the importer's secret can guess a payload against its hash.
func Salt(secret []byte, id string) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("logline.salt.v1\n" + id))
	return mac.Sum(nil)[:16]
}

// header fills everything but payload hash and signature, notes the item for
// the causes of later ones, and counts edges in b.
func (r *run) header(item *Item, now string, b *batch) span.Header {
	at := SpanTime(item.Time)
	key := digest(r.source, item.SourceID)
	h := span.Header{
		ID:         span.NewID(at, key),
		Tenant:     r.cfg.Tenant,
		Author:     r.cfg.Keys.ID(),
		Type:       item.Type,
		Title:      item.Title,
		Subject:    item.Subject,
		Tags:       item.Tags,
		Time:       now,
		OnBehalfOf: r.ghosts.id(item.Actor),
		Status:     span.StatusExecuted,
		Visibility: cmp.Or(item.Visibility, r.cfg.Visibility),
	}
	if !item.Time.IsZero() {
		h.OccurredAt = span.FormatTime(at)
	}
	for _, cause := range item.Causes {
		causeKey := digest(r.source, cause)
		ms, known := r.seen.get(causeKey)
		switch {
		case !known:
			b.unresolved++
		case len(h.Causes) == maxCauses:
			b.overflow++
		default:
			h.Causes = append(h.Causes, span.NewID(time.UnixMilli(ms).UTC(), causeKey))
			b.edges++
		}
	}
	r.seen.put(key, at.UnixMilli())
	return h
}

// seal makes the payload canonical, people named by their ghosts, and signs.
func (r *run) seal(h span.Header, item *Item) (*span.Span, error) {
	salt := Salt(r.cfg.Keys.Secret(), h.ID)
	if item.Body != nil {
		return id.SealSpan(r.signer, h, item.Body, salt)
	}
	payload := item.Payload
	if len(item.People) > 0 {
		payload = maps.Clone(payload)
		if payload == nil {
			payload = make(map[string]any, len(item.People))
		}
		for _, p := range item.People {
			if ghost := r.ghosts.id(p.Actor); ghost != "" {
				payload[p.Member] = ghost
			}
		}
	}
	if payload == nil {
		payload = map[string]any{}
	}
	body, err := span.Canonical(payload)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "import_item_invalid",
			"item %s of %s cannot be written as JSON", item.SourceID, r.source).Because(err)
	}
	return id.SealSpan(r.signer, h, body, salt)
}
