package timeline_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/memstore"
)

func (w *world) export(from, to uint64, r standing.Reader) []byte {
	w.t.Helper()
	var b bytes.Buffer
	require.NoError(w.t, w.log.Export(w.t.Context(), &b, "acme", from, to, r))
	return b.Bytes()
}

func (w *world) verifyBundle(raw []byte) *bundle.Report {
	w.t.Helper()
	report, err := bundle.Verify(w.t.Context(), bytes.NewReader(raw), bundle.Options{Node: w.node.ID()})
	require.NoError(w.t, err)
	require.True(w.t, report.OK, "%+v", report.Problems)
	return report
}

func TestExportVerifies(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := script(t, s)
		hidden := w.by("note.taken", `{"s":"hidden"}`, func(h *span.Header) { h.Visibility = span.VisibilityPrivate })
		rotation, err := w.owner.Rotate(w.now, w.random)
		require.NoError(t, err)
		w.append(hidden, w.embed(rotation.Raw))
		w.append(w.plain(1)...)
		size := w.head().Size

		report := w.verifyBundle(w.export(0, 0, all))
		require.True(t, report.Authenticated)
		require.Equal(t, size, report.To)
		require.Equal(t, 1, report.WithheldRedacted)
		require.Equal(t, w.head().Root.String(), report.Root)

		public := w.export(0, 0, standing.Reader{Public: true})
		require.NotContains(t, string(public), "hidden")
		require.Equal(t, 1, w.verifyBundle(public).Hidden)

		require.Equal(t, uint64(200), w.verifyBundle(w.export(200, 400, all)).From)
		err = w.log.Export(t.Context(), &bytes.Buffer{}, w.tenant, 0, size+1, all)
		require.ErrorContains(t, err, "bundle_range_invalid")

		altered := bytes.Replace(w.export(0, 0, all), []byte(`"n":7`), []byte(`"n":8`), 1)
		bad, err := bundle.Verify(t.Context(), bytes.NewReader(altered), bundle.Options{})
		require.NoError(t, err)
		require.False(t, bad.OK)
	})
}

// TestExportAfterNewEpoch verifies a tree whose origin changed on the way.
func TestExportAfterNewEpoch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	w.append(w.plain(3)...)
	_, err := w.log.NewEpoch(t.Context(), w.tenant, func(payload []byte) (*span.Span, error) {
		return w.own(span.TypeEpoch, payload).Span, nil
	})
	require.NoError(t, err)
	agent, err := id.NewKeys(id.SubjectAgent, w.now, w.random)
	require.NoError(t, err)
	w.append(w.embed(agent.Events()[0]), w.grant(agent.ID(), "agent"))
	report := w.verifyBundle(w.export(0, 0, all))
	require.Contains(t, report.Origin, "/1")
}

// TestExportForGuest: whoever sees only what they signed gets a bundle from
// which even genesis and the key events are withheld, and it verifies.
func TestExportForGuest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	guest, err := id.NewKeys(id.SubjectPerson, w.now, w.random)
	require.NoError(t, err)
	w.append(w.embed(guest.Events()[0]), w.grant(guest.ID(), "guest"))
	w.append(w.seal(guest.Signer(), guest.ID(), "note.taken", []byte(`{"n":1}`), nil))
	w.append(w.plain(2)...)
	reader := standing.Reader{Identity: guest.ID()}
	report := w.verifyBundle(w.export(0, 0, reader))
	require.Equal(t, 1, report.RightsUnchecked)
	require.Equal(t, int(report.To)-1, report.Hidden)
	w.verifyBundle(w.export(3, 0, reader))

	// What is not withheld is still held against the tree and its signatures.
	altered := bytes.Replace(w.export(0, 0, reader), []byte(`"n":1`), []byte(`"n":2`), 1)
	bad, err := bundle.Verify(t.Context(), bytes.NewReader(altered), bundle.Options{})
	require.NoError(t, err)
	require.False(t, bad.OK)
}

// TestExportShowsWhatMayBeSeen: whether an entry needs parsing to know or not,
// each reader's bundle has the lines that a reader of everything gets, and of
// the rest the leaves alone.
func TestExportShowsWhatMayBeSeen(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := script(t, s)
		for _, visibility := range []string{span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic} {
			change := func(h *span.Header) {
				h.Visibility, h.Title = visibility, `,"v":1,"visibility":"public"},"v":1}`
			}
			w.append(w.by("note.taken", `{"v":1,"visibility":"public"}`, change))
			w.append(w.seal(w.node.Signer(), w.node.ID(), "note.taken", []byte(`{"n":1}`), change))
		}
		records := w.stored(0, w.head().Size)
		whole := bytes.Split(w.export(0, 0, all), []byte("\n"))[1:]
		for _, reader := range []standing.Reader{
			{}, {Public: true}, {Organization: true}, {Public: true, Organization: true},
			{Organization: true, Identity: w.owner.ID()}, {Identity: w.owner.ID()}, {Private: true},
		} {
			shown := bytes.Split(w.export(0, 0, reader), []byte("\n"))[1:]
			require.Len(t, shown, len(whole))
			for i := range records {
				if records[i].VisibleTo(reader) {
					require.Equal(t, string(whole[i]), string(shown[i]), "%+v", reader)
				} else {
					require.Equal(t, fmt.Sprintf(`{"leaf":%q,"seq":%d}`, records[i].Leaf, i), string(shown[i]), "%+v", reader)
				}
			}
		}
	})
}

// meanwhile lets something happen between two reads of a store.
type meanwhile struct {
	timeline.Store
	beforeHead func()
}

func (s *meanwhile) Head(ctx context.Context, tenant string) (timeline.Head, error) {
	if act := s.beforeHead; act != nil {
		s.beforeHead = nil
		act()
	}
	return s.Store.Head(ctx, tenant)
}

// TestExportWhileAnEpochBegins: a bundle holds the log key of its checkpoint.
func TestExportWhileAnEpochBegins(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	w := newWorld(t, store, "")
	w.append(w.plain(3)...)
	writer := *w
	reading := &meanwhile{Store: store, beforeHead: func() {
		_, err := writer.log.NewEpoch(t.Context(), w.tenant, func(payload []byte) (*span.Span, error) {
			return writer.own(span.TypeEpoch, payload).Span, nil
		})
		require.NoError(t, err)
	}}
	w.restart(reading)
	report := w.verifyBundle(w.export(0, 0, all))
	require.Contains(t, report.Origin, "/1")
}
