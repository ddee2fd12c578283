package engine

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// wideAge is how long what another process did to the contracts for every tenant
// may go unnoticed where that process has not reached a timeline.
const wideAge = time.Second

// nodeWide is the contracts for every tenant (tenant: "*"). The timeline of the
// node's own tenant says which they are; from there the node puts each change
// into every other timeline by a span of its own, so that each timeline alone
// says what decided in it. Timelines that were out of reach get it before the
// next span that is decided there, as they get key events.
type nodeWide struct {
	home    atomic.Pointer[string] // the node's own tenant, once it is known: it never changes
	changed atomic.Uint64          // how often this process saw the home's contracts change
	done    atomic.Uint64          // what changed was as all timelines were up to date

	mu   sync.Mutex // guards what follows
	want []contract.InForce
	of   uint64    // what changed was as want was read
	at   time.Time // when that was; zero for never

	spreading sync.Mutex // held by the one who brings all timelines up to date; guards spread
	spread    *string    // what all of them were brought to last
}

// homeOf is the node's own tenant, "" where there is none.
func (e *Engine) homeOf(ctx context.Context) (string, error) {
	if home := e.wide.home.Load(); home != nil {
		return *home, nil
	}
	if e.cfg.Home == nil {
		return "", nil
	}
	home, err := e.cfg.Home(ctx)
	if err == nil && home != "" {
		e.wide.home.Store(&home)
	}
	return home, err
}

// wanted is what the home has now, or had at most wideAge ago where fresh is not
// asked for.
func (e *Engine) wanted(ctx context.Context, home string, fresh bool) ([]contract.InForce, error) {
	n, now, changed := &e.wide, e.cfg.Now(), e.wide.changed.Load()
	n.mu.Lock()
	want, known := n.want, !n.at.IsZero() && n.of == changed && now.Sub(n.at).Abs() < wideAge
	n.mu.Unlock()
	if known && !fresh {
		return want, nil
	}
	set, err := e.committed(ctx, home)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.want, n.of, n.at = set.NodeWide(), changed, now
	return n.want, nil
}

// committed is the contracts of a tenant at its head.
func (e *Engine) committed(ctx context.Context, tenant string) (*contract.Set, error) {
	sources, err := e.library.book.Sources(ctx, tenant)
	if err != nil {
		return nil, err
	}
	return e.library.set(ctx, tenant, sources)
}

func sameContracts(a, b []contract.InForce) bool {
	return slices.EqualFunc(a, b, func(x, y contract.InForce) bool { return x.Mode == y.Mode && x.Ref() == y.Ref() })
}

// catchUpContracts puts what the home has and this timeline has not before what
// is decided next.
func (r *round) catchUpContracts(ctx context.Context) error {
	e := r.engine
	home, err := e.homeOf(ctx)
	if err != nil || home == "" || home == r.tenant || r.session.Tx().Owner() == e.node.ID() {
		return err
	}
	want, err := e.wanted(ctx, home, false)
	if err != nil {
		return err
	}
	w, err := r.world(ctx)
	if err != nil {
		return err
	}
	have := w.Contracts.NodeWide()
	if sameContracts(have, want) {
		return nil
	}
	// Another process may have been here since want was read: what it brought is
	// not taken back.
	if want, err = e.wanted(ctx, home, true); err != nil {
		return err
	}
	for _, ch := range wideChanges(have, want) {
		payload, err := span.Canonical(ch.payload)
		if err != nil {
			return err
		}
		o, err := rules.Activation(ctx, w, ch.contract, ch.payload.Action, r.position())
		if err != nil {
			return err
		}
		if _, err := r.writeOwn(ctx, span.TypeContract, payload, o); err != nil {
			return err
		}
	}
	return nil
}

// wideChange is one span that changes the contracts for every tenant.
type wideChange struct {
	payload  span.Contract
	contract *contract.Contract // nil where it retires one
}

