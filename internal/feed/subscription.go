package feed

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

const (
	batch     = 256       // items taken from the ring at once
	pageBytes = 128 << 10 // of items taken from the ring at once, and of a page of older entries
	breath    = 250 * time.Millisecond
)

// Subscription is one subscriber's way through a timeline. Next is for one
// goroutine; SetFilter is for another.
type Subscription struct {
	hub       *Hub
	follower  *follower
	tenant    string
	authorize func(context.Context) (standing.Reader, error)
	filters   chan timeline.Query
	asides    chan *Message
	timer     *time.Timer // of the heartbeat
	due       time.Time   // of the heartbeat
	size      uint64      // of the timeline at the start
	close     sync.Once

	reader  standing.Reader
	checked uint64 // the follower's standing that reader takes account of
	erased  uint64 // the follower's erasures that ready takes account of
	query   timeline.Query
	sieve   *timeline.Sieve

	told  uint64 // the subscriber was told of every entry before this one
	seen  uint64 // entries before this one were judged; those from told on were left out
	ready []*item
	older bool // ready was read from the store, by query, and reaches to upTo
	upTo  uint64
	live  bool // it had everything once

	waiting func() // called before waiting; nil: nothing
	between bool   // the last message was an aside
	greeted bool
	beat    bool      // a heartbeat is owed
	ack     bool      // the word that a filter holds is owed
	noted   uint64    // size of the last checkpoint sent
	trouble time.Time // since when rights or entries cannot be read
}

// Resume is the seq to resume from after the messages given so far.
func (s *Subscription) Resume() uint64 { return s.told }

// Closed is the ending of the subscription at this point, for a reason that the
// transport has. It belongs to the goroutine that calls Next.
func (s *Subscription) Closed(code int, why string) *Closed {
	return &Closed{Code: code, Why: why, Next: s.told}
}

// SetFilter replaces the filter, once what was ready is on its way. It waits
// until Next has taken it and is false when ctx ended first.
func (s *Subscription) SetFilter(ctx context.Context, q timeline.Query) bool {
	select {
	case s.filters <- q:
		return true
	case <-ctx.Done():
		return false
	}
}

// Aside puts a message of a transport's own between the others, as soon as Next
// is called. It waits until Next has taken it and is false when ctx ended first.
func (s *Subscription) Aside(ctx context.Context, typ string, json []byte) bool {
	select {
	case s.asides <- &Message{Type: typ, JSON: json}:
		return true
	case <-ctx.Done():
		return false
	}
}

// aside is the message as it goes out.
func (s *Subscription) aside(m *Message) *Message {
	m.Next, s.between = s.told, true
	return m
}

// Close ends the subscription; closing twice is harmless.
func (s *Subscription) Close() {
	s.close.Do(func() {
		s.timer.Stop()
		s.hub.leave(s.follower)
	})
}

// BeforeWaiting has do called by Next whenever it has no message at hand and
// begins to wait for something: the time for a transport to send what it holds.
func (s *Subscription) BeforeWaiting(do func()) { s.waiting = do }

// begin says that Next waits from here on.
func (s *Subscription) begin() {
	if s.waiting != nil {
		s.waiting()
	}
}

// Next is the next message, waiting for one. It returns ctx's error when ctx
// ends, and *Closed when the subscription is over.
func (s *Subscription) Next(ctx context.Context) (*Message, error) {
	if !s.greeted {
		s.greeted = true
		return helloMessage(s.tenant, s.told, s.size, s.hub.cfg.Heartbeat), nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := s.step(ctx)
		if m != nil || err != nil {
			return m, err
		}
	}
}

// step does one thing; without a message or an error there is more to do.
func (s *Subscription) step(ctx context.Context) (*Message, error) {
	select {
	case q := <-s.filters:
		return s.refilter(q)
	default:
	}
	if !s.between { // however many there are, every other step is the timeline's
		select {
		case m := <-s.asides:
			return s.aside(m), nil
		default:
		}
	}
	s.between = false
	p := s.follower.at(s.seen, batch)
	if p.err != nil {
		return nil, s.Closed(CodeInternal, "the timeline cannot be read")
	}
	if s.erased != p.erased { // what is ready was read before
		s.erased = p.erased
		s.forget()
	}
	if now := time.Now(); !now.Before(s.due) {
		s.due, s.beat = now.Add(s.hub.cfg.Heartbeat), true
		s.timer.Reset(s.hub.cfg.Heartbeat)
	}
	if s.checked != p.standing || s.beat {
		if err := s.check(ctx, p.standing); err != nil {
			return nil, s.troubled(ctx, err)
		}
	}
	switch {
	case s.ack:
		m, paid := s.owed(TypeFilter)
		s.ack = !paid
		return m, nil
	case s.beat:
		m, paid := s.owed(TypeHeartbeat)
		s.beat = !paid
		return m, nil
	case len(s.ready) > 0:
		return s.give()
	case s.older:
		s.seen, s.older = max(s.seen, s.upTo), false
		return nil, nil
	case len(p.items) > 0 && p.end < s.size:
		// A redaction that was there before this subscription may not have been read
		// yet: what it erased is not told any more.
		return s.wait(ctx, p)
	case len(p.items) > 0:
		s.ready = p.items
		return nil, nil
	case p.behind && s.live:
		return nil, s.Closed(CodeBehind, "too far behind")
	case p.behind:
		return nil, s.troubled(ctx, s.page(ctx, p.end))
	}
	s.live = true
	return s.idle(ctx, p)
}

