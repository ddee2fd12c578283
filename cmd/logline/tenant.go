package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newTenantCmd(env *environment) *cobra.Command {
	return group("tenant", "List, show, make and choose tenants",
		`A tenant is one timeline with its members. Its id is derived from its first entry
and never changes; its slug is what this node calls it.`,
		newTenantListCmd(env),
		newTenantShowCmd(env),
		newTenantCreateCmd(env),
		newTenantUseCmd(env),
		newTenantStateCmd(env, span.ActionSuspend, "Suspend a tenant: nothing is appended, and few read, until it is resumed"),
		newTenantStateCmd(env, span.ActionResume, "Let a suspended tenant go on"),
		newTenantStateCmd(env, span.ActionClose, "Close a tenant for good: reads stay, appends stop"),
		newTenantUsageCmd(env),
		newTenantQuotaCmd(env),
	)
}

func newTenantListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tenants of the node that you may read",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			tenants, err := s.client.Tenants(cmd.Context())
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, append([]client.Tenant{}, tenants...))
			}
			if len(tenants) == 0 {
				fmt.Fprintln(env.Stdout, "None that you may read. To join one, ask its owner or an admin: logline member grant", s.keys.ID(), "member")
				return nil
			}
			table := ui.NewTable("", "SLUG", ">ENTRIES", "ID", "NAME")
			for _, t := range tenants {
				mark := ""
				if t.Id == s.profile.Tenant || t.Slug == s.profile.Tenant {
					mark = "*"
				}
				table.Row(mark, t.Slug, ui.Count(int64(t.Size)), t.Id, t.Name)
			}
			return writeTable(env, table)
		},
	}
	flags.register(cmd)
	return cmd
}

func newTenantShowCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "show [TENANT]",
		Short: "Show a tenant, its log and what is in it; without an argument, the profile's",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openNamed(env, args...)
			if err != nil {
				return err
			}
			t, err := s.client.Tenant(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			stats, err := s.client.Stats(cmd.Context(), t.Id)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, map[string]any{"tenant": t, "stats": stats})
			}
			state := string(t.State)
			if t.ReadOnly {
				state = "read-only: another node's"
			}
			reading := "members"
			if t.PublicReading {
				reading = "members; anybody what is marked public"
			}
			facts(env.Stdout,
				"tenant", t.Slug+"  "+t.Id, "name", t.Name, "owner", t.Owner, "node", t.Node, "origin", t.Origin, "log key", t.LogKey,
				"state", state, "reading", reading, "created", t.CreatedAt, "entries", ui.Count(int64(stats.Size)), "last entry", stats.LastAt,
				"authors", ui.Count(int64(stats.Authors)), "redacted", ui.Count(int64(stats.Redacted)), "root", stats.Root,
				"statuses", tallies(stats.Statuses), "types", tallies(stats.Types))
			return nil
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

func tallies(counts []openapi.Count) string {
	words := make([]string, len(counts))
	for i, c := range counts {
		words[i] = c.Value + " " + ui.Count(int64(c.Count))
	}
	return strings.Join(words, ", ")
}

func newTenantCreateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var name, tokenFile string
	var publicReading bool
	cmd := &cobra.Command{
		Use:   "create SLUG",
		Short: "Make another tenant, owned by your identity, and choose it",
		Long: `Make a tenant owned by the profile's identity and make it the profile's tenant.
The first tenant of a node takes its bootstrap token ("logline onboard" finds it by
itself); later ones are made by whom the node's configuration allows.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			token := func() (string, error) { return givenToken(env, tokenFile) }
			return createTenant(cmd, env, &flags, client.NewTenant{Slug: args[0], Name: firstOf(name, args[0]), PublicReading: publicReading}, token)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&name, "name", "", "the tenant's name for people (default: its slug)")
	registerTokenFile(cmd, &tokenFile)
	registerPublicReading(cmd, &publicReading)
	return cmd
}

func registerPublicReading(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "public-reading", false, "let anybody read what is marked public")
}

// createTenant makes a tenant that the profile's identity owns, with the bootstrap
// token that is found, and chooses it for the profile.
func createTenant(cmd *cobra.Command, env *environment, flags *clientFlags, want client.NewTenant, find func() (string, error)) error {
	if !span.ValidSlug(want.Slug) {
		return usagef("%q is not a slug: lower-case letters, digits and dashes, starting with a letter or digit, at most 63, and no UUID", ui.Clean(want.Slug))
	}
	s, err := flags.openKeys(env)
	if err != nil {
		return err
	}
	token, err := find()
	if err != nil {
		return err
	}
	want.Owner = s.keys.ID()
	t, err := s.client.CreateTenant(cmd.Context(), token, want)
	if err != nil {
		return err
	}
	if err := s.use(t); err != nil {
		return err
	}
	if flags.json {
		return printJSON(env.Stdout, t)
	}
	fmt.Fprintf(env.Stdout, "Made %s, and chose it for profile %q.\n", t.Slug, s.profile.Name)
	facts(env.Stdout, "tenant", t.Id, "origin", t.Origin, "log key", t.LogKey)
	return nil
}

func newTenantUseCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "use TENANT",
		Short: "Choose the tenant that the profile works in, and remember its log key",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			t, err := s.client.Tenant(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := s.use(t); err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, t)
			}
			fmt.Fprintf(env.Stdout, "Profile %q now works in %s (%s).\n", s.profile.Name, t.Slug, t.Id)
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}

// use makes t the tenant of the session's profile.
func (s *session) use(t *client.Tenant) error {
	p, ok := s.all.find(s.profile.Name)
	if !ok {
		return usagef("there is no profile to keep the tenant in; make one with `logline identity create`")
	}
	p.Tenant, p.Slug, p.LogKey = t.Id, t.Slug, t.LogKey
	return s.all.put(p, false)
}
