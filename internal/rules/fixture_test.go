package rules_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

type object = map[string]any

var began = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// rows is a State in memory.
type rows map[string][]byte

func (r rows) keys(prefix string) []string {
	var out []string
	for k := range r {
		if strings.HasPrefix(k, prefix) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func (r rows) Get(_ context.Context, key string) ([]byte, bool, error) {
	v, ok := r[key]
	return v, ok, nil
}

func (r rows) Floor(_ context.Context, prefix, key string) (standing.Row, bool, error) {
	found := ""
	for _, k := range r.keys(prefix) {
		if k <= key {
			found = k
		}
	}
	return standing.Row{Key: found, Value: r[found]}, found != "", nil
}

func (r rows) Range(_ context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	var out []standing.Row
	for _, k := range r.keys(prefix) {
		if k > after && len(out) < limit {
			out = append(out, standing.Row{Key: k, Value: r[k]})
		}
	}
	return out, nil
}

func (r rows) apply(changes []standing.Row) {
	for _, c := range changes {
		if c.Value == nil {
			delete(r, c.Key)
		} else {
			r[c.Key] = c.Value
		}
	}
}

// people is who holds which roles, with real key chains.
type people struct {
	standing.View
	node   *id.Keys
	keys   map[string]*id.Keys
	chains map[string]*id.Chain
	roles  map[string][]string
	tenant string
}

func (p *people) Node() string   { return p.node.ID() }
func (p *people) Tenant() string { return p.tenant }
func (p *people) Identity(identity string) (*id.Chain, bool) {
	c, ok := p.chains[identity]
	return c, ok
}
func (p *people) Roles(identity string) []string { return p.roles[identity] }
func (p *people) Members() []standing.Member {
	var out []standing.Member
	for identity, roles := range p.roles {
		out = append(out, standing.Member{Identity: identity, Roles: roles})
	}
	slices.SortFunc(out, func(a, b standing.Member) int { return strings.Compare(a.Identity, b.Identity) })
	return out
}

// timeline decides, records and folds, as the engine does.
type timeline struct {
	t       testing.TB
	rand    *rand.ChaCha8
	people  *people
	state   rows
	now     time.Time
	entries []recorded
	spans   map[string]*span.Span
	set     *contract.Set
	sources map[string]*contract.Contract // by hash
}

type recorded struct {
	line    []byte
	payload []byte
	outcome *rules.Outcome
}

func newTimeline(t testing.TB) *timeline {
	t.Helper()
	l := &timeline{t: t, rand: rand.NewChaCha8([32]byte{3}), state: rows{}, now: began, spans: map[string]*span.Span{}, sources: map[string]*contract.Contract{}}
	l.people = &people{keys: map[string]*id.Keys{}, chains: map[string]*id.Chain{}, roles: map[string][]string{}, tenant: "ae448ac8-6c4e-88e4-b7b1-915ca5c23bd0"}
	l.people.node = l.keys(id.SubjectNode)
	return l
}

func (l *timeline) keys(subject string) *id.Keys {
	l.t.Helper()
	k, err := id.NewKeys(subject, began, l.rand)
	require.NoError(l.t, err)
	l.people.keys[k.ID()], l.people.chains[k.ID()] = k, k.Chain()
	return k
}

// member is somebody with roles.
func (l *timeline) member(roles ...string) *id.Keys {
	l.t.Helper()
	k := l.keys(id.SubjectPerson)
	slices.Sort(roles)
	l.people.roles[k.ID()] = roles
	return k
}

// ghost is a ghost with roles.
func (l *timeline) ghost(roles ...string) *id.Keys {
	l.t.Helper()
	k, err := id.GhostKeys(make([]byte, 32), l.people.tenant, "import", "somebody")
	require.NoError(l.t, err)
	l.people.keys[k.ID()], l.people.chains[k.ID()] = k, k.Chain()
	l.people.roles[k.ID()] = roles
	return k
}

func (l *timeline) world() *rules.World {
	return &rules.World{
		Standing: l.people, State: l.state, Contracts: l.set, NextCron: cron.NextIn, CronBetween: cron.BetweenIn,
		Tenant:    expr.Tenant{ID: l.people.tenant, Slug: "voulezvous", Name: "Voulezvous"},
		Directory: func(identity string) (string, string) { return "@" + l.people.keys[identity].Subject(), "" },
		Compile: func(source string) (*contract.Contract, error) {
			if c, ok := compiled.Load(source); ok {
				return c.(*contract.Contract), nil
			}
			return rules.Compile(source)
		},
		Version: func(ctx context.Context, _ rules.State, ref string) (*contract.Contract, error) {
			_, ok, err := rules.SourceOf(ctx, l.state, ref)
			_, hash, _ := strings.Cut(ref, "#")
			if !ok {
				return nil, err
			}
			return l.sources[hash], err
		},
	}
}

func (l *timeline) at() standing.Position {
	return standing.Position{Seq: uint64(len(l.entries)), RecordedAt: span.FormatTime(l.now)}
}

func (l *timeline) span(author *id.Keys, typ string, payload any, edits ...func(*span.Header)) *span.Span {
	l.t.Helper()
	canonical, err := span.Canonical(payload)
	require.NoError(l.t, err)
	spanID, err := span.RandomID(l.now, l.rand)
	require.NoError(l.t, err)
	h := span.Header{
		ID: spanID, Tenant: l.people.tenant, Author: author.ID(), Type: typ, Time: span.FormatTime(l.now),
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	for _, edit := range edits {
		edit(&h)
	}
	sp, err := id.SealSpan(author.Signer(), h, canonical, make([]byte, 16))
	require.NoError(l.t, err)
	return sp
}

// decide decides a span and records nothing.
func (l *timeline) decide(sp *span.Span) (*rules.Outcome, error) {
	return rules.Decide(context.Background(), l.world(), sp, l.at())
}

// submit decides a span, and records and folds it where it stands. What a vote
// settles is settled.
func (l *timeline) submit(sp *span.Span) *rules.Outcome {
	l.t.Helper()
	o, err := l.decide(sp)
	require.NoError(l.t, err)
	if o.Verdict > rules.Pending {
		return o
	}
	l.record(sp, o)
	for _, s := range o.Settle {
		l.resolve(l.spans[s.Span])
	}
	return o
}

// record appends an entry and folds its line.
func (l *timeline) record(sp *span.Span, o *rules.Outcome) {
	l.t.Helper()
	decision, detail := o.Seal([16]byte{1})
	e := span.Entry{Seq: uint64(len(l.entries)), RecordedAt: span.FormatTime(l.now), Span: sp.Header, Decision: decision}
	line := e.AppendLine(nil)
	if detail != nil {
		_, _, err := span.ParseDetail(detail)
		require.NoError(l.t, err, string(detail))
	}
	l.fold(l.state, line, sp.Payload)
	l.entries = append(l.entries, recorded{line, sp.Payload, o})
	l.spans[sp.ID] = sp
	if sp.Type == span.TypeContract || sp.Type == span.TypeResolution {
		l.reload()
	}
}

func (l *timeline) fold(into rows, line, payload []byte) {
	l.t.Helper()
	e, err := span.ParseLine(line)
	require.NoError(l.t, err, string(line))
	if span.Redactable(e.Span.Type) {
		payload = nil // as if it had been erased
	}
	changes, err := rules.Fold(context.Background(), into, e, payload)
	require.NoError(l.t, err)
	require.True(l.t, slices.IsSortedFunc(changes, func(a, b standing.Row) int { return strings.Compare(a.Key, b.Key) }))
	into.apply(changes)
}

// resolve settles a pending span by the node.
func (l *timeline) resolve(sp *span.Span) *rules.Resolution {
	l.t.Helper()
	r, err := rules.Resolve(context.Background(), l.world(), sp, l.at())
	require.NoError(l.t, err)
	l.record(l.span(l.people.node, span.TypeResolution, r.Payload), r.Outcome)
	return r
}

// reload makes the set of the contracts that the rows name.
func (l *timeline) reload() {
	l.t.Helper()
	sources, err := rules.Sources(context.Background(), l.state)
	require.NoError(l.t, err)
	var list []contract.InForce
	for _, s := range sources {
		_, hash, _ := strings.Cut(s.Ref, "#")
		c := l.sources[hash]
		require.NotNil(l.t, c, s.Ref)
		require.Equal(l.t, s.Ref, c.Ref())
		list = append(list, contract.InForce{Contract: c, Mode: s.Mode})
	}
	l.set = contract.NewSet(list)
}

// compiled keeps contracts by source: many tests share one.
var compiled sync.Map

func compileOnce(t testing.TB, source string) *contract.Contract {
	t.Helper()
	if c, ok := compiled.Load(source); ok {
		return c.(*contract.Contract)
	}
	c, err := rules.Compile(source)
	require.NoError(t, err)
	compiled.Store(source, c)
	return c
}

func (l *timeline) contractSpan(by *id.Keys, source, action string) *span.Span {
	l.t.Helper()
	c := compileOnce(l.t, source)
	l.sources[c.Hash.String()] = c
	return l.span(by, span.TypeContract, span.Contract{Name: c.Name, Version: c.Version, Hash: c.Hash.String(), Source: source, Action: action})
}

// activate puts a contract into force, by the node.
func (l *timeline) activate(source string) {
	l.t.Helper()
	sp := l.contractSpan(l.people.node, source, span.ActionActivate)
	o, err := rules.Activate(context.Background(), l.world(), sp, l.at())
	require.NoError(l.t, err)
	l.record(sp, o)
}

func (l *timeline) shadow(source string) {
	l.t.Helper()
	o, err := rules.Activation(context.Background(), l.world(), compileOnce(l.t, source), span.ActionShadow, l.at())
	require.NoError(l.t, err)
	l.record(l.contractSpan(l.people.node, source, span.ActionShadow), o)
}

// advance lets time pass and answers what is due, in order.
func (l *timeline) advance(d time.Duration) []*rules.Outcome {
	l.t.Helper()
	until := l.now.Add(d)
	var out []*rules.Outcome
	for {
		due, err := rules.Due(context.Background(), l.state, until, 1)
		require.NoError(l.t, err)
		if len(due) == 0 {
			l.now = until
			return out
		}
		if due[0].Due.After(l.now) {
			l.now = due[0].Due
		}
		out = append(out, l.answer(due[0]))
	}
}

func (l *timeline) answer(t rules.Timer) *rules.Outcome {
	l.t.Helper()
	if t.Kind == rules.TimerApproval {
		return l.resolve(l.spans[t.Span]).Outcome
	}
	o, err := rules.Fire(context.Background(), l.world(), t, l.spans[t.Span], l.at())
	require.NoError(l.t, err)
	l.record(l.span(l.people.node, "logline.task.run", object{"timer": t.Kind}), o)
	return o
}

// vote is a vote on a span.
func (l *timeline) vote(by *id.Keys, sp *span.Span, word string) *span.Span {
	return l.span(by, span.TypeApproval, span.Approval{Span: sp.ID, HeaderHash: sp.Header.Hash().String(), Vote: word})
}

// refolded is the state that the lines alone give.
func (l *timeline) refolded() rows {
	l.t.Helper()
	again := rows{}
	for _, e := range l.entries {
		l.fold(again, e.line, e.payload)
	}
	return again
}

// row reads a row as an object, nil where there is none.
func (l *timeline) row(key string) object {
	l.t.Helper()
	v, ok := l.state[key]
	if !ok {
		return nil
	}
	var o object
	require.NoError(l.t, json.Unmarshal(v, &o))
	return o
}

func example(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("contract", "testdata", name))
	require.NoError(t, err)
	return string(text)
}
