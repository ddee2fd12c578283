package backtest

import (
	"context"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/people"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Clock says which time an entry is decided at.
type Clock string

const (
	// Recorded is when the node recorded the entry.
	Recorded Clock = "recorded"
	// Span is when the span says that it occurred, for imported history. It never
	// goes back: an entry that occurred before the one that stands before it is
	// decided at that one's time. One that does not say when it occurred leaves
	// the clock where it is.
	Span Clock = "span"
)

// Options say how history is decided again.
type Options struct {
	Clock Clock // "": Recorded
	Keep  int   // differences, and entries not decided, that the report lists; the first ones
	// Workers is how many goroutines decide at once; 0: one for each processor.
	// The report is the same for any number.
	Workers int
	// NextCron is that of rules.World.
	NextCron func(line, timezone string, after time.Time) (time.Time, error)
}

// Backtest is a timeline that contracts decide again. It is not safe for
// concurrent use.
type Backtest struct {
	opt       Options
	contracts *contract.Set
	people    *people.People
	tx        *standing.Tx
	rows      rules.Memory
	world     rules.World
	seq       uint64 // of the next entry in a history of its own, which has others between
	next      uint64 // seq that is expected of the next entry added
	now       string // the clock
	due       string // when the first timer is, "" for never
	// Spans that a timer or a vote asks for again, and others.
	spans   map[string]*span.Span
	most    int                    // how many are kept before the others are forgotten
	waiting map[string]bool        // for votes
	past    map[string]*rules.Past // spans that contracts know to undo
	lock    sync.Mutex             // of rows and version, while some entries are decided ahead
	version int                    // how often rows have changed
	news    *news                  // what has changed, while some are decided ahead; else nil
	held    int                    // guesses that held
	seen    tally
	report  Report
}

// New begins with an empty timeline. The contracts decide together: the one that
// is tried and those that it requires.
func New(contracts []*contract.Contract, o Options) (*Backtest, error) {
	switch o.Clock {
	case "":
		o.Clock = Recorded
	case Recorded, Span:
	default:
		return nil, fault.Newf(fault.Invalid, "clock_unknown", "the clock %q is unknown; choose recorded or span", string(o.Clock))
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	b := &Backtest{opt: o, most: leastSpans, people: people.New(), spans: map[string]*span.Span{}, waiting: map[string]bool{}, past: map[string]*rules.Past{}}
	b.tx = b.people.View()
	inForce := make([]contract.InForce, len(contracts))
	for i, c := range contracts {
		inForce[i].Contract = c
	}
	b.contracts = contract.NewSet(inForce)
	b.world = rules.World{Standing: b.tx, State: &b.rows, Contracts: b.contracts, NextCron: o.NextCron,
		Past: func(_ context.Context, spanID string) (*rules.Past, error) { return b.past[spanID], nil }}
	b.report.Clock = o.Clock
	for _, c := range b.contracts.Contracts() {
		b.report.Contracts = append(b.report.Contracts, c.Ref())
		b.seen.contract(c.Contract)
	}
	return b, nil
}

// Add decides the next entry. Entries come from the first of the timeline on,
// without a gap.
func (b *Backtest) Add(ctx context.Context, e *span.Opened) error { return b.add(ctx, e, nil) }

// add is Add with what was decided about the entry ahead, nil for nothing.
func (b *Backtest) add(ctx context.Context, e *span.Opened, g *guess) error {
	if e.Seq != b.next {
		return fault.Newf(fault.Invalid, "entries_missing", "entry %d is expected, and %d came: a backtest begins with the first entry and leaves none out", b.next, e.Seq)
	}
	b.next++
	b.report.Entries++
	if err := b.stand(e); err != nil {
		return err
	}
	b.advance(e)
	if err := b.time(ctx); err != nil {
		return err
	}
	b.seq = max(b.seq, firstSeq(e))
	switch {
	case e.Span.Type == span.TypeDecision:
		b.report.Attempts++
		return nil
	case b.own(e):
		b.report.Own++
		return nil
	}
	return b.decide(ctx, e, g)
}

// own says of an entry that no contract decides it.
func (b *Backtest) own(e *span.Opened) bool {
	return e.Span.Type == span.TypeContract || e.Span.Author == b.tx.Node()
}

// Report is what was found. Nothing is added afterwards.
func (b *Backtest) Report() *Report {
	b.seen.into(&b.report)
	b.report.Waiting = len(b.waiting)
	return &b.report
}

// stands says of an entry that it may change who holds which keys and roles, or
// undoes one that may stand just before it. Ordinary ones do not.
func (b *Backtest) stands(e *span.Opened) bool {
	return strings.HasPrefix(e.Span.Type, "logline.") && (b.people.Moves(e) || e.Span.Type == span.TypeRevert)
}

// stand follows who holds which keys and roles.
func (b *Backtest) stand(e *span.Opened) error {
	if !b.stands(e) {
		return nil // others may be decided ahead right now
	}
	if err := b.people.Take(e); err != nil {
		return err
	}
	if e.Seq == 0 {
		b.world.Tenant = b.people.Tenant()
	}
	return nil
}

// advance puts the clock on.
func (b *Backtest) advance(e *span.Opened) {
	now, back := b.advanced(b.now, e)
	if b.now = now; back {
		b.report.Backwards++
	}
}

// advanced is what a clock says at the next entry, and whether the entry would
// put it back.
func (b *Backtest) advanced(now string, e *span.Opened) (_ string, back bool) {
	at := e.RecordedAt
	if b.opt.Clock == Span {
		at = e.Span.OccurredAt
	}
	if at == "" || at < now {
		return now, at != ""
	}
	return at, false
}

// firstSeq is where an entry stands in the history, which leaves room for what the
// node adds: the answers to timers and votes.
func firstSeq(e *span.Opened) uint64 { return e.Seq << 20 }

// at is the time by a clock at which an entry is decided.
func at(now string, e *span.Opened) string {
	if now == "" { // nothing has occurred yet
		return e.RecordedAt
	}
	return now
}

// decide has the contracts decide an entry, and compares.
func (b *Backtest) decide(ctx context.Context, e *span.Opened, g *guess) error {
	if b.erased(e) {
		b.undecided(e)
		return nil
	}
	at := standing.Position{Seq: b.seq, RecordedAt: at(b.now, e)}
	was := g
	held := g != nil && g.made && b.hold(g.reads[:g.folds], g)
	holds := held && g.at == at && b.hold(g.reads[g.folds:], g) // what it changes, too
	if !holds {
		b.doubt(g)
	}
	if held {
		b.held++
	} else {
		g = &guess{}
		g.decide(ctx, &b.world, e, at)
	}
	sp, o, err := &g.span, g.outcome, g.err
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Forbidden, fault.Conflict: // a vote that these contracts did not ask for
		b.report.Unasked++
		return nil
	}
	if err != nil {
		return err
	}
	b.compare(e, o, at.RecordedAt)
	if o.Verdict > rules.Pending {
		return nil
	}
	if o.Verdict == rules.Pending {
		b.wait(e.Span.ID)
	}
	if len(b.contracts.Match(e.Span.Type).Undoes) > 0 {
		b.past[e.Span.ID] = &rules.Past{Span: *sp, Decision: o.Decision}
	}
	b.forget(e, o)
	changes := g.changes
	if !holds {
		if changes, err = folded(ctx, &b.rows, &g.entry, sp, o, at); err != nil {
			return err
		}
	}
	if err := b.apply(ctx, sp, o, changes, was); err != nil {
		return err
	}
	for _, s := range o.Settle {
		if err := b.resolve(ctx, s.Span, at.RecordedAt); err != nil {
			return err
		}
	}
	return nil
}

// forget gives up a span that is undone: nobody undoes it again.
func (b *Backtest) forget(e *span.Opened, o *rules.Outcome) {
	if e.Span.Type != span.TypeRevert || o.Verdict == rules.Pending {
		return
	}
	if p, err := span.ParseRevert(e.Payload); err == nil {
		delete(b.past, p.Span)
	}
}

// erased says of an entry that contracts ask for a payload that is not there.
func (b *Backtest) erased(e *span.Opened) bool {
	return e.Payload == nil && !b.contracts.Match(e.Span.Type).Empty()
}

// folded is what an entry with this outcome, which is made in room, changes of the
// state. How many instances are in flight is left out: no decision asks for it, and
// all that begin or end one would meet there.
func folded(ctx context.Context, s rules.State, room *span.Entry, sp *span.Span, o *rules.Outcome, at standing.Position) ([]standing.Row, error) {
	*room = span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: sp.Header, Decision: o.Decision}
	changes, err := rules.Fold(ctx, s, room, sp.Payload)
	return slices.DeleteFunc(changes, func(r standing.Row) bool { return rules.InFlight(r.Key) }), err
}

