package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/ui"
)

// whyOf gathers from a bundle, while it is verified, what there is to say about
// one span.
type whyOf struct {
	asked string // span id
	err   error  // of folding, the first

	why     client.Why
	entry   *span.Opened // nil until it was met
	id      string       // its span's: of a refused attempt that of the entry which keeps it
	state   rules.Memory // decision state after what was read
	sources map[uint64]string
	by      map[uint64]timeline.Record // who activated the contracts, by position

	rests   *standing.Grounds
	grounds grounds
}

// explainFrom answers from a file alone: it is verified as a whole first.
func (f *whyFlags) explainFrom(cmd *cobra.Command, env *environment, spanID string) error {
	if name := changed(cmd, "tenant", "url", "profile"); name != "" {
		return usagef("--%s is for asking a node; leave it out, or --bundle", name)
	}
	opt, err := f.pins.options(env)
	if err != nil {
		return err
	}
	t := &whyOf{asked: spanID, rests: standing.NewGrounds(), sources: map[uint64]string{}, by: map[uint64]timeline.Record{}}
	opt.Seen = t.take
	report, err := verifyFile(cmd.Context(), env, f.bundle, opt)
	if err != nil {
		return err
	}
	if !report.OK {
		printProblems(env.Stderr, report, bundle.Problem.String)
		return fault.Newf(fault.Invalid, "bundle_invalid", "%s: %s, so nothing of it is explained; logline verify says more", ui.Clean(f.bundle), report.Verdict)
	}
	if err := t.finish(cmd.Context(), report); err != nil {
		return err
	}
	if f.json {
		return printJSON(env.Stdout, struct {
			*client.Why
			Receipt *openapi.Receipt `json:"receipt,omitempty"` // there is none: the file is checked as a whole
			Rights  *grounds         `json:"rights"`
			Bundle  *bundle.Report   `json:"bundle"`
		}{&t.why, nil, &t.grounds, report})
	}
	e, err := parseEntry(t.why.Entry)
	if err != nil {
		return err
	}
	explain(env.Stdout, &t.why, &e, nil, &t.grounds)
	explainBundle(env.Stdout, report.Verdict, uint64(report.Entries), report.Root)
	return nil
}

// take is told of each entry in order.
func (t *whyOf) take(o *span.Opened, view standing.View, find standing.Lookup) {
	rows, err := rules.Fold(context.Background(), &t.state, &o.Entry, o.Payload)
	if err != nil && t.err == nil {
		t.err = err
	}
	t.state.Apply(rows)
	rec := timeline.Record{Seq: o.Seq, Entry: &o.Entry, Payload: o.Payload, Detail: o.Detail}
	if t.entry != nil && t.entry.Seq < 2 && o.Seq == 2 {
		t.signed(view) // entries 0 to 2 are judged by entry 1
	}
	switch {
	case o.Span.Type == span.TypeContract:
		if p, err := span.ParseContract(o.Payload); err == nil && p.Source != "" {
			t.sources[o.Seq], t.by[o.Seq] = p.Source, rec
		}
	case t.entry != nil:
		t.follows(&rec)
	}
	if t.entry == nil && t.concerns(o) {
		t.meet(o, view, find)
	}
	t.rests.Take(&o.Entry, o.Payload)
}

// concerns says that an entry is the one that is asked for, or keeps the attempt
// that was refused.
func (t *whyOf) concerns(o *span.Opened) bool {
	if o.Span.ID == t.asked {
		return true
	}
	if o.Span.Type != span.TypeDecision {
		return false
	}
	p, err := span.ParseRefusal(o.Payload)
	return err == nil && p.Span == t.asked
}

// meet takes the entry that is asked for, with who signed it as things stood.
func (t *whyOf) meet(o *span.Opened, view standing.View, find standing.Lookup) {
	t.entry, t.id = o, o.Span.ID
	t.why.Entry = o.AppendLine(nil)
	t.why.LeafHash = span.LeafHash(o.Entry.AppendLine(nil)).String()
	t.why.Status = openapi.Status(standing.InitialStatus(&o.Entry))
	t.why.Acts, t.why.Causes, t.why.Effects, t.why.Unresolved = []openapi.Act{}, []openapi.GraphNode{}, []openapi.GraphNode{}, []string{}
	t.why.Signer = openapi.Signer{Identity: o.Span.Author, Key: o.Span.Signature.Key, Roles: []string{}}
	t.signed(view)
	for _, cause := range o.Span.Causes {
		ref, ok := find(cause)
		if !ok {
			t.why.Unresolved = append(t.why.Unresolved, cause)
			continue
		}
		t.why.Causes = append(t.why.Causes, openapi.GraphNode{Id: ref.ID, Seq: ref.Seq, Type: ref.Type, Author: ref.Author, Depth: 1})
	}
}

