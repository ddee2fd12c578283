package httpapi

import (
	"context"
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var errNoteType = fault.New(fault.Invalid, "content_type_unsupported",
	"send the checkpoint, a signed note, as text/plain, not compressed, and say so in Content-Type")

// GetCheckpoint gives the latest signed checkpoint, or the newest that has
// enough cosignatures.
func (s *Server) GetCheckpoint(c echo.Context, tenant api.TenantParameter, params api.GetCheckpointParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	t, err := s.openTenant(c, tenant)
	if err != nil {
		return err
	}
	var note []byte
	if given(params.Cosigned) {
		note, err = s.deps.Log.CosignedCheckpoint(c.Request().Context(), t)
	} else {
		note, _, err = s.deps.Log.Checkpoint(c.Request().Context(), t)
	}
	if err != nil {
		return err
	}
	return c.Blob(http.StatusOK, typeText, note)
}

// CosignCheckpoint takes witnesses' cosignatures, which are their own credential.
func (s *Server) CosignCheckpoint(c echo.Context, tenant api.TenantParameter) error {
	if mediaType(c.Request()) != "text/plain" {
		return errNoteType
	}
	note, err := s.readBody(c, tree.MaxNoteSize)
	if err != nil {
		return err
	}
	t, err := s.openTenant(c, tenant)
	if err != nil {
		return err
	}
	dressed, news, err := s.deps.Log.Cosign(c.Request().Context(), t, note)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if news {
		status = http.StatusCreated
	}
	return c.Blob(status, typeText, dressed)
}

// awaitWitnesses puts the receipt under a checkpoint with enough cosignatures in
// place of r's, once there is one; false where there is none in time. The span
// is recorded either way, so nothing that happens here is an error.
func (s *Server) awaitWitnesses(c echo.Context, tenant string, r *engine.Result) bool {
	ctx, cancel := context.WithTimeout(c.Request().Context(), s.limits.Witness)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() {
		defer cancel()
		select {
		case <-s.stop:
		case <-ctx.Done():
		}
	})
	cosigned, err := s.deps.Log.CosignedReceipt(ctx, tenant, r.Receipt.Index, true)
	cancel()
	watching.Wait()
	if err != nil {
		return false
	}
	r.Receipt = &cosigned
	return true
}
