// Package client talks to a LogLine node over HTTP. It sends spans as the bytes
// they were sealed in, signs its own credentials with the caller's key, and
// turns problem documents into *Problem errors. It makes no spans and checks no
// proofs; package openapi below it holds the generated models and requests.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danvoulez/logline/client/openapi"
)

// Models of the HTTP surface, from its OpenAPI document.
type (
	Version          = openapi.Version
	Node             = openapi.Node
	Registration     = openapi.Registration
	Identity         = openapi.Identity
	KeyEvents        = openapi.KeyEvents
	KeyEventAdded    = openapi.KeyEventAdded
	NewTenant        = openapi.NewTenant
	Tenant           = openapi.Tenant
	TenantChanged    = openapi.TenantChanged
	AccountChanged   = openapi.AccountStateChanged
	Member           = openapi.Member
	Stats            = openapi.Stats
	Usage            = openapi.Usage
	Receipt          = openapi.Receipt
	Record           = openapi.Record
	Page             = openapi.EntryPage
	Graph            = openapi.Graph
	Why              = openapi.Why
	Refusal          = openapi.Refusal
	TraceStep        = openapi.TraceStep
	Contract         = openapi.Contract
	ContractVersions = openapi.ContractVersions
	Template         = openapi.Template
	TemplatePreview  = openapi.TemplatePreview
	InclusionProof   = openapi.InclusionProof
	ConsistencyProof = openapi.ConsistencyProof
	ImportedBundle   = openapi.ImportedBundle
)

// Client is one caller's door to one node. It is safe for concurrent use.
type Client struct {
	api   *openapi.Client
	base  *url.URL
	http  *http.Client
	guard *guard // asks through http
	agent string
	now   func() time.Time
	token tokens

	patience time.Duration
}

// Option changes a Client as it is made.
type Option func(*Client)

// WithHTTPClient sends requests through h instead of http.DefaultClient.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithUserAgent names the calling program.
func WithUserAgent(name string) Option { return func(c *Client) { c.agent = name } }

// WithClock takes the time of credentials from now instead of time.Now.
func WithClock(now func() time.Time) Option { return func(c *Client) { c.now = now } }

// WithSigner sends, with each request, a short-lived token for identity (a
// LogLine ID) signed by signer: its primary key, or one delegated for
// logline.api. nodeID is the LogLine ID of the node the token is meant for;
// when it is "", the node is asked once, which trusts whoever answers at the
// base URL with a token for the node it claims to be. The token also names the base
// URL's origin, so that a node which knows its own names takes it from nobody else.
func WithSigner(signer Signer, identity, nodeID string) Option {
	return func(c *Client) {
		c.token.signer, c.token.identity, c.token.audience = signer, identity, nodeID
	}
}

// New makes a client for the node at baseURL ("http://127.0.0.1:8080").
// It makes no request.
func New(baseURL string, opts ...Option) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%q is not the address of a node: give one like http://127.0.0.1:8080", baseURL)
	}
	c := &Client{base: u, http: http.DefaultClient, now: time.Now, agent: "logline-client-go", patience: DefaultPatience}
	for _, o := range opts {
		o(c)
	}
	c.token.origin = originOf(u)
	c.guard = newGuard(c.http, c.patience)
	c.api, err = openapi.NewClient(baseURL, openapi.WithHTTPClient(c.guard))
	if err != nil {
		return nil, err
	}
	return c, nil
}

// edit dresses a request: credentials unless it already has some.
func (c *Client) edit(ctx context.Context, req *http.Request) error {
	req.Header.Set("User-Agent", c.agent)
	if req.Header.Get("Authorization") != "" {
		return nil
	}
	return c.authorize(ctx, req)
}

// plain is edit for requests that carry no credential.
func (c *Client) plain(_ context.Context, req *http.Request) error {
	req.Header.Set("User-Agent", c.agent)
	return nil
}

// answer turns a response into bytes, or into the *Problem it carries.
func answer(resp *http.Response, err error) ([]byte, int, error) {
	return answerOf(resp, err, maxSmall)
}

func answerOf(resp *http.Response, err error, most int64) ([]byte, int, error) {
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, resp.StatusCode, problemOf(resp)
	}
	body, err := readAnswer(resp, most)
	return body, resp.StatusCode, err
}

// decode is answer for JSON.
func decode[T any](resp *http.Response, err error) (*T, int, error) {
	v := new(T)
	body, status, err := answerOf(resp, err, mostOf(v))
	if err != nil {
		return nil, status, err
	}
	if err := errors.Join(strictly(body), json.Unmarshal(body, v)); err != nil {
		return nil, status, unreadable(resp, err)
	}
	return v, status, nil
}

// value is decode where the status says nothing more.
func value[T any](resp *http.Response, err error) (*T, error) {
	v, _, err := decode[T](resp, err)
	return v, err
}

// path is a LogLine ID as paths want it; handles and bare ids pass through.
func path(identity string) string { return strings.TrimPrefix(identity, "logline-id://") }

