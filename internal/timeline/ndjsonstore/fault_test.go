package ndjsonstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
	"github.com/danvoulez/logline/internal/timeline/segment/faultfs"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

const secret = "xyzzy"

// story is a run of appends whose outcomes are kept.
type story struct {
	t     *testing.T
	large bool // files do not end
	store *ndjsonstore.Store
	told  map[string]*account // by tenant
	n     int
}

// account is what whoever appends to one timeline knows.
type account struct {
	timeline *storetest.Timeline
	rows     []timeline.Row  // acknowledged
	doubtful *timeline.Batch // failed last
	erased   bool            // a redaction was acknowledged
}

func openAt(fsys segment.FS) (*ndjsonstore.Store, error) { return new(story).open(fsys) }

func (s *story) open(fsys segment.FS) (*ndjsonstore.Store, error) {
	cfg := ndjsonstore.Config{FS: fsys, Log: quiet(), Limits: segment.Limits{Lines: 4}, SnapshotEvery: 5}
	if s.large {
		cfg.Limits.Lines, cfg.SnapshotEvery = 1000, 1000
	}
	return ndjsonstore.Open(bg, "/data", cfg)
}

// tell appends to two timelines: their creation, files that end, a redaction of
// older entries and of one in the same batch. Errors are taken as they come.
func (s *story) tell() {
	s.append("a", nil, 3)
	s.append("a", nil, 1)
	s.append("b", nil, 1)
	s.append("a", nil, 2)
	s.append("a", []uint64{0, 4, 7}, 2)
	s.append("a", nil, 5)
	s.append("b", []uint64{0}, 1)
	s.append("a", nil, 1)
}

func (s *story) append(name string, redacted []uint64, n int) {
	a := s.told[name]
	if a == nil {
		a = &account{timeline: storetest.NewTimeline(name)}
		s.told[name] = a
	}
	var specs []storetest.Spec
	for range n {
		s.n++
		specs = append(specs, storetest.Spec{N: s.n, Payload: fmt.Sprintf(`{"s":"%s%d"}`, secret, s.n)})
	}
	b := a.timeline.Batch(specs...)
	for _, seq := range redacted {
		if seq < b.Head.Size {
			b.Redacted = append(b.Redacted, seq)
		}
	}
	broken := s.store.Err() != nil
	err := s.store.Append(bg, b)
	if broken {
		require.ErrorIs(s.t, err, s.store.Err(), "a store with a doubtful flush takes nothing")
		return
	}
	if err == nil {
		a.done(b)
		return
	}
	require.Contains(s.t, []fault.Kind{fault.Unavailable}, fault.KindOf(err), "%v", err)
	a.doubtful = b
	// The head tells, as long as there is one to ask.
	if head, err := s.store.Head(bg, a.timeline.Tenant.ID); err == nil && head.Size == b.Head.Size {
		require.Equal(s.t, b.Head, head)
		a.done(b)
		a.erased = false // committed, and its erasure failed: the next start's
	}
}

func (a *account) done(b *timeline.Batch) {
	a.rows = append(a.rows, b.Rows...)
	for _, seq := range b.Redacted {
		r := &a.rows[seq]
		r.Payload, r.Salt, r.Detail = nil, "", nil
		a.erased = true
	}
	a.timeline.Done(b)
	a.doubtful = nil
}

