package timeline_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

func (w *world) pages(q timeline.Query, r standing.Reader) []uint64 {
	w.t.Helper()
	var seqs []uint64
	for range 1000 {
		page, err := w.log.Query(w.t.Context(), "acme", q, r)
		require.NoError(w.t, err)
		for _, rec := range page.Records {
			require.NotNil(w.t, rec.Entry)
			seqs = append(seqs, rec.Seq)
		}
		if page.Next == "" {
			return seqs
		}
		q.Cursor = page.Next
	}
	w.t.Fatal("the pages do not end")
	return nil
}

func TestQueryPages(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		w.append(w.plain(250)...)
		var want []uint64
		for i := range uint64(250) {
			want = append(want, i+5)
		}
		q := timeline.Query{Types: []string{"note.*"}}
		require.Equal(t, want, w.pages(q, all))
		page, err := w.log.Query(t.Context(), w.tenant, q, all)
		require.NoError(t, err)
		require.Len(t, page.Records, timeline.DefaultLimit)
		q.Limit, q.Descending = 7, true
		slices.Reverse(want)
		require.Equal(t, want, w.pages(q, all))

		// New entries do not move the pages of an ascending walk.
		first, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Limit: 10}, all)
		require.NoError(t, err)
		w.append(w.plain(3)...)
		second, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Limit: 10, Cursor: first.Next}, all)
		require.NoError(t, err)
		require.Equal(t, uint64(10), second.Records[0].Seq)
	})
}

// Entries by any of some authors come in the timeline's order, each once, in pages
// of whatever size, also where what was found of one of them ends early.
func TestQueryByAuthorAndOthers(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		w.append(w.plain(60)...)
		authors := map[string]bool{}
		var want []uint64
		page, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Limit: timeline.MaxLimit}, all)
		require.NoError(t, err)
		for _, rec := range page.Records {
			authors[rec.Entry.Span.Author] = true
			want = append(want, rec.Seq)
		}
		require.GreaterOrEqual(t, len(authors), 2, "the node's and the owner's")
		names := slices.Sorted(maps.Keys(authors))
		q := timeline.Query{Author: names[0], Also: append(names[1:], names[0])}
		for _, q.Limit = range []int{1, 2, 7, 100} {
			require.Equal(t, want, w.pages(q, all), q.Limit)
		}
		q.Descending = true
		down := slices.Clone(want)
		slices.Reverse(down)
		for _, q.Limit = range []int{1, 7, 100} {
			require.Equal(t, down, w.pages(q, all), q.Limit)
		}
		require.Equal(t, w.pages(timeline.Query{Author: names[1]}, all), w.pages(timeline.Query{Author: names[1], Also: names[1:2]}, all))
		_, err = w.log.Query(t.Context(), w.tenant, timeline.Query{Also: names}, all)
		require.Equal(t, "query_invalid", fault.CodeOf(err))
	})
}

func TestQueryRefusesBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	var many strings.Builder
	for i := range 65 {
		fmt.Fprintf(&many, "w%d ", i)
	}
	for _, q := range []string{many.String(), "--", "🎉", "%"} {
		_, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Q: q}, all)
		require.Equal(t, "query_invalid", fault.CodeOf(err), q)
		require.Equal(t, "/q", fault.From(err).Fields[0].Pointer)
	}
	for pointer, q := range map[string]timeline.Query{
		"/type":   {Types: []string{"A B"}},
		"/author": {Author: "me"},
		"/cause":  {Cause: "x"},
		"/since":  {Since: "yesterday"},
		"/until":  {Until: "2026-01-01"},
		"/limit":  {Limit: 1001},
		"/status": {Status: "done"},
	} {
		_, err := w.log.Query(t.Context(), w.tenant, q, all)
		require.Equal(t, "query_invalid", fault.CodeOf(err), pointer)
		require.Equal(t, pointer, fault.From(err).Fields[0].Pointer)
	}
	page, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Limit: 1}, all)
	require.NoError(t, err)
	for _, cursor := range []string{"x", "AAAA", page.Next + "A", page.Next[1:], strings.ToUpper(page.Next)} {
		_, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Limit: 1, Cursor: cursor}, all)
		require.Equal(t, "cursor_invalid", fault.CodeOf(err), cursor)
	}
	_, err = w.log.Query(t.Context(), w.tenant, timeline.Query{Q: "other", Cursor: page.Next}, all)
	require.Equal(t, "cursor_invalid", fault.CodeOf(err), "a cursor of another query")
	_, err = w.log.Query(t.Context(), w.tenant, timeline.Query{Limit: 5, Cursor: page.Next}, all)
	require.NoError(t, err, "the limit may change on the way")
}

