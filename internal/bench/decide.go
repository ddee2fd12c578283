package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/bench/decide"
	"github.com/danvoulez/logline/internal/bench/fill"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/span"
)

// How many rules the contracts have.
const (
	smallContract = 10
	largeContract = 100
)

// measureDecide times a decision beside bare cel-go, by contracts of few rules
// and of many, a timeline decided again beside deciding alone, and what contracts
// cost an append.
func measureDecide(ctx context.Context, b *bench) ([]figure, error) {
	figures, err := b.decisions()
	if err != nil {
		return nil, err
	}
	f, err := b.backtests(ctx)
	if err != nil {
		return figures, err
	}
	figures = append(figures, f)
	for _, store := range b.stores {
		f, err := b.decidedAppends(ctx, store)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", store, err)
		}
		figures = append(figures, f)
		if store != sqlite && store != postgres {
			continue // all is in this process's memory
		}
		if f, err = b.newSubjects(ctx, store); err != nil {
			return figures, fmt.Errorf("%s: %w", store, err)
		}
		figures = append(figures, f)
	}
	return figures, nil
}

// decision is a way of deciding and what it costs.
type decision struct {
	once   func() error
	times  []float64 // processor time of each round's, in seconds
	allocs float64   // of one
	bytes  float64
}

func (d *decision) time() float64 {
	slices.Sort(d.times)
	return d.times[len(d.times)/2]
}

func (d *decision) memory() string {
	return fmt.Sprintf("%.0f allocations of %.0f bytes", d.allocs, d.bytes)
}

func (b *bench) decisions() ([]figure, error) {
	b.say("decide: one span by cel-go alone, by %d rules, by %d", smallContract, largeContract)
	bare, err := newDecision(decide.Bare())
	if err != nil {
		return nil, err
	}
	small, err := newDecision(decide.Rules(smallContract))
	if err != nil {
		return nil, err
	}
	large, err := newDecision(decide.Rules(largeContract))
	if err != nil {
		return nil, err
	}
	least := time.Duration(b.pick(300, 30)) * time.Millisecond
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a node, too, gives its heap room
	for range 7 {                                     // by turns, so that what disturbs one disturbs all
		for _, d := range []*decision{bare, small, large} {
			t, err := everyCore(least, func(int) error { return d.once() })
			if err != nil {
				return nil, err
			}
			d.times = append(d.times, t)
		}
	}
	return []figure{
		{Group: "decide", Name: fmt.Sprintf("t_decide_bare: %d expressions", decide.Matching), Measured: bare.time(), Unit: inSeconds,
			Note: "cel-go alone, compiled once, its variables a map made once; " + bare.memory()},
		{Group: "decide", Name: fmt.Sprintf("a span by %d rules, %d match", smallContract, decide.Matching), Measured: small.time(), Unit: inSeconds,
			Target: &target{Text: "1.5 t_decide_bare + 5 µs", Bound: 1.5*bare.time() + 5e-6, Sense: atMost},
			Note:   "its payload read and its decision made included; " + small.memory()},
		{Group: "decide", Name: fmt.Sprintf("by %d rules, %d match, of that", largeContract, decide.Matching), Measured: large.time() / small.time(), Unit: ratio,
			Target: &target{Text: "twice", Bound: 2, Sense: atMost},
			Note:   inSeconds.show(large.time()) + "; " + large.memory()},
	}, nil
}

// newDecision tries a way and counts what one call allocates.
func newDecision(once func() error, err error) (*decision, error) {
	if err != nil {
		return nil, err
	}
	const calls = 1000
	var before, after runtime.MemStats
	for i := range 2 { // at first what is made once, too
		runtime.ReadMemStats(&before)
		for range calls {
			if err := once(); err != nil {
				return nil, err
			}
		}
		if runtime.ReadMemStats(&after); i == 0 {
			runtime.GC()
		}
	}
	return &decision{once: once, allocs: float64(after.Mallocs-before.Mallocs) / calls, bytes: float64(after.TotalAlloc-before.TotalAlloc) / calls}, nil
}

