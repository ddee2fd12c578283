package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newDoorCmd(env *environment) *cobra.Command {
	return group("door", "Let visitors in by a link that many may use",
		`An owner or an admin opens a door; whoever has its link comes in as a ghost, an
identity that ends by itself, and is a guest: logline visit LINK.`,
		newDoorOpenCmd(env),
	)
}

func newDoorOpenCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var uses int
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "open",
		Short: "Open a door for visitors, and show its link",
		Long: `Open a door for visitors and show its link, which is not shown again. It leaves a
span invitation.created. The key that lets visitors in is yours, delegated for that
alone; it stays sealed under the link until the last use or the end.`,
		Example: "  logline door open --uses 20 --expires 48h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if uses < 1 || uses > invite.MaxUses {
				return usagef("--uses must be 1 to %d", invite.MaxUses)
			}
			if life <= 0 || life > invite.MaxLife {
				return usagef("--expires is a time such as 48h, at most 720h (30 days)")
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			token, made, err := s.invite(cmd, invite.Told{Role: span.RoleGuest, Expires: span.FormatTime(env.Now().Add(life)), Uses: uses}, "")
			if err != nil {
				return err
			}
			link := invite.Link(firstOf(made.Page, s.profile.URL), token)
			if flags.json {
				return printJSON(env.Stdout, map[string]any{"invitation": made, "link": link})
			}
			fmt.Fprintf(env.Stderr, "The link, which is not shown again. By it %s can come until %s:\n", ui.Plural(int64(uses), "visitor", "visitors"), made.Expires)
			fmt.Fprintln(env.Stdout, link)
			fmt.Fprintf(env.Stderr, "\nIn a terminal: logline visit LINK\nWho came: logline list --cause %s\n", made.Id)
			return nil
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().IntVar(&uses, "uses", 10, fmt.Sprintf("how many visitors may come, at most %d", invite.MaxUses))
	cmd.Flags().DurationVar(&life, "expires", 24*time.Hour, "how long the door is open, and visitors last, at most 720h")
	return cmd
}

// visitFlags say where a visitor's ghost is kept.
type visitFlags struct {
	profile, url         string
	noPassphrase, asJSON bool
}

func newVisitCmd(env *environment) *cobra.Command {
	var f visitFlags
	cmd := &cobra.Command{
		Use:   "visit LINK",
		Short: "Come into a tenant as a visitor, under a ghost that ends by itself",
		Long: `Come into a tenant by the link of a door: makes a ghost, an identity with one key
and an end, and saves it as a profile. Interrupted, run it again: it goes on with
the ghost that it made. Whoever stays claims the ghost: logline identity claim
--ghost-key FILE.`,
		Example: "  logline visit 'https://log.example.com/onboard#invite=lli_…'",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), env, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "", "name of the profile to make (default: visit- and the tenant's slug)")
	flags.StringVar(&f.url, "url", "", "the node, instead of the link's")
	flags.BoolVar(&f.noPassphrase, "no-passphrase", false, "keep the key unprotected")
	registerJSON(cmd, &f.asJSON)
	return cmd
}

