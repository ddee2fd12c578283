package timeline_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func slicesOf(hashes []span.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// verifyReceipt checks a receipt with code that is not ours.
func (w *world) verifyReceipt(r timeline.Receipt) {
	w.t.Helper()
	parsed, err := tree.ParseNote(r.Checkpoint)
	require.NoError(w.t, err)
	key, err := note.NewEd25519VerifierKey(parsed.Origin.String(), w.node.LogKey())
	require.NoError(w.t, err)
	verifier, err := note.NewVerifier(key)
	require.NoError(w.t, err)
	opened, err := note.Open(r.Checkpoint, note.VerifierList(verifier))
	require.NoError(w.t, err)
	require.Len(w.t, opened.Sigs, 1)
	require.Equal(w.t, r.Size, parsed.Size)
	leaf := rfc6962.DefaultHasher.HashLeaf(r.Line)
	require.Equal(w.t, leaf, r.Leaf[:])
	require.NoError(w.t, proof.VerifyInclusion(rfc6962.DefaultHasher, r.Index, r.Size, leaf, slicesOf(r.Proof), parsed.Root[:]))
	require.NoError(w.t, tlog.CheckRecord(tlogProof(r.Proof), int64(r.Size), tlog.Hash(parsed.Root), int64(r.Index), tlog.RecordHash(r.Line)))
}

func tlogProof(hashes []span.Hash) tlog.RecordProof {
	out := make(tlog.RecordProof, len(hashes))
	for i, h := range hashes {
		out[i] = tlog.Hash(h)
	}
	return out
}

// verifyAll checks every entry's first receipt and the tree over the lines
// with code that is not ours.
func (w *world) verifyAll() {
	w.t.Helper()
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			out[i] = stored[x]
		}
		return out, nil
	})
	records := w.entries()
	for i, r := range records {
		require.Equal(w.t, uint64(i), r.Seq)
		hashes, err := tlog.StoredHashes(int64(i), r.Line, reader)
		require.NoError(w.t, err)
		stored = append(stored, hashes...)
		receipt, err := w.log.Receipt(w.t.Context(), w.tenant, r.Seq)
		require.NoError(w.t, err)
		w.verifyReceipt(receipt)
	}
	head := w.head()
	require.Equal(w.t, uint64(len(records)), head.Size)
	root, err := tlog.TreeHash(int64(len(records)), reader)
	require.NoError(w.t, err)
	require.Equal(w.t, tlog.Hash(head.Root), root)
}

func TestProofsAgainstOtherCode(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		random := rand.New(rand.NewPCG(3, 4))
		roots := map[uint64]span.Hash{}
		for w.head().Size < 700 {
			receipts := w.append(w.plain(1 + random.IntN(120))...)
			for range 5 {
				w.verifyReceipt(receipts[random.IntN(len(receipts))])
			}
			roots[w.head().Size] = w.head().Root
		}
		w.verifyAll()
		records := w.entries()
		size := uint64(len(records))
		for range 300 {
			to := 1 + random.Uint64N(size)
			index := random.Uint64N(to)
			leaf, hashes, err := w.log.Inclusion(t.Context(), w.tenant, index, to)
			require.NoError(t, err)
			require.Equal(t, records[index].Leaf, leaf)
			root := rootOf(t, records[:to])
			require.NoError(t, proof.VerifyInclusion(rfc6962.DefaultHasher, index, to, leaf[:], slicesOf(hashes), root[:]))
		}
		for from, fromRoot := range roots {
			for to, toRoot := range roots {
				if from > to {
					continue
				}
				hashes, err := w.log.Consistency(t.Context(), w.tenant, from, to)
				require.NoError(t, err)
				require.NoError(t, proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, slicesOf(hashes), fromRoot[:], toRoot[:]))
			}
		}
		_, _, err := w.log.Inclusion(t.Context(), w.tenant, 0, size+1)
		require.ErrorContains(t, err, "range_invalid")
		_, err = w.log.Consistency(t.Context(), w.tenant, 1, size+1)
		require.ErrorContains(t, err, "range_invalid")
	})
}

func rootOf(t *testing.T, records []timeline.Record) span.Hash {
	t.Helper()
	edge := &tree.Range{}
	for i := range records {
		edge.Append(records[i].Leaf, nil)
	}
	return edge.Root()
}

// TestStoresGiveTheSameBytes runs one script on every store.
func TestStoresGiveTheSameBytes(t *testing.T) {
	t.Parallel()
	a := script(t, memstore.New())
	a.verifyAll()
	records := a.entries()
	onEveryStore(t, func(t *testing.T, s timeline.Store) { a.requireSame(t, records, script(t, s)) })
}

func (w *world) requireSame(t *testing.T, records []timeline.Record, other *world) {
	t.Helper()
	ctx := t.Context()
	require.Equal(t, w.tenant, other.tenant)
	head, err := w.store.Head(ctx, w.tenant)
	require.NoError(t, err)
	require.Equal(t, head, other.head())
	for i, r := range other.entries() {
		require.Equal(t, records[i], r)
	}
	for seq := range head.Size {
		size, note, err := w.store.Checkpoint(ctx, w.tenant, seq)
		require.NoError(t, err)
		otherSize, otherNote, err := other.store.Checkpoint(ctx, other.tenant, seq)
		require.NoError(t, err)
		require.Equal(t, size, otherSize)
		require.Equal(t, string(note), string(otherNote))
	}
	_, rows, err := w.store.State(ctx, w.tenant)
	require.NoError(t, err)
	_, otherRows, err := other.store.State(ctx, other.tenant)
	require.NoError(t, err)
	require.Equal(t, rows, otherRows)
	hashes, err := w.store.Hashes(ctx, w.tenant, 8, 0, head.Size/256)
	require.NoError(t, err)
	otherHashes, err := other.store.Hashes(ctx, other.tenant, 8, 0, head.Size/256)
	require.NoError(t, err)
	require.Equal(t, hashes, otherHashes)
}

// script appends every kind of change.
func script(t *testing.T, s timeline.Store) *world {
	w := newWorld(t, s, "")
	first, second := w.by("pay.out", `{"secret":"x"}`, nil), w.by("pay.out", `{"secret":"y"}`, nil)
	w.append(first, second)
	w.append(
		w.by(span.TypeRevert, `{"header_hash":"`+hashOf(first)+`","reason":"r","span":"`+first.Span.ID+`"}`, nil),
		w.by(span.TypeRedaction, `{"reason":"r","spans":[{"header_hash":"`+hashOf(second)+`","span":"`+second.Span.ID+`"}]}`, nil),
	)
	for _, n := range []int{1, 300, 17, 255} {
		w.append(w.plain(n)...)
	}
	return w
}
