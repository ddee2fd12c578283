package httpapi_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi/spectest"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// openByID are the operations that answer for a tenant's id without a look at
// who asks: no content is in what they give, or the request is its own
// credential. Which tile is asked for decides for getTile.
var openByID = map[string]bool{
	"getCheckpoint": true, "cosignCheckpoint": true, "getInclusion": true, "getConsistency": true, "getTile": true, "appendSpans": true, "simulateSpans": true,
}

// probe is one request for a tenant, written {tenant} wherever it is named.
type probe struct {
	op     string
	method string
	path   string
	header http.Header
	body   string
	open   bool // by id it may answer for a tenant that the caller may not read
}

// TestUnreadableIsAbsent holds, for every route of the document that names a
// tenant and for every caller who may read nothing of one, the answer for it
// against the answer for a tenant that does not exist.
func TestUnreadableIsAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := w.note(w.owner, 1, visible(span.VisibilityPrivate))
	w.append(secret).want(t, http.StatusCreated)
	left := w.member("member")
	payload, err := span.Canonical(span.Member{Identity: left.ID(), Roles: []string{"member"}, Action: span.ActionWithdraw})
	require.NoError(t, err)
	w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })).want(t, http.StatusCreated)
	member := w.member("member")
	elsewhere := w.newTenantOf(member, "elsewhere")
	callers := map[string]string{
		"anonymous": "", "nobody's token": "eyJ.e30.x", "nobody's key": "llk_nothing", "bootstrap token": bootstrapToken,
		"stranger": w.token(w.identity()), "former member": w.token(left),
		"member's key for another tenant": w.apiKey(member, member.ID(), map[string]any{"tenant": elsewhere}).Key,
	}
	probes := w.probes(spanID(t, secret))
	require.Greater(t, len(probes), 60)
	seen := map[string]bool{}
	for _, p := range probes {
		seen[p.op] = true
		for who, token := range callers {
			if !p.open {
				require.Equal(t, w.probe(p, absentID, token), w.probe(p, w.tenant.Id, token), "%s: %s %s by id", who, p.method, p.path)
			}
			require.Equal(t, w.probe(p, absentSlug, token), w.probe(p, w.tenant.Slug, token), "%s: %s %s by slug", who, p.method, p.path)
		}
	}
	for op := range openByID {
		require.True(t, seen[op], "%s is in the document no more", op)
	}
}

// newTenantOf is the id of a tenant that somebody else than the world's owner owns.
func (w *world) newTenantOf(owner *id.Keys, slug string) string {
	w.t.Helper()
	var out struct{ ID string }
	w.post("/v1/tenants", w.token(owner), map[string]any{"slug": slug, "name": "Another", "owner": owner.ID()}).
		want(w.t, http.StatusCreated).decode(w.t, &out)
	return out.ID
}

// probe asks, and writes down all of the answer that may not differ.
func (w *world) probe(p probe, tenant, token string) string {
	w.t.Helper()
	req := w.request(p.method, strings.ReplaceAll(p.path, "{tenant}", tenant), token, "", strings.NewReader(p.body))
	maps.Copy(req.Header, p.header)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Header.Get("Content-Type") == "text/event-stream" {
		return resp.Status // it is open, and never ends
	}
	return strings.ReplaceAll(resp.Status+"\n"+fixedPart(w.t, resp), tenant, "{tenant}")
}

// probes are requests to each route that names a tenant: as it is, with each
// parameter that it takes, and with what it refuses.
func (w *world) probes(secret string) []probe {
	w.t.Helper()
	spec, err := spectest.Load()
	require.NoError(w.t, err)
	var out []probe
	for path, item := range spec.Document.Paths.Map() {
		if !strings.Contains(path, "{tenant}") {
			continue
		}
		at := strings.NewReplacer("{span}", secret, "{contract}", "some.contract", "{task}", secret+".0", "{follower}", "tasks", "{webhook}", "some.webhook", "{invitation}", secret, "{schedule}", "some.schedule", "{level}", "0", "{index}", "000").Replace(path)
		require.NotContains(w.t, strings.ReplaceAll(at, "{tenant}", ""), "{", "a parameter that this test has no value for")
		for method, op := range item.Operations() {
			p := probe{op: op.OperationID, method: method, open: openByID[op.OperationID], header: http.Header{}}
			p.body = w.probeBody(op, p.header)
			for _, query := range queries(op) {
				p.path = at + query
				out = append(out, p)
			}
			switch op.OperationID {
			case "getTile":
				p.path, p.open = strings.Replace(at, "/0/000", "/entries/000.p/1", 1), false
				out = append(out, p)
			case "feed":
				p.header = http.Header{"Accept": {"text/event-stream"}}
				for _, query := range append(queries(op), "?from=99999999", "?ticket=made-up&from=0") {
					p.path = at + query
					out = append(out, p)
				}
				p.path, p.header = at, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
					"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {"logline.v1"}}
				out = append(out, p)
			}
			p.path, p.header, p.body = at+"?nonsense=1", http.Header{}, "{"
			out = append(out, p)
		}
	}
	return out
}

// probeBody is a body that the operation reads, of the type in header.
func (w *world) probeBody(op *openapi3.Operation, header http.Header) string {
	w.t.Helper()
	if op.RequestBody == nil {
		return ""
	}
	content := op.RequestBody.Value.Content
	types := slices.Sorted(maps.Keys(content))
	header.Set("Content-Type", types[0])
	switch op.OperationID {
	case "appendSpans", "simulateSpans":
		// Who knows a tenant's id may sign a span for it, and hears about it.
		return string(w.note(w.keys(), 1, func(h *span.Header) { h.Tenant = "0190b000-0000-8000-8000-000000000000" }))
	case "appendEvents":
		header.Set("Content-Type", "application/cloudevents+json")
		return `{"specversion":"1.0","id":"1","source":"/x","type":"a.b"}`
	case "cosignCheckpoint":
		return string(w.get(w.at("/checkpoint"), "").body)
	}
	return "{}"
}

// queries are the query strings of an operation, each parameter once.
func queries(op *openapi3.Operation) []string {
	sample := map[string]string{
		"type": "a.*", "status": "executed", "since": "2026-03-01T12:00:00.000Z", "until": "2026-03-01T12:00:00.000Z",
		"cause": "01900000-0000-7000-8000-000000000000", "order": "desc", "cosigned": "true", "format": "tlog-proof", "wait": "witnessed",
		"author": strings.Repeat("a", 52), "checkpoint": "x", "node": strings.Repeat("a", 52), "slug": "acme",
	}
	required, optional := "?", []string{}
	for _, ref := range op.Parameters {
		p := ref.Value
		if p.In != "query" {
			continue
		}
		value := sample[p.Name]
		if value == "" {
			value = "1"
		}
		if p.Required {
			required += p.Name + "=" + value + "&"
			continue
		}
		optional = append(optional, p.Name+"="+value)
	}
	out := []string{strings.TrimRight(required, "?&")}
	for _, one := range optional {
		out = append(out, required+one)
	}
	return out
}
