package ndjsonstore_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// rebuilt is what there is, with entry 1 of a status that its commits do not
// tell, and redacted as told.
func rebuilt(t testing.TB, s *ndjsonstore.Store, tl *storetest.Timeline, redacted func(*timeline.Record) bool) *timeline.Rebuilt {
	t.Helper()
	head, state, err := s.State(t.Context(), tl.Tenant.ID)
	require.NoError(t, err)
	records, err := s.Range(t.Context(), tl.Tenant.ID, 0, head.Size)
	require.NoError(t, err)
	return &timeline.Rebuilt{Tenant: tl.Tenant, Head: head, State: state, Rows: func(_ context.Context, each func(timeline.RebuiltRow) error) error {
		for i := range records {
			r := records[i]
			if err := r.Parse(); err != nil {
				return err
			}
			row := timeline.RebuiltRow{Row: timeline.RowOf(&r), Redacted: redacted(&r)}
			if i == 1 {
				row.Status = timeline.StatusReverted
			}
			var err error
			if row.Spent, err = timeline.Spends(&r); err != nil {
				return err
			}
			if err := each(row); err != nil {
				return err
			}
		}
		return nil
	}}
}

// TestRebuiltLasts rebuilds, appends, and opens the store from each file that
// it may find.
func TestRebuiltLasts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tl := storetest.NewTimeline("a")
	cfg := ndjsonstore.Config{Log: quiet()}
	s, err := ndjsonstore.Open(t.Context(), dir, cfg)
	require.NoError(t, err)
	b := tl.Batch(storetest.Spec{N: 0, Payload: `{"s":"xyzzy"}`}, storetest.Spec{N: 1}, storetest.Spec{N: 2})
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	require.NoError(t, s.Rebuild(t.Context(), rebuilt(t, s, tl, func(r *timeline.Record) bool { return r.Seq == 0 })))
	require.Zero(t, inFiles(t, dir, "xyzzy"))
	b = tl.Batch(storetest.Spec{N: 3})
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	want, err := s.Range(t.Context(), tl.Tenant.ID, 0, 10)
	require.NoError(t, err)
	require.Len(t, want, 4)
	require.True(t, want[0].Redacted)
	require.Equal(t, timeline.StatusReverted, want[1].Status)
	require.NoError(t, s.Close())

	index := filepath.Join(dir, tl.Tenant.ID, "index")
	for _, without := range []bool{false, true} {
		if without {
			require.NoError(t, os.Remove(index))
		}
		s, err := ndjsonstore.Open(t.Context(), dir, cfg)
		require.NoError(t, err)
		got, err := s.Range(t.Context(), tl.Tenant.ID, 0, 10)
		require.NoError(t, err)
		require.Equal(t, want, got)
		spent, err := s.Spent(t.Context(), tl.Tenant.ID, []string{storetest.ID(0), storetest.ID(3)})
		require.NoError(t, err)
		require.Len(t, spent, 2)
		for seq := range uint64(4) {
			_, note, err := s.Checkpoint(t.Context(), tl.Tenant.ID, seq)
			require.NoError(t, err)
			require.NotEmpty(t, note)
		}
		require.NoError(t, s.Close())
	}

	// A crash between the file and the erasure: the next start erases.
	path := filepath.Join(dir, tl.Tenant.ID, "payloads", "0000000000000000.ndjson")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, byte('{'), raw[0])
	copy(raw, `{"seq":0,"salt":"xyzzy"}      `)
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	require.NoError(t, os.Remove(index))
	s, err = ndjsonstore.Open(t.Context(), dir, cfg)
	require.NoError(t, err)
	require.Zero(t, inFiles(t, dir, "xyzzy"))
	require.NoError(t, s.Close())
}
