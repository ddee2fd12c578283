package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/because"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/trial"
	"github.com/danvoulez/logline/internal/ui"
)

// dryRunFlags are what a dry run is told.
type dryRunFlags struct {
	span, facts string
	json        bool
}

func (f *dryRunFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.span, "span", "", "the span as `JSON`, or - for standard input")
	cmd.Flags().StringVar(&f.facts, "facts", "", "`FILE` with what is known: now, tenant, identities, states, spans")
	registerJSON(cmd, &f.json)
	_ = cmd.MarkFlagRequired("span") // the flag exists
}

// dryRunHelp is the form of what a dry run reads.
const dryRunHelp = `
The span is JSON: type, by, data, and where they matter title, subject, tags,
visibility, occurred_at, on_behalf_of. --facts names a JSON file with what is so
already:

  {"now": "2026-03-02T09:00:00Z", "tenant": "voulezvous",
   "identities": {"rafa": {"status": "validated", "trust": 82, "roles": ["finance"]}},
   "states": [{"workflow": "payment", "key": "p1", "state": "submitted"}],
   "spans": [{"type": "payment.executed", "by": "rafa", "at": "2026-03-02T08:00:00Z", "data": {"amount": 4000}}]}

Whoever is named and not introduced is a validated member. In data,
"logline-id://rafa" is the identity of rafa. All contracts of the files decide, and
those that they require.`

func newRulesRunCmd(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run FILE|DIR... --span JSON|-",
		Short: "Say what contracts would decide about a span, without recording anything",
		Long:  "Have contracts decide one span in memory, and say what would come of it.\n" + dryRunHelp,
		Example: `  logline rules run payments_approval.lll --span '{"type": "payment.requested", "data": {"payment_id": "p1", "amount": 1500}}'
  logline rules run contracts --span - --facts facts.json < span.json`,
		Args: cobra.MinimumNArgs(1),
	}
	return newDryRunCmd(env, cmd, (*dryRun).json, (*dryRun).print)
}

// newDryRunCmd completes a command that decides a span in memory and shows it.
func newDryRunCmd(env *environment, cmd *cobra.Command, machine func(*dryRun) any, people func(*dryRun, *environment)) *cobra.Command {
	var flags dryRunFlags
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := flags.run(cmd.Context(), env, args)
		switch {
		case err != nil:
			return err
		case flags.json:
			return printJSON(env.Stdout, machine(r))
		}
		people(r, env)
		return nil
	}
	flags.register(cmd)
	return cmd
}

func newRulesExplainCmd(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain FILE|DIR... --span JSON|-",
		Short: "Say in words, with the contract's lines, why a span would be decided as it is",
		Long: `Have contracts decide one span in memory, and say why: which rules were asked,
which conditions held, what was done, and the line that says so.
` + dryRunHelp,
		Example: `  logline rules explain payments_approval.lll --span '{"type": "payment.requested", "data": {"payment_id": "p1", "amount": 1500}}'`,
		Args:    cobra.MinimumNArgs(1),
	}
	return newDryRunCmd(env, cmd, (*dryRun).explanation, (*dryRun).explain)
}

// dryRun is a span that was decided in memory.
type dryRun struct {
	library *library.Library
	stage   *trial.Stage
	seen    *trial.Submitted
	outcome *rules.Outcome
}

func (f *dryRunFlags) run(ctx context.Context, env *environment, args []string) (*dryRun, error) {
	l, contracts, err := soundContracts(env, args)
	if err != nil {
		return nil, err
	}
	src, err := argumentOrStdin(env, f.span)
	if err != nil {
		return nil, err
	}
	sp, err := trial.ParseSpan(src)
	if err != nil {
		return nil, err
	}
	facts := &trial.Facts{}
	if f.facts != "" {
		text, err := readSource(env, f.facts)
		if err != nil {
			return nil, err
		}
		if facts, err = trial.ParseFacts([]byte(text)); err != nil {
			return nil, err
		}
	}
	stage, err := trial.NewStageOf(ctx, contracts, facts, trial.Options{Cron: cron.NextIn})
	if err != nil {
		return nil, err
	}
	draft, err := stage.Draft(sp)
	if err != nil {
		return nil, err
	}
	seen, err := stage.Submit(ctx, draft)
	if err != nil {
		return nil, err
	}
	return &dryRun{l, stage, seen, seen.Outcomes[0]}, nil
}

// argumentOrStdin is the text given, or for - what standard input holds.
func argumentOrStdin(env *environment, text string) ([]byte, error) {
	if text != standardInput {
		return []byte(text), nil
	}
	src, err := io.ReadAll(io.LimitReader(env.Stdin, 2<<20))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "input_failed", "standard input cannot be read").Because(err)
	}
	return src, nil
}

// soundContracts reads contracts that must have no errors, with all that they
// require.
func soundContracts(env *environment, args []string) (*library.Library, []*contract.Contract, error) {
	l, _, err := readLibrary(env, args)
	if err != nil {
		return nil, nil, err
	}
	var contracts []*contract.Contract
	for _, d := range l.Documents() {
		if d.Failed() {
			printDiagnostics(env.Stderr, d)
		}
		if d.Contract != nil {
			contracts = append(contracts, d.Contract)
		}
	}
	if errors, warnings := counts(l.Documents()); errors > 0 {
		return nil, nil, fault.Newf(fault.Invalid, "contract_invalid", "nothing was decided: %s", countWords(errors, warnings))
	}
	if len(contracts) == 0 {
		return nil, nil, fault.New(fault.NotFound, "contract_missing", "the files hold no contract; name one that does")
	}
	return l, contracts, nil
}

