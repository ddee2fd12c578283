package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/semver"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/rules/older"
	"github.com/danvoulez/logline/internal/ui"
)

func newRulesImportCmd(env *environment) *cobra.Command {
	var o older.Options
	var out string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Rewrite older rules (when … then … because, or JSON) as a contract",
		Long: `Read rules in one of the forms of before, and write them as a contract:

  when span.type is contract and valor > 10000 then reject because "too much"
  {"if": {"valor": {"gt": 10000}}, "then": "reject", "reason": "too much"}

A file holds any number of them; JSON may be one rule, a list, or {"rules": […]}. A
name without a root (valor) is a member of the payload. A condition on a member
that a span has not does not hold, as before: has(…) is written in front of it.

The contract goes to standard output, formatted and checked, or with --out to a new
file. "-" reads standard input.`,
		Example: "  logline rules import limits.txt\n  logline rules import limits.json --name payments.limits --out payments_limits.lll",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if o.Name == "" {
				o.Name = nameOfFile(args[0])
			}
			if !contractName.MatchString(o.Name) {
				return usagef("%q cannot be the name of a contract: use a-z, 0-9, _ and dots between words, such as payments.limits", o.Name)
			}
			if !semver.IsValid("v"+o.Version) || semver.Canonical("v"+o.Version) != "v"+o.Version {
				return usagef("%q is no semantic version: write three numbers, such as 1.0.0", o.Version)
			}
			text, err := readSource(env, args[0])
			if err != nil {
				return err
			}
			contract, diagnostics := older.Import(args[0], text, o)
			io.WriteString(env.Stderr, lll.NewSource(args[0], text).RenderAll(diagnostics)) //nolint:errcheck // nobody is left to tell
			if lll.Failed(diagnostics) {
				return &exitError{code: exitFailed}
			}
			if out == "" {
				_, err = io.WriteString(env.Stdout, contract)
				return err
			}
			return createContract(env, out, contract)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "name of the contract; standard: that of the file")
	cmd.Flags().StringVar(&o.Version, "version", "1.0.0", "version of the contract")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write a new `FILE` instead of standard output")
	return cmd
}

// contractName is what import takes as a name, which needs no quotes.
var contractName = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)

// nameOfFile makes a contract's name of a file's: "imported" where nothing of
// it may stand in one.
func nameOfFile(path string) string {
	name := strings.ToLower(filepath.Base(path))
	name = strings.TrimSuffix(name, filepath.Ext(name))
	name = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(name, "_"), "_")
	if !contractName.MatchString(name) {
		return "imported"
	}
	return name
}

func createContract(env *environment, path, text string) error {
	err := atomicfile.Create(path, func(w *os.File) error {
		if err := w.Chmod(0o644); err != nil {
			return err
		}
		_, err := io.WriteString(w, text)
		return err
	})
	if os.IsExist(err) {
		return fault.Newf(fault.Conflict, "contract_exists", "%s is there already; name another file, or remove it", path)
	}
	if err != nil {
		return fault.Newf(fault.Unavailable, "contract_unwritten", "%s cannot be written", path).Because(err)
	}
	fmt.Fprintf(env.Stdout, "Wrote %s.\n", ui.Clean(path))
	return nil
}
