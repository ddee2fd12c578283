package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/ui"
)

func newAccountCmd(env *environment) *cobra.Command {
	return group("account", "List people's accounts at this node, and keep somebody out",
		`For whoever looks after a node: these work on the node's data itself, with the
settings of the server, beside running servers. An account is a person's login:
docs/accounts.md. The node's admin timeline tells of what is changed.`,
		newAccountListCmd(env),
		newAccountStateCmd(env, "deactivate", "Sign a person out everywhere, and let them in no more",
			`All sessions end at once, in every process, and none begins until the account is
activated again. Until then no API key of the identity is taken either: the command says
how many there are. Roles in tenants stay.`, false),
		newAccountStateCmd(env, "activate", "Let a person sign in again", "Sessions that were ended stay so; API keys that were not revoked are good again.", true),
	)
}

func newAccountListCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List accounts, with how many sessions are open",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			return app.ListAccounts(cmd.Context(), cfg, env.offline(cfg), func(a app.AccountShown) error {
				if asJSON {
					return json.NewEncoder(env.Stdout).Encode(a)
				}
				name, state := a.Identity, "active"
				if a.Handle != "" {
					name = "@" + ui.Clean(a.Handle) + " (" + a.Identity + ")"
				}
				if a.DeactivatedAt != "" {
					state = "deactivated " + a.DeactivatedAt
				}
				_, err := fmt.Fprintf(env.Stdout, "%s  %s, %s, second factor: %s\n", name, state, ui.Plural(int64(a.Sessions), "session", "sessions"), yesNo(a.SecondFactor))
				return err
			})
		},
	}
	app.AddDataFlags(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func newAccountStateCmd(env *environment, name, short, long string, active bool) *cobra.Command {
	var reason string
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   name + " IDENTITY|@HANDLE",
		Short: short,
		Long: long + `

With --url or --profile it asks the server, as an operator of the node: an owner or
admin of its admin timeline.`,
		Example: "  logline account " + name + " @ana --reason request-12\n  logline account " + name + " @ana --url https://log.example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asJSON := flags.json
			if flags.url != "" || flags.profile != "" {
				return changeAccount(cmd, env, &flags, args[0], name, reason)
			}
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			out, err := app.ActivateAccount(cmd.Context(), cfg, env.offline(cfg), args[0], reason, active)
			switch {
			case err != nil:
				return err
			case asJSON:
				return printJSON(env.Stdout, out)
			}
			toldAccount(env, out.Identity, active)
			if active {
				return nil
			}
			if out.APIKeys > 0 {
				fmt.Fprintf(env.Stdout, "%s refused until the account is activated again.\n", ui.Plural(int64(out.APIKeys), "API key of it is", "API keys of it are"))
			}
			return nil
		},
	}
	app.AddDataFlags(cmd.Flags())
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the node's admin timeline: at most 256 bytes")
	flags.register(cmd)
	return cmd
}

// changeAccount has a server do it.
func changeAccount(cmd *cobra.Command, env *environment, flags *clientFlags, who, action, reason string) error {
	s, err := flags.openKeys(env)
	if err != nil {
		return err
	}
	out, err := s.client.ChangeAccount(cmd.Context(), who, action, reason)
	if err != nil {
		return err
	}
	if flags.json {
		return printJSON(env.Stdout, out)
	}
	toldAccount(env, out.Identity, out.Active)
	return nil
}

func toldAccount(env *environment, identity string, active bool) {
	if active {
		fmt.Fprintf(env.Stdout, "%s may sign in again.\n", identity)
		return
	}
	fmt.Fprintf(env.Stdout, "%s is signed out everywhere, and signs in no more.\n", identity)
}
