package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

func (w *world) client(keys *id.Keys, nodeID string) *client.Client {
	w.t.Helper()
	opts := []client.Option{client.WithHTTPClient(w.http), client.WithClock(w.clock.now), client.WithUserAgent("test")}
	if keys != nil {
		opts = append(opts, client.WithSigner(keys.Signer(), keys.ID(), nodeID))
	}
	c, err := client.New(w.url, opts...)
	require.NoError(w.t, err)
	return c
}

// The whole of the client against the whole of the server.
func TestClient(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newNode(t)
	keys := w.keys()
	c := w.client(keys, "")
	require.NoError(t, c.Ready(ctx))
	info, created, err := c.Register(ctx, registration(keys, "ana", "Ana"))
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, keys.ID(), info.Id)
	_, created, err = c.Register(ctx, registration(keys, "ana", "Ana"))
	require.NoError(t, err)
	require.False(t, created)
	info, err = c.Identity(ctx, "@ana")
	require.NoError(t, err)
	require.Equal(t, "Ana", info.Name)
	events, err := c.KeyEvents(ctx, keys.ID())
	require.NoError(t, err)
	require.Len(t, events.Events, 1)

	tenant, err := c.CreateTenant(ctx, bootstrapToken, client.NewTenant{Slug: "acme", Name: "Acme", Owner: keys.ID()})
	require.NoError(t, err)
	w.owner, w.tenant = keys, *tenant
	got, err := c.Tenant(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, tenant.Id, got.Id)
	second, err := c.CreateTenant(ctx, "", client.NewTenant{Slug: "second", Name: "Second", Owner: keys.ID()})
	require.NoError(t, err)
	all, err := c.Tenants(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.NotEqual(t, tenant.Id, second.Id)

	raw := w.note(keys, 1)
	a, err := c.Append(ctx, tenant.Id, raw)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, a.Status)
	w.checkReceipt(a.Receipt)
	a, err = c.Append(ctx, tenant.Slug, raw)
	require.NoError(t, err)
	require.True(t, a.Repeat())
	_, err = c.Append(ctx, tenant.Id, w.note(keys, 2), client.ExpectSize(1))
	require.Equal(t, "expected_seq", client.CodeOf(err))
	var p *client.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, http.StatusConflict, p.Status)
	sim, err := c.Append(ctx, tenant.Id, w.note(keys, 3, func(h *span.Header) { h.Status = span.StatusSimulated }))
	require.NoError(t, err)
	require.Nil(t, sim.Receipt)
	require.NotEmpty(t, sim.Decision)

	lines := [][]byte{w.note(keys, 4), []byte("{}"), w.note(keys, 5, func(h *span.Header) { h.Causes = []string{spanID(t, raw)} })}
	results, err := c.AppendMany(ctx, tenant.Id, lines)
	require.NoError(t, err)
	require.Len(t, results, 3)
	require.Equal(t, "member_missing", results[1].Problem.Code)
	require.Nil(t, results[2].Problem)
	_, err = c.AppendMany(ctx, "nowhere", lines[:1])
	require.Equal(t, "tenant_unknown", client.CodeOf(err))

	stop := errors.New("enough")
	several := func(yield func([]byte) bool) {
		for i := 0; i < 300 && yield(w.note(keys, i)); i++ {
		}
	}
	n := 0
	err = c.AppendStream(ctx, tenant.Id, several, func(client.LineResult) error {
		if n++; n == 10 {
			return stop
		}
		return nil
	})
	require.ErrorIs(t, err, stop)
	err = c.AppendStream(ctx, tenant.Id, slices.Values([][]byte{[]byte("{\n}")}), func(client.LineResult) error { return nil })
	require.ErrorContains(t, err, "line break")

	rec, err := c.Entry(ctx, tenant.Id, spanID(t, raw))
	require.NoError(t, err)
	require.Contains(t, string(rec.Entry), `"payload":{"n":1}`)
	page, err := c.Query(ctx, tenant.Id, client.Filter{Types: []string{"test.*"}, Author: keys.ID(), Limit: 1, Descending: true})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	require.NotNil(t, page.Next)
	count := 0
	for _, err := range c.All(ctx, tenant.Id, client.Filter{Types: []string{"test.*"}, Limit: 2}) {
		require.NoError(t, err)
		count++
	}
	require.GreaterOrEqual(t, count, 3)
	g, err := c.Effects(ctx, tenant.Id, spanID(t, raw), 0)
	require.NoError(t, err)
	require.Len(t, g.Nodes, 2)
	g, err = c.Causes(ctx, tenant.Id, spanID(t, lines[2]), 1)
	require.NoError(t, err)
	require.Len(t, g.Edges, 1)
	why, err := c.Why(ctx, tenant.Id, spanID(t, raw))
	require.NoError(t, err)
	require.Equal(t, keys.ID(), why.Signer.Identity)
	receipt, err := c.Receipt(ctx, tenant.Id, spanID(t, raw))
	require.NoError(t, err)
	w.checkReceipt(receipt)
	proof, err := c.ReceiptProof(ctx, tenant.Id, spanID(t, raw), false)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(proof), "c2sp.org/tlog-proof@v1\n"))
	note, err := c.Checkpoint(ctx, tenant.Id)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(note), tenant.Origin+"\n"))
	inc, err := c.Inclusion(ctx, tenant.Id, 2, 0)
	require.NoError(t, err)
	require.NotEmpty(t, inc.Hashes)
	con, err := c.Consistency(ctx, tenant.Id, 2, 0)
	require.NoError(t, err)
	require.Equal(t, inc.Size, con.To)
	members, err := c.Members(ctx, tenant.Id)
	require.NoError(t, err)
	require.Len(t, members, 1)
	stats, err := c.Stats(ctx, tenant.Id)
	require.NoError(t, err)
	require.Equal(t, inc.Size, stats.Size)
	var out bytes.Buffer
	require.NoError(t, c.Bundle(ctx, tenant.Id, &out, 0, 0))
	report, err := bundle.Verify(ctx, &out, bundle.Options{})
	require.NoError(t, err)
	require.True(t, report.OK)
	require.Equal(t, "tenant_unknown", client.CodeOf(c.Bundle(ctx, "nowhere", &out, 0, 0)))

	event, _, err := keys.Delegate("phone", nil, "", w.clock.now(), randReader)
	require.NoError(t, err)
	added, err := c.AppendEvent(ctx, keys.ID(), event.Raw)
	require.NoError(t, err)
	require.Equal(t, keys.ID(), added.Id)

	// A token is signed anew before it ends.
	w.clock.advance(4*time.Minute + time.Second)
	_, err = c.Members(ctx, tenant.Id)
	require.NoError(t, err)
	w.clock.advance(time.Hour)
	_, err = c.Members(ctx, tenant.Id)
	require.NoError(t, err)

	_, err = w.client(nil, "").Members(ctx, tenant.Id)
	require.Equal(t, "credential_required", client.CodeOf(err))
	v, err := w.client(nil, "").Version(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, v.Protocol)
}
