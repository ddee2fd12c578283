package bundle

import (
	"fmt"
	"time"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// VerifyCheckpoint holds a checkpoint by itself against the options: its node,
// its cosignatures and its age. recordedAt is when the last entry before it was
// recorded, "" where that is not known. Whether the log's key signed it, and the
// pinned checkpoint, are the caller's affair.
func VerifyCheckpoint(note *tree.Note, recordedAt string, opt Options) *Report {
	v := &verification{opt: opt.withDefaults(), rep: &Report{}, errs: &problems{limit: defaultProblems}, note: note}
	v.h = &header{Tenant: headerTenant{ID: note.Origin.Tenant}, Node: headerNode{ID: note.Origin.Node}}
	v.rep.Tenant, v.rep.Node, v.rep.Origin, v.rep.Size = note.Origin.Tenant, note.Origin.Node, note.Origin.String(), note.Size
	v.endPolicy()
	v.endFresh(recordedAt)
	v.endPins()
	v.rep.conclude(v.errs, v.pinned, v.vouched)
	return v.rep
}

// lastRecorded is when the checkpoint's last entry was recorded, "" where it is
// not in the bundle.
func (v *verification) lastRecorded() string {
	if v.note == nil || v.h.To != v.note.Size {
		return ""
	}
	return v.f.recordedAt
}

// endFresh asks how old the checkpoint is. It has no time itself: with a policy
// its witnesses say when they saw it, without one the last entry has a time,
// which is the node's own word.
func (v *verification) endFresh(recordedAt string) {
	if v.opt.NotBefore.IsZero() || v.note == nil {
		return
	}
	asked := span.FormatTime(v.opt.NotBefore)
	if p := v.opt.Policy; p != nil && p.Quorum() != policy.None {
		if !p.Evaluate(since(p, v.note, v.opt.NotBefore)).QuorumMet {
			v.bad("checkpoint_stale", fmt.Sprintf("the policy's quorum has not cosigned the checkpoint of %d entries since %s: the node, or somebody before it, may be showing an old state; ask again, then ask the witnesses", v.note.Size, asked))
		}
		return
	}
	switch {
	case recordedAt == "":
		v.remark("how old the checkpoint is cannot be told: its last entry is not here, and no policy names witnesses who say when they saw it")
	case recordedAt < asked:
		v.bad("checkpoint_stale", fmt.Sprintf("entry %d, the last before the checkpoint, is of %s, and you asked for nothing older than %s: nothing was recorded since, or an old state is being shown", v.note.Size-1, recordedAt, asked))
	}
}

// since is the note without the policy's cosignatures from before t.
func since(p *policy.Policy, n *tree.Note, t time.Time) *tree.Note {
	fresh := *n
	fresh.Signatures = nil
	for _, sig := range n.Signatures {
		if line := p.Line(n, sig); line.Witness == "" || !line.Time.Before(t) {
			fresh.Signatures = append(fresh.Signatures, sig)
		}
	}
	return &fresh
}
