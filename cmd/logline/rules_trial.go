package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/rules/trial"
	"github.com/danvoulez/logline/internal/ui"
)

func newRulesTestCmd(env *environment) *cobra.Command {
	var asJSON, coverage bool
	cmd := &cobra.Command{
		Use:   "test FILE|DIR...",
		Short: "Run the tests that contracts hold, in memory and on a clock of their own",
		Long: `Run the test blocks of contracts:

  test "a ghost cannot pay" {
    given identity "ghost" { status: "ghost" }
    submit span "payment.requested" { by: "ghost"  data: { amount: 1.0 } }
    expect { decision: "reject"  rules: ["no_ghost_payments"] }
  }

Nothing is sent and nothing kept: 49 hours pass in a moment. What a contract
requires is loaded too, from the files given or the folders they are in; a test
with standalone: true does without. What is not as expected is shown with its
line, and the exit code is then 1.

Coverage counts the branches of the contract that its tests had taken: of each
rule that its condition held and that it did not, of each workflow the transitions,
timeouts and forbidden steps, and schedules. --coverage names those that were not.`,
		Example: "  logline rules test examples/contracts\n  logline rules test payments_approval.lll --coverage",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, given, err := readLibrary(env, args)
			if err != nil {
				return err
			}
			documents := l.Documents()[:given]
			if errors, warnings := counts(documents); errors > 0 {
				for _, d := range documents {
					printDiagnostics(env.Stderr, d)
				}
				return fault.Newf(fault.Invalid, "contract_invalid", "nothing was tested: %s", countWords(errors, warnings))
			}
			results, err := runTests(cmd.Context(), l, documents)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(env.Stdout, results.json())
			} else {
				results.print(env, coverage)
			}
			if err == nil && results.failed > 0 {
				err = &exitError{code: exitFailed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&coverage, "coverage", false, "name the branches that no test has taken")
	registerJSON(cmd, &asJSON)
	return cmd
}

// testResults are the reports of contracts that have tests.
type testResults struct {
	documents      []*library.Document
	reports        []*trial.Report
	passed, failed int
}

func runTests(ctx context.Context, l *library.Library, documents []*library.Document) (*testResults, error) {
	r := &testResults{}
	for _, d := range documents {
		if d.Contract == nil {
			continue
		}
		report, err := trial.Run(ctx, d.Contract, l.Contract, trial.Options{Cron: cron.NextIn})
		if err != nil {
			return nil, err
		}
		r.documents, r.reports = append(r.documents, d), append(r.reports, report)
		for _, t := range report.Tests {
			if len(t.Failures) == 0 {
				r.passed++
			} else {
				r.failed++
			}
		}
	}
	if len(r.reports) == 0 {
		return nil, fault.New(fault.NotFound, "contract_missing", "the files hold no contract; name one that does")
	}
	return r, nil
}

func (r *testResults) print(env *environment, coverage bool) {
	for i, report := range r.reports {
		d := r.documents[i]
		fmt.Fprintf(env.Stdout, "%s: %s %s\n", ui.Clean(d.File.Name), report.Contract.Name, report.Contract.Version)
		for _, t := range report.Tests {
			verdict := "ok  "
			if len(t.Failures) > 0 {
				verdict = "FAIL"
			}
			fmt.Fprintf(env.Stdout, "  %s  %s\n", verdict, ui.Clean(t.Name))
			for _, f := range t.Failures {
				fmt.Fprint(env.Stdout, d.File.Render(failureOf(f)))
			}
		}
		printCoverage(env, d.File.Source, report, coverage)
	}
	fmt.Fprintf(env.Stdout, "%s passed, %d failed\n", ui.Plural(int64(r.passed), "test", "tests"), r.failed)
}

// failureOf is a failure as it is rendered.
func failureOf(f trial.Failure) lll.Diagnostic {
	message := f.What
	if f.Expected != "" || f.Seen != "" {
		message = fmt.Sprintf("%s: expected %s, seen %s", f.What, f.Expected, f.Seen)
	}
	return lll.Diagnostic{Offset: f.Offset, End: f.End, Message: ui.Clean(message), Fix: f.Fix}
}

func printCoverage(env *environment, source *lll.Source, report *trial.Report, all bool) {
	covered := 0
	for _, b := range report.Coverage {
		if b.Covered {
			covered++
		}
	}
	fmt.Fprintf(env.Stdout, "  %d of %s covered\n", covered, ui.Plural(int64(len(report.Coverage)), "branch", "branches"))
	if !all {
		return
	}
	for _, b := range report.Coverage {
		if !b.Covered {
			fmt.Fprintf(env.Stdout, "    not covered: line %d, %s\n", source.Pos(b.Offset).Line, ui.Clean(b.Name))
		}
	}
}

type (
	testedFile struct {
		File     string          `json:"file"`
		Contract *contractFacts  `json:"contract"`
		Tests    []testedTest    `json:"tests"`
		Coverage []coveredBranch `json:"coverage"`
	}
	testedTest struct {
		Name     string          `json:"name"`
		Line     int             `json:"line"`
		Passed   bool            `json:"passed"`
		Failures []testedFailure `json:"failures,omitempty"`
	}
	testedFailure struct {
		place
		What     string `json:"what"`
		Expected string `json:"expected,omitempty"`
		Seen     string `json:"seen,omitempty"`
		Fix      string `json:"fix,omitempty"`
	}
	coveredBranch struct {
		Name    string `json:"name"`
		Line    int    `json:"line"`
		Covered bool   `json:"covered"`
	}
)

func (r *testResults) json() any {
	files := make([]testedFile, len(r.reports))
	for i, report := range r.reports {
		source := r.documents[i].File.Source
		f := testedFile{File: source.Name, Contract: contractFactsOf(report.Contract), Tests: []testedTest{}, Coverage: []coveredBranch{}}
		for _, t := range report.Tests {
			test := testedTest{Name: t.Name, Line: source.Pos(t.Offset).Line, Passed: len(t.Failures) == 0}
			for _, x := range t.Failures {
				test.Failures = append(test.Failures, testedFailure{placeOf(source, x.Range), x.What, x.Expected, x.Seen, x.Fix})
			}
			f.Tests = append(f.Tests, test)
		}
		for _, b := range report.Coverage {
			f.Coverage = append(f.Coverage, coveredBranch{b.Name, source.Pos(b.Offset).Line, b.Covered})
		}
		files[i] = f
	}
	return struct {
		Contracts []testedFile `json:"contracts"`
		Passed    int          `json:"passed"`
		Failed    int          `json:"failed"`
	}{files, r.passed, r.failed}
}
