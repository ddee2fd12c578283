package httpapi

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

var (
	errWebhooks   = fault.New(fault.Forbidden, "role_forbidden", "webhooks are for the tenant's owners and admins")
	errWebhookKey = fault.New(fault.Forbidden, "webhooks_key_forbidden",
		"a delegated key and an API key say where webhooks go only if they name logline.contract; sign with the identity's own key")
)

// courier finds the tenant for a caller who may say where its webhooks go: an
// owner or an admin, by a credential that may also say which contracts call them.
func (s *Server) courier(c echo.Context, tenant string) (sight, id.Credential, error) {
	seen, err := s.lookKnown(c, tenant)
	who := seen.who
	switch {
	case err != nil:
	case !seen.view.Can(who.Identity, standing.RightAdminister):
		err = errWebhooks
	case !who.Covers(span.TypeContract):
		err = errWebhookKey
	}
	return seen, who, err
}

// ListWebhooks lists a tenant's webhooks, without their secrets.
func (s *Server) ListWebhooks(c echo.Context, tenant api.TenantParameter) error {
	seen, _, err := s.courier(c, tenant)
	if err != nil {
		return err
	}
	list, err := s.deps.Webhooks.List(c.Request().Context(), seen.ID)
	if err != nil {
		return err
	}
	page := api.WebhookPage{Items: make([]api.Webhook, len(list))}
	for i := range list {
		page.Items[i] = webhookOf(&list[i], "")
	}
	return answer(c, http.StatusOK, page)
}

// SetWebhook makes a webhook, or gives it another address.
func (s *Server) SetWebhook(c echo.Context, tenant api.TenantParameter, name api.WebhookParameter) error {
	seen, who, err := s.courier(c, tenant)
	if err != nil {
		return err
	}
	var body api.WebhookAddress
	if err := s.bind(c, &body); err != nil {
		return err
	}
	w, secret, err := s.deps.Webhooks.Set(c.Request().Context(), seen.ID, name, body.Url, who.Identity)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if secret != "" {
		status = http.StatusCreated
	}
	return answer(c, status, webhookOf(&w, secret))
}

// RotateWebhook makes a webhook's new secret.
func (s *Server) RotateWebhook(c echo.Context, tenant api.TenantParameter, name api.WebhookParameter) error {
	seen, who, err := s.courier(c, tenant)
	if err != nil {
		return err
	}
	var body api.WebhookRotation
	if err := s.bind(c, &body); err != nil {
		return err
	}
	grace := endpoint.DefaultGrace
	if body.Grace != "" {
		if grace, err = time.ParseDuration(body.Grace); err != nil {
			return fault.New(fault.Invalid, "webhook_grace", "a duration is written as 24h, 90m or 0s").At("/grace", "is no duration")
		}
	}
	w, secret, err := s.deps.Webhooks.Rotate(c.Request().Context(), seen.ID, name, grace, who.Identity)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, webhookOf(&w, secret))
}

// DeleteWebhook forgets a webhook.
func (s *Server) DeleteWebhook(c echo.Context, tenant api.TenantParameter, name api.WebhookParameter) error {
	seen, _, err := s.courier(c, tenant)
	if err != nil {
		return err
	}
	w, err := s.deps.Webhooks.Delete(c.Request().Context(), seen.ID, name)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, webhookOf(&w, ""))
}

// TestWebhook delivers a test message.
func (s *Server) TestWebhook(c echo.Context, tenant api.TenantParameter, name api.WebhookParameter) error {
	seen, _, err := s.courier(c, tenant)
	if err != nil {
		return err
	}
	messageID, r, err := s.deps.Webhooks.Test(c.Request().Context(), seen.ID, name)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.WebhookDelivery{
		Id: messageID, Outcome: api.WebhookDeliveryOutcome(r.Outcome), Code: r.Code, Detail: r.Why, Status: r.Status, Answer: r.Answer, Ms: r.Took.Milliseconds(),
	})
}

func webhookOf(w *endpoint.Webhook, secret string) api.Webhook {
	out := api.Webhook{
		Name: w.Name, Url: w.URL, Secret: secret, Secrets: make([]api.WebhookSecret, len(w.Secrets)),
		CreatedBy: w.CreatedBy, CreatedAt: w.CreatedAt, ChangedBy: w.ChangedBy, ChangedAt: w.ChangedAt, GoneAt: w.GoneAt,
	}
	for i, s := range w.Secrets {
		out.Secrets[i] = api.WebhookSecret{Since: s.Since, Until: s.Until}
	}
	return out
}
