package tree

import "github.com/danvoulez/logline/internal/span"

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
	stretches := inclusionStretches(index, b.size)
	proof := make([]span.Hash, 0, len(stretches))
	var run []span.Hash
	for _, s := range stretches {
		run = run[:0]
		for _, n := range Decompose(s.from, s.to) {
			run = append(run, b.node(n))
		}
		proof = append(proof, fold(run))
	}
	return proof, nil
}

func (b *Batch) node(n Node) span.Hash { return b.levels[n.Level][n.Index-b.start[n.Level]] }
