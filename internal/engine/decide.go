package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

var errUndecided = fault.New(fault.Unavailable, "decision_unavailable",
	"the store failed while the span was being decided; nothing was recorded, send it again").After(time.Second)

// position is where the next entry goes.
func (r *round) position() standing.Position {
	return standing.Position{Seq: r.session.Head().Size + uint64(r.drafts), RecordedAt: r.recordedAt}
}

// conditions checks what the caller and the clock ask: the expected size and
// the time window.
func (r *round) conditions(it *item) error {
	if next := r.position().Seq; it.expected != nil && *it.expected != next {
		return fault.Newf(fault.Conflict, "expected_seq",
			"the timeline has %d entries, not the %d you expected; read what is new and decide again", next, *it.expected).
			With("size", next)
	}
	signed, err := span.ParseTime(it.span.Time)
	if err != nil {
		return err
	}
	cfg := &r.engine.cfg
	if signed.Before(r.now.Add(-cfg.PastWindow)) || signed.After(r.now.Add(cfg.FutureWindow)) {
		return fault.Newf(fault.Invalid, "span_time_window",
			"time %s lies outside the window from %s before to %s after the node's %s; sign it again with the current time, and put the time of the event into occurred_at",
			it.span.Time, spell(cfg.PastWindow), spell(cfg.FutureWindow), r.recordedAt).
			At("/time", "outside the accepted window")
	}
	return nil
}

func spell(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", days)
	}
	return d.String()
}

// conflict answers a span whose id another span has spent. What it says about
// that one is only for an author who proves to be the same; whoever may not
// append here learns nothing.
func (r *round) conflict(ctx context.Context, it *item, existing standing.Ref, payloadHash string) error {
	if err := r.check(ctx, it.span); err != nil {
		return err
	}
	f := fault.New(fault.Conflict, "id_conflict",
		"another span with this id is recorded here; if this is a new span, give it a new id").
		At("/id", "spent by another span")
	if existing.Author == it.span.Author && payloadHash != "" {
		f = f.With("existing", map[string]any{"seq": existing.Seq, "author": existing.Author, "payload_hash": payloadHash})
	}
	return f
}

// check applies every rule on keys, roles and reserved types at this position.
func (r *round) check(ctx context.Context, sp *span.Span) error {
	var failed error
	err := r.session.Tx().Check(&sp.Header, sp.Payload, r.position(), func(spanID string) (standing.Ref, bool) {
		found, err := r.session.Find(ctx, []string{spanID})
		if err != nil {
			failed = err
			return standing.Ref{}, false
		}
		f, ok := found[spanID]
		return f.Ref, ok && f.SpentBy == timeline.SpentByEntry
	})
	if failed != nil {
		// What the rules concluded from not finding the target means nothing.
		return errUndecided.Because(failed)
	}
	return err
}

// refusedBefore answers a span that a contract refused, sent again; about
// another span with its id it says no more than of any id that is spent.
func (r *round) refusedBefore(ctx context.Context, it *item, f *timeline.Found) error {
	rec, err := r.engine.log.Get(ctx, r.tenant, f.Ref.ID)
	if err != nil {
		return errUndecided.Because(err)
	}
	past, err := span.ParseRefusal(rec.Payload)
	if err != nil || past.HeaderHash != it.hash.String() {
		return r.conflict(ctx, it, f.Ref, "")
	}
	if err := r.check(ctx, it.span); err != nil {
		return err
	}
	return fault.Newf(fault.Invalid, rules.CodeRefused,
		"a contract refused this span before, as entry %d says; decide anew with a new span", f.Record.Seq).
		With("contract", past.Contract).With("rule", past.Rule).With("decision", f.Ref.ID)
}

// decide asks the Decider. It brings it nothing that keys and roles forbid, so
// that a refusal by rule is only ever told to somebody who may append. Of the
// node's own spans contracts say nothing; what activates one must be able to.
func (r *round) decide(ctx context.Context, it *item) (*rules.Outcome, error) {
	sp := it.span
	own := sp.Author == r.engine.node.ID()
	if !own || it.dryRun || sp.Status == span.StatusSimulated {
		if err := r.check(ctx, sp); err != nil {
			return nil, err
		}
	}
	if own && sp.Type != span.TypeContract {
		return allowed, nil
	}
	if !own && !r.caughtUp {
		if err := r.catchUpContracts(ctx); err != nil {
			return nil, err
		}
		r.caughtUp = true
	}
	w, err := r.world(ctx)
	if err != nil {
		return nil, err
	}
	if own {
		return rules.Activate(ctx, w, sp, r.position())
	}
	return r.engine.inTime(ctx, func(ctx context.Context) (*rules.Outcome, error) {
		return r.engine.decide(ctx, w, sp, r.position())
	})
}

// errTooLong is no decision, so that the same span may be decided when there is
// more time for it.
var errTooLong = fault.New(fault.Limited, "decision_too_long",
	"the contracts in force here take longer about this than they may; nothing was recorded. Look for rules that walk through long lists, or for too many of them").After(30 * time.Second)

// inTime has contracts asked for as long as Config.DecisionTimeout. What they said
// when their time was over, or that of the batch, is no outcome.
func (e *Engine) inTime(ctx context.Context, ask func(context.Context) (*rules.Outcome, error)) (*rules.Outcome, error) {
	limit := &timeLimit{Context: ctx, end: time.Now().Add(e.cfg.DecisionTimeout)}
	o, err := ask(limit)
	switch {
	case ctx.Err() != nil:
		return nil, errUndecided.Because(context.Cause(ctx))
	case limit.passed.Load():
		return nil, errTooLong
	}
	return o, err
}

// timeLimit is a context whose Err, and nothing else of it, ends at a time: it
// stops expressions, and no question to the store. Whoever reads rows asks for
// Err too, on a goroutine of database/sql's.
type timeLimit struct {
	context.Context
	end    time.Time
	passed atomic.Bool
}

func (t *timeLimit) Err() error {
	if t.passed.Load() || time.Now().After(t.end) {
		t.passed.Store(true)
		return context.DeadlineExceeded
	}
	return t.Context.Err()
}

// allowed is the outcome where no contract is asked.
var allowed = &rules.Outcome{Decision: span.Decision{Outcome: span.OutcomeAllow}}

// admit puts a draft at the next position.
func (r *round) admit(d *timeline.Draft) (seq uint64, err error) {
	if seq, err = r.session.Admit(d, r.recordedAt); err == nil {
		r.drafts++
		r.content += int64(len(d.Span.Payload) + len(d.Detail))
	}
	return seq, err
}

// handOut gives every admitted span the receipt of its entry.
func (r *round) handOut(batch []*item, receipts []timeline.Receipt) error {
	if len(receipts) != r.drafts {
		return fault.Newf(fault.Internal, "internal", "the log answered %d entries with %d receipts", r.drafts, len(receipts))
	}
	r.size = receipts[len(receipts)-1].Size
	for i := range batch {
		if d := r.draftOf[i]; d >= 0 {
			r.answers[i].Receipt = &receipts[d]
		}
	}
	return nil
}
