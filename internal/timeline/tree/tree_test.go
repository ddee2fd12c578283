package tree

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// memory is a HashReader over leaves grown by Range, strict about what it may
// be asked for.
type memory struct {
	t      require.TestingT
	size   uint64
	levels map[int][]span.Hash
}

func (m *memory) Hashes(_ context.Context, level int, from, to uint64) ([]span.Hash, error) {
	require.LessOrEqual(m.t, from, to)
	require.LessOrEqual(m.t, to-from, uint64(256))
	require.LessOrEqual(m.t, to, m.size>>level, "asked for a subtree that is not complete")
	return m.levels[level][from:to], nil
}

func leavesOf(n uint64, seed uint64) []span.Hash {
	out := make([]span.Hash, n)
	for i := range out {
		line := binary.BigEndian.AppendUint64(nil, seed)
		out[i] = span.LeafHash(binary.BigEndian.AppendUint64(line, uint64(i)))
	}
	return out
}

func grow(t require.TestingT, leaves []span.Hash) (*memory, *Range) {
	edge, err := NewRange(0, 0, nil)
	require.NoError(t, err)
	m := &memory{t: t, levels: map[int][]span.Hash{0: leaves}}
	for _, leaf := range leaves {
		edge.Append(leaf, func(s Subtree) {
			require.Equal(t, s.Index, uint64(len(m.levels[s.Level])), "subtrees complete in order")
			m.levels[s.Level] = append(m.levels[s.Level], s.Hash)
		})
	}
	m.size = edge.End()
	return m, edge
}

// tlogHashes is x/mod's own store of the same leaves.
func tlogHashes(t require.TestingT, leaves []span.Hash) tlog.HashReader {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, a := range at {
			out[i] = stored[a]
		}
		return out, nil
	})
	for i, leaf := range leaves {
		more, err := tlog.StoredHashesForRecordHash(int64(i), tlog.Hash(leaf), reader)
		require.NoError(t, err)
		stored = append(stored, more...)
	}
	return reader
}

func plain(hashes []span.Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

func own[H ~[32]byte](hashes []H) []span.Hash {
	out := make([]span.Hash, len(hashes))
	for i := range hashes {
		out[i] = span.Hash(hashes[i])
	}
	return out
}

func sizes() *rapid.Generator[uint64] {
	return rapid.OneOf(
		rapid.Uint64Range(1, 40),
		rapid.SampledFrom([]uint64{127, 128, 255, 256, 257, 511, 512, 513, 767, 1023, 1024, 1025}),
		rapid.Uint64Range(1, 1500))
}

func TestRootsProofsAndEdgesAgreeWithIndependentCode(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		size := sizes().Draw(t, "size")
		leaves := leavesOf(size, rapid.Uint64().Draw(t, "seed"))
		m, edge := grow(t, leaves)
		other := tlogHashes(t, leaves)

		theirRoot, err := tlog.TreeHash(int64(size), other)
		require.NoError(t, err)
		root := edge.Root()
		require.Equal(t, span.Hash(theirRoot), root)
		read, err := Root(ctx, m, size)
		require.NoError(t, err)
		require.Equal(t, root, read)

		factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
		theirs := factory.NewEmptyRange(0)
		for _, leaf := range leaves {
			require.NoError(t, theirs.Append(leaf[:], nil))
		}
		require.Equal(t, theirs.Hashes(), plain(edge.Hashes()))

		index := rapid.Uint64Range(0, size-1).Draw(t, "index")
		inclusion, err := Inclusion(ctx, m, index, size)
		require.NoError(t, err)
		theirInclusion, err := tlog.ProveRecord(int64(size), int64(index), other)
		require.NoError(t, err)
		require.Equal(t, own(theirInclusion), inclusion)
		require.NoError(t, proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaves[index][:], plain(inclusion), root[:]))
		require.NoError(t, VerifyInclusion(leaves[index], index, size, inclusion, root))

		from := rapid.Uint64Range(1, size).Draw(t, "from")
		consistency, err := Consistency(ctx, m, from, size)
		require.NoError(t, err)
		theirConsistency, err := tlog.ProveTree(int64(size), int64(from), other)
		require.NoError(t, err)
		require.Equal(t, own(theirConsistency), consistency)
		oldRoot, err := Root(ctx, m, from)
		require.NoError(t, err)
		require.NoError(t, proof.VerifyConsistency(rfc6962.DefaultHasher, from, size, plain(consistency), oldRoot[:], root[:]))
		require.NoError(t, VerifyConsistency(from, size, oldRoot, root, consistency))
	})
}

