package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/flow"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

const sessionsPath = "/v1/onboarding/sessions"

// newcomer is somebody with keys and an onboarding session.
type newcomer struct {
	*world
	keys  *id.Keys
	path  string // of the session
	token string // of the session
}

func (w *world) newcomer() *newcomer {
	w.t.Helper()
	var s openapi.OnboardingSession
	w.post(sessionsPath, "", map[string]any{"road": "page"}).want(w.t, http.StatusCreated).decode(w.t, &s)
	return &newcomer{w, w.keys(), sessionsPath + "/" + s.Id, s.Token}
}

// put does a step as it is asked for.
func (n *newcomer) put(step string, body any) reply {
	n.t.Helper()
	raw, ok := body.([]byte)
	if !ok {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(n.t, err)
	}
	return n.do(n.request(http.MethodPut, n.path+"/steps/"+step, n.token, "application/json", bytes.NewReader(raw)))
}

// who is the body of the step identity.
func (n *newcomer) who() map[string]any {
	return map[string]any{"events": registration(n.keys, "", "").Events, "token": n.world.token(n.keys)}
}

func (r reply) step(t testing.TB, status string) (s openapi.OnboardingStep) {
	t.Helper()
	r.want(t, http.StatusOK).decode(t, &s)
	require.Equal(t, status, string(s.Status))
	return s
}

// sign appends the drafts that are missing.
func (n *newcomer) sign(s *openapi.OnboardingStep, tenant string) {
	for _, d := range s.Drafts {
		if d.Missing {
			raw := n.seal(n.keys, d.Payload, func(h *span.Header) {
				h.ID, h.Tenant, h.Type, h.Title, h.Subject, h.Tags, h.Visibility = d.Id, tenant, d.Type, d.Title, d.Subject, d.Tags, string(d.Visibility)
			})
			n.post("/v1/tenants/"+tenant+"/spans", "", raw).want(n.t, http.StatusCreated)
		}
	}
}

// TestOnboarding goes the whole way over HTTP on a node that is closed, from the
// bootstrap token to a verified proof, each request sent twice.
func TestOnboarding(t *testing.T) {
	t.Parallel()
	w := newNode(t, func(d *httpapi.Deps) { d.OpenRegistration = false })
	n := w.newcomer()
	twice := func(step string, body any, status string) openapi.OnboardingStep {
		t.Helper()
		first := n.put(step, body).step(t, status)
		require.Equal(t, first, n.put(step, body).step(t, status))
		return first
	}
	n.put("identity", n.who()).problem(t, http.StatusForbidden, "registration_closed")
	who := n.who()
	who["admission"], who["handle"], who["name"] = bootstrapToken, "ana", "Ana Lima"
	require.Equal(t, n.keys.ID(), twice("identity", who, "done").Identity)

	found := map[string]any{"slug": "acme", "name": "Acme", "retention_days": 30, "public_reading": true}
	n.put("tenant", found).problem(t, http.StatusForbidden, "tenants_closed")
	found["admission"] = bootstrapToken
	step := twice("tenant", found, "open")
	tenant := step.Tenant.Id
	require.True(t, step.Tenant.PublicReading)
	n.sign(&step, tenant)
	delete(found, "admission") // it is spent, and nobody keeps it
	twice("tenant", found, "done")
	twice("recovery", map[string]any{"method": "sheet"}, "done")
	take := map[string]any{"template": "audit-trail", "examples": true}
	step = twice("template", take, "open")
	n.sign(&step, tenant)
	twice("template", take, "done")
	twice("invitations", map[string]any{"skip": true}, "skipped")

	raw := n.seal(n.keys, []byte(`{"text":"hello"}`), func(h *span.Header) { h.Tenant, h.Type = tenant, "note.written" })
	var receipt client.Receipt
	n.post("/v1/tenants/"+tenant+"/spans", "", raw).want(t, http.StatusCreated).decode(t, &receipt)
	first := twice("first_span", map[string]any{"span": spanID(t, raw)}, "done")
	var seen client.Tenant
	n.get("/v1/tenants/"+tenant, n.world.token(n.keys)).want(t, http.StatusOK).decode(t, &seen)
	checkpoint, err := tree.OpenNote([]byte(receipt.Checkpoint), seen.LogKey)
	require.NoError(t, err)
	require.Equal(t, receipt.LeafHash, first.LeafHash)
	twice("proof", map[string]any{"seq": *first.Seq, "leaf_hash": first.LeafHash, "root": checkpoint.Root.String(), "size": checkpoint.Size}, "done")

	var s openapi.OnboardingSession
	r := n.get(n.path, n.token).want(t, http.StatusOK)
	r.decode(t, &s)
	require.True(t, s.Complete)
	require.Equal(t, []string{tenant, n.keys.ID(), "closed", w.node.ID()}, []string{s.Tenant, s.Identity, s.Registration, s.Node})
	for _, secret := range []string{n.token, "Ana Lima", `"ana"`, bootstrapToken} {
		require.NotContains(t, string(r.body), secret)
	}
	require.NoError(t, w.own.Tell(t.Context()))
	own, err := w.own.Find(t.Context())
	require.NoError(t, err)
	var acts openapi.EntryPage
	n.get("/v1/tenants/"+own.ID+"/spans?type=node.onboarding.step", n.world.token(n.keys)).want(t, http.StatusOK).decode(t, &acts)
	require.Len(t, acts.Items, 7, "whoever made the first tenant operates the node, and reads what it tells")
}

