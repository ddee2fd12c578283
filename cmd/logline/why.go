package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/ui"
)

// whyFlags say whom to ask.
type whyFlags struct {
	clientFlags
	pins
	bundle string
}

func newWhyCmd(env *environment) *cobra.Command {
	var flags whyFlags
	cmd := &cobra.Command{
		Use:   "why SPAN",
		Short: "Say in words who did it, with which right, what was decided and what followed",
		Long: `Explain a span: who signed it and with what right, what was decided, by which
lines of which contracts, what caused it and what came of it. A span that a contract
refused is explained by the entry that keeps the attempt.

The node is not trusted with it: the entry and its decision are held against the
signed tree, and so are the grants and the key event that the author's right came
from; the contracts' lines are read from sources that have the hashes which the
decision names. What a node can still hide, such as a withdrawal in between, the
answer says.

--bundle answers from a file that logline export wrote, without any server or network:
the file is verified as a whole first, and what does not hold is not explained.
--node, --checkpoint and --policy then say whom to believe, as for logline verify.`,
		Example: "  logline why 019…\n  logline why 019… --bundle acme.ndjson --node logline-id://…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spanID, err := spanArg(args[0])
			if err != nil {
				return err
			}
			if flags.bundle != "" {
				return flags.explainFrom(cmd, env, spanID)
			}
			if name := changed(cmd, "node", "checkpoint", "policy"); name != "" {
				return usagef("--%s is for a file: name it with --bundle", name)
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			why, err := s.client.Why(cmd.Context(), s.profile.Tenant, spanID)
			if err != nil {
				return err
			}
			e, err := parseEntry(why.Entry)
			if err != nil {
				return err
			}
			logKey, err := s.logKey(cmd.Context())
			if err != nil {
				return err
			}
			of, err := explained(&e, spanID)
			if err != nil {
				return err
			}
			checked, err := checkReceipt(why.Receipt, of, e.Span.Header.Hash(), logKey)
			if err != nil {
				return err
			}
			if err := e.check(); err != nil {
				return err
			}
			opened, err := e.heldTo(checked.LeafHash, why.Entry) // which is in the tree
			if err != nil {
				return err
			}
			if err := s.reason(cmd.Context(), why, opened, &e); err != nil {
				return err
			}
			rights, err := s.rights(cmd.Context(), &e, &why.Signer, logKey)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, struct {
					*client.Why
					Rights *grounds `json:"rights"`
				}{why, rights})
			}
			people := []string{e.Span.Author, e.Span.OnBehalfOf}
			for _, r := range rights.Roles {
				people = append(people, r.By)
			}
			for _, act := range why.Acts {
				people = append(people, act.Author)
			}
			people = append(people, decidedBy(why, &e)...)
			explain(env.Stdout, why, &e, s.names(cmd.Context(), people...), rights)
			explainProof(env.Stdout, checked)
			return nil
		},
	}
	flags.registerTenant(cmd)
	flags.pins.register(cmd)
	cmd.Flags().StringVar(&flags.bundle, "bundle", "", "answer from this `FILE`, without a server; - is standard input")
	return cmd
}

// maxLinks is how many causes or effects `why` lists before it only counts.
const maxLinks = 10

