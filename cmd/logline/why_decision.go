package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// refusalIn is the refused attempt that an entry keeps, nil where it keeps none.
func refusalIn(e *entryView) *span.Refusal {
	if e.Span.Type != span.TypeDecision {
		return nil
	}
	var p span.Refusal
	if json.Unmarshal(e.Span.Payload, &p) != nil {
		return nil
	}
	return &p
}

// explained is the span whose receipt proves an explanation: the one asked for,
// or the node's entry that keeps its refusal.
func explained(e *entryView, asked string) (string, error) {
	if e.Span.ID == asked {
		return asked, nil
	}
	if p := refusalIn(e); p != nil && p.Span == asked {
		return e.Span.ID, nil
	}
	return "", answerAltered("answer_other_span", e, "it was asked about another span")
}

// decidedBy are the identities that a decision's explanation names.
func decidedBy(why *client.Why, e *entryView) (people []string) {
	for _, m := range why.MayVote {
		people = append(people, m.Identity)
	}
	for _, c := range why.Contracts {
		people = append(people, c.Author)
	}
	if scores, err := rules.Scores(&span.Decision{Effects: e.Decision.Effects}); err == nil {
		for _, s := range scores {
			people = append(people, s.Identity)
		}
	}
	if refused := refusalIn(e); refused != nil {
		people = append(people, refused.Author)
	}
	return people
}

// explainDecision writes the decision in words, with the contracts' lines.
func explainDecision(w io.Writer, why *client.Why, e *entryView, who func(string) string) {
	for _, t := range e.Decision.Transitions {
		fmt.Fprintf(w, "  %s %s: %s -> %s\n", ui.Clean(t.Workflow), ui.Clean(t.Key), ui.Clean(t.From), ui.Clean(t.To))
	}
	if scores, err := rules.Scores(&span.Decision{Effects: e.Decision.Effects}); err == nil { // else others say so
		for _, s := range scores {
			fmt.Fprintf(w, "  the trust in %s is %s from here on\n", who(s.Identity), number(s.Score))
		}
	}
	if len(e.Decision.Tags) > 0 {
		fmt.Fprintf(w, "  tagged %s\n", ui.Clean(strings.Join(e.Decision.Tags, ", ")))
	}
	printFailures(w, &e.Decision)
	for _, r := range why.Reasons {
		indent := "  "
		if r.Action {
			indent = "    "
		}
		name, _, _ := strings.Cut(r.Contract, "#")
		fmt.Fprintf(w, "%s%s\n%s  %s, line %d: %s\n", indent, ui.Clean(r.Text), indent, ui.Clean(name), r.Line, ui.Clean(r.Source))
	}
	explainErrors(w, "  ", why.Errors)
	for _, s := range why.Shadows {
		name, _, _ := strings.Cut(s.Contract, "#")
		fmt.Fprintf(w, "  in the shadow, which decides nothing, %s said %s", ui.Clean(name), ui.Clean(string(s.Outcome)))
		if len(s.Rules) > 0 {
			fmt.Fprintf(w, " by %s", ui.Clean(strings.Join(s.Rules, ", ")))
		}
		fmt.Fprintln(w)
		explainErrors(w, "    ", s.Errors)
	}
	for _, c := range why.Contracts {
		fmt.Fprintf(w, "  %s %s, activated by %s in entry %d, is %s now\n", ui.Clean(c.Name), ui.Clean(c.Version), who(c.Author), c.Seq, contractWords(string(c.Mode)))
	}
	explainVotes(w, why, who)
}

// explainErrors says which rules could not be evaluated, and how.
func explainErrors(w io.Writer, indent string, errors []string) {
	for _, e := range errors {
		rule, how, _ := strings.Cut(e, " ")
		fmt.Fprintf(w, "%s%s could not be evaluated: %s\n", indent, ui.Clean(rule), ui.Clean(errorWords(how)))
	}
}

// errorWords is how an evaluation failed.
func errorWords(how string) string {
	switch how {
	case "missing":
		return "it asks for a field that the span has not"
	case "mismatch":
		return "a field is of another type than it takes"
	case "undefined":
		return "what it reckons has no value"
	case "too_costly":
		return "it would cost too much"
	}
	return how
}

func contractWords(mode string) string {
	switch mode {
	case modePast:
		return "out of force"
	case modeShadow:
		return "in the shadow"
	}
	return "in force"
}

func explainVotes(w io.Writer, why *client.Why, who func(string) string) {
	for _, a := range why.Approvals {
		asks := "asked"
		if a.Waits {
			asks = "asks"
		}
		fmt.Fprintf(w, "  %s %s for %s of %s", ui.Clean(a.Rule), asks, votesWords(a.Count), ui.Clean(strings.Join(a.From, ", ")))
		if a.Waits {
			fmt.Fprintf(w, " and has %s", number(a.Has))
		}
		if a.Deadline != "" {
			fmt.Fprintf(w, "; until %s", ui.Clean(a.Deadline))
		}
		fmt.Fprintln(w)
	}
	if !stillWaits(why) {
		return
	}
	if len(why.MayVote) == 0 {
		fmt.Fprintln(w, "  nobody here holds a role that could still vote")
	}
	for _, m := range why.MayVote {
		fmt.Fprintf(w, "  could still vote: %s, as %s\n", who(m.Identity), ui.Clean(strings.Join(m.Roles, ", ")))
	}
}

func stillWaits(why *client.Why) bool {
	for _, a := range why.Approvals {
		if a.Waits {
			return true
		}
	}
	return false
}

func votesWords(count float64) string {
	if count == 1 {
		return "1 vote"
	}
	return number(count) + " votes"
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// printFailures says what could not be evaluated: nothing is left undone in silence.
func printFailures(w io.Writer, d *decisionView) {
	for _, f := range rules.Failures(&span.Decision{Effects: d.Effects}) {
		fmt.Fprintf(w, "  %s\n", ui.Clean(f))
	}
}

// printForesight says what a simulated span would have led to.
func printForesight(w io.Writer, d *decisionView, f *client.Foresight) {
	if f.Refusal != nil {
		fmt.Fprintf(w, "  refused by %s: %s\n", ui.Clean(f.Refusal.Rule), ui.Clean(f.Refusal.Reason))
	}
	if f.Refusal == nil {
		printFailures(w, d) // else the reason says it
	}
	for _, t := range d.Transitions {
		fmt.Fprintf(w, "  %s %s: %s -> %s\n", ui.Clean(t.Workflow), ui.Clean(t.Key), ui.Clean(t.From), ui.Clean(t.To))
	}
	for _, list := range []struct {
		did   string
		names []string
	}{{"tagged", d.Tags}, {"emitted", f.Emitted}, {"called", f.Called}, {"scheduled", f.Scheduled}} {
		if len(list.names) > 0 {
			fmt.Fprintf(w, "  %s: %s\n", list.did, ui.Clean(strings.Join(list.names, ", ")))
		}
	}
}
