package bundle

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const contractSource = `contract pay version "1.0.0" { rule r { on: "pay.*" then { tag "t" } } }`

var contractRef = "pay@1.0.0#" + span.Sum([]byte(contractSource)).String()

// contract is a logline.contract span of the owner's.
func (b *builder) contract(action, outcome string) *span.Span {
	return b.decided(b.owner.Signer(), b.owner.ID(), span.TypeContract, b.contractPayload("1.0.0", action), span.Decision{Outcome: outcome})
}

// version does something to another version of the same contract.
func (b *builder) version(version, action string) {
	b.decided(b.owner.Signer(), b.owner.ID(), span.TypeContract, b.contractPayload(version, action), span.Decision{Outcome: span.OutcomeAllow})
}

func (b *builder) contractPayload(version, action string) []byte {
	source := strings.Replace(contractSource, "1.0.0", version, 1)
	p := span.Contract{Name: "pay", Version: version, Hash: span.Sum([]byte(source)).String(), Source: source, Action: action}
	if action == span.ActionRetire {
		p.Source = ""
	}
	payload, err := span.Canonical(p)
	require.NoError(b.t, err)
	return payload
}

// decided adds an entry with a decision of its own.
func (b *builder) decided(by id.Signer, author, typ string, payload []byte, d span.Decision) *span.Span {
	h := span.Header{
		ID: span.NewID(b.now, [10]byte(b.random(10))), Tenant: b.tenant, Author: author, Type: typ,
		Time: span.FormatTime(b.now), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	sp, err := id.SealSpan(by, h, payload, b.random(16))
	require.NoError(b.t, err)
	b.append(sp, &span.Entry{Seq: b.edge.End(), RecordedAt: span.FormatTime(b.now), Span: sp.Header, Decision: d}, nil)
	return sp
}

// pay adds an entry that a contract decided.
func (b *builder) pay(ref string, effects string) {
	d := span.Decision{Outcome: span.OutcomeAllow, Evaluator: "lll/1", Contracts: []string{ref}}
	if effects != "" {
		d.Effects = []byte(effects)
	}
	b.decided(b.owner.Signer(), b.owner.ID(), "pay.done", []byte(`{}`), d)
}

func TestDecisionsRestOnActiveContracts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		act  func(b *builder)
		lies bool // in the last entry
	}{
		"activated before": {act: func(b *builder) { b.contract(span.ActionActivate, span.OutcomeAllow); b.pay(contractRef, "") }},
		"in the shadow":    {act: func(b *builder) { b.contract(span.ActionShadow, span.OutcomeAllow); b.pay(contractRef, "") }, lies: true},
		"another version in the shadow": {act: func(b *builder) {
			b.contract(span.ActionActivate, span.OutcomeAllow)
			b.version("1.1.0", span.ActionShadow)
			b.pay(contractRef, "")
		}},
		"its shadow retired": {act: func(b *builder) {
			b.contract(span.ActionActivate, span.OutcomeAllow)
			b.version("1.1.0", span.ActionShadow)
			b.version("1.1.0", span.ActionRetire)
			b.pay(contractRef, "")
		}},
		"activated by the node": {act: func(b *builder) {
			b.decided(b.node.Signer(), b.node.ID(), span.TypeContract, b.contractPayload("1.0.0", span.ActionActivate), span.Decision{Outcome: span.OutcomeAllow})
			b.pay(contractRef, "")
		}},
		"never activated": {act: func(b *builder) { b.pay(contractRef, "") }, lies: true},
		"named by the node": {act: func(b *builder) {
			b.decided(b.node.Signer(), b.node.ID(), "receipt.issued", []byte(`{}`), span.Decision{Outcome: span.OutcomeAllow, Contracts: []string{contractRef}})
		}, lies: true},
		"another source": {act: func(b *builder) {
			b.contract(span.ActionActivate, span.OutcomeAllow)
			b.pay("pay@1.0.0#"+span.Sum(nil).String(), "")
		}, lies: true},
		"another version": {act: func(b *builder) {
			b.contract(span.ActionActivate, span.OutcomeAllow)
			b.pay("pay@1.0.1#"+span.Sum([]byte(contractSource)).String(), "")
		}, lies: true},
		"still waiting for votes": {act: func(b *builder) {
			b.contract(span.ActionActivate, span.OutcomePending)
			b.pay(contractRef, "")
		}, lies: true},
		"activated by votes": {act: func(b *builder) {
			asked := b.contract(span.ActionActivate, span.OutcomePending)
			payload, err := span.Canonical(span.Resolution{Span: asked.ID, HeaderHash: asked.Hash().String(), Outcome: span.ResolutionExecuted})
			require.NoError(b.t, err)
			b.byNode(span.TypeResolution, payload)
			b.pay(contractRef, "")
		}},
		"retired": {act: func(b *builder) {
			b.contract(span.ActionActivate, span.OutcomeAllow)
			b.contract(span.ActionRetire, span.OutcomeAllow)
			b.pay(contractRef, "")
		}, lies: true},
		"retired, and its workflow goes on": {act: func(b *builder) {
			b.contract(span.ActionActivate, span.OutcomeAllow)
			b.pay(contractRef, `{"instances":[{"contract":"`+contractRef+`","key":"k","workflow":"pay/w"}]}`)
			b.contract(span.ActionRetire, span.OutcomeAllow)
			b.pay(contractRef, "")
		}},
	} {
		b := newBuilder(t, 1)
		test.act(b)
		last := len(b.entries) + 1
		rep := verify(t, b.whole(), Options{Node: b.node.ID()})
		if !test.lies {
			require.True(t, rep.OK, "%s: %v", name, rep.Problems)
			continue
		}
		require.Equal(t, []string{codeContract}, codes(rep), name)
		require.Equal(t, last, rep.Problems[0].Line, name)
	}
}

