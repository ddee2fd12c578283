package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/ui"
)

func newRulesDiffCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "diff [OLD] NEW",
		Short: "Say what changed from one version of a contract to another, item by item",
		Long: `Compare two versions of a contract: which rules, workflows, roles, parameters and
other items are new, gone, or say something else. The order of items and the layout
make no difference, nor do comments between items. Other programs compare lines;
what two versions would decide otherwise about real spans is told by a backtest.

One file alone is compared with the version that is in force in the tenant.`,
		Example: "  logline rules diff payments_approval_1.2.lll payments_approval.lll\n  logline rules diff payments_approval.lll",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := [2]*library.Document{}
			for i, path := range args {
				text, err := readSource(env, path)
				if err != nil {
					return err
				}
				d[i] = library.Read([]library.Source{{Name: path, Text: text}}).Documents()[0]
				if d[i].Name() == "" {
					return fault.Newf(fault.Invalid, "contract_missing", "%s holds no contract; name two versions of one", path)
				}
			}
			if len(args) == 1 {
				var err error
				d[1] = d[0]
				if d[0], err = documentInForce(cmd, env, &flags, d[1].Name()); err != nil {
					return err
				}
			}
			changes := library.Diff(d[0], d[1])
			if flags.json {
				return printJSON(env.Stdout, diffJSON(d, changes))
			}
			printDiff(env.Stdout, d, changes)
			return nil
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// documentInForce is the version of a contract that is in force in the tenant.
func documentInForce(cmd *cobra.Command, env *environment, flags *clientFlags, name string) (*library.Document, error) {
	s, err := flags.openTenant(env)
	if err != nil {
		return nil, err
	}
	found, err := s.client.Contract(cmd.Context(), s.profile.Tenant, name, "")
	if err != nil {
		return nil, err
	}
	if found.Source == nil {
		return nil, fault.Newf(fault.NotFound, "contract_not_active", "no version of %s is in force; name two files", ui.Clean(name))
	}
	return library.Read([]library.Source{{Name: "in force", Text: found.Source.Text}}).Documents()[0], nil
}

// versionOfDocument is the name of the document's contract with its version.
func versionOfDocument(d *library.Document) string {
	v := d.File.Contracts()[0].After("version")
	if v == nil {
		return d.Name()
	}
	return d.Name() + " " + v.Text
}

func printDiff(w io.Writer, d [2]*library.Document, changes []library.Change) {
	fmt.Fprintf(w, "%s -> %s\n", ui.Clean(versionOfDocument(d[0])), ui.Clean(versionOfDocument(d[1])))
	if len(changes) == 0 {
		fmt.Fprintln(w, "Nothing changed.")
	}
	for _, c := range changes {
		switch {
		case c.Old == "":
			fmt.Fprintf(w, "\nnew: %s (line %d)\n", ui.Clean(c.Item), c.NewLine)
		case c.New == "":
			fmt.Fprintf(w, "\ngone: %s (line %d)\n", ui.Clean(c.Item), c.OldLine)
		default:
			fmt.Fprintf(w, "\nchanged: %s (line %d, was %d)\n", ui.Clean(c.Item), c.NewLine, c.OldLine)
		}
		printLines(w, "- ", c.Old, c.New)
		printLines(w, "+ ", c.New, c.Old)
	}
}

// printLines prints the lines of a text that another has not.
func printLines(w io.Writer, sign, text, other string) {
	if text == "" {
		return
	}
	has := map[string]int{}
	for _, line := range strings.Split(other, "\n") {
		has[line]++
	}
	for _, line := range strings.Split(text, "\n") {
		if has[line] > 0 {
			has[line]--
			continue
		}
		fmt.Fprintf(w, "  %s%s\n", sign, ui.Clean(line))
	}
}

func diffJSON(d [2]*library.Document, changes []library.Change) any {
	type change struct {
		Item    string `json:"item"`
		Kind    string `json:"kind"` // new, gone, changed
		Old     string `json:"old,omitempty"`
		New     string `json:"new,omitempty"`
		OldLine int    `json:"old_line,omitempty"`
		NewLine int    `json:"new_line,omitempty"`
	}
	out := make([]change, len(changes))
	for i, c := range changes {
		out[i] = change{c.Item, "changed", c.Old, c.New, c.OldLine, c.NewLine}
		if c.Old == "" {
			out[i].Kind = "new"
		} else if c.New == "" {
			out[i].Kind = "gone"
		}
	}
	return struct {
		Old     string   `json:"old"`
		New     string   `json:"new"`
		Changes []change `json:"changes"`
	}{versionOfDocument(d[0]), versionOfDocument(d[1]), out}
}