// decidedAppends appends by turns to a node where a contract decides and to one
// without.
func (b *bench) decidedAppends(ctx context.Context, store string) (f figure, err error) {
	c := loadgen.Case{Callers: 4, Lines: 500, Spans: b.pick(40_000, 4_000)}
	b.say("decide: appends with and without contracts, %s, %s", store, c.Name())
	free, bound := &ruled{sends: c}, &ruled{sends: c, contract: decide.Contract(smallContract), rules: decide.Matching}
	if err := b.byTurns(ctx, store, free, bound); err != nil {
		return f, err
	}
	return figure{Group: "decide", Name: fmt.Sprintf("%s by %d rules, of those without", c.Name(), smallContract), Store: store, Measured: bound.rate() / free.rate(), Unit: ratio,
		Target: &target{Text: "0.7 of the rate without contracts", Bound: 0.7, Sense: atLeast},
		Note:   fmt.Sprintf("%s and %s; a span costs the server %s and %s", perSecond.show(bound.rate()), perSecond.show(free.rate()), bound.cost(), free.cost())}, nil
}

// newSubjects appends by turns spans of subjects that the node has met, and of
// ones that it has not, of which it has to ask its store.
func (b *bench) newSubjects(ctx context.Context, store string) (f figure, err error) {
	c := loadgen.Case{Callers: 4, Lines: 500, Spans: b.pick(20_000, 4_000)}
	b.say("decide: appends about subjects met before and new, %s, %s", store, c.Name())
	met, fresh := &ruled{sends: c, contract: decide.PerSubject, rules: 2}, &ruled{sends: c, contract: decide.PerSubject, rules: 2}
	met.sends.Subjects, fresh.sends.First = 1000, 1000
	if err := b.byTurns(ctx, store, met, fresh); err != nil {
		return f, err
	}
	return figure{Group: "decide", Name: c.Name() + " of new subjects, of 1,000 met before", Store: store, Measured: fresh.rate() / met.rate(), Unit: ratio,
		Target: &target{Text: "half the rate of subjects met before", Bound: 0.5, Sense: atLeast},
		Note:   fmt.Sprintf("%s and %s; a span costs the server %s and %s", perSecond.show(fresh.rate()), perSecond.show(met.rate()), fresh.cost(), met.cost())}, nil
}

// ruled is a node with or without contracts, what it is loaded with and how that
// went.
type ruled struct {
	*node
	sends    loadgen.Case
	contract string // "": none
	rules    int    // that decide each span

	elapsed, server time.Duration
	spans           int
}

func (r *ruled) rate() float64 { return float64(r.spans) / r.elapsed.Seconds() }
func (r *ruled) cost() string  { return inSeconds.show(r.server.Seconds() / float64(r.spans)) }

// byTurns starts two nodes and loads them one after the other, several times; the
// first time does not count.
func (b *bench) byTurns(ctx context.Context, store string, nodes ...*ruled) (err error) {
	for _, r := range nodes {
		if r.node, err = b.start(ctx, store); err != nil {
			return err
		}
		defer r.remove()
		if err := r.rule(ctx); err != nil {
			return err
		}
	}
	for round := range b.pick(5, 3) {
		for _, r := range nodes {
			if err := r.append(ctx, round > 0); err != nil {
				return err
			}
		}
		slices.Reverse(nodes)
	}
	return nil
}

// append loads a node once.
func (r *ruled) append(ctx context.Context, counts bool) error {
	bodies, err := loadgen.Seal(r.owner, r.tenant.Id, r.sends)
	if err != nil {
		return err
	}
	r.sends.First += r.sends.Spans
	l, err := r.node.load(ctx, bodies, r.sends)
	if err == nil && counts {
		r.elapsed, r.server, r.spans = r.elapsed+l.Elapsed, r.server+l.server, r.spans+r.sends.Spans
	}
	return err
}

// rule puts the contract into force, if there is one, and sees that it decides.
func (r *ruled) rule(ctx context.Context) error {
	if r.contract == "" {
		return nil
	}
	payload, err := decide.Activation(r.contract)
	if err != nil {
		return err
	}
	sealed, err := fill.Seal(r.owner, r.tenant.Id, span.TypeContract, payload, nil)
	if err != nil {
		return err
	}
	if _, err := r.api.Append(ctx, r.tenant.Id, sealed); err != nil {
		return err
	}
	one, err := loadgen.Seal(r.owner, r.tenant.Id, loadgen.Case{Callers: 1, Lines: 1, Spans: 1})
	if err != nil {
		return err
	}
	answer, err := r.api.Append(ctx, r.tenant.Id, one[0])
	if err != nil {
		return err
	}
	var entry struct{ Decision span.Decision }
	if err := json.Unmarshal(answer.Receipt.Entry, &entry); err != nil {
		return err
	}
	if len(entry.Decision.Rules) != r.rules {
		return fmt.Errorf("the contract is not in force: %.500s", bytes.TrimSpace(answer.Receipt.Entry))
	}
	return nil
}