// Every altered proof that the independent verifier refuses, ours refuses, and
// the other way round.
func TestVerifiersAgreeOnAlteredProofs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint64Range(1, 70).Draw(t, "size")
		leaves := leavesOf(size, 7)
		m, edge := grow(t, leaves)
		root := edge.Root()
		index := rapid.Uint64Range(0, size-1).Draw(t, "index")
		from := rapid.Uint64Range(0, size).Draw(t, "from")
		inclusion, err := Inclusion(ctx, m, index, size)
		require.NoError(t, err)
		consistency, err := Consistency(ctx, m, from, size)
		require.NoError(t, err)
		oldRoot, err := Root(ctx, m, from)
		require.NoError(t, err)

		alter := func(p []span.Hash) []span.Hash {
			p = slices.Clone(p)
			switch rapid.IntRange(0, 4).Draw(t, "alteration") {
			case 0:
				p = append(p, leaves[0])
			case 1:
				if len(p) > 0 {
					p = p[:len(p)-1]
				}
			case 2:
				if len(p) > 0 {
					p = p[1:]
				}
			case 3:
				if len(p) > 0 {
					p[rapid.IntRange(0, len(p)-1).Draw(t, "at")][rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
				}
			}
			return p
		}
		i, s := index, size
		if rapid.Bool().Draw(t, "elsewhere") {
			i, s = rapid.Uint64Range(0, 80).Draw(t, "i"), rapid.Uint64Range(0, 80).Draw(t, "s")
		}
		p := alter(inclusion)
		theirs := proof.VerifyInclusion(rfc6962.DefaultHasher, i, s, leaves[index][:], plain(p), root[:])
		ours := VerifyInclusion(leaves[index], i, s, p, root)
		require.Equal(t, theirs == nil, ours == nil, "%v / %v", theirs, ours)

		f, to := from, size
		if rapid.Bool().Draw(t, "other sizes") {
			f, to = rapid.Uint64Range(1, 80).Draw(t, "f"), rapid.Uint64Range(0, 80).Draw(t, "to")
		}
		if f > 0 { // at 0 we check the empty root too
			p = alter(consistency)
			theirs = proof.VerifyConsistency(rfc6962.DefaultHasher, f, to, plain(p), oldRoot[:], root[:])
			ours = VerifyConsistency(f, to, oldRoot, root, p)
			require.Equal(t, theirs == nil, ours == nil, "%v / %v", theirs, ours)
		}
	})
}

func TestBatchProvesItsLeavesFromTheOldEdgeAlone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		old := rapid.OneOf(rapid.Just(uint64(0)), sizes()).Draw(t, "old")
		add := rapid.OneOf(rapid.Uint64Range(0, 20), rapid.Uint64Range(0, 600)).Draw(t, "add")
		leaves := leavesOf(old+add, 3)
		before, oldEdge := grow(t, leaves[:old])
		after, newEdge := grow(t, leaves)

		b, err := NewBatch(oldEdge, leaves[old:])
		require.NoError(t, err)
		require.Equal(t, newEdge.End(), b.Size())
		require.Equal(t, newEdge.Root(), b.Root())
		require.Equal(t, newEdge.Hashes(), b.Edge().Hashes())

		var want []Subtree
		for level := 8; level <= 16; level += 8 {
			for i := len(before.levels[level]); i < len(after.levels[level]); i++ {
				want = append(want, Subtree{Level: level, Index: uint64(i), Hash: after.levels[level][i]})
			}
		}
		require.Equal(t, want, b.Subtrees())
		for i := old; i < old+add; i++ {
			fresh, err := b.Inclusion(i)
			require.NoError(t, err)
			read, err := Inclusion(ctx, after, i, old+add)
			require.NoError(t, err)
			require.Equal(t, read, fresh)
		}
		if old > 0 {
			_, err = b.Inclusion(old - 1)
			require.Equal(t, "range_invalid", fault.CodeOf(err))
		}
		_, err = b.Inclusion(old + add)
		require.Equal(t, "range_invalid", fault.CodeOf(err))
	})
}

