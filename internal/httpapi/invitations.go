package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Invitations bring people into tenants. *invite.Service implements it.
type Invitations interface {
	Create(ctx context.Context, tenant timeline.Tenant, by string, t invite.Terms) (invite.Invitation, error)
	List(ctx context.Context, tenant, after string, limit int) ([]invite.Invitation, error)
	// Mail mails the link of an invitation, and says in it what came of that.
	Mail(ctx context.Context, tenant timeline.Tenant, i invite.Invitation, to string, t invite.Token) (invite.Invitation, error)
	Revoke(ctx context.Context, tenant, invitation, by string) (invite.Invitation, error)
	// Look, Admit and Accept answer whatever gives nothing with invite.ErrInvalid.
	Look(ctx context.Context, t invite.Token) (invite.Preview, error)
	Admit(ctx context.Context, t invite.Token, who invite.Newcomer) error
	Accept(ctx context.Context, t invite.Token, identity string) (invite.Grant, error)
	// Accepted is what an identity got that has accepted.
	Accepted(ctx context.Context, t invite.Token, identity string) (invite.Grant, error)
}

var (
	errInviter    = fault.New(fault.Forbidden, "role_forbidden", "invitations are for the tenant's owners and admins")
	errInviterKey = fault.New(fault.Forbidden, "invitations_key_forbidden",
		"a delegated key and an API key invite only if they name logline.member; sign with the identity's own key")
	errJoiner = fault.New(fault.Forbidden, "identity_not_yours", "the token in Authorization is of another identity than the key events; send one of the two")
)

// inviter finds the tenant for a caller who may invite to it, by a credential that
// may grant roles itself.
func (s *Server) inviter(c echo.Context, tenant string) (sight, error) {
	seen, err := s.lookKnown(c, tenant)
	switch {
	case err != nil:
	case !seen.view.Can(seen.who.Identity, standing.RightAdminister):
		err = errInviter
	case !seen.who.Covers(span.TypeMember):
		err = errInviterKey
	}
	return seen, err
}

// CreateInvitation invites somebody to a role.
func (s *Server) CreateInvitation(c echo.Context, tenant api.TenantParameter) error {
	seen, err := s.inviter(c, tenant)
	if err != nil {
		return err
	}
	var body api.NewInvitation
	if err := s.bind(c, &body); err != nil {
		return err
	}
	terms := invite.Terms{ID: body.Id, Role: body.Role, ExpiresAt: body.Expires, Uses: body.Uses, Span: body.Span, Delegation: body.Delegation}
	if terms.Hash, err = span.ParseB64(body.TokenHash, -1); err != nil {
		return fault.From(err).At("/token_hash", "is not base64url")
	}
	if terms.Sealed, err = span.ParseB64(body.Sealed, -1); err != nil {
		return fault.From(err).At("/sealed", "is not base64url")
	}
	var token invite.Token
	if body.Mail != nil {
		if token, err = invite.ParseToken(body.Mail.Token); err == nil {
			_, err = mail.ParseAddress(body.Mail.To)
		}
		if err != nil {
			return fault.From(err).At("/mail", "cannot be sent")
		}
	}
	made, err := s.deps.Invitations.Create(c.Request().Context(), seen.Tenant, seen.who.Identity, terms)
	if err == nil && body.Mail != nil {
		made, err = s.deps.Invitations.Mail(c.Request().Context(), seen.Tenant, made, body.Mail.To, token)
	}
	if err != nil {
		return err
	}
	out := invitationOf(&made)
	out.Page = s.deps.PublicURL
	return answer(c, http.StatusCreated, out)
}

// ListInvitations lists a tenant's invitations.
func (s *Server) ListInvitations(c echo.Context, tenant api.TenantParameter, params api.ListInvitationsParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	seen, err := s.inviter(c, tenant)
	if err != nil {
		return err
	}
	limit, err := pageLimit(params.Limit)
	if err != nil {
		return err
	}
	after, err := afterOf(params.Cursor)
	if err != nil {
		return err
	}
	list, err := s.deps.Invitations.List(c.Request().Context(), seen.ID, after, limit+1)
	if err != nil {
		return err
	}
	page := api.InvitationPage{Items: []api.Invitation{}}
	for i := range list {
		if i == limit {
			next := base64.RawURLEncoding.EncodeToString([]byte(list[limit-1].ID))
			page.Next = &next
			break
		}
		page.Items = append(page.Items, invitationOf(&list[i]))
	}
	return answer(c, http.StatusOK, page)
}