// TestOnboardingTakesNobodyElses: key events are public, so that they alone let
// nobody act as the identity that they are of.
func TestOnboardingTakesNobodyElses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.newcomer()
	for name, c := range map[string]struct {
		token  string
		status int
		code   string
	}{
		"no token":     {"", http.StatusBadRequest, "onboarding_token_missing"},
		"another's":    {w.token(n.keys), http.StatusForbidden, "onboarding_proof_other"},
		"a session's":  {n.token, http.StatusUnauthorized, "token_malformed"},
		"a delegate's": {w.device(w.owner, "logline.api"), http.StatusForbidden, "key_cannot_manage"},
		"an API key":   {w.apiKey(w.owner, w.owner.ID(), map[string]any{}).Key, http.StatusUnauthorized, "token_malformed"},
	} {
		body := map[string]any{"events": registration(w.owner, "", "").Events}
		if c.token != "" {
			body["token"] = c.token
		}
		t.Log(name)
		n.put("identity", body).problem(t, c.status, c.code)
	}
	n.put("identity", map[string]any{"session": true}).problem(t, http.StatusUnauthorized, "onboarding_login_missing")
	n.put("identity", map[string]any{"session": true, "events": registration(w.owner, "", "").Events}).problem(t, http.StatusBadRequest, "onboarding_identity_how")
	n.put("identity", map[string]any{}).problem(t, http.StatusBadRequest, "onboarding_identity_how")
	unsigned := n.who()
	n.keys = w.keys()
	other := n.who()
	unsigned["token"] = other["token"]
	n.put("identity", unsigned).problem(t, http.StatusForbidden, "onboarding_proof_other")

	// The identity's own key brings in who is registered already.
	n.keys = w.owner
	n.put("identity", n.who()).step(t, "done")
}

func TestOnboardingRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.newcomer()
	w.post(sessionsPath, "", map[string]any{"road": "walking"}).problem(t, http.StatusBadRequest, "onboarding_road_unknown")
	w.post(sessionsPath, "", map[string]any{"rode": "api"}).problem(t, http.StatusBadRequest, "body_malformed")
	n.put("party", map[string]any{}).problem(t, http.StatusNotFound, "onboarding_step_unknown")
	n.put("recovery", map[string]any{"method": "none", "more": 1}).problem(t, http.StatusBadRequest, "body_malformed")
	n.put("recovery", []byte("{")).problem(t, http.StatusBadRequest, "body_malformed")
	n.put("recovery", map[string]any{"method": "none"}).problem(t, http.StatusConflict, "onboarding_step_early")
	for _, token := range []string{"", w.token(w.owner), bootstrapToken, w.newcomer().token} {
		w.get(n.path, token).problem(t, http.StatusUnauthorized, "onboarding_token_invalid")
	}
	// The session's token is good for nothing else.
	w.get("/v1/tenants", n.token).problem(t, http.StatusUnauthorized, "token_malformed")
	w.clock.advance(flow.Life + time.Second)
	w.get(n.path, n.token).problem(t, http.StatusUnauthorized, "onboarding_token_invalid")
}

// FuzzOnboardingStep: whatever is sent to a step is answered by the document, and what
// is refused leaves the session as it was.
func FuzzOnboardingStep(f *testing.F) {
	for _, step := range flow.Steps() {
		f.Add(step, []byte(`{"skip":true}`))
	}
	f.Add("identity", []byte(`{"events":[{}],"token":"eyJ"}`))
	f.Add("tenant", []byte(`{"slug":"a","name":"A","retention_days":-1}`))
	f.Add("proof", []byte(`{"seq":0,"leaf_hash":"","root":"","size":18446744073709551615}`))
	w := newNode(f)
	f.Fuzz(func(t *testing.T, step string, body []byte) {
		if !slices.Contains(flow.Steps(), step) {
			return
		}
		w.clock.advance(10 * time.Minute) // so that sessions end
		n := w.in(t).newcomer()
		n.put("identity", n.who()).step(t, "done")
		before := n.get(n.path, n.token).want(t, http.StatusOK)
		r := n.put(step, body)
		after := n.get(n.path, n.token).want(t, http.StatusOK)
		if r.status != http.StatusOK {
			require.Less(t, r.status, http.StatusInternalServerError, "%s", r.body)
			require.JSONEq(t, string(before.body), string(after.body))
		}
	})
}

