package main

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newIdentityRotateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var sheet string
	cmd := &cobra.Command{
		Use:   "rotate [ID or @HANDLE]",
		Short: "Replace your primary key by the next one, which ends all delegations",
		Long: `Replaces your primary key by the next one. With an argument the node does it for
an identity that it holds and that was made for you.

Where the next key was taken out of the key file, --sheet gives it. The recovery
sheet is spent by it: print the new one with "logline identity sheet".`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			if who != s.keys.ID() {
				if sheet != "" {
					return usagef("--sheet is about your own identity; the node has the keys of %s", who)
				}
				added, err := s.client.RotateHeld(cmd.Context(), who)
				if err != nil {
					return err
				}
				return changedHeld(env, flags.json, added, "Rotated "+added.Id+".")
			}
			if err := s.takeNext(sheet); err != nil {
				return err
			}
			event, err := s.change(cmd.Context(), func(k *id.Keys) (*id.Event, error) { return k.Rotate(env.Now(), rand.Reader) })
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stderr, "A recovery sheet from before is spent; print the new one: logline identity sheet")
			return printEvent(env, flags.json, s.keys.ID(), event, "Rotated: the primary key is now "+event.Key+".")
		},
	}
	flags.register(cmd)
	registerSheet(cmd, &sheet)
	return cmd
}

func newIdentityDelegateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var label, expires, key string
	var types []string
	cmd := &cobra.Command{
		Use:   "delegate --label LABEL",
		Short: "Let another key sign for you: of a device, a service, an agent",
		Long: `Let another key sign for you, limited to types and to a time. --key names the
public key of whoever shall hold it; without it a key is made and kept in your
key file, for logline append --key. The label can never be erased and must hold no personal data.`,
		Example: `  logline identity delegate --label build-agent --type 'build.**' --expires 2027-01-01 --key <public key>`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkPatterns(types); err != nil {
				return err
			}
			ends, err := endArg("--expires", expires, env.Now())
			if err != nil {
				return err
			}
			if key != "" {
				raw, err := span.ParseB64(key, 32)
				if err == nil {
					err = id.CheckPublicKey(raw)
				}
				if err != nil {
					return &usageError{err: fmt.Errorf("--key %q is not a usable Ed25519 public key (43 characters of base64url)", key)}
				}
			}
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			event, err := s.change(cmd.Context(), func(k *id.Keys) (*id.Event, error) {
				if key != "" {
					return k.DelegateKey(key, label, types, ends, "", env.Now())
				}
				e, _, err := k.Delegate(label, types, ends, env.Now(), rand.Reader)
				return e, err
			})
			if err != nil {
				return err
			}
			words := "Delegated to " + event.Key + " as " + label + "."
			if key == "" {
				words += "\nYour key file holds it: logline append --key " + shellWord(label) + " --type …"
			}
			return printEvent(env, flags.json, s.keys.ID(), event, words)
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&label, "label", "", "what the key is for, at most 64 bytes (required)")
	cmd.Flags().StringArrayVar(&types, "type", nil, "what it may sign, a type or pattern; may be repeated (default: all but logline.*)")
	cmd.Flags().StringVar(&expires, "expires", "", "when it ends, a day or a time")
	cmd.Flags().StringVar(&key, "key", "", "public key to delegate to (default: make one)")
	_ = cmd.MarkFlagRequired("label") // the flag exists
	return cmd
}

// checkPatterns judges what was given as --type.
func checkPatterns(types []string) error {
	for _, t := range types {
		if !span.ValidPattern(t) {
			return usagef("--type %q is not a type pattern; try build.* or payment.**", t)
		}
	}
	return nil
}

func newIdentityUndelegateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "undelegate KEY|LABEL",
		Short: "Take a delegated key's right back",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := flags.openKeys(env)
			if err != nil {
				return err
			}
			key, err := delegatedKey(s.keys, args[0])
			if err != nil {
				return err
			}
			event, err := s.change(cmd.Context(), func(k *id.Keys) (*id.Event, error) { return k.Undelegate(key, env.Now()) })
			if err != nil {
				return err
			}
			return printEvent(env, flags.json, s.keys.ID(), event, "Undelegated "+event.Key+".")
		},
	}
	flags.register(cmd)
	return cmd
}

func newIdentityRevokeCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var reason, sheet string
	var yes bool
	cmd := &cobra.Command{
		Use:   "revoke [ID or @HANDLE] --yes",
		Short: "End your identity, or one made for you in custody, for good",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, who, err := flags.openWhose(env, cmd, args)
			if err != nil {
				return err
			}
			if !yes {
				return usagef("revoking %s cannot be undone: it will never sign again; confirm with --yes", who)
			}
			if who != s.keys.ID() {
				added, err := s.client.RevokeHeld(cmd.Context(), who, reason)
				if err != nil {
					return err
				}
				return changedHeld(env, flags.json, added, "Revoked "+added.Id+". What it signed before stays valid.")
			}
			if err := s.takeNext(sheet); err != nil {
				return err
			}
			event, err := s.change(cmd.Context(), func(k *id.Keys) (*id.Event, error) { return k.Revoke(reason, env.Now()) })
			if err != nil {
				return err
			}
			return printEvent(env, flags.json, s.keys.ID(), event, "Revoked "+s.keys.ID()+". What it signed before stays valid.")
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "at most 64 bytes, no personal data, never erased")
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	registerSheet(cmd, &sheet)
	return cmd
}

func newIdentityClaimCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var source, actor, byKey, ghostKey, offered string
	cmd := &cobra.Command{
		Use:   "claim --ghost-key FILE | --offer FILE | --source SOURCE --actor ACTOR",
		Short: "Make a ghost part of a real identity: a visitor's, or of somebody you imported",
		Long: `Make the ghost of a person whose history you imported part of that person's
identity. The ghost's key follows from your key file; the person's counter-signs.
--source is what the import printed (git:…), or a repository's folder.

With --ghost-key it is the ghost of logline visit, whose key is in that file; with
--offer one whose key is in a browser, which signed the file for you.`,
		Example: `  logline identity claim --source . --actor ana@example.org
  logline identity claim --source git:1f0c… --actor ana@example.org --by-key ana.key
  logline identity claim --profile bo --ghost-key visit-acme.key
  logline identity claim --offer logline-claim.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ghostKey != "" {
				return claimGhost(cmd, env, &flags, ghostKey, byKey)
			}
			if offered != "" {
				return claimOffered(cmd, env, &flags, offered, byKey)
			}
			if !strings.HasPrefix(source, "git:") && !strings.HasPrefix(source, "git-shallow:") {
				if src, err := importer.OpenGit(cmd.Context(), source, importer.GitOptions{AllowShallow: true}); err == nil {
					source = src.Name()
				}
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			tenant, err := s.tenantID(cmd.Context())
			if err != nil {
				return err
			}
			ghost, err := id.GhostKeys(s.keys.Secret(), tenant, source, actor)
			if err != nil {
				return err
			}
			claimer, err := s.counterSigner(byKey)
			if err != nil {
				return err
			}
			event, err := ghost.ClaimBy(claimer, env.Now())
			if err != nil {
				return err
			}
			_, err = s.client.AppendEvent(cmd.Context(), ghost.ID(), event.Raw)
			if client.CodeOf(err) == "identity_unknown" {
				err = fault.Newf(fault.NotFound, "identity_unknown",
					"you imported nothing by %q from the source %q into this tenant; `logline import git` prints the source's name", ui.Clean(actor), ui.Clean(source))
			}
			if err != nil {
				return err
			}
			return printEvent(env, flags.json, ghost.ID(), event, "Claimed: "+ghost.ID()+"\nis now part of "+claimer.ID()+".")
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&source, "source", "", "the import's source, or a git repository's folder")
	cmd.Flags().StringVar(&actor, "actor", "", "who, as the source names them: an e-mail address for git")
	cmd.Flags().StringVar(&byKey, "by-key", "", "key file of whoever claims (default: your own)")
	cmd.Flags().StringVar(&ghostKey, "ghost-key", "", "key `FILE` of a visitor's ghost")
	cmd.Flags().StringVar(&offered, "offer", "", "`FILE` with a claim that a ghost in a browser has signed")
	cmd.MarkFlagsRequiredTogether("source", "actor")
	cmd.MarkFlagsOneRequired("source", "ghost-key", "offer")
	cmd.MarkFlagsMutuallyExclusive("source", "ghost-key", "offer")
	return cmd
}
