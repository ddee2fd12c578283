package httpapi

import (
	"bufio"
	"cmp"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/httpapi/api"
)

// GetInclusion proves that a leaf is in a tree.
func (s *Server) GetInclusion(c echo.Context, tenant api.TenantParameter, params api.GetInclusionParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	t, err := s.openTenant(c, tenant)
	if err != nil {
		return err
	}
	size, err := s.sizeOf(c, t, params.Size)
	if err != nil {
		return err
	}
	leaf, proof, err := s.deps.Log.Inclusion(c.Request().Context(), t, params.Index, size)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.InclusionProof{
		Index: params.Index, Size: size, LeafHash: leaf.String(), Hashes: hashTexts(proof),
	})
}

// GetConsistency proves that one tree is a prefix of another.
func (s *Server) GetConsistency(c echo.Context, tenant api.TenantParameter, params api.GetConsistencyParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	t, err := s.openTenant(c, tenant)
	if err != nil {
		return err
	}
	to, err := s.sizeOf(c, t, params.To)
	if err != nil {
		return err
	}
	proof, err := s.deps.Log.Consistency(c.Request().Context(), t, params.From, to)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.ConsistencyProof{From: params.From, To: to, Hashes: hashTexts(proof)})
}

// sizeOf is the tree size asked for, the checkpoint's when none is.
func (s *Server) sizeOf(c echo.Context, tenant string, asked *uint64) (uint64, error) {
	if asked != nil {
		return *asked, nil
	}
	_, size, err := s.deps.Log.Checkpoint(c.Request().Context(), tenant)
	return size, err
}

// ExportBundle streams a bundle. Before its first byte a failure is a problem;
// after it the connection breaks off.
func (s *Server) ExportBundle(c echo.Context, tenant api.TenantParameter, params api.ExportBundleParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	seen, err := s.look(c, tenant)
	if err != nil {
		return err
	}
	if params.To != nil && *params.To == 0 {
		return wrong("to", "greater than 0; leave it out for the current size")
	}
	if given(params.Cosigned) && params.To != nil {
		return wrong("to", "left out with cosigned, which ends where the cosigned checkpoint does")
	}
	leave := s.takePlace(c.Request().Context(), s.exports, cmp.Or(seen.reader.Identity, s.holder(c.Request())))
	if leave == nil {
		return errBusy
	}
	defer leave()
	res := c.Response()
	rc := http.NewResponseController(res.Writer)
	_ = rc.SetReadDeadline(time.Time{})
	res.Header().Set(echo.HeaderContentType, typeNDJSON)
	out := bufio.NewWriterSize(&pacedWriter{w: res, rc: rc, stall: s.limits.Stall}, 64<<10)
	if ctx := c.Request().Context(); given(params.Cosigned) {
		err = s.deps.Log.ExportCosigned(ctx, out, seen.ID, given(params.From), seen.reader)
	} else {
		err = s.deps.Log.Export(ctx, out, seen.ID, given(params.From), given(params.To), seen.reader)
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil && res.Committed {
		return errors.Join(errCut, err)
	}
	return err
}
