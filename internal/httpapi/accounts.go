package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

var errOwnLabels = fault.New(fault.Invalid, "account_labels",
	"handle, name and admission are for an identity that is made with custody; yours is there, and PATCH /v1/identities/{identity} changes what it is called")

// CreateAccount opens an account and signs its person in.
func (s *Server) CreateAccount(c echo.Context) error {
	if err := s.fromOwnPage(c.Request()); err != nil {
		return err
	}
	var body api.NewAccount
	if err := s.bind(c, &body); err != nil {
		return err
	}
	ctx, where := c.Request().Context(), s.where(c)
	terms := account.NewAccount{Handle: body.Handle, Name: body.Name, Email: body.Email, Password: body.Password}
	if body.Custody {
		terms.Admit = func(_ context.Context, identity string) error {
			return s.admitted(c, invite.Newcomer{Identity: identity}, body.Admission)
		}
		info, err := s.deps.Accounts.CreateHeld(ctx, terms, where)
		if err != nil {
			return err
		}
		n, token, err := s.deps.Accounts.Begin(ctx, info.ID, account.ByPassword, where)
		return s.opened(c, body.Cookie, n, token, err)
	}
	who, err := s.byOwnKey(c)
	switch {
	case err != nil:
		return err
	case body.Handle+body.Name+body.Admission != "":
		return errOwnLabels
	}
	if err := s.deps.Accounts.Create(ctx, who.Identity, terms); err != nil {
		return err
	}
	n, token, err := s.deps.Accounts.BeginByKey(ctx, who, where)
	return s.opened(c, body.Cookie, n, token, err)
}

func (s *Server) opened(c echo.Context, cookie bool, n account.Session, token string, err error) error {
	if err != nil {
		return err
	}
	info, a, err := s.accountOf(c.Request().Context(), n.Identity)
	if err != nil {
		return err
	}
	out := api.AccountOpened{Identity: identityOf(info), Account: a, Session: sessionOf(n, n.ID)}
	if cookie {
		s.leaveCookie(c)
		s.setCookie(c, token, n.ExpiresAt)
	} else {
		out.Token = token
	}
	return answer(c, http.StatusCreated, out)
}

// person is a caller about whose own account a request is: signed in, or with a
// token of a key that may manage the identity.
func (s *Server) person(c echo.Context) (id.Credential, error) {
	who, err := s.known(c)
	switch {
	case err != nil:
		return who, err
	case who.APIKey != nil:
		return who, errAccountKey
	case who.Session == nil:
		return who, manages(who)
	}
	return who, nil
}

// freshPerson is person for what outlives the session.
func (s *Server) freshPerson(c echo.Context) (id.Credential, error) {
	who, err := s.person(c)
	if err == nil && who.Session != nil && !who.Session.Fresh {
		err = id.ErrSessionStale
	}
	return who, err
}

// GetAccount shows the caller's account.
func (s *Server) GetAccount(c echo.Context) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	return s.showAccount(c, who.Identity)
}

func (s *Server) showAccount(c echo.Context, identity string) error {
	_, a, err := s.accountOf(c.Request().Context(), identity)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, a)
}

func (s *Server) accountOf(ctx context.Context, identity string) (id.Info, api.Account, error) {
	a, err := s.deps.Accounts.Get(ctx, identity)
	if err != nil {
		return id.Info{}, api.Account{}, err
	}
	info, err := s.deps.Directory.Get(ctx, identity)
	if err != nil {
		return id.Info{}, api.Account{}, err
	}
	held, err := s.holds(ctx, identity)
	return info, api.Account{
		Identity: identity, Handle: info.Handle, Name: info.Name, Custody: held, Email: a.Email, EmailProven: a.EmailProven, PasswordAt: a.PasswordAt, PasswordMin: a.PasswordMin,
		SecondFactorAt: a.SecondAt, RecoveryCodesLeft: a.CodesLeft, CreatedAt: a.CreatedAt,
	}, err
}

