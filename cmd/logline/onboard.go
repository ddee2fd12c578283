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
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/ui"
)

const (
	defaultURL     = "http://127.0.0.1:8080"
	bootstrapToken = "bootstrap-token" // file in the node's data directory

	codeRegistrationClosed = "registration_closed"
)

// onboardFlags say who begins, and what.
type onboardFlags struct {
	profile, url, keyFile, subject string
	tokenFile, dataDir             string
	noPassphrase, asJSON           bool
	yes, resume                    bool
	inviteTo                       []string
	inviteLife                     time.Duration

	answers
	given func(flag string) bool // it stands on the command line
}

func newOnboardCmd(env *environment) *cobra.Command {
	var f onboardFlags
	cmd := &cobra.Command{
		Use:   "onboard [SLUG]",
		Short: "From nothing to a first verified span: identity, tenant, recovery, template",
		Long: `Make your identity (a key file, protected by a passphrase) and with it a tenant
named SLUG (default: main), or join one by an invitation; then a recovery sheet, a
template, invitations for others and a first span, whose receipt is checked here.

On a terminal it asks for what no flag says; Enter takes what stands in brackets.
With --yes nothing is asked and the rest is as in brackets. Without a terminal and
without --yes, --invite, --template, --retention, --invite-to or --recovery-sheet, it
makes the identity and the tenant, and leaves the rest for later (--resume).

The node's one-time bootstrap token is taken from --token-file, from
LOGLINE_BOOTSTRAP_TOKEN or, on the same machine, from the file bootstrap-token in
the node's data directory. Every command asks for the passphrase;
LOGLINE_PASSPHRASE answers for scripts.

When it is interrupted, run it again: it goes on where it was, and nothing is
made twice.`,
		Example: `  logline onboard
  logline onboard acme --tenant-name "Acme Ltd" --handle ana --name "Ana Lima"
  logline onboard acme --template approvals --retention 365d --recovery-sheet sheet.txt --yes
  logline onboard acme --invite-to admin --invite-to auditor:bo@example.com --yes
  logline onboard --invite https://logline.example/onboard#invite=lli_…`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.given = cmd.Flags().Changed
			f.answers.Slug = "main"
			if len(args) == 1 {
				f.answers.Slug = args[0]
				f.given = func(flag string) bool { return flag == "slug" || cmd.Flags().Changed(flag) }
			}
			return f.run(cmd.Context(), env)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "default", "name of the profile to make")
	flags.StringVar(&f.url, "url", "", "the node (default "+defaultURL+", or LOGLINE_URL)")
	flags.StringVar(&f.TenantName, "tenant-name", "", "the tenant's name for people (default: its slug)")
	flags.StringVar(&f.Handle, "handle", "", "your @handle in the node's directory")
	flags.StringVar(&f.Name, "name", "", "your name in the node's directory, which can be erased")
	flags.StringVar(&f.subject, "subject", "person", "what you are: person, organization, service or agent")
	flags.StringVar(&f.keyFile, "key-file", "", "where the key is kept (default: the user's configuration folder)")
	f.registerToken(cmd)
	flags.BoolVar(&f.noPassphrase, "no-passphrase", false, "keep the key unprotected")
	flags.BoolVar(&f.PublicReading, "public-reading", false, "let anybody read what is marked public")
	flags.StringVar(&f.Retention, "retention", "", "erase payloads after so many days, such as 365d (default: they stay)")
	flags.StringVar(&f.Template, "template", "", "what the tenant begins with: a `NAME` of logline template list, or none")
	flags.StringVar(&f.Invite, "invite", "", "join by an invitation, its `LINK` or token, instead of making a tenant")
	flags.StringArrayVar(&f.inviteTo, "invite-to", nil, "invite somebody: a `ROLE`, or ROLE:EMAIL to have the node mail the link; repeatable")
	flags.DurationVar(&f.inviteLife, "invite-expires", defaultInvitation, "how long the links of --invite-to work, at most 720h")
	flags.StringVar(&f.Sheet, "recovery-sheet", "", "write the recovery sheet to a new `FILE`, as a page where it ends in .pdf; or none")
	flags.BoolVar(&f.yes, "yes", false, "ask nothing, and do all steps")
	flags.BoolVar(&f.resume, "resume", false, "go on with what was begun before, to its end")
	registerJSON(cmd, &f.asJSON)
	cmd.MarkFlagsMutuallyExclusive("invite", "template")
	cmd.MarkFlagsMutuallyExclusive("invite", "retention")
	cmd.MarkFlagsMutuallyExclusive("invite", "tenant-name")
	cmd.MarkFlagsMutuallyExclusive("invite", "public-reading")
	cmd.MarkFlagsMutuallyExclusive("invite", "invite-to")
	return cmd
}

// registerToken adds the flags that findToken goes by.
func (f *onboardFlags) registerToken(cmd *cobra.Command) {
	registerTokenFile(cmd, &f.tokenFile)
	cmd.Flags().StringVar(&f.dataDir, "data-dir", "", "the node's data directory, to find the token (default ./logline-data, or LOGLINE_DATA_DIR)")
}

