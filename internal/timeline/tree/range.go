package tree

import (
	"slices"

	"github.com/danvoulez/logline/internal/span"
)

// Range is the compact range of leaves [begin, end): the roots of its
// Decompose subtrees. One that begins at 0 is the edge of a tree, from which
// the tree grows and its root follows. Not safe for concurrent use.
type Range struct {
	begin, end uint64
	hashes     []span.Hash
}

// NewRange makes a compact range from its hashes, left to right; there must be
// exactly as many as Decompose(begin, end) names. For an empty range hashes is
// nil. The slice is copied.
func NewRange(begin, end uint64, hashes []span.Hash) (*Range, error) {
	if begin > end || end > MaxSize {
		return nil, outOfRange("no range of leaves goes from %d to %d", begin, end)
	}
	if want := len(Decompose(begin, end)); len(hashes) != want {
		return nil, proofInvalid("the compact range of leaves %d to %d has %d hashes, not %d", begin, end, want, len(hashes))
	}
	return &Range{begin: begin, end: end, hashes: slices.Clone(hashes)}, nil
}

// Begin is the index of the first leaf.
func (r *Range) Begin() uint64 { return r.begin }

// End is the index after the last leaf: the tree's size where Begin is 0.
func (r *Range) End() uint64 { return r.end }

// Hashes is a copy of the range's hashes, left to right.
func (r *Range) Hashes() []span.Hash { return slices.Clone(r.hashes) }

// Clone is an independent copy.
func (r *Range) Clone() *Range {
	return &Range{begin: r.begin, end: r.end, hashes: slices.Clone(r.hashes)}
}

// Append adds the next leaf. done, where not nil, is called for each subtree at
// a stored level that the leaf completes, lowest first.
func (r *Range) Append(leaf span.Hash, done func(Subtree)) { r.push(0, leaf, done) }

// AppendNode adds the root of a complete subtree that begins where the range
// ends.
func (r *Range) AppendNode(n Node, hash span.Hash) error {
	if n.First() != r.end {
		return outOfRange("a subtree that begins at leaf %d cannot follow leaf %d", n.First(), r.end)
	}
	r.push(n.Level, hash, nil)
	return nil
}

func (r *Range) push(level int, hash span.Hash, done func(Subtree)) {
	index := r.end >> level
	r.end += 1 << level
	for index&1 == 1 && (index-1)<<level >= r.begin {
		last := len(r.hashes) - 1
		hash = Join(r.hashes[last], hash)
		r.hashes = r.hashes[:last]
		index >>= 1
		level++
		if level%StoredStep == 0 && done != nil {
			done(Subtree{Level: level, Index: index, Hash: hash})
		}
	}
	r.hashes = append(r.hashes, hash)
}

// Root is the RFC 6962 root of the tree whose edge this is. It means nothing
// for a range that does not begin at 0: use Enclose.
func (r *Range) Root() span.Hash {
	if len(r.hashes) == 0 {
		return EmptyRoot()
	}
	return fold(r.hashes)
}

// Enclose computes the root of the tree of size leaves in which r lies between
// left, the compact range of [0, begin), and right, that of [end, size): the
// check of a range proof is that this root is the checkpoint's.
func (r *Range) Enclose(left, right []span.Hash, size uint64) (span.Hash, error) {
	if size > MaxSize || r.end > size {
		return span.Hash{}, outOfRange("leaves %d to %d do not lie in a tree of %d", r.begin, r.end, size)
	}
	whole, err := NewRange(0, r.begin, left)
	if err != nil {
		return span.Hash{}, err
	}
	tail, err := NewRange(r.end, size, right)
	if err != nil {
		return span.Hash{}, err
	}
	for _, part := range []*Range{r, tail} {
		for i, n := range Decompose(part.begin, part.end) {
			if err := whole.AppendNode(n, part.hashes[i]); err != nil {
				return span.Hash{}, err
			}
		}
	}
	return whole.Root(), nil
}
