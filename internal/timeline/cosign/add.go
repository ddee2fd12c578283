package cosign

import (
	"bytes"
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Add takes the cosignatures of a signed checkpoint of the tenant (id), which
// must be one that this node holds, the log's own signature included. All lines
// are taken or none: a line by a key that the policy does not name
// (witness_unknown), one that does not verify (cosignature_invalid) or one from
// the future (cosignature_future) refuses the note. It returns the checkpoint
// with everything that is held of it, and whether something was news.
func (b *Book) Add(ctx context.Context, tenant string, note []byte) (dressed []byte, news bool, err error) {
	n, err := tree.ParseNote(note)
	if err != nil {
		return nil, false, err
	}
	if !b.Any() {
		return nil, false, errUnset
	}
	own, err := b.own(ctx, tenant, n)
	if err != nil {
		return nil, false, err
	}
	sigs, err := b.judge(n)
	if err != nil {
		return nil, false, err
	}
	added, err := b.put(ctx, tenant, n, sigs)
	if err != nil {
		return nil, false, err
	}
	if added > 0 {
		b.announce(tenant)
	}
	dressed, err = b.Dress(ctx, tenant, own)
	return dressed, added > 0, err
}

// own is the note that the log itself gave out for what n is of. Anything else
// under the same size is refused: as a fork where the log's key signed it.
func (b *Book) own(ctx context.Context, tenant string, n *tree.Note) ([]byte, error) {
	if n.Origin.Tenant != tenant || n.Size == 0 {
		return nil, fault.Newf(fault.Invalid, "checkpoint_foreign", "the checkpoint is of size %d of tenant %s, and not one of tenant %s with entries", n.Size, n.Origin.Tenant, tenant)
	}
	size, own, err := b.log.Checkpoint(ctx, tenant, n.Size-1)
	if err != nil {
		return nil, err
	}
	held, err := tree.ParseNote(own)
	if err != nil {
		return nil, err
	}
	if size != n.Size || held.Size != n.Size {
		return nil, fault.Newf(fault.NotFound, "checkpoint_unknown", "this node gave out no checkpoint of size %d; cosign one of those it gave out", n.Size)
	}
	if held.Text() != n.Text() {
		return nil, b.differing(ctx, tenant, n, held)
	}
	if !sameOwn(n, held) {
		return nil, fault.New(fault.Invalid, "checkpoint_signature_invalid",
			"the checkpoint does not carry the log's own signature once and as the log made it; leave that line as it is and add yours")
	}
	return own, nil
}

// differing tells a fork of the log, which its key alone can make, from a note
// that anybody may have made.
func (b *Book) differing(ctx context.Context, tenant string, n, held *tree.Note) error {
	t, err := b.log.TenantByID(ctx, tenant)
	if err != nil {
		return err
	}
	if n.Origin == held.Origin && n.Verify(t.LogKey) == nil {
		return fault.Newf(fault.Conflict, "checkpoint_fork",
			"the log's key signed another checkpoint of size %d than the one held here: this one has root %s, that one %s. Keep both: together they prove that the log forked, or that its key was stolen",
			n.Size, n.Root, held.Root).With("held", held.Root.String()).With("given", n.Root.String())
	}
	return fault.Newf(fault.Conflict, "checkpoint_foreign",
		"this is not the checkpoint of size %d that this node gave out, which has origin %s and root %s", n.Size, held.Origin, held.Root)
}

func sameOwn(n, held *tree.Note) bool {
	var mine, theirs []tree.NoteSignature
	for _, s := range held.Signatures {
		if s.Name == held.Origin.String() {
			mine = append(mine, s)
		}
	}
	for _, s := range n.Signatures {
		if s.Name == held.Origin.String() {
			theirs = append(theirs, s)
		}
	}
	return len(mine) == 1 && len(theirs) == 1 && mine[0].KeyHash == theirs[0].KeyHash && bytes.Equal(mine[0].Value, theirs[0].Value)
}

// judge is the cosignatures of a note, all of which must hold.
func (b *Book) judge(n *tree.Note) (sigs []tree.NoteSignature, err error) {
	latest := b.cfg.Now().Add(b.limit)
	for i, sig := range n.Signatures {
		if sig.Name == n.Origin.String() {
			continue
		}
		line := b.cfg.Policy.Line(n, sig)
		switch {
		case line.Witness == "":
			return nil, fault.Newf(fault.Invalid, "witness_unknown",
				"signature %d is by %.200q, key id %08x, which is no witness of this node's policy; nothing was taken", i+1, sig.Name, sig.KeyHash)
		case !line.Valid:
			return nil, fault.Newf(fault.Invalid, "cosignature_invalid",
				"signature %d, under the key of witness %.200s, is not its cosignature (cosignature/v1) of this checkpoint; nothing was taken", i+1, line.Witness)
		case line.Time.After(latest):
			return nil, fault.Newf(fault.Invalid, "cosignature_future",
				"the cosignature of witness %.200s is of %s, which is yet to come; set its clock right", line.Witness, line.Time.Format("2006-01-02T15:04:05Z"))
		}
		sigs = append(sigs, sig)
	}
	if len(sigs) == 0 {
		return nil, fault.New(fault.Invalid, "cosignatures_missing", "the checkpoint has no signature but the log's own; add a witness's cosignature line")
	}
	return sigs, nil
}