// TestVisibilityEverywhere holds each way of reading to the same rule.
func TestVisibilityEverywhere(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		friend := storetest.Identity("friend")
		with := func(visibility, onBehalfOf string, causes ...string) timeline.Draft {
			return w.by("note.taken", `{"w":"needle"}`, func(h *span.Header) {
				h.Visibility, h.OnBehalfOf, h.Causes = visibility, onBehalfOf, causes
			})
		}
		root := with(span.VisibilityPublic, "")
		drafts := []timeline.Draft{
			root, with(span.VisibilityPrivate, "", root.Span.ID), with(span.VisibilityOrganization, "", root.Span.ID),
			with(span.VisibilityPrivate, friend, root.Span.ID), with(span.VisibilityPublic, "", root.Span.ID),
		}
		leaf := with(span.VisibilityPublic, "", drafts[1].Span.ID, drafts[4].Span.ID)
		drafts = append(drafts, leaf)
		w.append(drafts...)
		for name, c := range map[string]struct {
			reader standing.Reader
			sees   []uint64
		}{
			"nobody":  {standing.Reader{}, nil},
			"public":  {standing.Reader{Public: true}, []uint64{5, 9, 10}},
			"member":  {standing.Reader{Organization: true, Public: true}, []uint64{5, 7, 9, 10}},
			"friend":  {standing.Reader{Identity: friend, Public: true}, []uint64{5, 8, 9, 10}},
			"auditor": {all, []uint64{5, 6, 7, 8, 9, 10}},
			"author":  {standing.Reader{Identity: w.owner.ID()}, []uint64{5, 6, 7, 8, 9, 10}},
		} {
			require.Equal(t, c.sees, w.pages(timeline.Query{Q: "Needle", Limit: 2}, c.reader), name)
			records, _, err := w.log.Entries(t.Context(), w.tenant, 5, 11, c.reader)
			require.NoError(t, err)
			require.Equal(t, c.sees, seqsOf(records), name)
			for i, d := range drafts {
				seq := uint64(5 + i)
				rec, err := w.log.Get(t.Context(), w.tenant, d.Span.ID)
				require.NoError(t, err)
				require.Equal(t, slices.Contains(c.sees, seq), rec.VisibleTo(c.reader))
				_, errTrace := w.log.Trace(t.Context(), w.tenant, d.Span.ID, timeline.Causes, 1, c.reader)
				_, errWhy := w.log.Why(t.Context(), w.tenant, d.Span.ID, c.reader)
				if slices.Contains(c.sees, seq) {
					require.NoError(t, errTrace)
					require.NoError(t, errWhy)
					continue
				}
				_, unknown := w.log.Why(t.Context(), w.tenant, storetest.ID(1), c.reader)
				require.Equal(t, unknown, errTrace, "hidden is not told from missing")
				require.Equal(t, unknown, errWhy)
			}
		}
		g, err := w.log.Trace(t.Context(), w.tenant, leaf.Span.ID, timeline.Causes, 5, standing.Reader{Public: true})
		require.NoError(t, err)
		require.Equal(t, []string{drafts[1].Span.ID}, g.Unresolved)
		require.Equal(t, []uint64{10, 9, 5}, nodeSeqs(g.Nodes))
		g, err = w.log.Trace(t.Context(), w.tenant, root.Span.ID, timeline.Effects, 5, standing.Reader{Public: true})
		require.NoError(t, err)
		require.Equal(t, []uint64{5, 9, 10}, nodeSeqs(g.Nodes))
		require.Len(t, g.Edges, 2)
	})
}

