package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

const everything = ^uint64(0)

// grow appends specs in one batch that must succeed.
func grow(t *testing.T, s timeline.Store, tl *Timeline, specs ...Spec) *timeline.Batch {
	t.Helper()
	b := tl.Batch(specs...)
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	return b
}

// numbered makes n plain specs from first on.
func numbered(first, n int) []Spec {
	out := make([]Spec, n)
	for i := range out {
		out[i].N = first + i
	}
	return out
}

// readAll reads a whole timeline through Range.
func readAll(t *testing.T, s timeline.Store, tenant string) []timeline.Record {
	t.Helper()
	var out []timeline.Record
	for {
		records, err := s.Range(t.Context(), tenant, uint64(len(out)), everything)
		require.NoError(t, err)
		if len(records) == 0 {
			return out
		}
		out = append(out, records...)
	}
}

func testReadBack(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	specs := numbered(0, 40)
	specs[3] = Spec{N: 3, NoDetail: true}
	first := tl.Batch(specs...)
	first.State = []standing.Row{{Key: "b", Value: []byte("2")}, {Key: "a", Value: []byte("1")}}
	line := bytes.Clone(first.Rows[0].Line)
	require.NoError(t, s.Append(ctx, first))
	tl.Done(first)
	second := grow(t, s, tl, numbered(40, 1)...)
	rows := append(append([]timeline.Row{}, first.Rows...), second.Rows...)

	head, err := s.Head(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, second.Head, head)
	state, kept, err := s.State(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, second.Head, state)
	require.Equal(t, []standing.Row{{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}}, kept)

	records := readAll(t, s, tl.Tenant.ID)
	require.Len(t, records, len(rows))
	for i, r := range records {
		want := rows[i]
		require.Equal(t, timeline.Record{
			Seq: want.Seq, Line: want.Line, Leaf: want.Leaf, Payload: want.Payload, Salt: want.Salt, Detail: want.Detail, Status: want.Status,
		}, r)
	}
	some, err := s.Range(ctx, tl.Tenant.ID, 5, 7)
	require.NoError(t, err)
	require.Equal(t, records[5:7], some)
	for _, bounds := range [][2]uint64{{41, 50}, {7, 7}, {9, 3}, {everything, everything}} {
		none, err := s.Range(ctx, tl.Tenant.ID, bounds[0], bounds[1])
		require.NoError(t, err)
		require.Empty(t, none)
	}
	at, err := s.At(ctx, tl.Tenant.ID, []uint64{40, 2, 99, everything, 2}, true)
	require.NoError(t, err)
	require.Equal(t, []timeline.Record{records[40], records[2], records[2]}, at)
	bare, err := s.At(ctx, tl.Tenant.ID, []uint64{2}, false)
	require.NoError(t, err)
	want := records[2]
	want.Payload, want.Salt, want.Detail = nil, "", nil
	require.Equal(t, []timeline.Record{want}, bare)

	// The caller's bytes are its own again, and so are the ones it got.
	for i := range first.Rows[0].Line {
		first.Rows[0].Line[i] = 'x'
	}
	records[0].Line[0] = 'y'
	again, err := s.At(ctx, tl.Tenant.ID, []uint64{0}, false)
	require.NoError(t, err)
	require.Equal(t, line, again[0].Line)
}

func testStale(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	grow(t, s, tl, numbered(0, 3)...)
	stale := tl.Batch(numbered(10, 2)...)
	grow(t, s, tl, numbered(3, 2)...)
	require.ErrorIs(t, s.Append(ctx, stale), timeline.ErrHeadMoved)

	ahead := tl.Batch(numbered(20, 1)...)
	tl2 := *tl
	tl2.Done(ahead)
	require.ErrorIs(t, s.Append(ctx, tl2.Batch(numbered(21, 1)...)), timeline.ErrHeadMoved)

	otherRoot := tl.Batch(numbered(30, 1)...)
	otherRoot.ExpectedRoot[0] ^= 1
	require.ErrorIs(t, s.Append(ctx, otherRoot), timeline.ErrHeadMoved, "same size, other tree")

	head, err := s.Head(ctx, tl.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, tl.Head, head)
	require.Len(t, readAll(t, s, tl.Tenant.ID), 5)
	spent, err := s.Spent(ctx, tl.Tenant.ID, []string{ID(10), ID(20), ID(30)})
	require.NoError(t, err)
	require.Empty(t, spent)
}

