package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding/template"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// applyFlags say how a template is applied.
type applyFlags struct {
	clientFlags
	version                   string
	examples, replace, dryRun bool
}

func (f *applyFlags) register(cmd *cobra.Command) {
	f.registerTenant(cmd)
	cmd.Flags().StringVar(&f.version, "version", "", "one of the template's versions (default: the newest)")
	cmd.Flags().BoolVar(&f.examples, "with-examples", false, "append its example spans too")
	cmd.Flags().BoolVar(&f.replace, "replace", false, "bring its contracts into force in place of others of the same names")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be signed, and sign nothing")
}

func newTemplateApplyCmd(env *environment) *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use:   "apply TEMPLATE",
		Short: "Sign a template's spans and append them to the tenant",
		Long: `Bring a template's contracts into force in the profile's tenant, and record that it
was applied: each by a span that you sign. It takes an owner or an admin.

Run again, it records nothing twice: what is in force or there already stays as it is.
Where another version or text of one of its contracts is in force, nothing is signed;
--replace takes the template's in its place.`,
		Example: "  logline template apply audit-trail --dry-run\n  logline template apply audit-trail --with-examples",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, a, err := f.plan(cmd.Context(), env, args[0])
			if err != nil {
				return err
			}
			return f.finish(cmd, t, a, fmt.Sprintf("Applied %s %s to %s.", t.Name, t.Version, a.tenant.Slug))
		},
	}
	f.register(cmd)
	return cmd
}

// plan looks at what is in force, and says what is to be signed.
func (f *applyFlags) plan(ctx context.Context, env *environment, name string) (*template.Template, *steps, error) {
	t, err := template.Get(name, f.version)
	if err != nil {
		return nil, nil, err
	}
	s, err := f.openTenant(env)
	if err != nil {
		return nil, nil, err
	}
	a, err := newSteps(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	drafts := t.Drafts()
	for i, c := range t.Contracts {
		if err := f.planContract(ctx, a, drafts[i], &c); err != nil {
			return nil, nil, err
		}
	}
	applied := template.Applied{Name: t.Name, Version: t.Version, Hash: t.Hash}
	before, err := s.find(ctx, template.TypeApplied, t.Name, func(raw json.RawMessage) bool {
		var p template.Applied
		return json.Unmarshal(raw, &p) == nil && p == applied
	})
	if err != nil {
		return nil, nil, err
	}
	a.add(drafts[len(drafts)-1], "applied", t.Ref(), t.Hash).found(before)
	if f.examples {
		for i, d := range t.Examples() {
			a.add(d, "example", t.Ref(), t.Hash, fmt.Sprint(i))
		}
	}
	return t, a, nil
}

// planContract adds the activation of a contract, unless it is in force.
func (f *applyFlags) planContract(ctx context.Context, a *steps, d template.Draft, c *template.Contract) error {
	known, err := a.s.client.Contract(ctx, a.tenant.Id, c.Name, "")
	if err != nil && client.CodeOf(err) != "contract_unknown" {
		return err
	}
	var now *client.Contract
	last := "" // of what it had: to come back after it was retired is another span
	if err == nil {
		for i := range known.Versions {
			v := &known.Versions[i]
			if last = v.Span; string(v.Mode) == modeEnforce {
				now = v
			}
		}
	}
	if now != nil && now.Hash != c.Hash && !f.replace {
		return fault.Newf(fault.Conflict, "contract_in_force",
			"%s %s is in force in %s with another text than the template's %s; see what differs with `logline template show … --contract %s` and `logline rules diff`, and take the template's with --replace",
			c.Name, ui.Clean(now.Version), a.tenant.Slug, c.Version, c.Name)
	}
	next := a.add(d, span.TypeContract, c.Name, c.Version, c.Hash, last)
	if now != nil && now.Hash == c.Hash {
		next.id, next.seq, next.state = now.Span, now.Seq, stepAlready
	}
	return nil
}

// finish signs what is to be signed, and says what became of it.
func (f *applyFlags) finish(cmd *cobra.Command, t *template.Template, a *steps, done string) error {
	var refused error
	if !f.dryRun {
		refused = a.sign(cmd)
	}
	out := a.s.env.Stdout
	if f.json {
		err := printJSON(out, struct {
			Template string      `json:"template"`
			Version  string      `json:"version"`
			Hash     string      `json:"hash"`
			Tenant   string      `json:"tenant"`
			DryRun   bool        `json:"dry_run"`
			Spans    []stepFacts `json:"spans"`
		}{t.Name, t.Version, t.Hash, a.tenant.Id, f.dryRun, a.facts()})
		return firstError(refused, err)
	}
	if err := a.print(); err != nil {
		return firstError(refused, err)
	}
	switch {
	case refused != nil:
		return refused
	case f.dryRun:
		fmt.Fprintln(out, "\nNothing was signed.")
		return nil
	}
	fmt.Fprintf(out, "\n%s\n", done)
	if t.Settings.PublicReading && !a.tenant.PublicReading {
		fmt.Fprintf(out, "It advises public reading, which a tenant has from its making on: %s\n", t.Settings.PublicWhy)
	}
	fmt.Fprintln(out, "\nNext, give people their roles:")
	for _, r := range t.Roles {
		if !r.Builtin {
			fmt.Fprintf(out, "  logline assign identity @HANDLE --to tenant %s --role %s   # %s\n", a.tenant.Slug, r.Name, r.Does)
		}
	}
	fmt.Fprintf(out, "What it does, and how to change it: logline template show %s\n", strings.TrimSpace(t.Name))
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