// settle reads the store that was opened again and decides about what was
// doubtful: there as a whole, or not at all.
func (s *story) settle(fsys *faultfs.FS) {
	for _, a := range s.told {
		head, err := s.store.Head(bg, a.timeline.Tenant.ID)
		if fault.KindOf(err) == fault.NotFound {
			require.Zero(s.t, len(a.rows), "an acknowledged timeline is gone")
			a.doubtful = nil
			continue
		}
		require.NoError(s.t, err)
		if a.doubtful != nil && head.Size == a.doubtful.Head.Size {
			a.done(a.doubtful)
		}
		a.doubtful = nil
		require.Equal(s.t, a.timeline.Head.Size, head.Size)
		require.Equal(s.t, a.timeline.Head, head)
		records, err := s.store.Range(bg, a.timeline.Tenant.ID, 0, head.Size+1)
		require.NoError(s.t, err)
		require.Equal(s.t, len(a.rows), len(records))
		for i, r := range records {
			w := &a.rows[i]
			require.Equal(s.t, string(w.Line), string(r.Line))
			require.Equal(s.t, string(w.Payload), string(r.Payload))
			require.Equal(s.t, w.Salt, r.Salt)
			require.Equal(s.t, w.Payload == nil, r.Redacted)
			if r.Redacted {
				requireGone(s.t, fsys, fmt.Sprintf(`"%s%d"`, secret, numberOf(r.Seq, a)))
			}
		}
	}
}

// numberOf finds what a redacted payload held, by its row's id.
func numberOf(seq uint64, a *account) int {
	for n := range 1000 {
		if storetest.ID(n) == a.rows[seq].ID {
			return n
		}
	}
	return -1
}

func requireGone(t *testing.T, fsys *faultfs.FS, text string) {
	fsys.Walk(func(path string, content []byte) {
		if bytes.Contains(content, []byte(text)) {
			t.Fatalf("%s still has %s", path, text)
		}
	})
}

// requireErased looks for what acknowledged redactions erased in what is on
// the medium, before a start looks at it.
func (s *story) requireErased(fsys *faultfs.FS) {
	for _, a := range s.told {
		for i := range a.rows {
			if a.erased && a.rows[i].Payload == nil {
				requireGone(s.t, fsys, fmt.Sprintf(`"%s%d"`, secret, numberOf(uint64(i), a)))
			}
		}
	}
}

// reopen opens what is left and checks it, appends more, and checks again.
func (s *story) reopen(fsys *faultfs.FS) {
	s.requireErased(fsys)
	var err error
	s.store, err = s.open(fsys)
	require.NoError(s.t, err)
	s.settle(fsys)
	for name, a := range s.told {
		before := len(a.rows)
		s.append(name, nil, 2)
		require.Equal(s.t, before+2, len(a.rows), "the store appends again")
	}
	fsys = fsys.Powered()
	s.store, err = s.open(fsys)
	require.NoError(s.t, err)
	s.settle(fsys)
	require.NoError(s.t, s.store.Close())
}

func begin(t *testing.T, fsys *faultfs.FS) *story {
	store, err := openAt(fsys)
	require.NoError(t, err)
	return &story{t: t, store: store, told: map[string]*account{}}
}

func random(a, b int) *rand.Rand { return rand.New(rand.NewPCG(uint64(a), uint64(b))) }

// calls is how many calls a story makes that change something.
func calls(t *testing.T) int {
	fsys := faultfs.New(random(1, 2))
	s := begin(t, fsys)
	s.tell()
	require.NoError(t, s.store.Close())
	for _, a := range s.told {
		require.Nil(t, a.doubtful)
	}
	return fsys.Calls()
}

// TestEveryCallFails makes each call of a story fail in each way, and goes on
// with another process, and after a power cut.
func TestEveryCallFails(t *testing.T) {
	t.Parallel()
	seeds := 4
	if testing.Short() {
		seeds = 2
	}
	total := calls(t)
	for kind, name := range map[faultfs.Fault]string{
		faultfs.Fail: "fails", faultfs.Half: "half", faultfs.FailAfter: "fails after", faultfs.CutBefore: "cut before", faultfs.CutAfter: "cut after",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := range total {
				for seed := range seeds {
					fsys := faultfs.New(random(n, seed))
					fsys.FailAt(n, kind)
					s := &story{t: t, told: map[string]*account{}}
					var err error
					if s.store, err = openAt(fsys); err == nil {
						s.tell()
						_ = s.store.Close()
					}
					next := fsys.Powered()
					if seed == 0 && kind != faultfs.CutBefore && kind != faultfs.CutAfter {
						next = fsys.Restarted()
					}
					s.reopen(next)
					if t.Failed() {
						t.Fatalf("call %d (%s), seed %d; calls:\n%s", n, fsys.Log[n], seed, strings.Join(fsys.Log, "\n"))
					}
				}
			}
		})
	}
}

