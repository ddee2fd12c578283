// Package tree is the Merkle tree of a timeline and what is said about it:
// compact ranges, inclusion, consistency and range proofs (RFC 6962 §2.1 and
// RFC 9162 §2.1, SHA-256), checkpoints and their signed notes (C2SP
// tlog-checkpoint, signed-note) and receipt files (C2SP tlog-proof).
//
// It is pure: no clock, no storage, no keys. Hashes come through a HashReader
// the caller supplies, signatures through a function. It knows nothing of what
// a leaf means.
package tree

import (
	"crypto/sha256"
	"math/bits"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// MaxSize is the largest tree: a size must stay exact as a JSON number.
const MaxSize = 1<<53 - 1

// StoredStep is the distance between the levels that a store keeps: the leaf
// hashes (level 0) and the roots of complete aligned subtrees of 256, 256²,
// 256³ … leaves (levels 8, 16, 24 …).
const StoredStep = 8

// Node names a complete aligned subtree: leaves [Index<<Level, (Index+1)<<Level).
type Node struct {
	Level int
	Index uint64
}

// First is the index of the node's first leaf.
func (n Node) First() uint64 { return n.Index << n.Level }

// Subtree is the root of a complete aligned subtree at a stored level.
type Subtree struct {
	Level int // 8, 16, 24 …
	Index uint64
	Hash  span.Hash
}

// EmptyRoot is the root of the tree without leaves: H("").
func EmptyRoot() span.Hash { return sha256.Sum256(nil) }

// Join is the hash of an inner node: H(0x01 || left || right).
func Join(left, right span.Hash) span.Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// Decompose lists the complete aligned subtrees that make up leaves [from, to),
// left to right and as few as possible: the shape of a compact range.
func Decompose(from, to uint64) []Node {
	var nodes []Node
	for from < to {
		level := bits.Len64(to-from) - 1
		if from != 0 {
			level = min(level, bits.TrailingZeros64(from))
		}
		nodes = append(nodes, Node{Level: level, Index: from >> level})
		from += 1 << level
	}
	return nodes
}

// fold joins hashes right to left: the root of a run of subtrees of falling size.
func fold(hashes []span.Hash) span.Hash {
	root := hashes[len(hashes)-1]
	for i := len(hashes) - 2; i >= 0; i-- {
		root = Join(hashes[i], root)
	}
	return root
}

func proofInvalid(format string, args ...any) *fault.Error {
	return fault.Newf(fault.Invalid, "proof_invalid", format, args...)
}

func proofIncomplete(format string, args ...any) *fault.Error {
	return fault.Newf(fault.Invalid, "proof_incomplete", format, args...)
}

func outOfRange(format string, args ...any) *fault.Error {
	return fault.Newf(fault.Invalid, "range_invalid", format, args...)
}
