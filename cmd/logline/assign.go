package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newAssignCmd(env *environment) *cobra.Command {
	return group("assign", "Give an identity a role in a tenant",
		"Give an identity a role in a tenant, by a span that you sign.", newAssignIdentityCmd(env))
}

func newAssignIdentityCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var to string
	var roles []string
	cmd := &cobra.Command{
		Use:   "identity IDENTITY|@HANDLE --to tenant TENANT",
		Short: "Give an identity a role in a tenant",
		Long: `Give an identity a role in a tenant: you sign a logline.member span, as an owner or an
admin of it, and append it. Built-in roles: ` + builtinRoles + `;
contracts declare others. Where it has the role already, nothing is signed.`,
		Example: "  logline assign identity @bo --to tenant acme\n  logline assign identity @bo --to tenant acme --role auditor",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef("write it as: logline assign identity @bo --to tenant acme")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if to != "tenant" {
				return usagef("--to %q is not known; write --to tenant %s", ui.Clean(to), ui.Clean(args[1]))
			}
			if err := checkRoles(roles); err != nil {
				return err
			}
			s, err := flags.openNamed(env, args[1])
			if err != nil {
				return err
			}
			who, err := s.identityID(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			members, err := s.client.Members(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(members, func(m client.Member) bool { return m.Identity == who })
			missing := roles
			if i >= 0 {
				missing = slices.DeleteFunc(slices.Clone(roles), func(role string) bool { return slices.Contains(members[i].Roles, role) })
			}
			if len(missing) > 0 {
				return s.changeMember(cmd, span.Member{Identity: who, Roles: missing, Action: span.ActionGrant}, flags.json, "Granted %s to %s.")
			}
			if flags.json {
				return printJSON(env.Stdout, members[i])
			}
			fmt.Fprintf(env.Stdout, "%s has %s already; nothing was signed.\n", who, strings.Join(roles, ", "))
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&to, "to", "", "what to: tenant, followed by its id or slug (required)")
	cmd.Flags().StringSliceVar(&roles, "role", []string{span.RoleMember}, "the role; may be repeated")
	_ = cmd.MarkFlagRequired("to") // the flag exists
	return cmd
}