// What was activated before a part is known where the run before it is at hand.
func TestStateCarriesContractsOver(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.contract(span.ActionActivate, span.OutcomeAllow)
	first := b.whole()
	at := b.edge.End()
	b.pay(contractRef, "")
	b.pay("pay@9.0.0#"+span.Sum(nil).String(), "")
	state := verify(t, first, Options{}).State()
	require.NotNil(t, state)
	for _, s := range []*State{state, filed(t, state)} {
		rep := verify(t, b.write(at, b.edge.End()), Options{State: s})
		require.Equal(t, []string{codeContract}, codes(rep))
		require.Equal(t, 3, rep.Problems[0].Line)
	}
}

// filed is a state as its file says it.
func filed(t *testing.T, s *State) *State {
	t.Helper()
	var first, second bytes.Buffer
	require.NoError(t, s.Write(&first))
	again, err := ReadState(bytes.NewReader(first.Bytes()))
	require.NoError(t, err)
	require.NoError(t, again.Write(&second))
	require.Equal(t, first.String(), second.String())
	return again
}

// What waits for votes, and what instances began by, is in the file too.
func TestStateFilesCarryContractsInFlight(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	asked := b.contract(span.ActionActivate, span.OutcomePending)
	first := b.whole()
	at := b.edge.End()
	payload, err := span.Canonical(span.Resolution{Span: asked.ID, HeaderHash: asked.Hash().String(), Outcome: span.ResolutionExecuted})
	require.NoError(t, err)
	b.byNode(span.TypeResolution, payload)
	b.pay(contractRef, `{"instances":[{"contract":"`+contractRef+`","key":"k","workflow":"pay/w"}]}`)
	b.contract(span.ActionRetire, span.OutcomeAllow)
	state := filed(t, verify(t, first, Options{}).State())
	second := b.write(at, b.edge.End())
	at = b.edge.End()
	rep := verify(t, second, Options{State: state})
	require.True(t, rep.OK, "%v", rep.Problems)
	b.pay(contractRef, "")
	require.True(t, verify(t, b.write(at, b.edge.End()), Options{State: filed(t, rep.State())}).OK)
}