func seqsOf(records []timeline.Record) []uint64 {
	var out []uint64
	for _, r := range records {
		out = append(out, r.Seq)
	}
	return out
}

func nodeSeqs(nodes []timeline.Node) []uint64 {
	var out []uint64
	for _, n := range nodes {
		out = append(out, n.Seq)
	}
	return out
}

func TestTraceDepthAndLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	missing := storetest.ID(7)
	var chain []timeline.Draft
	for i := range 70 {
		causes := []string{missing}
		if i > 0 {
			causes = []string{chain[i-1].Span.ID, chain[i-1].Span.ID, chain[max(0, i-2)].Span.ID}
		}
		chain = append(chain, w.by("step.done", `{}`, func(h *span.Header) { h.Causes = causes }))
	}
	w.append(chain...)
	last, first := chain[69].Span.ID, chain[0].Span.ID
	trace := func(id string, dir timeline.Direction, depth int) timeline.Graph {
		g, err := w.log.Trace(t.Context(), w.tenant, id, dir, depth, all)
		require.NoError(t, err)
		return g
	}
	require.Len(t, trace(last, timeline.Causes, 0).Nodes, 11, "five steps, two spans each")
	require.Len(t, trace(first, timeline.Effects, 1).Nodes, 3)
	whole := trace(last, timeline.Causes, 64)
	require.Len(t, whole.Nodes, 70)
	require.Equal(t, []string{missing}, whole.Unresolved)
	require.Len(t, whole.Edges, 69+68, "each edge once")
	require.Len(t, trace(first, timeline.Effects, 64).Edges, 69+68)
	require.Empty(t, trace(first, timeline.Effects, 64).Unresolved)
	for _, depth := range []int{-1, 65} {
		_, err := w.log.Trace(t.Context(), w.tenant, last, timeline.Causes, depth, all)
		require.Equal(t, "depth_invalid", fault.CodeOf(err))
	}
}

func TestTraceStopsAtItsLimit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("appends 10,100 signed spans")
	}
	w := newWorld(t, memstore.New(), "")
	root := w.by("step.done", `{}`, nil)
	drafts := []timeline.Draft{root}
	for range 10_100 {
		drafts = append(drafts, w.by("step.done", `{}`, func(h *span.Header) { h.Causes = []string{root.Span.ID} }))
	}
	w.append(drafts...)
	g, err := w.log.Trace(t.Context(), w.tenant, root.Span.ID, timeline.Effects, 3, all)
	require.NoError(t, err)
	require.True(t, g.Truncated)
	require.Len(t, g.Nodes, 10_000)
	require.Len(t, g.Edges, 9_999)
}

