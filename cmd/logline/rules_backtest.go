package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/backtest"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/ui"
)

// backtestFlags say what is decided again, and how.
type backtestFlags struct {
	clientFlags
	bundle, clock string
	show          int
}

func newRulesBacktestCmd(env *environment) *cobra.Command {
	var flags backtestFlags
	cmd := &cobra.Command{
		Use:   "backtest FILE [--tenant T | --bundle BUNDLE]",
		Short: "Let a contract decide a past timeline again, and say what would have been otherwise",
		Long: `Let the contract in FILE, with those that it requires, decide every entry of a
timeline from the first on, and say what it would have decided otherwise. Nothing
is recorded anywhere, and no contract that is in force has a say.

The timeline is that of the profile's tenant (or --tenant) at its node, or a bundle
that logline export wrote; a bundle is read without any server, and not verified
here: that is logline verify. Whoever reads must be allowed to see every entry.

--clock says what time it is at an entry: when it was recorded, or, for imported
history, when the span says that it occurred. The order is always that of the
timeline, and the clock never goes back.

What the contract refuses leaves no trace, as if it had not been recorded, and
what waits for votes gets those that are on the record. Entries whose payload is
erased are named and not decided. The exit code is 0 whatever was found.`,
		Example: `  logline rules backtest payments_approval.lll --tenant acme
  logline rules backtest payments_approval.lll --bundle acme.ndjson --show 100
  logline rules backtest travel.lll --bundle travel.ndjson --clock span --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, elapsed, err := flags.run(cmd, env, args[0])
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, report)
			}
			return printBacktest(env, report, elapsed)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&flags.bundle, "bundle", "", "decide the timeline in this `FILE`, without a server")
	cmd.Flags().StringVar(&flags.clock, "clock", string(backtest.Recorded), "what time it is: recorded, or span (when it occurred)")
	cmd.Flags().IntVar(&flags.show, "show", 10, "how many differences to list, the first ones")
	return cmd
}

func (f *backtestFlags) run(cmd *cobra.Command, env *environment, path string) (*backtest.Report, time.Duration, error) {
	if f.show < 0 {
		return nil, 0, usagef("--show must be 0 or more")
	}
	if c := backtest.Clock(f.clock); c != backtest.Recorded && c != backtest.Span {
		return nil, 0, usagef("--clock is recorded or span, not %q", f.clock)
	}
	if name := changed(cmd, "tenant", "url", "profile"); f.bundle != "" && name != "" {
		return nil, 0, usagef("--%s is for a timeline at a node; leave it out, or --bundle", name)
	}
	contracts, err := readCandidate(env, path)
	if err != nil {
		return nil, 0, err
	}
	b, err := backtest.New(contracts, backtest.Options{Clock: backtest.Clock(f.clock), Keep: f.show, NextCron: cron.NextIn})
	if err != nil {
		return nil, 0, err
	}
	defer giveHeapRoom()()
	began := env.Now()
	if f.bundle != "" {
		err = decideFile(cmd.Context(), env, f.bundle, b, 0)
	} else {
		err = f.fromNode(cmd.Context(), env, b)
	}
	if err != nil {
		return nil, 0, err
	}
	return b.Report(), env.Now().Sub(began), nil
}

// readCandidate is the contract in a file and those that it requires.
func readCandidate(env *environment, path string) ([]*contract.Contract, error) {
	l, given, err := readLibrary(env, []string{path})
	if err != nil {
		return nil, err
	}
	for _, d := range l.Documents() {
		if d.Failed() {
			printDiagnostics(env.Stderr, d)
		}
	}
	if errs, warnings := counts(l.Documents()); errs > 0 {
		return nil, fault.Newf(fault.Invalid, "contract_invalid", "nothing was decided: %s", countWords(errs, warnings))
	}
	if given != 1 {
		return nil, usagef("%s holds several files; name the one contract to try", ui.Clean(path))
	}
	c := l.Documents()[0].Contract
	if c == nil {
		return nil, fault.Newf(fault.NotFound, "contract_missing", "%s holds no contract; name a file that does", path)
	}
	return l.With(c), nil
}

func (f *backtestFlags) fromNode(ctx context.Context, env *environment, b *backtest.Backtest) error {
	s, err := f.openTenant(env)
	if err != nil {
		return err
	}
	return s.decideAgain(ctx, b, 0)
}

// decider decides a timeline again while it is read.
type decider interface {
	Run(ctx context.Context, pages iter.Seq2[[]*span.Opened, error], progress func(done uint64)) error
}

// decideFile decides the bundle in a file up to an entry; 0: to its end.
func decideFile(ctx context.Context, env *environment, path string, b decider, to uint64) error {
	if path == standardInput {
		return decideAgain(ctx, env, b, env.Stdin, to)
	}
	in, err := os.Open(path)
	if err != nil {
		return fileError("read", path, err)
	}
	defer in.Close() //nolint:errcheck // nothing was written
	return decideAgain(ctx, env, b, in, to)
}

// decideAgain decides the session's timeline while it is read.
func (s *session) decideAgain(ctx context.Context, b decider, to uint64) error {
	r, w := io.Pipe()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := s.client.Bundle(ctx, s.profile.Tenant, w, 0, to)
		w.CloseWithError(err) //nolint:errcheck // it never fails
		if errors.Is(err, io.ErrClosedPipe) {
			return nil // whoever reads has said why
		}
		return err
	})
	group.Go(func() error {
		err := decideAgain(ctx, s.env, b, r, to)
		r.CloseWithError(io.ErrClosedPipe) //nolint:errcheck // it never fails
		return err
	})
	return group.Wait()
}

// decideAgain decides a bundle while it is read, up to an entry; 0: to its end.
func decideAgain(ctx context.Context, env *environment, b decider, in io.Reader, to uint64) error {
	r, err := bundle.NewReader(in, bundle.Options{})
	if err != nil {
		return err
	}
	info := r.Info()
	if info.From != 0 {
		return fault.Newf(fault.Invalid, "entries_missing", "the bundle begins with entry %d; export the timeline from its first entry on", info.From)
	}
	if to > info.To {
		return fault.Newf(fault.Invalid, "range_invalid", "there is no entry %d: the timeline has %d here", to-1, info.To)
	}
	if to == 0 {
		to = info.To
	}
	bar := ui.NewBar(env.Stderr, "Deciding", env.ErrIsTerm, terminalWidth(env.Stderr), env.Now)
	defer bar.Finish()
	began := env.Now()
	done := uint64(0)
	err = b.Run(ctx, readable(r.Pages(ctx)), func(n uint64) {
		done = n
		bar.Update(int64(n), int64(to), env.Now().Sub(began))
	})
	if err == nil && done < to {
		err = fault.Newf(fault.Invalid, "entries_missing", "the bundle is cut off: it has %d of %d entries", done, info.To)
	}
	return err
}

// readable says of a bundle that cannot be read what to do.
func readable(pages iter.Seq2[[]*span.Opened, error]) iter.Seq2[[]*span.Opened, error] {
	return func(yield func([]*span.Opened, error) bool) {
		for page, err := range pages {
			if fault.CodeOf(err) == "bundle_invalid" {
				err = fault.Newf(fault.Invalid, "bundle_unreadable", "%s: logline verify says whether it is damaged; where it withholds whole entries, who may read them (an auditor) exports it",
					fault.From(err).Detail).Because(err)
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

func printBacktest(env *environment, r *backtest.Report, elapsed time.Duration) error {
	out := env.Stdout
	rate := int64(0)
	if s := elapsed.Seconds(); s > 0 {
		rate = int64(float64(r.Entries) / s)
	}
	fmt.Fprintf(out, "%s decided again by %s in %s (%s/s)\n",
		ui.Plural(int64(r.Entries), "entry", "entries"), ui.Clean(strings.Join(r.Contracts, ", ")), ui.Duration(elapsed), ui.Count(rate))
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return ui.Count(int64(n))
	}
	pairs := []string{"  clock", string(r.Clock)}
	for _, name := range []string{"allow", "pending", "simulate", "reject"} {
		pairs = append(pairs, "  "+name, number(r.Outcomes[name]))
	}
	pairs = append(pairs, "  not decided", undecidedWords(r), "  still waiting", number(r.Waiting), "  out of order", number(r.Backwards),
		"  decided otherwise", ui.Count(int64(r.DifferenceCount)))
	facts(out, pairs...)
	for _, print := range []func(*environment, *backtest.Report) error{printBacktestRules, printBacktestCounts, printBacktestWorkflows, printDifferences} {
		if err := print(env, r); err != nil {
			return err
		}
	}
	return nil
}

func undecidedWords(r *backtest.Report) string {
	var words []string
	note := func(n int, what string) {
		if n > 0 {
			words = append(words, ui.Count(int64(n))+" "+what)
		}
	}
	note(r.Own, "of the node's own")
	note(r.Attempts, "refused then")
	note(r.Unasked, "votes that nothing asks for")
	note(r.UndecidedCount, "erased or withheld")
	return strings.Join(words, ", ")
}

func printBacktestRules(env *environment, r *backtest.Report) error {
	if len(r.Rules) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := ui.NewTable("RULE", "SPANS", "REFUSED")
	for _, c := range r.Rules {
		t.Row(c.Name, ui.Count(int64(c.Spans)), ui.Count(int64(c.Refused)))
	}
	return writeTable(env, t)
}

func printBacktestCounts(env *environment, r *backtest.Report) error {
	if len(r.Tags)+len(r.Actions) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := ui.NewTable("TAG OR ACTION", "SPANS")
	for _, c := range append(r.Tags, r.Actions...) {
		t.Row(c.Name, ui.Count(int64(c.Spans)))
	}
	return writeTable(env, t)
}

func printBacktestWorkflows(env *environment, r *backtest.Report) error {
	if len(r.Workflows) == 0 {
		return nil
	}
	fmt.Fprintln(env.Stdout)
	t := ui.NewTable("WORKFLOW", "STATE", "EVER", "AT THE END")
	for _, w := range r.Workflows {
		n := ui.Count(int64(w.Instances))
		t.Row(w.Name, "(all)", n, n)
		for _, s := range w.States {
			t.Row("", s.Name, ui.Count(int64(s.Entered)), ui.Count(int64(s.Now)))
		}
	}
	return writeTable(env, t)
}

// printDifferences lists the first entries that would be decided otherwise, and
// those that could not be decided.
func printDifferences(env *environment, r *backtest.Report) error {
	if len(r.Differences) > 0 {
		fmt.Fprintln(env.Stdout)
		t := ui.NewTable("SEQ", "AT", "TYPE", "SUBJECT", "WAS", "NOW", "RULE", "REASON")
		for _, d := range r.Differences {
			t.Row(strconv.FormatUint(d.Seq, 10), d.At, d.Type, d.Subject, d.Was, d.Now, d.Rule, d.Reason)
		}
		if err := writeTable(env, t); err != nil {
			return err
		}
		if more := r.DifferenceCount - len(r.Differences); more > 0 {
			fmt.Fprintf(env.Stdout, "and %s more; --show lists them\n", ui.Count(int64(more)))
		}
	}
	if len(r.Undecided) > 0 {
		fmt.Fprintln(env.Stdout)
		t := ui.NewTable("SEQ", "TYPE", "SPAN", "NOT DECIDED")
		for _, u := range r.Undecided {
			t.Row(strconv.FormatUint(u.Seq, 10), u.Type, u.Span, "its payload is withheld: "+u.Why)
		}
		return writeTable(env, t)
	}
	return nil
}
