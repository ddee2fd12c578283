package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

const (
	typeTile = "application/octet-stream"

	// A tile never changes. Entries are for those who may read them, so no
	// shared cache keeps them.
	cacheHashes  = "public, max-age=31536000, immutable"
	cacheEntries = "private, max-age=31536000, immutable"
)

var errTileTenant = fault.New(fault.NotFound, "tenant_unknown",
	"tiles are found by tenant id; a slug names none")

// tilePaths is where tiles whose index has several elements are: the document's
// path has room for one.
const tilePaths = "/v1/tenants/:tenant/tile/*"

// GetTile gives a tile with an index of one element.
func (s *Server) GetTile(c echo.Context, tenant, level, index string) error {
	return s.tile(c, tenant, level+"/"+index)
}

func (s *Server) deepTile(c echo.Context) error { return s.tile(c, c.Param("tenant"), c.Param("*")) }

// tile answers a C2SP tlog-tiles path. The path is judged before the tenant is
// looked for, so that a malformed one says nothing about either.
func (s *Server) tile(c echo.Context, tenant, path string) error {
	if c.Request().URL.RawQuery != "" {
		return fault.New(fault.Invalid, "parameter_unknown", "tiles take no query parameters")
	}
	t, err := tree.ParseTile(path)
	if err != nil {
		return err
	}
	cache := cacheHashes
	if t.Entries {
		cache = cacheEntries
		tenant, err = s.auditedTenant(c, tenant)
	} else {
		tenant, err = s.tileTenant(c, tenant)
	}
	if err != nil {
		return err
	}
	body, err := s.deps.Log.Tile(c.Request().Context(), tenant, t)
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set(echo.HeaderCacheControl, cache)
	if t.Entries {
		header.Add(echo.HeaderVary, echo.HeaderAuthorization)
	}
	return c.Blob(http.StatusOK, typeTile, body)
}

// tileTenant is openTenant for a route that knows ids alone.
func (s *Server) tileTenant(c echo.Context, tenant string) (string, error) {
	if !span.IsUUID(tenant) {
		return "", errTileTenant
	}
	return s.openTenant(c, tenant)
}

// auditedTenant finds a tenant for a caller who may read every header in it.
func (s *Server) auditedTenant(c echo.Context, tenant string) (string, error) {
	seen, err := s.look(c, tenant)
	switch {
	case err != nil:
		return "", err
	case seen.reader.Private:
		return seen.ID, nil
	case seen.reader.Identity == "":
		return "", errCredential
	}
	return "", errAuditor
}

var errAuditor = fault.New(fault.Forbidden, "role_forbidden",
	"entry tiles hold the header of every span, private ones too, so they are for auditors; a bundle has what you may read")