// whole says whether all steps are done, and not only those that make a profile work.
func (f *onboardFlags) whole(asks bool) bool {
	return asks || f.yes || f.resume || f.given("template") || f.given("retention") || f.given("recovery-sheet") || f.given("invite") || f.given("invite-to")
}

// check refuses, before anything is asked or made, flags that say nothing.
func (f *onboardFlags) check() error {
	if !profileName.MatchString(f.profile) {
		return usagef("--profile %q must be lower-case letters, digits, dots, dashes and underscores", f.profile)
	}
	if f.given("slug") && f.given("invite") {
		return usagef("an invitation has its tenant: leave out %q, or --invite", ui.Clean(f.answers.Slug))
	}
	if err := f.readInvitees(); err != nil {
		return err
	}
	return f.answers.check()
}

func (f *onboardFlags) run(ctx context.Context, env *environment) error {
	if err := f.check(); err != nil {
		return err
	}
	all, err := loadProfiles(env)
	if err != nil {
		return err
	}
	j, err := f.begin(env, all)
	if err != nil {
		return err
	}
	if err := j.connect(ctx); err != nil {
		return err
	}
	if j.isOver("invitations") && j.undrafted() != nil {
		return usagef("the invitations of this onboarding are done; make others with logline invite create when it is finished, and leave out --invite-to")
	}
	if !j.isOver("tenant") && j.saved.Answers.Invite == "" {
		if j.token, err = f.findToken(env); err != nil {
			return err
		}
	}
	if j.asks {
		if err := j.ask(ctx, f.given); err != nil {
			return err
		}
	}
	if j.keys, j.passphrase, err = f.openKeys(env, all, &j.p); err != nil {
		return err
	}
	j.p.Identity = j.keys.ID()
	if err := all.put(j.p, false); err != nil { // not the current one before it works
		return err
	}
	if err := j.play(ctx); err != nil {
		return err
	}
	if err := j.told(f.asJSON); err != nil || !j.saved.Whole {
		return err
	}
	return j.forget()
}

// begin takes up what was begun before for this profile, or begins anew.
func (f *onboardFlags) begin(env *environment, all *profiles) (*journey, error) {
	old, _ := all.find(f.profile)
	j := &journey{env: env, all: all, asks: onTerminal(env) && !f.yes && !f.asJSON}
	found, err := j.load(filepath.Join(filepath.Dir(all.path), "onboarding", f.profile+".json"))
	if err != nil {
		return nil, err
	}
	switch {
	case f.resume && !found:
		return nil, usagef("there is nothing to go on with for the profile %q: either it was finished, or not begun; leave out --resume", f.profile)
	case old.Tenant != "" && !(found && (f.resume || j.saved.Whole)):
		return nil, usagef("profile %q already has the tenant %s; choose another with --profile, or go on with --resume where it was begun by this command", f.profile, firstOf(old.Slug, old.Tenant))
	}
	before := j.saved.Answers
	j.saved.Answers = f.answers.over(before, f.given, found)
	if old.KeyFile != "" && found && (f.given("handle") && f.Handle != before.Handle || f.given("name") && f.Name != before.Name) {
		j.renamed = true
	}
	j.saved.Whole = j.saved.Whole || f.whole(j.asks)
	if err := j.checkSheetFile(); err != nil && !found {
		return nil, err
	}
	old.Name = f.profile
	invited := ""
	if j.saved.Answers.Invite != "" {
		if invited, _, err = invite.ParseLink(j.saved.Answers.Invite); err != nil {
			return nil, err
		}
	}
	old.URL, old.KeyFile = firstOf(f.url, invited, env.Getenv("LOGLINE_URL"), old.URL, defaultURL), firstOf(f.keyFile, old.KeyFile)
	j.p = old
	return j, nil
}

// openKeys loads the profile's key file, or makes one.
func (f *onboardFlags) openKeys(env *environment, all *profiles, p *profile) (*id.Keys, string, error) {
	if p.KeyFile == "" {
		p.KeyFile = filepath.Join(filepath.Dir(all.path), "keys", p.Name+".key")
	}
	if exists(p.KeyFile) {
		return loadKeys(env, p.KeyFile)
	}
	return makeKeys(env, p.KeyFile, f.subject, f.noPassphrase)
}

// makeKeys makes an identity and keeps it in a new file, under the passphrase that it
// gives.
func makeKeys(env *environment, path, subject string, noPassphrase bool) (keys *id.Keys, passphrase string, err error) {
	keys, err = id.NewKeys(subject, env.Now(), rand.Reader)
	if err != nil {
		return nil, "", &usageError{err: err}
	}
	passphrase, err = newPassphrase(env, noPassphrase)
	if err != nil {
		return nil, "", err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, "", fileError("write", path, err)
	}
	return keys, passphrase, id.SaveKeys(path, keys, passphrase)
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
