package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// oddKeys are keys that a store could take for something else, or put into
// another order than that of their bytes.
func oddKeys() []string {
	keys := []string{
		"~", "~a", "~a/", "~a/1", "~a/10", "~a/2", "~a/Z", "~a/z", "~a/_", "~a/%", "~a/'", `~a/"`, `~a/\`, "~a/{,}", "~a/NULL", "~a/é", "~a/É",
		"~a/\u0001", "~a/\u007f", "~a/\uffff", "~a/\U0010ffff", "~a/ ", "~a0", "~b", "~" + strings.Repeat("k", timeline.MaxRowKey),
	}
	for n := range 40 {
		keys = append(keys, fmt.Sprintf("~sum/x/%03d", n))
	}
	return keys
}

// testRows holds asks against a map.
func testRows(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	model := map[string][]byte{}
	random := rand.New(rand.NewPCG(1, 2))
	keys := oddKeys()
	put := func(n int, rows ...standing.Row) {
		b := tl.Batch(Spec{N: n})
		b.State = rows
		require.NoError(t, s.Append(ctx, b))
		tl.Done(b)
		for _, r := range rows {
			if model[r.Key] = r.Value; r.Value == nil {
				delete(model, r.Key)
			}
		}
	}
	own := []standing.Row{{Key: "founding", Value: []byte("f")}, {Key: "pending/x", Value: []byte("p")}}
	put(0, own...)
	for n := 1; n < 8; n++ {
		var rows []standing.Row
		for _, key := range keys {
			switch random.IntN(4) {
			case 0:
				rows = append(rows, standing.Row{Key: key})
			case 1:
				rows = append(rows, standing.Row{Key: key, Value: []byte{}})
			case 2:
				rows = append(rows, standing.Row{Key: key, Value: fmt.Appendf(nil, "%d of %s\x00\xff", n, key)})
			}
		}
		put(n, rows...)
		asks := []timeline.Ask{{Low: "", High: "\U0010ffff", Limit: timeline.MaxAsk}, {Low: "~", High: "\U0010ffff", Limit: timeline.MaxAsk, Descending: true}}
		for range 60 {
			a := timeline.Ask{Low: keys[random.IntN(len(keys))], High: keys[random.IntN(len(keys))], Limit: 1 + random.IntN(3), Descending: random.IntN(2) == 0}
			if random.IntN(2) == 0 {
				a.High = a.Low + "\x01" // one key
			}
			asks = append(asks, a)
		}
		for _, some := range [][]timeline.Ask{asks, asks[:1], asks[1:2], nil} {
			got, err := s.Rows(ctx, tl.Tenant.ID, some)
			require.NoError(t, err)
			require.Equal(t, tl.Head.Size, got.Size)
			require.Equal(t, tl.Head.Root, got.Root)
			require.Len(t, got.Rows, len(some))
			for i, a := range some {
				require.Equal(t, answerOf(model, a), got.Rows[i], "%+v", a)
			}
		}
		_, rest, err := s.State(ctx, tl.Tenant.ID)
		require.NoError(t, err)
		require.Equal(t, own, rest, "only what is asked for row by row is left out")
		require.Equal(t, rowsOf(model), examine(t, keeper(t, s), tl.Tenant.ID).state, "a snapshot has all")
	}
	put(8, standing.Row{Key: "~a", Value: []byte(strings.Repeat("v", timeline.MaxRowValue))})
	got, err := s.Rows(ctx, tl.Tenant.ID, []timeline.Ask{{Low: "~a", High: "~a\x01", Limit: 1}})
	require.NoError(t, err)
	require.Equal(t, model["~a"], got.Rows[0][0].Value)
	for name, bad := range map[string]timeline.Ask{
		"no limit": {Low: "~", High: "~b"}, "too many": {Low: "~", High: "~b", Limit: timeline.MaxAsk + 1},
		"a NUL": {Low: "~\x00", High: "~b", Limit: 1}, "no text": {Low: "~", High: "~\xff", Limit: 1},
	} {
		_, err := s.Rows(ctx, tl.Tenant.ID, []timeline.Ask{bad})
		require.Error(t, err, name)
	}
}

func rowsOf(model map[string][]byte) (rows []standing.Row) {
	for _, key := range slices.Sorted(maps.Keys(model)) {
		rows = append(rows, standing.Row{Key: key, Value: model[key]})
	}
	return rows
}

func answerOf(model map[string][]byte, a timeline.Ask) []standing.Row {
	rows := slices.DeleteFunc(rowsOf(model), func(r standing.Row) bool { return r.Key < a.Low || r.Key >= a.High })
	if a.Descending {
		slices.Reverse(rows)
	}
	rows = rows[:min(len(rows), a.Limit)]
	if len(rows) == 0 {
		return nil
	}
	return rows
}

// testRowsMoment: the answers to several asks are of one head, whatever is
// appended meanwhile.
func testRowsMoment(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	const batches = 60
	grown := func(n int) {
		b := tl.Batch(Spec{N: n})
		for i := range 5 {
			b.State = append(b.State, standing.Row{Key: fmt.Sprint("~k", i), Value: fmt.Append(nil, b.Head.Size)})
		}
		b.State = append(b.State, standing.Row{Key: fmt.Sprintf("~last/%06d", n), Value: fmt.Append(nil, b.Head.Size)}, standing.Row{Key: fmt.Sprintf("~last/%06d", n-3)})
		require.NoError(t, s.Append(ctx, b))
		tl.Done(b)
	}
	grown(0)
	asks := []timeline.Ask{{Low: "~last/", High: "~last0", Limit: 1, Descending: true}}
	for i := range 5 {
		key := fmt.Sprint("~k", i)
		asks = append(asks, timeline.Ask{Low: key, High: key + "\x01", Limit: 1})
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true
				default:
				}
				got, err := s.Rows(ctx, tl.Tenant.ID, asks)
				if err != nil || len(got.Rows) != len(asks) {
					t.Errorf("%d answers, %v", len(got.Rows), err)
					return
				}
				for i, rows := range got.Rows {
					if len(rows) != 1 || string(rows[0].Value) != fmt.Sprint(got.Size) {
						t.Errorf("ask %d at size %d is answered with %q", i, got.Size, rows)
						return
					}
				}
			}
		})
	}
	for n := 1; n < batches; n++ {
		grown(n)
	}
	close(done)
	readers.Wait()
}