// wideChanges are the spans that lead from one state to another: what goes
// without another in its place, then what comes. They are not judged again: the
// home has judged them, and nothing is decided between them.
func wideChanges(have, want []contract.InForce) (out []wideChange) {
	add := func(c *contract.Contract, action string) {
		ch := wideChange{payload: span.Contract{Name: c.Name, Version: c.Version, Hash: c.Hash.String(), Action: action}}
		if action != span.ActionRetire {
			ch.payload.Source, ch.contract = c.Source.Text, c
		}
		out = append(out, ch)
	}
	for _, c := range have {
		if !slices.ContainsFunc(want, func(o contract.InForce) bool { return o.Name == c.Name && o.Mode == c.Mode }) {
			add(c.Contract, span.ActionRetire)
		}
	}
	for _, c := range want {
		switch {
		case slices.ContainsFunc(have, func(o contract.InForce) bool { return o.Ref() == c.Ref() && o.Mode == c.Mode }):
		case c.Mode == contract.Shadowed:
			add(c.Contract, span.ActionShadow)
		default:
			add(c.Contract, span.ActionActivate)
		}
	}
	return out
}

// mayChangeWide asks the tenants before an owner of the home changes a contract
// for every tenant: what one of them requires stays, and names that they use are
// theirs. Of whoever has not the right it asks nobody; the sequencer refuses.
func (e *Engine) mayChangeWide(ctx context.Context, tenant string, sp *span.Span) error {
	home, err := e.homeOf(ctx)
	if err != nil || home != tenant {
		return err
	}
	p, c, wide := e.askedOfAll(ctx, home, sp)
	if !wide {
		return nil
	}
	var first error
	objections := 0
	err = e.eachOther(ctx, home, func(t timeline.Tenant) error {
		set, err := e.committed(ctx, t.ID)
		if err != nil {
			return err
		}
		if err := rules.Objection(set, p, c); err != nil {
			if objections++; first == nil {
				first = err
			}
			e.cfg.Logger.WarnContext(ctx, "a tenant's contracts are against a change of one for every tenant",
				slog.String("tenant", t.ID), slog.String("slug", t.Slug), slog.String("contract", p.Name), slog.Any("error", err))
		}
		return nil
	})
	if err != nil || first == nil {
		return err
	}
	f := fault.From(first)
	return fault.Newf(fault.Conflict, f.Code, "contracts of %d other tenants of this node, which its log names, are against it: %s", objections, f.Detail)
}

// askedOfAll is what a span asks for where it changes a contract for every
// tenant and its author may: c is nil where it retires.
func (e *Engine) askedOfAll(ctx context.Context, home string, sp *span.Span) (p *span.Contract, c *contract.Contract, wide bool) {
	p, err := span.ParseContract(sp.Payload)
	if err != nil {
		return nil, nil, false
	}
	view, err := e.log.Standing(ctx, home)
	if err != nil || !view.Can(sp.Author, standing.RightOwn) {
		return nil, nil, false
	}
	// The signature holds for the key that the span names; whose that is comes before
	// anything that costs something.
	if chain, err := e.dir.Chain(ctx, sp.Author); err != nil || chain.MaySign(sp.Signature.Key, sp.Type, span.FormatTime(e.cfg.Now())) != nil {
		return nil, nil, false
	}
	if p.Action != span.ActionRetire {
		c, err = e.library.book.Compile(p.Source)
		return p, c, err == nil && c.Tenant == contract.NodeWide
	}
	set, err := e.committed(ctx, home)
	if err != nil {
		return nil, nil, false
	}
	now, ok := set.ByName(p.Name)
	return p, nil, ok && now.Tenant == contract.NodeWide && now.Mode == contract.Enforced && now.Version == p.Version && now.Hash.String() == p.Hash
}

// eachOther visits the tenants that this node writes, but for its own: the home,
// and the timeline of its operators' acts, where nothing is for contracts to decide.
func (e *Engine) eachOther(ctx context.Context, home string, visit func(timeline.Tenant) error) error {
	after := ""
	for {
		tenants, err := e.log.Tenants(ctx, after, tenantsAtOnce)
		if err != nil || len(tenants) == 0 {
			return err
		}
		for _, t := range tenants {
			if after = t.ID; t.ReadOnly || t.ID == home || t.OfNode() {
				continue
			}
			if err := visit(t); err != nil {
				return err
			}
		}
	}
}

