package httpapi_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

func (w *world) importBundle(tenant, query, token string, raw []byte) reply {
	w.t.Helper()
	return w.do(w.request(http.MethodPost, "/v1/tenants/"+tenant+"/bundle"+query, token, "application/x-ndjson", bytes.NewReader(raw)))
}

// TestBundleRoundTrip takes a timeline from one node to another, reads it there
// as its members do, and exports it again.
func TestBundleRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	auditor := w.member("auditor")
	secret := w.note(w.owner, 1, visible(span.VisibilityPrivate))
	w.append(secret).want(t, http.StatusCreated)
	for i := range 300 {
		w.append(w.note(w.owner, i)).want(t, http.StatusCreated)
	}
	raw := w.get(w.at("/bundle"), w.token(auditor)).want(t, http.StatusOK).body

	there := newWorld(t) // of the same slug
	there.importBundle(w.tenant.Id, "", "", raw).problem(t, http.StatusUnauthorized, "credential_required")
	there.importBundle("acme", "", there.token(there.owner), raw).problem(t, http.StatusBadRequest, "tenant_invalid")
	there.importBundle(there.tenant.Id, "", there.token(there.owner), raw).problem(t, http.StatusBadRequest, "tenant_mismatch")
	p := there.importBundle(w.tenant.Id, "", there.token(there.owner), raw).problem(t, http.StatusConflict, "slug_taken")
	require.Contains(t, p.Detail, "slug=")
	var out client.ImportedBundle
	there.importBundle(w.tenant.Id, "?slug=acme-west&node="+bare(w.node.ID()), there.token(there.owner), raw).want(t, http.StatusCreated).decode(t, &out)
	require.True(t, out.Authenticated)
	require.True(t, out.Tenant.ReadOnly)
	require.Equal(t, "acme-west", out.Tenant.Slug)
	require.Equal(t, w.size(), out.To)

	// Who may read it is who may at home, once known here.
	there.get("/v1/tenants/acme-west/spans", there.token(there.owner)).problem(t, http.StatusNotFound, "tenant_unknown")
	for _, keys := range []*id.Keys{w.owner, auditor} {
		there.register(keys)
	}
	at := func(path string) string { return "/v1/tenants/" + w.tenant.Id + path }
	require.Equal(t, raw, there.get(at("/bundle"), there.token(auditor)).want(t, http.StatusOK).body)
	for _, path := range []string{
		"/spans?limit=7", "/spans/" + spanID(t, secret), "/checkpoint", "/tile/0/000", "/tile/entries/001.p/50",
		"/proofs/inclusion?index=5", "/proofs/consistency?from=3", "/stats", "/members",
	} {
		who := w.owner
		if strings.Contains(path, "entries") {
			who = auditor
		}
		mine := w.get(w.at(path), w.token(who)).want(t, http.StatusOK).body
		theirs := there.get(at(path), there.token(who)).want(t, http.StatusOK).body
		if i := bytes.Index(mine, []byte(`"next":`)); i >= 0 {
			mine, theirs = mine[:i], theirs[:i] // a cursor is its server's
		}
		require.Equal(t, string(mine), string(theirs), path)
	}
	there.get(at("/spans/"+spanID(t, secret)+"/why"), there.token(w.owner)).want(t, http.StatusOK)
	report, err := bundle.Verify(t.Context(), bytes.NewReader(there.get(at("/bundle"), there.token(auditor)).body), bundle.Options{Node: w.node.ID()})
	require.NoError(t, err)
	require.True(t, report.OK && report.Authenticated, "%+v", report)

	there.post(at("/spans"), "", w.note(w.owner, 1)).problem(t, http.StatusConflict, "timeline_read_only")
	r := there.do(there.request(http.MethodPost, at("/spans"), "", "application/x-ndjson", bytes.NewReader(w.note(w.owner, 1)))).want(t, http.StatusOK)
	require.Equal(t, "timeline_read_only", r.results(t)[0].Problem.Code)

	// A rotation at this node is no business of a timeline that another writes.
	rotation, err := w.owner.Rotate(there.clock.now(), randReader)
	require.NoError(t, err)
	var added client.KeyEventAdded
	there.post("/v1/identities/"+bare(w.owner.ID())+"/events", "", rotation.Raw).want(t, http.StatusCreated).decode(t, &added)
	require.Empty(t, added.Pending)
}

func TestImportPinsAndRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	note := w.get(w.at("/checkpoint"), "").body
	w.append(w.note(w.owner, 7)).want(t, http.StatusCreated)
	raw := w.get(w.at("/bundle"), w.token(w.owner)).want(t, http.StatusOK).body
	there := newNode(t, func(d *httpapi.Deps) { d.Limits.Bundle = int64(len(raw)) })
	post := func(query string, body []byte) reply {
		return there.importBundle(w.tenant.Id, query, bootstrapToken, body)
	}

	there.importBundle(w.tenant.Id, "", "llb_wrong-wrong-wrong-wrong-wrong", raw).problem(t, http.StatusUnauthorized, "bootstrap_token_wrong")
	there.do(there.request(http.MethodPost, "/v1/tenants/"+w.tenant.Id+"/bundle", bootstrapToken, "application/json", bytes.NewReader(raw))).
		problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	p := post("", bytes.Replace(raw, []byte(`"n":7`), []byte(`"n":8`), 1)).problem(t, http.StatusBadRequest, "bundle_invalid")
	require.Equal(t, "/"+"6", p.Fields[0].Pointer)
	require.Contains(t, p.Fields[0].Detail, "line 7: ")
	post("", append(bytes.Clone(raw), '\n')).problem(t, http.StatusRequestEntityTooLarge, "bundle_too_large")
	post("?node="+bare(there.node.ID()), raw).problem(t, http.StatusBadRequest, "bundle_invalid")
	post("?node=x", raw).problem(t, http.StatusBadRequest, "parameter_invalid")
	post("?checkpoint=x", raw).problem(t, http.StatusBadRequest, "checkpoint_invalid")
	post("?witness=1", raw).problem(t, http.StatusBadRequest, "parameter_unknown")
	there.get("/v1/tenants/"+w.tenant.Id+"/checkpoint", "").problem(t, http.StatusNotFound, "tenant_unknown")

	post("?checkpoint="+url.QueryEscape(string(note)), raw).want(t, http.StatusCreated)
	post("", raw).want(t, http.StatusOK)
	w.importBundle(w.tenant.Id, "", w.token(w.owner), raw).problem(t, http.StatusConflict, "bundle_own")

	// It spent no token: the first tenant can still be made.
	there.owner = there.identity()
	there.tenant = there.newTenant(bootstrapToken, "own", false)
	post("", raw).problem(t, http.StatusForbidden, "bootstrap_token_spent")
}

// TestImportedRolesAreNotThisNodes: who owns a timeline of another node has no
// more say here than anybody.
func TestImportedRolesAreNotThisNodes(t *testing.T) {
	t.Parallel()
	w, there := newWorld(t), newWorld(t, func(d *httpapi.Deps) { d.OpenRegistration = false })
	raw := w.get(w.at("/bundle"), w.token(w.owner)).want(t, http.StatusOK).body
	there.importBundle(w.tenant.Id, "?slug=acme-west", there.token(there.owner), raw).want(t, http.StatusCreated)
	there.register(w.owner)
	there.get("/v1/tenants/acme-west/spans", there.token(w.owner)).want(t, http.StatusOK)
	want := map[string]any{"custody": true, "subject": "agent"}
	there.post("/v1/identities", there.token(w.owner), want).problem(t, http.StatusForbidden, "custody_closed")
	there.post("/v1/identities", there.token(there.owner), want).want(t, http.StatusCreated)
}