// fold puts the outcome of an entry of the node's own into the state.
func (b *Backtest) fold(ctx context.Context, sp *span.Span, o *rules.Outcome, at string) error {
	changes, err := folded(ctx, &b.rows, &span.Entry{}, sp, o, standing.Position{Seq: b.seq, RecordedAt: at})
	if err != nil {
		return err
	}
	return b.apply(ctx, sp, o, changes, nil)
}

// apply puts an entry's outcome into the state.
func (b *Backtest) apply(ctx context.Context, sp *span.Span, o *rules.Outcome, changes []standing.Row, g *guess) error {
	b.seq++
	if len(changes) == 0 {
		return nil
	}
	b.change(changes, g)
	b.seen.transitions(o.Decision.Transitions)
	if !rules.Timed(changes) {
		return nil
	}
	if err := b.keep(ctx, sp); err != nil {
		return err
	}
	due, ok, err := rules.NextDue(ctx, &b.rows)
	if b.due = ""; ok {
		b.due = span.FormatTime(due)
	}
	return err
}

// leastSpans is how many spans are kept before it is asked which are needed.
const leastSpans = 1000

// keep keeps a span that may be asked for again, and forgets those that will not
// be once they may be half of all.
func (b *Backtest) keep(ctx context.Context, sp *span.Span) error {
	if sp.ID == "" {
		return nil
	}
	kept := *sp // its room is used again
	b.spans[sp.ID] = &kept
	if len(b.spans) < b.most {
		return nil
	}
	timers, err := rules.Due(ctx, &b.rows, farthest, math.MaxInt)
	if err != nil {
		return err
	}
	needed := make(map[string]*span.Span, len(timers))
	for _, t := range timers {
		if sp := b.spans[t.Span]; sp != nil {
			needed[t.Span] = sp
		}
	}
	for id := range b.waiting {
		needed[id] = b.spans[id]
	}
	b.spans, b.most = needed, max(leastSpans, 2*len(needed))
	return nil
}

