package bundle

import (
	"fmt"
	"slices"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// commitEvery bounds the standing's overlay, in entries.
const commitEvery = 4096

// folder takes the checked lines in order: positions, times, tree, span ids,
// keys and roles.
type folder struct {
	rep  *Report
	h    *header
	errs *problems

	next       uint64 // position of the next entry
	unreadable int    // lines since the last placed one that could not be read
	lastLine   int
	recordedAt string
	timeLine   int // that recordedAt is from; 0: before this bundle

	whole    *tree.Range // from leaf 0; nil once a leaf is missing or with no usable range proof
	packages packageCheck

	spans    *spanSet
	standing *standing.State // nil where keys and roles cannot be checked
	tx       *standing.Tx
	sinceTx  int
	tainted  int             // first line that changes keys or roles and is bad; 0: none
	hidden   bool            // an entry withheld whole was met
	blind    bool            // span ids from before the bundle are not known
	unfound  bool            // one of the first three was: keys and roles have nothing to rest on
	redacted map[uint64]bool // seqs withheld as redacted: whether a redaction names them
	embedded *embedded
	authors  map[string]int

	contracts *contracts // nil where what was activated before is not known

	seen func(o *span.Opened, before standing.View, find standing.Lookup) // nil: nobody looks
}

// tell shows an entry to who looks.
func (f *folder) tell(l *checkedLine) {
	if f.seen == nil {
		return
	}
	var before standing.View
	if f.tx != nil {
		before = f.tx
	}
	f.seen(l.opened, before, f.spans.lookup)
}

// add takes the next line; following, where not nil, is the one after it.
func (f *folder) add(l, following *checkedLine) {
	f.lastLine = l.number
	if !l.readable() {
		f.unreadable++
		f.problem(l, f.next+uint64(f.unreadable-1), l.code, l.reason)
		return
	}
	at, ok := f.place(l, following)
	if !ok {
		return
	}
	f.rep.Entries++
	if at != l.seq || l.code != "" {
		f.packages.explained(at)
	}
	if l.code != "" {
		f.problem(l, at, l.code, l.reason)
	}
	f.leaf(at, l)
	if l.hidden {
		f.rep.Hidden++
		f.hide(at)
		if l.code == "" {
			return
		}
		f.rep.Bad++
		return
	}
	good := f.time(l, at) && l.code == "" && at == l.seq
	good = f.spend(l, at, good) && good
	f.tell(l)
	checked := f.judge(l, at, good)
	f.count(l, at, good, checked)
}

// hide notes an entry withheld whole. Genesis and key events are public, so who
// may not see the first ones sees none of them: only a reader without the
// right to read more than their own, to whom keys and roles cannot be shown.
func (f *folder) hide(at uint64) {
	f.hidden = true
	if at < 3 {
		f.unfound, f.standing, f.tx = true, nil, nil
	}
}

func (f *folder) problem(l *checkedLine, seq uint64, code, reason string) {
	f.errs.add(Problem{Line: l.number, Seq: seq, Code: code, Reason: reason})
}

// place finds the position of a line: the one its seq names, unless the lines
// around say that the seq itself was altered. Positions must be dense.
func (f *folder) place(l, following *checkedLine) (uint64, bool) {
	due := f.next + uint64(f.unreadable) // at most this one, if every unreadable line was an entry
	switch {
	case l.seq >= f.next && l.seq <= due && l.seq < f.h.To:
		f.advance(l.seq)
		return l.seq, true
	case due < f.h.To && following != nil && following.readable() && following.seq == due+1,
		due+1 == f.h.To && following == nil:
		l.bad("seq_not_dense", fmt.Sprintf("the entry's seq is %d where %d is due", l.seq, due))
		f.advance(due)
		return due, true
	case l.seq >= f.h.To:
		f.problem(l, l.seq, "seq_out_of_range", fmt.Sprintf("the entry's seq is %d; the bundle ends before %d", l.seq, f.h.To))
	case l.seq < f.next:
		f.problem(l, l.seq, "seq_repeated", fmt.Sprintf("the entry's seq is %d where %d is due: the line stands twice, or out of order", l.seq, due))
	default:
		f.problem(l, due, "seq_skipped", fmt.Sprintf("the entry's seq is %d where %d is due: entries before it are missing, or out of order", l.seq, due))
		f.tainted = firstOf(f.tainted, l.number)
		f.advance(l.seq)
		return l.seq, true
	}
	f.rep.Bad++
	return 0, false
}

// advance moves to position at; whatever lies between has no known leaf.
func (f *folder) advance(at uint64) {
	f.rep.Bad += f.unreadable
	if at > f.next {
		f.whole = nil
		f.packages.missing(f.next, at)
		f.tainted = firstOf(f.tainted, f.lastLine)
	}
	f.unreadable = 0
	f.next = at
}

func firstOf(have, line int) int {
	if have != 0 {
		return have
	}
	return line
}

func (f *folder) leaf(at uint64, l *checkedLine) {
	if f.standing != nil && l.opened != nil && l.opened.Span.Type == span.TypeEpoch {
		f.epochRoot(l, at)
	}
	f.packages.add(at, l.number, l.leaf)
	f.next = at + 1
	if f.whole != nil {
		f.whole.Append(l.leaf, nil)
	}
}

// epochRoot holds the root that an epoch continues against the tree's own; its
// position and rights are standing's affair.
func (f *folder) epochRoot(l *checkedLine, at uint64) {
	p, err := span.ParseEpoch(l.opened.Payload)
	if err != nil || f.whole == nil || l.code != "" {
		return
	}
	if root := f.whole.Root().String(); p.PrevRoot != root || p.PrevSize != at {
		l.bad("epoch_root_mismatch", fmt.Sprintf("the epoch continues size %d with root %s; here the tree has size %d and root %s", p.PrevSize, p.PrevRoot, at, root))
		f.problem(l, at, l.code, l.reason)
	}
}

func (f *folder) time(l *checkedLine, at uint64) bool {
	before, line := f.recordedAt, f.timeLine
	f.recordedAt, f.timeLine = l.opened.RecordedAt, l.number
	if f.recordedAt >= before {
		return true
	}
	p := Problem{Line: l.number, Seq: at, Code: "recorded_at_decreases",
		Reason: fmt.Sprintf("recorded_at %s lies before the previous entry's %s; one of both was altered", f.recordedAt, before)}
	if line != 0 {
		p.Line, p.LineTo, p.Seq = line, l.number, at-1
	}
	f.errs.add(p)
	return false
}

// spend takes the ids that the entry spends: its own, and the one that a refusal
// names.
func (f *folder) spend(l *checkedLine, at uint64, good bool) bool {
	h := &l.opened.Span
	unique := f.unspent(l, at, good, h.ID, l.key)
	if unique {
		f.spans.add(l.key, standing.Ref{
			ID: h.ID, Seq: at, Author: h.Author, OnBehalfOf: h.OnBehalfOf, Type: h.Type, Visibility: h.Visibility,
			Status: standing.InitialStatus(&l.opened.Entry), HeaderHash: l.headerHash,
		})
	}
	if h.Type != span.TypeDecision {
		return unique
	}
	refusal, err := span.ParseRefusal(l.opened.Payload)
	if err != nil {
		return unique
	}
	key := spanKeyOf(refusal.Span)
	if !f.unspent(l, at, good, refusal.Span, key) {
		return false
	}
	f.spans.spendByRefusal(key)
	return unique
}

// unspent says whether an id is free, and whose it is where it is not.
func (f *folder) unspent(l *checkedLine, at uint64, good bool, id string, key spanKey) bool {
	seq, byRefusal, taken := f.spans.spent(key)
	if taken && good {
		by := fmt.Sprintf("entry %d", seq)
		if byRefusal {
			by = "a refusal"
		}
		f.problem(l, at, "id_spent", fmt.Sprintf("span id %s was spent before, by %s", id, by))
	}
	return !taken
}

func (f *folder) count(l *checkedLine, at uint64, good bool, v verdict) {
	o := l.opened
	if o.Withheld == span.WithheldRedacted || o.DetailWithheld == span.WithheldRedacted {
		f.rep.WithheldRedacted++
		if span.Redactable(o.Span.Type) {
			f.redacted[at] = false
		}
	} else if o.Withheld != "" || o.DetailWithheld != "" {
		f.rep.WithheldPrivate++
	}
	switch {
	case !good || v == fails || l.code != "":
		f.rep.Bad++
	case v == unchecked:
		f.rep.RightsUnchecked++
	case o.Withheld == "" && o.DetailWithheld == "":
		f.rep.Checked++
	}
}

// unexplained are the entries withheld as redacted that no redaction names.
func (f *folder) unexplained() (seqs []uint64) {
	for seq, named := range f.redacted {
		if !named {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

// end closes the last package and says what is missing at the end.
func (f *folder) end() {
	f.rep.Bad += f.unreadable
	if f.next < f.h.To {
		f.whole = nil
		f.packages.missing(f.next, f.h.To)
		if missing := f.h.To - f.next; missing > uint64(f.unreadable) {
			f.errs.add(Problem{Line: max(f.lastLine, 1), Seq: f.next, Code: "truncated",
				Reason: fmt.Sprintf("the bundle breaks off: entries from %d on are missing, it should end before %d", f.next+uint64(f.unreadable), f.h.To)})
		}
	}
	f.packages.finish()
	if f.tx != nil {
		f.tx.Commit()
	}
}
