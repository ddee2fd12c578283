package tree

import (
	"math/bits"

	"github.com/danvoulez/logline/internal/span"
)

// VerifyInclusion checks that the leaf at index is in the tree of size leaves
// with that root (RFC 9162 §2.1.3.2). The error's code is proof_incomplete where
// the number of hashes is not the one that every such proof has, which proves
// nothing, else proof_invalid.
func VerifyInclusion(leaf span.Hash, index, size uint64, proof []span.Hash, root span.Hash) error {
	if index >= size || size > MaxSize {
		return proofInvalid("a tree of %d leaves has no leaf %d", size, index)
	}
	fn, sn, hash := index, size-1, leaf
	for _, p := range proof {
		if sn == 0 {
			return proofIncomplete("the inclusion proof has %d hashes, more than a tree of %d leaves needs for leaf %d", len(proof), size, index)
		}
		if fn&1 == 1 || fn == sn {
			hash = Join(p, hash)
			if fn&1 == 0 {
				skip := bits.TrailingZeros64(fn)
				fn, sn = fn>>skip, sn>>skip
			}
		} else {
			hash = Join(hash, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	if sn != 0 {
		return proofIncomplete("the inclusion proof has only %d hashes, too few for leaf %d of %d", len(proof), index, size)
	}
	if hash != root {
		return proofInvalid("the inclusion proof of leaf %d leads to root %s, not to %s", index, hash, root)
	}
	return nil
}

// VerifyConsistency checks that the tree of to leaves with root toRoot extends
// that of from leaves with root fromRoot (RFC 9162 §2.1.4.2). Every tree extends
// the empty one. The error's code is proof_incomplete or proof_invalid, as for
// VerifyInclusion.
func VerifyConsistency(from, to uint64, fromRoot, toRoot span.Hash, proof []span.Hash) error {
	if from > to || to > MaxSize {
		return proofInvalid("a tree of %d leaves cannot extend one of %d", to, from)
	}
	if from == 0 || from == to {
		switch {
		case len(proof) != 0:
			return proofInvalid("a consistency proof from %d to %d has no hashes, this one has %d", from, to, len(proof))
		case from == to && fromRoot != toRoot:
			return proofInvalid("two different roots are claimed for size %d: %s and %s", from, fromRoot, toRoot)
		case from == 0 && fromRoot != EmptyRoot():
			return proofInvalid("the root of the empty tree is %s, not %s", EmptyRoot(), fromRoot)
		}
		return nil
	}
	if len(proof) == 0 {
		return proofIncomplete("the consistency proof from %d to %d is empty", from, to)
	}
	first, rest := proof[0], proof[1:]
	if from&(from-1) == 0 { // a full tree is itself the proof's first node
		first, rest = fromRoot, proof
	}
	fn, sn := from-1, to-1
	skip := bits.TrailingZeros64(^fn)
	fn, sn = fn>>skip, sn>>skip
	old, grown := first, first
	for _, p := range rest {
		if sn == 0 {
			return proofIncomplete("the consistency proof from %d to %d has too many hashes, %d", from, to, len(proof))
		}
		if fn&1 == 1 || fn == sn {
			old, grown = Join(p, old), Join(p, grown)
			if fn&1 == 0 {
				skip := bits.TrailingZeros64(fn)
				fn, sn = fn>>skip, sn>>skip
			}
		} else {
			grown = Join(grown, p)
		}
		fn, sn = fn>>1, sn>>1
	}
	switch {
	case sn != 0:
		return proofIncomplete("the consistency proof from %d to %d has too few hashes, %d", from, to, len(proof))
	case old != fromRoot:
		return proofInvalid("the consistency proof leads to root %s at size %d, not to %s", old, from, fromRoot)
	case grown != toRoot:
		return proofInvalid("the consistency proof leads to root %s at size %d, not to %s", grown, to, toRoot)
	}
	return nil
}
