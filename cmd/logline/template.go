package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding/template"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newTemplateCmd(env *environment) *cobra.Command {
	return group("template", "List and show what a tenant may begin with, and apply it",
		`A template is what a tenant may begin with: contracts with their tests, who does
what, example spans, and a page that explains it. Templates are part of this program:
list and show need no server, and apply signs what show shows, whatever the node has.
docs/templates.md has more.`,
		newTemplateListCmd(env),
		newTemplateShowCmd(env),
		newTemplateApplyCmd(env),
	)
}

func newTemplateListCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the templates, the newest version of each",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			all := template.List()
			if asJSON {
				items := make([]templateFacts, len(all))
				for i, t := range all {
					items[i] = templateFactsOf(t)
				}
				return printJSON(env.Stdout, items)
			}
			table := ui.NewTable("TEMPLATE", "VERSION", "CONTRACTS", "FOR")
			for _, t := range all {
				var names []string
				for _, c := range t.Contracts {
					names = append(names, c.Name)
				}
				table.Row(t.Name, t.Version, strings.Join(names, ", "), t.Summary)
			}
			return writeTable(env, table)
		},
	}
	registerJSON(cmd, &asJSON)
	return cmd
}

type templateFacts struct {
	Name     string   `json:"name"`
	Version  string   `json:"version"`
	Hash     string   `json:"hash"`
	Title    string   `json:"title"`
	Summary  string   `json:"summary"`
	Versions []string `json:"versions"`
}

func templateFactsOf(t *template.Template) templateFacts {
	return templateFacts{t.Name, t.Version, t.Hash, t.Title, t.Summary, t.Versions()}
}

func newTemplateShowCmd(env *environment) *cobra.Command {
	var version, contract string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show TEMPLATE",
		Short: "Show what a template is, everything it would have you sign, and its page",
		Long: `Show a template: what it advises, who does what, the spans that applying it signs,
its examples, and the page that explains it. --contract prints the source of one of
its contracts and nothing else, to read it or to change it.`,
		Example: "  logline template show approvals\n  logline template show approvals --contract approvals > approvals.lll",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			t, err := template.Get(args[0], version)
			switch {
			case err != nil:
				return err
			case contract != "":
				return printTemplateContract(env, t, contract)
			case asJSON:
				return printJSON(env.Stdout, struct {
					*template.Template
					Versions []string         `json:"versions"`
					Drafts   []template.Draft `json:"drafts"`
					Examples []template.Draft `json:"examples"`
				}{t, t.Versions(), t.Drafts(), t.Examples()})
			}
			return printTemplate(env, t)
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "one of its versions (default: the newest)")
	cmd.Flags().StringVar(&contract, "contract", "", "print the source of this contract alone")
	registerJSON(cmd, &asJSON)
	cmd.MarkFlagsMutuallyExclusive("contract", "json")
	return cmd
}

func printTemplateContract(env *environment, t *template.Template, name string) error {
	var names []string
	for _, c := range t.Contracts {
		if c.Name == name {
			_, err := fmt.Fprint(env.Stdout, c.Source)
			return err
		}
		names = append(names, c.Name)
	}
	return fault.Newf(fault.NotFound, "contract_unknown", "%s has no contract %q; it has %s", t.Ref(), ui.Clean(name), strings.Join(names, ", "))
}

func printTemplate(env *environment, t *template.Template) error {
	retention := "for ever"
	if t.Settings.RetentionDays > 0 {
		retention = ui.Plural(int64(t.Settings.RetentionDays), "day", "days")
	}
	reading := "off"
	if t.Settings.PublicReading {
		reading = "on"
	}
	facts(env.Stdout, "template", t.Name+" "+t.Version, "title", t.Title, "for", t.Summary, "hash", t.Hash,
		"payloads kept", retention+": "+t.Settings.RetentionWhy, "public reading", reading+": "+t.Settings.PublicWhy)
	roles := ui.NewTable("ROLE", "", "DOES")
	for _, r := range t.Roles {
		kind := "declared by its contracts"
		if r.Builtin {
			kind = "built in"
		}
		roles.Row(r.Name, kind, r.Does)
	}
	fmt.Fprintln(env.Stdout)
	if err := writeTable(env, roles); err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, "\nApplying it signs:")
	if err := printDrafts(env, t.Drafts()); err != nil {
		return err
	}
	fmt.Fprintln(env.Stdout, "\nWith --with-examples also:")
	if err := printDrafts(env, t.Examples()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(env.Stdout, "\n%s", t.Page)
	return err
}

func printDrafts(env *environment, drafts []template.Draft) error {
	table := ui.NewTable("TYPE", "SUBJECT", "TITLE", "PAYLOAD")
	for _, d := range drafts {
		payload := string(d.Payload)
		if d.Type == span.TypeContract {
			payload = "its source: see it with --contract"
		}
		table.Row(d.Type, d.Subject, d.Title, payload)
	}
	return writeTable(env, table)
}
