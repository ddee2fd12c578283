package httpapi

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
)

// CreateAPIKey makes an API key and shows it, this once.
func (s *Server) CreateAPIKey(c echo.Context, identity api.IdentityParameter) error {
	full := withScheme(identity)
	who, err := s.steward(c, full)
	if err != nil {
		return err
	}
	var body api.NewAPIKey
	if err := s.bind(c, &body); err != nil {
		return err
	}
	terms := id.APIKey{Identity: full, Label: body.Label, Types: body.Types, ExpiresAt: body.Expires, CreatedBy: who.Identity}
	for _, r := range body.Rights {
		terms.Rights = append(terms.Rights, string(r))
	}
	if body.Tenant != "" {
		seen, err := s.lookAs(c, body.Tenant, who)
		if fault.KindOf(err) == fault.NotFound {
			return errTenant.At("/tenant", "is unknown")
		}
		if err != nil {
			return err
		}
		terms.Tenant = seen.ID
	}
	key, text, err := s.deps.APIKeys.Create(c.Request().Context(), terms)
	if err != nil {
		return err
	}
	s.tellKey(c, "made", &key, who.Identity)
	return showKey(c, key, text)
}

// showKey shows a new API key, this once.
func showKey(c echo.Context, key id.APIKey, text string) error {
	out := apiKeyOf(key)
	out.Key = text
	return answer(c, http.StatusCreated, out)
}

// GetAPIKey shows one of an identity's API keys, without what is secret in it.
func (s *Server) GetAPIKey(c echo.Context, identity api.IdentityParameter, key api.APIKeyParameter) error {
	full := withScheme(identity)
	if _, err := s.steward(c, full); err != nil {
		return err
	}
	found, err := s.deps.APIKeys.Get(c.Request().Context(), full, key)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, apiKeyOf(found))
}

// RotateAPIKey makes an API key that takes the place of another.
func (s *Server) RotateAPIKey(c echo.Context, identity api.IdentityParameter, key api.APIKeyParameter) error {
	full := withScheme(identity)
	who, err := s.steward(c, full)
	if err != nil {
		return err
	}
	var body api.APIKeyRotation
	if err := s.bind(c, &body); err != nil {
		return err
	}
	overlap := id.DefaultOverlap
	if body.Overlap != "" {
		if overlap, err = time.ParseDuration(body.Overlap); err != nil {
			return fault.New(fault.Invalid, "overlap_malformed", "a duration is written as 24h, 90m or 0s").At("/overlap", "is no duration")
		}
	}
	fresh, text, err := s.deps.APIKeys.Rotate(c.Request().Context(), full, key, overlap, body.Expires, who.Identity)
	if err != nil {
		return err
	}
	s.tellKey(c, "replaced", &fresh, who.Identity)
	return showKey(c, fresh, text)
}

// ListAPIKeys lists an identity's API keys, without what is secret in them.
func (s *Server) ListAPIKeys(c echo.Context, identity api.IdentityParameter, params api.ListAPIKeysParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	full := withScheme(identity)
	if _, err := s.steward(c, full); err != nil {
		return err
	}
	limit, err := pageLimit(params.Limit)
	if err != nil {
		return err
	}
	after := ""
	if params.Cursor != nil {
		raw, err := base64.RawURLEncoding.DecodeString(*params.Cursor)
		if err != nil || !clean(string(raw)) {
			return fault.New(fault.Invalid, "cursor_invalid", "cursor is not the next of an earlier page")
		}
		after = string(raw)
	}
	keys, err := s.deps.APIKeys.List(c.Request().Context(), full, after, limit+1)
	if err != nil {
		return err
	}
	page := api.APIKeyPage{Items: []api.APIKey{}}
	for i, k := range keys {
		if i == limit {
			next := cursorOf(keys[limit-1].ID)
			page.Next = &next
			break
		}
		page.Items = append(page.Items, apiKeyOf(k))
	}
	return answer(c, http.StatusOK, page)
}

// RevokeAPIKey ends an API key; any API key may end itself.
func (s *Server) RevokeAPIKey(c echo.Context, identity api.IdentityParameter, key api.APIKeyParameter) error {
	full := withScheme(identity)
	who, err := s.known(c)
	if err != nil {
		return err
	}
	if own := who.APIKey; own == nil || own.ID != key || who.Identity != full {
		if _, err := s.steward(c, full); err != nil {
			return err
		}
	}
	revoked, err := s.deps.APIKeys.Revoke(c.Request().Context(), full, key, who.Identity)
	if err != nil {
		return err
	}
	s.tellKey(c, "revoked", &revoked, who.Identity)
	return answer(c, http.StatusOK, apiKeyOf(revoked))
}

func apiKeyOf(k id.APIKey) api.APIKey {
	out := api.APIKey{
		Id: k.ID, Identity: k.Identity, Label: k.Label, Types: k.Types, Tenant: k.Tenant, CreatedBy: k.CreatedBy,
		CreatedAt: k.CreatedAt, Expires: k.ExpiresAt, UsedAt: k.UsedAt, RevokedAt: k.RevokedAt, RevokedBy: k.RevokedBy,
		Replaces: k.Replaces, ReplacedBy: k.ReplacedBy, Rights: make([]api.APIKeyRight, len(k.Rights)),
	}
	for i, r := range k.Rights {
		out.Rights[i] = api.APIKeyRight(r)
	}
	return out
}
