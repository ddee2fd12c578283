package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/id/recovery"
	"github.com/danvoulez/logline/internal/ui"
)

// recoverFlags say where an identity comes back to.
type recoverFlags struct {
	profile, url, keyFile string
	noPassphrase, asJSON  bool
	revokeKeys            bool
	sheet                 sheetFlags // the new one
	ceremony              bool       // the key came from shares, and the next one shall go into new ones
}

// silent says that no new sheet was asked for where one is not wanted.
func (f *recoverFlags) silent() bool {
	return f.sheet.text == "" && f.sheet.pdf == "" && (f.asJSON || f.ceremony)
}

func (f *recoverFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.profile, "profile", "default", "name of the profile to make")
	cmd.Flags().StringVar(&f.url, "url", "", "a node that knows the identity (default: the sheet's, or LOGLINE_URL)")
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "where the new keys are kept (default: the user's configuration folder)")
	cmd.Flags().BoolVar(&f.noPassphrase, "no-passphrase", false, "keep the keys unprotected")
	cmd.Flags().BoolVar(&f.revokeKeys, "revoke-keys", false, "revoke the API keys of the identity, which stay good otherwise")
	f.sheet.register(cmd)
	registerJSON(cmd, &f.asJSON)
}

func newIdentityRecoverCmd(env *environment) *cobra.Command {
	var f recoverFlags
	var path string
	cmd := &cobra.Command{
		Use:   "recover --sheet FILE",
		Short: "Take your identity back with the recovery sheet, on a computer that has nothing of it",
		Long: `Takes an identity back with its recovery sheet: asks the node for its key events,
makes the sheet's key the current one, which ends every other key of the identity,
those of thieves and of other devices among them, and makes a key file, a profile
and a new sheet, which is shown unless --text or --pdf name a file. The old sheet is
then spent.

API keys are no keys of the identity: they stay good, those that a thief made too. It
lists them, and with --revoke-keys revokes them.

When it is interrupted, run it again: it continues with the keys it made. What was
signed meanwhile with a key that is not yours any more: logline identity suspect.`,
		Example: `  logline identity recover --sheet sheet.txt
  logline identity recover --sheet sheet.txt --revoke-keys
  logline identity recover --sheet - --url https://log.example.com --pdf new-sheet.pdf`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sheet, err := readSheet(env, path)
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), env, sheet)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&path, "sheet", "", "`FILE` with the sheet as it was typed (- for what is typed here; required)")
	_ = cmd.MarkFlagRequired("sheet") // the flag exists
	return cmd
}

// run recovers the identity of a sheet.
func (f *recoverFlags) run(ctx context.Context, env *environment, sheet *recovery.Sheet) error {
	if err := f.sheet.check(); err != nil {
		return err
	}
	s, err := f.begin(ctx, env, sheet)
	if err != nil {
		return err
	}
	pending, err := s.sendEvents(ctx)
	if err != nil {
		fmt.Fprintln(env.Stderr, "The new keys are in "+s.profile.KeyFile+"; the node does not know them yet. Run the same command again.")
		return err
	}
	if s.client, err = dial(env, s.profile, s.keys); err != nil {
		return err
	}
	tenants, err := s.client.Tenants(ctx)
	if err != nil {
		return err
	}
	if s.profile.Tenant == "" && len(tenants) == 1 {
		s.profile.Tenant, s.profile.Slug, s.profile.LogKey = tenants[0].Id, tenants[0].Slug, tenants[0].LogKey
	}
	if err := s.all.put(s.profile, true); err != nil {
		return err
	}
	keys, unknown := f.apiKeys(ctx, s)
	if err := f.tell(s, tenants, pending, keys); err != nil {
		return err
	}
	return unknown
}

// apiKeys are the API keys that are good still; with --revoke-keys it has revoked them.
func (f *recoverFlags) apiKeys(ctx context.Context, s *session) (good []client.APIKey, err error) {
	all, err := s.client.APIKeys(ctx, s.keys.ID())
	for i := range all {
		if !keyIsGood(s.env, &all[i]) {
			continue
		}
		if f.revokeKeys {
			revoked, err := s.client.RevokeAPIKey(ctx, s.keys.ID(), all[i].Id)
			if err != nil {
				return good, err
			}
			all[i] = *revoked
		}
		good = append(good, all[i])
	}
	return good, err
}

// tellKeys says which API keys there are.
func (f *recoverFlags) tellKeys(s *session, keys []client.APIKey) {
	if len(keys) == 0 {
		return
	}
	if f.revokeKeys {
		fmt.Fprintf(s.env.Stderr, "\n%s of it revoked: make others with logline identity keys create where programs need them.\n", ui.Plural(int64(len(keys)), "API key", "API keys"))
		return
	}
	fmt.Fprintf(s.env.Stderr, "\n%s still good, which a thief may have made or read:\n", ui.Plural(int64(len(keys)), "API key of it is", "API keys of it are"))
	for i := range keys {
		k := &keys[i]
		fmt.Fprintf(s.env.Stderr, "  logline identity keys revoke %s   # %s, made %s, last use %s\n", k.Id, ui.Clean(firstOf(k.Label, "no label")), k.CreatedAt, firstOf(k.UsedAt, "never"))
	}
	fmt.Fprintln(s.env.Stderr, "All of them: run this again with --revoke-keys.")
}

