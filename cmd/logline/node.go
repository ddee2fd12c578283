package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newNodeCmd(env *environment) *cobra.Command {
	return group("node", "Who operates this node",
		`The operators of a node are the owners and admins of its admin timeline, node-admin,
which tells what was done to the node (logline list --tenant node-admin).`,
		group("operators", "List, add and remove the operators of the node",
			`These work on the node's data itself, with the settings of the server, and the node
signs: for whoever may read its data directory and database, also when the last
operator has lost their key. An operator adds another one from anywhere like a member
of any tenant: logline member grant --tenant node-admin @bo admin.`,
			newOperatorsListCmd(env),
			newOperatorsAddCmd(env),
			newOperatorsRemoveCmd(env),
		),
	)
}

func newOperatorsListCmd(env *environment) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List who holds a role in the node's admin timeline",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			list, err := app.Operators(cmd.Context(), cfg, env.offline(cfg))
			if err != nil {
				return err
			}
			if asJSON {
				type operator struct {
					Identity string   `json:"identity"`
					Roles    []string `json:"roles"`
				}
				out := []operator{}
				for _, m := range list {
					out = append(out, operator{m.Identity, m.Roles})
				}
				return printJSON(env.Stdout, out)
			}
			table := ui.NewTable("IDENTITY", "ROLES")
			for _, m := range list {
				table.Row(m.Identity, strings.Join(m.Roles, ", "))
			}
			return writeTable(env, table)
		},
	}
	app.AddCopyFlags(cmd.Flags())
	registerJSON(cmd, &asJSON)
	return cmd
}

func newOperatorsAddCmd(env *environment) *cobra.Command {
	var role, reason string
	cmd := &cobra.Command{
		Use:     "add IDENTITY|@HANDLE",
		Short:   "Make a registered identity an operator",
		Example: "  logline node operators add @bo --reason 'on call'\n  logline node operators add @kim --role auditor",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeOperator(env, cmd, args[0], role, reason, "is "+role+" of the node's admin timeline.")
		},
	}
	app.AddCopyFlags(cmd.Flags())
	cmd.Flags().StringVar(&role, "role", span.RoleAdmin, "owner, admin, or auditor, who reads it all and may nothing else")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the admin timeline: at most 256 bytes")
	return cmd
}

func newOperatorsRemoveCmd(env *environment) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "remove IDENTITY|@HANDLE",
		Short: "Take all roles in the node's admin timeline from an identity",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeOperator(env, cmd, args[0], "", reason, "holds no role in the node's admin timeline any more.")
		},
	}
	app.AddCopyFlags(cmd.Flags())
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the admin timeline: at most 256 bytes")
	return cmd
}

func changeOperator(env *environment, cmd *cobra.Command, who, role, reason, done string) error {
	cfg, _, err := loadConfig(env, cmd)
	if err != nil {
		return err
	}
	identity, changed, err := app.ChangeOperator(cmd.Context(), cfg, env.offline(cfg), who, role, reason)
	if err != nil {
		return err
	}
	if !changed {
		fmt.Fprintln(env.Stdout, "Nothing to change:", identity, "is that already.")
		return nil
	}
	fmt.Fprintln(env.Stdout, identity, done)
	return nil
}
