package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/rules/replay"
	"github.com/danvoulez/logline/internal/ui"
)

// replayFlags say what is decided again, and how.
type replayFlags struct {
	clientFlags
	from, to  uint64
	mode      string
	choose    []string
	contracts []string
	bundle    string
	show      int
	execute   bool
	remote    bool
	yes       bool
}

func newReplayCmd(env *environment) *cobra.Command {
	var flags replayFlags
	cmd := &cobra.Command{
		Use:   "replay [--from SEQ] [--to SEQ] [--mode validate|selective|full]",
		Short: "Decide a range of a timeline again, and say what comes out otherwise",
		Long: `Decide the entries from --from on, below --to, again, with the contracts that the
record says were in force at each of them, and say entry by entry what comes out
otherwise: outcome, rules, tags, transitions, effects, reasons. Nothing is recorded.

  validate   each entry by the state that the record gives at its place; it must
             come out the same, byte for byte
  selective  the same of chosen entries alone: --select, see below
  full       from the first entry on, what is decided now is what follows rests on:
             what would have been

--contracts names files whose contracts decide in the place of those of the same
name; all others stay. Which version decided is then not compared.

--select may be repeated: a pattern of types (payment.*), author:ID, subject:TEXT,
tag:WORD, span:ID, contract:NAME. Of one kind any will do, of each kind one must.

The timeline is that of the profile's tenant (or --tenant) at its node, or a bundle
that logline export wrote from its first entry on; it is read without any server and
not verified here: that is logline verify. Whoever reads must be allowed to see every
entry. Entries whose payload is erased are named and not decided.

--execute does the spans again that were decided, at most 1000: for each a new span
of yours, with the same type, title, subject, tags and payload, that says what it
replays (tag replays:SPAN, and SPAN among its causes) and when that occurred. It is
decided as any other. Done twice it appends nothing twice.

The exit code is 0 where everything comes out the same, and 1 where something does
not, or something that was to be done again was refused. Entries that could not be decided do not change it; the report counts them.`,
		Example: `  logline replay --tenant acme
  logline replay --from 1000 --to 2000 --mode full --contracts payments_approval.lll
  logline replay --bundle acme.ndjson --mode selective --select 'payment.*' --select tag:auto --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.do(cmd, env) },
	}
	flags.registerTenant(cmd)
	cmd.Flags().Uint64Var(&flags.from, "from", 0, "the first entry that is decided again")
	cmd.Flags().Uint64Var(&flags.to, "to", 0, "the first entry after it that is not; 0: to the end")
	cmd.Flags().StringVar(&flags.mode, "mode", string(replay.Validate), "validate, selective or full")
	cmd.Flags().StringArrayVar(&flags.choose, "select", nil, "in the mode selective: which entries, a `CONDITION`; may be repeated")
	cmd.Flags().StringSliceVar(&flags.contracts, "contracts", nil, "`FILE`s whose contracts decide in the place of those of the same name")
	cmd.Flags().StringVar(&flags.bundle, "bundle", "", "decide the timeline in this `FILE`, without a server")
	cmd.Flags().BoolVar(&flags.remote, "task", false, "have the node do it, as a task; logline tasks show TASK has the report")
	cmd.Flags().BoolVar(&flags.execute, "execute", false, "do the spans again that were decided, by new spans of yours")
	cmd.Flags().BoolVar(&flags.yes, "yes", false, "with --execute: really do it")
	cmd.Flags().IntVar(&flags.show, "show", 10, "how many differences to list, the first ones")
	return cmd
}

// do decides again and prints what came out, and with --execute does again.
func (f *replayFlags) do(cmd *cobra.Command, env *environment) error {
	switch {
	case f.remote && (f.execute || f.bundle != ""):
		return usagef("--task is for the node; leave out --execute and --bundle")
	case f.execute && f.bundle != "":
		return usagef("--execute appends at the node of the timeline; leave --bundle out")
	case f.execute && len(f.contracts) > 0:
		return usagef("--execute does spans again under the contracts in force; leave --contracts out")
	case f.execute && !f.yes:
		return usagef("--execute appends new spans that do again what these did; confirm with --yes")
	}
	if f.remote {
		opt, err := f.options(env)
		if err != nil {
			return err
		}
		task, err := f.remotely(cmd.Context(), env, opt)
		if err != nil {
			return err
		}
		if f.json {
			return printJSON(env.Stdout, task)
		}
		fmt.Fprintf(env.Stdout, "The node decides it again as task %s; logline tasks show %s has the report.\n", task.Id, task.Id)
		return nil
	}
	var chosen again
	report, elapsed, err := f.run(cmd, env, &chosen)
	if err != nil {
		return err
	}
	var done []executed
	if f.execute {
		s, err := f.openTenant(env)
		if err != nil {
			return err
		}
		if done, err = s.execute(cmd, chosen.list); err != nil {
			return err
		}
	}
	if f.json {
		err = printJSON(env.Stdout, struct {
			*replay.Report
			Executed []executed `json:"executed,omitempty"`
		}{report, done})
	} else {
		err = printReplay(env, report, elapsed)
	}
	if err == nil && !f.json && f.execute {
		err = printExecuted(env, done)
	}
	if err == nil && (report.Differs() || slices.ContainsFunc(done, func(x executed) bool { return x.Status == "refused" })) {
		err = &exitError{code: exitFailed}
	}
	return err
}

func (f *replayFlags) run(cmd *cobra.Command, env *environment, chosen *again) (*replay.Report, time.Duration, error) {
	if f.show < 0 {
		return nil, 0, usagef("--show must be 0 or more")
	}
	if name := changed(cmd, "tenant", "url", "profile"); f.bundle != "" && name != "" {
		return nil, 0, usagef("--%s is for a timeline at a node; leave it out, or --bundle", name)
	}
	opt, err := f.options(env)
	if err != nil {
		return nil, 0, err
	}
	if f.execute {
		opt.Decided = chosen.take
	}
	r, err := replay.New(opt)
	if err != nil {
		return nil, 0, &usageError{err}
	}
	defer giveHeapRoom()()
	began := env.Now()
	if f.bundle != "" {
		err = decideFile(cmd.Context(), env, f.bundle, r, f.to)
	} else {
		err = f.fromNode(cmd.Context(), env, r)
	}
	if err != nil {
		return nil, 0, err
	}
	return r.Report(), env.Now().Sub(began), nil
}

func (f *replayFlags) options(env *environment) (replay.Options, error) {
	chosen, err := replay.ParseSelection(f.choose)
	if err != nil {
		return replay.Options{}, &usageError{err}
	}
	given, err := readGiven(env, f.contracts)
	return replay.Options{
		Mode: replay.Mode(f.mode), From: f.from, To: f.to, Select: chosen, Contracts: given, Keep: f.show, NextCron: cron.NextIn, CronBetween: cron.BetweenIn,
	}, err
}

func (f *replayFlags) fromNode(ctx context.Context, env *environment, r *replay.Replay) error {
	s, err := f.openTenant(env)
	if err != nil {
		return err
	}
	return s.decideAgain(ctx, r, f.to)
}

// readGiven are the contracts in files, without those that they require: these are
// taken from the record.
func readGiven(env *environment, paths []string) ([]*contract.Contract, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	sources, err := readSources(env, paths)
	if err != nil {
		return nil, err
	}
	var out []*contract.Contract
	for _, source := range sources {
		if file, _ := lll.Parse(source.Name, source.Text); len(file.Contracts()) == 0 {
			continue
		}
		c, err := rules.Compile(source.Text)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "contract_invalid", "%s: %s", source.Name, fault.From(err).Detail)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "contract_missing", "the files hold no contract; name one that does")
	}
	return out, nil
}

func printReplay(env *environment, r *replay.Report, elapsed time.Duration) error {
	out := env.Stdout
	rate := int64(0)
	if s := elapsed.Seconds(); s > 0 {
		rate = int64(float64(r.To) / s)
	}
	fmt.Fprintf(out, "%s decided again in %s (%s/s read)\n", ui.Plural(int64(r.Decided), "entry", "entries"), ui.Duration(elapsed), ui.Count(rate))
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return ui.Count(int64(n))
	}
	span := "none"
	if r.Entries > 0 {
		span = fmt.Sprintf("%d to %d", r.From, r.To-1)
	}
	facts(out, "  mode", string(r.Mode), "  entries", span, "  contracts given", ui.Clean(strings.Join(r.Contracts, ", ")),
		"  the same", ui.Count(int64(r.Same)), "  otherwise", ui.Count(int64(r.DifferenceCount)), "  not on the record", number(r.ExtraCount),
		"  not decided", replayUndecided(r), "  not chosen", number(r.Unselected), "  but for names", number(r.Named), "  but for erased texts", number(r.Unread))
	if err := printReplayDiffering(env, r); err != nil {
		return err
	}
	if err := printReplayDifferences(env, r); err != nil {
		return err
	}
	return printReplayUndecided(env, r)
}

func replayUndecided(r *replay.Report) string {
	var words []string
	note := func(n int, what string) {
		if n > 0 {
			words = append(words, ui.Count(int64(n))+" "+what)
		}
	}
	note(r.UndecidedCount, "erased or withheld")
	note(r.Attempts, "refused then")
	return strings.Join(words, ", ")
}

func printReplayDiffering(env *environment, r *replay.Report) error {
	if len(r.Differing) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := ui.NewTable("WHAT IS OTHERWISE", "ENTRIES")
	for _, what := range slices.Sorted(maps.Keys(r.Differing)) {
		t.Row(what, ui.Count(int64(r.Differing[what])))
	}
	return writeTable(env, t)
}

func printReplayDifferences(env *environment, r *replay.Report) error {
	if len(r.Differences) > 0 {
		fmt.Fprintln(env.Stdout)
		t := ui.NewTable("SEQ", "RECORDED AT", "TYPE", "WAS", "NOW", "OTHERWISE", "RULE", "REASON")
		for _, d := range r.Differences {
			names := make([]string, len(d.Changes))
			for i, c := range d.Changes {
				names[i] = c.What
			}
			t.Row(strconv.FormatUint(d.Seq, 10), d.RecordedAt, d.Type, d.Was, d.Now, strings.Join(names, ", "), d.Rule, d.Reason)
		}
		if err := writeTable(env, t); err != nil {
			return err
		}
		if more := r.DifferenceCount - len(r.Differences); more > 0 {
			fmt.Fprintf(env.Stdout, "and %s more; --show lists them, --json with what each was and is\n", ui.Count(int64(more)))
		}
	}
	for _, x := range r.Extra {
		fmt.Fprintf(env.Stdout, "before entry %d: %s\n", x.At, ui.Clean(x.What))
	}
	return nil
}

func printReplayUndecided(env *environment, r *replay.Report) error {
	if len(r.Undecided) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := ui.NewTable("SEQ", "TYPE", "SPAN", "NOT DECIDED")
	for _, u := range r.Undecided {
		t.Row(strconv.FormatUint(u.Seq, 10), u.Type, u.Span, "its payload is withheld: "+u.Why)
	}
	return writeTable(env, t)
}
