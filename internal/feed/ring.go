package feed

import (
	"slices"
	"sync/atomic"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// item is one entry and the message that shows it.
type item struct {
	record  timeline.Record // without what only the message needs
	message *Message
}

func newItem(r *timeline.Record) *item {
	it := &item{record: *r, message: entryMessage(r)}
	it.record.Salt, it.record.Detail = "", nil
	return it
}

// cost is about what an item holds in memory: the message also in the form that
// a transport prepares, and the parsed entry beside its line.
func (it *item) cost() int {
	const overhead = 1024
	return 2*len(it.message.JSON) + 2*len(it.record.Line) + len(it.record.Payload) + overhead
}

// ring is the most recent entries, dense in seq, within limits. It does not
// guard itself.
type ring struct {
	entries, bytes int // limits
	first          uint64
	items          []*item
	used           int // bytes
}

// end is the seq after the last item.
func (r *ring) end() uint64 { return r.first + uint64(len(r.items)) }

// add appends the next item and lets the oldest go where a limit is passed; one
// item stays, whatever its size.
func (r *ring) add(it *item) {
	r.items = append(r.items, it)
	r.used += it.cost()
	drop := 0
	for len(r.items)-drop > 1 && (len(r.items)-drop > r.entries || r.used > r.bytes) {
		r.used -= r.items[drop].cost()
		r.items[drop] = nil
		drop++
	}
	r.items = r.items[drop:]
	r.first += uint64(drop)
}

// from is up to limit items, and about as many bytes of them or one item,
// beginning at seq, which the ring must hold. They do not change when the ring
// does, and stay in memory for as long as a subscriber takes to send them.
func (r *ring) from(seq uint64, limit, bytes int) []*item {
	items := r.items[seq-r.first:]
	n, used := 0, 0
	for n < min(len(items), limit) {
		if used += items[n].cost(); used > bytes && n > 0 {
			break
		}
		n++
	}
	return slices.Clone(items[:n])
}

// redact takes the content of what an entry erased out of the messages that
// wait to be sent.
func (r *ring) redact(payload []byte) {
	p, err := span.ParseRedaction(payload)
	if err != nil {
		return // it was accepted, so it is one
	}
	gone := make(map[string]bool, len(p.Spans))
	for _, s := range p.Spans {
		gone[s.Span] = true
	}
	for i, it := range r.items {
		if gone[it.record.Entry.Span.ID] {
			r.used -= it.cost()
			erased := it.record
			erased.Payload, erased.Redacted = nil, true
			r.items[i] = newItem(&erased)
			r.used += r.items[i].cost()
		}
	}
}

// Message is one message of a feed. It may be shared by many subscriptions and
// is not changed.
type Message struct {
	Type string // hello, entry, checkpoint, heartbeat, gap or filter
	JSON []byte
	Next uint64 // the seq to resume from once this was received

	shared   bool
	prepared atomic.Value
}

// Prepared is what a transport makes of JSON, made once for all subscriptions
// where the message is shared.
func (m *Message) Prepared(prepare func(json []byte) any) any {
	if !m.shared {
		return prepare(m.JSON)
	}
	if p := m.prepared.Load(); p != nil {
		return p
	}
	m.prepared.CompareAndSwap(nil, prepare(m.JSON))
	return m.prepared.Load()
}