// check asks again who reads; what is ready was chosen for who read before.
func (s *Subscription) check(ctx context.Context, standing uint64) error {
	s.begin()
	reader, err := s.authorize(ctx)
	if err != nil {
		return err
	}
	s.checked, s.trouble = standing, time.Time{}
	if reader != s.reader {
		s.reader = reader
		s.forget()
	}
	return nil
}

// forget drops what is ready but was not judged.
func (s *Subscription) forget() { s.ready, s.older = nil, false }

func (s *Subscription) refilter(q timeline.Query) (*Message, error) {
	sieve, err := q.Sieve()
	if err != nil {
		return nil, err
	}
	s.query, s.sieve = q, sieve
	s.forget()
	s.ack = true
	return nil, nil
}

// owed is a message of that type, or first the gap before it; paid says which.
func (s *Subscription) owed(typ string) (m *Message, paid bool) {
	if m := s.gap(); m != nil {
		return m, false
	}
	return nextMessage(typ, s.told), true
}

// gap is the message for the entries left out since the last one, nil for none.
func (s *Subscription) gap() *Message {
	if s.told == s.seen {
		return nil
	}
	m := gapMessage(s.told, s.seen)
	s.told = s.seen
	return m
}

// give judges what is ready until something is to be sent.
func (s *Subscription) give() (*Message, error) {
	for len(s.ready) > 0 {
		it := s.ready[0]
		seq := it.record.Seq
		shown := it.record.VisibleTo(s.reader)
		if shown && !s.older {
			var err error
			if shown, err = s.sieve.Lets(&it.record); err != nil {
				return nil, s.Closed(CodeInternal, "an entry cannot be read")
			}
		}
		if shown {
			s.seen = seq
			if m := s.gap(); m != nil {
				return m, nil // the entry itself comes next
			}
			s.told = seq + 1
		}
		s.seen = seq + 1
		s.ready[0] = nil // a slow subscriber holds no more than it needs
		s.ready = s.ready[1:]
		if shown {
			return it.message, nil
		}
	}
	return nil, nil
}

// page reads older entries, with limited company.
func (s *Subscription) page(ctx context.Context, end uint64) error {
	s.begin()
	select {
	case s.hub.reads <- struct{}{}:
		defer func() { <-s.hub.reads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	records, next, err := s.hub.source.Scan(ctx, s.tenant, s.query, s.reader, s.seen, end, pageBytes)
	if err != nil {
		return err
	}
	if next == s.seen {
		return fault.From(errLost)
	}
	s.ready = make([]*item, len(records))
	for i := range records {
		s.ready[i] = newItem(&records[i])
	}
	s.older, s.upTo = true, next
	s.trouble = time.Time{}
	return nil
}

// troubled decides what an error means: the end, or another try after a breath
// for as long as there is patience. nil stays nil.
func (s *Subscription) troubled(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	switch fault.KindOf(err) {
	case fault.Unauthenticated:
		return s.Closed(CodeCredential, detail(err))
	case fault.Forbidden, fault.NotFound:
		return s.Closed(CodeForbidden, detail(err))
	case fault.Unavailable, fault.Limited:
	default:
		return s.Closed(CodeInternal, "the timeline cannot be read")
	}
	now := time.Now()
	if s.trouble.IsZero() {
		s.trouble = now
	}
	if now.Sub(s.trouble) >= s.hub.cfg.Patience {
		return s.Closed(CodeTryLater, "the store cannot be read now")
	}
	s.begin()
	timer := time.NewTimer(breath)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func detail(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return f.Detail
	}
	return err.Error()
}

// idle tells the checkpoint of everything that was sent, or waits.
func (s *Subscription) idle(ctx context.Context, p position) (*Message, error) {
	if p.note.Next == s.seen && s.noted < s.seen {
		if m := s.gap(); m != nil {
			return m, nil
		}
		s.noted = s.seen
		return p.note, nil
	}
	return s.wait(ctx, p)
}

// wait waits until there is more to do.
func (s *Subscription) wait(ctx context.Context, p position) (*Message, error) {
	s.begin()
	select {
	case <-p.changed:
	case <-s.timer.C:
	case q := <-s.filters:
		return s.refilter(q)
	case m := <-s.asides:
		return s.aside(m), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return nil, nil
}
