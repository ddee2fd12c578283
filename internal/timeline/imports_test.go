package timeline_test

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// elsewhere is another node's log over a store of its own.
func (w *world) elsewhere(store timeline.Store) *timeline.Log {
	w.t.Helper()
	node, _, err := id.OpenNode(w.t.TempDir(), w.now, w.random)
	require.NoError(w.t, err)
	return timeline.NewLog(store, node, id.StdVerifier(), timeline.Config{Now: w.cfg.Now})
}

func (w *world) bundle(r standing.Reader) []byte {
	w.t.Helper()
	var out bytes.Buffer
	require.NoError(w.t, w.log.Export(w.t.Context(), &out, w.tenant, 0, 0, r))
	return out.Bytes()
}

func exported(t *testing.T, l *timeline.Log, tenant string) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, l.Export(t.Context(), &out, tenant, 0, 0, all))
	return out.Bytes()
}

func take(t *testing.T, l *timeline.Log, raw []byte, change ...func(*timeline.ImportOptions)) (timeline.Imported, error) {
	t.Helper()
	opt := timeline.ImportOptions{Dir: t.TempDir()}
	for _, c := range change {
		c(&opt)
	}
	out, err := l.Import(t.Context(), bytes.NewReader(raw), opt)
	left, globErr := filepath.Glob(filepath.Join(opt.Dir, "*"))
	require.NoError(t, globErr)
	require.Empty(t, left, "a temporary file stays behind")
	return out, err
}

// rich makes a timeline with everything that an import must carry over.
func (w *world) rich() {
	w.t.Helper()
	friend, err := id.NewKeys(id.SubjectPerson, w.now, w.random)
	require.NoError(w.t, err)
	w.append(w.embed(friend.Events()[0]), w.grant(friend.ID(), "member"))
	secret := w.by("note.taken", `{"who":"Bo"}`, func(h *span.Header) { h.Visibility = span.VisibilityPrivate; h.Tags = []string{"a", "b"} })
	w.append(w.plain(3)...)
	w.append(secret)
	undone := w.by("note.taken", `{"n":1}`, func(h *span.Header) { h.Subject = "s" })
	erased := w.by("note.taken", `{"name":"Bo"}`, func(h *span.Header) { h.Causes = []string{undone.Span.ID} })
	w.append(undone, erased)
	ref := func(d timeline.Draft) span.SpanRef { return span.SpanRef{Span: d.Span.ID, HeaderHash: hashOf(d)} }
	w.append(
		w.by(span.TypeRevert, string(w.canonical(span.Revert{Span: undone.Span.ID, HeaderHash: hashOf(undone), Reason: "wrong"})), nil),
		w.by(span.TypeRedaction, string(w.canonical(span.Redaction{Spans: []span.SpanRef{ref(erased)}, Reason: "asked"})), nil),
	)
}

