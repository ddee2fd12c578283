package engine

import (
	"container/heap"
	"context"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

const (
	// MaxRehearsed bounds the spans of one simulation.
	MaxRehearsed = 100
	// maxLater bounds what a simulation says that time brings.
	maxLater = 64
	// rehearsalTimeout bounds how long a simulation keeps others from appending.
	rehearsalTimeout = 2 * time.Second
)

// Simulation is what would become of spans that nobody records.
type Simulation struct {
	Size  uint64 // of the timeline on which they were tried
	At    string // the time
	Spans []Result
	// Follows are the node's own entries that would follow at once, such as what
	// settles a span that has its votes, by the index of what they follow from.
	Follows map[int][]Follower
	// Later is what time would bring because of these spans, if nothing else
	// happened, in its order; More says that there is more.
	Later []Follower
	More  bool
}

// Follower is an entry of the node's own that would be.
type Follower struct {
	At      string
	Type    string
	Causes  []string
	Payload []byte
	Outcome *rules.Outcome
}

// rehearsal collects what the node would record.
type rehearsal struct {
	follows []Follower
	due     times           // of timers that were set
	known   map[string]bool // those times
}

// note is called for every entry of the node's own; it works on nil.
func (h *rehearsal) note(r *round, typ string, payload []byte, o *rules.Outcome, causes []string) {
	if h != nil {
		h.follows = append(h.follows, Follower{r.recordedAt, typ, causes, payload, o})
		h.expect(o)
	}
}

// expect notes when the clock brings what an outcome asks for.
func (h *rehearsal) expect(o *rules.Outcome) {
	effects, err := o.Effects()
	if err != nil {
		return // it was made here
	}
	for _, e := range effects {
		if e.Due != "" && !e.Waits && !h.known[e.Due] && e.Kind != rules.EffectRun {
			h.known[e.Due] = true
			heap.Push(&h.due, e.Due)
		}
	}
}

// taken are the entries since it was asked last.
func (h *rehearsal) taken() []Follower {
	out := h.follows
	h.follows = nil
	return out
}

// Simulate tries spans in order on the timeline as it is, each seeing those before
// it, and says all that would happen: decisions, effects, what the node would record
// at once and what time would bring. They may be signed as simulated or as executed;
// they are judged alike, and nothing is recorded or done; to a guest they count like
// spans appended. One simulation at a time is tried on a timeline, which has rest in
// between. tenant is an id or a slug. An error is about the simulation, not about one of its spans.
func (e *Engine) Simulate(ctx context.Context, tenant string, lines [][]byte) (*Simulation, error) {
	if len(lines) == 0 || len(lines) > MaxRehearsed {
		return nil, fault.Newf(fault.Invalid, "simulation_size", "a simulation has 1 to %d spans, and this has %d", MaxRehearsed, len(lines))
	}
	named := tenant
	tenant, err := e.resolve(ctx, named)
	if err != nil {
		return nil, fault.From(err)
	}
	results := make([]Result, len(lines))
	p := e.checkPart(ctx, tenant, lines, results)
	if named != tenant && e.strangers(ctx, tenant, p.items) { // who may not know whose name it is
		p.refuse(standing.ErrAuthorUnknown)
		p.items = nil
	}
	if len(p.items) == 0 {
		return nil, results[0].Err // nobody here has signed any of it
	}
	leave, err := e.stages.enter(ctx, e.stageOf(ctx, tenant, p.items))
	if err != nil {
		return nil, fault.From(err)
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, rehearsalTimeout)
	defer cancel()
	s, err := e.log.Begin(ctx, tenant)
	if err != nil {
		return nil, fault.From(err)
	}
	defer s.Close()
	s.Rehearse()
	h := &rehearsal{known: map[string]bool{}}
	r := &round{engine: e, tenant: tenant, session: s, rehearsal: h, byID: map[string]placed{}, draftOf: make([]int, len(p.items))}
	if r.found, err = s.Find(ctx, spanIDs(p.items)); err == nil {
		err = r.stampTime()
	}
	if err != nil {
		return nil, fault.From(err)
	}
	out := &Simulation{Size: s.Head().Size, At: r.recordedAt, Spans: results, Follows: map[int][]Follower{}}
	for i, it := range p.items {
		line := p.lineOf[i]
		if results[line], err = r.rehearse(ctx, i, it); err != nil {
			return nil, err
		}
		if follows := h.taken(); len(follows) > 0 {
			out.Follows[line] = follows
		}
	}
	out.More, err = r.later(ctx)
	out.Later = h.taken()
	return out, err
}

// stageOf names the stage of spans: those whose authors may append nothing here
// are refused, and keep waiting nobody but each other.
func (e *Engine) stageOf(ctx context.Context, tenant string, items []*item) string {
	view, err := e.log.Standing(ctx, tenant)
	if err == nil && !slices.ContainsFunc(items, func(it *item) bool { return view.Can(it.span.Author, standing.RightAppend) }) {
		return tenant + " strangers"
	}
	return tenant
}

// rehearse tries one span. A panic is its own.
func (r *round) rehearse(ctx context.Context, i int, it *item) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.engine.logPanic(ctx, r.tenant, p)
			res = Result{Err: errPanicked}
		}
	}()
	a := r.decideSpan(ctx, i, it)
	if a.repeats != nil || a.Outcome == Repeat {
		return Result{Err: fault.New(fault.Conflict, "id_conflict", "the span is recorded already; give it a new id to try it again").At("/id", "spent")}, nil
	}
	if r.session.Err() != nil || fault.KindOf(a.Err) == fault.Unavailable {
		return Result{}, fault.From(a.Err)
	}
	if a.Err == nil && a.Foresight != nil && a.Outcome != Simulated {
		r.rehearsal.expect(a.Foresight)
	}
	if a.Err != nil {
		a.Err = fault.From(a.Err)
	}
	return a.Result, nil
}

// later answers the timers that were set in the rehearsal, at their times.
func (r *round) later(ctx context.Context) (more bool, err error) {
	committed := r.engine.log.Committed(r.tenant)
	for n := 0; len(r.rehearsal.due) > 0; {
		due := heap.Pop(&r.rehearsal.due).(string)
		delete(r.rehearsal.known, due)
		if r.now, err = span.ParseTime(due); err != nil {
			return false, err
		}
		r.recordedAt = max(due, r.recordedAt)
		timers, err := rules.DueAt(ctx, r.session.Decisions(), due, maxLater)
		if err != nil {
			return false, fault.From(err)
		}
		for _, t := range timers {
			_, old, err := committed.Get(ctx, t.Key)
			if err != nil {
				return false, fault.From(err)
			}
			if old {
				continue
			}
			if n++; n > maxLater {
				return true, nil
			}
			if _, err := r.answer(ctx, t); err != nil {
				if r.session.Err() != nil || fault.KindOf(err) == fault.Unavailable {
					return false, fault.From(err)
				}
				continue // what cannot be done then is not done
			}
		}
	}
	return false, nil
}

// times is a heap of times as the protocol writes them.
type times []string

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(string)) }
func (t *times) Pop() any {
	old := *t
	x := old[len(old)-1]
	*t = old[:len(old)-1]
	return x
}
