package systemtest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/systemtest/program"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// tenancy is a tenant on a server, with its owner's keys.
type tenancy struct {
	*server
	owner  *id.Keys
	tenant *client.Tenant
	node   string // LogLine ID
	api    *client.Client
}

// onboard makes the first tenant of a fresh server.
func onboard(t *testing.T, s *server) *tenancy {
	t.Helper()
	y := &tenancy{owner: newKeys(t)}
	var err error
	y.tenant, err = s.FirstTenant(background(), s.client(), y.owner, "acme", "Acme")
	require.NoError(t, err, "log:\n%s", s.Log)
	y.attach(s)
	return y
}

// attach goes on with the same tenant on another process.
func (y *tenancy) attach(s *server) {
	y.server = s
	node, err := s.client().Node(background())
	require.NoError(s.t, err)
	y.node = node.Id
	y.api = s.client(client.WithSigner(y.owner.Signer(), y.owner.ID(), y.node))
}

func newKeys(t *testing.T) *id.Keys {
	t.Helper()
	keys, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	require.NoError(t, err)
	return keys
}

func register(t *testing.T, s *server, api *client.Client) *id.Keys {
	t.Helper()
	keys := newKeys(t)
	_, created, err := api.Register(background(), program.Registration(keys))
	require.NoError(t, err, "log:\n%s", s.Log)
	require.True(t, created)
	return keys
}

// member registers somebody and grants roles by the owner.
func (y *tenancy) member(roles ...string) *id.Keys {
	y.t.Helper()
	keys := register(y.t, y.server, y.api)
	y.grant(keys, roles...)
	return keys
}

// grant gives roles to somebody registered, by the owner.
func (y *tenancy) grant(keys *id.Keys, roles ...string) {
	y.t.Helper()
	payload, err := span.Canonical(span.Member{Identity: keys.ID(), Roles: roles, Action: span.ActionGrant})
	require.NoError(y.t, err)
	_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload,
		func(h *span.Header) { h.Type = span.TypeMember }))
	require.NoError(y.t, err)
}

// seal makes a span for the tenant as the bytes to send.
func (y *tenancy) seal(s id.Signer, author string, payload []byte, change ...func(*span.Header)) []byte {
	now := time.Now()
	spanID, err := span.RandomID(now, rand.Reader)
	require.NoError(y.t, err)
	h := span.Header{
		ID: spanID, Tenant: y.tenant.Id, Author: author, Type: "test.happened",
		Time: span.FormatTime(now), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	for _, c := range change {
		c(&h)
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt)
	sp, err := id.SealSpan(s, h, payload, salt)
	require.NoError(y.t, err)
	return sp.Canonical()
}

// note is an ordinary span of the owner's.
func (y *tenancy) note(n int) []byte {
	return y.seal(y.owner.Signer(), y.owner.ID(), fmt.Appendf(nil, `{"n":%d}`, n))
}

// checkpoint is the timeline's current checkpoint, its signature checked.
func (y *tenancy) checkpoint() tree.Checkpoint {
	y.t.Helper()
	note, err := y.api.Checkpoint(background(), y.tenant.Id)
	require.NoError(y.t, err)
	cp, err := tree.OpenNote(note, y.tenant.LogKey)
	require.NoError(y.t, err)
	return cp
}

// export is the whole timeline as a bundle, verified offline with the node
// pinned.
func (y *tenancy) export() *bytes.Buffer {
	y.t.Helper()
	var b bytes.Buffer
	require.NoError(y.t, y.api.Bundle(background(), y.tenant.Id, &b, 0, 0), "log:\n%s", y.Log)
	report, err := bundle.Verify(background(), bytes.NewReader(b.Bytes()), bundle.Options{Node: y.node})
	require.NoError(y.t, err)
	require.True(y.t, report.OK, "%s: %v", report.Verdict, report.Problems)
	require.True(y.t, report.Authenticated, report.Verdict)
	require.EqualValues(y.t, report.Size, report.Checked+report.WithheldRedacted, "every entry was checked")
	return &b
}

// post sends raw bytes and gives the status and the problem, if it is one.
func (s *server) post(t *testing.T, path, contentType string, body []byte) (int, client.Problem) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.URL+path, bytes.NewReader(body))
	require.NoError(t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := (&http.Client{Transport: spectest.Transport(t, http.DefaultTransport)}).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var p client.Problem
	if resp.StatusCode > 299 {
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&p))
		require.Equal(t, resp.StatusCode, p.Status)
		require.NotEmpty(t, p.Detail)
		require.NotEmpty(t, p.Instance, "request id")
	}
	return resp.StatusCode, p
}
