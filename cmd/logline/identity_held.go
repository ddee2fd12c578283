package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

// whose is the identity that an optional argument names, or the profile's own.
func (s *session) whose(cmd *cobra.Command, args []string) (string, error) {
	if len(args) == 0 {
		return s.keys.ID(), nil
	}
	return s.identityID(cmd.Context(), args[0])
}

// openWhose connects with keys, for a command about an identity that an
// optional argument names.
func (f *clientFlags) openWhose(env *environment, cmd *cobra.Command, args []string) (s *session, who string, err error) {
	if s, err = f.openKeys(env); err != nil {
		return nil, "", err
	}
	who, err = s.whose(cmd, args)
	return s, who, err
}

// makeHeld has the node make an identity in its custody.
func makeHeld(env *environment, cmd *cobra.Command, flags *clientFlags, subject, handle, name string) error {
	s, err := flags.openKeys(env)
	if err != nil {
		return err
	}
	info, err := s.client.MakeHeld(cmd.Context(), subject, handle, name)
	if err != nil {
		return err
	}
	if flags.json {
		return printJSON(env.Stdout, info)
	}
	facts(env.Stdout, "identity", info.Id, "subject", string(info.Subject), "keys", "held by the node, sealed")
	fmt.Fprintf(env.Stdout, "\nNext: logline member grant %s agent\n      logline identity keys create %s --label … --type …\n", info.Id, info.Id)
	return nil
}

// changedHeld confirms what the node did to an identity in its custody.
func changedHeld(env *environment, asJSON bool, added *client.KeyEventAdded, words string) error {
	for _, tenant := range added.Pending {
		fmt.Fprintf(env.Stderr, "Timeline %s could not be reached; it gets the event before the identity's next span there.\n", tenant)
	}
	if asJSON {
		return printJSON(env.Stdout, added)
	}
	fmt.Fprintln(env.Stdout, words)
	return nil
}

func newIdentitySetCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var handle, name string
	cmd := &cobra.Command{
		Use:   "set [ID or @HANDLE]",
		Short: "Change the handle or name of your identity, or of one made for you in custody",
		Long: `Changes what the node's directory calls an identity; an empty value erases it.
Handles and names are in no timeline and no proof, so they can change. A handle
that is given up is free for others at once.`,
		Example: "  logline identity set --handle ana --name 'Ana Pérez'\n  logline identity set --name ''",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var labels client.Labels
			if cmd.Flags().Changed("handle") {
				labels.Handle = &handle
			}
			if cmd.Flags().Changed("name") {
				labels.Name = &name
			}
			if labels.Handle == nil && labels.Name == nil {
				return usagef("say what changes: --handle, --name, or both")
			}
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			info, err := s.client.SetLabels(cmd.Context(), who, labels)
			if err != nil {
				return err
			}
			return printLabels(env, flags.json, info)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&handle, "handle", "", "the @handle in the node's directory")
	cmd.Flags().StringVar(&name, "name", "", "the name in the node's directory")
	return cmd
}

func newIdentityEraseCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "erase [ID or @HANDLE]",
		Short: "Erase the handle and name of your identity, or of one made for you in custody",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			info, err := s.client.Erase(cmd.Context(), who)
			if err != nil {
				return err
			}
			return printLabels(env, flags.json, info)
		},
	}
	flags.register(cmd)
	return cmd
}

func printLabels(env *environment, asJSON bool, info *client.Identity) error {
	if asJSON {
		return printJSON(env.Stdout, info)
	}
	handle := "(none)"
	if info.Handle != "" {
		handle = "@" + info.Handle
	}
	facts(env.Stdout, "identity", info.Id, "handle", handle, "name", firstOf(info.Name, "(none)"))
	return nil
}

func newIdentityAPIKeysCmd(env *environment) *cobra.Command {
	return group("keys", "Make, list and revoke API keys of an identity",
		`An API key reads as its identity, for programs that cannot sign tokens. Where the
node holds the identity's keys (identity create --custody) it also sends events
that the node signs, of the types it names. Without an argument the identity is
your own; otherwise one that was made for you.`,
		newAPIKeyCreateCmd(env),
		newAPIKeyListCmd(env),
		newAPIKeyRevokeCmd(env),
	)
}

func newAPIKeyCreateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var terms client.NewAPIKey
	cmd := &cobra.Command{
		Use:   "create [ID or @HANDLE]",
		Short: "Make an API key, which is shown this once",
		Example: `  logline identity keys create --label dashboard --expires 2027-01-01
  logline identity keys create logline-id://… --label shop --type 'orders.*' --only-tenant acme`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkPatterns(terms.Types); err != nil {
				return err
			}
			if terms.Expires != "" {
				var err error
				if terms.Expires, err = timeArg("--expires", terms.Expires, env.Now()); err != nil {
					return err
				}
			}
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			key, err := s.client.CreateAPIKey(cmd.Context(), who, terms)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, key)
			}
			fmt.Fprintln(env.Stdout, key.Key)
			fmt.Fprintf(env.Stderr, "Keep it where you keep secrets: it is shown this once. Revoke it with: logline identity keys revoke %s%s\n", key.Id, ofIdentity(args))
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&terms.Label, "label", "", "what it is for, at most 64 bytes, no personal data")
	cmd.Flags().StringArrayVar(&terms.Types, "type", nil, "what it may have signed, a type or pattern; may be repeated (default: all but logline.*)")
	cmd.Flags().StringVar(&terms.Tenant, "only-tenant", "", "the one tenant where it counts (default: every)")
	cmd.Flags().StringVar(&terms.Expires, "expires", "", "when it ends, a day or a time (default: never)")
	return cmd
}

// ofIdentity is an optional identity as one types it after a key.
func ofIdentity(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return " --of " + shellWord(args[0])
}

func newAPIKeyListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "list [ID or @HANDLE]",
		Short: "List API keys, without what is secret in them",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			keys, err := s.client.APIKeys(cmd.Context(), who)
			if err != nil {
				return err
			}
			if flags.json {
				if keys == nil {
					keys = []client.APIKey{}
				}
				return printJSON(env.Stdout, keys)
			}
			if len(keys) == 0 {
				fmt.Fprintln(env.Stdout, "No API keys.")
				return nil
			}
			table := ui.NewTable("KEY", "LABEL", "TYPES", "TENANT", "LAST USE", "STATE")
			now := span.FormatTime(env.Now())
			for _, k := range keys {
				state := "valid"
				switch {
				case k.RevokedAt != "":
					state = "revoked " + k.RevokedAt
				case k.Expires != "" && now >= k.Expires:
					state = "expired " + k.Expires
				case k.Expires != "":
					state = "until " + k.Expires
				}
				table.Row(k.Id, firstOf(k.Label, "-"), typesShown(k.Types), firstOf(k.Tenant, "every"), firstOf(k.UsedAt, "never"), state)
			}
			return writeTable(env, table)
		},
	}
	flags.register(cmd)
	return cmd
}

func newAPIKeyRevokeCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var of string
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "End an API key at once and for good; KEY is its id",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var identity []string
			if of != "" {
				identity = []string{of}
			}
			s, who, err := flags.openWhose(env, cmd, identity)
			if err != nil {
				return err
			}
			key, err := s.client.RevokeAPIKey(cmd.Context(), who, args[0])
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, key)
			}
			fmt.Fprintf(env.Stdout, "Revoked %s.\n", key.Id)
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&of, "of", "", "the identity it belongs to (default: your own)")
	return cmd
}

func typesShown(types []string) string {
	if len(types) == 0 {
		return "all but logline.*"
	}
	return strings.Join(types, ", ")
}
