package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// whole is all that a snapshot gives of one tenant, sorted.
type whole struct {
	tenants     []timeline.Tenant
	head        timeline.Head
	state       []standing.Row
	entries     []timeline.Record
	checkpoints []timeline.Note
	postings    []timeline.Posting
	subtrees    []tree.Subtree
	embedded    []string
}

func keeper(t *testing.T, s timeline.Store) timeline.Keeper {
	t.Helper()
	k, ok := s.(timeline.Keeper)
	require.True(t, ok, "every store is a timeline.Keeper")
	return k
}

func examine(t *testing.T, k timeline.Keeper, tenant string) (w whole) {
	t.Helper()
	require.NoError(t, k.Snapshot(t.Context(), func(p timeline.Snapshot) error {
		w = examineAll(t, p, tenant)
		return nil
	}))
	return w
}

func examineAll(t *testing.T, p timeline.Snapshot, tenant string) (w whole) {
	t.Helper()
	ctx := t.Context()
	var err error
	w.tenants, err = p.Tenants(ctx)
	require.NoError(t, err)
	w.head, w.state, err = p.State(ctx, tenant)
	require.NoError(t, err)
	for {
		page, err := p.Entries(ctx, tenant, uint64(len(w.entries)))
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		w.entries = append(w.entries, page...)
	}
	for after := uint64(0); ; after = w.checkpoints[len(w.checkpoints)-1].Size {
		page, err := p.Checkpoints(ctx, tenant, after, 2)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), 2)
		if len(page) == 0 {
			break
		}
		w.checkpoints = append(w.checkpoints, page...)
	}
	require.NoError(t, p.Postings(ctx, tenant, func(q timeline.Posting) error { w.postings = append(w.postings, q); return nil }))
	require.NoError(t, p.Subtrees(ctx, tenant, func(h tree.Subtree) error { w.subtrees = append(w.subtrees, h); return nil }))
	w.embedded, err = p.Embedded(ctx, tenant)
	require.NoError(t, err)
	sortPostings(w.postings)
	slices.SortFunc(w.subtrees, func(a, b tree.Subtree) int { return cmp.Or(a.Level-b.Level, cmp.Compare(a.Index, b.Index)) })
	return w
}

func sortPostings(ps []timeline.Posting) {
	slices.SortFunc(ps, func(a, b timeline.Posting) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Value, b.Value))
	})
}

// kept appends a timeline with something in every place to look at, and gives
// what a snapshot of it must hold.
func kept(t *testing.T, s timeline.Store, tl *Timeline) (want whole) {
	t.Helper()
	specs := make([]Spec, 300)
	for i := range specs {
		specs[i] = Spec{N: i + 1}
	}
	specs[3] = Spec{N: 4, OnBehalfOf: Identity("x"), Subject: "order 1", Tags: []string{"a", "b"}, Causes: []string{ID(1), ID(2)}, Targets: []string{ID(1)}, Visibility: span.VisibilityPrivate}
	specs[4] = Spec{N: 5, Refuses: ID(9001), Visibility: span.VisibilityPublic, NoDetail: true}
	var rows []timeline.RebuiltRow
	for _, part := range [][]Spec{specs[:3], specs[3:5], specs[5:]} {
		b := tl.Batch(part...)
		b.State = []standing.Row{{Key: "k/" + part[0].Type, Value: []byte{1}}}
		b.Embedded = []string{Identity("held")}
		if b.ExpectedSize == 3 {
			b.Statuses = []standing.StatusChange{{SpanID: ID(1), Seq: 0, Status: timeline.StatusReverted}}
			b.Redacted = []uint64{1}
		}
		require.NoError(t, s.Append(t.Context(), b))
		tl.Done(b)
		for i := range b.Rows {
			rows = append(rows, timeline.RebuiltRow{Row: b.Rows[i]})
		}
		for _, id := range b.Spent {
			rows[id.Seq].Spent = append(rows[id.Seq].Spent, id)
		}
		want.checkpoints = append(want.checkpoints, timeline.Note{Size: b.Head.Size, Text: b.Head.Checkpoint})
		want.subtrees = append(want.subtrees, b.Subtrees...)
		want.head, want.state, want.embedded = b.Head, b.State, b.Embedded
	}
	rows[0].Status, rows[1].Redacted = timeline.StatusReverted, true
	rows[1].Payload, rows[1].Salt, rows[1].Detail = nil, "", nil
	want.tenants = []timeline.Tenant{tl.Tenant}
	want.tenants[0].Size = want.head.Size
	for i := range rows {
		r := &rows[i]
		r.Row.Postings(r.Spent, r.Redacted, func(q timeline.Posting) { want.postings = append(want.postings, q) })
		want.entries = append(want.entries, timeline.Record{
			Seq: r.Seq, Line: r.Line, Leaf: r.Leaf, Payload: r.Payload, Salt: r.Salt, Detail: r.Detail, Status: r.Status, Redacted: r.Redacted,
		})
	}
	sortPostings(want.postings)
	return want
}

