package bundle

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/policy"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Options say whom to believe, what else is known, and how much to read.
// The zero value verifies a whole bundle without believing anybody.
// Without a policy, cosignatures in the checkpoint are counted in a note and
// not checked.
type Options struct {
	Node       string    // pin: LogLine ID of the node that must have signed the checkpoint
	Checkpoint []byte    // pin: a signed note, had from elsewhere, of a size the bundle can show
	State      *State    // of an earlier run that ended where this bundle begins
	Identities io.Reader // NDJSON of {"events": […]}: key event chains known from elsewhere

	// Policy names the witnesses that must have cosigned the checkpoint, and
	// perhaps the logs to believe; either of these pins. nil: none is asked for.
	Policy *policy.Policy

	// NotBefore is when, at the earliest, the policy's quorum must have cosigned
	// the checkpoint; without a quorum, the node recorded the last entry, which it
	// dates itself. Zero asks for neither.
	NotBefore time.Time

	// Asked is the part that somebody not trusted was asked for; nil where nobody was.
	Asked *Asked

	// LiveRedactions is for a bundle that was written while the timeline grew: that
	// the redaction of what it withholds is not in it yet is then no problem, but
	// Report.Unexplained.
	LiveRedactions bool

	Verifier      id.Verifier // nil: id.DefaultVerifier()
	Limits        span.Limits // of headers and payloads; zero: the largest that a node can be set to
	MaxHeaderLine int         // bytes of the bundle's first line; 0: 16 MiB
	MaxProblems   int         // kept in the report; 0: 100
	Workers       int         // that check lines in parallel; 0: GOMAXPROCS

	// Seen is told of every entry that could be read, in order, from one goroutine,
	// before it is judged: with the standing that judges it, nil where keys and roles
	// cannot be checked, and with the entries up to it by span id. What it is told may
	// not hold; the report says so.
	Seen func(o *span.Opened, before standing.View, find standing.Lookup)

	// Progress is told now and then, from one goroutine, how many entries of the
	// bundle have been gone through, and once more at their end.
	Progress func(done, total uint64)
}

// Asked is a part of a timeline that was asked for.
type Asked struct {
	Tenant   string // id
	From, To uint64
}

const (
	defaultHeaderLine = 16 << 20
	defaultProblems   = 100
	maxHeader         = 32 << 10
	maxPayload        = 64 << 20
	maxDetail         = 1 << 20
	lineSlack         = 4 << 10 // member names of what is put back
	maxExcess         = 1000    // lines beyond those the header announces, before no more are read
)