// signed says who signed as things stood at a position.
func (t *whyOf) signed(view standing.View) {
	s := &t.why.Signer
	if view == nil {
		return
	}
	s.Roles = append(s.Roles, view.Roles(s.Identity)...)
	t.grounds = groundsOf(t.rests, s.Identity, s.Key)
	if chain, ok := view.Identity(s.Identity); ok {
		s.Subject = chain.Subject()
		if g, ok := chain.Key(s.Key); ok {
			s.Primary, s.Label, s.Types = g.Primary, g.Label, g.Types
		}
	}
}

// follows takes what came of the span.
func (t *whyOf) follows(rec *timeline.Record) {
	h := &rec.Entry.Span
	if slices.Contains(h.Causes, t.id) {
		t.why.Effects = append(t.why.Effects, openapi.GraphNode{Id: h.ID, Seq: rec.Seq, Type: h.Type, Author: h.Author, Depth: 1})
	}
	status, acts := t.actOn(rec)
	if status != "" {
		t.why.Status = openapi.Status(status)
	}
	if acts {
		a := timeline.ActOf(rec)
		t.why.Acts = append(t.why.Acts, openapi.Act{Id: a.ID, Seq: a.Seq, Type: a.Type, Author: a.Author, RecordedAt: a.RecordedAt, Outcome: a.Outcome, Reason: a.Reason})
	}
}

// actOn says whether an entry acts on the span, and which status it has then.
func (t *whyOf) actOn(rec *timeline.Record) (status string, acts bool) {
	switch rec.Entry.Span.Type {
	case span.TypeApproval:
		p, err := span.ParseApproval(rec.Payload)
		return "", err == nil && p.Span == t.id
	case span.TypeResolution:
		p, err := span.ParseResolution(rec.Payload)
		if err != nil || p.Span != t.id {
			return "", false
		}
		if p.Outcome == span.ResolutionExecuted {
			return standing.StatusExecuted, true
		}
		return standing.StatusRejected, true
	case span.TypeRevert:
		p, err := span.ParseRevert(rec.Payload)
		if err != nil || p.Span != t.id {
			return "", false
		}
		return standing.StatusReverted, true
	case span.TypeRedaction:
		p, err := span.ParseRedaction(rec.Payload)
		return "", err == nil && slices.ContainsFunc(p.Spans, func(r span.SpanRef) bool { return r.Span == t.id })
	}
	return "", false
}

// finish explains the decision by the contracts of the same file.
func (t *whyOf) finish(ctx context.Context, report *bundle.Report) error {
	switch {
	case t.entry == nil:
		return fault.Newf(fault.NotFound, "span_unknown", "the file has no entry of the span %s, nor of an attempt to append it, in entries %d to %d", t.asked, report.From, report.To)
	case t.err != nil:
		return t.err
	}
	all, err := rules.Versions(ctx, &t.state)
	if err != nil {
		return err
	}
	sources := map[string]string{}
	for _, src := range all {
		if !slices.Contains(t.entry.Decision.Contracts, src.Ref) {
			continue
		}
		sources[src.Ref] = t.sources[src.Seq]
		t.why.Contracts = append(t.why.Contracts, t.contract(src))
	}
	t.why.Reasons = reasonsBy(sources, t.entry)
	if t.why.Errors, t.why.Shadows, err = notedIn(t.entry); err != nil {
		return err
	}
	if t.why.Approvals, err = approvalsOf(t.entry); err != nil {
		return err
	}
	waiting, waits, err := rules.WaitingFor(ctx, &t.state, t.id)
	for i, has := range waiting.Has() {
		t.why.Approvals[i].Waits, t.why.Approvals[i].Has = waits, has
	}
	return err
}

// contract is a version as the file has it at its end.
func (t *whyOf) contract(src rules.Source) openapi.Contract {
	rec := t.by[src.Seq]
	version, hash, _ := strings.Cut(strings.TrimPrefix(src.Ref, src.Name+"@"), "#")
	out := openapi.Contract{Name: src.Name, Version: version, Hash: hash, Seq: src.Seq, Requires: []string{}, Mode: openapi.ContractMode(modeOf(src.Mode))}
	if rec.Entry != nil {
		out.Span, out.Author, out.ActivatedAt = rec.Entry.Span.ID, rec.Entry.Span.Author, rec.Entry.RecordedAt
	}
	return out
}

func modeOf(m contract.Mode) string {
	switch m {
	case contract.Enforced:
		return modeEnforce
	case contract.Shadowed:
		return modeShadow
	}
	return modePast
}