// begin is the session of the new keys: made and kept, and not told to anybody.
func (f *recoverFlags) begin(ctx context.Context, env *environment, sheet *recovery.Sheet) (*session, error) {
	all, err := loadProfiles(env)
	if err != nil {
		return nil, err
	}
	if !profileName.MatchString(f.profile) {
		return nil, usagef("--profile %q must be lower-case letters, digits, dots, dashes and underscores", f.profile)
	}
	s := &session{env: env, all: all}
	if old, exists := all.find(f.profile); exists {
		s.profile = old
		return s, f.resume(s, sheet)
	}
	url := firstOf(f.url, env.Getenv("LOGLINE_URL"), sheet.Node)
	if url == "" {
		return nil, usagef("the sheet names no node; name one that knows the identity with --url")
	}
	s.profile = profile{Name: f.profile, URL: url, Identity: sheet.Identity, KeyFile: f.keyFile}
	if f.keyFile == "" {
		s.profile.KeyFile = filepath.Join(filepath.Dir(all.path), "keys", f.profile+".key")
	}
	if exists(s.profile.KeyFile) {
		return nil, usagef("%s is there already, and is kept; choose another name with --profile, or another file with --key-file", s.profile.KeyFile)
	}
	return s, f.make(ctx, s, sheet)
}

// resume goes on with what an interrupted run has kept.
func (f *recoverFlags) resume(s *session, sheet *recovery.Sheet) (err error) {
	if s.profile.Identity != sheet.Identity {
		return usagef("profile %q is of another identity; choose another name with --profile", f.profile)
	}
	if s.keys, s.passphrase, err = loadKeys(s.env, s.profile.KeyFile); err != nil {
		return err
	}
	if seed := sheet.Seed(); s.keys.Signer().Public() != id.NewSecretKey(seed).Public() {
		return usagef("profile %q has the keys of this identity; use the sheet there with `logline identity rotate --sheet FILE`, or choose another name with --profile", f.profile)
	}
	return nil
}

// make makes the new keys, and keeps them.
func (f *recoverFlags) make(ctx context.Context, s *session, sheet *recovery.Sheet) error {
	c, err := dial(s.env, s.profile, nil)
	if err != nil {
		return err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return err
	}
	s.profile.Node = node.Id
	s.client = c
	events, err := s.eventsOf(ctx, sheet.Identity)
	if err != nil {
		return err
	}
	if s.keys, _, err = id.Recover(events, sheet.Seed(), s.env.Now(), rand.Reader); err != nil {
		return err
	}
	if s.keys.ID() != sheet.Identity {
		return fault.New(fault.Invalid, "identity_forged", "the node's key events are not those of the sheet's identity")
	}
	if s.passphrase, err = newPassphrase(s.env, f.noPassphrase); err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(s.profile.KeyFile)); err != nil {
		return fileError("write", s.profile.KeyFile, err)
	}
	if err := id.SaveKeys(s.profile.KeyFile, s.keys, s.passphrase); err != nil {
		return err
	}
	return s.all.put(s.profile, false) // not the current one before it works
}

// tell makes the new sheet and says what has been done.
func (f *recoverFlags) tell(s *session, tenants []client.Tenant, pending []string, keys []client.APIKey) error {
	for _, tenant := range pending {
		fmt.Fprintf(s.env.Stderr, "Timeline %s could not be reached; it gets the event before your next span there.\n", tenant)
	}
	if f.asJSON {
		if !f.silent() {
			if _, err := f.sheet.give(s.env, s.profile, s.keys, s.passphrase); err != nil {
				return err
			}
		}
		return printJSON(s.env.Stdout, map[string]any{"profile": s.profile, "tenants": tenants, "api_keys": orNone(keys)})
	}
	fmt.Fprintf(s.env.Stderr, "Recovered %s: every other key of it has ended.\n", s.keys.ID())
	facts(s.env.Stderr, "profile", s.profile.Name, "key file", s.profile.KeyFile, "node", s.profile.URL, "tenant", firstOf(s.profile.Slug, s.profile.Tenant, tenantsLeft(tenants)))
	f.tellKeys(s, keys)
	if f.silent() {
		fmt.Fprintln(s.env.Stderr, "\nThe shares are spent. Next: logline identity ceremony split, for new ones\n      logline identity suspect, if somebody else may have had the old key")
		return nil
	}
	fmt.Fprintln(s.env.Stderr, "\nThe old sheet is spent, destroy it. This is the new one:")
	if _, err := f.sheet.give(s.env, s.profile, s.keys, s.passphrase); err != nil {
		return err
	}
	f.sheet.told(s.env)
	fmt.Fprintln(s.env.Stderr, "\nNext: logline identity suspect, if somebody else may have had the old key")
	return nil
}

func tenantsLeft(tenants []client.Tenant) string {
	if len(tenants) == 0 {
		return ""
	}
	return "choose one of yours: logline tenant list, logline tenant use"
}
