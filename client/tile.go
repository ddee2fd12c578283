package client

import (
	"context"
	"net/http"
	"net/url"
)

// Tile gives a tile of a timeline's tree by its path below tile/ (C2SP
// tlog-tiles): "0/x001/067", "1/000.p/17" or "entries/000". It is as the node
// sent it: whoever does not trust the node computes a signed root from it.
// Entries need the auditor's right.
func (c *Client) Tile(ctx context.Context, tenant, path string) ([]byte, error) {
	address := c.base.JoinPath("v1", "tenants", url.PathEscape(tenant), "tile", path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	if err := c.edit(ctx, req); err != nil {
		return nil, err
	}
	body, _, err := answer(c.guard.Do(req))
	return body, err
}