// TestOnboardingByLogin: an identity whose keys the node holds is brought in by its
// login, which comes as a cookie beside the session's token and has to be fresh.
func TestOnboardingByLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	b.ask(http.MethodPost, "/v1/accounts", "", map[string]any{"custody": true, "handle": "ana", "password": passphrase, "cookie": true}).want(t, http.StatusCreated)
	n := w.newcomer()
	at := func(cookie, origin, step string, body any) reply {
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		req := n.request(http.MethodPut, n.path+"/steps/"+step, n.token, "application/json", bytes.NewReader(raw))
		req.Header.Set("Origin", origin)
		if cookie != "" {
			req.AddCookie(&http.Cookie{Name: "logline_session", Value: cookie})
		}
		return n.do(req)
	}
	who := map[string]any{"session": true}
	at("", w.url, "identity", who).problem(t, http.StatusUnauthorized, "onboarding_login_missing")
	at("lls_nothing", w.url, "identity", who).want(t, http.StatusUnauthorized)
	at(b.cookie(), "https://evil.example", "identity", who).problem(t, http.StatusForbidden, "origin_foreign")
	step := at(b.cookie(), w.url, "identity", who).step(t, "done")
	require.True(t, step.Held)

	found := map[string]any{"slug": "anas", "name": "Ana's", "retention_days": 30}
	at("", w.url, "tenant", found).problem(t, http.StatusUnauthorized, "onboarding_login_missing")
	at(b.cookie(), "https://evil.example", "tenant", found).problem(t, http.StatusForbidden, "origin_foreign")
	step = at(b.cookie(), w.url, "tenant", found).step(t, "done")
	require.False(t, step.Drafts[0].Missing, "the node signed it at once")
	w.clock.advance(11 * time.Minute)
	at(b.cookie(), w.url, "template", map[string]any{"template": "audit-trail"}).problem(t, http.StatusForbidden, "session_not_fresh")
	at(b.cookie(), w.url, "recovery", map[string]any{"method": "held"}).step(t, "done")
}

// TestOnboardingByInvitation: an invitation lets somebody in where registration is not
// open, and joins its tenant; an auditor has nothing to append, and a proof to check.
func TestOnboardingByInvitation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.OpenRegistration, d.Registration = false, httpapi.RegistrationInvite })
	given := w.invite(w.owner, span.RoleAuditor)
	n := w.newcomer()
	n.put("identity", n.who()).problem(t, http.StatusForbidden, "registration_closed")
	who := n.who()
	who["admission"] = given.Reveal()
	n.put("identity", who).step(t, "done")
	n.put("tenant", map[string]any{"invitation": given.Reveal(), "slug": "a", "name": "A"}).problem(t, http.StatusBadRequest, "onboarding_tenant_how")
	for range 2 {
		step := n.put("tenant", map[string]any{"invitation": given.Reveal()}).step(t, "done")
		require.Equal(t, []string{w.tenant.Id, span.RoleAuditor}, []string{step.Tenant.Id, step.Role})
	}
	var s openapi.OnboardingSession
	r := n.get(n.path, n.token).want(t, http.StatusOK)
	r.decode(t, &s)
	require.NotContains(t, string(r.body), given.Reveal())
	for i, status := range []string{"done", "done", "open", "skipped", "skipped", "skipped", "open"} {
		require.Equal(t, status, string(s.Steps[i].Status), s.Steps[i].Step)
	}
	n.put("template", map[string]any{"skip": true}).step(t, "skipped")
	n.put("template", map[string]any{"template": "audit-trail"}).problem(t, http.StatusConflict, "onboarding_step_recorded")
	n.put("recovery", map[string]any{"method": "none"}).step(t, "done")
	var receipt client.Receipt
	raw := w.note(w.owner, 1)
	w.append(raw).want(t, http.StatusCreated).decode(t, &receipt)
	n.get(w.at("/spans/"+spanID(t, raw)), n.world.token(n.keys)).want(t, http.StatusOK)
	checkpoint, err := tree.OpenNote([]byte(receipt.Checkpoint), w.tenant.LogKey)
	require.NoError(t, err)
	n.put("proof", map[string]any{"seq": receipt.Inclusion.Index, "leaf_hash": receipt.LeafHash, "root": checkpoint.Root.String(), "size": checkpoint.Size}).step(t, "done")
	n.get(n.path, n.token).decode(t, &s)
	require.True(t, s.Complete)
	other := w.newcomer()
	who = other.who()
	who["admission"] = given.Reveal()
	other.put("identity", who).problem(t, http.StatusNotFound, "invitation_invalid")
}