// optional is a query parameter that is absent when it is zero.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// Node asks the node who it is.
func (c *Client) Node(ctx context.Context) (*Node, error) {
	return value[Node](c.api.GetNode(ctx, c.plain))
}

// Version asks the node what it runs.
func (c *Client) Version(ctx context.Context) (*Version, error) {
	return value[Version](c.api.GetVersion(ctx, c.plain))
}

// Ready is nil when the node can append and sign now.
func (c *Client) Ready(ctx context.Context) error {
	_, _, err := answer(c.api.GetReady(ctx, c.plain))
	return err
}

// Register registers an identity by its sealed key events; created is false
// when the same events were registered before.
func (c *Client) Register(ctx context.Context, r Registration) (info *Identity, created bool, err error) {
	info, status, err := decode[Identity](c.api.RegisterIdentity(ctx, r, c.edit))
	return info, status == http.StatusCreated, err
}

// RegisterFirst is Register with the node's bootstrap token, which a node that
// is closed to new identities asks of its first owner.
func (c *Client) RegisterFirst(ctx context.Context, token string, r Registration) (info *Identity, created bool, err error) {
	info, status, err := decode[Identity](c.api.RegisterIdentity(ctx, r, c.with(token)))
	return info, status == http.StatusCreated, err
}

// with is edit with a token instead of the caller's own, unless it is "".
func (c *Client) with(token string) openapi.RequestEditorFn {
	return func(ctx context.Context, req *http.Request) error {
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		return c.edit(ctx, req)
	}
}

// Identity looks up an identity by LogLine ID or @handle.
func (c *Client) Identity(ctx context.Context, idOrHandle string) (*Identity, error) {
	return value[Identity](c.api.GetIdentity(ctx, path(idOrHandle), c.edit))
}

// KeyEvents are the sealed key events of an identity, oldest first.
func (c *Client) KeyEvents(ctx context.Context, idOrHandle string) (*KeyEvents, error) {
	return value[KeyEvents](c.api.ListKeyEvents(ctx, path(idOrHandle), c.edit))
}

// AppendEvent adds one sealed key event to an identity.
func (c *Client) AppendEvent(ctx context.Context, identity string, event []byte) (*KeyEventAdded, error) {
	return value[KeyEventAdded](c.api.AddKeyEventWithBody(ctx, path(identity), "application/json", bytes.NewReader(event), c.plain))
}

// CreateTenant makes a tenant. token is the node's bootstrap token for the
// first one; "" sends the caller's own credential.
func (c *Client) CreateTenant(ctx context.Context, token string, t NewTenant) (*Tenant, error) {
	return value[Tenant](c.api.CreateTenant(ctx, t, c.with(token)))
}

// Tenants lists every tenant the caller may read.
func (c *Client) Tenants(ctx context.Context) ([]Tenant, error) {
	var all []Tenant
	for cursor := ""; ; {
		page, err := value[openapi.TenantPage](c.api.ListTenants(ctx, &openapi.ListTenantsParams{Cursor: optional(cursor)}, c.edit))
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == nil {
			return all, nil
		}
		cursor = *page.Next
	}
}

// Tenant finds a tenant by id or slug.
func (c *Client) Tenant(ctx context.Context, tenant string) (*Tenant, error) {
	return value[Tenant](c.api.GetTenant(ctx, tenant, c.edit))
}

// ChangeTenant suspends a tenant, resumes it or closes it, for an operator of the
// node; reason stays for good.
func (c *Client) ChangeTenant(ctx context.Context, tenant, action, reason string) (*TenantChanged, error) {
	return value[TenantChanged](c.api.ChangeTenantState(ctx, tenant, openapi.TenantChange{Action: openapi.TenantChangeAction(action), Reason: reason}, c.edit))
}

// ChangeAccount lets an account's person in (activate) or keeps them out (deactivate),
// as an operator of the node. identity is a LogLine ID or an @handle.
func (c *Client) ChangeAccount(ctx context.Context, identity, action, reason string) (*AccountChanged, error) {
	return value[AccountChanged](c.api.ChangeAccountState(ctx, path(identity), openapi.AccountStateChange{Action: openapi.AccountStateChangeAction(action), Reason: reason}, c.edit))
}

// Members lists who holds which roles in a tenant now.
func (c *Client) Members(ctx context.Context, tenant string) ([]Member, error) {
	page, err := value[openapi.MemberPage](c.api.ListMembers(ctx, tenant, c.edit))
	if err != nil {
		return nil, err
	}
	return page.Items, nil
}

// Usage is what a tenant uses of its quotas.
func (c *Client) Usage(ctx context.Context, tenant string) (*Usage, error) {
	return value[Usage](c.api.GetUsage(ctx, tenant, c.edit))
}

// Stats are counts over a timeline.
func (c *Client) Stats(ctx context.Context, tenant string) (*Stats, error) {
	return value[Stats](c.api.GetStats(ctx, tenant, c.edit))
}
