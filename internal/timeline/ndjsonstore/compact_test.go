package ndjsonstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment/faultfs"
)

// rebuild makes the index of a story's first timeline anew, with entry 1 of a
// status that its commits do not tell.
func (s *story) rebuild() {
	a := s.told["a"]
	require.NoError(s.t, s.store.Rebuild(bg, rebuilt(s.t, s.store, a.timeline, func(r *timeline.Record) bool { return r.Redacted })))
}

// TestCompactionFails makes each call of a compaction fail in each way, or cuts
// the power there, on files whose index was rebuilt and on others, and goes on.
func TestCompactionFails(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]faultfs.Fault{
		"fails": faultfs.Fail, "half": faultfs.Half, "fails after": faultfs.FailAfter, "cut before": faultfs.CutBefore, "cut after": faultfs.CutAfter,
	} {
		for variant := range 4 {
			rebuilt, large := variant&1 > 0, variant&2 > 0
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					fsys := faultfs.New(random(n, int(kind)))
					s := &story{t: t, large: large, told: map[string]*account{}}
					var err error
					s.store, err = s.open(fsys)
					require.NoError(t, err)
					s.tell()
					if rebuilt {
						s.rebuild()
					}
					require.NoError(t, s.store.Close())
					fsys = fsys.Restarted()
					fsys.FailAt(n, kind)
					if store, err := s.open(fsys); err == nil {
						_, _ = store.Compact(bg, nil)
						_ = store.Close()
					}
					s.reopen(fsys.Powered())
					if rebuilt {
						s.requireStatus(timeline.StatusReverted)
					}
					if t.Failed() {
						t.Fatalf("rebuilt: %v, large: %v, call %d; calls:\n%s", rebuilt, large, n, strings.Join(fsys.Log, "\n"))
					}
					if fsys.Calls() <= n {
						require.Greater(t, n, 15, "it had not much to do")
						return
					}
				}
			})
		}
	}
}

// requireStatus asks the index of a store that was just closed.
func (s *story) requireStatus(status string) {
	s.t.Helper()
	counts, err := s.store.Count(bg, s.told["a"].timeline.Tenant.ID)
	require.NoError(s.t, err)
	require.Contains(s.t, counts.Statuses, timeline.Tally{Value: status, Count: 1}, "what was rebuilt is lost")
}

// TestCompactionTakesLengths: what is erased is as long as any other.
func TestCompactionTakesLengths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &story{t: t, store: open(t, dir, ndjsonstore.Config{}), told: map[string]*account{}}
	s.tell()
	id := s.told["a"].timeline.Tenant.ID
	want, err := s.store.Range(bg, id, 0, 99)
	require.NoError(t, err)
	path := filepath.Join(dir, id, "payloads", "0000000000000000.ndjson")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(before), " \n")
	var told []string
	shrunk, err := s.store.Compact(bg, func(dir string) { told = append(told, dir) })
	require.NoError(t, err)
	require.Len(t, shrunk, 2)
	require.Len(t, told, 2)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(after), " \n")
	require.Equal(t, bytes.Count(before, []byte("\n")), bytes.Count(after, []byte("\n")))
	for _, one := range shrunk {
		if one.Dir == filepath.Dir(path) {
			require.EqualValues(t, len(before), one.Before)
			require.EqualValues(t, len(after), one.After)
		}
	}
	got, err := s.store.Range(bg, id, 0, 99)
	require.NoError(t, err)
	require.Equal(t, want, got)
	s.append("a", []uint64{8}, 1) // in its new place
	after, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(after), `{"seq":8,"redacted":true} `)
	again, err := s.store.Compact(bg, nil)
	require.NoError(t, err)
	require.Less(t, again[0].After+again[1].After, again[0].Before+again[1].Before)
	none, err := s.store.Compact(bg, nil)
	require.NoError(t, err)
	for _, one := range none {
		require.Equal(t, one.Before, one.After)
	}
}