// RevokeInvitation withdraws an invitation.
func (s *Server) RevokeInvitation(c echo.Context, tenant api.TenantParameter, invitation api.InvitationParameter) error {
	seen, err := s.inviter(c, tenant)
	if err != nil {
		return err
	}
	revoked, err := s.deps.Invitations.Revoke(c.Request().Context(), seen.ID, invitation, seen.who.Identity)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, invitationOf(&revoked))
}

// LookAtInvitation says what an invitation would give.
func (s *Server) LookAtInvitation(c echo.Context) error {
	var body api.InvitationToken
	if err := s.bind(c, &body); err != nil {
		return err
	}
	token, err := s.invitationToken(c, body.Token)
	if err != nil {
		return err
	}
	p, err := s.deps.Invitations.Look(c.Request().Context(), token)
	if err != nil {
		return err
	}
	by, err := s.deps.Directory.Get(c.Request().Context(), p.Inviter)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.InvitationPreview{
		Tenant: p.Tenant.ID, Slug: p.Tenant.Slug, Name: p.Tenant.Name, Role: p.Role, Inviter: by.ID, InviterName: called(by), Expires: p.ExpiresAt,
		Visitors: p.Visitors, Registration: s.registration() != RegistrationClosed,
	})
}

// called is what the directory calls somebody, "" for whom it has no name.
func called(who id.Info) string {
	if who.Handle == "" {
		return who.Name
	}
	return strings.TrimLeft(who.Name+" @"+who.Handle, " ")
}

// invitationToken reads a token, once it has counted that somebody tries one.
func (s *Server) invitationToken(c echo.Context, text string) (invite.Token, error) {
	if err := s.countTry(c); err != nil {
		return invite.Token{}, err
	}
	return invite.ParseToken(text)
}

// AcceptInvitation takes the role of an invitation.
func (s *Server) AcceptInvitation(c echo.Context) error {
	var body api.InvitationAcceptance
	if err := s.bind(c, &body); err != nil {
		return err
	}
	token, err := s.invitationToken(c, body.Token)
	if err != nil {
		return err
	}
	g, err := s.join(c, &body, token)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.InvitationGrant{
		Tenant: g.Tenant.ID, Slug: g.Tenant.Slug, Name: g.Tenant.Name, Identity: g.Identity, Role: g.Role, Span: g.Span, Pending: g.Pending,
	})
}

// join gives the role to whose key events are sent, registered where the node does
// not know them, or else to the caller. Key events are open to all, so those of an
// identity that is known prove nothing; they are enough to ask once more what came
// of it.
func (s *Server) join(c echo.Context, body *api.InvitationAcceptance, token invite.Token) (invite.Grant, error) {
	ctx := c.Request().Context()
	if len(body.Events) == 0 {
		return s.joinAs(c, token, "")
	}
	identity, err := foundedBy([][]byte{body.Events[0]})
	if err != nil {
		return invite.Grant{}, err
	}
	_, err = s.deps.Directory.Chain(ctx, identity)
	switch {
	case err == nil:
		g, err := s.deps.Invitations.Accepted(ctx, token, identity)
		if fault.CodeOf(err) == invite.ErrInvalid.Code {
			return s.joinAs(c, token, identity)
		}
		return g, err
	case fault.KindOf(err) != fault.NotFound:
		return invite.Grant{}, err
	}
	info, _, err := s.register(c, api.Registration{Events: body.Events, Handle: body.Handle, Name: body.Name, Admission: body.Token})
	if err != nil {
		return invite.Grant{}, err
	}
	return s.deps.Invitations.Accept(ctx, token, info.ID)
}

// joinAs gives the role to the caller, who must be identity unless that is "".
func (s *Server) joinAs(c echo.Context, token invite.Token, identity string) (invite.Grant, error) {
	who, err := s.known(c)
	switch {
	case err != nil:
	case manages(who) != nil: // a role outlives whatever credential
		err = manages(who)
	case identity != "" && who.Identity != identity:
		err = errJoiner
	}
	if err != nil {
		return invite.Grant{}, err
	}
	return s.deps.Invitations.Accept(c.Request().Context(), token, who.Identity)
}

func invitationOf(i *invite.Invitation) api.Invitation {
	return api.Invitation{
		Id: i.ID, Tenant: i.Tenant, Role: i.Role, Inviter: i.Inviter, Signer: i.Signer, CreatedAt: i.CreatedAt, Expires: i.ExpiresAt,
		State: api.InvitationState(i.State), AcceptedBy: i.AcceptedBy, AcceptedAt: i.AcceptedAt, Grant: i.GrantID,
		RevokedBy: i.RevokedBy, RevokedAt: i.RevokedAt, MailedAt: i.MailedAt, MailProblem: i.MailProblem, Uses: i.Uses, Used: i.Used,
	}
}
