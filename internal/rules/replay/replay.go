package replay

import (
	"cmp"
	"context"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/rules/people"
	"github.com/danvoulez/logline/internal/span"
)

// Mode says what is decided again, and by which state.
type Mode string

// The modes, see the package's comment.
const (
	Validate  Mode = "validate"
	Selective Mode = "selective"
	Full      Mode = "full"
)

// Options say what is decided again, and how.
type Options struct {
	Mode     Mode   // "": Validate
	From, To uint64 // the range: From and above, below To; 0: to the end
	Select   Selection
	// Contracts decide in the range in the place of those of the same name, whether
	// these were in force or not.
	Contracts []*contract.Contract
	Keep      int // differences, and entries not decided, that the report lists; the first ones
	// Decided is called with each entry of the range that was decided again, and is
	// not the node's own; nil for nobody. Its error ends the replay.
	Decided func(e *span.Opened) error
	// Compile gives the contract of a source on the record; nil: rules.Compile.
	Compile func(source string) (*contract.Contract, error)
	// NextCron and CronBetween are those of rules.World.
	NextCron    func(line, timezone string, after time.Time) (time.Time, error)
	CronBetween func(line, timezone string, after, until time.Time, keep int) ([]time.Time, int, error)
}

// Replay is a timeline that is decided again. It is not safe for concurrent use.
type Replay struct {
	opt      Options
	people   *people.People
	record   *ledger
	would    *ledger // Full, from From on; else nil
	given    *contract.Set
	byName   map[string]*contract.Contract // given
	versions map[string]*regexp.Regexp     // of those, see versionsOf
	sources  map[string]string             // on the record, by name@version#hash
	known    map[string]*contract.Contract // compiled, by the same
	next     uint64                        // seq that is expected of the next entry
	added    uint64                        // Full: entries of the node that the record has not
	made     map[string]*rules.Outcome     // Full: what was settled and the record has not come to
	report   Report
}

// New begins before the first entry of a timeline.
func New(o Options) (*Replay, error) {
	o.Mode = cmp.Or(o.Mode, Validate)
	switch o.Mode {
	case Validate, Full:
		if !o.Select.Empty() {
			return nil, fault.Newf(fault.Invalid, "selection_unused", "entries are chosen in the mode %s alone", Selective)
		}
	case Selective:
		if o.Select.Empty() {
			return nil, fault.Newf(fault.Invalid, "selection_missing", "say which entries: the mode %s decides chosen ones", Selective)
		}
	default:
		return nil, fault.Newf(fault.Invalid, "mode_unknown", "the mode %q is unknown; choose %s, %s or %s", string(o.Mode), Full, Validate, Selective)
	}
	if o.To != 0 && o.To <= o.From {
		return nil, fault.Newf(fault.Invalid, "range_invalid", "the range from %d to %d holds no entry; to is the first that is not decided", o.From, o.To)
	}
	if o.Compile == nil {
		o.Compile = rules.Compile
	}
	r := &Replay{
		opt: o, people: people.New(), record: newLedger(), byName: map[string]*contract.Contract{}, versions: map[string]*regexp.Regexp{},
		sources: map[string]string{}, known: map[string]*contract.Contract{}, made: map[string]*rules.Outcome{},
	}
	inForce := make([]contract.InForce, len(o.Contracts))
	for i, c := range o.Contracts {
		if r.byName[c.Name] != nil {
			return nil, fault.Newf(fault.Invalid, "contract_twice", "two contracts of the name %s are given; one can decide", c.Name)
		}
		inForce[i].Contract, r.byName[c.Name], r.versions[c.Name] = c, c, versionsOf(c.Name)
	}
	r.given = contract.NewSet(inForce)
	for _, c := range r.given.Contracts() {
		r.report.Contracts = append(r.report.Contracts, c.Ref())
	}
	r.report.Mode, r.report.From, r.report.Differing = o.Mode, o.From, map[string]int{}
	r.record.world = rules.World{
		Home:     true, // who may change contracts for every tenant was judged then
		Standing: r.people.View(), State: r.record.rows, Version: r.version, Compile: o.Compile,
		Directory: anybody, NextCron: o.NextCron, CronBetween: o.CronBetween, Tenant: expr.Tenant{}, Past: r.record.undone,
	}
	return r, nil
}

// Run takes pages of entries from the first of the timeline on, until the range or
// they end; of pages it holds one. Now and then it tells progress, where that is not
// nil, how many entries are done. It ends with the pages' error, or soon after ctx.
func (r *Replay) Run(ctx context.Context, pages iter.Seq2[[]*span.Opened, error], progress func(done uint64)) error {
	for page, err := range pages {
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.over() {
				break
			}
			if err := r.Add(ctx, e); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(r.next)
		}
		if r.over() {
			return nil
		}
	}
	return ctx.Err()
}

