package timeline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
)

// stored are the entries of [from, to) as the store has them.
func (w *world) stored(from, to uint64) (out []timeline.Record) {
	w.t.Helper()
	for from < to {
		records, next, err := w.log.Entries(w.t.Context(), w.tenant, from, to, all)
		require.NoError(w.t, err)
		require.Greater(w.t, next, from)
		out, from = append(out, records...), next
	}
	return out
}

// revert and redact are by the owner.
func (w *world) revert(d timeline.Draft) timeline.Draft {
	return w.by(span.TypeRevert, `{"header_hash":"`+hashOf(d)+`","reason":"r","span":"`+d.Span.ID+`"}`, nil)
}

func (w *world) redact(d timeline.Draft) timeline.Draft {
	return w.by(span.TypeRedaction, `{"reason":"r","spans":[{"header_hash":"`+hashOf(d)+`","span":"`+d.Span.ID+`"}]}`, nil)
}

// A tail has what the store has, as the last commit left it: statuses and
// erasures of the same batch and of a later one.
func TestTailIsWhatTheStoreHas(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		from := w.head().Size
		tail := w.log.Tail(w.tenant)
		defer tail.Close()
		records, _ := tail.Take()
		require.Empty(t, records, "what was there before is read")

		secret, undone := w.by("pay.out", `{"secret":"x"}`, nil), w.by("pay.out", `{"n":1}`, nil)
		tagged := w.by("pay.out", `{"n":2}`, func(h *span.Header) { h.Tags, h.Title, h.Visibility = []string{"a"}, "T", span.VisibilityPrivate })
		w.append(secret, undone, tagged)
		w.append(w.redact(secret), w.revert(undone))
		again := w.by("pay.out", `{"secret":"y"}`, nil)
		w.append(again, w.revert(again), w.redact(again))
		head := w.head()
		records, note := tail.Take()
		require.Equal(t, head.Checkpoint, note)
		require.Equal(t, w.stored(from, head.Size), records)
		require.True(t, records[0].Redacted)
		require.Equal(t, timeline.StatusReverted, records[1].Status)

		w.append(w.plain(3)...)
		records, _ = tail.Take()
		require.Equal(t, w.stored(head.Size, head.Size+3), records, "only what came since")
		records, _ = tail.Take()
		require.Empty(t, records)
		tail.Close()
		tail.Close()
		w.append(w.plain(1)...)
		records, _ = tail.Take()
		require.Empty(t, records, "it is closed")
	})
}

// What others append is not in a tail, and what comes after it does not look as
// if it followed what came before.
func TestTailOfOneProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	tail := w.log.Tail(w.tenant)
	defer tail.Close()
	w.append(w.plain(2)...)
	own := w.log
	w.restart(w.store)
	w.append(w.plain(1)...)
	w.log = own
	size := w.head().Size
	w.append(w.plain(2)...)
	records, _ := tail.Take()
	require.Equal(t, w.stored(size, size+2), records)
}

// A tail that nobody takes from holds no more than its bounds, and begins again
// empty.
func TestTailIsBounded(t *testing.T) {
	t.Parallel()
	for name, draft := range map[string]func(w *world) []timeline.Draft{
		"entries": func(w *world) []timeline.Draft { return w.plain(1025) },
		"bytes": func(w *world) []timeline.Draft {
			return []timeline.Draft{w.by("big", `{"x":"`+strings.Repeat("x", 5<<20)+`"}`, nil)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, memstore.New(), "")
			tail := w.log.Tail(w.tenant)
			defer tail.Close()
			for range 4 { // more than 4,096 entries, and more than 16 MiB
				w.append(draft(w)...)
			}
			records, _ := tail.Take()
			require.Empty(t, records)
			size := w.head().Size
			w.append(w.plain(1)...)
			records, _ = tail.Take()
			require.Equal(t, w.stored(size, size+1), records)
		})
	}
}

// A checkpoint that could not be noted is not given out, by no tail either.
func TestTailWithoutItsNote(t *testing.T) {
	t.Parallel()
	notes := filepath.Join(t.TempDir(), "notes")
	require.NoError(t, os.Mkdir(notes, 0o700))
	w := newWorld(t, memstore.New(), notes)
	tail := w.log.Tail(w.tenant)
	defer tail.Close()
	secret := w.by("pay.out", `{"secret":"x"}`, nil)
	w.append(secret)
	s := w.admit(w.redact(secret))
	require.NoError(t, os.RemoveAll(notes))
	require.NoError(t, os.WriteFile(notes, nil, 0o600))
	_, err := s.Commit(t.Context())
	require.Error(t, err)
	records, _ := tail.Take()
	require.Empty(t, records, "what it held was erased meanwhile")
}
