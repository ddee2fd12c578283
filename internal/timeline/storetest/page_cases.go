package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// testSelectStops asks for what hardly any entry has, in a timeline longer
// than a store may care to look through at once.
func testSelectStops(t *testing.T, s timeline.Store) {
	if testing.Short() {
		t.Skip("appends 24,000 entries")
	}
	tl := NewTimeline("a")
	for n := 0; n < 24_000; n += 1500 {
		specs := numbered(n, 1500)
		if n == 0 || n == 21_000 || n == 22_500 {
			specs[7].Payload, specs[7].Type, specs[7].Visibility = `{"w":"needle"}`, "rare.one", span.VisibilityPublic
			specs[8].Type = "rare.two"
		}
		for i := range specs {
			specs[i].NoDetail = true
		}
		grow(t, s, tl, specs...)
	}
	want := []uint64{7, 21_007, 22_507}
	back := slices.Clone(want)
	slices.Reverse(back)
	public := []timeline.Access{{Visibility: span.VisibilityPublic, All: true}}
	for _, f := range []timeline.Filter{
		{Words: []string{"needle"}},
		{Words: []string{"needle"}, Types: []string{"rare.*"}},
		{Words: []string{"needle"}, Author: Identity("author")},
		{Sight: public},
		{Sight: public, Types: []string{"rare.**"}},
		{Types: []string{"rare.one"}},
	} {
		f.To, f.Limit = everything, 2
		require.Equal(t, want, pageThrough(t, s, tl.Tenant.ID, f), "%+v", f)
		f.Descending = true
		require.Equal(t, back, pageThrough(t, s, tl.Tenant.ID, f), "%+v", f)
	}
}

// testSelectBytes asks for more than one page may hold: each way of finding
// entries cuts it, and loses none.
func testSelectBytes(t *testing.T, s timeline.Store) {
	if testing.Short() {
		t.Skip("searches 20 MiB of payloads again and again; the long run has it")
	}
	tl := NewTimeline("a")
	const n, payload = 24, 900 << 10
	var want []uint64
	for i := range n {
		grow(t, s, tl, Spec{
			N: i, Type: pickOf(i, "big.one", "big.two"), Tags: []string{"t"}, Subject: "s", Visibility: span.VisibilityPublic,
			Payload: fmt.Sprintf(`{"w":"needle %s"}`, strings.Repeat("x", payload)),
		})
		want = append(want, uint64(i))
	}
	back := slices.Clone(want)
	slices.Reverse(back)
	for _, f := range []timeline.Filter{
		{}, {Tag: "t"}, {Subject: "s"}, {Author: Identity("author")}, {Types: []string{"big.*"}}, {Words: []string{"needle"}},
		{Sight: []timeline.Access{{Visibility: span.VisibilityPublic, All: true}}},
	} {
		for _, f.Bytes = range []int{0, 3 << 20, 1} {
			f.To, f.Limit, f.Descending = everything, 1000, false
			bound := f.Bytes
			if bound == 0 {
				bound = timeline.MaxPageBytes
			}
			sel, err := s.Select(t.Context(), tl.Tenant.ID, &f)
			require.NoError(t, err)
			require.True(t, sel.More, "%+v", f)
			require.Len(t, sel.Records, max(1, bound/(payload+2048)), "%+v", f)
			require.Equal(t, want, pageThrough(t, s, tl.Tenant.ID, f), "%+v", f)
			f.Descending = true
			require.Equal(t, back, pageThrough(t, s, tl.Tenant.ID, f), "%+v", f)
		}
	}
	records, err := s.Range(t.Context(), tl.Tenant.ID, 0, n)
	require.NoError(t, err)
	require.Less(t, len(records), n, "a range is bounded too")
}

func pickOf(i int, values ...string) string { return values[i%len(values)] }
