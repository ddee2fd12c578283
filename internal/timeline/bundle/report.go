package bundle

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/danvoulez/logline/internal/fault"
)

// Report is what Verify found out.
type Report struct {
	OK            bool   `json:"ok"`
	Verdict       string `json:"verdict"`       // one line for people
	Authenticated bool   `json:"authenticated"` // consistent, and what the options pin

	Tenant     string `json:"tenant,omitempty"` // id
	Slug       string `json:"slug,omitempty"`
	Name       string `json:"name,omitempty"`
	Node       string `json:"node,omitempty"`   // LogLine ID in the checkpoint's origin
	Origin     string `json:"origin,omitempty"` // of the checkpoint
	From       uint64 `json:"from"`
	To         uint64 `json:"to"`
	Size       uint64 `json:"size"`           // of the checkpoint
	Root       string `json:"root,omitempty"` // computed from the lines; "" where lines are missing or unreadable
	Checkpoint string `json:"checkpoint,omitempty"`

	Cosigned *Cosigned `json:"cosigned,omitempty"` // nil without a policy

	Entries          int `json:"entries"`           // entry lines found in their place
	Bad              int `json:"bad"`               // lines with a problem, unreadable and misplaced ones included
	Checked          int `json:"checked"`           // entries that hold in every respect
	WithheldRedacted int `json:"withheld_redacted"` // payload or detail erased: not checked
	WithheldPrivate  int `json:"withheld_private"`  // payload or detail not for this reader: not checked
	Hidden           int `json:"hidden"`            // entry not for this reader: only its leaf checked
	RightsUnchecked  int `json:"rights_unchecked"`  // entries whose keys and roles rest on what the bundle does not hold

	Notes        []string  `json:"notes,omitempty"` // what was not checked, and why
	Problems     []Problem `json:"problems,omitempty"`
	ProblemCount int       `json:"problem_count"` // of all, when the list is cut
	Authors      []Author  `json:"authors,omitempty"`

	state       *State
	logKey      string
	unexplained []uint64
}

// Add adds a problem that was found beside the bundle.
func (r *Report) Add(p Problem) {
	p.Reason = printable(p.Reason)
	r.Problems, r.ProblemCount, r.OK, r.Authenticated = append(r.Problems, p), r.ProblemCount+1, false, false
	r.Verdict = "not consistent: " + counted(r.ProblemCount)
	if ofPins[p.Code] && r.ProblemCount == 1 {
		r.Verdict = fmt.Sprintf("consistent, but not what you asked to believe (node %s)", r.Node)
	}
}

// LogKey is the note verifier key that the checkpoint's own signature verifies
// with, "" where it does not.
func (r *Report) LogKey() string { return r.logKey }

// Unexplained are the entries withheld as redacted that no redaction up to the
// checkpoint names, where Options.LiveRedactions made that no problem.
func (r *Report) Unexplained() []uint64 { return r.unexplained }

// Problem is one thing that does not hold. Lines count from 1, the header
// included; LineTo, where not 0, ends a stretch of which only the tree can tell
// that one line in it was altered.
type Problem struct {
	Line   int    `json:"line"`
	LineTo int    `json:"line_to,omitempty"`
	Seq    uint64 `json:"seq"` // of the (first) entry; 0 for the header
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// String is the problem in one line.
func (p Problem) String() string {
	if p.LineTo > p.Line {
		return fmt.Sprintf("lines %d to %d: %s (%s)", p.Line, p.LineTo, p.Reason, p.Code)
	}
	return fmt.Sprintf("line %d: %s (%s)", p.Line, p.Reason, p.Code)
}

// Author is an identity that signed entries of the bundle, with its last key
// event that the timeline holds: against a writer that withholds a rotation,
// somebody who knows the identity must compare.
type Author struct {
	ID        string     `json:"id"`
	Entries   int        `json:"entries"`
	LastEvent *LastEvent `json:"last_event,omitempty"` // nil where the bundle does not hold it
}

// LastEvent names a key event.
type LastEvent struct {
	Kind string `json:"kind"`
	Hash string `json:"hash"` // b64u of H(JCS(sealed event))
	Time string `json:"time"`
	Line int    `json:"line,omitempty"` // 0: before this bundle
}

// problems collects problems, a bounded number of them.
type problems struct {
	limit int
	list  []Problem
	count int

	ofPins int // those of count that are not the bundle's own
}

func (p *problems) add(pr Problem) {
	p.count++
	if ofPins[pr.Code] {
		p.ofPins++
	}
	pr.Reason = printable(pr.Reason)
	if len(p.list) < p.limit {
		p.list = append(p.list, pr)
	}
}

// lead adds a problem that is kept however many there are.
func (p *problems) lead(pr Problem) {
	if p.limit > 0 && len(p.list) == p.limit {
		p.list = p.list[:p.limit-1]
	}
	p.add(pr)
}

// maxSaid is how many bytes of one thing that a bundle says are repeated.
const maxSaid = 1 << 10

// printable keeps what a hostile bundle says from steering a terminal, or
// filling it.
func printable(s string) string {
	if len(s) > maxSaid {
		s = strings.ToValidUTF8(s[:maxSaid], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

func (p *problems) sorted() []Problem {
	slices.SortStableFunc(p.list, func(a, b Problem) int { return a.Line - b.Line })
	return p.list
}

// because makes a problem's code and reason of an error.
func because(err error) (code, reason string) {
	f := fault.From(err)
	reason = f.Detail
	var at []string
	for _, field := range f.Fields {
		if field.Pointer != "" {
			at = append(at, field.Pointer)
		}
	}
	if len(at) > 0 {
		reason += " (at " + strings.Join(at, ", ") + ")"
	}
	return f.Code, reason
}

func (r *Report) conclude(p *problems, pinned, vouched bool) {
	r.Problems, r.ProblemCount, r.OK = p.sorted(), p.count, p.count == 0
	switch {
	case !r.OK && p.ofPins == p.count:
		r.Verdict = fmt.Sprintf("consistent, but not what you asked to believe (node %s)", r.Node)
	case !r.OK:
		r.Verdict = "not consistent: " + counted(p.count)
	case pinned:
		r.Authenticated = true
		r.Verdict = fmt.Sprintf("consistent; origin authenticated (node %s)", r.Node)
	case vouched:
		r.Authenticated = true
		r.Verdict = fmt.Sprintf("consistent; vouched for by the policy's witnesses (node %s)", r.Node)
	default:
		r.Verdict = fmt.Sprintf("consistent; origin not authenticated (node %s)", r.Node)
	}
	if r.OK {
		r.Verdict += r.Cosigned.words()
	}
	if r.OK && r.RightsUnchecked > 0 {
		r.Verdict += fmt.Sprintf("; keys and roles of %d entries not checked", r.RightsUnchecked)
	}
}

func counted(problems int) string {
	if problems == 1 {
		return "1 problem"
	}
	return fmt.Sprintf("%d problems", problems)
}
