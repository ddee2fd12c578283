package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const typeDID = "application/did+json"

var errLabels = fault.New(fault.Invalid, "labels_missing", "name what changes: a handle, a name, or both; empty erases it")

// SetIdentity changes what the directory calls an identity.
func (s *Server) SetIdentity(c echo.Context, identity api.IdentityParameter) error {
	full := withScheme(identity)
	if _, err := s.steward(c, full); err != nil {
		return err
	}
	var body api.Labels
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if body.Handle == nil && body.Name == nil {
		return errLabels
	}
	return s.setLabels(c, full, id.Labels{Handle: body.Handle, Name: body.Name})
}

// EraseIdentity erases what the directory calls an identity.
func (s *Server) EraseIdentity(c echo.Context, identity api.IdentityParameter) error {
	full := withScheme(identity)
	if _, err := s.steward(c, full); err != nil {
		return err
	}
	return s.setLabels(c, full, id.Labels{Handle: new(string), Name: new(string)})
}

func (s *Server) setLabels(c echo.Context, full string, labels id.Labels) error {
	info, err := s.deps.Directory.SetLabels(c.Request().Context(), full, labels)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, identityOf(info))
}

// GetDID shows an identity as a DID document; it is open to all by id.
func (s *Server) GetDID(c echo.Context, identity api.IdentityParameter) error {
	full := withScheme(identity)
	if !span.IsIdentity(full) {
		return errIdentity
	}
	chain, err := s.deps.Directory.Chain(c.Request().Context(), full)
	if err != nil {
		return err
	}
	body, err := json.Marshal(chain.DID(id.WebDID(c.Request().Host, full), s.now()))
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, typeDID, body)
}
