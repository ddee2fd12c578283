package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/account/passkey"
	"github.com/danvoulez/logline/internal/httpapi/api"
)

// page is the origin of this server's page that asks, as browsers write it. Whoever
// asks without a browser names the page by the address that is asked.
func (s *Server) page(req *http.Request) (string, error) {
	if err := s.fromOwnPage(req); err != nil {
		return "", err
	}
	if origin, ok := originOf(req); ok && origin != "" {
		return origin, nil
	}
	scheme := "http"
	if s.secure(req) {
		scheme = "https"
	}
	origin, ok := parseOrigin(scheme + "://" + req.Host)
	if !ok {
		return "", errOrigin
	}
	return origin, nil
}

// ListPasskeys shows the caller's passkeys.
func (s *Server) ListPasskeys(c echo.Context) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	all, err := s.deps.Passkeys.List(c.Request().Context(), who.Identity)
	if err != nil {
		return err
	}
	page := api.PasskeyPage{Items: make([]api.Passkey, len(all))}
	for i, p := range all {
		page.Items[i] = passkeyOf(p)
	}
	return answer(c, http.StatusOK, page)
}

// BeginPasskey asks the caller's browser to make a passkey.
func (s *Server) BeginPasskey(c echo.Context) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	page, err := s.page(c.Request())
	if err != nil {
		return err
	}
	options, err := s.deps.Passkeys.BeginRegistration(c.Request().Context(), who.Identity, page)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.PasskeyOptions{PublicKey: options})
}

// FinishPasskey registers the passkey that the caller's browser made.
func (s *Server) FinishPasskey(c echo.Context) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	var body api.NewPasskey
	if err := s.bind(c, &body); err != nil {
		return err
	}
	p, err := s.deps.Passkeys.FinishRegistration(c.Request().Context(), who.Identity, body.Name, body.Credential)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, passkeyOf(p))
}

// RenamePasskey calls one of the caller's passkeys otherwise.
func (s *Server) RenamePasskey(c echo.Context, passkey api.PasskeyParameter) error {
	who, err := s.person(c)
	if err != nil {
		return err
	}
	var body api.PasskeyChange
	if err := s.bind(c, &body); err != nil {
		return err
	}
	p, err := s.deps.Passkeys.Rename(c.Request().Context(), who.Identity, passkey, body.Name)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, passkeyOf(p))
}

// RemovePasskey removes one of the caller's passkeys.
func (s *Server) RemovePasskey(c echo.Context, passkey api.PasskeyParameter, params api.RemovePasskeyParams) error {
	who, err := s.freshPerson(c)
	if err != nil {
		return err
	}
	if err := s.deps.Passkeys.Remove(c.Request().Context(), who.Identity, passkey, params.Last); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// BeginPasskeySignIn asks a browser for a passkey.
func (s *Server) BeginPasskeySignIn(c echo.Context) error {
	page, err := s.page(c.Request())
	if err != nil {
		return err
	}
	options, err := s.deps.Passkeys.BeginSignIn(c.Request().Context(), page)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.PasskeyOptions{PublicKey: options})
}

// FinishPasskeySignIn signs in whoever's passkey the browser answered with.
func (s *Server) FinishPasskeySignIn(c echo.Context) error {
	// A stranger's page could sign a browser in as the stranger.
	if err := s.fromOwnPage(c.Request()); err != nil {
		return err
	}
	var body api.PasskeySignIn
	if err := s.bind(c, &body); err != nil {
		return err
	}
	n, token, err := s.deps.Passkeys.FinishSignIn(c.Request().Context(), body.Credential, s.where(c))
	return s.signedIn(c, http.StatusCreated, body.Cookie, n, token, err)
}

func passkeyOf(p passkey.Passkey) api.Passkey {
	return api.Passkey{
		Id: p.ID, Name: p.Name, Host: p.Party, Verified: p.Verified, Synced: p.Synced, CreatedAt: p.CreatedAt, UsedAt: p.UsedAt, ClonedAt: p.ClonedAt,
	}
}
