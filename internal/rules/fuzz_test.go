package rules_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Lines come from other nodes too: whatever their effects and values say, Fold
// refuses them or gives rows of its own kinds in order, which can be folded on.
func FuzzFold(f *testing.F) {
	for _, s := range []struct{ effects, values string }{
		{`{"quotas":[{"contract":"c","name":"q","key":"k","window":"2026-01-01T00:00:00.000Z","used":1,"limit":2}],"trust":[{"identity":"logline-id://a","score":5,"rose":true}]}`, `{"a.b by author sum n":1.25,"** count":1}`},
		{`{"instances":[{"workflow":"c/w","key":"k","contract":"c@1.0.0#h","timers":[{"due":"2026-01-01T00:00:00.000Z","to":"x"}]}],"fired":"timer/x","ran":"c/s","retain":"2026-01-01T00:00:00.000Z"}`, `{}`},
		{`{"asks":[{"contract":"c","index":0,"rule":"c/r","from":["a"],"count":1,"deadline":"2026-01-01T00:00:00.000Z"}],"held":{"values":{"x count":1}},"actions":[{"kind":"schedule","name":"t","rule":"c/r","index":0,"due":"d"}]}`, `{"x by subject count":-1e300}`},
		{`{"settles":"s","vote":{"span":"s","weights":[1]}}`, `{"x":5e-324}`},
	} {
		f.Add([]byte(s.effects), []byte(s.values), false)
		f.Add([]byte(s.effects), []byte(s.values), true)
		f.Add([]byte(strings.ReplaceAll(s.effects, "timer/x", "founding")), []byte(s.values), false)
	}
	f.Fuzz(func(t *testing.T, effects, values []byte, pending bool) {
		e := &span.Entry{Seq: 7, RecordedAt: "2026-01-01T00:00:00.000Z", Span: span.Header{ID: "s", Author: "logline-id://a", Subject: "s/t", Type: "a.b"}}
		e.Decision = span.Decision{Outcome: span.OutcomeAllow, Effects: effects, Values: values, Transitions: []span.Transition{{Workflow: "c/w", Key: "k", From: "a", To: "b"}}}
		if pending {
			e.Decision.Outcome = span.OutcomePending
		}
		state := rows{}
		for range 2 {
			changes, err := rules.Fold(context.Background(), state, e, nil)
			if err != nil {
				return
			}
			require.True(t, slices.IsSortedFunc(changes, func(a, b standing.Row) int { return strings.Compare(a.Key, b.Key) }))
			for _, c := range changes {
				require.True(t, slices.ContainsFunc(rules.RowPrefixes(), func(p string) bool { return strings.HasPrefix(c.Key, p) }), c.Key)
			}
			state.apply(changes)
			e.Seq++
		}
	})
}

func TestFoldTakesAwayTimersAlone(t *testing.T) {
	t.Parallel()
	e := &span.Entry{Decision: span.Decision{Outcome: span.OutcomeAllow, Effects: []byte(`{"fired":"founding"}`)}}
	_, err := rules.Fold(context.Background(), rows{}, e, nil)
	require.Error(t, err)
	e.Decision.Effects = []byte(`{"fired":"timer/2026-01-01T00:00:00.000Z/retain/x"}`)
	changes, err := rules.Fold(context.Background(), rows{}, e, nil)
	require.NoError(t, err)
	require.Equal(t, []standing.Row{{Key: "timer/2026-01-01T00:00:00.000Z/retain/x"}}, changes)
}
