package client

import (
	"context"

	"github.com/danvoulez/logline/client/openapi"
)

// Templates lists what a tenant may begin with: the newest version of each
// template that the node has.
func (c *Client) Templates(ctx context.Context) ([]Template, error) {
	page, err := value[openapi.TemplatePage](c.api.ListTemplates(ctx, c.plain))
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// Template shows one template with everything that would be signed; version is
// one of its versions, "" the newest. Nothing is believed but what is signed: the
// caller looks at the drafts.
func (c *Client) Template(ctx context.Context, name, version string) (*TemplatePreview, error) {
	return value[TemplatePreview](c.api.GetTemplate(ctx, name, &openapi.GetTemplateParams{Version: optional(version)}, c.plain))
}