func TestWhyTellsKeyRolesAndActs(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		agent, err := id.NewKeys(id.SubjectAgent, w.now, w.random)
		require.NoError(t, err)
		event, device, err := agent.Delegate("phone", []string{"pay.**"}, "", w.now, w.random)
		require.NoError(t, err)
		w.append(w.embed(agent.Events()[0]), w.embed(event.Raw), w.grant(agent.ID(), "agent"))
		cause := w.by("pay.asked", `{}`, nil)
		detail := &span.Detail{Salt: span.B64(w.bytes(16)), Notes: []string{"because"}}
		paid := w.seal(device, agent.ID(), "pay.out", []byte(`{"to":"x"}`), func(h *span.Header) {
			h.Causes = []string{cause.Span.ID, storetest.ID(1)}
			h.OnBehalfOf = w.owner.ID()
		})
		paid.Detail, paid.Decision.DetailHash = detail.Canonical(), detail.Hash().String()
		effect := w.by("pay.seen", `{}`, func(h *span.Header) { h.Causes = []string{paid.Span.ID} })
		w.append(cause, paid, effect)
		// Later: more roles, another key, reverted and redacted.
		w.append(w.grant(agent.ID(), "auditor"))
		rotation, err := agent.Rotate(w.now, w.random)
		require.NoError(t, err)
		revert := w.by(span.TypeRevert, `{"header_hash":"`+hashOf(paid)+`","reason":"mistake","span":"`+paid.Span.ID+`"}`, nil)
		redaction := w.by(span.TypeRedaction, `{"reason":"asked","spans":[{"header_hash":"`+hashOf(paid)+`","span":"`+paid.Span.ID+`"}]}`, nil)
		w.append(w.embed(rotation.Raw), revert, redaction)

		why, err := w.log.Why(t.Context(), "acme", paid.Span.ID, all)
		require.NoError(t, err)
		require.Equal(t, timeline.Signer{
			Identity: agent.ID(), Subject: "agent", Key: device.Public(), Label: "phone", Types: []string{"pay.**"}, Roles: []string{"agent"},
		}, why.Signer)
		require.Equal(t, w.owner.ID(), why.OnBehalfOf)
		require.Equal(t, timeline.StatusReverted, why.Record.Status)
		require.True(t, why.Record.Redacted)
		require.Nil(t, why.Record.Payload)
		require.Nil(t, why.Record.Detail)
		require.Equal(t, []string{storetest.ID(1)}, why.Unresolved)
		require.Equal(t, cause.Span.ID, why.Causes[0].ID)
		require.Equal(t, effect.Span.ID, why.Effects[0].ID)
		require.Len(t, why.Acts, 2)
		require.Equal(t, revert.Span.ID, why.Acts[0].ID)
		require.Equal(t, "mistake", why.Acts[0].Reason)
		require.Equal(t, redaction.Span.ID, why.Acts[1].ID)
		require.Equal(t, "asked", why.Acts[1].Reason)
		w.verifyReceipt(why.Receipt)

		genesis := w.entries()[0]
		why, err = w.log.Why(t.Context(), "acme", genesis.Entry.Span.ID, all)
		require.NoError(t, err)
		require.True(t, why.Signer.Primary)
		require.Equal(t, "node", why.Signer.Subject)
	})
}

func TestStandingAtPosition(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		old := w.owner.Signer().Public()
		member, err := id.NewKeys(id.SubjectPerson, w.now, w.random)
		require.NoError(t, err)
		w.append(w.plain(3)...)                                               // 5, 6, 7
		w.append(w.embed(member.Events()[0]), w.grant(member.ID(), "member")) // 8, 9
		rotation, err := w.owner.Rotate(w.now, w.random)
		require.NoError(t, err)
		w.append(w.embed(rotation.Raw)) // 10
		w.append(w.plain(2)...)         // 11, 12
		for seq, want := range map[uint64]struct {
			roles  []string
			oldKey bool
		}{5: {nil, true}, 9: {nil, true}, 10: {[]string{"member"}, true}, 11: {[]string{"member"}, false}, 99: {[]string{"member"}, false}} {
			v, err := w.log.StandingAt(t.Context(), w.tenant, seq)
			require.NoError(t, err)
			require.Equal(t, want.roles, v.Roles(member.ID()), seq)
			chain, ok := v.Identity(w.owner.ID())
			require.True(t, ok)
			_, ok = chain.Key(old)
			require.Equal(t, want.oldKey, ok, seq)
		}
	})
}

