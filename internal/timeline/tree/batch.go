package tree

import (
	"math/bits"
	"slices"

	"github.com/danvoulez/logline/internal/span"
)

// Batch is a tree just grown by some leaves. From the old edge and the fresh
// leaves alone it knows the new edge, the root, the subtrees to store and the
// inclusion proof of each fresh leaf, so that an append reads no hashes.
type Batch struct {
	old, size uint64
	// levels[l] holds the complete nodes of level l from index start[l] on:
	// the old edge's node where there is one, then every fresh one.
	levels   [][]span.Hash
	start    []uint64
	edge     *Range
	rest     []span.Hash // by place in edge: the root of everything from there on
	subtrees []Subtree
}

// NewBatch grows the tree with edge old (a Range from 0, not changed) by leaves.
func NewBatch(old *Range, leaves []span.Hash) (*Batch, error) {
	if old.begin != 0 {
		return nil, outOfRange("a tree grows from the edge of leaves from 0, not from %d", old.begin)
	}
	size := old.end + uint64(len(leaves))
	if size > MaxSize {
		return nil, outOfRange("a tree holds at most %d leaves", uint64(MaxSize))
	}
	b := &Batch{old: old.end, size: size, edge: &Range{end: size}}
	fresh, left := leaves, len(old.hashes)-1 // left: the old edge's next node, lowest level last
	for level := 0; size>>level > 0; level++ {
		start := old.end >> level
		nodes := fresh
		if start&1 == 1 {
			nodes = append([]span.Hash{old.hashes[left]}, fresh...)
			left, start = left-1, start-1
		}
		b.levels, b.start = append(b.levels, nodes), append(b.start, start)
		if level > 0 && level%StoredStep == 0 {
			first := old.end >> level
			for i, h := range fresh {
				b.subtrees = append(b.subtrees, Subtree{Level: level, Index: first + uint64(i), Hash: h})
			}
		}
		fresh = make([]span.Hash, len(nodes)/2)
		for i := range fresh {
			fresh[i] = Join(nodes[2*i], nodes[2*i+1])
		}
	}
	for _, n := range Decompose(0, size) {
		b.edge.hashes = append(b.edge.hashes, b.node(n))
	}
	b.rest = slices.Clone(b.edge.hashes)
	for i := len(b.rest) - 2; i >= 0; i-- {
		b.rest[i] = Join(b.rest[i], b.rest[i+1])
	}
	return b, nil
}

// Size is the number of leaves after the batch.
func (b *Batch) Size() uint64 { return b.size }

// Edge is the compact range of the grown tree.
func (b *Batch) Edge() *Range { return b.edge.Clone() }

// Root is the root of the grown tree.
func (b *Batch) Root() span.Hash { return b.edge.Root() }

// Subtrees are the subtrees at stored levels that the batch completed, by level
// and index.
func (b *Batch) Subtrees() []Subtree { return b.subtrees }

// Inclusion is the proof (RFC 9162 §2.1.3.1) that the leaf at index, one of the
// batch's own, is in the tree of Size leaves.
func (b *Batch) Inclusion(index uint64) ([]span.Hash, error) {
	if index < b.old || index >= b.size {
		return nil, outOfRange("leaf %d is not one of this batch, %d to %d", index, b.old, b.size)
	}
	// The edge has one complete subtree for each bit of the size, the largest
	// first. Inside its own the leaf's path is of complete nodes; what is right of
	// that is one node, and each subtree left of it another.
	at, from := 0, uint64(0)
	level := bits.Len64(b.size) - 1
	for index-from >= 1<<level {
		at, from = at+1, from+1<<level
		level = bits.Len64(b.size-from) - 1
	}
	proof := make([]span.Hash, 0, level+1+at)
	for l := range level {
		proof = append(proof, b.node(Node{Level: l, Index: index>>l ^ 1}))
	}
	if at+1 < len(b.rest) {
		proof = append(proof, b.rest[at+1])
	}
	for at--; at >= 0; at-- {
		proof = append(proof, b.edge.hashes[at])
	}
	return proof, nil
}

func (b *Batch) node(n Node) span.Hash { return b.levels[n.Level][n.Index-b.start[n.Level]] }