// farthest is after every timer.
var farthest = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)

// time does what is due by now: timeouts of states and of votes, tasks and the
// ends of retention.
func (b *Backtest) time(ctx context.Context) error {
	for b.due != "" && b.due <= b.now {
		until, err := span.ParseTime(b.now)
		if err != nil {
			return err
		}
		due, err := rules.Due(ctx, &b.rows, until, 1)
		if err != nil {
			return err
		}
		if len(due) == 0 {
			return fault.New(fault.Internal, "timer_lost", "a timer that was set is not in the state")
		}
		if err := b.fire(ctx, due[0]); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backtest) fire(ctx context.Context, t rules.Timer) error {
	at := span.FormatTime(t.Due)
	if t.Kind == rules.TimerApproval {
		return b.resolve(ctx, t.Span, at)
	}
	o, err := rules.Fire(ctx, &b.world, t, b.spans[t.Span], standing.Position{Seq: b.seq, RecordedAt: at})
	if err != nil {
		return err
	}
	b.report.Fired++
	b.seen.actions(o)
	return b.fold(ctx, b.ofNode("logline.backtest"), o, at)
}

// resolve settles a span that waits no longer.
func (b *Backtest) resolve(ctx context.Context, spanID, at string) error {
	r, err := rules.Resolve(ctx, &b.world, b.spans[spanID], standing.Position{Seq: b.seq, RecordedAt: at})
	if err != nil {
		return err
	}
	payload, err := span.Canonical(r.Payload)
	if err != nil {
		return err
	}
	sp := b.ofNode(span.TypeResolution)
	sp.Payload = payload
	b.settled(spanID, r.Payload.Outcome)
	b.seen.actions(r.Outcome)
	return b.fold(ctx, sp, r.Outcome, at)
}

// ofNode is a span as the node would make it, so far as folding looks at it.
func (b *Backtest) ofNode(typ string) *span.Span {
	return &span.Span{Header: span.Header{Type: typ, Author: b.tx.Node(), Tenant: b.tx.Tenant(), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization}}
}

func (b *Backtest) wait(spanID string) { b.waiting[spanID] = true }

func (b *Backtest) settled(spanID, outcome string) {
	delete(b.waiting, spanID)
	if b.report.Settled == nil {
		b.report.Settled = map[string]int{}
	}
	b.report.Settled[outcome]++
}

// undecided notes an entry whose content is gone or withheld.
func (b *Backtest) undecided(e *span.Opened) {
	b.report.UndecidedCount++
	if len(b.report.Undecided) < b.opt.Keep {
		b.report.Undecided = append(b.report.Undecided, Undecided{Seq: e.Seq, Span: e.Span.ID, Type: e.Span.Type, Why: e.Withheld})
	}
}

// compare notes what the contracts decide, and whether it is what was decided.
func (b *Backtest) compare(e *span.Opened, o *rules.Outcome, at string) {
	now := o.Verdict.String()
	b.report.Decided++
	b.seen.outcome(o)
	if e.Decision.Outcome == now {
		return
	}
	b.report.DifferenceCount++
	b.seen.change(e.Decision.Outcome, now)
	if len(b.report.Differences) == b.opt.Keep {
		return
	}
	d := Difference{Seq: e.Seq, Span: e.Span.ID, Type: e.Span.Type, Subject: e.Span.Subject, At: at, Was: e.Decision.Outcome, Now: now}
	if o.Refusal != nil {
		d.Rule, d.Reason = o.Refusal.Rule, o.Refusal.Reason
	} else {
		d.Rule = strings.Join(o.Decision.Rules, ", ")
		if o.Detail != nil {
			d.Reason = strings.Join(slices.Compact(slices.Clone(o.Detail.Reasons)), "; ")
		}
	}
	b.report.Differences = append(b.report.Differences, d)
}
