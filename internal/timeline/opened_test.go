package timeline_test

import (
	"bytes"
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

func allOf(pages iter.Seq2[[]*span.Opened, error]) (all []*span.Opened, err error) {
	for page, err := range pages {
		if err != nil {
			return all, err
		}
		all = append(all, page...)
	}
	return all, nil
}

// What a timeline opens is what its bundle has.
func TestOpenedIsWhatABundleHas(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := script(t, s)
		w.append(w.plain(5)...)
		size := w.head().Size
		got, err := allOf(w.log.Opened(t.Context(), "acme", 0, size, all))
		require.NoError(t, err)
		r, err := bundle.NewReader(bytes.NewReader(w.export(0, 0, all)), bundle.Options{})
		require.NoError(t, err)
		want, err := allOf(r.Pages(t.Context()))
		require.NoError(t, err)
		require.Len(t, got, int(size))
		redacted := 0
		for i := range want {
			require.Equal(t, string(want[i].AppendLine(nil)), string(got[i].AppendLine(nil)), i)
			if got[i].Withheld == span.WithheldRedacted {
				redacted++
			}
		}
		require.NotZero(t, redacted)

		part, err := allOf(w.log.Opened(t.Context(), w.tenant, 3, 9, all))
		require.NoError(t, err)
		require.Len(t, part, 6)
		require.EqualValues(t, 3, part[0].Seq)

		w.append(w.by("note.taken", `{"s":"hidden"}`, func(h *span.Header) { h.Visibility = span.VisibilityPrivate }))
		_, err = allOf(w.log.Opened(t.Context(), w.tenant, 0, w.head().Size, standing.Reader{Public: true}))
		require.Equal(t, "entries_withheld", fault.CodeOf(err))
		_, err = allOf(w.log.Opened(t.Context(), "nobody", 0, 1, all))
		require.Equal(t, fault.NotFound, fault.KindOf(err))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = allOf(w.log.Opened(ctx, w.tenant, 0, size, all))
		require.Error(t, err)
	})
}
