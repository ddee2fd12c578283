package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newIdentityAPIKeysCmd(env *environment) *cobra.Command {
	return group("keys", "Make, list, replace and revoke API keys of an identity",
		`An API key reads as its identity, for programs that cannot sign tokens. Where the
node holds the identity's keys (identity create --custody) it also sends events
that the node signs, of the types it names. Its rights say what it may do: read,
append, tasks. Without an argument the identity is
your own; otherwise one that was made for you.`,
		newAPIKeyCreateCmd(env),
		newAPIKeyListCmd(env),
		newAPIKeyShowCmd(env),
		newAPIKeyRotateCmd(env),
		newAPIKeyRevokeCmd(env),
	)
}

func newAPIKeyCreateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var terms client.NewAPIKey
	var rights []string
	cmd := &cobra.Command{
		Use:   "create [ID or @HANDLE]",
		Short: "Make an API key, which is shown this once",
		Example: `  logline identity keys create --label dashboard --expires 2027-01-01
  logline identity keys create logline-id://… --label shop --type 'orders.*' --only-tenant acme
  logline identity keys create @shop --label feeder --right append --type 'orders.*'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkPatterns(terms.Types); err != nil {
				return err
			}
			var err error
			if terms.Expires, err = endArg("--expires", terms.Expires, env.Now()); err != nil {
				return err
			}
			for _, r := range rights {
				terms.Rights = append(terms.Rights, openapi.APIKeyRight(r))
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
			printNewKey(env, key, ofIdentity(args))
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&terms.Label, "label", "", "what it is for, at most 64 bytes, no personal data")
	cmd.Flags().StringArrayVar(&rights, "right", nil, "what it may do: read, append, tasks; may be repeated (default: read, and append where types are named)")
	cmd.Flags().StringArrayVar(&terms.Types, "type", nil, "what it may have signed, a type or pattern; may be repeated (default: all but logline.*)")
	cmd.Flags().StringVar(&terms.Tenant, "only-tenant", "", "the one tenant where it counts (default: every)")
	cmd.Flags().StringVar(&terms.Expires, "expires", "", "when it ends, a day or a time (default: as the node is configured)")
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
				return printJSON(env.Stdout, orNone(keys))
			}
			if len(keys) == 0 {
				fmt.Fprintln(env.Stdout, "No API keys.")
				return nil
			}
			table := ui.NewTable("KEY", "LABEL", "RIGHTS", "TYPES", "TENANT", "LAST USE", "STATE")
			for i := range keys {
				k := &keys[i]
				table.Row(k.Id, firstOf(k.Label, "-"), rightsShown(k.Rights), typesShown(k.Types), firstOf(k.Tenant, "every"), firstOf(k.UsedAt, "never"), keyState(env, k))
			}
			return writeTable(env, table)
		},
	}
	flags.register(cmd)
	return cmd
}

// orNone is a list that JSON shows as one where there is nothing in it.
func orNone(keys []client.APIKey) []client.APIKey {
	if keys == nil {
		return []client.APIKey{}
	}
	return keys
}

func keyIsGood(env *environment, k *client.APIKey) bool {
	return k.RevokedAt == "" && (k.Expires == "" || span.FormatTime(env.Now()) < k.Expires)
}

// keyState is whether a key is good, and until when.
func keyState(env *environment, k *client.APIKey) string {
	state := "valid"
	switch {
	case k.RevokedAt != "":
		state = "revoked " + k.RevokedAt
	case k.Expires != "" && span.FormatTime(env.Now()) >= k.Expires:
		state = "expired " + k.Expires
	case k.Expires != "":
		state = "until " + k.Expires
	}
	if k.ReplacedBy != "" {
		state += ", replaced by " + k.ReplacedBy
	}
	return state
}

// printNewKey shows a key, this once.
func printNewKey(env *environment, key *client.APIKey, of string) {
	fmt.Fprintln(env.Stdout, key.Key)
	until := "for ever"
	if key.Expires != "" {
		until = "until " + key.Expires
	}
	fmt.Fprintf(env.Stderr, "Keep it where you keep secrets: it is shown this once. It is good %s. Revoke it with: logline identity keys revoke %s%s\n", until, key.Id, of)
}

// whoseKey is the flag that says whose API key a command is about.
type whoseKey struct {
	clientFlags
	of string
}

func (f *whoseKey) register(cmd *cobra.Command) {
	f.clientFlags.register(cmd)
	cmd.Flags().StringVar(&f.of, "of", "", "the identity it belongs to (default: your own)")
}

func (f *whoseKey) open(env *environment, cmd *cobra.Command) (*session, string, error) {
	return f.openWhose(env, cmd, f.identity())
}

func (f *whoseKey) identity() []string {
	if f.of == "" {
		return nil
	}
	return []string{f.of}
}

func newAPIKeyShowCmd(env *environment) *cobra.Command {
	var flags whoseKey
	cmd := &cobra.Command{
		Use:   "show KEY",
		Short: "Show an API key, without what is secret in it; KEY is its id",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, who, err := flags.open(env, cmd)
			if err != nil {
				return err
			}
			k, err := s.client.APIKey(cmd.Context(), who, args[0])
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, k)
			}
			facts(env.Stdout, "key", k.Id, "label", firstOf(k.Label, "-"), "identity", k.Identity, "rights", rightsShown(k.Rights), "types", typesShown(k.Types),
				"tenant", firstOf(k.Tenant, "every"), "state", keyState(env, k), "last use", firstOf(k.UsedAt, "never"),
				"made", k.CreatedAt+" by "+k.CreatedBy, "replaces", firstOf(k.Replaces, "none"))
			return nil
		},
	}
	flags.register(cmd)
	return cmd
}

func newAPIKeyRotateCmd(env *environment) *cobra.Command {
	var flags whoseKey
	var expires string
	var overlap time.Duration
	cmd := &cobra.Command{
		Use:   "rotate KEY",
		Short: "Make an API key that takes the place of KEY, which stays good for a while",
		Long: `Makes an API key with the same terms and a secret and an id of its own, which is
shown this once. The old one stays good beside it until the overlap is over; "keys
list" shows both, and when each was used last.`,
		Example: "  logline identity keys rotate 4ynkqzc3tq5ra7bd --overlap 1h\n  logline identity keys rotate 4ynkqzc3tq5ra7bd --overlap 0s   # the old one is known to others",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if expires, err = endArg("--expires", expires, env.Now()); err != nil {
				return err
			}
			s, who, err := flags.open(env, cmd)
			if err != nil {
				return err
			}
			key, err := s.client.RotateAPIKey(cmd.Context(), who, args[0], overlap, expires)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, key)
			}
			printNewKey(env, key, ofIdentity(flags.identity()))
			return nil
		},
	}
	flags.register(cmd)
	cmd.Flags().DurationVar(&overlap, "overlap", id.DefaultOverlap, "how long the old key stays good")
	cmd.Flags().StringVar(&expires, "expires", "", "when the new key ends, a day or a time (default: it lasts as long as the old one was made for)")
	return cmd
}

func newAPIKeyRevokeCmd(env *environment) *cobra.Command {
	var flags whoseKey
	cmd := &cobra.Command{
		Use:   "revoke KEY",
		Short: "End an API key at once and for good; KEY is its id",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, who, err := flags.open(env, cmd)
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
	return cmd
}

func rightsShown(rights []openapi.APIKeyRight) string {
	words := make([]string, len(rights))
	for i, r := range rights {
		words[i] = string(r)
	}
	return strings.Join(words, ", ")
}

func typesShown(types []string) string {
	if len(types) == 0 {
		return "all but logline.*"
	}
	return strings.Join(types, ", ")
}