func TestImportIsTheSameTimeline(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		w := newWorld(t, memstore.New(), "")
		w.rich()
		there := w.elsewhere(store)
		first := w.bundle(all)
		out, err := take(t, there, first)
		require.NoError(t, err)
		require.True(t, out.Created)
		require.True(t, out.Tenant.ReadOnly)
		require.Equal(t, w.head().Size, out.To)
		require.Equal(t, string(first), string(exported(t, there, "acme")))

		// Everything that is found by something else than the position.
		mine, err := w.log.Stats(t.Context(), w.tenant)
		require.NoError(t, err)
		theirs, err := there.Stats(t.Context(), w.tenant)
		require.NoError(t, err)
		require.Equal(t, mine, theirs)
		for _, q := range []timeline.Query{{Tag: "b"}, {Subject: "s"}, {Status: timeline.StatusReverted}, {Types: []string{"note.*"}}, {Author: w.owner.ID()}} {
			a, err := w.log.Query(t.Context(), w.tenant, q, all)
			require.NoError(t, err)
			b, err := there.Query(t.Context(), w.tenant, q, all)
			require.NoError(t, err)
			require.NotEmpty(t, a.Records)
			require.Equal(t, a.Records, b.Records)
			for i := range a.Records {
				x, err := w.log.Why(t.Context(), w.tenant, a.Records[i].Entry.Span.ID, all)
				require.NoError(t, err)
				y, err := there.Why(t.Context(), w.tenant, a.Records[i].Entry.Span.ID, all)
				require.NoError(t, err)
				x.Receipt, y.Receipt = timeline.Receipt{}, timeline.Receipt{} // by different checkpoints
				require.Equal(t, x, y)
			}
		}
		holding, err := there.Holding(t.Context(), w.owner.ID())
		require.NoError(t, err)
		require.Equal(t, []string{w.tenant}, holding)
		for seq := range out.To {
			r, err := there.Receipt(t.Context(), w.tenant, seq)
			require.NoError(t, err)
			c, err := tree.OpenNote(r.Checkpoint, out.Tenant.LogKey)
			require.NoError(t, err)
			require.NoError(t, tree.VerifyInclusion(r.Leaf, seq, c.Size, r.Proof, c.Root))
		}
		_, err = there.Begin(t.Context(), w.tenant)
		require.Equal(t, timeline.CodeReadOnly, fault.CodeOf(err))

		// Again changes nothing; more is added, and what was erased meanwhile goes.
		again, err := take(t, there, first)
		require.NoError(t, err)
		require.Equal(t, again.From, again.To)
		require.False(t, again.Created)
		page, err := w.log.Query(t.Context(), w.tenant, timeline.Query{Tag: "a"}, all)
		require.NoError(t, err)
		rec := page.Records[0]
		w.append(w.plain(300)...)
		w.append(w.by(span.TypeRedaction, string(w.canonical(span.Redaction{
			Spans: []span.SpanRef{{Span: rec.Entry.Span.ID, HeaderHash: rec.Entry.Span.Hash().String()}}, Reason: "asked"})), nil))
		longer := w.bundle(all)
		more, err := take(t, there, longer)
		require.NoError(t, err)
		require.Equal(t, [2]uint64{out.To, w.head().Size}, [2]uint64{more.From, more.To})
		require.Equal(t, string(longer), string(exported(t, there, w.tenant)))
		gone, err := there.Get(t.Context(), w.tenant, rec.Entry.Span.ID)
		require.NoError(t, err)
		require.True(t, gone.Redacted)
		require.Nil(t, gone.Payload)

		_, err = take(t, there, first)
		require.ErrorIs(t, err, timeline.ErrImportShrunk)
		require.Equal(t, string(longer), string(exported(t, there, w.tenant)))
	})
}

func TestImportUnderAnotherSlug(t *testing.T) {
	t.Parallel()
	w, second := newWorld(t, memstore.New(), ""), newWorld(t, memstore.New(), "")
	second.random, second.tenant = rand.NewChaCha8([32]byte{9}), ""
	second.restart(memstore.New())
	second.create() // of the same slug, and another tenant
	require.NotEqual(t, w.tenant, second.tenant)
	there := w.elsewhere(memstore.New())
	_, err := take(t, there, w.bundle(all))
	require.NoError(t, err)
	_, err = take(t, there, second.bundle(all))
	require.Equal(t, "slug_taken", fault.CodeOf(err))
	require.ErrorContains(t, err, "--slug")
	slug := func(s string) func(*timeline.ImportOptions) {
		return func(o *timeline.ImportOptions) { o.Slug = s }
	}
	_, err = take(t, there, second.bundle(all), slug("No Slug"))
	require.Equal(t, "slug_invalid", fault.CodeOf(err))
	out, err := take(t, there, second.bundle(all), slug("acme-two"))
	require.NoError(t, err)
	require.Equal(t, "acme-two", out.Tenant.Slug)
	_, err = take(t, there, second.bundle(all), slug("acme-three"))
	require.Equal(t, "slug_fixed", fault.CodeOf(err))
	// The slug is this node's; the bundle keeps that of genesis, and verifies.
	require.Equal(t, string(second.bundle(all)), string(exported(t, there, "acme-two")))
}

