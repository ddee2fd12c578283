package httpapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// maxImports is how many bundles come in at once, each into a file of its own.
const maxImports = 8

var (
	errBundleType = fault.New(fault.Invalid, "content_type_unsupported",
		"send the bundle as application/x-ndjson, not compressed, and say so in Content-Type")
	errBundleTenant = fault.New(fault.Invalid, "tenant_invalid",
		"a bundle is sent to the id of the tenant that it is of; give the slug to keep it under as ?slug=")
)

// ImportBundle takes over a timeline of another node.
func (s *Server) ImportBundle(c echo.Context, tenant api.TenantParameter, params api.ImportBundleParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	if mediaType(c.Request()) != typeNDJSON {
		return errBundleType
	}
	if err := s.mayImport(c); err != nil {
		return err
	}
	opt, err := s.importOptions(tenant, params)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	leave := s.takePlace(ctx, s.imports, s.holder(c.Request()))
	if leave == nil {
		return errBusy
	}
	defer leave()
	rc := http.NewResponseController(c.Response().Writer)
	body := &pacedReader{r: c.Request().Body, rc: rc, stall: s.limits.Stall}
	out, err := s.deps.Engine.Import(ctx, body, opt)
	_ = rc.SetWriteDeadline(time.Now().Add(s.limits.Stall)) // the one for the whole request may be over
	if err != nil {
		return err
	}
	status := http.StatusOK
	if out.Created {
		status = http.StatusCreated
	}
	return answer(c, status, api.ImportedBundle{
		Tenant: tenantOf(out.Tenant), From: out.From, To: out.To,
		Verdict: out.Report.Verdict, Authenticated: out.Report.Authenticated,
	})
}

// mayImport asks for the bootstrap token or the credential of a caller who may.
func (s *Server) mayImport(c echo.Context) error {
	token, caller, err := s.founder(c)
	if err != nil {
		return err
	}
	return s.deps.Onboarding.MayImport(c.Request().Context(), token, caller)
}

func (s *Server) importOptions(tenant string, params api.ImportBundleParams) (timeline.ImportOptions, error) {
	opt := timeline.ImportOptions{
		Tenant: tenant, Slug: given(params.Slug), Dir: s.deps.SpoolDir, Max: s.limits.Bundle,
		Verify: bundle.Options{Node: given(params.Node)},
	}
	if !span.IsUUID(tenant) {
		return opt, errBundleTenant
	}
	if opt.Verify.Node != "" {
		if opt.Verify.Node = withScheme(opt.Verify.Node); !span.IsIdentity(opt.Verify.Node) {
			return opt, wrong("node", "a LogLine ID")
		}
	}
	if note := given(params.Checkpoint); note != "" {
		opt.Verify.Checkpoint = []byte(note)
	}
	return opt, nil
}