func testSnapshot(t *testing.T, s timeline.Store) {
	k := keeper(t, s)
	other := NewTimeline("other")
	tl := NewTimeline("whole")
	append1(t, s, other, Spec{N: 7000, Tags: []string{"theirs"}})
	want := kept(t, s, tl)
	append1(t, s, other, Spec{N: 7001, Tags: []string{"theirs"}})
	got := examine(t, k, tl.Tenant.ID)
	require.Len(t, got.tenants, 2)
	got.tenants = slices.DeleteFunc(got.tenants, func(t timeline.Tenant) bool { return t.ID != tl.Tenant.ID })
	require.Equal(t, want, got)
}

func append1(t *testing.T, s timeline.Store, tl *Timeline, specs ...Spec) *timeline.Batch {
	t.Helper()
	b := tl.Batch(specs...)
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	return b
}

// testSnapshotMoment: what is appended while a snapshot is read is not in it.
func testSnapshotMoment(t *testing.T, s timeline.Store) {
	k := keeper(t, s)
	tl := NewTimeline("moment")
	append1(t, s, tl, Spec{N: 1})
	done := make(chan error, 1)
	require.NoError(t, k.Snapshot(t.Context(), func(p timeline.Snapshot) error {
		b := tl.Batch(Spec{N: 2})
		go func() { done <- s.Append(context.WithoutCancel(t.Context()), b) }()
		var early bool
		select { // an append waits for the snapshot or passes by it
		case err := <-done:
			require.NoError(t, err)
			early = true
		case <-time.After(200 * time.Millisecond):
		}
		got := examineAll(t, p, tl.Tenant.ID)
		require.EqualValues(t, 1, got.head.Size)
		require.EqualValues(t, 1, got.tenants[0].Size)
		require.Len(t, got.entries, 1)
		require.Len(t, got.checkpoints, 1)
		for _, q := range got.postings {
			require.Zero(t, q.Seq)
		}
		if early {
			done <- nil
		}
		return nil
	}))
	require.NoError(t, <-done)
	require.EqualValues(t, 2, examine(t, k, tl.Tenant.ID).head.Size)
	sentinel := errors.New("of the reader")
	require.ErrorIs(t, k.Snapshot(t.Context(), func(timeline.Snapshot) error { return sentinel }), sentinel)
}

