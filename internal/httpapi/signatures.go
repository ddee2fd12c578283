package httpapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// maxChecks bounds the checks of one request: each may try some keys.
const maxChecks = 100

// VerifySignatures says who signed messages; it is open to all.
func (s *Server) VerifySignatures(c echo.Context) error {
	var body api.SignatureChecks
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if err := s.countAddress(c, max(len(body.Items)-1, 0)); err != nil { // the first was counted as the request
		return err
	}
	out, err := s.verdicts(c.Request().Context(), &body)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, out)
}

// verdicts answers one check or several; an error is about the request's form.
func (s *Server) verdicts(ctx context.Context, body *api.SignatureChecks) (any, error) {
	one := api.SignatureCheck{Identity: body.Identity, Key: body.Key, Message: body.Message, MessageB64u: body.MessageB64u, Signature: body.Signature}
	if body.Items == nil {
		return s.verdict(ctx, &one)
	}
	if one != (api.SignatureCheck{}) {
		return nil, errBody.At("/items", "stands alone: one check, or items")
	}
	if len(body.Items) == 0 || len(body.Items) > maxChecks {
		return nil, errBody.At("/items", fmt.Sprintf("has 1 to %d checks", maxChecks))
	}
	out := struct {
		Items []api.Verdict `json:"items"`
	}{make([]api.Verdict, len(body.Items))}
	for i := range body.Items {
		verdict, err := s.verdict(ctx, &body.Items[i])
		if err != nil {
			return nil, under(err, fmt.Sprintf("/items/%d", i))
		}
		out.Items[i] = verdict
	}
	return out, nil
}

func (s *Server) verdict(ctx context.Context, check *api.SignatureCheck) (api.Verdict, error) {
	message, err := messageOf(check)
	if err != nil {
		return api.Verdict{}, err
	}
	select { // as many at a time as there are processors: one check may try 32 keys, and asks for no credential
	case s.checks <- struct{}{}:
		defer func() { <-s.checks }()
	case <-ctx.Done():
		return api.Verdict{}, errBusy.Because(context.Cause(ctx))
	}
	v, err := id.CheckSignature(ctx, s.verify, id.SignatureCheck{Identity: check.Identity, Key: check.Key, Message: message, Signature: check.Signature},
		s.now(), s.deps.Directory.Chain)
	if err != nil {
		return api.Verdict{}, err
	}
	out := api.Verdict{Valid: v.Valid, Reason: api.VerdictReason(v.Reason), Key: v.Key, Primary: v.Grant.Primary, Label: v.Grant.Label, Types: v.Grant.Types}
	if v.Reason != id.ReasonUnknownIdentity && v.Reason != id.ReasonMismatch {
		out.Identity = check.Identity
	}
	return out, nil
}

// messageOf is the message, as text or as bytes.
func messageOf(check *api.SignatureCheck) ([]byte, error) {
	switch {
	case (check.Message == nil) == (check.MessageB64u == nil):
		return nil, errBody.At("/message", "is one of message (text) and message_b64u (bytes)")
	case check.Message != nil:
		return []byte(*check.Message), nil
	}
	raw, err := span.ParseB64(*check.MessageB64u, -1)
	if err != nil {
		return nil, errBody.At("/message_b64u", "is no base64url")
	}
	return raw, nil
}

// under is err with its places under a pointer.
func under(err error, pointer string) error {
	f := fault.From(err)
	out := fault.New(f.Kind, f.Code, f.Detail).Because(err)
	if len(f.Fields) == 0 {
		return out.At(pointer, f.Detail)
	}
	for _, field := range f.Fields {
		out = out.At(pointer+field.Pointer, field.Detail)
	}
	return out
}