func TestStats(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		w.append(w.plain(3)...)
		got, err := w.log.Stats(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, uint64(8), got.Size)
		require.Equal(t, w.head().Root, got.Root)
		require.Equal(t, uint64(2), got.Authors)
		require.Contains(t, got.Types, timeline.Tally{Value: "note.taken", Count: 3})
		require.Equal(t, []timeline.Tally{{Value: "executed", Count: 8}}, got.Statuses)
		require.Equal(t, w.head().RecordedAt, got.LastAt)
	})
}

func FuzzCursor(f *testing.F) {
	w := newWorld(f, memstore.New(), "")
	w.append(w.plain(5)...)
	page, err := w.log.Query(f.Context(), w.tenant, timeline.Query{Limit: 2}, all)
	require.NoError(f, err)
	f.Add(page.Next)
	f.Add("")
	f.Add("AQAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		got, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Limit: 2, Cursor: cursor}, all)
		if err != nil {
			require.Equal(t, "cursor_invalid", fault.CodeOf(err), fmt.Sprintf("%q", cursor))
			return
		}
		require.LessOrEqual(t, len(got.Records), 2)
	})
}

// TestPagesAreBoundedInBytes: a thousand large entries are more than one page.
func TestPagesAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		big := `{"s":"` + strings.Repeat("x", 1<<20-100) + `"}`
		for range 5 {
			w.append(w.by("note.big", big, nil), w.by("note.big", big, nil), w.by("note.big", big, nil), w.by("note.big", big, nil))
		}
		q := timeline.Query{Types: []string{"note.big"}, Limit: 1000}
		total, pages := 0, 0
		for {
			page, err := w.log.Query(t.Context(), w.tenant, q, all)
			require.NoError(t, err)
			size := 0
			for i := range page.Records {
				size += len(page.Records[i].Line) + len(page.Records[i].Payload) + len(page.Records[i].Detail)
			}
			require.LessOrEqual(t, size, timeline.MaxPageBytes+(1<<20))
			total, pages = total+len(page.Records), pages+1
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		require.Equal(t, 20, total)
		require.LessOrEqual(t, pages, 3)
	})
}

// widest notes how many entries a reader asks a store for at once.
type widest struct {
	timeline.Store
	at *int
}

func (s widest) At(ctx context.Context, tenant string, seqs []uint64, full bool) ([]timeline.Record, error) {
	*s.at = max(*s.at, len(seqs))
	return s.Store.At(ctx, tenant, seqs, full)
}

// TestTraceHoldsLittle: however wide the graph, few whole entries are read at
// a time.
func TestTraceHoldsLittle(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	w := newWorld(t, store, "")
	root := w.by("note.taken", `{}`, nil)
	drafts := []timeline.Draft{root}
	for range 700 {
		drafts = append(drafts, w.by("note.taken", `{}`, func(h *span.Header) { h.Causes = []string{root.Span.ID} }))
	}
	for first := 1; first <= 640; first += 64 {
		drafts = append(drafts, w.by("note.taken", `{}`, func(h *span.Header) {
			for _, d := range drafts[first : first+64] {
				h.Causes = append(h.Causes, d.Span.ID)
			}
		}))
	}
	w.append(drafts...)
	end := w.by("note.taken", `{}`, func(h *span.Header) {
		for _, d := range drafts[701:] {
			h.Causes = append(h.Causes, d.Span.ID)
		}
	})
	w.append(end)
	var at int
	w.restart(widest{store, &at})
	g, err := w.log.Trace(t.Context(), w.tenant, root.Span.ID, timeline.Effects, 1, all)
	require.NoError(t, err)
	require.Len(t, g.Nodes, 701)
	require.Len(t, g.Edges, 700)
	require.LessOrEqual(t, at, 256)
	at = 0
	g, err = w.log.Trace(t.Context(), w.tenant, end.Span.ID, timeline.Causes, 3, all)
	require.NoError(t, err)
	require.Len(t, g.Nodes, 1+10+640+1)
	require.Len(t, g.Edges, 10+640+640)
	require.LessOrEqual(t, at, 256)
}
