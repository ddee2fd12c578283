package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/ui"
)

func newRulesCheckCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check FILE|DIR...",
		Short: "Say what is wrong with contracts: words, names, types, rules that never run",
		Long: `Read contracts and say what is wrong with them, where, and what to write instead.

Errors stop a contract from being activated: brackets, unknown words and names,
types, roles, requirements. Warnings are what deserves a look: rules that never
run, states that nothing reaches. The exit code is 1 when there is an error.

A folder stands for all .lll files in it and below. What a contract requires is
looked for among the files given, then in the folders that they are in. "-" reads
standard input.`,
		Example: "  logline rules check examples/contracts\n  logline rules check payments_approval.lll --json",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, given, err := readLibrary(env, args)
			if err != nil {
				return err
			}
			documents := l.Documents()[:given]
			for _, d := range documents {
				checkTimes(d)
			}
			errors, warnings := counts(documents)
			if asJSON {
				err = printJSON(env.Stdout, checkJSON(documents, errors, warnings))
			} else {
				printCheck(env, documents, errors, warnings)
			}
			if err == nil && errors > 0 {
				err = &exitError{code: exitFailed}
			}
			return err
		},
	}
	registerJSON(cmd, &asJSON)
	return cmd
}

// checkTimes says which cron lines name no time that is to come, in the time zones
// that this program knows: a node refuses contracts with such lines.
func checkTimes(d *library.Document) {
	if d.Contract == nil {
		return
	}
	check := func(at lll.Range, line, zone string) {
		if line == "" {
			return
		}
		if _, err := cron.NextIn(line, zone, time.Now()); err != nil {
			message, fix, _ := strings.Cut(fault.From(err).Detail, "; ")
			d.Diagnostics = append(d.Diagnostics, lll.Diagnostic{Severity: lll.Error, Offset: at.Offset, End: at.Offset, Message: message, Fix: fix})
		}
	}
	for _, sc := range d.Contract.Schedules {
		check(sc.Range, sc.Cron, sc.Timezone)
	}
	for _, task := range d.Contract.Tasks {
		check(task.Range, task.Cron, task.Timezone)
	}
	slices.SortStableFunc(d.Diagnostics, func(a, b lll.Diagnostic) int { return cmp.Compare(a.Offset, b.Offset) })
}

func printCheck(env *environment, documents []*library.Document, errors, warnings int) {
	for _, d := range documents {
		printDiagnostics(env.Stdout, d)
	}
	for _, d := range documents {
		switch c := d.Contract; {
		case c != nil:
			fmt.Fprintf(env.Stdout, "%s: %s %s, %s, %s\n", ui.Clean(d.File.Name), c.Name, c.Version,
				ui.Plural(int64(len(c.Rules)), "rule", "rules"), ui.Plural(int64(len(c.Tests)), "test", "tests"))
		case !d.Failed():
			fmt.Fprintf(env.Stdout, "%s: data, no contract\n", ui.Clean(d.File.Name))
		}
	}
	fmt.Fprintf(env.Stdout, "%s: %s\n", ui.Plural(int64(len(documents)), "file", "files"), countWords(errors, warnings))
}

type checkedFile struct {
	File     string         `json:"file"`
	Contract *contractFacts `json:"contract,omitempty"`
	Problems []problem      `json:"problems"`
}

func checkJSON(documents []*library.Document, errors, warnings int) any {
	files := make([]checkedFile, len(documents))
	for i, d := range documents {
		files[i] = checkedFile{d.File.Name, contractFactsOf(d.Contract), problemsOf(d)}
	}
	return struct {
		Files    []checkedFile `json:"files"`
		Errors   int           `json:"errors"`
		Warnings int           `json:"warnings"`
	}{files, errors, warnings}
}
