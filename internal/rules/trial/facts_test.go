package trial_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/trial"
)

// dryRun decides one span with facts.
func dryRun(l func(string) *contract.Contract, span, facts string) (*trial.Submitted, error) {
	ctx := context.Background()
	f, err := trial.ParseFacts([]byte(facts))
	if err != nil {
		return nil, err
	}
	s, err := trial.NewStageOf(ctx, []*contract.Contract{l("shop")}, f, trial.Options{})
	if err != nil {
		return nil, err
	}
	sp, err := trial.ParseSpan([]byte(span))
	if err != nil {
		return nil, err
	}
	d, err := s.Draft(sp)
	if err != nil {
		return nil, err
	}
	return s.Submit(ctx, d)
}

const placed = `{"type": "order.placed", "by": "bob", "data": {"id": "o", "price": 1}}`

func TestFacts(t *testing.T) {
	t.Parallel()
	l := shopWith("")
	for name, test := range map[string]struct {
		span, facts string
		want        rules.Verdict
	}{
		"none":               {placed, `{}`, rules.Allow},
		"a state":            {placed, `{"states": [{"workflow": "order", "key": "o", "state": "paid"}]}`, rules.Reject},
		"a span within 24 h": {placed, `{"now": "2026-05-02T10:00:00Z", "spans": [{"type": "order.paid", "by": "bob", "data": {"price": 101}, "at": "2026-05-01T11:00:00Z"}]}`, rules.Simulate},
		"a span before":      {placed, `{"now": "2026-05-02T10:00:00Z", "spans": [{"type": "order.paid", "by": "bob", "data": {"price": 101}, "at": "2026-05-01T09:00:00Z"}]}`, rules.Allow},
		"of somebody else":   {placed, `{"spans": [{"type": "order.paid", "by": "eve", "data": {"price": 101}}]}`, rules.Allow},
		"trust":              {`{"type": "order.trusted", "by": "bob"}`, `{"identities": {"bob": {"trust": 50}}}`, rules.Allow},
		"no trust":           {`{"type": "order.trusted", "by": "bob"}`, `{"identities": {"bob": {"trust": 49.9}}}`, rules.Reject},
		"a role":             {`{"type": "till.opened", "by": "bob"}`, `{"identities": {"bob": {"roles": ["clerk"]}}}`, rules.Allow},
		"symbols in data":    {`{"type": "order.shared", "by": "bob", "data": {"owner": "logline-id://bob", "deep": [{"x": "logline-id://eve"}]}}`, `{}`, rules.Allow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen, err := dryRun(l.Contract, test.span, test.facts)
			require.NoError(t, err)
			require.Equal(t, test.want, seen.Verdict, seen.Reasons)
		})
	}
}

func TestFactsThatAreNone(t *testing.T) {
	t.Parallel()
	l := shopWith("")
	for name, test := range map[string]struct{ span, facts, code string }{
		"no JSON":          {placed, `{`, "facts_invalid"},
		"two":              {placed, `{} {}`, "facts_invalid"},
		"a member twice":   {`{"type": "a.b", "data": {"x": 1}, "data": {"x": 2}}`, `{}`, "facts_invalid"},
		"twice in data":    {`{"type": "a.b", "data": {"x": 1, "x": 2}}`, `{}`, "facts_invalid"},
		"no span":          {`null`, `{}`, "facts_invalid"},
		"when it occurred": {`{"type": "a.b", "occurred_at": "yesterday"}`, `{}`, "facts_invalid"},
		"unknown member":   {placed, `{"identites": {}}`, "facts_invalid"},
		"unknown of span":  {`{"type": "a.b", "payload": {}}`, `{}`, "facts_invalid"},
		"time":             {placed, `{"now": "yesterday"}`, "facts_invalid"},
		"the future":       {placed, `{"now": "2026-05-02T10:00:00Z", "spans": [{"type": "a.b", "at": "2026-05-03T10:00:00Z"}]}`, "facts_invalid"},
		"type":             {`{"type": "A"}`, `{}`, "type_invalid"},
		"no type":          {`{}`, `{}`, "type_invalid"},
		"time of the span": {`{"type": "a.b", "at": "2026-05-03T10:00:00Z"}`, `{}`, "span_invalid"},
		"data":             {`{"type": "a.b", "data": [1]}`, `{}`, "payload_invalid"},
		"state":            {placed, `{"states": [{"workflow": "order", "key": "o", "state": "gone"}]}`, "state_unknown"},
		"status":           {placed, `{"identities": {"x": {"status": "dead"}}}`, "status_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := dryRun(l.Contract, test.span, test.facts)
			require.Equal(t, test.code, fault.CodeOf(err), "%v", err)
		})
	}
}

// FuzzDryRun: whatever facts and span say, the span is decided, the same each
// time, or refused as wrong input; nothing of ours breaks.
func FuzzDryRun(f *testing.F) {
	f.Add(placed, `{"identities": {"bob": {"trust": 50, "roles": ["clerk"], "status": "ghost"}}}`)
	f.Add(`{"type": "order.paid", "data": {"id": "o", "price": 1e300}}`, `{"states": [{"workflow": "order", "key": "o", "state": "placed"}]}`)
	f.Add(placed, `{"now": "2026-05-02T10:00:00Z", "spans": [{"type": "order.paid", "by": "bob", "data": {"price": 101}, "at": "2026-05-01T11:00:00Z"}]}`)
	f.Add(`{"type": "order.shared", "by": "logline-id://", "data": {"owner": "logline-id://é"}}`, `{"tenant": "x"}`)
	l := shopWith("")
	f.Fuzz(func(t *testing.T, span, facts string) {
		first, err := dryRun(l.Contract, span, facts)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err), "%v", err)
			return
		}
		again, err := dryRun(l.Contract, span, facts)
		require.NoError(t, err)
		require.Equal(t, first.Verdict, again.Verdict)
		require.Equal(t, first.Reasons, again.Reasons)
	})
}