// holds says whether this node holds an identity's keys.
func (s *Server) holds(ctx context.Context, identity string) (bool, error) {
	_, err := s.deps.Custody.Maker(ctx, identity)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}

// SetAccount changes the address of the caller's account.
func (s *Server) SetAccount(c echo.Context) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	var body api.AccountChange
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if body.Email != nil {
		if err := s.deps.Accounts.SetEmail(c.Request().Context(), who.Identity, *body.Email); err != nil {
			return err
		}
	}
	return s.showAccount(c, who.Identity)
}

var errUnmailable = fault.New(fault.Conflict, "email_unmailable", "nothing can be mailed to the address of your account as it is written; set another (PATCH /v1/account)")

var errNoEmail = fault.New(fault.Conflict, "email_none", "your account has no address; set one first (PATCH /v1/account)")

// RequestEmailProof has a code mailed to the address of the caller's account.
func (s *Server) RequestEmailProof(c echo.Context) error {
	identity, address, err := s.mailable(c)
	if err == nil {
		err = s.deps.Codes.AskProof(address, identity)
	}
	if fault.CodeOf(err) == "mail_address" {
		err = errUnmailable
	}
	if err != nil {
		return err
	}
	return answer(c, http.StatusAccepted, api.Health{Status: "accepted"})
}

// ProveEmail notes that the caller reads the address of their account.
func (s *Server) ProveEmail(c echo.Context) error {
	identity, address, err := s.mailable(c)
	if err != nil {
		return err
	}
	var body api.MailedCode
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if err := s.deps.Codes.Prove(c.Request().Context(), body.Code, address, identity); err != nil {
		return err
	}
	if err := s.deps.Accounts.ProveEmail(c.Request().Context(), identity, address); err != nil {
		return err
	}
	return s.showAccount(c, identity)
}

// mailable is the caller and the address of their account, where this node mails. It
// counts as a try.
func (s *Server) mailable(c echo.Context) (identity, address string, err error) {
	who, err := s.freshPerson(c)
	if err != nil {
		return "", "", err
	}
	if s.deps.Codes == nil {
		return "", "", errNoMail
	}
	if err := s.countTry(c); err != nil {
		return "", "", err
	}
	a, err := s.deps.Accounts.Get(c.Request().Context(), who.Identity)
	if err == nil && a.Email == "" {
		err = errNoEmail
	}
	return who.Identity, a.Email, err
}

// EraseAccount erases the caller's account, and with it an identity whose keys the
// node holds: nobody could sign in to it any more. What ends for good comes first,
// so that whoever is cut off can ask again.
func (s *Server) EraseAccount(c echo.Context) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	if _, err := s.deps.Accounts.Get(ctx, who.Identity); err != nil {
		return err
	}
	if err := s.needed(ctx, who.Identity); err != nil {
		return err
	}
	none := ""
	if _, err := s.deps.Directory.SetLabels(ctx, who.Identity, id.Labels{Handle: &none, Name: &none}); err != nil {
		return err
	}
	// The account before the keys: with the identity revoked, nobody could come
	// back to erase what is personal.
	if _, err := s.deps.Accounts.Erase(ctx, who.Identity); err != nil {
		return err
	}
	ended, err := s.endHeld(ctx, who.Identity)
	if err != nil {
		return err
	}
	if !hasBearer(c) {
		s.setCookie(c, "", "")
	}
	return answer(c, http.StatusOK, api.AccountErased{Identity: who.Identity, KeysDestroyed: ended})
}

// endHeld revokes an identity in custody and destroys its keys, and says whether it
// was one; another's keys are not the node's to end.
func (s *Server) endHeld(ctx context.Context, identity string) (bool, error) {
	if held, err := s.holds(ctx, identity); err != nil || !held {
		return false, err
	}
	change, err := s.deps.Custody.Revocation(ctx, identity, "")
	if err != nil {
		return false, err
	}
	if _, _, err := s.deps.Engine.EmbedHeld(ctx, identity, change.Event, func(ctx context.Context) (id.Info, error) {
		return s.deps.Custody.Keep(ctx, change)
	}); err != nil {
		return false, err
	}
	return true, s.deps.Custody.Destroy(ctx, identity)
}