// keepContracts brings on, until ctx ends, what a process has left half done that
// ended or could not reach a timeline.
func (e *Engine) keepContracts(ctx context.Context) {
	if e.cfg.Home == nil {
		return
	}
	again := time.NewTicker(clockAge)
	defer again.Stop()
	for {
		e.spreadContracts(ctx)
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// contractsChanged notes that the contracts of a timeline are others.
func (e *Engine) contractsChanged(ctx context.Context, tenant string) {
	if home, err := e.homeOf(ctx); err == nil && home == tenant {
		e.wide.changed.Add(1)
	}
}

// carryOn brings all timelines up to date where what was answered changed the
// home's contracts, so that its caller may be told.
func (e *Engine) carryOn(ctx context.Context, tenant string, items []*item) {
	home := e.wide.home.Load()
	if home == nil || *home != tenant || !slices.ContainsFunc(items, mayChangeContracts) || e.wide.changed.Load() == e.wide.done.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.CommitTimeout)
	defer cancel()
	e.spreadContracts(ctx)
}

// mayChangeContracts says of an item that contracts may be others after it: it
// activates one, is a vote on that, or is what time brings.
func mayChangeContracts(it *item) bool {
	return it.fire || it.span != nil && (it.span.Type == span.TypeContract || it.span.Type == span.TypeApproval)
}

// spreadContracts brings all timelines to what the home has, unless it has brought
// them there before. What cannot be reached is told to the log and gets it before
// its next span.
func (e *Engine) spreadContracts(ctx context.Context) {
	n := &e.wide
	n.spreading.Lock()
	defer n.spreading.Unlock()
	changed := n.changed.Load()
	home, err := e.homeOf(ctx)
	if err != nil || home == "" {
		return
	}
	want, err := e.wanted(ctx, home, true)
	if err != nil {
		e.cfg.Logger.WarnContext(ctx, "contracts for every tenant could not be read", slog.Any("error", err))
		return
	}
	to, whole := wideFingerprint(want), true
	if n.spread == nil || *n.spread != to {
		var behind []string
		err = e.eachOther(ctx, home, func(t timeline.Tenant) error {
			set, err := e.committed(ctx, t.ID)
			if err != nil || !sameContracts(set.NodeWide(), want) {
				behind = append(behind, t.ID)
			}
			if len(behind) == broughtAtOnce {
				whole = e.bringContracts(ctx, behind...) && whole
				behind = behind[:0]
			}
			return ctx.Err()
		})
		whole = e.bringContracts(ctx, behind...) && whole
	}
	if err == nil && whole {
		n.spread = &to
		n.done.Store(changed)
	}
}

// greet brings a timeline that was just made to what the home has: whoever changed
// that meanwhile may not have seen the timeline.
func (e *Engine) greet(ctx context.Context, tenant string) {
	home, err := e.homeOf(ctx)
	if err != nil || home == "" || home == tenant {
		return
	}
	if want, err := e.wanted(ctx, home, true); err == nil && len(want) > 0 {
		e.bringContracts(ctx, tenant)
	}
}

func wideFingerprint(list []contract.InForce) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Ref())
		b.WriteByte('0' + byte(c.Mode))
		b.WriteByte('\n')
	}
	return b.String()
}

// broughtAtOnce is how many timelines are brought up to date at the same time.
const broughtAtOnce = 16

// bringContracts brings timelines up to date, and says whether all of them are.
func (e *Engine) bringContracts(ctx context.Context, tenants ...string) (all bool) {
	all = true
	for i, err := range e.inEach(ctx, tenants, func() *item { return &item{wide: true} }) {
		if err == nil || closed(err) {
			continue
		}
		all = false
		e.cfg.Logger.WarnContext(ctx, "contracts for every tenant have not reached a timeline yet", slog.String("tenant", tenants[i]), slog.Any("error", err))
	}
	return all
}
