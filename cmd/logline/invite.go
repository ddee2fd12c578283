package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/ui"
)

func newInviteCmd(env *environment) *cobra.Command {
	return group("invite", "Invite people to the tenant by links that work once",
		`An owner or an admin invites; whoever opens the link takes the role, once. The
secret is in the link alone: neither the node nor its database can use the
invitation before that, and the grant is signed by a key that you delegate to it.`,
		newInviteCreateCmd(env),
		newInviteListCmd(env),
		newInviteRevokeCmd(env),
		newInviteAcceptCmd(env),
	)
}

// defaultInvitation is how long an invitation lasts where nobody says.
const defaultInvitation = 7 * 24 * time.Hour

func newInviteCreateCmd(env *environment) *cobra.Command {
	var flags clientFlags
	var role, email string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an invitation, and show its link",
		Long: `Make an invitation and show its link, which is not shown again: whoever has it can
take the role. It leaves a span invitation.created, without a name or an address.`,
		Example: `  logline invite create
  logline invite create --role auditor --expires 48h
  logline invite create --email bo@example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkInvited(role, email); err != nil {
				return err
			}
			if life <= 0 || life > invite.MaxLife {
				return usagef("--expires is a time such as 48h, at most 720h (30 days)")
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			token, made, err := s.invite(cmd, invite.Told{Role: role, Expires: span.FormatTime(env.Now().Add(life))}, email)
			if err != nil {
				return err
			}
			link := invite.Link(firstOf(made.Page, s.profile.URL), token)
			if flags.json {
				return printJSON(env.Stdout, map[string]any{"invitation": made, "link": link})
			}
			switch {
			case email != "" && made.MailProblem != "":
				fmt.Fprintf(env.Stderr, "Not mailed to %s: %s.\n", ui.Clean(email), ui.Clean(made.MailProblem))
			case email != "":
				fmt.Fprintf(env.Stderr, "Mailed to %s.\n", ui.Clean(email))
			}
			fmt.Fprintf(env.Stderr, "The link, which is not shown again. Whoever has it can become %s until %s:\n", made.Role, made.Expires)
			fmt.Fprintln(env.Stdout, link)
			fmt.Fprintf(env.Stderr, "\nIn a terminal: logline invite accept LINK\nTo withdraw it: logline invite revoke %s\n", made.Id)
			return nil
		},
	}
	flags.registerTenant(cmd)
	cmd.Flags().StringVar(&role, "role", span.RoleMember, "what the person will be: "+builtinRoles+", or a role that a contract declares")
	cmd.Flags().StringVar(&email, "email", "", "address to mail the link to, where the node is configured for that; the link is shown either way")
	cmd.Flags().DurationVar(&life, "expires", defaultInvitation, "how long the link works, at most 720h")
	return cmd
}

// checkInvited refuses a role or an address that no node would take.
func checkInvited(role, email string) error {
	if !span.ValidRole(role) {
		return usagef("%q is not a role; built-in ones: %s", ui.Clean(role), builtinRoles)
	}
	if email == "" {
		return nil
	}
	if _, err := mail.ParseAddress(email); err != nil {
		return usagef("%q: %s", ui.Clean(email), fault.From(err).Detail)
	}
	return nil
}

// newInvitation is an invitation whose parts are chosen: sent again, it is the same.
type newInvitation struct {
	told  invite.Told
	email string // "": this node mails nothing
	token invite.Token
	seed  [invite.SeedSize]byte // of the key that signs the grant
	time  string                // of the span
}

// draftInvitation chooses the parts by rand.
func draftInvitation(told invite.Told, email string, now time.Time, rand io.Reader) (n newInvitation, err error) {
	n = newInvitation{told: told, email: email, time: span.FormatTime(now)}
	if n.token, err = invite.NewToken(rand); err != nil {
		return n, err
	}
	if _, err := io.ReadFull(rand, n.seed[:]); err != nil {
		return n, err
	}
	if n.told.Invitation == "" {
		n.told.Invitation, err = span.RandomID(now, rand)
	}
	return n, err
}

// invite makes an invitation, or a door where told says how many may come.
func (s *session) invite(cmd *cobra.Command, told invite.Told, email string) (invite.Token, *client.Invitation, error) {
	n, err := draftInvitation(told, email, s.env.Now(), rand.Reader)
	if err != nil {
		return n.token, nil, err
	}
	made, err := s.sendInvitation(cmd.Context(), n)
	if err != nil { // nobody has the key: it is withdrawn for tidiness, as far as that goes
		signer := id.NewSecretKey(n.seed).Public()
		if _, stands := s.keys.Chain().Key(signer); stands {
			_, _ = s.change(cmd.Context(), func(k *id.Keys) (*id.Event, error) { return k.Undelegate(signer, s.env.Now()) })
		}
	}
	return n.token, made, err
}

// sendInvitation has the node take an invitation: a key of its own, delegated to grant
// the role, sealed under a token that is given to nobody but the caller and, where
// there is an address, whoever has that mailbox. The same again makes no second one.
func (s *session) sendInvitation(ctx context.Context, n newInvitation) (*client.Invitation, error) {
	tenant, err := s.tenantID(ctx)
	if err != nil {
		return nil, err
	}
	sealed, err := n.token.Seal(tenant, n.told.Invitation, n.seed, rand.Reader)
	if err != nil {
		return nil, err
	}
	payload, err := span.Canonical(n.told)
	if err != nil {
		return nil, err
	}
	signer, err := signerOf(s.keys, "")
	if err != nil {
		return nil, err
	}
	signed, err := id.SealSpan(signer, span.Header{
		ID: n.told.Invitation, Tenant: tenant, Author: s.keys.ID(), Type: invite.TypeCreated, Time: n.time,
		Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}, payload, importer.Salt(s.keys.Secret(), n.told.Invitation))
	if err != nil {
		return nil, err
	}
	event, err := s.delegateGrant(ctx, id.NewSecretKey(n.seed).Public(), n.told.Expires)
	if err != nil {
		return nil, err
	}
	asked := client.NewInvitation{
		Id: n.told.Invitation, Role: n.told.Role, Expires: n.told.Expires, Uses: n.told.Uses,
		TokenHash: n.token.Hash().String(), Sealed: span.B64(sealed), Span: signed.Canonical(), Delegation: event.Raw,
	}
	if n.email != "" {
		asked.Mail = &client.InvitationMail{To: n.email, Token: n.token.Reveal()}
	}
	return s.client.Invite(ctx, tenant, asked)
}

// delegateGrant delegates the grant of a role to a key, once.
func (s *session) delegateGrant(ctx context.Context, key, expires string) (*id.Event, error) {
	for _, raw := range s.keys.Events() {
		event, err := id.ParseEvent(raw)
		if err != nil {
			return nil, err
		}
		if event.Kind == id.KindDelegate && event.Key == key {
			_, err = s.sendEvents(ctx)
			return event, err
		}
	}
	return s.change(ctx, func(k *id.Keys) (*id.Event, error) {
		return k.DelegateKey(key, invite.Label, []string{span.TypeMember}, expires, "", s.env.Now())
	})
}

func newInviteListCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tenant's invitations, those that are over too",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			list, err := s.client.Invitations(cmd.Context(), s.profile.Tenant)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, list)
			}
			table := ui.NewTable("INVITATION", "ROLE", "STATE", "EXPIRES", "BY", "ACCEPTED BY")
			for i := range list {
				table.Row(list[i].Id, list[i].Role, string(list[i].State), list[i].Expires, list[i].Inviter, list[i].AcceptedBy)
			}
			return writeTable(env, table)
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

func newInviteRevokeCmd(env *environment) *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "revoke INVITATION",
		Short: "Withdraw an invitation that nobody has accepted",
		Long: `Withdraw an invitation: its link gives nothing from now on, and its key is destroyed.
It leaves a span invitation.revoked; where you made the invitation, the delegation of
its key is withdrawn too.`,
		Example: "  logline invite revoke 019…",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			invitation, err := spanArg(args[0])
			if err != nil {
				return err
			}
			s, err := flags.openTenant(env)
			if err != nil {
				return err
			}
			revoked, err := s.revokeInvitation(cmd, invitation)
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(env.Stdout, revoked)
			}
			fmt.Fprintf(env.Stdout, "Withdrew the invitation %s to be %s.\n", revoked.Id, revoked.Role)
			return nil
		},
	}
	flags.registerTenant(cmd)
	return cmd
}

// revokeInvitation withdraws an invitation, tells of it, and withdraws the delegation
// of its key where that is ours. Each may be done again.
func (s *session) revokeInvitation(cmd *cobra.Command, invitation string) (*client.Invitation, error) {
	ctx := cmd.Context()
	revoked, err := s.client.RevokeInvitation(ctx, s.profile.Tenant, invitation)
	if err != nil || revoked.RevokedBy != s.keys.ID() {
		return revoked, err
	}
	payload, err := span.Canonical(invite.Withdrawn{Invitation: invitation})
	if err != nil {
		return nil, err
	}
	at, err := span.ParseTime(revoked.RevokedAt)
	if err != nil {
		return nil, err
	}
	mark := span.Sum([]byte(invite.TypeRevoked + invitation))
	f := appendFlags{typ: invite.TypeRevoked, visibility: span.VisibilityOrganization, causes: []string{invitation}, spanID: span.NewID(at, [10]byte(mark[:10]))}
	signed, err := f.seal(cmd, s, payload)
	if err != nil {
		return nil, err
	}
	if _, err := s.client.Append(ctx, signed.Tenant, signed.Canonical()); err != nil && client.CodeOf(err) != "id_conflict" { // told before
		return nil, err
	}
	if _, stands := s.keys.Chain().Key(revoked.Signer); revoked.Inviter != s.keys.ID() || !stands {
		return revoked, nil
	}
	_, err = s.change(ctx, func(k *id.Keys) (*id.Event, error) { return k.Undelegate(revoked.Signer, s.env.Now()) })
	return revoked, err
}

// acceptFlags say who takes an invitation.
type acceptFlags struct {
	profile, url, keyFile, handle, name, subject string
	noPassphrase, asJSON                         bool
}

func newInviteAcceptCmd(env *environment) *cobra.Command {
	var f acceptFlags
	cmd := &cobra.Command{
		Use:   "accept LINK",
		Short: "Take the role that a link gives, and save the tenant as a profile",
		Long: `Take the role of an invitation. Your identity is that of the current profile, or of
--key-file; where there is none yet, one is made, protected by a passphrase, and
registered at the node by the invitation.

When it is interrupted, run it again: it continues with the key it made.`,
		Example: `  logline invite accept 'https://log.example.com/onboard#invite=lli_…'
  logline invite accept LINK --handle bo --name "Bo Berg"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, env, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "", "name of the profile to make (default: the tenant's slug)")
	flags.StringVar(&f.url, "url", "", "the node, instead of the link's")
	flags.StringVar(&f.keyFile, "key-file", "", "the key to accept with; made where there is none")
	flags.StringVar(&f.handle, "handle", "", "your @handle in the node's directory, if you are new there")
	flags.StringVar(&f.name, "name", "", "your name in the node's directory, which can be erased")
	flags.StringVar(&f.subject, "subject", "person", "what you are: person, organization, service or agent")
	flags.BoolVar(&f.noPassphrase, "no-passphrase", false, "keep a key that is made unprotected")
	registerJSON(cmd, &f.asJSON)
	return cmd
}

