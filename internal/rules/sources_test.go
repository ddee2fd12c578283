package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
)

func shipping(n int) string {
	return fmt.Sprintf(`contract shipping version "1.%d.0" {
  workflow parcel {
    key: data.id
    initial: new
    state new
    state sent
    state there { final: true }
    transition new  -> sent  on "parcel.sent"
    transition sent -> there on "parcel.came"
  }
  rule guarded { on: "parcel.insured" then { require approval { from: [admin]  within: 1d  on_timeout { allow } } } }
}`, n)
}

// Of many versions only those are loaded that decide: the one in force, its
// shadow, and those that began what is not at its end.
func TestOnlyWhatDecidesIsLoaded(t *testing.T) {
	t.Parallel()
	l := newTimeline(t)
	who := l.member("member")
	step := func(typ, id string) rules.Verdict { return l.submit(l.span(who, typ, object{"id": id})).Verdict }
	for n := range 200 {
		l.activate(shipping(n))
		id := fmt.Sprint(n)
		require.Equal(t, rules.Allow, step("parcel.sent", id))
		if n == 5 {
			require.Equal(t, rules.Pending, step("parcel.insured", id))
		}
		if n != 5 && n != 7 {
			require.Equal(t, rules.Allow, step("parcel.came", id))
		}
	}
	l.shadow(shipping(300))
	loaded := func() map[string]contract.Mode {
		out := map[string]contract.Mode{}
		sources, err := rules.Sources(t.Context(), l.state)
		require.NoError(t, err)
		for _, s := range sources {
			out[s.Ref] = s.Mode
		}
		return out
	}
	ref := func(n int) string { return compileOnce(t, shipping(n)).Ref() }
	require.Equal(t, map[string]contract.Mode{
		ref(5): contract.Pinned, ref(7): contract.Pinned, ref(199): contract.Enforced, ref(300): contract.Shadowed,
	}, loaded())
	all, err := rules.Versions(t.Context(), l.state)
	require.NoError(t, err)
	require.Len(t, all, 201)

	require.Equal(t, rules.Allow, step("parcel.came", "7"))
	require.NotContains(t, loaded(), ref(7))
	require.Equal(t, rules.Allow, step("parcel.came", "5"))
	require.NotContains(t, loaded(), ref(5))
	require.Len(t, l.state.keys("approval/"), 1)
	l.advance(25 * time.Hour)
	require.Empty(t, l.state.keys("approval/"), "what waits asks for its version by itself")
	require.Equal(t, rules.Reject, step("parcel.came", "7"), "it is at its end, in the version in force too")
	require.Equal(t, l.state, l.refolded())

	// Out of force for good: it ends what is under way, and has no say beyond.
	require.Equal(t, rules.Allow, step("parcel.sent", "last"))
	retire := l.contractSpan(l.people.node, shipping(199), span.ActionRetire)
	o, err := rules.Activate(t.Context(), l.world(), retire, l.at())
	require.NoError(t, err)
	l.record(retire, o)
	require.Equal(t, contract.Pinned, loaded()[ref(199)])
	require.Equal(t, rules.Allow, step("parcel.came", "7"), "another's end is none of its business")
	require.Equal(t, rules.Reject, step("parcel.sent", "last"), "it is under way")
	require.Equal(t, rules.Allow, step("parcel.came", "last"))
	require.NotContains(t, loaded(), ref(199))
	require.Equal(t, rules.Allow, step("parcel.came", "last"))
	require.Equal(t, l.state, l.refolded())
}
