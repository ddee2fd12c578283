package engine

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
)

const (
	// maxRetries bounds how often a batch is decided again because another
	// process moved the head. Whoever loses a race sees somebody else win it.
	maxRetries = 64
	// maxSplits bounds how often one failing batch is cut in two to find the
	// span that makes the store refuse it.
	maxSplits = 32
	// resolveTimeout is for asking the store what became of a failed commit.
	resolveTimeout = 5 * time.Second
)

var (
	errPanicked = fault.New(fault.Internal, "internal",
		"an internal error occurred; whether the span was recorded is not known: send the same span again, it is never recorded twice")
	errUnanswered = fault.New(fault.Internal, "internal", "an internal error occurred; send the same span again, it is never recorded twice")
	errContended  = fault.New(fault.Unavailable, "head_contended",
		"other processes keep appending to this timeline; nothing was recorded, send the span again").After(time.Second)
	errFailed = fault.New(fault.Unavailable, "append_failed",
		"the store failed while recording; whether the span was recorded is not known: send the same span again, it is never recorded twice").After(time.Second)
)

// batchRun brings one batch to an end. It lives on the sequencer's goroutine.
type batchRun struct {
	engine *Engine
	tenant string
	left   map[*item]answer // items that make no entry, with the answer found for them
	splits int
}

// run answers every item of batch, unless it panics.
func (b *batchRun) run(ctx context.Context, batch []*item) {
	for try := 0; ; {
		r := &round{engine: b.engine, tenant: b.tenant, leftOut: b.left, guess: try == 0}
		err := r.decideAndCommit(ctx, batch)
		var out *leaveOut
		switch {
		case err == nil:
			b.finish(batch, r)
			return
		case errors.As(err, &out):
			b.left[out.item] = out.answer
			if out.index > 0 {
				// What stands before it goes first, so that no span is decided
				// again for each one that is left out after it.
				b.run(ctx, batch[:out.index])
				batch = batch[out.index:]
			}
			continue
		case errors.Is(err, timeline.ErrHeadMoved), errors.Is(err, timeline.ErrSpent):
			if try++; try < maxRetries && ctx.Err() == nil {
				continue
			}
			err = errContended
		case fault.CodeOf(err) == timeline.CodeReadOnly: // nothing failed: this is no place to append
			b.answerRest(batch, answer{Result: Result{Err: fault.From(err)}})
			return
		}
		b.failed(ctx, batch, r, err)
		return
	}
}

// finish announces what was committed and answers everybody.
func (b *batchRun) finish(batch []*item, r *round) {
	if r.timed {
		b.engine.clock.set(b.tenant, r.nextDue)
	}
	if r.halted != nil {
		b.engine.tellHalted(b.tenant, *r.halted)
	}
	if r.changed {
		b.engine.contractsChanged(context.Background(), b.tenant)
	}
	if r.size > 0 {
		b.engine.bus.Publish(bus.Appended{Tenant: b.tenant, Size: r.size})
	}
	b.answerAll(batch, func(i int) answer { return r.answers[i] })
}

// failed answers a batch whose round did not commit, or whose commit's outcome
// is unknown. What the store holds after all is answered as recorded.
func (b *batchRun) failed(ctx context.Context, batch []*item, r *round, err error) {
	f := fault.From(err)
	log := b.engine.cfg.Logger
	log.ErrorContext(ctx, "batch not committed", slog.String("tenant", b.tenant),
		slog.Int("spans", len(batch)), slog.Bool("attempted", r.attempted), slog.Any("error", err))

	if r.attempted {
		if b.resolve(ctx, batch, r) {
			batch, r = b.unanswered(batch, r)
		}
		if mayBePoison(f) && len(batch) > 1 && b.splits < maxSplits && ctx.Err() == nil {
			// One span may be what the store refuses: its neighbours must not pay.
			b.splits++
			b.run(ctx, batch[:len(batch)/2])
			b.run(ctx, batch[len(batch)/2:])
			return
		}
	}
	answerErr := error(f)
	switch f.Kind {
	case fault.Unavailable, fault.Limited, fault.NotFound, fault.Gone:
	default:
		answerErr = errFailed.Because(err)
	}
	for i, it := range batch {
		if r.sound(i) {
			b.answer(it, r.answers[i])
			continue
		}
		b.answer(it, answer{Result: Result{Err: answerErr}})
	}
}

// mayBePoison tells whether a commit failed for a reason that is not the
// store's own state, and so perhaps for what one of its spans holds.
func mayBePoison(f *fault.Error) bool {
	return f.Kind != fault.Unavailable || f.Code == "commit_unknown"
}

// resolve asks the store which spans of a failed commit it holds and answers
// those. It tells whether there were any.
func (b *batchRun) resolve(ctx context.Context, batch []*item, r *round) bool {
	// The commit may have failed because ctx ended: the question needs its own time.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	s, err := b.engine.log.Begin(ctx, b.tenant)
	if err != nil {
		return false
	}
	defer s.Close()
	found, err := s.Find(ctx, spanIDs(batch))
	if err != nil {
		return false
	}
	any := false
	for i, it := range batch {
		if it.span == nil {
			continue
		}
		f, ok := found[it.span.ID]
		if !ok || !isRepeat(f, it.hash) {
			continue
		}
		seq, outcome := f.Ref.Seq, Created
		if r.answers[i].Outcome == Repeat {
			outcome = Repeat
		}
		b.answer(it, answer{Result: Result{Outcome: outcome}, repeats: &seq})
		any = true
	}
	if any {
		b.engine.bus.Publish(bus.Appended{Tenant: b.tenant, Size: s.Head().Size})
	}
	return any
}

// unanswered is what resolve left of a batch, with its answers.
func (b *batchRun) unanswered(batch []*item, r *round) ([]*item, *round) {
	rest := &round{engine: r.engine, tenant: r.tenant, attempted: r.attempted}
	var items []*item
	b.engine.mu.Lock()
	defer b.engine.mu.Unlock()
	for i, it := range batch {
		if it.state != answered {
			items = append(items, it)
			rest.answers = append(rest.answers, r.answers[i])
			rest.early = append(rest.early, r.early[i])
		}
	}
	return items, rest
}

// answer gives an item its one answer; a second one is not delivered.
func (b *batchRun) answer(it *item, a answer) {
	b.answerAll([]*item{it}, func(int) answer { return a })
}

func (b *batchRun) answerRest(batch []*item, a answer) {
	b.answerAll(batch, func(int) answer { return a })
}

// answerAll is answer for many, under the lock once.
func (b *batchRun) answerAll(batch []*item, answerOf func(i int) answer) {
	due := make([]bool, len(batch))
	b.engine.mu.Lock()
	for i, it := range batch {
		due[i] = it.state != answered
		it.state = answered
	}
	b.engine.mu.Unlock()
	for i, it := range batch {
		if due[i] {
			it.reply.set(it.index, answerOf(i))
		}
	}
}

func (e *Engine) logPanic(ctx context.Context, tenant string, p any) {
	e.cfg.Logger.ErrorContext(ctx, "sequencer panicked", slog.String("tenant", tenant),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
}

func spanIDs(batch []*item) []string {
	ids := make([]string, 0, len(batch))
	for _, it := range batch {
		if it.span != nil {
			ids = append(ids, it.span.ID)
		}
	}
	return ids
}
