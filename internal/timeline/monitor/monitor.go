// Package monitor verifies a timeline at a server that it does not trust, as a
// monitor in the sense of transparency logs does: it reads every entry once,
// remembers the last checkpoint that it saw and the state that the next entries
// rest on, and tells a history that shrank or forked from one that grew. It owns
// the order of the questions and what is remembered; what an entry must be is
// package bundle's to say, and where answers come from is the Source's.
package monitor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Source answers for one timeline; nothing it says is believed.
type Source interface {
	// Checkpoint is the newest signed note.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Consistency is the RFC 9162 proof that the tree of to entries extends that of
	// from. A server that answers and does not give one is proof_withheld.
	Consistency(ctx context.Context, from, to uint64) ([]span.Hash, error)
	// Bundle writes the entries from (included) to (not included) as a bundle.
	Bundle(ctx context.Context, w io.Writer, from, to uint64) error
}

// Config of a Run. Zero values mean the defaults named beside them.
type Config struct {
	Options    bundle.Options          // State, Checkpoint, Identities, Asked and LiveRedactions are Run's own
	Identities []byte                  // as bundle.Options.Identities
	Compare    []byte                  // a checkpoint of the timeline that somebody else was shown; nil: none
	Part       uint64                  // entries read and remembered at a time: 20,000
	Progress   func(done, size uint64) // told now and then, from one goroutine
}

// DefaultPart is how many entries are verified between two savings.
const DefaultPart = 20_000

// Errors of Run about the history as a whole. The first two are evidence against
// the server when both checkpoints are signed by its log.
const (
	CodeShrank   = "history_shrank" // the server's checkpoint is of fewer entries than one seen before
	CodeForked   = "history_forked" // two checkpoints that cannot both be true
	CodeWithheld = "proof_withheld" // the server does not show that one extends the other
)

// Result is what a Run found out.
type Result struct {
	Tenant     string         `json:"tenant"`
	Node       string         `json:"node"`
	From       uint64         `json:"from"` // entries verified by earlier runs
	Size       uint64         `json:"size"` // of the checkpoint
	Root       string         `json:"root"`
	Checkpoint string         `json:"checkpoint"`
	Seen       uint64         `json:"seen"`     // size of the checkpoint that an earlier run saw; 0: none
	Compared   uint64         `json:"compared"` // size of the checkpoint that somebody else was shown; 0: none
	Report     *bundle.Report `json:"report"`
	Resumed    bool           `json:"resumed"` // an earlier run's state was gone on from
}

// Run verifies everything that Memory does not hold yet, part by part, and
// remembers each part that holds. A part that does not hold ends it: the
// Result's Report has the problems, whose Seq says where; nothing of that part
// is remembered. The checkpoint that an earlier run saw, and the one to compare
// with, must be of the same history (history_shrank, history_forked,
// proof_withheld, with both notes as Meta "evidence"). Errors of the Source and of Memory come back as they are. Interrupted, it
// goes on where it was the next time.
func Run(ctx context.Context, tenant string, src Source, mem Memory, cfg Config) (*Result, error) {
	if cfg.Part == 0 {
		cfg.Part = DefaultPart
	}
	if cfg.Progress == nil {
		cfg.Progress = func(uint64, uint64) {}
	}
	if cfg.Options.Verifier == nil {
		cfg.Options.Verifier = id.DefaultVerifier() // whose tables serve every part
	}
	r := &run{src: src, mem: mem, cfg: cfg, result: &Result{Tenant: tenant, Report: &bundle.Report{OK: true}}}
	if err := r.remember(tenant); err != nil {
		return nil, err
	}
	return r.result, r.run(ctx)
}

type run struct {
	src    Source
	mem    Memory
	cfg    Config
	result *Result

	seen  *tree.Note // the last checkpoint believed to be of this history; nil: none yet
	raw   []byte     // its bytes
	state *bundle.State

	logKey string // of the epoch that the entries read so far are in; "" where not known

	unexplained []uint64 // entries withheld as redacted whose redaction was not read yet
}

