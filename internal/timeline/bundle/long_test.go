package bundle

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Chunks of lines are filled again once they are folded; a bundle of many of
// them is checked line by line all the same, whatever the number of workers.
func TestLongBundles(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 77)
	b.grow(1500)
	b.say("note.written", `{"long":"`+strings.Repeat("x", 2*chunkBytes)+`"}`) // a chunk by itself
	b.grow(1500)
	src := b.whole()
	lines := splitLines(src)
	checks := newRemembering()
	for _, workers := range []int{1, 2, 5} {
		var told []uint64
		rep := verify(t, src, Options{Node: b.node.ID(), Workers: workers, Verifier: checks, Progress: func(done, total uint64) {
			require.Equal(t, b.edge.End(), total)
			told = append(told, done)
		}})
		require.True(t, rep.OK, rep.Problems)
		require.EqualValues(t, b.edge.End(), rep.Checked)
		require.IsNonDecreasing(t, told)
		require.Equal(t, b.edge.End(), told[len(told)-1])
		require.Greater(t, len(told), 30, "told a few times at least")

		at := 2 + rand.IntN(len(lines)-3) // any line but the header, and the last, which may end sooner
		bad := bytes.Clone(lines[at])
		digit := bytes.LastIndexByte(bad, '"') - 3
		bad[digit] ^= 1
		damaged := joinLines(append(append(append([][]byte(nil), lines[:at]...), bad), lines[at+1:]...)...)
		rep = verify(t, damaged, Options{Workers: workers, Verifier: checks})
		require.False(t, rep.OK, "line %d", at+1)
		require.Equal(t, at+1, rep.Problems[0].Line)
		require.EqualValues(t, b.edge.End()-1, rep.Checked)
	}
}

// TestAllocationsOfAnEntry guards what verifying an entry costs beside the
// signature. It is not parallel: it counts everything that is allocated.
func TestAllocationsOfAnEntry(t *testing.T) {
	b := newBuilder(t, 78)
	b.grow(1000)
	src := b.whole()
	verifier := id.DefaultVerifier()
	allocations := testing.AllocsPerRun(3, func() {
		if _, err := Verify(context.Background(), bytes.NewReader(src), Options{Verifier: verifier}); err != nil {
			t.Fatal(err)
		}
	})
	require.Less(t, allocations/1000, 12.0, "allocations an entry")
}

// The set answers as a plain map of everything would.
func TestSpanSetRemembers(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	set := newSpanSet()
	model := make(map[string]standing.Ref)
	refused := make(map[string]bool)
	pick := func(of string) string { return fmt.Sprintf("%s-%d", of, rnd.IntN(3)) }
	statuses := []string{standing.StatusExecuted, standing.StatusPending, standing.StatusReverted}
	var ids []string
	for i := range 3 * blockRefs {
		var r [10]byte
		for j := range r {
			r[j] = byte(rnd.Uint32())
		}
		spanID := span.NewID(time.UnixMilli(int64(i)), r)
		ids = append(ids, spanID)
		if i%50 == 49 {
			set.spendByRefusal(spanKeyOf(spanID))
			refused[spanID] = true
			continue
		}
		ref := standing.Ref{
			ID: spanID, Seq: uint64(i), Author: pick("author"), OnBehalfOf: pick("for"), Type: pick("type"), Visibility: pick("seen"),
			Status: statuses[rnd.IntN(3)], HeaderHash: span.Sum([]byte(spanID)),
		}
		set.add(spanKeyOf(spanID), ref)
		model[spanID] = ref
		if old := ids[rnd.IntN(len(ids))]; i%7 == 0 && !refused[old] {
			changed := model[old]
			changed.Status = statuses[rnd.IntN(3)]
			set.setStatus(old, changed.Status)
			model[old] = changed
		}
	}
	pending := 0
	for _, spanID := range ids {
		require.Equal(t, spanID, uuidText(spanKeyOf(spanID)))
		got, ok := set.lookup(spanID)
		require.Equal(t, !refused[spanID], ok)
		require.Equal(t, model[spanID], got)
		seq, byRefusal, spent := set.spent(spanKeyOf(spanID))
		require.True(t, spent)
		require.Equal(t, refused[spanID], byRefusal)
		require.Equal(t, model[spanID].Seq, seq)
		if got.Status == standing.StatusPending {
			pending++
		}
	}
	require.Len(t, set.pending(), pending)
	for _, ref := range set.pending() {
		require.Equal(t, model[ref.ID], ref)
	}
	_, _, spent := set.spent(spanKeyOf("00000000-0000-7000-8000-000000000000"))
	require.False(t, spent)
}
