package bundle

import (
	"fmt"
	"slices"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// begin reads the header line and checks what it can alone. False means that
// there is nothing to check the lines against.
func (v *verification) begin(first rawLine) bool {
	if first.tooLong {
		v.bad("header_too_large", fmt.Sprintf("the first line has more than %d bytes", v.opt.MaxHeaderLine))
		return false
	}
	h, err := parseHeader(first.bytes)
	if err != nil {
		v.bad(because(err))
		v.rep.Node = "unknown"
		return false
	}
	v.h = h
	v.rep.Tenant, v.rep.Slug, v.rep.Name = printable(h.Tenant.ID), printable(h.Tenant.Slug), printable(h.Tenant.Name)
	v.rep.Node, v.rep.From, v.rep.To, v.rep.Checkpoint = printable(h.Node.ID), h.From, h.To, h.Checkpoint
	if !span.IsUUID(h.Tenant.ID) {
		v.bad("header_invalid", "the header's tenant id is not a UUID")
	}
	if !v.asked() {
		return false
	}
	v.beginCheckpoint()
	v.beginNode()
	if v.f, err = newFolder(v); err != nil {
		v.bad(because(err))
		return false
	}
	v.beginTree()
	v.beginPackages()
	v.f.lastLine = 1
	v.atSize()
	return true
}

// asked says whether the bundle is what was asked for; another one is not read
// any further, however long it is.
func (v *verification) asked() bool {
	a, h := v.opt.Asked, v.h
	if a == nil || a.Tenant == h.Tenant.ID && a.From == h.From && a.To == h.To {
		return true
	}
	v.bad("answer_other_range", fmt.Sprintf("asked for entries %d to %d of tenant %s, the answer is of %d to %d of %s; what is wrong with these was not looked at",
		a.From, a.To, a.Tenant, h.From, h.To, h.Tenant.ID))
	return false
}

// beginCheckpoint reads the note and holds its origin against the header.
func (v *verification) beginCheckpoint() {
	note, err := tree.ParseNote([]byte(v.h.Checkpoint))
	if err != nil {
		v.bad(because(err))
		return
	}
	v.note = note
	v.rep.Node, v.rep.Origin, v.rep.Size = note.Origin.Node, note.Origin.String(), note.Size
	if note.Origin.Tenant != v.h.Tenant.ID {
		v.bad("origin_mismatch", fmt.Sprintf("the checkpoint is of tenant %s, the header's is %s", note.Origin.Tenant, v.h.Tenant.ID))
	}
	if note.Origin.Node != v.h.Node.ID {
		v.bad("origin_mismatch", fmt.Sprintf("the checkpoint is by node %s, the header's is %s", note.Origin.Node, v.h.Node.ID))
	}
	if v.h.To > note.Size {
		v.bad("header_invalid", fmt.Sprintf("the bundle ends before entry %d, its checkpoint has only %d entries", v.h.To, note.Size))
		v.note = nil
	}
}

// beginNode folds the node's key events that the header gives.
func (v *verification) beginNode() {
	chain, refs, err := foldEvents(v.h.Node.Events, v.opt.Verifier, false)
	if err != nil {
		_, reason := because(err)
		v.bad("node_events_invalid", "the node's key events in the header do not hold: "+reason)
		return
	}
	if chain.ID() != v.h.Node.ID {
		v.bad("node_events_invalid", fmt.Sprintf("the key events in the header are of %s, not of the node %s", chain.ID(), v.h.Node.ID))
		return
	}
	v.nodeChain, v.nodeEvents = chain, refs
}

// beginTree starts the tree with what the range proof or the earlier state says
// of the leaves before the bundle.
func (v *verification) beginTree() {
	h := v.h
	var left []span.Hash
	switch partial := h.From > 0 || v.note != nil && h.To < v.note.Size; {
	case partial && h.RangeProof == nil:
		v.bad("range_proof_missing", "the bundle holds a part of the timeline and no range proof, so that its entries cannot be tied to the checkpoint")
		return
	case !partial && h.RangeProof != nil:
		v.bad("header_invalid", "a whole timeline has no range proof")
		return
	case partial:
		var err, err2 error
		left, err = parseHashes(h.RangeProof.Left)
		v.right, err2 = parseHashes(h.RangeProof.Right)
		if err != nil || err2 != nil {
			v.bad("range_proof_invalid", "the range proof holds something that is not a hash")
			return
		}
	}
	whole, err := tree.NewRange(0, h.From, left)
	if err != nil {
		_, reason := because(err)
		v.bad("range_proof_invalid", "the range proof does not fit: "+reason)
		return
	}
	v.f.whole = whole
	if s := v.opt.State; s != nil && (s.Tenant != h.Tenant.ID || s.Size != h.From || !slices.Equal(s.edge.Hashes(), left)) {
		v.bad("state_mismatch", fmt.Sprintf("the state is of %d entries of tenant %s; this bundle, from entry %d on, does not continue it", s.Size, s.Tenant, h.From))
	}
}

func (v *verification) beginPackages() {
	roots, err := parseHashes(v.h.Packages)
	want := packages(v.h.From, v.h.To)
	if err != nil || uint64(len(roots)) != want {
		v.bad("packages_invalid", fmt.Sprintf("the header has %d package roots where %d are due, or one is not a hash", len(v.h.Packages), want))
		return
	}
	v.f.packages.roots = roots
}
