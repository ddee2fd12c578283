package engine_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// process is another process of the same node on the same database:
// connections, caches and sequencers of its own.
func (w *world) process() *world {
	w.t.Helper()
	p := *w
	p.db, p.store = backend.Open(w.t, w.url)
	p.bus = bus.New()
	p.dir = id.NewDirectory(p.db, id.FastVerifier(), p.clock.now)
	p.log = p.newLog()
	p.Engine = p.newEngine(setup{cfg: engine.Config{Home: w.home}}, p.log)
	return &p
}

// verify exports the tenant's timeline and has it checked offline.
func (w *world) verify() *bundle.Report {
	w.t.Helper()
	var out bytes.Buffer
	all := standing.Everything()
	require.NoError(w.t, w.log.Export(context.Background(), &out, w.tenant.ID, 0, 0, all))
	report, err := bundle.Verify(context.Background(), &out, bundle.Options{Node: w.node.ID()})
	require.NoError(w.t, err)
	require.True(w.t, report.OK, "%+v", report.Problems)
	return report
}

// TestTwoProcessesOnOneDatabase has callers of both send spans, every one of
// them to both: each is recorded once, both answer with the same position, and
// every receipt proves it.
func TestTwoProcessesOnOneDatabase(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		a := newWorld(t, s)
		b := a.process()
		const callers, spans = 6, 15
		var mu sync.Mutex
		positions := map[string][]uint64{}
		var wg sync.WaitGroup
		for range callers {
			var raws [][]byte
			for n := range spans {
				raws = append(raws, a.note(a.owner, n))
			}
			for i, p := range []*world{a, b} {
				wg.Go(func() {
					for n := range raws {
						raw := raws[n]
						if i == 1 { // the other way round, so that both come first at times
							raw = raws[len(raws)-1-n]
						}
						r := p.submit(raw)
						if r.Err != nil {
							t.Error(r.Err)
							return
						}
						c, err := tree.ParseNote(r.Receipt.Checkpoint)
						if err == nil {
							err = tree.VerifyInclusion(r.Receipt.Leaf, r.Receipt.Index, r.Receipt.Size, r.Receipt.Proof, c.Root)
						}
						if err != nil {
							t.Error(err)
						}
						mu.Lock()
						positions[string(raw)] = append(positions[string(raw)], r.Receipt.Index)
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		seen := map[uint64]bool{}
		for _, at := range positions {
			require.Len(t, at, 2)
			require.Equal(t, at[0], at[1])
			require.False(t, seen[at[0]])
			seen[at[0]] = true
		}
		require.Len(t, positions, callers*spans)
		require.Equal(t, uint64(5+callers*spans), a.verify().Size)
		require.Equal(t, a.size(), b.size())
	})
}

// TestWhatOneProcessGrantsAndEndsHoldsInTheOther passes roles and key events
// from one to the other.
func TestWhatOneProcessGrantsAndEndsHoldsInTheOther(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		a := newWorld(t, s)
		b := a.process()
		require.NoError(t, b.submit(b.note(b.owner, 0)).Err)
		for n := range 5 {
			keys := a.identity()
			requireCode(t, "author_unknown", b.submit(b.note(keys, n)).Err)
			a.grant(keys, span.RoleMember)
			require.NoError(t, b.submit(b.note(keys, n)).Err)

			before := keys.Signer()
			rotation, err := keys.Rotate(a.clock.now(), rand.Reader)
			require.NoError(t, err)
			_, pending, err := b.EmbedEvent(context.Background(), keys.ID(), rotation.Raw)
			require.NoError(t, err)
			require.Empty(t, pending)
			requireCode(t, "key_rotated", a.submit(a.sealBy(before, keys.ID(), fmt.Appendf(nil, `{"n":%d}`, n))).Err)
			require.NoError(t, a.submit(a.note(keys, n)).Err)

			require.NoError(t, a.submit(a.member_(a.owner, keys.ID(), span.ActionWithdraw, span.RoleMember)).Err)
			requireCode(t, "not_a_member", b.submit(b.note(keys, n)).Err)
		}
		b.verify()
	})
}

// A process that learns from the decision rows that another one was there first
// decides again; nobody is told of it.
func TestDecidedAgainWhereRowsAreNewer(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		s.folder = storetest.Folder{}
		a := newWorld(t, s)
		about := func(title string) []byte {
			return a.seal(a.owner, []byte(`{}`), func(h *span.Header) { h.Subject, h.Title = "s", title })
		}
		require.NoError(t, a.submit(about("")).Err)
		b := a.process() // which has appended nothing: it asks where the head is
		first := 0
		b.store = &firstRows{Store: b.store, do: func() {
			first++
			require.NoError(t, a.submit(about("")).Err)
		}}
		b.log = b.newLog()
		b.Engine = b.newEngine(s, b.log)
		requireCode(t, "folder_refuses", b.submit(about(storetest.Refuse)).Err)
		require.NoError(t, b.submit(about("")).Err)
		require.Equal(t, 1, first)
		a.verify()
	})
}

// firstRows does something once, before state rows are read.
type firstRows struct {
	timeline.Store
	do func()
}

func (f *firstRows) Rows(ctx context.Context, tenant string, asks []timeline.Ask) (timeline.Asked, error) {
	if do := f.do; do != nil {
		f.do = nil
		do()
	}
	return f.Store.Rows(ctx, tenant, asks)
}