func (r *dryRun) print(env *environment) {
	o := r.outcome
	pairs := []string{"decision", o.Verdict.String()}
	add := func(name string, values ...string) {
		if text := strings.Join(values, ", "); text != "" {
			pairs = append(pairs, name, ui.Clean(r.stage.Told(text)))
		}
	}
	if o.Refusal != nil {
		add("refused by", o.Refusal.Rule)
	}
	add("reasons", r.seen.Reasons...)
	add("contracts", o.Decision.Contracts...)
	add("rules", o.Decision.Rules...)
	add("tags", o.Decision.Tags...)
	if o.Refusal == nil {
		add("left undone", rules.Failures(&o.Decision)...)
	}
	for _, t := range o.Decision.Transitions {
		add(t.Workflow, t.Key+": "+t.From+" -> "+t.To)
	}
	if o.Detail != nil {
		add("notes", o.Detail.Notes...)
	}
	for _, name := range o.Annotations.Names() {
		v, _ := o.Annotations.Member(name)
		add(name, v.String())
	}
	add("emits", o.Emitted...)
	add("calls", o.Called...)
	add("schedules", o.Scheduled...)
	facts(env.Stdout, pairs...)
}

// json is the decision for programs, with symbols instead of identities.
func (r *dryRun) json() any {
	o := r.outcome
	out := map[string]any{
		"decision": o.Verdict.String(), "contracts": listOf(o.Decision.Contracts), "rules": listOf(o.Decision.Rules), "tags": listOf(o.Decision.Tags),
		"reasons": listOf(r.seen.Reasons), "errors": listOf(rules.Failures(&o.Decision)), "emitted": listOf(o.Emitted), "called": listOf(o.Called), "scheduled": listOf(o.Scheduled),
	}
	if o.Refusal != nil {
		out["refusal"] = map[string]string{"contract": o.Refusal.Contract, "rule": o.Refusal.Rule, "reason": o.Refusal.Reason}
	}
	if o.Detail != nil {
		out["notes"] = listOf(o.Detail.Notes)
		if o.Detail.Annotations != nil {
			out["annotations"] = json.RawMessage(o.Detail.Annotations)
		}
		if o.Detail.Actions != nil {
			out["actions"] = json.RawMessage(o.Detail.Actions)
		}
	}
	if len(o.Decision.Transitions) > 0 {
		out["transitions"] = o.Decision.Transitions
	}
	return r.told(out)
}

// told puts symbols for identities everywhere in a document.
func (r *dryRun) told(doc any) any {
	text, err := json.Marshal(doc)
	if err != nil {
		return doc
	}
	return json.RawMessage(r.stage.Told(string(text)))
}

func listOf(of []string) []string {
	if of == nil {
		return []string{}
	}
	return of
}

// dryRunWords say what a decision means.
var dryRunWords = map[rules.Verdict]string{
	rules.Allow:    "The span would be recorded.",
	rules.Pending:  "The span would be recorded and wait for votes.",
	rules.Simulate: "The span would be decided and not recorded.",
	rules.Reject:   "The span would be refused.",
}

func (r *dryRun) explain(env *environment) {
	fmt.Fprintln(env.Stdout, dryRunWords[r.outcome.Verdict])
	for _, reason := range r.seen.Reasons {
		fmt.Fprintf(env.Stdout, "  %s\n", ui.Clean(r.stage.Told(reason)))
	}
	if r.outcome.Refusal == nil {
		for _, f := range rules.Failures(&r.outcome.Decision) {
			fmt.Fprintf(env.Stdout, "  %s\n", ui.Clean(f))
		}
	}
	sentences := because.Outcome(r.library.Contract, r.outcome)
	if len(sentences) == 0 {
		fmt.Fprintln(env.Stdout, "No contract has a say about it.")
	}
	var of *contract.Contract
	for _, s := range sentences {
		if s.Contract != of {
			of = s.Contract
			fmt.Fprintf(env.Stdout, "\n%s %s (%s)\n", of.Name, of.Version, ui.Clean(of.Source.Name))
		}
		indent := "  "
		if s.Action {
			indent = "    "
		}
		fmt.Fprintf(env.Stdout, "%s%s\n%s  %d | %s\n", indent, s.Text, indent, s.Line(), ui.Clean(s.Source()))
	}
}

type explainedLine struct {
	Contract string `json:"contract"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Source   string `json:"source"`
	Text     string `json:"text"`
	Action   bool   `json:"action"`
}

func (r *dryRun) explanation() any {
	lines := []explainedLine{}
	for _, s := range because.Outcome(r.library.Contract, r.outcome) {
		lines = append(lines, explainedLine{s.Contract.Ref(), s.Contract.Source.Name, s.Line(), s.Source(), s.Text, s.Action})
	}
	return r.told(map[string]any{"decision": r.outcome.Verdict.String(), "reasons": listOf(r.seen.Reasons), "because": lines})
}
