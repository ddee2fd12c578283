package client

import (
	"context"
	"time"

	"github.com/danvoulez/logline/client/openapi"
)

// Models of webhooks. What receives them uses package webhook below this one.
type (
	Webhook         = openapi.Webhook
	WebhookSecret   = openapi.WebhookSecret
	WebhookDelivery = openapi.WebhookDelivery
)

// Webhooks lists the webhooks that a tenant's contracts may call.
func (c *Client) Webhooks(ctx context.Context, tenant string) ([]Webhook, error) {
	page, err := value[openapi.WebhookPage](c.api.ListWebhooks(ctx, path(tenant), c.edit))
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// SetWebhook makes a webhook, whose Secret is in this answer alone, or gives one
// that there is another address.
func (c *Client) SetWebhook(ctx context.Context, tenant, name, address string) (*Webhook, error) {
	return value[Webhook](c.api.SetWebhook(ctx, path(tenant), path(name), openapi.WebhookAddress{Url: address}, c.edit))
}

// RotateWebhook makes a new secret, which is in this answer alone; the old one
// signs beside it for grace.
func (c *Client) RotateWebhook(ctx context.Context, tenant, name string, grace time.Duration) (*Webhook, error) {
	return value[Webhook](c.api.RotateWebhook(ctx, path(tenant), path(name), openapi.WebhookRotation{Grace: grace.String()}, c.edit))
}

// DeleteWebhook forgets a webhook and its secrets.
func (c *Client) DeleteWebhook(ctx context.Context, tenant, name string) (*Webhook, error) {
	return value[Webhook](c.api.DeleteWebhook(ctx, path(tenant), path(name), c.edit))
}

// TestWebhook has the node deliver a test message, once.
func (c *Client) TestWebhook(ctx context.Context, tenant, name string) (*WebhookDelivery, error) {
	return value[WebhookDelivery](c.api.TestWebhook(ctx, path(tenant), path(name), c.edit))
}