func (f *visitFlags) run(ctx context.Context, env *environment, link string) error {
	at, token, err := invite.ParseLink(link)
	if err != nil {
		return &usageError{err: err}
	}
	all, err := loadProfiles(env)
	if err != nil {
		return err
	}
	p := profile{URL: firstOf(f.url, at, env.Getenv("LOGLINE_URL"), defaultURL)}
	c, err := dial(env, p, nil)
	if err != nil {
		return err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return err
	}
	door, err := c.LookAtInvitation(ctx, token.Reveal())
	hash := sha256.Sum256([]byte("logline.visit.v1\n" + token.Reveal()))
	p.Door = hex.EncodeToString(hash[:])
	begun := f.begun(all, node.Id, p.Door)
	switch {
	case client.CodeOf(err) == invite.ErrInvalid.Code && begun != "": // its last use may be ours
		door = &client.InvitationPreview{}
	case err != nil:
		return err
	case !door.Visitors:
		return usagef("this link is an invitation for one person, not a door for visitors")
	default:
		begun = "visit-" + door.Slug
	}
	p.Node, p.Name = node.Id, firstOf(f.profile, begun)
	if old, ok := all.find(p.Name); ok && (old.Tenant != "" || old.Node != p.Node) {
		return usagef("profile %q is there already; choose another with --profile", p.Name)
	}
	p.KeyFile = filepath.Join(filepath.Dir(all.path), "keys", p.Name+".key")
	keys, err := f.ghost(env, p.KeyFile, door.Expires)
	if err != nil {
		return err
	}
	p.Identity = keys.ID()
	if err := all.put(p, false); err != nil { // not the current one before it works
		return err
	}
	if c, err = dial(env, p, keys); err != nil {
		return err
	}
	body := client.InvitationAcceptance{Token: token.Reveal()}
	for _, event := range keys.Events() {
		body.Events = append(body.Events, event)
	}
	grant, err := c.AcceptInvitation(ctx, body)
	if err != nil {
		return err
	}
	p.Tenant, p.Slug = grant.Tenant, grant.Slug
	if err := all.put(p, true); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(env.Stdout, map[string]any{"profile": p, "grant": grant})
	}
	done := "You visit %s as a ghost, which ends at %s; profile %q is the current one.\n"
	if grant.Pending {
		done = "You will visit %s once its people have agreed, as a ghost, which ends at %s; profile %q is the current one.\n"
	}
	fmt.Fprintf(env.Stdout, done, ui.Clean(grant.Name), keys.Chain().Expires(), p.Name)
	facts(env.Stdout, "tenant", grant.Slug+"  "+grant.Tenant, "identity", p.Identity, "key file", p.KeyFile, "grant", grant.Span, "node", p.URL)
	return nil
}

// begun is the profile of a visit by a door that was interrupted; "" where there is none.
func (f *visitFlags) begun(all *profiles, node, door string) string {
	for _, q := range all.Profiles {
		if q.Node == node && q.Door == door && q.Tenant == "" && (f.profile == "" || q.Name == f.profile) && exists(q.KeyFile) {
			return q.Name
		}
	}
	return ""
}

// ghost makes one and keeps it in a new file, or is the one that is there.
func (f *visitFlags) ghost(env *environment, path, expires string) (*id.Keys, error) {
	if exists(path) {
		keys, _, err := loadKeys(env, path)
		return keys, err
	}
	keys, err := id.NewGhost(expires, env.Now(), rand.Reader)
	if err != nil {
		return nil, err
	}
	passphrase, err := newPassphrase(env, f.noPassphrase)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, fileError("write", path, err)
	}
	return keys, id.SaveKeys(path, keys, passphrase)
}

// claimGhost makes the ghost of a key file part of the profile's identity.
func claimGhost(cmd *cobra.Command, env *environment, flags *clientFlags, path, byKey string) error {
	s, err := flags.openKeys(env)
	if err != nil {
		return err
	}
	ghost, _, err := loadKeys(env, path)
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
	return s.claim(cmd, flags.json, ghost.ID(), event)
}

// claimOffered counter-signs what a ghost has signed elsewhere.
func claimOffered(cmd *cobra.Command, env *environment, flags *clientFlags, path, byKey string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fileError("read", path, err)
	}
	offer, err := id.ParseOffer(raw)
	if err != nil {
		return err
	}
	s, err := flags.openKeys(env)
	if err != nil {
		return err
	}
	claimer, err := s.counterSigner(byKey)
	if err != nil {
		return err
	}
	event, err := claimer.CounterSign(offer)
	if err != nil {
		return err
	}
	return s.claim(cmd, flags.json, offer.Ghost, event)
}

// counterSigner has the keys that counter-sign a claim: one's own, or those of a file.
func (s *session) counterSigner(byKey string) (*id.Keys, error) {
	if byKey == "" {
		return s.keys, nil
	}
	keys, _, err := loadKeys(s.env, byKey)
	return keys, err
}

func (s *session) claim(cmd *cobra.Command, asJSON bool, ghost string, event *id.Event) error {
	if _, err := s.client.AppendEvent(cmd.Context(), ghost, event.Raw); err != nil {
		return err
	}
	return printEvent(s.env, asJSON, ghost, event, "Claimed: "+ghost+"\nis now part of "+event.By+".")
}
