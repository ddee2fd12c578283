package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newRulesActivateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var shadow bool
	cmd := &cobra.Command{
		Use:   "activate FILE",
		Short: "Bring a contract into force in the tenant, by a signed span with its source",
		Long: `Check a contract, sign a logline.contract span with its source, and append it. From
the next span on the contract decides; another version of it is replaced, and ends
only the work that it began. It takes an owner or an admin. A version has one source:
what changed takes the next number, and the way back is to activate the old file.

With --shadow the contract is asked and what it would have decided is recorded, and
decides nothing.

A contract for every tenant (tenant: "*") is activated in the node's first tenant, by
an owner of it. The node puts it into every other tenant, where it decides before
their own; in those made later, too.`,
		Example: "  logline rules activate payments_approval.lll\n  logline rules activate payments_approval.lll --shadow\n  logline rules activate identity_lifecycle.lll --tenant first",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := readContract(env, args[0])
			if err != nil {
				return err
			}
			p := span.Contract{Name: c.Name, Version: c.Version, Hash: c.Hash.String(), Source: c.Source.Text, Action: span.ActionActivate}
			if shadow {
				p.Action = span.ActionShadow
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			s.warnOfWebhooks(cmd.Context(), c)
			before, err := s.versionNow(cmd.Context(), p.Name, modeEnforce)
			if err != nil {
				return err
			}
			return s.appendContract(cmd, &p, before, forWhom(c.Tenant == contract.NodeWide), flags.json)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().BoolVar(&shadow, "shadow", false, "record what it would decide; it decides nothing")
	return cmd
}

// readContract reads the one contract of a file. What is wrong with it is
// printed; what it requires is for the node to find.
func readContract(env *environment, path string) (*contract.Contract, error) {
	text, err := readSource(env, path)
	if err != nil {
		return nil, err
	}
	file, found := lll.Parse(path, text)
	d := &library.Document{File: file, Diagnostics: found}
	if !d.Failed() {
		d.Contract, found = contract.Compile(file, contract.Options{})
		d.Diagnostics = append(d.Diagnostics, found...)
	}
	if d.Failed() {
		printDiagnostics(env.Stderr, d)
		errors, warnings := counts([]*library.Document{d})
		return nil, fault.Newf(fault.Invalid, "contract_invalid", "%s cannot be activated: %s", ui.Clean(path), countWords(errors, warnings))
	}
	if d.Contract == nil {
		return nil, fault.Newf(fault.Invalid, "contract_missing", "%s holds no contract", ui.Clean(path))
	}
	printDiagnostics(env.Stderr, d) // warnings
	return d.Contract, nil
}

func newRulesRetireCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var shadow bool
	cmd := &cobra.Command{
		Use:   "retire NAME",
		Short: "Take a contract out of force; it ends only the work that it began",
		Long: `Sign and append a logline.contract span that takes the version in force out of it.
Workflows, votes and tasks that it began stay with it. A contract that others
require cannot be retired before them. It takes an owner or an admin.

One for every tenant (tenant: "*") is retired in the node's first tenant, by an owner
of it, and with that in all of them.

--shadow takes away the version in the shadow instead, which decides nothing.`,
		Example: "  logline rules retire payments.approval\n  logline rules retire payments.approval --shadow",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			mode, where := modeEnforce, "in force"
			if shadow {
				mode, where = modeShadow, "in the shadow"
			}
			now, err := s.versionNow(cmd.Context(), args[0], mode)
			if err != nil {
				return err
			}
			if now == nil {
				return fault.Newf(fault.Conflict, "contract_not_active", "no version of %s is %s; `logline rules list --all` shows which versions there are", ui.Clean(args[0]), where)
			}
			return s.appendContract(cmd, &span.Contract{Name: now.Name, Version: now.Version, Hash: now.Hash, Action: span.ActionRetire}, nil, forWhom(now.NodeWide), flags.json)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().BoolVar(&shadow, "shadow", false, "the version in the shadow, not the one in force")
	return cmd
}

// versionNow is the version of a contract that is in force, or the one in the
// shadow; nil where there is none.
func (s *session) versionNow(ctx context.Context, name, mode string) (*client.Contract, error) {
	found, err := s.client.Contract(ctx, s.profile.Tenant, name, "")
	if client.CodeOf(err) == "contract_unknown" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range found.Versions {
		if v := &found.Versions[i]; string(v.Mode) == mode {
			return v, nil
		}
	}
	return nil, nil
}

const (
	modeEnforce = "enforce"
	modePast    = "past"
	modeShadow  = "shadow"
)

// forWhom says where a contract decides, behind its name.
func forWhom(nodeWide bool) string {
	if nodeWide {
		return " for every tenant of the node"
	}
	return ""
}

// appendContract signs and appends a logline.contract span, and says what is in
// force then, and for whom. before is the version that was in force, nil for none.
func (s *session) appendContract(cmd *cobra.Command, p *span.Contract, before *client.Contract, whom string, asJSON bool) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return err
	}
	sealed, answer, err := s.sendReserved(cmd, span.TypeContract, raw)
	if err != nil {
		return err
	}
	if asJSON {
		return s.printAppended(cmd, sealed, answer, true)
	}
	what := p.Name + " " + p.Version + whom
	switch {
	case answer.Status == http.StatusAccepted:
		fmt.Fprintf(s.env.Stdout, "To %s %s waits for approval: a contract in force asks for votes on it (logline why %s).\n", p.Action, what, sealed.ID)
	case p.Action == span.ActionRetire:
		fmt.Fprintf(s.env.Stdout, "Retired %s.\n", what)
	case p.Action == span.ActionShadow:
		fmt.Fprintf(s.env.Stdout, "Activated %s in the shadow.\n", what)
	case before != nil && before.Version != p.Version:
		fmt.Fprintf(s.env.Stdout, "Activated %s in place of %s.\n", what, ui.Clean(before.Version))
	default:
		fmt.Fprintf(s.env.Stdout, "Activated %s.\n", what)
	}
	if err := s.printAppended(cmd, sealed, answer, false); err != nil {
		return err
	}
	now, err := s.versionNow(cmd.Context(), p.Name, modeEnforce)
	if err != nil {
		return err
	}
	beside, err := s.versionNow(cmd.Context(), p.Name, modeShadow)
	if err != nil {
		return err
	}
	if now == nil {
		fmt.Fprintf(s.env.Stdout, "No version of %s is in force.\n", ui.Clean(p.Name))
	} else {
		fmt.Fprintf(s.env.Stdout, "In force: %s %s since entry %d (source hash %s).\n", ui.Clean(now.Name), ui.Clean(now.Version), now.Seq, now.Hash)
	}
	if beside != nil {
		fmt.Fprintf(s.env.Stdout, "In the shadow: %s %s since entry %d; it decides nothing.\n", ui.Clean(beside.Name), ui.Clean(beside.Version), beside.Seq)
	}
	return nil
}

func newRulesListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the contracts in force in the tenant, and with --all those that were",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			contracts, err := s.client.Contracts(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			shown := []client.Contract{}
			for _, c := range contracts {
				if all || c.Mode != modePast {
					shown = append(shown, c)
				}
			}
			if flags.json {
				return printJSON(env.Stdout, shown)
			}
			if len(shown) == 0 {
				fmt.Fprintln(env.Stdout, "No contract is in force: roles alone decide. `logline rules activate FILE` brings one into force.")
				return nil
			}
			table := ui.NewTable("NAME", "VERSION", "FOR", "MODE", "ENTRY", "SINCE", "HASH")
			for _, c := range shown {
				whom := "this tenant"
				if c.NodeWide {
					whom = "every tenant"
				}
				table.Row(c.Name, c.Version, whom, string(c.Mode), seqOf(c.Seq), shortTime(c.ActivatedAt), c.Hash)
			}
			return writeTable(env, table)
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also versions that are out of force")
	return cmd
}
