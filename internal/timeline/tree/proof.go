package tree

import (
	"context"
	"math/bits"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// HashReader reads stored hashes of one tree.
//
// Hashes returns, in order, the roots of the complete aligned subtrees of
// 2^level leaves with index in [from, to): for level 0 the leaf hashes, else
// level is 8, 16, 24 … It returns exactly to-from hashes or an error, never
// fewer; it is asked only for subtrees that lie wholly in the tree, and for at
// most 256 at once. Reads must be of committed hashes, which never change.
type HashReader interface {
	Hashes(ctx context.Context, level int, from, to uint64) ([]span.Hash, error)
}

// stretch is a run of leaves [from, to) whose root a proof names. Its first
// leaf is aligned to its size rounded up to a power of two.
type stretch struct{ from, to uint64 }

// Inclusion is the proof (RFC 9162 §2.1.3.1), lowest hash first, that the leaf
// at index is in the tree of size leaves.
func Inclusion(ctx context.Context, r HashReader, index, size uint64) ([]span.Hash, error) {
	if index >= size || size > MaxSize {
		return nil, outOfRange("a tree of %d leaves has no leaf %d", size, index)
	}
	return newGatherer(r, size).roots(ctx, inclusionStretches(index, size))
}

// Consistency is the proof (RFC 9162 §2.1.4.1) that the tree of to leaves
// extends the tree of from leaves. It is empty where from is 0 or to.
func Consistency(ctx context.Context, r HashReader, from, to uint64) ([]span.Hash, error) {
	if from > to || to > MaxSize {
		return nil, outOfRange("a tree of %d leaves cannot extend one of %d", to, from)
	}
	if from == 0 {
		return nil, nil
	}
	return newGatherer(r, to).roots(ctx, consistencyStretches(from, to))
}

// Compact is the compact range of leaves [from, to) in a tree of at least to
// leaves: either half of a bundle's range proof, or a tree's edge.
func Compact(ctx context.Context, r HashReader, from, to uint64) (*Range, error) {
	if from > to || to > MaxSize {
		return nil, outOfRange("no range of leaves goes from %d to %d", from, to)
	}
	g := newGatherer(r, to)
	out := &Range{begin: from, end: to}
	for _, n := range Decompose(from, to) {
		h, err := g.node(ctx, n)
		if err != nil {
			return nil, err
		}
		out.hashes = append(out.hashes, h)
	}
	return out, nil
}

// Root is the root of the tree's first size leaves.
func Root(ctx context.Context, r HashReader, size uint64) (span.Hash, error) {
	edge, err := Compact(ctx, r, 0, size)
	if err != nil {
		return span.Hash{}, err
	}
	return edge.Root(), nil
}

func inclusionStretches(index, size uint64) []stretch {
	var out []stretch
	from, to := uint64(0), size
	for to-from > 1 {
		mid := from + split(to-from)
		if index < mid {
			out, to = append(out, stretch{mid, to}), mid
		} else {
			out, from = append(out, stretch{from, mid}), mid
		}
	}
	slices.Reverse(out)
	return out
}

func consistencyStretches(old, size uint64) []stretch {
	var out []stretch
	from, to := uint64(0), size
	for to != old {
		mid := from + split(to-from)
		if old <= mid {
			out, to = append(out, stretch{mid, to}), mid
		} else {
			out, from = append(out, stretch{from, mid}), mid
		}
	}
	if from != 0 { // else the verifier knows this root: it is the old tree's own
		out = append(out, stretch{from, to})
	}
	slices.Reverse(out)
	return out
}

// split is the largest power of two below n > 1.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// gatherer computes nodes from stored hashes, reading each run of 256 once.
type gatherer struct {
	reader HashReader
	size   uint64
	tiles  map[Node][]span.Hash // by stored level and index/256
}

func newGatherer(r HashReader, size uint64) *gatherer {
	return &gatherer{reader: r, size: size, tiles: make(map[Node][]span.Hash)}
}

func (g *gatherer) roots(ctx context.Context, stretches []stretch) ([]span.Hash, error) {
	out := make([]span.Hash, 0, len(stretches))
	var run []span.Hash
	for _, s := range stretches {
		run = run[:0]
		for _, n := range Decompose(s.from, s.to) {
			h, err := g.node(ctx, n)
			if err != nil {
				return nil, err
			}
			run = append(run, h)
		}
		out = append(out, fold(run))
	}
	return out, nil
}

func (g *gatherer) node(ctx context.Context, n Node) (span.Hash, error) {
	stored := n.Level - n.Level%StoredStep
	first := n.Index << (n.Level - stored)
	key := Node{Level: stored, Index: first >> StoredStep}
	tile, ok := g.tiles[key]
	if !ok {
		from := key.Index << StoredStep
		to := min(from+1<<StoredStep, g.size>>stored)
		var err error
		if tile, err = g.reader.Hashes(ctx, stored, from, to); err != nil {
			return span.Hash{}, err
		}
		if uint64(len(tile)) != to-from {
			return span.Hash{}, fault.Newf(fault.Internal, "tree_incomplete",
				"the tree has %d of %d hashes at level %d from %d on; check the timeline with fsck", len(tile), to-from, stored, from)
		}
		g.tiles[key] = tile
	}
	at := first % (1 << StoredStep)
	hashes := tile[at : at+1<<(n.Level-stored)]
	for len(hashes) > 1 {
		next := make([]span.Hash, len(hashes)/2)
		for i := range next {
			next[i] = Join(hashes[2*i], hashes[2*i+1])
		}
		hashes = next
	}
	return hashes[0], nil
}