// TestAFailureThenACut makes a call fail and cuts the power some calls later.
func TestAFailureThenACut(t *testing.T) {
	t.Parallel()
	total := calls(t)
	kinds := []faultfs.Fault{faultfs.Fail, faultfs.Half, faultfs.FailAfter}
	seeds := 12
	if testing.Short() {
		seeds = 6
	}
	for n := range total {
		for seed := range seeds {
			fsys := faultfs.New(random(n, seed))
			fsys.FailAt(n, kinds[seed%3])
			fsys.FailAt(n+1+seed, faultfs.CutBefore)
			s := &story{t: t, told: map[string]*account{}}
			var err error
			if s.store, err = openAt(fsys); err == nil {
				s.tell()
				_ = s.store.Close()
			}
			s.reopen(fsys.Powered())
			if t.Failed() {
				t.Fatalf("call %d, seed %d; calls:\n%s", n, seed, strings.Join(fsys.Log, "\n"))
			}
		}
	}
}

// TestEveryCallOfARepairFails cuts the power in a story, then again at each
// call of the start that repairs it, or makes that call fail.
func TestEveryCallOfARepairFails(t *testing.T) {
	t.Parallel()
	total := calls(t)
	step := 5
	if testing.Short() {
		step = 15
	}
	for n := 0; n < total; n += step {
		for again := 0; ; again++ {
			fsys := faultfs.New(random(n, again))
			fsys.FailAt(n, faultfs.CutBefore)
			s := &story{t: t, told: map[string]*account{}}
			var err error
			if s.store, err = openAt(fsys); err == nil {
				s.tell()
				_ = s.store.Close()
			}
			fsys = fsys.Powered()
			fsys.FailAt(again, []faultfs.Fault{faultfs.CutBefore, faultfs.CutAfter, faultfs.FailAfter}[again%3])
			repaired, err := openAt(fsys)
			calls := fsys.Calls()
			if err == nil {
				require.NoError(t, repaired.Close())
			}
			s.reopen(fsys.Powered())
			if t.Failed() {
				t.Fatalf("cut at call %d, fault at call %d of the repair", n, again)
			}
			if calls <= again {
				break
			}
		}
	}
}

// TestACommitWithAHole takes each sector out of the last commit, as a power cut
// does that keeps the others and the file's size: the commit never was.
func TestACommitWithAHole(t *testing.T) {
	t.Parallel()
	const sector = 64
	for at, end := int64(0), int64(sector); at < end; at += sector {
		fsys := faultfs.New(random(1, 1))
		s := begin(t, fsys)
		a := &account{timeline: storetest.NewTimeline("a")}
		for n := range 2 {
			b := a.timeline.Batch(storetest.Spec{N: n})
			require.NoError(t, s.store.Append(bg, b))
			if n == 0 {
				a.done(b)
			}
		}
		last := a.timeline.Head
		f, err := fsys.Open("/data/"+a.timeline.Tenant.ID+"/commits/"+segment.Name(0), false)
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		raw := make([]byte, size)
		_, err = f.ReadAt(raw, 0)
		require.NoError(t, err)
		line := int64(bytes.IndexByte(raw, '\n') + 1)
		end = size - 1 - line // the newline stays
		_, err = f.WriteAt(make([]byte, min(sector, end-at)), line+at)
		require.NoError(t, err)

		s.store, err = openAt(fsys.Restarted())
		require.NoError(t, err, "without bytes %d to %d", at, at+sector)
		head, err := s.store.Head(bg, a.timeline.Tenant.ID)
		require.NoError(t, err)
		require.Equal(t, last, head)
	}
}