// needed refuses to end an identity whose keys the node holds while a tenant has
// no other owner.
func (s *Server) needed(ctx context.Context, identity string) error {
	if held, err := s.holds(ctx, identity); err != nil || !held {
		return err
	}
	tenants, err := s.deps.Log.Holding(ctx, identity)
	if err != nil {
		return err
	}
	var sole []string
	for _, tenant := range tenants {
		t, err := s.deps.Log.Tenant(ctx, tenant)
		if err != nil {
			return err
		}
		view, err := s.deps.Log.Standing(ctx, tenant)
		if err != nil {
			return err
		}
		if t.ReadOnly || view.Halted() == standing.Closed || !slices.Contains(view.Roles(identity), span.RoleOwner) {
			continue
		}
		other := false
		for _, m := range view.Members() {
			other = other || m.Identity != identity && slices.Contains(m.Roles, span.RoleOwner)
		}
		if !other {
			sole = append(sole, t.Slug)
		}
	}
	if len(sole) == 0 {
		return nil
	}
	return fault.Newf(fault.Conflict, "account_sole_owner", "you are the only owner of %s; make somebody else an owner first, or have it closed", strings.Join(sole, ", "))
}

// SetPassword sets the password of the caller's account.
func (s *Server) SetPassword(c echo.Context) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	var body api.NewPassword
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if who.Session != nil && body.Current == "" && !who.Session.Fresh {
		return id.ErrSessionStale
	}
	token, err := s.deps.Accounts.ChangePassword(c.Request().Context(), who.Identity, sessionIn(who), body.Current, body.Password, who.Session != nil)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.Renewed{Token: s.renewed(c, token, who.Expires)})
}

// OfferSecondFactor makes the secret of a second factor.
func (s *Server) OfferSecondFactor(c echo.Context) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	info, a, err := s.accountOf(ctx, who.Identity)
	if err != nil {
		return err
	}
	name := who.Identity
	switch {
	case info.Handle != "":
		name = info.Handle
	case a.Email != "":
		name = a.Email
	}
	offer, err := s.deps.Accounts.OfferSecond(ctx, who.Identity, name)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, api.SecondFactorOffer{Secret: offer.Secret, Uri: offer.URI, Picture: offer.Picture})
}

// ConfirmSecondFactor makes the second factor count.
func (s *Server) ConfirmSecondFactor(c echo.Context) error {
	who, code, err := s.withCode(c, s.freshPerson)
	if err != nil {
		return err
	}
	codes, token, err := s.deps.Accounts.ConfirmSecond(c.Request().Context(), who.Identity, sessionIn(who), code)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.RecoveryCodes{Codes: codes, Token: s.renewed(c, token, who.Expires)})
}

// RemoveSecondFactor ends the second factor.
func (s *Server) RemoveSecondFactor(c echo.Context) error {
	who, code, err := s.withCode(c, s.freshPerson)
	if err != nil {
		return err
	}
	if err := s.deps.Accounts.RemoveSecond(c.Request().Context(), who.Identity, code); err != nil {
		return err
	}
	return s.showAccount(c, who.Identity)
}

// RenewRecoveryCodes gives new recovery codes.
func (s *Server) RenewRecoveryCodes(c echo.Context) error {
	who, code, err := s.withCode(c, s.freshPerson)
	if err != nil {
		return err
	}
	codes, err := s.deps.Accounts.RenewCodes(c.Request().Context(), who.Identity, code)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.RecoveryCodes{Codes: codes})
}

// withCode is the caller and the code that the request brings.
func (s *Server) withCode(c echo.Context, by func(echo.Context) (id.Credential, error)) (id.Credential, string, error) {
	who, err := by(c)
	if err != nil {
		return who, "", err
	}
	var body api.SecondFactorCode
	err = s.bind(c, &body)
	return who, body.Code, err
}
