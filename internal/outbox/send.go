package outbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/internal/atomicfile"
)

// Verdict is what became of a span that was sent.
type Verdict struct {
	Outcome Outcome
	Reason  string // of Refused: code and detail, kept with the dead span
}

// Outcome of a span.
type Outcome int

// Outcomes.
const (
	Later     Outcome = iota // neither taken nor refused: it stays, and so do those after it
	Delivered                // it is in the timeline
	Refused                  // for good: it goes to the dead
)

// Sent is what a Send did.
type Sent struct {
	Delivered int
	Refused   []string // files of dead spans, from the outbox's folder
	Waiting   int      // spans that are still there
}

// At most so many spans, and so many bytes of them, are given to one call.
const (
	maxBatch      = 100
	maxBatchBytes = 4 << 20
)

// Send gives all spans for a node to send, in order and in batches of one
// tenant, and does what it says of each. It ends when none are left, when a
// span must wait, or with send's error. While another process sends, it waits
// for that one and then has less to do. A span may be sent again after a crash,
// which its id makes harmless.
func (b *Box) Send(ctx context.Context, node string, send func(context.Context, []Item) ([]Verdict, error)) (Sent, error) {
	var sent Sent
	sending, err := b.lock(ctx, "send.lock")
	if err != nil {
		return sent, err
	}
	defer sending.Close()
	if err := b.sweep(ctx); err != nil {
		return sent, err
	}
	for {
		items, waiting, dead, err := b.next(ctx, node)
		sent.Waiting = waiting
		sent.Refused = append(sent.Refused, dead...)
		if err != nil || len(items) == 0 {
			return sent, err
		}
		verdicts, err := send(ctx, items)
		wait := err != nil || len(verdicts) < len(items)
		for i, v := range verdicts[:min(len(verdicts), len(items))] {
			if v.Outcome == Later {
				wait = true
				break
			}
			if err := b.settle(ctx, items[i], v, &sent); err != nil {
				return sent, err
			}
		}
		if wait {
			return sent, err
		}
	}
}

// next reads the next batch, after which waiting spans are left to look at. A
// file that cannot be read as a span is set aside, so that it blocks nothing.
func (b *Box) next(ctx context.Context, node string) (items []Item, waiting int, dead []string, err error) {
	lock, err := b.lock(ctx, "lock")
	if err != nil {
		return nil, 0, nil, err
	}
	defer lock.Close()
	names, _, err := b.list()
	if err != nil {
		return nil, 0, nil, b.failed(err)
	}
	waiting = len(names)
	size := 0
	for _, name := range names {
		item, err := b.read(name)
		switch {
		case errors.Is(err, errFile):
			if err := b.aside(name); err != nil {
				return nil, waiting, dead, b.failed(err)
			}
			waiting--
			dead = append(dead, filepath.Join("dead", name))
			continue
		case err != nil:
			return nil, waiting, dead, b.failed(err)
		case item.Node != node:
			continue
		case len(items) > 0 && items[0].Span.Tenant != item.Span.Tenant:
			return items, waiting, dead, nil
		}
		items, size = append(items, item), size+len(item.Raw)
		if len(items) == maxBatch || size >= maxBatchBytes {
			break
		}
	}
	return items, waiting, dead, nil
}

// aside moves an unreadable file to the dead as it is.
func (b *Box) aside(name string) error {
	if err := atomicfile.MkdirAll(filepath.Join(b.dir, "dead")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(b.dir, name), filepath.Join(b.dir, "dead", name))
}

// settle takes a span out of the waiting ones; a refused one is among the dead before.
func (b *Box) settle(ctx context.Context, item Item, v Verdict, sent *Sent) error {
	lock, err := b.lock(ctx, "lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	if v.Outcome == Refused {
		dead := filepath.Join("dead", item.name)
		if err := atomicfile.MkdirAll(filepath.Join(b.dir, "dead")); err != nil {
			return b.failed(err)
		}
		if err := b.write(filepath.Join(b.dir, dead), item.encode(v.Reason)); err != nil {
			return b.failed(err)
		}
		sent.Refused = append(sent.Refused, dead)
	} else {
		sent.Delivered++
	}
	if err := os.Remove(filepath.Join(b.dir, item.name)); err != nil {
		return b.failed(err)
	}
	sent.Waiting--
	return nil
}