// over says that all entries of the range have been taken.
func (r *Replay) over() bool { return r.opt.To != 0 && r.next >= r.opt.To }

// Add takes the next entry. Entries come from the first of the timeline on, without
// a gap.
func (r *Replay) Add(ctx context.Context, e *span.Opened) error {
	if e.Seq != r.next {
		return fault.Newf(fault.Invalid, "entries_missing", "entry %d is expected, and %d came: a replay reads from the first entry on and leaves none out", r.next, e.Seq)
	}
	r.next++
	if e.Seq >= r.opt.From {
		r.report.Entries++
		if err := r.again(ctx, e); err != nil {
			return err
		}
	}
	if err := r.remember(e); err != nil {
		return err
	}
	recorded := e.Entry
	if len(r.opt.Contracts) > 0 && e.Span.Author != r.people.View().Node() {
		var known bool
		var err error
		if recorded.Decision, known, err = rules.Recount(r.given, &span.Span{Header: e.Span, Payload: e.Payload}, recorded.Decision); err != nil {
			return err
		}
		if !known {
			r.report.Uncounted++
		}
	}
	if err := r.record.take(ctx, &recorded, e.Payload, e.Withheld); err != nil {
		return err
	}
	if err := r.people.Take(e); err != nil {
		return err
	}
	if e.Seq == 0 {
		r.record.world.Tenant = r.people.Tenant()
		if r.would != nil {
			r.would.world.Tenant = r.people.Tenant()
		}
	}
	return nil
}

// again decides an entry of the range.
func (r *Replay) again(ctx context.Context, e *span.Opened) error {
	switch {
	case r.opt.Mode == Full:
		if r.would == nil {
			r.would = r.record.clone()
			r.would.set = nil
		}
		return r.carry(ctx, e)
	case r.opt.Mode == Selective && !r.opt.Select.Chooses(e):
		r.report.Unselected++
		return nil
	}
	o, err := r.judge(ctx, r.record, e)
	if err != nil || o == nil {
		return err
	}
	return r.compare(e, o)
}

// remember keeps the source of a contract.
func (r *Replay) remember(e *span.Opened) error {
	if e.Span.Type != span.TypeContract {
		return nil
	}
	p, err := span.ParseContract(e.Payload)
	if err != nil {
		return fault.Newf(fault.Forbidden, "entries_withheld", "the contract of entry %d is withheld from its reader", e.Seq).Because(err)
	}
	if p.Action != span.ActionRetire {
		r.sources[p.Name+"@"+p.Version+"#"+p.Hash] = p.Source
	}
	return nil
}

// version is a contract that the record has, or the one given in its place; nil for
// one that it has not.
func (r *Replay) version(_ context.Context, _ rules.State, ref string) (*contract.Contract, error) {
	name, _, _ := strings.Cut(ref, "@")
	if c := r.byName[name]; c != nil {
		return c, nil
	}
	return r.recorded(ref)
}

// recorded is a contract that the record has; nil for one that it has not.
func (r *Replay) recorded(ref string) (*contract.Contract, error) {
	if c := r.known[ref]; c != nil {
		return c, nil
	}
	source, ok := r.sources[ref]
	if !ok {
		return nil, nil
	}
	c, err := r.opt.Compile(source)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "contract_unreadable", "the contract %s is on the record and does not compile here; another version of this program activated it", ref).Because(err)
	}
	r.known[ref] = c
	return c, nil
}

// contracts brings the contracts of a ledger up to date.
func (r *Replay) contracts(ctx context.Context, l *ledger) error {
	if l.set != nil {
		return nil
	}
	sources, err := rules.Sources(ctx, l.rows)
	if err != nil {
		return err
	}
	all := r.given.Contracts()[:len(r.given.Contracts()):len(r.given.Contracts())]
	for _, s := range sources {
		if r.byName[s.Name] != nil {
			continue
		}
		c, err := r.recorded(s.Ref)
		if err != nil {
			return err
		}
		if c == nil {
			return fault.Newf(fault.Invalid, "entries_unsound", "the record says that %s is in force and has not its source", s.Ref)
		}
		all = append(all, contract.InForce{Contract: c, Mode: s.Mode})
	}
	l.set = contract.NewSet(all)
	l.world.Contracts = l.set
	return nil
}

// Report is what was found. Nothing is added afterwards.
func (r *Replay) Report() *Report {
	r.report.To = r.next
	for spanID := range r.made {
		r.extra(Extra{At: r.next, What: "the span " + spanID + " would be settled, and is not"})
	}
	clear(r.made)
	slices.SortStableFunc(r.report.Extra, func(a, b Extra) int { return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.What, b.What)) })
	return &r.report
}