// remember takes up what an earlier run left.
func (r *run) remember(tenant string) error {
	note, state, err := r.mem.Load()
	if err != nil {
		return err
	}
	if note != nil {
		if r.seen, err = tree.ParseNote(note); err != nil {
			return err
		}
		if r.seen.Origin.Tenant != tenant {
			return fault.Newf(fault.Conflict, "memory_mismatch", "what was remembered is of tenant %s, not of %s", r.seen.Origin.Tenant, tenant)
		}
		r.raw, r.result.Seen = note, r.seen.Size
	}
	if state != nil {
		if state.Tenant != tenant {
			return fault.Newf(fault.Conflict, "memory_mismatch", "the state that was remembered is of tenant %s, not of %s", state.Tenant, tenant)
		}
		r.state, r.result.From, r.result.Resumed = state, state.Size, true
		if r.logKey, err = state.LogKey(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) run(ctx context.Context) error {
	if err := r.look(ctx); err != nil {
		return err
	}
	at, err := r.read(ctx, r.result.From)
	if err != nil || !r.result.Report.OK {
		return err
	}
	if len(r.unexplained) > 0 {
		// Their redactions were committed before they were read, so they lie before
		// the head that is asked for now.
		if err := r.look(ctx); err != nil {
			return err
		}
		if _, err := r.read(ctx, at); err != nil || !r.result.Report.OK {
			return err
		}
	}
	if err := r.settled(); err != nil {
		return err
	}
	if err := r.compare(ctx); err != nil {
		return err
	}
	if err := r.identities(ctx); err != nil {
		return err
	}
	r.conclude()
	return nil
}

// identities compares the key events that are known from elsewhere, where no part
// was read and compared them.
func (r *run) identities(ctx context.Context) error {
	if r.cfg.Identities == nil || r.state == nil || r.result.Report.Checkpoint != "" {
		return nil
	}
	problems, err := r.state.CompareIdentities(ctx, bytes.NewReader(r.cfg.Identities))
	for _, p := range problems {
		r.result.Report.Add(p)
	}
	return err
}

// look asks for the newest checkpoint, and makes it the one to read up to.
func (r *run) look(ctx context.Context) error {
	raw, err := r.src.Checkpoint(ctx)
	if err != nil {
		return err
	}
	return r.extend(ctx, raw)
}

// read verifies and remembers the entries from at on, up to the last checkpoint
// or the first part that does not hold.
func (r *run) read(ctx context.Context, at uint64) (uint64, error) {
	for {
		to := min(r.seen.Size, at+r.cfg.Part)
		if at == to {
			return at, nil
		}
		rep, err := r.part(ctx, at, to)
		if err != nil {
			return at, err
		}
		merge(r.result.Report, rep)
		if !rep.OK {
			return at, nil
		}
		r.unexplained = rep.Unexplained()
		// The part's own checkpoint may be newer than the one asked for first.
		r.logKey = rep.LogKey()
		if err := r.signed(r.seen); err != nil {
			return at, err
		}
		if err := r.extend(ctx, []byte(rep.Checkpoint)); err != nil {
			return at, err
		}
		if state := rep.State(); state != nil {
			r.state = state
		} else {
			r.state = nil // keys and roles could not be shown to this reader; each run begins again
		}
		if err := r.mem.Save(r.raw, r.state); err != nil {
			return at, err
		}
		at = to
	}
}

// signed checks that the log signed a checkpoint, where its key is known: the
// key of a later epoch is known once the entry that began it is read.
func (r *run) signed(note *tree.Note) error {
	origin, _, err := tree.ParseVerifierKey(r.logKey)
	if r.logKey == "" || note.Origin.Epoch > origin.Epoch {
		return nil
	}
	if err != nil {
		return err
	}
	if note.Origin == origin {
		return note.Verify(r.logKey)
	}
	if note.Origin.Epoch < origin.Epoch {
		return epochMismatch(note, origin.Epoch)
	}
	return fault.Newf(fault.Invalid, "origin_mismatch", "the server's checkpoint of %d entries is of %s, the entries are written by %s", note.Size, note.Origin, origin)
}

// settled checks, once everything is read, that the last checkpoint is of the
// epoch that the entries are in.
func (r *run) settled() error {
	origin, _, err := tree.ParseVerifierKey(r.logKey)
	if err == nil && r.seen.Origin.Epoch != origin.Epoch {
		return epochMismatch(r.seen, origin.Epoch)
	}
	return nil
}

func epochMismatch(note *tree.Note, epoch uint64) error {
	return fault.Newf(fault.Invalid, "epoch_mismatch",
		"the server's checkpoint of %d entries is of epoch %d, and the timeline is in epoch %d: an epoch begins with an entry, and none ends", note.Size, note.Origin.Epoch, epoch)
}

// extend holds a checkpoint against the last one and makes it the last one.
func (r *run) extend(ctx context.Context, raw []byte) error {
	note, err := tree.ParseNote(raw)
	if err != nil {
		return err
	}
	if note.Origin.Tenant != r.result.Tenant {
		return fault.Newf(fault.Invalid, "origin_mismatch", "the server's checkpoint is of tenant %s, not of %s", note.Origin.Tenant, r.result.Tenant)
	}
	if err := r.signed(note); err != nil {
		return err
	}
	if r.seen != nil {
		if note.Origin.Epoch < r.seen.Origin.Epoch {
			return epochMismatch(note, r.seen.Origin.Epoch)
		}
		if err := r.extends(ctx, pair{r.seen, r.raw, "has signed for"}, pair{note, raw, "now shows"}); err != nil {
			return err
		}
	}
	r.seen, r.raw = note, raw
	return nil
}

// pair is a checkpoint and its bytes, and what the server did with it.
type pair struct {
	*tree.Note
	raw   []byte
	shown string
}

// extends says whether the history of now goes on from that of before.
func (r *run) extends(ctx context.Context, before, now pair) error {
	switch {
	case now.Size < before.Size:
		return against(CodeShrank, before, now, fmt.Sprintf("the history shrank: the server %s %d entries, and %s %d", now.shown, now.Size, before.shown, before.Size))
	case now.Size == before.Size && now.Root != before.Root:
		return against(CodeForked, before, now, fmt.Sprintf("the history forked: at size %d the server %s root %s, and %s %s", now.Size, now.shown, now.Root, before.shown, before.Root))
	case now.Size == before.Size || before.Size == 0:
		return nil
	}
	proof, err := r.src.Consistency(ctx, before.Size, now.Size)
	if fault.CodeOf(err) == CodeWithheld {
		return against(CodeWithheld, before, now, fault.From(err).Detail)
	}
	if err != nil {
		return err
	}
	switch err := tree.VerifyConsistency(before.Size, now.Size, before.Root, now.Root, proof); {
	case fault.CodeOf(err) == "proof_incomplete":
		return against(CodeWithheld, before, now, fmt.Sprintf("the server does not prove that its %d entries extend the %d that it %s: %s", now.Size, before.Size, before.shown, fault.From(err).Detail))
	case err != nil:
		return against(CodeForked, before, now, fmt.Sprintf("the history forked: the server's %d entries do not extend the %d that it %s", now.Size, before.Size, before.shown))
	}
	return nil
}

// against is an error with both notes, which are the evidence.
func against(code string, before, now pair, words string) error {
	if now.Origin.Epoch > before.Origin.Epoch {
		words += fmt.Sprintf("; the node says that it began epoch %d, as after a restore of an older copy: "+
			"ask its operator what was lost, and only if that was announced begin anew with --forget", now.Origin.Epoch)
	}
	return fault.New(fault.Conflict, code, words+"; keep both checkpoints: if the log's key signed them, they are evidence").
		With("evidence", []string{string(before.raw), string(now.raw)})
}

// compare holds what somebody else was shown against what was read here: a server
// that shows each of two readers a consistent history of their own is found out
// by nothing else than this, or by witnesses.
func (r *run) compare(ctx context.Context) error {
	if r.cfg.Compare == nil {
		return nil
	}
	note, err := tree.ParseNote(r.cfg.Compare)
	if err != nil {
		return err
	}
	if note.Origin.Tenant != r.result.Tenant {
		return fault.Newf(fault.Invalid, "compare_foreign", "the checkpoint to compare with is of tenant %s, not of %s", note.Origin.Tenant, r.result.Tenant)
	}
	if origin, _, err := tree.ParseVerifierKey(r.logKey); err != nil || origin != note.Origin {
		r.remark(fmt.Sprintf("the signature of the checkpoint to compare with was not checked: the key of %s is not known here", note.Origin))
	} else if err := note.Verify(r.logKey); err != nil {
		return fault.Newf(fault.Invalid, "compare_unsigned", "the checkpoint of %d entries to compare with is not signed by this timeline's log, so that it says nothing; ask for it again", note.Size).Because(err)
	}
	if err := r.extends(ctx, pair{note, r.cfg.Compare, "has signed elsewhere for"}, pair{r.seen, r.raw, "shows here"}); err != nil {
		return err
	}
	r.result.Compared = note.Size
	return nil
}

func (r *run) remark(note string) {
	r.result.Report.Notes = append(r.result.Report.Notes, note)
}

// part verifies the entries from at up to to as the server sends them.
func (r *run) part(ctx context.Context, at, to uint64) (*bundle.Report, error) {
	opt := r.cfg.Options
	opt.State, opt.Checkpoint, opt.Identities, opt.NotBefore = r.state, nil, nil, time.Time{}
	opt.Asked, opt.LiveRedactions = &bundle.Asked{Tenant: r.result.Tenant, From: at, To: to}, true
	opt.Progress = func(done, _ uint64) { r.cfg.Progress(at+done, max(r.seen.Size, to)) }
	if r.cfg.Identities != nil {
		opt.Identities = bytes.NewReader(r.cfg.Identities)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, writer := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := r.src.Bundle(ctx, writer, at, to)
		writer.CloseWithError(err) // nil is the end
		sent <- err
	}()
	rep, err := bundle.Verify(ctx, reader, opt)
	reader.CloseWithError(io.ErrClosedPipe) // the source writes no more
	cancel()
	if sendErr := <-sent; err == nil && rep.OK && sendErr != nil {
		err = sendErr
	}
	if err != nil {
		return nil, err
	}
	return rep, nil
}

// merge adds what a part says to what was said so far.
func merge(sum, part *bundle.Report) {
	first := sum.Checkpoint == ""
	entries, checked, redacted, private := sum.Entries, sum.Checked, sum.WithheldRedacted, sum.WithheldPrivate
	hidden, unchecked, from, authors := sum.Hidden, sum.RightsUnchecked, sum.From, sum.Authors
	*sum = *part
	sum.Entries += entries
	sum.Checked += checked
	sum.WithheldRedacted += redacted
	sum.WithheldPrivate += private
	sum.Hidden += hidden
	sum.RightsUnchecked += unchecked
	if !first {
		sum.From = from
	}
	sum.Authors = mergeAuthors(authors, part.Authors)
}

func mergeAuthors(sum, part []bundle.Author) []bundle.Author {
	at := make(map[string]int, len(sum))
	for i, a := range sum {
		at[a.ID] = i
	}
	for _, a := range part {
		i, known := at[a.ID]
		if !known {
			at[a.ID] = len(sum)
			sum = append(sum, a)
			continue
		}
		sum[i].Entries += a.Entries
		if a.LastEvent != nil {
			sum[i].LastEvent = a.LastEvent
		}
	}
	return sum
}

// conclude fills in what holds at the end, and judges the checkpoint by itself,
// which no part did if nothing was new.
func (r *run) conclude() {
	r.result.Node, r.result.Size, r.result.Root = r.seen.Origin.Node, r.seen.Size, r.seen.Root.String()
	r.result.Checkpoint = string(r.raw)
	rep := r.result.Report
	for _, seq := range r.unexplained {
		rep.Add(bundle.RedactionMissing(seq, 0, r.seen.Size))
	}
	opt := r.cfg.Options
	opt.State, opt.Checkpoint, opt.Identities = nil, nil, nil
	recordedAt := ""
	if r.state != nil && r.state.Size == r.seen.Size {
		recordedAt = r.state.RecordedAt
	}
	alone := bundle.VerifyCheckpoint(r.seen, recordedAt, opt)
	if rep.Checkpoint == "" {
		rep.Cosigned = alone.Cosigned
	}
	for _, p := range alone.Problems {
		rep.Add(p)
	}
	for _, note := range alone.Notes {
		if !slices.Contains(rep.Notes, note) {
			r.remark(note)
		}
	}
	if r.result.Resumed {
		r.remark(fmt.Sprintf(
			"the first %d entries were verified by earlier runs and were not read again; their span ids were not compared with later ones", r.result.From))
	}
}
