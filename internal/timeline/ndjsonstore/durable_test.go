package ndjsonstore_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// TestReopen closes the store and finds everything there.
func TestReopen(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	tl := storetest.NewTimeline("a")
	var want []timeline.Record
	for round := range 4 {
		s, err := ndjsonstore.Open(ctx, dir, ndjsonstore.Config{Log: quiet()})
		require.NoError(t, err)
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
		_, err = s.Range(ctx, tl.Tenant.ID, 0, 1000)
		require.Error(t, err)
		require.Equal(t, fault.Unavailable, fault.KindOf(s.Append(ctx, tl.Batch(storetest.Spec{N: 99}))))
	}
}

// TestFilesAreTheLines reads the files as anybody would.
func TestFilesAreTheLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, ndjsonstore.Config{Limits: segment.Limits{Lines: 3}})
	tl := storetest.NewTimeline("a")
	var want bytes.Buffer
	for n := range 5 {
		b := tl.Batch(storetest.Spec{N: 2 * n}, storetest.Spec{N: 2*n + 1})
		require.NoError(t, s.Append(t.Context(), b))
		tl.Done(b)
		for i := range b.Rows {
			want.Write(append(b.Rows[i].Line, '\n'))
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, tl.Tenant.ID, "lines", "*"))
	require.NoError(t, err)
	var got []byte
	for i, name := range names {
		require.Equal(t, segment.Name(uint64(4*i)), filepath.Base(name), "a file goes on until it has 3 lines, and batches stay whole")
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		got = append(got, raw...)
	}
	require.Len(t, names, 3)
	require.Equal(t, want.String(), string(got))
	info, err := os.Stat(names[0])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// TestRedactedBytesAreGone looks for erased content in the files themselves.
func TestRedactedBytesAreGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, ndjsonstore.Config{SnapshotEvery: 1})
	tl := storetest.NewTimeline("a")
	const small, large = "xyzzy-small", "xyzzy-large"
	b := tl.Batch(
		storetest.Spec{N: 0, Payload: `{"s":"` + small + `"}`},
		storetest.Spec{N: 1, Payload: `{"s":"` + strings.Repeat(large, 3000) + `"}`},
		storetest.Spec{N: 2},
	)
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	secrets := []string{small, large, b.Rows[0].Salt, "noted " + storetest.ID(0)}
	for _, secret := range secrets {
		require.Positive(t, inFiles(t, dir, secret), secret)
	}
	b = tl.Batch(storetest.Spec{N: 3})
	b.Redacted = []uint64{0, 1}
	require.NoError(t, s.Append(t.Context(), b))
	for _, secret := range secrets {
		require.Zero(t, inFiles(t, dir, secret), secret)
	}
	require.Positive(t, inFiles(t, dir, "noted "+storetest.ID(2)), "the neighbour stays")
}

func inFiles(t *testing.T, dir, secret string) (n int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		n += bytes.Count(raw, []byte(secret))
		return err
	}))
	return n
}

// TestSnapshotIsUsedAndDistrusted tells by the log how a store was opened.
func TestSnapshotIsUsedAndDistrusted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tl := storetest.NewTimeline("a")
	s, err := ndjsonstore.Open(t.Context(), dir, ndjsonstore.Config{Log: quiet()})
	require.NoError(t, err)
	grow := func(n int) {
		b := tl.Batch(storetest.Spec{N: n}, storetest.Spec{N: n + 1})
		require.NoError(t, s.Append(t.Context(), b))
		tl.Done(b)
	}
	grow(0)
	require.NoError(t, s.Close())
	home := filepath.Join(dir, tl.Tenant.ID)
	snapshot, err := os.ReadFile(filepath.Join(home, "index"))
	require.NoError(t, err)
	lines := filepath.Join(home, "lines", segment.Name(0))
	first, err := os.ReadFile(lines)
	require.NoError(t, err)

	var log bytes.Buffer
	reopen := func() error {
		log.Reset()
		s, err = ndjsonstore.Open(t.Context(), dir, ndjsonstore.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		return err
	}
	// It is used: an early line that changed is not read again.
	damaged := bytes.Replace(first, []byte("note.taken"), []byte("note.faked"), 1)
	require.NoError(t, os.WriteFile(lines, damaged, 0o600))
	require.NoError(t, reopen())
	require.Empty(t, log.String())
	require.NoError(t, s.Close())
	// Without it the change is found.
	require.NoError(t, os.Remove(filepath.Join(home, "index")))
	require.Equal(t, "timeline_damaged", fault.CodeOf(reopen()))
	require.NoError(t, os.WriteFile(lines, first, 0o600))

	for name, content := range map[string][]byte{
		"a bit": append(bytes.Clone(snapshot[:len(snapshot)-1]), snapshot[len(snapshot)-1]^1), "half": snapshot[:len(snapshot)/2],
		"nothing": {}, "another file": []byte("hello"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(home, "index"), content, 0o600))
		require.NoError(t, reopen(), name)
		require.Contains(t, log.String(), "does not fit", name)
		head, err := s.Head(t.Context(), tl.Tenant.ID)
		require.NoError(t, err)
		require.Equal(t, tl.Head, head, name)
		require.NoError(t, s.Close())
	}

	// An older one is fine; one of lines that are not there is not.
	require.NoError(t, reopen())
	grow(10)
	require.NoError(t, s.Close())
	newer, err := os.ReadFile(filepath.Join(home, "index"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(home, "index"), snapshot, 0o600))
	require.NoError(t, reopen())
	require.Empty(t, log.String())
	head, err := s.Head(t.Context(), tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, tl.Head, head)
	require.NoError(t, s.Close())
	for _, folder := range []string{"lines", "payloads", "commits"} {
		path := filepath.Join(home, folder, segment.Name(0))
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		keep := bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n"))
		keep = keep[:len(keep)/2]
		require.NoError(t, os.WriteFile(path, append(bytes.Join(keep, []byte("\n")), '\n'), 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(home, "index"), newer, 0o600))
	require.NoError(t, reopen())
	require.Contains(t, log.String(), "does not fit")
	head, err = s.Head(t.Context(), tl.Tenant.ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, head.Size)
	require.NoError(t, s.Close())
}