func (f *acceptFlags) run(cmd *cobra.Command, env *environment, link string) error {
	ctx := cmd.Context()
	at, token, err := invite.ParseLink(link)
	if err != nil {
		return &usageError{err: err}
	}
	all, err := loadProfiles(env)
	if err != nil {
		return err
	}
	current, _ := all.find(all.Current)
	p := profile{URL: firstOf(f.url, at, env.Getenv("LOGLINE_URL"), current.URL, defaultURL)}
	c, err := dial(env, p, nil)
	if err != nil {
		return err
	}
	node, err := c.Node(ctx)
	if err != nil {
		return err
	}
	p.Node = node.Id
	p.Name, err = f.profileFor(cmd, c, all, token, &p)
	if err != nil {
		return err
	}
	made, _ := all.find(p.Name)
	p.KeyFile = firstOf(f.keyFile, made.KeyFile, current.KeyFile)
	keys, _, err := (&onboardFlags{subject: f.subject, noPassphrase: f.noPassphrase}).openKeys(env, all, &p)
	if err != nil {
		return err
	}
	p.Identity = keys.ID()
	if err := all.put(p, false); err != nil { // not the current one before it works
		return err
	}
	grant, err := f.accept(cmd, env, p, keys, token)
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
	done := "You are %s of %s now; profile %q is the current one.\n"
	if grant.Pending {
		done = "You will be %s of %s once its people have agreed; profile %q is the current one.\n"
	}
	fmt.Fprintf(env.Stdout, done, grant.Role, ui.Clean(grant.Name), p.Name)
	facts(env.Stdout, "tenant", grant.Slug+"  "+grant.Tenant, "identity", p.Identity, "key file", p.KeyFile, "grant", grant.Span, "node", p.URL)
	return nil
}

