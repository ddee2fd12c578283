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

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Source answers for one timeline; nothing it says is believed.
type Source interface {
	// Checkpoint is the newest signed note.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Consistency is the RFC 9162 proof that the tree of to entries extends that of from.
	Consistency(ctx context.Context, from, to uint64) ([]span.Hash, error)
	// Bundle writes the entries from (included) to (not included) as a bundle.
	Bundle(ctx context.Context, w io.Writer, from, to uint64) error
}

// Config of a Run. Zero values mean the defaults named beside them.
type Config struct {
	Options    bundle.Options // of every part; State, Checkpoint and Identities are Run's own
	Identities []byte         // as bundle.Options.Identities
	Part       uint64         // entries read and remembered at a time: 20,000
	Progress   func(done, size uint64)
}

// DefaultPart is how many entries are verified between two savings.
const DefaultPart = 20_000

// Errors of Run about the history as a whole; each is evidence against the
// server when both checkpoints are signed by its log.
const (
	CodeShrank = "history_shrank" // the server's checkpoint is of fewer entries than one seen before
	CodeForked = "history_forked" // two checkpoints that cannot both be true
)

// Result is what a Run found out.
type Result struct {
	Tenant     string         `json:"tenant"`
	Node       string         `json:"node"`
	From       uint64         `json:"from"` // entries verified by earlier runs
	Size       uint64         `json:"size"` // of the checkpoint
	Root       string         `json:"root"`
	Checkpoint string         `json:"checkpoint"`
	Seen       uint64         `json:"seen"` // size of the checkpoint that an earlier run saw; 0: none
	Report     *bundle.Report `json:"report"`
	Resumed    bool           `json:"resumed"` // an earlier run's state was gone on from
}

// Run verifies everything that Memory does not hold yet, part by part, and
// remembers each part that holds. A part that does not hold ends it: the
// Result's Report has the problems, whose Seq says where; nothing of that part
// is remembered. The checkpoint that an earlier run saw must be of the same
// history (history_shrank, history_forked, with both notes as Meta "evidence").
// Errors of the Source and of Memory come back as they are. Interrupted, it
// goes on where it was the next time.
func Run(ctx context.Context, tenant string, src Source, mem Memory, cfg Config) (*Result, error) {
	if cfg.Part == 0 {
		cfg.Part = DefaultPart
	}
	if cfg.Progress == nil {
		cfg.Progress = func(uint64, uint64) {}
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
	}
	return nil
}

func (r *run) run(ctx context.Context) error {
	raw, err := r.src.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if err := r.extend(ctx, raw); err != nil {
		return err
	}
	for at := r.result.From; ; {
		to := min(r.seen.Size, at+r.cfg.Part)
		if at == to {
			r.conclude()
			return nil
		}
		rep, err := r.part(ctx, at, to)
		if err != nil {
			return err
		}
		merge(r.result.Report, rep)
		if !rep.OK {
			return nil
		}
		// The part's own checkpoint may be newer than the one asked for first.
		if err := r.extend(ctx, []byte(rep.Checkpoint)); err != nil {
			return err
		}
		if state := rep.State(); state != nil {
			r.state = state
		} else {
			r.state = nil // keys and roles could not be shown to this reader; each run begins again
		}
		if err := r.mem.Save(r.raw, r.state); err != nil {
			return err
		}
		at = to
		r.cfg.Progress(at, r.seen.Size)
	}
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
	if r.seen == nil {
		r.seen, r.raw = note, raw
		return nil
	}
	switch {
	case note.Size < r.seen.Size:
		return r.against(CodeShrank, raw, fmt.Sprintf("the history shrank: the server now shows %d entries, and has signed for %d", note.Size, r.seen.Size))
	case note.Size == r.seen.Size && note.Root != r.seen.Root:
		return r.against(CodeForked, raw, fmt.Sprintf("the history forked: at size %d the server now shows root %s, and has signed for %s", note.Size, note.Root, r.seen.Root))
	case note.Size == r.seen.Size:
		return nil // the one held has been verified
	case r.seen.Size > 0:
		proof, err := r.src.Consistency(ctx, r.seen.Size, note.Size)
		if err != nil {
			return err
		}
		if err := tree.VerifyConsistency(r.seen.Size, note.Size, r.seen.Root, note.Root, proof); err != nil {
			return r.against(CodeForked, raw, fmt.Sprintf("the history forked: the server's %d entries do not extend the %d that it has signed for", note.Size, r.seen.Size))
		}
	}
	r.seen, r.raw = note, raw
	return nil
}

// against is an error with both notes, which are the evidence.
func (r *run) against(code string, raw []byte, words string) error {
	if now, err := tree.ParseNote(raw); err == nil && now.Origin.Epoch > r.seen.Origin.Epoch {
		words += fmt.Sprintf("; the node says that it began epoch %d, as after a restore of an older copy: "+
			"ask its operator what was lost, and only if that was announced begin anew with --forget", now.Origin.Epoch)
	}
	return fault.New(fault.Conflict, code, words+"; keep both checkpoints: if the log's key signed them, they are evidence").
		With("evidence", []string{string(r.raw), string(raw)})
}

// part verifies the entries from at up to to as the server sends them.
func (r *run) part(ctx context.Context, at, to uint64) (*bundle.Report, error) {
	opt := r.cfg.Options
	opt.State, opt.Checkpoint, opt.Identities = r.state, nil, nil
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
	if rep.OK && (rep.From != at || rep.To != to || rep.Tenant != r.result.Tenant) {
		return nil, fault.Newf(fault.Invalid, "answer_altered", "asked for entries %d to %d of tenant %s, the server sent %d to %d of %s",
			at, to, r.result.Tenant, rep.From, rep.To, rep.Tenant)
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

// conclude fills in what holds at the end.
func (r *run) conclude() {
	r.result.Node, r.result.Size, r.result.Root = r.seen.Origin.Node, r.seen.Size, r.seen.Root.String()
	r.result.Checkpoint = string(r.raw)
	if r.result.Resumed {
		r.result.Report.Notes = append(r.result.Report.Notes, fmt.Sprintf(
			"the first %d entries were verified by earlier runs and were not read again; their span ids were not compared with later ones", r.result.From))
	}
}