// testRebuild puts other derived values in the place of all there are.
func testRebuild(t *testing.T, s timeline.Store) {
	k := keeper(t, s)
	tl := NewTimeline("rebuilt")
	kept(t, s, tl)
	other := NewTimeline("beside")
	append1(t, s, other, Spec{N: 1, Tags: []string{"a"}})
	before, beside := examine(t, k, tl.Tenant.ID), examine(t, k, other.Tenant.ID)

	want := before
	want.tenants = slices.Clone(before.tenants)
	want.head.Root, want.head.Edge = span.Sum([]byte("r")), []span.Hash{span.Sum([]byte("e"))}
	want.head.RecordedAt, want.head.Checkpoint = "2027-01-01T00:00:00.000Z", []byte("another note")
	want.state = []standing.Row{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}}
	want.subtrees = []tree.Subtree{{Level: 8, Index: 0, Hash: span.Sum([]byte("s"))}}
	want.embedded = []string{Identity("p"), Identity("q")}
	slices.Sort(want.embedded)
	want.postings = nil
	want.entries = slices.Clone(before.entries)
	record := tl.Tenant
	record.Slug, record.Name, record.Node, record.Owner, record.Origin, record.LogKey = "slug-else", "n", "o", "w", "r", "k"
	rows := make([]timeline.RebuiltRow, len(before.entries))
	for i := range rows {
		e := &want.entries[i]
		e.Leaf, e.Status = span.Sum([]byte{byte(i)}), timeline.StatusPending
		if e.Redacted = i == 2 || i == 1; e.Redacted {
			e.Payload, e.Salt, e.Detail = nil, "", nil
		}
		rows[i] = timeline.RebuiltRow{
			Row: timeline.Row{
				Seq: uint64(i), Line: e.Line, Leaf: e.Leaf, ID: ID(i + 5000), RecordedAt: "2027-01-01T00:00:00.000Z", Type: "else", Author: Identity("z"),
				Visibility: span.VisibilityPublic, Status: e.Status, Tags: []string{"t"}, Links: []timeline.RowLink{{Kind: timeline.LinkTarget, ID: ID(8000)}},
			},
			Spent:    []timeline.SpentID{{ID: ID(i + 5000), Spent: timeline.Spent{Seq: uint64(i), By: timeline.SpentByEntry}}},
			Redacted: e.Redacted,
		}
		rows[i].Row.Postings(rows[i].Spent, e.Redacted, func(q timeline.Posting) { want.postings = append(want.postings, q) })
	}
	sortPostings(want.postings)
	for i := range want.tenants {
		if want.tenants[i].ID == tl.Tenant.ID {
			size := want.tenants[i].Size
			want.tenants[i] = record
			want.tenants[i].Size = size
		}
	}
	rebuilt := &timeline.Rebuilt{
		Tenant: record, Head: want.head, State: want.state, Subtrees: want.subtrees, Embedded: want.embedded,
		Rows: func(ctx context.Context, each func(timeline.RebuiltRow) error) error {
			for _, r := range rows {
				if err := each(r); err != nil {
					return err
				}
			}
			return ctx.Err()
		},
	}
	record.PublicReading = !record.PublicReading
	rebuilt.Tenant.PublicReading, rebuilt.Tenant.CreatedAt = record.PublicReading, "never"

	stale := *rebuilt
	stale.Head.Size--
	require.ErrorIs(t, k.Rebuild(t.Context(), &stale), timeline.ErrRebuildStale)
	failing := *rebuilt
	sentinel := errors.New("the lines cannot be read")
	failing.Rows = func(context.Context, func(timeline.RebuiltRow) error) error { return sentinel }
	require.ErrorIs(t, k.Rebuild(t.Context(), &failing), sentinel)
	require.Equal(t, before, examine(t, k, tl.Tenant.ID), "nothing was changed")

	require.NoError(t, k.Rebuild(t.Context(), rebuilt))
	require.Equal(t, want, examine(t, k, tl.Tenant.ID))
	_, err := s.TenantBySlug(t.Context(), "slug-else")
	require.NoError(t, err)
	_, err = s.TenantBySlug(t.Context(), tl.Tenant.Slug)
	require.ErrorIs(t, err, timeline.ErrTenantUnknown)
	held, err := s.Holding(t.Context(), Identity("p"))
	require.NoError(t, err)
	require.Equal(t, []string{tl.Tenant.ID}, held)
	page, err := s.Select(t.Context(), tl.Tenant.ID, &timeline.Filter{Types: []string{"else"}, To: want.head.Size, Limit: 1000})
	require.NoError(t, err)
	require.Len(t, page.Records, len(rows))

	after := examine(t, k, other.Tenant.ID)
	beside.tenants, after.tenants = nil, nil
	require.Equal(t, beside, after, "the other tenant is untouched")
	unknown := *rebuilt
	unknown.Tenant.ID = NewTimeline("nobody").Tenant.ID
	require.ErrorIs(t, k.Rebuild(t.Context(), &unknown), timeline.ErrTenantUnknown)
}

// testEarlier: a batch keeps the checkpoints of sizes inside it.
func testEarlier(t *testing.T, s timeline.Store) {
	tl := NewTimeline("copied")
	b := tl.Batch(Spec{N: 1}, Spec{N: 2}, Spec{N: 3}, Spec{N: 4})
	b.Earlier = []timeline.Note{{Size: 1, Text: []byte("one")}, {Size: 3, Text: []byte("three")}}
	bad := *b
	bad.Earlier = []timeline.Note{{Size: 4, Text: []byte("four")}}
	require.Error(t, s.Append(t.Context(), &bad))
	require.NoError(t, s.Append(t.Context(), b))
	for seq, want := range map[uint64]timeline.Note{0: b.Earlier[0], 1: b.Earlier[1], 2: b.Earlier[1], 3: {Size: 4, Text: b.Head.Checkpoint}} {
		size, note, err := s.Checkpoint(t.Context(), tl.Tenant.ID, seq)
		require.NoError(t, err)
		require.Equal(t, want, timeline.Note{Size: size, Text: note})
	}
}

// Whole is everything that a store keeps of a tenant, for comparison with what
// another keeps.
func Whole(t *testing.T, k timeline.Keeper, tenant string) any {
	t.Helper()
	w := examine(t, k, tenant)
	w.tenants = slices.DeleteFunc(w.tenants, func(t timeline.Tenant) bool { return t.ID != tenant })
	return w
}