// explain writes the answer, a paragraph each for what, who, why and what then.
func explain(w io.Writer, why *client.Why, e *entryView, names map[string]string, rights *grounds) {
	h := &e.Span.Header
	who := func(identity string) string {
		if name := names[identity]; name != "" {
			return ui.Clean(name) + " (" + identity + ")"
		}
		return identity
	}
	what := ui.Clean(e.what())
	if what != "" {
		what = ": " + ui.Cut(what, 200)
	}
	fmt.Fprintf(w, "%s%s\n", h.Type, what)
	fmt.Fprintf(w, "  entry %d of the timeline, recorded %s, status %s\n\n", e.Seq, e.RecordedAt, why.Status)

	fmt.Fprintln(w, "Who did it")
	if h.OnBehalfOf != "" {
		fmt.Fprintf(w, "  %s did it", who(h.OnBehalfOf))
		if h.OccurredAt != "" {
			fmt.Fprintf(w, " at %s", h.OccurredAt)
		}
		fmt.Fprintf(w, ";\n  %s recorded it for them and signed at %s\n", who(h.Author), h.Time)
	} else {
		fmt.Fprintf(w, "  %s signed it at %s", who(h.Author), h.Time)
		if h.OccurredAt != "" {
			fmt.Fprintf(w, ", as something that happened at %s", h.OccurredAt)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "  with %s\n\n", keyWords(why.Signer))

	fmt.Fprintln(w, "With what right")
	fmt.Fprintf(w, "  %s\n", rightWords(why.Signer, h.Type))
	for _, ground := range rights.words(who) {
		fmt.Fprintf(w, "  - %s\n", ui.Clean(ground))
	}
	fmt.Fprintln(w)

	fmt.Fprintln(w, "What was decided")
	if refused := refusalIn(e); refused != nil {
		fmt.Fprintf(w, "  the %s of %s was refused by %s\n", ui.Clean(refused.Type), who(refused.Author), ui.Clean(refused.Rule))
	} else {
		words := decisionWords(e.Decision)
		if e.Decision.Outcome == span.OutcomePending && why.Status != standing.StatusPending {
			words = strings.Replace(words, "pending: it waits", "it waited", 1)
		}
		fmt.Fprintf(w, "  %s\n", words)
	}
	for _, reason := range slices.Concat(e.Decision.Detail.Reasons, e.Decision.Detail.Notes) {
		fmt.Fprintf(w, "  - %s\n", ui.Clean(reason))
	}
	explainDecision(w, why, e, who)
	fmt.Fprintln(w)

	fmt.Fprintln(w, "What caused it")
	links(w, why.Causes, "  nothing that it names")
	for _, id := range why.Unresolved {
		fmt.Fprintf(w, "  %s, which is not in this timeline or not for you to see\n", id)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "What it caused")
	links(w, why.Effects, "  nothing so far")
	if len(why.Acts) > 0 {
		fmt.Fprintln(w, "\nWhat was done to it since")
	}
	for _, act := range why.Acts {
		fmt.Fprintf(w, "  entry %d  %s by %s at %s", act.Seq, act.Type, who(act.Author), act.RecordedAt)
		if words := firstOf(act.Outcome, act.Reason); words != "" {
			fmt.Fprintf(w, ": %s", ui.Clean(words))
		}
		fmt.Fprintln(w)
	}
}

func links(w io.Writer, nodes []openapi.GraphNode, none string) {
	if len(nodes) == 0 {
		fmt.Fprintln(w, none)
	}
	for i, n := range nodes {
		if i == maxLinks {
			fmt.Fprintf(w, "  and %s more\n", ui.Count(int64(len(nodes)-i)))
			return
		}
		fmt.Fprintf(w, "  entry %d  %s  %s\n", n.Seq, n.Type, n.Id)
	}
}

func keyWords(s openapi.Signer) string {
	if s.Primary {
		return "its primary key " + s.Key
	}
	words := "the key " + s.Key
	if s.Label != "" {
		words += ", delegated as " + ui.Clean(s.Label)
	}
	if len(s.Types) > 0 {
		words += ", which may sign " + strings.Join(s.Types, ", ")
	}
	return words
}

func rightWords(s openapi.Signer, typ string) string {
	switch {
	case len(s.Roles) > 0:
		return "as " + strings.Join(s.Roles, ", ") + " of this tenant when it was recorded"
	case span.NodeOnly(typ) || s.Subject == "node":
		return "as the node that keeps this timeline"
	default:
		return "without a role in this tenant"
	}
}

// decisionWords says a decision in one line.
func decisionWords(d decisionView) string {
	var words string
	switch d.Outcome {
	case "allow":
		words = "allowed"
	case "pending":
		words = "pending: it waits for approval"
	case "reject":
		words = "refused"
	case "simulate":
		words = "decided and not recorded"
	default:
		words = d.Outcome
	}
	asked := strings.Join(d.Contracts, ", ")
	switch {
	case len(d.Rules) > 0 && d.Outcome == span.OutcomePending:
		words += ", by " + strings.Join(d.Rules, ", ") + " of " + asked
	case len(d.Rules) > 0:
		words += " by " + strings.Join(d.Rules, ", ") + " of " + asked
	case asked != "" && d.Outcome == span.OutcomeAllow:
		words += "; nothing in " + asked + " speaks against it"
	case asked != "":
		words += " in " + asked
	case d.Outcome == span.OutcomeAllow:
		words += "; no contract had anything to say"
	}
	return words
}
