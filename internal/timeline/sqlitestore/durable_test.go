package sqlitestore_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// TestReopen closes the database and finds everything there.
func TestReopen(t *testing.T) {
	t.Parallel()
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "logline.db")
	tl := storetest.NewTimeline("a")
	var want []timeline.Record
	for round := range 4 {
		db, err := storage.Open(ctx, "sqlite:"+path)
		require.NoError(t, err)
		require.NoError(t, db.Migrate(ctx))
		s := sqlitestore.NewStore(db)
		if round > 0 {
			head, err := s.Head(ctx, tl.Tenant.ID)
			require.NoError(t, err)
			require.Equal(t, tl.Head, head)
			got, err := s.Range(ctx, tl.Tenant.ID, 0, 1000)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		b := tl.Batch(storetest.Spec{N: 2 * round}, storetest.Spec{N: 2*round + 1})
		require.NoError(t, s.Append(ctx, b))
		tl.Done(b)
		want, err = s.Range(ctx, tl.Tenant.ID, 0, 1000)
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "closing twice is harmless")
		_, err = s.Head(ctx, tl.Tenant.ID)
		require.Error(t, err)
		require.NoError(t, db.Close())
	}
}

// TestRedactedBytesAreGone looks for erased content in the files themselves.
func TestRedactedBytesAreGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, s := open(t, "sqlite:"+filepath.Join(dir, "logline.db"))
	tl := storetest.NewTimeline("a")
	const small, large = "xyzzy-small", "xyzzy-large"
	b := tl.Batch(
		storetest.Spec{N: 0, Payload: `{"s":"` + small + `"}`},
		storetest.Spec{N: 1, Payload: `{"s":"` + strings.Repeat(large, 3000) + `"}`}, // overflow pages
		storetest.Spec{N: 2},
	)
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	salt, note := b.Rows[0].Salt, "noted "+storetest.ID(0)
	for _, secret := range []string{small, large, salt, note} {
		require.Positive(t, inFiles(t, dir, secret), secret)
	}
	b = tl.Batch(storetest.Spec{N: 3})
	b.Redacted = []uint64{0, 1}
	require.NoError(t, s.Append(t.Context(), b))
	for _, secret := range []string{small, large, salt, note} {
		require.Zero(t, inFiles(t, dir, secret), secret)
	}
	require.Positive(t, inFiles(t, dir, "noted "+storetest.ID(2)), "the neighbour stays")
}

// TestErasedWordsAreGone: what was indexed of erased content leaves the files
// with it, before and after the rest is indexed anew.
func TestErasedWordsAreGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, s := open(t, "sqlite:"+filepath.Join(dir, "logline.db"))
	tl := storetest.NewTimeline("a")
	// Spread over pages, and each of them a page's first word for some.
	secret := func(i int) string { return fmt.Sprintf("%cxyzzy%dsecret", 'a'+i%26, i) }
	specs := make([]storetest.Spec, words.Size)
	for i := range specs {
		specs[i] = storetest.Spec{N: i, NoDetail: true, Payload: fmt.Sprintf(`{"s":%q}`, secret(i))}
	}
	b := tl.Batch(specs...)
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	storetest.IndexAll(t, s, tl.Tenant.ID)
	require.Greater(t, inFiles(t, dir, "xyzzy"), len(specs), "payloads and words")
	const kept = 77
	b = tl.Batch(storetest.Spec{N: 100_000})
	for i := range specs {
		if i != kept {
			b.Redacted = append(b.Redacted, uint64(i))
		}
	}
	require.NoError(t, s.Append(t.Context(), b))
	require.Equal(t, inFiles(t, dir, secret(kept)), inFiles(t, dir, "xyzzy"))
	storetest.IndexAll(t, s, tl.Tenant.ID)
	require.Equal(t, inFiles(t, dir, secret(kept)), inFiles(t, dir, "xyzzy"))
	sel, err := s.Select(t.Context(), tl.Tenant.ID, &timeline.Filter{Words: []string{secret(kept)}, To: 1 << 30, Limit: 10})
	require.NoError(t, err)
	require.Len(t, sel.Records, 1)
}

// TestErasureWaitsForReaders keeps a read open while content is erased: it
// leaves the write-ahead log with the first append after that read.
func TestErasureWaitsForReaders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, s := open(t, "sqlite:"+filepath.Join(dir, "logline.db"))
	tl := storetest.NewTimeline("a")
	grow := func(redacted []uint64, spec storetest.Spec) {
		b := tl.Batch(spec)
		b.Redacted = redacted
		require.NoError(t, s.Append(t.Context(), b))
		tl.Done(b)
	}
	grow(nil, storetest.Spec{N: 0, Payload: `{"s":"xyzzy"}`})
	rows, err := db.Read.QueryContext(t.Context(), "SELECT line FROM timeline_entries")
	require.NoError(t, err)
	require.True(t, rows.Next())
	grow([]uint64{0}, storetest.Spec{N: 1})
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	grow(nil, storetest.Spec{N: 2})
	require.Zero(t, inFiles(t, dir, "xyzzy"))
}

func inFiles(t *testing.T, dir, secret string) (n int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		n += bytes.Count(raw, []byte(secret))
	}
	return n
}
