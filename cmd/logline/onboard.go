package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/span"
)

const (
	defaultURL     = "http://127.0.0.1:8080"
	bootstrapToken = "bootstrap-token" // file in the node's data directory

	codeRegistrationClosed = "registration_closed"
)

// onboardFlags say who begins, and what.
type onboardFlags struct {
	profile, url, slug, tenantName   string
	handle, name, subject, keyFile   string
	tokenFile, dataDir               string
	noPassphrase, publicRead, asJSON bool
}

func newOnboardCmd(env *environment) *cobra.Command {
	var f onboardFlags
	cmd := &cobra.Command{
		Use:   "onboard [SLUG]",
		Short: "Make the node's first tenant and your identity, and save them as a profile",
		Long: `Make your identity (a key file, protected by a passphrase) and with it the first
tenant of a new node, named SLUG (default: main). The node's one-time bootstrap
token is taken from --token-file, from LOGLINE_BOOTSTRAP_TOKEN or, on the same
machine, from the file bootstrap-token in the node's data directory.

Every command asks for the passphrase; LOGLINE_PASSPHRASE answers for scripts.

When it is interrupted, run it again: it continues with the key it made.`,
		Example: `  logline onboard
  logline onboard acme --tenant-name "Acme Ltd" --handle ana --name "Ana Lima"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.slug = "main"
			if len(args) == 1 {
				f.slug = args[0]
			}
			return f.run(cmd.Context(), env)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "default", "name of the profile to make")
	flags.StringVar(&f.url, "url", "", "the node (default "+defaultURL+", or LOGLINE_URL)")
	flags.StringVar(&f.tenantName, "tenant-name", "", "the tenant's name for people (default: its slug)")
	flags.StringVar(&f.handle, "handle", "", "your @handle in the node's directory")
	flags.StringVar(&f.name, "name", "", "your name in the node's directory, which can be erased")
	flags.StringVar(&f.subject, "subject", "person", "what you are: person, organization, service or agent")
	flags.StringVar(&f.keyFile, "key-file", "", "where the key is kept (default: the user's configuration folder)")
	f.registerToken(cmd)
	flags.BoolVar(&f.noPassphrase, "no-passphrase", false, "keep the key unprotected")
	flags.BoolVar(&f.publicRead, "public-reading", false, "let anybody read what is marked public")
	registerJSON(cmd, &f.asJSON)
	return cmd
}

// registerToken adds the flags that findToken goes by.
func (f *onboardFlags) registerToken(cmd *cobra.Command) {
	registerTokenFile(cmd, &f.tokenFile)
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "", "the node's data directory, to find the token (default ./logline-data, or LOGLINE_DATA_DIR)")
}

func (f *onboardFlags) run(ctx context.Context, env *environment) error {
	if !span.ValidSlug(f.slug) {
		return usagef("%q is not a slug: lower-case letters, digits and dashes, starting with a letter or digit, at most 63, and no UUID", f.slug)
	}
	if !profileName.MatchString(f.profile) {
		return usagef("--profile %q must be lower-case letters, digits, dots, dashes and underscores", f.profile)
	}
	all, err := loadProfiles(env)
	if err != nil {
		return err
	}
	old, exists := all.find(f.profile)
	if exists && old.Tenant != "" {
		return usagef("profile %q already has the tenant %s; choose another with --profile", f.profile, firstOf(old.Slug, old.Tenant))
	}
	p := profile{Name: f.profile, URL: firstOf(f.url, env.Getenv("LOGLINE_URL"), old.URL, defaultURL), KeyFile: firstOf(f.keyFile, old.KeyFile)}
	c, err := dial(env, p, nil)
	if err != nil {
		return err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return err
	}
	p.Node = node.Id
	token, err := f.findToken(env)
	if err != nil {
		return err
	}
	keys, err := f.openKeys(env, all, &p)
	if err != nil {
		return err
	}
	p.Identity = keys.ID()
	if err := all.put(p, false); err != nil { // not the current one before it works
		return err
	}
	tenant, err := f.register(ctx, env, p, keys, token)
	if err != nil {
		return err
	}
	p.Tenant, p.Slug, p.LogKey = tenant.Id, tenant.Slug, tenant.LogKey
	if err := all.put(p, true); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(env.Stdout, map[string]any{"profile": p, "tenant": tenant})
	}
	fmt.Fprintf(env.Stdout, "Ready: profile %q is now the current one.\n", p.Name)
	facts(env.Stdout, "tenant", tenant.Slug+"  "+tenant.Id, "identity", p.Identity, "key file", p.KeyFile, "node", p.URL)
	fmt.Fprintf(env.Stdout, "\nNext: logline append --type note.written --payload '{\"text\": \"hello\"}'\n")
	return nil
}

// openKeys loads the profile's key file, or makes one.
func (f *onboardFlags) openKeys(env *environment, all *profiles, p *profile) (*id.Keys, error) {
	if p.KeyFile == "" {
		p.KeyFile = filepath.Join(filepath.Dir(all.path), "keys", p.Name+".key")
	}
	if exists(p.KeyFile) {
		keys, _, err := loadKeys(env, p.KeyFile)
		return keys, err
	}
	return makeKeys(env, p.KeyFile, f.subject, f.noPassphrase)
}

// makeKeys makes an identity and keeps it in a new file.
func makeKeys(env *environment, path, subject string, noPassphrase bool) (*id.Keys, error) {
	keys, err := id.NewKeys(subject, env.Now(), rand.Reader)
	if err != nil {
		return nil, &usageError{err: err}
	}
	passphrase, err := newPassphrase(env, noPassphrase)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, fileError("write", path, err)
	}
	return keys, id.SaveKeys(path, keys, passphrase)
}

// register makes the identity known and the tenant, both harmless to repeat.
func (f *onboardFlags) register(ctx context.Context, env *environment, p profile, keys *id.Keys, token string) (*client.Tenant, error) {
	c, err := dial(env, p, keys)
	if err != nil {
		return nil, err
	}
	found := func() (string, error) { return token, nil }
	_, _, err = makeKnown(ctx, c, keys, found, f.handle, f.name)
	if client.CodeOf(err) == remote.CodeIdentityConflict && f.handle+f.name != "" {
		// An earlier attempt registered it: that must not keep the tenant from being made.
		if _, _, err = c.Register(ctx, remote.Registration(keys, "", "")); err == nil {
			fmt.Fprintln(env.Stderr, "Your identity was registered before and keeps the handle and name it has there.")
		}
	}
	if err != nil {
		return nil, err
	}
	return c.CreateTenant(ctx, token, client.NewTenant{
		Slug: f.slug, Name: firstOf(f.tenantName, f.slug), Owner: keys.ID(), PublicReading: f.publicRead,
	})
}

// makeKnown registers an identity at the node, with the bootstrap token that is
// found where that alone lets somebody in. It says whether the identity is new there.
func makeKnown(ctx context.Context, c *client.Client, keys *id.Keys, find func() (string, error), handle, name string) (*client.Identity, bool, error) {
	info, created, err := c.Register(ctx, remote.Registration(keys, handle, name))
	if client.CodeOf(err) != codeRegistrationClosed {
		return info, created, err
	}
	token, lost := find()
	if token == "" || lost != nil {
		return nil, false, errors.Join(err, lost)
	}
	return c.RegisterFirst(ctx, token, remote.Registration(keys, handle, name))
}

// findToken looks for the bootstrap token where it can be. Finding none is no
// error: the node may let anybody make tenants, and says so if not.
func (f *onboardFlags) findToken(env *environment) (string, error) {
	if token, err := givenToken(env, f.tokenFile); token != "" || err != nil {
		return token, err
	}
	path := filepath.Join(firstOf(f.dataDir, env.Getenv("LOGLINE_DATA_DIR"), "logline-data"), bootstrapToken)
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		return strings.TrimSpace(string(raw)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fileError("read", path, err)
	case f.dataDir != "":
		return "", fault.Newf(fault.NotFound, "bootstrap_token_missing",
			"there is no %s: either this is not the node's data directory, or the token has been spent on a first tenant", path)
	default:
		fmt.Fprintf(env.Stderr, "No bootstrap token found (looked at LOGLINE_BOOTSTRAP_TOKEN and %s); trying without.\n", path)
		return "", nil
	}
}
