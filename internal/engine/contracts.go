package engine

import (
	"context"
	"io"
	"strings"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rulebook"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

const maxSets = 4096 // tenants

// library keeps, for each tenant, the set of contracts that was in force last.
// It only saves work: what it has forgotten is made again.
type library struct {
	book *rulebook.Book
	mu   sync.Mutex          // guards sets
	sets map[string]knownSet // by tenant id
}

type knownSet struct {
	of  string // the sources it is made of
	set *contract.Set
}

// set is the contracts of these sources.
func (l *library) set(ctx context.Context, tenant string, sources []rules.Source) (*contract.Set, error) {
	if len(sources) == 0 {
		return noContracts, nil
	}
	of := fingerprint(sources)
	l.mu.Lock()
	last := l.sets[tenant]
	l.mu.Unlock()
	if last.of == of {
		return last.set, nil
	}
	set, err := l.book.Set(ctx, tenant, sources)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sets == nil || len(l.sets) >= maxSets {
		l.sets = make(map[string]knownSet)
	}
	l.sets[tenant] = knownSet{of, set}
	return set, nil
}

var noContracts = contract.NewSet(nil)

func fingerprint(sources []rules.Source) string {
	var b strings.Builder
	for _, s := range sources {
		b.WriteString(s.Ref)
		b.WriteByte('0' + byte(s.Mode))
		b.WriteByte('\n')
	}
	return b.String()
}

// world is what a decision at this point of the round may ask.
func (r *round) world(ctx context.Context) (*rules.World, error) {
	if r.asked != nil {
		return r.asked, nil
	}
	home, err := r.engine.homeOf(ctx)
	if err != nil {
		return nil, err
	}
	w := &rules.World{
		Home:     home == r.tenant,
		Standing: r.session.Tx(), State: r.session.Decisions(), Compile: r.engine.library.book.Compile,
		Version: func(ctx context.Context, state rules.State, ref string) (*contract.Contract, error) {
			return r.engine.library.book.Contract(ctx, r.tenant, state, ref)
		},
		Directory: r.nameOf(ctx), NextCron: cron.NextIn, CronBetween: cron.BetweenIn,
		Past: r.past,
	}
	sources, err := rules.Sources(ctx, w.State)
	if err != nil {
		return nil, err
	}
	w.Contracts, err = r.engine.library.set(ctx, r.tenant, sources)
	if err != nil {
		return nil, err
	}
	if genesis := r.session.Tx().Genesis(); genesis != nil {
		w.Tenant = expr.Tenant{ID: genesis.Tenant, Slug: genesis.Slug, Name: genesis.Name}
	}
	r.asked = w
	return w, nil
}

// contractsMayChange says that an entry of this type stands: other contracts may
// be in force now.
func (r *round) contractsMayChange(typ string) {
	if typ == span.TypeContract || typ == span.TypeResolution {
		r.asked, r.changed = nil, true
	}
}

// nameOf looks handles and names up, once a round each. They are shown in texts
// and decide nothing, so one that cannot be read is left out.
func (r *round) nameOf(ctx context.Context) func(identity string) (handle, name string) {
	known := map[string][2]string{}
	return func(identity string) (string, string) {
		n, ok := known[identity]
		if !ok {
			if info, err := r.engine.dir.Get(ctx, identity); err == nil {
				n = [2]string{info.Handle, info.Name}
			}
			known[identity] = n
		}
		return n[0], n[1]
	}
}

// seal closes an outcome: the decision for the line, and the detail for beside
// it.
func (e *Engine) seal(o *rules.Outcome) (d span.Decision, detail []byte, err error) {
	var salt [16]byte
	if o.Detail != nil {
		if _, err := io.ReadFull(e.random, salt[:]); err != nil {
			return d, nil, noRandom(err)
		}
	}
	d, detail = o.Seal(salt)
	return d, detail, nil
}

// writeOwn admits an entry of the node's own, as part of what is being decided,
// and gives its span id.
func (r *round) writeOwn(ctx context.Context, typ string, payload []byte, o *rules.Outcome, causes ...string) (spanID string, err error) {
	sp, err := r.engine.sealOwn(r.engine.ownSigner(ctx, r.session.Tx()), r.tenant, typ, payload, OwnOptions{Causes: causes}, r.now)
	if err != nil {
		return "", err
	}
	d := timeline.Draft{Span: sp}
	if d.Decision, d.Detail, err = r.engine.seal(o); err != nil {
		return "", err
	}
	if _, err = r.admit(&d); err != nil {
		return "", err
	}
	r.rehearsal.note(r, typ, payload, o, causes)
	r.contractsMayChange(typ)
	return sp.ID, nil
}

// reject answers a span that a contract refuses, and keeps the attempt as
// evidence where its author has a role (PROTOCOL §4).
func (r *round) reject(ctx context.Context, it *item, o *rules.Outcome) answer {
	refusal, author := o.Refusal, it.span.Author
	if r.rehearsal != nil {
		return answer{Result: Result{Err: refusal.Fault(), Foresight: o}}
	}
	if len(r.session.Tx().Roles(author)) == 0 || refusal.Contract == "" {
		return refuse(refusal.Fault())
	}
	q := r.engine.refusals
	if wait := q.wait(r.tenant, author, r.now); wait > 0 && !it.evidence {
		return refuse(fault.Newf(fault.Limited, "refusal_quota",
			"contracts refused %d spans of this author within a minute; look at why, and wait before the next", q.perMinute).After(wait))
	}
	payload, err := span.Canonical(span.Refusal{
		Span: it.span.ID, HeaderHash: it.hash.String(), Type: it.span.Type, Author: author, Contract: refusal.Contract, Rule: refusal.Rule,
	})
	if err != nil {
		return refuse(err)
	}
	evidence, err := r.writeOwn(ctx, span.TypeDecision, payload, o.Evidence())
	if err != nil {
		return refuse(err)
	}
	if !it.evidence {
		it.evidence = true
		q.spend(r.tenant, author, r.now)
	}
	return answer{Result: Result{Err: refusal.Fault().With("decision", evidence)}, kept: true}
}

// settle resolves spans that wait no longer, in the same batch.
func (r *round) settle(ctx context.Context, spans []rules.Settlement) error {
	r.timed = r.timed || len(spans) > 0
	for _, s := range spans {
		sp, err := r.spanOf(ctx, s.Span)
		if err != nil {
			return err
		}
		w, err := r.world(ctx)
		if err != nil {
			return err
		}
		res, err := rules.Resolve(ctx, w, sp, r.position())
		if err != nil {
			return err
		}
		err = r.resolve(ctx, sp, res)
		switch {
		case err == nil:
			continue
		case fault.KindOf(err) == fault.Unavailable || r.session.Err() != nil:
			return err
		}
		// What it asks for cannot be done any more, by keys or roles.
		if res, err = rules.Abandon(ctx, w, sp, r.position(), fault.From(err).Detail); err != nil {
			return err
		}
		if err := r.resolve(ctx, sp, res); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) resolve(ctx context.Context, sp *span.Span, res *rules.Resolution) error {
	payload, err := span.Canonical(res.Payload)
	if err != nil {
		return err
	}
	_, err = r.writeOwn(ctx, span.TypeResolution, payload, res.Outcome, sp.ID)
	return err
}

// past is a span as it was recorded, in this batch too, which a revert may undo.
func (r *round) past(ctx context.Context, spanID string) (*rules.Past, error) {
	if p, ok := r.byID[spanID]; ok {
		return &rules.Past{Span: *p.span, Decision: p.decision}, nil
	}
	found, err := r.session.Find(ctx, []string{spanID})
	if err != nil {
		return nil, err
	}
	f, ok := found[spanID]
	if !ok || f.SpentBy != timeline.SpentByEntry {
		return nil, nil // standing has said so
	}
	sp, err := r.spanOf(ctx, spanID)
	if err != nil {
		return nil, err
	}
	return &rules.Past{Span: *sp, Decision: f.Record.Entry.Decision}, nil
}

// spanOf is a span of this timeline, without its payload where that was erased.
func (r *round) spanOf(ctx context.Context, spanID string) (*span.Span, error) {
	if sp := r.waiting[spanID]; sp != nil {
		return sp, nil
	}
	if p, ok := r.byID[spanID]; ok {
		return p.span, nil
	}
	found, err := r.session.Find(ctx, []string{spanID})
	if err != nil {
		return nil, err
	}
	f, ok := found[spanID]
	if !ok || f.SpentBy != timeline.SpentByEntry {
		return nil, fault.Newf(fault.NotFound, "span_unknown", "there is no entry of the span %s", spanID)
	}
	sp := &span.Span{Header: f.Record.Entry.Span, Payload: f.Record.Payload}
	if sp.Payload == nil && !f.Record.Redacted && !f.Pending {
		rec, err := r.engine.log.Get(ctx, r.tenant, spanID)
		if err != nil {
			return nil, err
		}
		sp.Payload = rec.Payload
	}
	return sp, nil
}
