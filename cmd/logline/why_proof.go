package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/because"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// anySize are the largest spans that a node can be set to take.
var anySize = span.Limits{Header: 32 << 10, Payload: 64 << 20}

// heldTo holds an entry as a node shows it, with payload and detail put back,
// against its leaf: position and time, header, decision, and the reasons beside it.
// Whether the leaf is in the tree is for receipts.
func (e *entryView) heldTo(leaf string, shown json.RawMessage) (*span.Opened, error) {
	o, err := span.ParseOpened(shown, anySize)
	if err != nil {
		return nil, answerAltered("entry_unreadable", e, "it is not as entries are ("+err.Error()+")")
	}
	if span.LeafHash(o.Entry.AppendLine(nil)).String() != leaf {
		return nil, answerAltered("entry_not_leaf", e, "its place, its time or its decision are not those of its leaf")
	}
	if err := o.CheckHashes(); err != nil {
		return nil, answerAltered("detail_hash_mismatch", e, "its payload or the reasons beside its decision are not those that the line commits to")
	}
	if o.Decision.DetailHash != "" && o.Detail == nil && o.DetailWithheld == "" {
		return nil, answerAltered("detail_missing", e, "the reasons beside its decision are missing, and nothing says that they are withheld")
	}
	return o, nil
}

// reason says in words why an entry was decided as it was, out of the sources of
// the contracts that its decision names, by their hashes: what the node itself
// says of them is not taken. Whoever is shown no contracts gets no reasons.
func (s *session) reason(ctx context.Context, why *client.Why, o *span.Opened, e *entryView) error {
	sources := map[string]string{}
	for _, c := range why.Contracts {
		ref := c.Name + "@" + c.Version + "#" + c.Hash
		if !slices.Contains(o.Decision.Contracts, ref) {
			return answerAltered("contract_other", e, "the decision names no contract "+ref)
		}
		found, err := s.client.Contract(ctx, s.profile.Tenant, c.Name, c.Hash)
		if err != nil {
			return err
		}
		if found.Source == nil || span.Sum([]byte(found.Source.Text)).String() != c.Hash {
			return answerAltered("contract_source", e, "the source that it gives of "+c.Name+" "+c.Version+" has not the hash that the decision names")
		}
		sources[ref] = found.Source.Text
	}
	why.Reasons = reasonsBy(sources, o)
	asked, err := approvalsOf(o)
	if err != nil {
		return err
	}
	if len(why.Errors)+len(why.Shadows) > 0 { // who is shown no contracts is shown none of these
		if why.Errors, why.Shadows, err = notedIn(o); err != nil {
			return err
		}
	}
	for i := range asked {
		if i < len(why.Approvals) { // how far it has come is not in its own line
			asked[i].Waits, asked[i].Has = why.Approvals[i].Waits, why.Approvals[i].Has
		}
	}
	why.Approvals = asked
	return nil
}

// reasonsBy explains a decision by the sources of contracts, by name@version#hash.
func reasonsBy(sources map[string]string, o *span.Opened) []openapi.Reason {
	compiled := map[string]*contract.Contract{}
	for _, ref := range o.Decision.Contracts {
		if c, err := rules.Compile(sources[ref]); err == nil && c.Ref() == ref && compiled[c.Name] == nil {
			compiled[c.Name] = c
		}
	}
	var said []string
	if d, _, err := span.ParseDetail(o.Detail); err == nil {
		said = d.Reasons
	}
	var out []openapi.Reason
	for _, r := range because.Recorded(func(name string) *contract.Contract { return compiled[name] }, o.Span.Type, &o.Decision, said) {
		out = append(out, openapi.Reason{Contract: r.Contract.Ref(), Line: r.Line(), Source: r.Source(), Text: r.Text, Action: r.Action})
	}
	return out
}

// notedIn are the rules that could not be evaluated, and what shadows said.
func notedIn(o *span.Opened) (errors []string, said []openapi.ShadowSaid, err error) {
	errors, shadows, err := rules.Noted(&o.Decision)
	for _, s := range shadows {
		said = append(said, openapi.ShadowSaid{Contract: s.Contract, Outcome: openapi.ShadowSaidOutcome(s.Outcome), Rules: s.Rules, Errors: s.Errors})
	}
	return errors, said, err
}

// approvalsOf are the votes that a decision asks for.
func approvalsOf(o *span.Opened) ([]openapi.Approval, error) {
	asked, err := rules.Asked(&o.Decision)
	if err != nil {
		return nil, err
	}
	var out []openapi.Approval
	for _, q := range asked {
		out = append(out, openapi.Approval{Contract: q.Contract, Rule: q.Rule, From: q.From, Count: q.Count, Distinct: q.Distinct, Deadline: q.Deadline})
	}
	return out, nil
}

// explainProof says what of an explanation was proved, and what is the node's
// word.
func explainProof(w io.Writer, c *checkedReceipt) {
	fmt.Fprintf(w, "\nHow you can tell\n  the receipt was checked here: %s\n", c.proofWords())
	fmt.Fprintln(w, "  and with it the entry, its decision, the contracts' text, and each entry named under the right;")
	fmt.Fprintln(w, "  that no entry between took the right away, that whoever granted it might, links and what came of it since")
	fmt.Fprintln(w, "  are the node's word, until `logline verify` has checked them, or `logline why --bundle` reads them from a file")
}

// explainBundle says the same of what a bundle tells.
func explainBundle(w io.Writer, verdict string, entries uint64, root string) {
	fmt.Fprintf(w, "\nHow you can tell\n  the file was verified here, all of it: %s\n", ui.Clean(verdict))
	fmt.Fprintf(w, "  %s, root %s\n", ui.Plural(int64(entries), "entry", "entries"), root)
}