func (o Options) withDefaults() Options {
	if o.Verifier == nil {
		o.Verifier = id.DefaultVerifier()
	}
	if o.Limits.Header <= 0 {
		o.Limits.Header = maxHeader
	}
	if o.Limits.Payload <= 0 {
		o.Limits.Payload = maxPayload
	}
	if o.MaxHeaderLine <= 0 {
		o.MaxHeaderLine = defaultHeaderLine
	}
	if o.MaxProblems <= 0 {
		o.MaxProblems = defaultProblems
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return o
}

// Verify reads a bundle and checks it (PROTOCOL §6), in one pass: each line's
// form and limits; dense seq, recorded_at not decreasing; leaves; payload and
// detail hashes; signatures; keys at their position; the tenant's derivation
// from genesis; authors of reserved types and roles; that contracts which decided
// were active; then the checkpoint: log
// key and origin, root, signature, cosignatures; then the pins. It goes on after a bad entry;
// what does not hold is in the report, with the line. An error means that the
// bundle could not be read or the options are unusable, and that there is no
// report. Memory grows by about 90 bytes an entry, for span ids, beside the
// lines in work, which are few and never more than 64 MiB.
func Verify(ctx context.Context, r io.Reader, opt Options) (*Report, error) {
	opt = opt.withDefaults()
	if opt.Node != "" && !span.IsIdentity(opt.Node) {
		return nil, fault.New(fault.Invalid, "pin_invalid", "the node to believe is not a LogLine ID; it reads logline-id:// and 52 base32 characters")
	}
	v := &verification{opt: opt, rep: &Report{}, errs: &problems{limit: opt.MaxProblems}}
	var err error
	if opt.Checkpoint != nil {
		if v.pin, err = tree.ParseNote(opt.Checkpoint); err != nil {
			return nil, err
		}
	}
	if opt.Identities != nil {
		if v.known, err = readIdentities(ctx, opt.Identities, opt.Verifier); err != nil {
			return nil, err
		}
	}
	lines := newLineReader(r)
	first, err := lines.next(opt.MaxHeaderLine)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !v.begin(first) {
		v.rep.conclude(v.errs, false, false)
		return v.rep, nil
	}
	if err := v.fold(ctx, lines); err != nil {
		return nil, err
	}
	v.end()
	return v.rep, nil
}

// verification is one run of Verify.
type verification struct {
	opt   Options
	rep   *Report
	errs  *problems
	pin   *tree.Note
	known map[string][]eventRef

	h          *header
	note       *tree.Note // nil where the header's checkpoint is malformed
	nodeChain  *id.Chain  // of the header's key events; nil where they do not hold
	nodeEvents []eventRef // likewise
	right      []span.Hash
	f          *folder
	rootHolds  bool // the computed root is the checkpoint's

	pinned      bool // something that the options pin was met
	vouched     bool // nothing but the policy's quorum of witnesses pins this
	pinReached  bool // the pinned checkpoint's size
	pinRoot     span.Hash
	pinLogKey   string // log key at that size, "" where unknown
	pinPosition string // recorded_at there
}

func (v *verification) bad(code, reason string) {
	v.errs.add(Problem{Line: 1, Code: code, Reason: reason})
}

func (v *verification) remark(s string) { v.rep.Notes = append(v.rep.Notes, printable(s)) }

// fold runs the lines through the workers and the folder, one line ahead.
func (v *verification) fold(ctx context.Context, lines *lineReader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	checker := &lineChecker{verifier: v.opt.Verifier, limits: v.opt.Limits,
		maxLine: span.MaxLine + v.opt.Limits.Payload + maxDetail + lineSlack}
	checks := newChecking(v.opt.Workers)
	go checks.run(ctx, lines, checker, v.opt.Workers)
	defer func() {
		cancel()
		for range checks.ordered { // it is closed when the workers are done
		}
	}()
	var waiting *checkedLine
	read, most := uint64(0), v.h.To-v.h.From+maxExcess
	var before *chunk // that waiting is of
	for c := range checks.ordered {
		select {
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range c.lines {
			if waiting != nil {
				v.add(waiting, &c.lines[i])
			}
			waiting = &c.lines[i]
		}
		if read += uint64(len(c.lines)); read > most {
			v.errs.lead(Problem{Line: 1, Code: "lines_excessive", Reason: fmt.Sprintf(
				"after %d lines there is no end of it, where the header announces %d entries; the rest was not read", read, v.h.To-v.h.From)})
			break
		}
		if c.err != nil {
			return c.err
		}
		if len(c.lines) == 0 { // the end
			continue
		}
		if before != nil {
			checks.folded(before)
		}
		before = c
		v.progress()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if waiting != nil {
		v.add(waiting, nil)
	}
	v.f.end()
	v.progress()
	return nil
}

// progress tells how far the folding has come.
func (v *verification) progress() {
	if v.opt.Progress != nil {
		v.opt.Progress(v.f.next-v.h.From, v.h.To-v.h.From)
	}
}

func (v *verification) add(l, following *checkedLine) {
	v.f.add(l, following)
	v.atSize()
}

// atSize catches what the pinned checkpoint is about as the tree passes its size.
func (v *verification) atSize() {
	if v.pin == nil || v.pinReached || v.f.whole == nil || v.f.whole.End() != v.pin.Size {
		return
	}
	v.pinReached, v.pinRoot = true, v.f.whole.Root()
	if v.f.standing != nil {
		v.pinLogKey, v.pinPosition = v.f.tx.LogKey(), v.f.recordedAt
	}
}

func newFolder(v *verification) (*folder, error) {
	f := &folder{
		rep: v.rep, h: v.h, errs: v.errs, next: v.h.From,
		spans: newSpanSet(), embedded: newEmbedded(), authors: make(map[string]int), redacted: make(map[uint64]bool),
		packages: packageCheck{from: v.h.From, to: v.h.To, limit: v.opt.MaxProblems},
		blind:    v.h.From > 0 && (v.opt.State == nil || v.opt.State.spans == nil),
		seen:     v.opt.Seen,
	}
	switch s := v.opt.State; {
	case s != nil:
		var err error
		if f.standing, err = standing.Load(v.opt.Verifier, s.rows); err != nil {
			return nil, err
		}
		f.recordedAt, f.hidden, f.contracts = s.RecordedAt, s.hidden, s.contracts
		if s.spans != nil {
			f.spans, f.redacted = s.spans, s.redacted
		} else {
			for _, p := range s.pending {
				f.spans.add(spanKeyOf(p.ID), p)
			}
		}
		for identity, events := range s.events {
			for _, e := range events {
				f.embedded.addRef(identity, e)
			}
		}
	case v.h.From == 0:
		f.standing, f.contracts = standing.New(v.opt.Verifier), newContracts()
	}
	if f.standing != nil {
		f.tx = f.standing.Begin()
	}
	return f, nil
}
