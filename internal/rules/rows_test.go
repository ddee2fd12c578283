package rules

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Rows that most entries change are written and read by hand, as encoding/json would.
func TestRowsAreThoseOfEncodingJSON(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.StringMatching(`[a-z0-9:.@#-]*`), rapid.StringMatching(`[ -~]*`), rapid.String())
	byHand := 0
	rapid.Check(t, func(t *rapid.T) {
		r := workflowRow{
			State: text.Draw(t, "state"), EnteredAt: text.Draw(t, "entered_at"), Contract: text.Draw(t, "contract"),
			Span: text.Draw(t, "span"), Over: rapid.Bool().Draw(t, "over"),
		}
		if rapid.IntRange(0, 5).Draw(t, "timers") == 0 {
			r.Timers = []timerEffect{{Due: text.Draw(t, "due"), To: text.Draw(t, "to")}}
		}
		f := flightRow{rapid.Int64().Draw(t, "instances")}
		for _, value := range []any{r, f} {
			want, err := json.Marshal(value)
			require.NoError(t, err)
			require.Equal(t, string(want), string(row("k", value).Value))
		}
		written := row("k", r).Value
		var got, want workflowRow
		require.NoError(t, json.Unmarshal(written, &want))
		require.NoError(t, decodeRow("k", written, &got))
		require.Equal(t, want, got)
		if (&workflowRow{}).decode(written) {
			byHand++
		}
	})
	require.NotZero(t, byHand)
	for c := rune(0); c < 0x100; c++ {
		r := workflowRow{State: string(c)}
		want, err := json.Marshal(r)
		require.NoError(t, err)
		require.Equal(t, string(want), string(row("k", r).Value))
	}
}

// What is not a row as it is written is read by the rules of JSON, or not at all.
func TestRowsThatOthersWrote(t *testing.T) {
	t.Parallel()
	whole := `{"state":"a","entered_at":"b","contract":"c","span":"d","over":true}`
	for n := range whole {
		require.Error(t, decodeRow("k", []byte(whole[:n]), &workflowRow{}), whole[:n])
	}
	for _, same := range []string{whole, `{"over":true,"span":"d","contract":"c","state":"a","entered_at":"b"}`, ` {"state":"\u0061","entered_at":"b","contract":"c","span":"d","over":true} `} {
		var r workflowRow
		require.NoError(t, decodeRow("k", []byte(same), &r))
		require.Equal(t, workflowRow{State: "a", EnteredAt: "b", Contract: "c", Span: "d", Over: true}, r)
	}
}
