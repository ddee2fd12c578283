package feed

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// everything is a reader who sees all; what each subscriber sees is decided
// when a message is about to be sent.
var everything = standing.Everything()

// follower reads one timeline as it grows.
type follower struct {
	hub    *Hub
	tenant string
	users  int // guarded by Hub.mu
	cancel context.CancelFunc
	done   chan struct{}
	behind chan struct{} // somebody knows of more than was read

	mu       sync.Mutex // guards the rest
	ring     ring
	note     *Message      // the last checkpoint all of whose entries were read
	standing uint64        // seq after the last entry read that can change who may read
	erased   uint64        // seq after the last entry read that erased content
	err      error         // the follower cannot go on
	changed  chan struct{} // closed when any of this has changed
}

func newFollower(h *Hub, tenant string, size uint64, note []byte) *follower {
	return &follower{
		hub: h, tenant: tenant, done: make(chan struct{}), behind: make(chan struct{}, 1), changed: make(chan struct{}),
		ring: ring{entries: h.cfg.Entries, bytes: h.cfg.Bytes, first: size}, note: checkpointMessage(note, size), standing: size,
	}
}

func (f *follower) start() {
	ctx, cancel := context.WithCancel(context.Background())
	f.cancel = cancel
	go f.run(ctx)
}

func (f *follower) stop() {
	f.cancel()
	<-f.done
}

// look makes the follower read at once where it has not come to size.
func (f *follower) look(size uint64) {
	f.mu.Lock()
	behind := f.ring.end() < size
	f.mu.Unlock()
	if behind {
		select {
		case f.behind <- struct{}{}:
		default: // it will
		}
	}
}

// run reads until it is stopped: when woken, and at every poll, because a
// wake-up may be lost and other processes append to the same timeline.
func (f *follower) run(ctx context.Context) {
	defer close(f.done)
	var wake *bus.Subscription
	var woken <-chan struct{}
	if f.hub.waker != nil {
		wake = f.hub.waker.Subscribe(f.tenant)
		defer wake.Close()
		woken = wake.C
	}
	var tail *timeline.Tail
	if from, ok := f.hub.source.(tailed); ok && wake != nil {
		tail = from.Tail(f.tenant)
		defer tail.Close()
	}
	poll := time.NewTicker(f.hub.cfg.Poll)
	defer poll.Stop()
	for failing := false; ; {
		err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && fault.KindOf(err) != fault.Unavailable:
			f.hub.cfg.Logger.ErrorContext(ctx, "feed cannot read the timeline", slog.String("tenant", f.tenant), slog.Any("error", err))
			f.publish(func() { f.err = err })
			return
		case err != nil && !failing:
			f.hub.cfg.Logger.WarnContext(ctx, "feed waits for the store", slog.String("tenant", f.tenant), slog.Any("error", err))
		}
		failing = err != nil
		for toldAll := true; toldAll; {
			toldAll = false
			select {
			case <-ctx.Done():
				return
			case <-woken:
				toldAll = f.takeTail(tail, wake.Take())
			case <-f.behind:
			case <-poll.C:
			}
		}
	}
}

// tailed is a Source that tells what this process has just committed.
type tailed interface {
	Tail(tenant string) *timeline.Tail
}

// takeTail takes what this process has just committed without reading it back.
// It is false where there is more to know, or may be: then the store is read.
func (f *follower) takeTail(tail *timeline.Tail, wakeUps []bus.Appended) bool {
	if tail == nil {
		return false
	}
	records, note := tail.Take()
	next := f.ring.end() // only this goroutine moves it
	for len(records) > 0 && records[0].Seq < next {
		records = records[1:]
	}
	known := func(end uint64) bool {
		return !slices.ContainsFunc(wakeUps, func(a bus.Appended) bool { return a.Size == 0 || a.Size > end })
	}
	if len(records) == 0 {
		return known(next)
	}
	if records[0].Seq != next {
		return false
	}
	items := make([]*item, len(records))
	for i := range records {
		items[i] = newItem(&records[i])
	}
	end := next + uint64(len(items))
	f.publish(func() {
		f.take(items)
		f.note = checkpointMessage(note, end)
	})
	return known(end)
}

// read brings the follower to the committed head.
func (f *follower) read(ctx context.Context) error {
	note, size, err := f.hub.source.Checkpoint(ctx, f.tenant)
	if err != nil {
		return err
	}
	next := f.ring.end() // only this goroutine moves it
	if size < next {
		return fault.From(errLost)
	}
	if size == next {
		return nil
	}
	for next < size {
		records, to, err := f.hub.source.Entries(ctx, f.tenant, next, size, everything)
		if err != nil {
			return err
		}
		if to == next {
			return fault.From(errLost)
		}
		items := make([]*item, len(records))
		for i := range records {
			items[i] = newItem(&records[i])
		}
		next = to
		f.publish(func() {
			f.take(items)
			if next == size {
				f.note = checkpointMessage(note, size)
			}
		})
	}
	return nil
}

// take adds what was read. The caller holds mu.
func (f *follower) take(items []*item) {
	for _, it := range items {
		f.ring.add(it)
		switch it.record.Entry.Span.Type {
		case span.TypeRedaction:
			f.ring.redact(it.record.Payload)
			f.erased = it.record.Seq + 1
		case span.TypeMember, span.TypeIdentity, span.TypeResolution, span.TypeEpoch, span.TypeHandover, span.TypeTenant:
			f.standing = it.record.Seq + 1
		}
	}
}

func (f *follower) publish(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.changed)
	f.changed = make(chan struct{})
}

// position is what a follower has now.
type position struct {
	items    []*item
	behind   bool   // the seq asked for has left the ring
	end      uint64 // entries read
	note     *Message
	standing uint64
	erased   uint64
	err      error
	changed  <-chan struct{} // closed when there is more
}

// at is the follower's position with up to limit items from seq on.
func (f *follower) at(seq uint64, limit int) position {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := position{end: f.ring.end(), note: f.note, standing: f.standing, erased: f.erased, err: f.err, changed: f.changed}
	switch {
	case seq < f.ring.first:
		p.behind = true
	case seq < p.end:
		p.items = f.ring.from(seq, limit, pageBytes)
	}
	return p
}
