package replay

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// ledger is the decision state of a timeline as of a position: that of the record,
// or the one that would have been.
type ledger struct {
	rows *rules.Memory
	set  *contract.Set // nil: to be made
	due  string        // when the first timer is, "" for never
	// Spans that a timer or a vote may ask for again, and others.
	spans   map[string]*cause
	most    int              // how many are kept before the others are forgotten
	waiting map[string]bool  // for votes
	past    map[string]*past // spans that contracts know to undo
	world   rules.World
}

// cause is a span that something may follow from.
type cause struct {
	span.Span
	withheld string // why its payload is not there
}

// past is a span that may be undone.
type past struct {
	rules.Past
	withheld string
}

// leastSpans is how many spans are kept before it is asked which are needed.
const leastSpans = 1000

func newLedger() *ledger {
	return &ledger{rows: &rules.Memory{}, spans: map[string]*cause{}, most: leastSpans, waiting: map[string]bool{}, past: map[string]*past{}}
}

// clone is one that goes its own way from here.
func (l *ledger) clone() *ledger {
	out := *l
	out.rows, out.spans, out.waiting, out.past = l.rows.Clone(), maps.Clone(l.spans), maps.Clone(l.waiting), maps.Clone(l.past)
	out.world.State, out.world.Past = out.rows, out.undone
	return &out
}

// take puts an entry into the state.
func (l *ledger) take(ctx context.Context, e *span.Entry, payload []byte, withheld string) error {
	if err := l.mayBeUndone(ctx, e, payload, withheld); err != nil {
		return err
	}
	if p, err := span.ParseRevert(payload); e.Span.Type == span.TypeRevert && e.Decision.Outcome == span.OutcomeAllow && err == nil {
		delete(l.past, p.Span) // it is undone, and nobody undoes it again
	}
	changes, err := rules.Fold(ctx, l.rows, e, payload)
	if err != nil || len(changes) == 0 {
		return err
	}
	others, err := rules.SourcesChange(ctx, l.rows, changes)
	if err != nil {
		return err
	}
	if others {
		l.set = nil
	}
	l.rows.Apply(changes)
	if !rules.Timed(changes) {
		return nil
	}
	if e.Decision.Outcome == span.OutcomePending {
		l.waiting[e.Span.ID] = true
	} else if a, err := rules.AnsweredBy(&e.Decision); err == nil && a.Settles != "" {
		delete(l.waiting, a.Settles)
	}
	if err := l.keep(ctx, e, payload, withheld); err != nil {
		return err
	}
	due, ok, err := rules.NextDue(ctx, l.rows)
	if l.due = ""; ok {
		l.due = span.FormatTime(due)
	}
	return err
}

// mayBeUndone keeps a span that a contract which had a say knows to undo.
func (l *ledger) mayBeUndone(ctx context.Context, e *span.Entry, payload []byte, withheld string) error {
	for _, ref := range e.Decision.Contracts {
		c, err := l.world.Version(ctx, l.rows, ref)
		if err != nil {
			return err
		}
		if c != nil && slices.ContainsFunc(c.Compensations, func(c *contract.Compensation) bool { return c.Undoes(e.Span.Type) }) {
			l.past[e.Span.ID] = &past{rules.Past{Span: span.Span{Header: e.Span, Payload: payload}, Decision: e.Decision}, withheld}
			return nil
		}
	}
	return nil
}

// undone is what World.Past asks for.
func (l *ledger) undone(_ context.Context, spanID string) (*rules.Past, error) {
	if p := l.past[spanID]; p != nil {
		return &p.Past, nil
	}
	return nil, nil
}

// keep keeps a span that may be asked for again, and forgets those that will not
// be once they may be half of all.
func (l *ledger) keep(ctx context.Context, e *span.Entry, payload []byte, withheld string) error {
	if e.Span.ID == "" {
		return nil
	}
	l.spans[e.Span.ID] = &cause{span.Span{Header: e.Span, Payload: payload}, withheld}
	if len(l.spans) < l.most {
		return nil
	}
	timers, err := rules.Due(ctx, l.rows, farthest, math.MaxInt)
	if err != nil {
		return err
	}
	needed := make(map[string]*cause, len(timers))
	for _, t := range timers {
		if c := l.spans[t.Span]; c != nil {
			needed[t.Span] = c
		}
	}
	for id := range l.waiting {
		if c := l.spans[id]; c != nil {
			needed[id] = c
		}
	}
	l.spans, l.most = needed, max(leastSpans, 2*len(needed))
	return nil
}

// farthest is after every timer.
var farthest = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)

// cause is a span that something follows from, nil where there is none.
func (l *ledger) cause(spanID string) (*span.Span, string) {
	c := l.spans[spanID]
	if c == nil {
		return nil, ""
	}
	return &c.Span, c.withheld
}

// at is the position of an entry.
func at(e *span.Opened) standing.Position {
	return standing.Position{Seq: e.Seq, RecordedAt: e.RecordedAt}
}
