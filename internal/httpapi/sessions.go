package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
)

var (
	errSignInBy = fault.New(fault.Invalid, "sign_in_incomplete",
		"sign in by name and password, or without both by a token that your own key signed, in Authorization")
	errAccountKey = fault.New(fault.Forbidden, "api_key_no_account",
		"an API key is for programs: accounts and sessions are for whoever signs in, or comes with a token signed by their own key")
)

// SignIn signs a person in.
func (s *Server) SignIn(c echo.Context) error {
	// A stranger's page could sign a browser in as the stranger.
	if err := s.fromOwnPage(c.Request()); err != nil {
		return err
	}
	var body api.SignIn
	if err := s.bind(c, &body); err != nil {
		return err
	}
	ctx, where := c.Request().Context(), s.where(c)
	if hasBearer(c) {
		who, err := s.byOwnKey(c)
		if err != nil {
			return err
		}
		if body.Name+body.Password+body.Code != "" {
			return errSignInBy
		}
		n, token, err := s.deps.Accounts.BeginByKey(ctx, who, where)
		return s.signedIn(c, http.StatusCreated, body.Cookie, n, token, err)
	}
	if body.Name == "" || body.Password == "" {
		return errSignInBy
	}
	n, token, err := s.deps.Accounts.SignIn(ctx, body.Name, body.Password, body.Code, where)
	return s.signedIn(c, http.StatusCreated, body.Cookie, n, token, err)
}

// byOwnKey is a caller who comes with a token signed by a key that may manage the
// identity: a session outlives the token.
func (s *Server) byOwnKey(c echo.Context) (id.Credential, error) {
	who, err := s.known(c)
	switch {
	case err != nil:
		return who, err
	case who.How != id.ByToken:
		return who, errAccountKey
	}
	return who, manages(who)
}

// signedIn tells of a session that began, and ends the one that the browser had.
func (s *Server) signedIn(c echo.Context, status int, cookie bool, n account.Session, token string, err error) error {
	if err != nil {
		return err
	}
	out := api.SignedIn{Session: sessionOf(n, n.ID)}
	if cookie {
		s.leaveCookie(c)
		s.setCookie(c, token, n.ExpiresAt)
	} else {
		out.Token = token
	}
	return answer(c, status, out)
}

// leaveCookie ends the session of the cookie that another one replaces.
func (s *Server) leaveCookie(c echo.Context) {
	before, err := s.cookie(c)
	if err != nil || before == "" {
		return
	}
	if who, err := s.deps.Accounts.Authenticate(c.Request().Context(), before); err == nil {
		_ = s.deps.Accounts.End(c.Request().Context(), who.Identity, who.Session.ID) // it would have expired otherwise
	}
}

// CompleteSignIn takes the second factor of a session.
func (s *Server) CompleteSignIn(c echo.Context) error {
	token, err := s.credentialOf(c)
	if err == nil && token == "" {
		err = errCredential
	}
	if err != nil {
		return err
	}
	var body api.SecondFactorCode
	if err := s.bind(c, &body); err != nil {
		return err
	}
	n, fresh, err := s.deps.Accounts.Complete(c.Request().Context(), token, body.Code)
	if err != nil {
		return uniform(err)
	}
	out := api.SignedIn{Session: sessionOf(n, n.ID), Token: s.renewed(c, fresh, n.ExpiresAt)}
	return answer(c, http.StatusOK, out)
}

// renewed gives a browser its session's new token as the cookie by which it came;
// anybody else gets it in the answer.
func (s *Server) renewed(c echo.Context, token, expires string) (shown string) {
	if cookied, _ := c.Get(cookiedKey).(bool); !cookied {
		return token
	}
	s.setCookie(c, token, expires)
	return ""
}

// ListSessions tells where the caller is signed in.
func (s *Server) ListSessions(c echo.Context) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	all, err := s.deps.Accounts.Sessions(c.Request().Context(), who.Identity)
	if err != nil {
		return err
	}
	page := api.SessionPage{Items: make([]api.Session, len(all))}
	for i, n := range all {
		page.Items[i] = sessionOf(n, who.Name())
	}
	return answer(c, http.StatusOK, page)
}

// EndSession signs out, here or where another session is.
func (s *Server) EndSession(c echo.Context, session api.SessionParameter) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	here := who.Session != nil && (session == "current" || session == who.Session.ID)
	if here {
		session = who.Session.ID
	}
	if err := s.deps.Accounts.End(c.Request().Context(), who.Identity, session); err != nil {
		return err
	}
	if here && !hasBearer(c) {
		s.setCookie(c, "", "")
	}
	return answer(c, http.StatusOK, api.SessionsEnded{Ended: 1})
}

// EndOtherSessions signs out everywhere else.
func (s *Server) EndOtherSessions(c echo.Context) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	ended, err := s.deps.Accounts.EndOthers(c.Request().Context(), who.Identity, sessionIn(who))
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.SessionsEnded{Ended: ended})
}

// sessionIn is the id of the caller's session, "" for whoever comes otherwise.
func sessionIn(who id.Credential) string {
	if who.Session == nil {
		return ""
	}
	return who.Session.ID
}

// where is what is kept of where a person signs in.
func (s *Server) where(c echo.Context) account.Where {
	return account.Where{Address: s.clientAddress(c.Request()), Agent: c.Request().UserAgent()}
}

// still is the caller of something that goes on: a session is known by its id once
// its token was judged, since it outlives its tokens.
func (s *Server) still(c echo.Context, token string, session *string) (who id.Credential, err error) {
	if *session != "" {
		who, err = s.deps.Accounts.Again(c.Request().Context(), *session)
		return who, uniform(err)
	}
	who, err = s.callerOf(c, token)
	*session = sessionIn(who)
	return who, err
}

func sessionOf(n account.Session, current string) api.Session {
	return api.Session{
		Id: n.ID, Identity: n.Identity, How: api.SessionHow(n.How), Current: n.ID == current, Needs: api.SessionNeeds(n.Needs), CreatedAt: n.CreatedAt,
		ProvedAt: n.ProvedAt, SeenAt: n.SeenAt, Expires: n.ExpiresAt, Address: n.Address, Agent: n.Agent,
	}
}
