package standing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/standing"
)

// FuzzLoad: one stored row is replaced. The state refuses it as damaged, or it
// writes rows that give the very same state again.
func FuzzLoad(f *testing.F) {
	w := founded(f)
	w.member("guest", "auditor")
	w.pending(w.grant(w.owner, w.owner, "guest"))
	w.tx.Commit()
	rows := w.state.Rows()
	for i, r := range rows {
		f.Add(uint(i), r.Key, r.Value)
	}
	f.Add(uint(0), "member/x", []byte(`["owner"]`))
	f.Add(uint(1), "pending/", []byte(`null`))
	f.Fuzz(func(t *testing.T, i uint, key string, value []byte) {
		changed := append([]standing.Row(nil), rows...)
		changed[i%uint(len(rows))] = standing.Row{Key: key, Value: value}
		state, err := standing.Load(id.StdVerifier(), changed)
		if err != nil {
			require.Equal(t, "state_corrupt", fault.CodeOf(err))
			return
		}
		out := state.Rows()
		again, err := standing.Load(id.StdVerifier(), out)
		require.NoError(t, err)
		require.Equal(t, out, again.Rows())
		for _, r := range rows { // what was not replaced comes back as it was
			for _, c := range changed {
				if c.Key == r.Key && string(c.Value) == string(r.Value) && key != r.Key {
					require.Contains(t, out, r)
				}
			}
		}
	})
}
