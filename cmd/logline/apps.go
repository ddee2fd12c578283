package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding/template"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// An app is what a tenant's spans are about: a name, the template that it began
// with, and what it is for. Both stand on the timeline and nowhere else.
const (
	typeAppInitialized  = "app.initialized"
	typePurposeDeclared = "purpose.declared"
)

// appBegun is the payload of app.initialized.
type appBegun struct {
	App      string `json:"app"`
	Template string `json:"template"`
	Version  string `json:"version"`
	Hash     string `json:"hash"`
}

// purpose is the payload of purpose.declared.
type purpose struct {
	App         string `json:"app"`
	Description string `json:"description"`
}

// maxPurpose bounds what an app is for, in bytes.
const maxPurpose = 4096

func newInitCmd(env *environment) *cobra.Command {
	return group("init", "Begin an app in the tenant from a template",
		"Begin an app in the tenant from a template.", newInitAppCmd(env))
}

func newInitAppCmd(env *environment) *cobra.Command {
	var f applyFlags
	var from, name string
	cmd := &cobra.Command{
		Use:   "app --template TEMPLATE",
		Short: "Apply a template to the tenant, and record that an app began with it",
		Long: `Apply a template as "logline template apply" does, then record that an app began with
it: an app.initialized span with the app's name and the template's name, version and
hash, caused by the span that says the template was applied.

Run again, it records nothing twice. An app begins once: one that began with another
template, or another version, stays as it is.`,
		Example: "  logline init app --template audit-trail\n  logline init app --template approvals --name purchases --with-examples",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name = firstOf(name, from); !span.ValidSlug(name) {
				return usagef("--name %q is not the name of an app: lower-case letters, digits and dashes, starting with a letter or digit, at most 63", ui.Clean(name))
			}
			t, a, err := f.plan(cmd.Context(), env, from)
			if err != nil {
				return err
			}
			if err := planApp(cmd.Context(), a, t, name); err != nil {
				return err
			}
			return f.finish(cmd, t, a, fmt.Sprintf("The app %s began in %s with %s %s. Say what it is for: logline declare purpose --app %s --description …",
				name, a.tenant.Slug, t.Name, t.Version, name))
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&from, "template", "", "the template; logline template list has them (required)")
	cmd.Flags().StringVar(&name, "name", "", "the app's name: lower-case letters, digits and dashes (default: the template's)")
	_ = cmd.MarkFlagRequired("template") // the flag exists
	return cmd
}

// planApp adds the span that begins an app behind the one that applies its template.
func planApp(ctx context.Context, a *steps, t *template.Template, name string) error {
	begun := appBegun{App: name, Template: t.Name, Version: t.Version, Hash: t.Hash}
	before, is, err := a.s.app(ctx, name)
	if err != nil {
		return err
	}
	if before != nil && is != begun {
		return fault.Newf(fault.Conflict, "app_exists", "the app %s began with %s %s (span %s); choose another name with --name",
			name, ui.Clean(is.Template), ui.Clean(is.Version), before.Span.ID)
	}
	payload, err := span.Canonical(begun)
	if err != nil {
		return err
	}
	applied := a.of(template.TypeApplied)
	next := a.add(template.Draft{Type: typeAppInitialized, Title: "App " + name, Subject: name,
		Visibility: span.VisibilityOrganization, Payload: payload}, typeAppInitialized, name, t.Hash, applied.id)
	next.causes = []string{applied.id}
	next.found(before)
	return nil
}

// app is how an app began, nil where there is none of that name.
func (s *session) app(ctx context.Context, name string) (*entryView, appBegun, error) {
	var begun appBegun
	found, err := s.find(ctx, typeAppInitialized, name, func(raw json.RawMessage) bool {
		var p appBegun
		if json.Unmarshal(raw, &p) != nil || p.App != name {
			return false
		}
		begun = p
		return true
	})
	return found, begun, err
}

func newDeclareCmd(env *environment) *cobra.Command {
	return group("declare", "Say on the record what an app is for",
		"Say on the record what an app is for, by a span that you sign.", newDeclarePurposeCmd(env))
}

func newDeclarePurposeCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var p purpose
	cmd := &cobra.Command{
		Use:   "purpose --app APP --description TEXT",
		Short: "Say on the record what an app is for",
		Long: `Sign a purpose.declared span and append it: it says what an app is for, and is caused
by the span that began the app. A later declaration takes the place of an earlier one,
and both stay on the record; the same again is not recorded twice. The description is a
payload, and can be redacted.`,
		Example: `  logline declare purpose --app audit-trail --description "Who changed what in the shop's back office, for the yearly audit"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch p.Description = strings.TrimSpace(p.Description); {
			case !span.ValidSlug(p.App):
				return usagef("--app %q is not the name of an app; give it as `logline init app` did", ui.Clean(p.App))
			case p.Description == "":
				return usagef("--description is empty: say in a sentence what %s is for", p.App)
			case len(p.Description) > maxPurpose:
				return usagef("--description has %d bytes, the limit is %d", len(p.Description), maxPurpose)
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			a, err := planPurpose(cmd.Context(), s, &p)
			if err != nil {
				return err
			}
			if err := a.sign(cmd); err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, a.list[0].facts())
			}
			return a.print()
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&p.App, "app", "", "the app's name (required)")
	cmd.Flags().StringVar(&p.Description, "description", "", "what it is for, in a sentence or two (required)")
	_ = cmd.MarkFlagRequired("app")         // the flag exists
	_ = cmd.MarkFlagRequired("description") // the flag exists
	return cmd
}

// planPurpose makes sure that there is the app, and that this is not what it was
// last declared to be for.
func planPurpose(ctx context.Context, s *session, p *purpose) (*steps, error) {
	app, _, err := s.app(ctx, p.App)
	if err != nil {
		return nil, err
	}
	if app == nil {
		return nil, fault.Newf(fault.NotFound, "app_unknown", "there is no app %s in this tenant; begin it with `logline init app --template … --name %s`, and see `logline list --type %s`",
			p.App, p.App, typeAppInitialized)
	}
	a, err := newSteps(ctx, s)
	if err != nil {
		return nil, err
	}
	var last purpose
	before, err := s.find(ctx, typePurposeDeclared, p.App, func(raw json.RawMessage) bool {
		if json.Unmarshal(raw, &last) != nil {
			last = purpose{} // it was redacted
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	payload, err := span.Canonical(p)
	if err != nil {
		return nil, err
	}
	after := app.Span.ID
	if before != nil {
		after = before.Span.ID
	}
	next := a.add(template.Draft{Type: typePurposeDeclared, Title: "Purpose of " + p.App, Subject: p.App,
		Visibility: span.VisibilityOrganization, Payload: payload}, typePurposeDeclared, p.Description, after)
	next.causes = []string{app.Span.ID}
	if last == *p {
		next.found(before)
	}
	return a, nil
}
