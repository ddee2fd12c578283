package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func testTenants(t *testing.T, s timeline.Store) {
	ctx := t.Context()
	var all []timeline.Tenant
	for i := range 5 {
		tl := NewTimeline(fmt.Sprint("tenant", i))
		grow(t, s, tl, numbered(0, i+1)...)
		want := tl.Tenant
		want.Size = uint64(i + 1)
		all = append(all, want)

		got, err := s.TenantByID(ctx, want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = s.TenantBySlug(ctx, want.Slug)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	slices.SortFunc(all, func(a, b timeline.Tenant) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	first, err := s.Tenants(ctx, "", 3)
	require.NoError(t, err)
	require.Equal(t, all[:3], first)
	rest, err := s.Tenants(ctx, first[2].ID, 10)
	require.NoError(t, err)
	require.Equal(t, all[3:], rest)

	slugTaken := NewTimeline("other")
	slugTaken.Tenant.Slug = all[0].Slug
	require.ErrorIs(t, s.Append(ctx, slugTaken.Batch(Spec{N: 0})), timeline.ErrTenantTaken)
	idTaken := NewTimeline("other")
	idTaken.Tenant.ID = all[0].ID
	require.ErrorIs(t, s.Append(ctx, idTaken.Batch(Spec{N: 0})), timeline.ErrTenantTaken)
	_, err = s.TenantByID(ctx, slugTaken.Tenant.ID)
	require.ErrorIs(t, err, timeline.ErrTenantUnknown)
}

func testUnknown(t *testing.T, s timeline.Store) {
	ctx := t.Context()
	grow(t, s, NewTimeline("known"), Spec{N: 0})
	id := NewTimeline("unknown").Tenant.ID
	errs := map[string]error{}
	_, errs["TenantByID"] = s.TenantByID(ctx, id)
	_, errs["TenantBySlug"] = s.TenantBySlug(ctx, "unknown")
	_, errs["Head"] = s.Head(ctx, id)
	_, _, errs["State"] = s.State(ctx, id)
	_, errs["Rows"] = s.Rows(ctx, id, []timeline.Ask{{Low: "~", High: "~a", Limit: 1}})
	_, errs["no Rows"] = s.Rows(ctx, id, nil)
	_, errs["Range"] = s.Range(ctx, id, 0, 1)
	_, errs["At"] = s.At(ctx, id, []uint64{0}, true)
	_, errs["Spent"] = s.Spent(ctx, id, []string{ID(0)})
	_, errs["Select"] = s.Select(ctx, id, &timeline.Filter{To: everything, Limit: 1})
	_, errs["Count"] = s.Count(ctx, id)
	_, errs["Linked"] = s.Linked(ctx, id, timeline.LinkCause, []string{ID(0)}, 1)
	_, errs["Hashes"] = s.Hashes(ctx, id, 0, 0, 1)
	_, _, errs["Checkpoint"] = s.Checkpoint(ctx, id, 0)
	tl := NewTimeline("unknown")
	b := tl.Batch(Spec{N: 0})
	b.Create = nil
	errs["Append"] = s.Append(ctx, b)
	for name, err := range errs {
		require.ErrorIs(t, err, timeline.ErrTenantUnknown, name)
	}
	none, err := s.Holding(ctx, Identity("nobody"))
	require.NoError(t, err)
	require.Empty(t, none)
}

// testIsolation gives two tenants the same ids, tags, links and state keys.
func testIsolation(t *testing.T, s timeline.Store) {
	ctx := t.Context()
	for i, name := range []string{"a", "b"} {
		tl := NewTimeline(name)
		for n := range 3 + i {
			b := tl.Batch(Spec{N: n, Tags: []string{"tag"}, Subject: "s", Causes: []string{ID(100)}, Payload: fmt.Sprintf(`{"of":%q}`, name)})
			b.State = []standing.Row{{Key: "k", Value: []byte(name)}, {Key: "~k", Value: []byte(name)}}
			require.NoError(t, s.Append(ctx, b))
			tl.Done(b)
		}
	}
	for i, name := range []string{"a", "b"} {
		id, n := NewTimeline(name).Tenant.ID, 3+i
		for _, f := range []timeline.Filter{{}, {Tag: "tag"}, {Subject: "s"}, {Cause: ID(100)}, {Types: []string{"**"}}, {Author: Identity("author")}, {Words: []string{name}}} {
			f.To, f.Limit = everything, 100
			sel, err := s.Select(ctx, id, &f)
			require.NoError(t, err)
			require.Len(t, sel.Records, n)
			for _, r := range sel.Records {
				require.JSONEq(t, fmt.Sprintf(`{"of":%q}`, name), string(r.Payload))
			}
		}
		links, err := s.Linked(ctx, id, timeline.LinkCause, []string{ID(100)}, 100)
		require.NoError(t, err)
		require.Len(t, links, n)
		_, rows, err := s.State(ctx, id)
		require.NoError(t, err)
		require.Equal(t, []standing.Row{{Key: "k", Value: []byte(name)}}, rows)
		asked, err := s.Rows(ctx, id, []timeline.Ask{{Low: "~", High: "~l", Limit: 10}, {Low: "~", High: "~l", Limit: 10, Descending: true}})
		require.NoError(t, err)
		own := []standing.Row{{Key: "~k", Value: []byte(name)}}
		require.Equal(t, [][]standing.Row{own, own}, asked.Rows)
		counts, err := s.Count(ctx, id)
		require.NoError(t, err)
		require.Equal(t, uint64(n), counts.Size)
		require.Equal(t, []timeline.Tally{{Value: "note.taken", Count: uint64(n)}}, counts.Types)
	}
}

func testStatuses(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	grow(t, s, tl, Spec{N: 0}, Spec{N: 1, Status: timeline.StatusPending})
	b := tl.Batch(Spec{N: 2}, Spec{N: 3})
	b.Statuses = []standing.StatusChange{
		{SpanID: ID(0), Seq: 0, Status: timeline.StatusReverted},
		{SpanID: ID(1), Seq: 1, Status: timeline.StatusExecuted},
		{SpanID: ID(2), Seq: 2, Status: timeline.StatusReverted},
		{SpanID: ID(2), Seq: 2, Status: timeline.StatusRejected}, // the last one holds
	}
	require.NoError(t, s.Append(ctx, b))
	var got []string
	for _, r := range readAll(t, s, tl.Tenant.ID) {
		got = append(got, r.Status)
	}
	require.Equal(t, []string{"reverted", "executed", "rejected", "executed"}, got)
	for status, seqs := range map[string][]uint64{"reverted": {0}, "executed": {1, 3}, "rejected": {2}, "pending": nil} {
		sel, err := s.Select(ctx, tl.Tenant.ID, &timeline.Filter{Status: status, To: everything, Limit: 10})
		require.NoError(t, err)
		require.Equal(t, seqs, seqsOf(sel.Records), status)
	}
}

func testRedaction(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	secret := func(n int) Spec { return Spec{N: n, Payload: `{"secret":"xyzzy"}`, Title: "plain"} }
	grow(t, s, tl, secret(0), secret(1))
	b := tl.Batch(secret(2), Spec{N: 3})
	b.Redacted = []uint64{0, 2}
	require.NoError(t, s.Append(ctx, b))
	tl.Done(b)

	records := readAll(t, s, tl.Tenant.ID)
	for seq, gone := range []bool{true, false, true, false} {
		r := records[seq]
		require.Equal(t, gone, r.Redacted)
		require.Equal(t, gone, r.Payload == nil && r.Salt == "" && r.Detail == nil)
		require.NotEmpty(t, r.Line)
		require.Equal(t, span.LeafHash(r.Line), r.Leaf)
	}
	at, err := s.At(ctx, tl.Tenant.ID, []uint64{0}, true)
	require.NoError(t, err)
	require.Equal(t, records[0], at[0])
	for words, seqs := range map[string][]uint64{"xyzzy": {1}, "plain": {0, 1, 2}} {
		sel, err := s.Select(ctx, tl.Tenant.ID, &timeline.Filter{Words: []string{words}, To: everything, Limit: 10})
		require.NoError(t, err)
		require.Equal(t, seqs, seqsOf(sel.Records), words)
	}
	counts, err := s.Count(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, uint64(2), counts.Redacted)
	again := tl.Batch(Spec{N: 4})
	again.Redacted = []uint64{0}
	require.NoError(t, s.Append(ctx, again), "erasing twice is harmless")
}

func testState(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	put := func(n int, rows ...standing.Row) {
		b := tl.Batch(Spec{N: n})
		b.State = rows
		require.NoError(t, s.Append(ctx, b))
		tl.Done(b)
	}
	row := func(k, v string) standing.Row { return standing.Row{Key: k, Value: []byte(v)} }
	put(0, row("m", "1"), row("b", "1"), row("z", "1"))
	put(1, row("b", "2"), standing.Row{Key: "z"}, standing.Row{Key: "never"}, row("a", "3"))
	_, rows, err := s.State(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, []standing.Row{row("a", "3"), row("b", "2"), row("m", "1")}, rows)
	var many []standing.Row
	for i := range 100 {
		many = append(many, row(fmt.Sprintf("k%03d", i), fmt.Sprint(i)))
	}
	put(2, many...)
	put(3, many...)
	_, rows, err = s.State(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Len(t, rows, 103)
}

func testCheckpoints(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	var sizes []uint64
	for i, n := range []int{3, 1, 5, 1} {
		b := grow(t, s, tl, numbered(100*i, n)...)
		sizes = append(sizes, b.Head.Size)
	}
	for seq := range tl.Head.Size {
		size, note, err := s.Checkpoint(ctx, tl.Tenant.ID, seq)
		require.NoError(t, err)
		i := slices.IndexFunc(sizes, func(size uint64) bool { return size > seq })
		require.Equal(t, sizes[i], size)
		require.Equal(t, fmt.Sprintf("note of %s at %d", tl.Tenant.Slug, size), string(note))
	}
	for _, seq := range []uint64{tl.Head.Size, everything} {
		_, _, err := s.Checkpoint(ctx, tl.Tenant.ID, seq)
		require.ErrorIs(t, err, timeline.ErrCheckpointUnknown)
	}
}

func testHashes(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	for n := 0; n < 800; {
		size := 1 + (n*7)%300
		grow(t, s, tl, numbered(n, size)...)
		n += size
	}
	records := readAll(t, s, tl.Tenant.ID)
	leaves, err := s.Hashes(ctx, tl.Tenant.ID, 0, 250, 260)
	require.NoError(t, err)
	for i, h := range leaves {
		require.Equal(t, records[250+i].Leaf, h)
	}
	whole := tl.Head.Size / 256
	stored, err := s.Hashes(ctx, tl.Tenant.ID, 8, 0, whole)
	require.NoError(t, err)
	require.Len(t, stored, int(whole))
	for i, h := range stored {
		sub := &tree.Range{}
		for _, r := range records[256*i : 256*(i+1)] {
			sub.Append(r.Leaf, nil)
		}
		require.Equal(t, sub.Root(), h)
	}
	for _, ask := range []struct {
		level    int
		from, to uint64
	}{{8, 0, whole + 1}, {8, whole, whole + 1}, {16, 0, 1}, {0, 0, tl.Head.Size + 1}, {0, 5, 3}} {
		_, err := s.Hashes(ctx, tl.Tenant.ID, ask.level, ask.from, ask.to)
		require.Equal(t, fault.Internal, fault.KindOf(err), "%v", ask)
	}
	none, err := s.Hashes(ctx, tl.Tenant.ID, 8, 1, 1)
	require.NoError(t, err)
	require.Empty(t, none)

	high := tl.Batch(Spec{N: 5000})
	high.Subtrees = append(high.Subtrees, tree.Subtree{Level: 16, Index: 0, Hash: span.Sum([]byte("high"))})
	require.NoError(t, s.Append(ctx, high))
	stored, err = s.Hashes(ctx, tl.Tenant.ID, 16, 0, 1)
	require.NoError(t, err)
	require.Equal(t, []span.Hash{span.Sum([]byte("high"))}, stored)
}

func testEpoch(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	grow(t, s, tl, Spec{N: 0})
	b := tl.Batch(Spec{N: 1})
	b.Epoch = &timeline.Epoch{Origin: "origin/1", LogKey: "key 1"}
	require.NoError(t, s.Append(ctx, b))
	got, err := s.TenantByID(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, "origin/1", got.Origin)
	require.Equal(t, "key 1", got.LogKey)
	require.Equal(t, tl.Tenant.Name, got.Name)
}

func testLinks(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	grow(t, s, tl, Spec{N: 0}, Spec{N: 1, Causes: []string{ID(0)}}, Spec{N: 2, Causes: []string{ID(0), ID(1)}, Targets: []string{ID(0)}})
	b := tl.Batch(Spec{N: 3, Targets: []string{ID(0)}})
	b.Embedded = []string{Identity("x"), Identity("y")}
	require.NoError(t, s.Append(ctx, b))
	tl.Done(b)
	again := tl.Batch(Spec{N: 4})
	again.Embedded = []string{Identity("x")}
	require.NoError(t, s.Append(ctx, again))

	causes, err := s.Linked(ctx, tl.Tenant.ID, timeline.LinkCause, []string{ID(1), ID(0), ID(77)}, 10)
	require.NoError(t, err)
	require.Equal(t, []timeline.Link{{ID: ID(1), From: 2}, {ID: ID(0), From: 1}, {ID: ID(0), From: 2}}, causes)
	targets, err := s.Linked(ctx, tl.Tenant.ID, timeline.LinkTarget, []string{ID(0)}, 10)
	require.NoError(t, err)
	require.Equal(t, []timeline.Link{{ID: ID(0), From: 2}, {ID: ID(0), From: 3}}, targets)
	few, err := s.Linked(ctx, tl.Tenant.ID, timeline.LinkCause, []string{ID(1), ID(0)}, 2)
	require.NoError(t, err)
	require.Equal(t, causes[:2], few)

	other := NewTimeline("b")
	b = other.Batch(Spec{N: 0})
	b.Embedded = []string{Identity("x")}
	require.NoError(t, s.Append(ctx, b))
	holding, err := s.Holding(ctx, Identity("x"))
	require.NoError(t, err)
	want := []string{tl.Tenant.ID, other.Tenant.ID}
	slices.Sort(want)
	require.Equal(t, want, holding)
	holding, err = s.Holding(ctx, Identity("y"))
	require.NoError(t, err)
	require.Equal(t, []string{tl.Tenant.ID}, holding)
}

func testCounts(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	grow(t, s, tl, Spec{N: 0, Type: "b.x"}, Spec{N: 1, Type: "a.y", Author: Identity("z")}, Spec{N: 2, Type: "b.x", Status: timeline.StatusGhost}, Spec{N: 3, Type: "b", Status: timeline.StatusPending},
		Spec{N: 4, Type: "b", Visibility: span.VisibilityPrivate}, Spec{N: 5, Type: "secret.plan", Visibility: span.VisibilityPrivate})
	got, err := s.Count(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, timeline.Counts{
		Size: 6, Authors: 2, FirstAt: span.FormatTime(epoch),
		Types:    []timeline.Tally{{Value: "a.y", Count: 1}, {Value: "b", Count: 1}, {Value: "b.x", Count: 2}},
		Statuses: []timeline.Tally{{Value: "executed", Count: 4}, {Value: "ghost", Count: 1}, {Value: "pending", Count: 1}},
	}, got)
}

func seqsOf(records []timeline.Record) []uint64 {
	var out []uint64
	for _, r := range records {
		out = append(out, r.Seq)
	}
	return out
}