// TestImportRefusesForks makes two histories with one log's key, as after a copy
// of a database and its keys.
func TestImportRefusesForks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "logline.db")
	s, end := sqliteAt(t, path)
	w := newWorld(t, s, "")
	w.append(w.plain(2)...)
	common := w.bundle(all)
	end()
	copyFile(t, path, path+".copy")
	history := func(path string, n int) []byte {
		s, end := sqliteAt(t, path)
		defer end()
		w.restart(s)
		w.append(w.plain(n)...)
		return w.bundle(all)
	}
	one, other, longer := history(path, 2), history(path+".copy", 1), []byte(nil)
	longer = history(path+".copy", 5)
	for name, fork := range map[string][]byte{"shorter": other, "longer": longer} {
		there := w.elsewhere(memstore.New())
		_, err := take(t, there, common)
		require.NoError(t, err)
		_, err = take(t, there, one)
		require.NoError(t, err)
		_, err = take(t, there, fork)
		require.ErrorIs(t, err, timeline.ErrImportFork, name)
		require.Contains(t, fault.From(err).Meta, "checkpoint", name)
		require.Equal(t, string(one), string(exported(t, there, w.tenant)), name)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	w.rich()
	good := w.bundle(all)
	lines := strings.SplitAfter(string(good), "\n")
	altered := strings.Replace(string(good), `"n":2`, `"n":3`, 1)
	require.NotEqual(t, string(good), altered)
	var part bytes.Buffer
	require.NoError(t, w.log.Export(t.Context(), &part, w.tenant, 0, 5, all))
	stranger := standing.Reader{Public: true, Organization: true}
	for name, c := range map[string]struct {
		raw    string
		change func(*timeline.ImportOptions)
		code   string
		says   string
	}{
		"nothing":           {"", nil, "bundle_invalid", ""},
		"an altered line":   {altered, nil, "bundle_invalid", "line "},
		"a cut end":         {strings.Join(lines[:len(lines)-2], ""), nil, "bundle_invalid", "breaks off"},
		"half a line":       {string(good[:len(good)-20]), nil, "bundle_invalid", ""},
		"a part":            {part.String(), nil, "bundle_partial", "entries 0 to 5 of"},
		"what was hidden":   {string(w.bundle(stranger)), nil, "bundle_partial", "auditor"},
		"another tenant":    {string(good), func(o *timeline.ImportOptions) { o.Tenant = "00000000-0000-8000-8000-000000000000" }, "tenant_mismatch", ""},
		"not the node":      {string(good), func(o *timeline.ImportOptions) { o.Verify.Node = w.owner.ID() }, "bundle_invalid", "asked to believe"},
		"more than allowed": {string(good), func(o *timeline.ImportOptions) { o.Max = int64(len(good)) - 1 }, "bundle_too_large", ""},
		"no room to spool":  {string(good), func(o *timeline.ImportOptions) { o.Dir = filepath.Join(o.Dir, "missing") }, "spool_failed", ""},
	} {
		there := w.elsewhere(memstore.New())
		change := []func(*timeline.ImportOptions){}
		if c.change != nil {
			change = append(change, c.change)
		}
		_, err := take(t, there, []byte(c.raw), change...)
		require.Equal(t, c.code, fault.CodeOf(err), "%s: %v", name, err)
		require.ErrorContains(t, err, c.says, name)
		tenants, err := there.Tenants(t.Context(), "", 0)
		require.NoError(t, err)
		require.Empty(t, tenants, name)
	}
	_, err := take(t, w.log, good)
	require.ErrorIs(t, err, timeline.ErrImportOwn)
	report, err := bundle.Verify(t.Context(), bytes.NewReader(good), bundle.Options{Node: w.node.ID()})
	require.NoError(t, err)
	require.True(t, report.OK)
}

// TestImportRefusesWhatIsWithheldWithoutRight: content that no redaction names is
// not gone by right, whatever the exporter says.
func TestImportRefusesWhatIsWithheldWithoutRight(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		w := newWorld(t, memstore.New(), "")
		w.append(w.plain(3)...)
		lines := strings.SplitAfter(string(w.bundle(all)), "\n")
		at := len(lines) - 3
		opened, err := span.ParseOpened([]byte(strings.TrimSuffix(lines[at], "\n")), span.Limits{Header: 16 << 10, Payload: 1 << 20})
		require.NoError(t, err)
		opened.Payload, opened.Salt, opened.Withheld = nil, "", span.WithheldRedacted
		lines[at] = string(opened.AppendLine(nil)) + "\n"
		there := w.elsewhere(store)
		_, err = take(t, there, []byte(strings.Join(lines, "")))
		require.Equal(t, "bundle_invalid", fault.CodeOf(err))
		require.ErrorContains(t, err, "redaction_missing")
		tenants, err := there.Tenants(t.Context(), "", 0)
		require.NoError(t, err)
		require.Empty(t, tenants)
	})
}

// TestImportFollowsEpochs: what a restored node goes on with is the same timeline
// under a new origin.
func TestImportFollowsEpochs(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		w := newWorld(t, memstore.New(), "")
		there := w.elsewhere(store)
		before, err := take(t, there, w.bundle(all))
		require.NoError(t, err)
		_, err = w.log.NewEpoch(t.Context(), w.tenant, func(payload []byte) (*span.Span, error) {
			return w.own(span.TypeEpoch, payload).Span, nil
		})
		require.NoError(t, err)
		w.append(w.plain(2)...)
		longer := w.bundle(all)
		after, err := take(t, there, longer)
		require.NoError(t, err)
		require.NotEqual(t, before.Tenant.Origin, after.Tenant.Origin)
		require.Equal(t, string(longer), string(exported(t, there, w.tenant)))
	})
}