// TestDamage is what no crash leaves: an error that says where, and no change.
func TestDamage(t *testing.T) {
	t.Parallel()
	cut := func(raw []byte) []byte { return raw[bytes.IndexByte(raw, '\n')+1:] }
	for name, c := range map[string]struct {
		folder string
		first  uint64
		change func([]byte) []byte
	}{
		"a line changed":            {"lines", 0, func(b []byte) []byte { return bytes.Replace(b, []byte("taken"), []byte("faked"), 1) }},
		"a line missing":            {"lines", 4, cut},
		"a payload missing":         {"payloads", 4, cut},
		"a commit missing":          {"commits", 0, cut},
		"a commit changed":          {"commits", 0, func(b []byte) []byte { return bytes.Replace(b, []byte("note of"), []byte("nose of"), 1) }},
		"a file of lines missing":   {"lines", 4, nil},
		"a file of commits missing": {"commits", 0, nil},
		"the first file missing":    {"lines", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := ndjsonstore.Config{Log: quiet(), Limits: segment.Limits{Lines: 3}}
			s, err := ndjsonstore.Open(t.Context(), dir, cfg)
			require.NoError(t, err)
			tl := storetest.NewTimeline("a")
			for n := range 5 {
				b := tl.Batch(storetest.Spec{N: 2 * n}, storetest.Spec{N: 2*n + 1})
				require.NoError(t, s.Append(t.Context(), b))
				tl.Done(b)
			}
			require.NoError(t, s.Close())
			home := filepath.Join(dir, tl.Tenant.ID)
			require.NoError(t, os.Remove(filepath.Join(home, "index")))
			path := filepath.Join(home, c.folder, segment.Name(c.first))
			raw, err := os.ReadFile(path)
			require.NoError(t, err)
			if c.change == nil {
				require.NoError(t, os.Remove(path))
			} else {
				require.NoError(t, os.WriteFile(path, c.change(raw), 0o600))
			}
			before := files(t, dir)
			_, err = ndjsonstore.Open(t.Context(), dir, cfg)
			require.Equal(t, "timeline_damaged", fault.CodeOf(err), "%v", err)
			require.ErrorContains(t, err, home)
			require.Equal(t, before, files(t, dir))
		})
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "logline.lock" {
			return err
		}
		raw, err := os.ReadFile(path)
		out[path] = string(raw)
		return err
	}))
	return out
}

func TestOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, dir, ndjsonstore.Config{})
	_, err := ndjsonstore.Open(t.Context(), dir, ndjsonstore.Config{Log: quiet()})
	require.Equal(t, "timeline_dir_in_use", fault.CodeOf(err))
	require.ErrorContains(t, err, dir)
}

// benchSpecs are entries as real ones: a subject, a tag, a cause, 200 bytes of
// payload.
func benchSpecs(first, n int) []storetest.Spec {
	out := make([]storetest.Spec, n)
	for i := range out {
		out[i] = storetest.Spec{
			N: first + i, Subject: fmt.Sprint("subject-", i%50), Tags: []string{"bench"}, NoDetail: true,
			Payload: fmt.Sprintf(`{"n":%d,"text":"%0190d"}`, first+i, i),
		}
		if first+i > 0 {
			out[i].Causes = []string{storetest.ID(first + i - 1)}
		}
	}
	return out
}

// BenchmarkAppend appends durable batches, and says what the index takes.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 16, 256, 1000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := open(b, b.TempDir(), ndjsonstore.Config{})
			tl := storetest.NewTimeline("bench")
			all := make([]*timeline.Batch, b.N)
			for i := range all {
				all[i] = tl.Batch(benchSpecs(i*size, size)...)
				tl.Done(all[i])
			}
			before := heap()
			b.ResetTimer()
			for _, batch := range all {
				require.NoError(b, s.Append(b.Context(), batch))
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(heap()-before)/float64(b.N*size), "heap-B/entry")
			runtime.KeepAlive(all)
		})
	}
}

// BenchmarkOpen opens a timeline from its snapshot and from its lines.
func BenchmarkOpen(b *testing.B) {
	const size, batch = 50_000, 500
	dir := b.TempDir()
	s, err := ndjsonstore.Open(bg, dir, ndjsonstore.Config{Log: quiet()})
	require.NoError(b, err)
	tl := storetest.NewTimeline("bench")
	for n := 0; n < size; n += batch {
		made := tl.Batch(benchSpecs(n, batch)...)
		require.NoError(b, s.Append(bg, made))
		tl.Done(made)
	}
	require.NoError(b, s.Close())
	for _, from := range []string{"snapshot", "lines"} {
		b.Run(from, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				if from == "lines" {
					require.NoError(b, os.RemoveAll(filepath.Join(dir, tl.Tenant.ID, "index")))
				}
				b.StartTimer()
				s, err := ndjsonstore.Open(bg, dir, ndjsonstore.Config{Log: quiet()})
				require.NoError(b, err)
				b.StopTimer()
				require.NoError(b, s.Close())
			}
			b.ReportMetric(float64(b.N)*size/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