// profileFor is the profile that will have the tenant: the one that is asked for,
// else one of the tenant's slug. One of another tenant is left alone; one of an
// interrupted try is gone on with.
func (f *acceptFlags) profileFor(cmd *cobra.Command, c *client.Client, all *profiles, token invite.Token, p *profile) (string, error) {
	name := f.profile
	preview, err := c.LookAtInvitation(cmd.Context(), token.Reveal())
	switch {
	case err == nil:
		name = firstOf(name, preview.Slug)
	case client.CodeOf(err) != invite.ErrInvalid.Code:
		return "", err
	default: // it may be used by whoever asks here
		for _, q := range all.Profiles {
			if q.Node == p.Node && q.Tenant == "" && name == "" {
				name = q.Name
			}
		}
		if name == "" {
			return "", err
		}
	}
	if old, ok := all.find(name); ok && old.Tenant != "" && (preview == nil || old.Tenant != preview.Tenant || old.Node != p.Node) {
		return "", usagef("profile %q already has the tenant %s; choose another with --profile", name, firstOf(old.Slug, old.Tenant))
	}
	return name, nil
}

func (f *acceptFlags) accept(cmd *cobra.Command, env *environment, p profile, keys *id.Keys, token invite.Token) (*client.InvitationGrant, error) {
	c, err := dial(env, p, keys)
	if err != nil {
		return nil, err
	}
	body := client.InvitationAcceptance{Token: token.Reveal(), Handle: f.handle, Name: f.name}
	for _, event := range keys.Events() {
		body.Events = append(body.Events, event)
	}
	return c.AcceptInvitation(cmd.Context(), body)
}