// testConcurrent lets several appenders, each with its own idea of the head,
// add batches until all are in.
func testConcurrent(t *testing.T, s timeline.Store) {
	const appenders, batches = 4, 8
	ctx := t.Context()
	base := NewTimeline("a")
	grow(t, s, base, Spec{N: 0})
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards won
		won  = map[uint64]int{}
		fail = make(chan error, appenders)
	)
	for a := range appenders {
		wg.Go(func() {
			for i := 0; i < batches; {
				head, err := s.Head(ctx, base.Tenant.ID)
				if err != nil {
					fail <- err
					return
				}
				own := &Timeline{Tenant: base.Tenant}
				own.Done(&timeline.Batch{Head: head})
				b := own.Batch(numbered(1000+a*100+2*i, 2)...)
				switch err := s.Append(ctx, b); {
				case err == nil:
					mu.Lock()
					won[b.ExpectedSize]++
					mu.Unlock()
					i++
				case fault.CodeOf(err) != timeline.ErrHeadMoved.Code:
					fail <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(fail)
	for err := range fail {
		require.NoError(t, err)
	}
	records := readAll(t, s, base.Tenant.ID)
	require.Len(t, records, 1+appenders*batches*2)
	edge := &tree.Range{}
	for i, r := range records {
		require.Equal(t, uint64(i), r.Seq)
		require.Equal(t, span.LeafHash(r.Line), r.Leaf)
		edge.Append(r.Leaf, nil)
	}
	head, err := s.Head(ctx, base.Tenant.ID)
	require.NoError(t, err)
	require.Equal(t, edge.Root(), head.Root, "no append built on another tree than the one before it")
	require.Len(t, won, appenders*batches)
	for size, n := range won {
		require.Equal(t, 1, n, "two appends won at size %d", size)
	}
}

func testReadersDuringAppends(t *testing.T, s timeline.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	tl := NewTimeline("a")
	grow(t, s, tl, numbered(0, 5)...)
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := readWhole(t.Context(), s, tl.Tenant.ID); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := 1; i < 40; i++ {
		grow(t, s, tl, numbered(5*i, 5)...)
	}
	cancel()
	require.NoError(t, <-done)
}

// readWhole checks that what a reader sees is a multiple of the batches of
// five, without gaps, and that the state read with a head is that head's.
func readWhole(ctx context.Context, s timeline.Store, tenant string) error {
	records, err := s.Range(ctx, tenant, 0, everything)
	if err != nil {
		return err
	}
	if len(records)%5 != 0 {
		return fmt.Errorf("half a batch: %d entries", len(records))
	}
	for i, r := range records {
		if r.Seq != uint64(i) {
			return fmt.Errorf("entry %d at %d", r.Seq, i)
		}
	}
	head, err := s.Head(ctx, tenant)
	if err != nil {
		return err
	}
	if head.Size < uint64(len(records)) || head.Size%5 != 0 {
		return fmt.Errorf("head of %d after %d entries", head.Size, len(records))
	}
	return nil
}

func testSpent(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	refused := ID(900)
	grow(t, s, tl, Spec{N: 0}, Spec{N: 1, Type: span.TypeDecision, Refuses: refused})
	for name, specs := range map[string][]Spec{
		"an entry's id again":                {{N: 5}, {N: 0}},
		"a refused id as an entry":           {{N: 5}, {N: 6, ID: refused}},
		"an entry's id as a refused one":     {{N: 5, Refuses: ID(0)}},
		"a refused id refused again":         {{N: 5, Refuses: refused}},
		"twice in one batch":                 {{N: 5}, {N: 5}},
		"entry and refusal in one batch":     {{N: 5, Refuses: ID(6)}, {N: 6}},
		"twice among many, rows put by many": append(numbered(100, 40), Spec{N: 120}),
	} {
		require.ErrorIs(t, s.Append(ctx, tl.Batch(specs...)), timeline.ErrSpent, name)
	}
	require.Len(t, readAll(t, s, tl.Tenant.ID), 2, "nothing was written")
	found, err := s.Spent(ctx, tl.Tenant.ID, []string{ID(0), ID(5), refused, ID(1), "no id"})
	require.NoError(t, err)
	require.Equal(t, map[string]timeline.Spent{
		ID(0): {Seq: 0, By: timeline.SpentByEntry}, ID(1): {Seq: 1, By: timeline.SpentByEntry},
		refused: {Seq: 1, By: timeline.SpentByDecision},
	}, found)
	one, err := s.Spent(ctx, tl.Tenant.ID, []string{refused})
	require.NoError(t, err)
	require.Len(t, one, 1)
	var many []string
	for i := range 300 {
		many = append(many, ID(i))
	}
	found, err = s.Spent(ctx, tl.Tenant.ID, many)
	require.NoError(t, err)
	require.Len(t, found, 2)
	grow(t, s, tl, Spec{N: 5})
}

func testInconsistent(t *testing.T, s timeline.Store) {
	ctx, tl := t.Context(), NewTimeline("a")
	grow(t, s, tl, numbered(0, 3)...)
	for name, spoil := range map[string]func(*timeline.Batch){
		"no rows":             func(b *timeline.Batch) { b.Rows = nil },
		"a gap":               func(b *timeline.Batch) { b.Rows[1].Seq++ },
		"a head beyond":       func(b *timeline.Batch) { b.Head.Size++ },
		"time runs back":      func(b *timeline.Batch) { b.Rows[1].RecordedAt = "2020-01-01T00:00:00.000Z" },
		"status of nobody":    func(b *timeline.Batch) { b.Statuses = []standing.StatusChange{{Seq: 99, Status: "reverted"}} },
		"redaction of nobody": func(b *timeline.Batch) { b.Redacted = []uint64{99} },
	} {
		b := tl.Batch(numbered(10, 2)...)
		spoil(b)
		require.Equal(t, fault.Internal, fault.KindOf(s.Append(ctx, b)), name)
	}
	require.Len(t, readAll(t, s, tl.Tenant.ID), 3)
}

func testCancelled(t *testing.T, s timeline.Store) {
	tl := NewTimeline("a")
	grow(t, s, tl, Spec{N: 0})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Append(ctx, tl.Batch(Spec{N: 1}))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	require.Len(t, readAll(t, s, tl.Tenant.ID), 1)
}
