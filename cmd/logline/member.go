package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newMemberCmd(env *environment) *cobra.Command {
	return group("member", "List who may do what in the tenant, grant and withdraw roles",
		`Roles are granted and withdrawn by signed spans on the timeline itself, so "with
what right" can be checked offline at every position. Built-in roles: `+builtinRoles+`.`,
		newMemberListCmd(env),
		newMemberChangeCmd(env, span.ActionGrant, "Give an identity roles in the tenant", "Granted %s to %s."),
		newMemberChangeCmd(env, span.ActionWithdraw, "Take roles away from an identity", "Withdrew %s from %s."),
	)
}

const builtinRoles = "owner, admin, member, agent, auditor, guest"

func newMemberListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the identities that hold a role now",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			members, err := s.client.Members(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, members)
			}
			identities := make([]string, len(members))
			for i, m := range members {
				identities[i] = m.Identity
			}
			names := s.names(cmd.Context(), identities...)
			table := ui.NewTable("IDENTITY", "NAME", "SUBJECT", "ROLES", "STATUS")
			for _, m := range members {
				table.Row(m.Identity, names[m.Identity], m.Subject, strings.Join(m.Roles, ", "), m.Status)
			}
			return writeTable(env, table)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// newMemberChangeCmd is grant or withdraw.
func newMemberChangeCmd(env *environment, action, short, done string) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   action + " IDENTITY|@HANDLE ROLE…",
		Short: short,
		Example: "  logline member " + action + " @bo member\n" +
			"  logline member " + action + " logline-id://… auditor",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkRoles(args[1:]); err != nil {
				return err
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			who, err := s.identityID(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return s.changeMember(cmd, span.Member{Identity: who, Roles: args[1:], Action: action}, flags.json, done)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

func checkRoles(roles []string) error {
	for i, role := range roles {
		if !span.ValidRole(role) {
			return usagef("%q is not a role; built-in ones: %s", ui.Clean(role), builtinRoles)
		}
		if slices.Contains(roles[:i], role) {
			return usagef("the role %s is named twice", role)
		}
	}
	return nil
}

// changeMember signs and appends a logline.member span; done says what it did, of
// the roles and the identity.
func (s *session) changeMember(cmd *cobra.Command, m span.Member, asJSON bool, done string) error {
	if m.Action == span.ActionGrant {
		s.noteUnknown(cmd.Context(), m.Roles)
	}
	return s.appendReserved(cmd, span.TypeMember, m, asJSON, fmt.Sprintf(done, strings.Join(m.Roles, ", "), m.Identity))
}

// noteUnknown says which roles are neither built in nor declared by a contract in
// force: the entry that grants one stays for ever, mistyped or not.
func (s *session) noteUnknown(ctx context.Context, roles []string) {
	roles = slices.DeleteFunc(slices.Clone(roles), func(role string) bool {
		return slices.Contains(strings.Split(builtinRoles, ", "), role)
	})
	if len(roles) == 0 {
		return
	}
	declared := s.declaredRoles(ctx)
	for _, role := range roles {
		switch {
		case slices.Contains(declared, role):
		case len(declared) > 0:
			fmt.Fprintf(s.env.Stderr, "Note: %s is none of the built-in roles (%s), nor of those that contracts in force declare (%s).\n",
				role, builtinRoles, strings.Join(declared, ", "))
		default:
			fmt.Fprintf(s.env.Stderr, "Note: %s is none of the built-in roles (%s): what it is for is up to contracts.\n", role, builtinRoles)
		}
	}
}

// declaredRoles are those that contracts in force declare, as far as the node
// shows them: they serve a note, and keep nobody from anything.
func (s *session) declaredRoles(ctx context.Context) []string {
	contracts, err := s.client.Contracts(ctx, s.profile.Tenant)
	if err != nil {
		return nil
	}
	var declared []string
	for i := range contracts {
		if string(contracts[i].Mode) != modeEnforce {
			continue
		}
		found, err := s.client.Contract(ctx, s.profile.Tenant, contracts[i].Name, contracts[i].Version)
		if err != nil || found.Source == nil {
			continue
		}
		file, _ := lll.Parse(contracts[i].Name, found.Source.Text)
		c, _ := contract.Compile(file, contract.Options{})
		if c == nil {
			continue
		}
		for _, r := range c.Roles {
			declared = append(declared, r.Name)
		}
	}
	slices.Sort(declared)
	return slices.Compact(declared)
}