func TestSecondStoredLevel(t *testing.T) {
	t.Parallel()
	const size = 1<<16 + 300
	leaves := leavesOf(size, 1)
	m, edge := grow(t, leaves)
	require.Len(t, m.levels[16], 1)
	require.Len(t, m.levels[8], 257)
	proofHashes, err := Inclusion(context.Background(), m, size-1, size)
	require.NoError(t, err)
	require.NoError(t, VerifyInclusion(leaves[size-1], size-1, size, proofHashes, edge.Root()))

	half, err := Compact(context.Background(), m, 0, 1<<16-5)
	require.NoError(t, err)
	b, err := NewBatch(half, leaves[1<<16-5:])
	require.NoError(t, err)
	require.Equal(t, edge.Root(), b.Root())
	require.Contains(t, b.Subtrees(), Subtree{Level: 16, Index: 0, Hash: m.levels[16][0]})
}

func TestRangeProofs(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		size := sizes().Draw(t, "size")
		leaves := leavesOf(size, 9)
		m, edge := grow(t, leaves)
		from := rapid.Uint64Range(0, size).Draw(t, "from")
		to := rapid.Uint64Range(from, size).Draw(t, "to")
		left, err := Compact(ctx, m, 0, from)
		require.NoError(t, err)
		right, err := Compact(ctx, m, to, size)
		require.NoError(t, err)

		mid, err := NewRange(from, from, nil)
		require.NoError(t, err)
		for _, leaf := range leaves[from:to] {
			mid.Append(leaf, nil)
		}
		read, err := Compact(ctx, m, from, to)
		require.NoError(t, err)
		require.ElementsMatch(t, read.Hashes(), mid.Hashes())
		root, err := mid.Enclose(left.Hashes(), right.Hashes(), size)
		require.NoError(t, err)
		require.Equal(t, edge.Root(), root)

		if from > 0 {
			_, err = mid.Enclose(left.Hashes()[1:], right.Hashes(), size)
			require.Equal(t, "proof_invalid", fault.CodeOf(err))
			bad := left.Hashes()
			bad[0][5] ^= 1
			root, err = mid.Enclose(bad, right.Hashes(), size)
			require.NoError(t, err)
			require.NotEqual(t, edge.Root(), root)
		}
	})
}

func TestLimitsOfRanges(t *testing.T) {
	t.Parallel()
	_, err := NewRange(0, MaxSize+1, nil)
	assert.Equal(t, "range_invalid", fault.CodeOf(err))
	_, err = NewRange(2, 1, nil)
	assert.Equal(t, "range_invalid", fault.CodeOf(err))
	_, err = NewRange(0, 3, make([]span.Hash, 3))
	assert.Equal(t, "proof_invalid", fault.CodeOf(err))
	r, err := NewRange(4, 4, nil)
	require.NoError(t, err)
	assert.Equal(t, "range_invalid", fault.CodeOf(r.AppendNode(Node{Level: 0, Index: 5}, span.Hash{})))
	_, err = NewBatch(r, nil)
	assert.Equal(t, "range_invalid", fault.CodeOf(err))
	empty, err := NewBatch(&Range{}, nil)
	require.NoError(t, err)
	assert.Equal(t, EmptyRoot(), empty.Root())
	_, err = Inclusion(context.Background(), nil, 3, 3)
	assert.Equal(t, "range_invalid", fault.CodeOf(err))
	_, err = Consistency(context.Background(), nil, 4, 3)
	assert.Equal(t, "range_invalid", fault.CodeOf(err))
}

type short struct{}

func (short) Hashes(context.Context, int, uint64, uint64) ([]span.Hash, error) { return nil, nil }

func TestMissingHashesAreAnErrorNotAPanic(t *testing.T) {
	t.Parallel()
	_, err := Inclusion(context.Background(), short{}, 3, 9)
	assert.Equal(t, "tree_incomplete", fault.CodeOf(err))
}

func BenchmarkBatch1000(b *testing.B) {
	leaves := leavesOf(13_000, 1)
	_, edge := grow(b, leaves[:12_000])
	for b.Loop() {
		batch, _ := NewBatch(edge, leaves[12_000:])
		for i := uint64(12_000); i < 13_000; i++ {
			_, _ = batch.Inclusion(i)
		}
	}
}
