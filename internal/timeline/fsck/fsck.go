// Package fsck holds a stored timeline against itself: the lines against the
// signed checkpoints, and everything that was derived from the lines (what
// entries are found by, their statuses, tree hashes, the head, the state that
// decisions depend on) against a fold of the lines. What is derived can be
// repaired; a line, a payload or a checkpoint never is: that takes a backup.
//
// It reads any store that is a timeline.Keeper, as of one moment, entry after
// entry. Its memory grows with members, redactions and spans that others act
// on, and by less than a byte an entry for the tree, not with what is recorded.
// Signatures of spans are not checked again: the checkpoints cover them, and
// `logline verify` checks them.
package fsck

import (
	"context"
	"fmt"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// What a finding can be about.
const (
	KindLine       = "line"       // the line itself, its place or its absence
	KindPayload    = "payload"    // what is kept beside the line
	KindErased     = "erased"     // content that a redaction ended is still there
	KindRules      = "rules"      // an entry that the rules do not take
	KindCheckpoint = "checkpoint" // a signed note
	KindNote       = "note"       // the last checkpoint given out, beside the node's keys
	KindIndex      = "index"      // what entries are found by
	KindTree       = "tree"       // hashes of subtrees
	KindHead       = "head"
	KindState      = "state"
	KindTenant     = "tenant" // the tenant's record
)

// What can be done about a finding.
const (
	doRepair  = "run logline fsck --repair; the lines stay as they are"
	doRestore = "restore a backup: this cannot be derived from anything else"
)

// Finding is one thing that is wrong.
type Finding struct {
	Seq        *uint64 `json:"seq,omitempty"` // the entry, where it is about one
	Kind       string  `json:"kind"`
	Detail     string  `json:"detail"`
	Repairable bool    `json:"repairable"`
	Do         string  `json:"do"`
}

// String is the finding in one line.
func (f Finding) String() string {
	if f.Seq != nil {
		return fmt.Sprintf("entry %d: %s: %s", *f.Seq, f.Kind, f.Detail)
	}
	return f.Kind + ": " + f.Detail
}

// maxFindings is how many findings of one tenant are kept; the rest is counted.
const maxFindings = 100

// Result is what was found about one timeline.
type Result struct {
	Tenant       string    `json:"tenant"`
	Slug         string    `json:"slug"`
	Entries      uint64    `json:"entries"`
	Checkpoints  uint64    `json:"checkpoints"`
	Root         string    `json:"root,omitempty"`
	Findings     []Finding `json:"findings"`
	FindingCount int       `json:"finding_count"`
	// Unchecked says what could not be checked because of other findings.
	Unchecked []string `json:"unchecked,omitempty"`
	Repaired  bool     `json:"repaired"`
	After     *Result  `json:"after,omitempty"` // of a check after the repair

	damaged    int               // findings that no repair mends
	repairable int               // findings that one does
	rebuilt    *timeline.Rebuilt // nil where the lines do not allow it
	status     map[uint64]string
	redacted   map[uint64]bool
}

// OK says that nothing is wrong.
func (r *Result) OK() bool { return r.FindingCount == 0 }

// Clean says that nothing is wrong, or nothing any more.
func (r *Result) Clean() bool { return r.OK() || r.After != nil && r.After.OK() }

// Damaged says that something is wrong which a repair does not mend.
func (r *Result) Damaged() bool { return r.damaged > 0 }

// CanRepair says that there is something to repair, and that the lines are
// sound enough to repair it from.
func (r *Result) CanRepair() bool { return r.repairable > 0 && r.rebuilt != nil }

func (r *Result) add(f Finding) {
	if f.Repairable {
		r.repairable++
		f.Do = doRepair
	} else {
		r.damaged++
		if f.Do == "" {
			f.Do = doRestore
		}
	}
	r.FindingCount++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// at adds a finding about one entry that no repair mends.
func (r *Result) at(seq uint64, kind, format string, args ...any) {
	r.add(Finding{Seq: &seq, Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

// derived adds a finding about something that a repair mends.
func (r *Result) derived(kind, format string, args ...any) {
	r.add(Finding{Kind: kind, Detail: fmt.Sprintf(format, args...), Repairable: true})
}

// Options of Check.
type Options struct {
	Verifier id.Verifier
	Folder   timeline.Folder // that of the node's timelines; nil for none
	Node     string          // whose store this is: the LogLine ID; "" where every timeline is its own
	// Note is the last checkpoint given out as kept outside the database; nil
	// where none is known.
	Note *tree.Checkpoint
	// NoteUnreadable is why it could not be read, nil where it could.
	NoteUnreadable error
	// Progress is told how many of the lines that have to be read are; nil for nobody.
	Progress func(done, total uint64)
}

// Check examines one tenant in a snapshot. The error is about reading; what is
// wrong with the timeline is in the result.
func Check(ctx context.Context, snap timeline.Snapshot, t timeline.Tenant, opt Options) (*Result, error) {
	c := &check{
		snap: snap, tenant: t, opt: opt,
		res:  &Result{Tenant: t.ID, Slug: t.Slug, Findings: []Finding{}, status: map[uint64]string{}, redacted: map[uint64]bool{}},
		fold: timeline.NewRefold(opt.Verifier, opt.Folder), embedded: map[string]bool{}, gone: map[uint64]bool{}, kept: map[uint64]bool{}, wrong: map[uint64]bool{}, blind: map[uint64]bool{},
		lines: &tree.Range{}, leaves: &tree.Range{}, index: newDigests(), words: wordBlocks{digests: map[uint64]span.Hash{}},
	}
	if opt.NoteUnreadable != nil {
		c.res.add(Finding{Kind: KindNote, Detail: reason(opt.NoteUnreadable), Do: "put a good copy in its place, or remove it"})
	}
	for _, step := range []func(context.Context) error{c.readHead, c.want, c.readLines, c.end, c.checkTree, c.checkIndex, c.checkWords} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if c.sound() {
		c.res.rebuilt = c.rebuilt()
	}
	return c.res, nil
}
