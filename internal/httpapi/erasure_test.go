package httpapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// onEach begins the names of the tests of every route on one kind of store.
const onEach = "TestErasedByNoRoute/"

// erasure is a node with content to be erased, seen from outside: through the
// process that erases it, and through another one that hears of that by looking
// alone, with feeds open on both.
type erasure struct {
	*world
	other   string   // URL of the second process
	begun   uint64   // size of the timeline when the feeds were opened: from there on they keep entries
	ids     []string // of the spans to be erased
	spans   [][]byte // those of them that their authors signed
	event   string   // a CloudEvent, as it is sent
	key     string   // of who sends it
	person  *id.Keys
	secrets []string
	live    []*websocket.Conn // that hold the followers, and with them what they keep
}

// newErasure records what is to be erased: payloads with an object, a detail and
// words, private and not, an event by a key in custody, a handle and a name.
func newErasure(t *testing.T) *erasure {
	e := &erasure{}
	e.world = newWorld(t, func(d *httpapi.Deps) {
		d.Limits.FeedPoll = 50 * time.Millisecond
		d.Engine = engine.New(d.Log.(*timeline.Log), d.Directory.(*id.Directory), id.FastVerifier(), noting, d.Node.(*id.Node), bus.New(), engine.Config{Now: d.Now})
		other := *d
		other.Wakes = nil
		server := httptest.NewServer(httpapi.New(other).Handler())
		t.Cleanup(server.Close)
		e.other = server.URL
	})
	e.begun = e.size()
	for _, base := range []string{e.url, e.other} {
		e.live = append(e.live, e.follow(base, e.begun))
	}
	e.secrets = []string{"xyzzypayload", "xyzzyevent", "xyzzyhandle", "xyzzyname", "xyzzykey"}
	for i, visibility := range []string{span.VisibilityOrganization, span.VisibilityPrivate} {
		cause := slices.Clone(e.ids)
		raw := e.seal(e.owner, fmt.Appendf(nil, `{"deep":[{"xyzzykey":%d}],"text":"xyzzypayload%d told"}`, i, i),
			func(h *span.Header) { h.Visibility, h.Tags, h.Causes = visibility, []string{"t"}, cause })
		e.append(raw).want(t, http.StatusCreated)
		sp, err := span.Parse(raw, span.Limits{})
		require.NoError(t, err)
		e.ids, e.spans, e.secrets = append(e.ids, sp.ID), append(e.spans, raw), append(e.secrets, sp.Salt, e.detailSalt(sp.ID))
	}
	e.secrets = append(e.secrets, erasedDetail) // of every entry that this world decides about
	_, e.key = e.eventer(span.RoleAgent, "orders.*")
	e.event = eventText("1", "orders.paid", `{"who":"xyzzyevent"}`)
	var receipt client.Receipt
	e.world.event(e.key, structured, e.event).want(t, http.StatusCreated).decode(t, &receipt)
	line, err := span.ParseLine(receipt.Entry)
	require.NoError(t, err)
	e.ids = append(e.ids, line.Span.ID)
	e.person = e.keys()
	_, _, err = e.dir.Register(t.Context(), e.person.Events(), "xyzzyhandle", "The xyzzyname")
	require.NoError(t, err)
	e.append(e.grant(e.person.ID(), span.RoleMember)).want(t, http.StatusCreated)
	return e
}

// erase erases all of it, and waits until the feeds of both processes have told.
func (e *erasure) erase() {
	r := span.Redaction{Reason: "asked"}
	for _, spanID := range e.ids {
		var receipt client.Receipt
		e.get(e.at("/spans/"+spanID+"/receipt"), e.token(e.owner)).want(e.t, http.StatusOK).decode(e.t, &receipt)
		line, err := span.ParseLine(receipt.Entry)
		require.NoError(e.t, err)
		r.Spans = append(r.Spans, span.SpanRef{Span: spanID, HeaderHash: line.Span.Hash().String()})
	}
	payload, err := span.Canonical(r)
	require.NoError(e.t, err)
	raw := e.seal(e.owner, payload, func(h *span.Header) { h.Type = span.TypeRedaction })
	e.append(raw).want(e.t, http.StatusCreated)
	e.do(e.request(http.MethodDelete, pathOf(e.person.ID(), ""), e.token(e.person), "", nil)).want(e.t, http.StatusOK)
	for _, conn := range e.live {
		readUntil(e.t, conn, spanID(e.t, raw))
	}
}

// follow opens a feed of everything from a seq on.
func (e *erasure) follow(base string, from uint64) *websocket.Conn {
	e.t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"logline.v1"}, HandshakeTimeout: feedPatience}
	conn, _, err := d.Dial("ws"+strings.TrimPrefix(base, "http")+e.at(fmt.Sprint("/feed?from=", from)), http.Header{"Authorization": {"Bearer " + e.token(e.owner)}})
	require.NoError(e.t, err)
	e.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// readUntil is all that comes up to a message with that text.
func readUntil(t testing.TB, conn *websocket.Conn, text string) []byte {
	t.Helper()
	var all []byte
	for {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(feedPatience)))
		_, raw, err := conn.ReadMessage()
		require.NoError(t, err, "of %d bytes none is %s", len(all), text)
		all = append(append(all, raw...), '\n')
		if bytes.Contains(raw, []byte(text)) {
			return all
		}
	}
}

// last is the span id of an entry that was appended just now: feeds are read up
// to it.
func (e *erasure) last() string {
	raw := e.grant(e.person.ID(), span.RoleMember)
	e.append(raw).want(e.t, http.StatusCreated)
	return spanID(e.t, raw)
}

// raw is what a request is answered with, whatever that is.
func (e *erasure) raw(method, target, token, contentType string, body []byte) []byte {
	e.t.Helper()
	req, err := http.NewRequest(method, target, bytes.NewReader(body))
	require.NoError(e.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := e.http.Do(req)
	require.NoError(e.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(e.t, err)
	return answer
}

// inquiry is one way to ask a process as a reader; it gives the answer as it came.
type inquiry func(e *erasure, base, token string) []byte

// of asks for paths under the tenant, for each of the spans where they name one.
func of(paths ...string) inquiry {
	return func(e *erasure, base, token string) (all []byte) {
		for _, path := range paths {
			for _, spanID := range e.ids {
				all = append(all, e.raw(http.MethodGet, base+e.at(strings.ReplaceAll(path, "{span}", spanID)), token, "", nil)...)
			}
		}
		return all
	}
}

// at asks for paths of the server, {person} being the identity that is erased.
func at(paths ...string) inquiry {
	return func(e *erasure, base, token string) (all []byte) {
		for _, path := range paths {
			path = strings.ReplaceAll(path, "{person}", strings.TrimPrefix(e.person.ID(), span.IdentityScheme))
			all = append(all, e.raw(http.MethodGet, base+path, token, "", nil)...)
		}
		return all
	}
}

// feeds are those of everything, in both ways.
func feeds(e *erasure, base, token string) []byte {
	if token == "" {
		return nil // answered with 401
	}
	last := e.last()
	all := readUntil(e.t, e.follow(base, 0), last)
	all = append(all, readUntil(e.t, e.follow(base, e.begun), last)...) // of what the process keeps
	req, err := http.NewRequest(http.MethodGet, base+e.at("/feed?from=0"), nil)
	require.NoError(e.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(e.t, err)
	defer resp.Body.Close()
	timer := time.AfterFunc(feedPatience, func() { _ = resp.Body.Close() })
	defer timer.Stop()
	for lines := bufio.NewReader(resp.Body); ; {
		line, err := lines.ReadBytes('\n')
		require.NoError(e.t, err)
		if all = append(all, line...); bytes.Contains(line, []byte(last)) {
			break
		}
	}
	return all
}

// repeats send again what was recorded.
func repeats(e *erasure, base, token string) []byte {
	all := e.raw(http.MethodPost, base+e.at("/spans"), token, "application/json", e.spans[0])
	return append(all, e.raw(http.MethodPost, base+e.at("/spans"), token, "application/x-ndjson", bytes.Join(e.spans, []byte("\n")))...)
}

// routes is every operation of the document: whether it showed what is erased
// before, and how it is asked. Without an inquiry it gives nothing that anybody
// recorded: it makes or changes keys, tenants or tickets.
var routes = map[string]struct {
	showed bool
	ask    inquiry
}{
	"getLive": {ask: at("/livez")}, "getReady": {ask: at("/readyz")}, "getMetrics": {ask: at("/metrics")},
	"getVersion": {ask: at("/v1/version")}, "getNode": {ask: at("/v1/node")},
	"listTemplates": {ask: at("/v1/templates")}, "getTemplate": {ask: at("/v1/templates/audit-trail")},
	"getIdentity":   {showed: true, ask: at("/v1/identities/{person}")},
	"getDID":        {ask: at("/v1/identities/{person}/did.json")},
	"listKeyEvents": {ask: at("/v1/identities/{person}/events")},
	"listAPIKeys":   {ask: at("/v1/identities/{person}/keys")},
	"registerIdentity": {showed: true, ask: func(e *erasure, base, token string) []byte {
		body, err := json.Marshal(map[string]any{"events": rawEvents(e.person)})
		require.NoError(e.t, err)
		return e.raw(http.MethodPost, base+"/v1/identities", token, "application/json", body)
	}},
	"listTenants": {ask: at("/v1/tenants")}, "getTenant": {ask: of("")}, "getStats": {ask: of("/stats")}, "getUsage": {ask: of("/usage")},
	"listMembers": {ask: of("/members")}, "listContracts": {ask: of("/contracts")}, "getContract": {ask: of("/contracts/some.contract")},
	"listTasks": {ask: of("/tasks", "/tasks?state=failed")}, "getTask": {ask: of("/tasks/{span}.0")}, "listQueues": {ask: of("/queues")}, "listFollowers": {ask: of("/followers")}, "getFollower": {ask: of("/followers/tasks")}, "listWebhooks": {ask: of("/webhooks")},
	"listSchedules": {ask: of("/schedules")}, "getSchedule": {ask: of("/schedules/some.contract/nightly")},
	"appendSpans": {ask: repeats},
	"appendEvents": {ask: func(e *erasure, base, _ string) []byte {
		return e.raw(http.MethodPost, base+e.at("/events"), e.key, structured, []byte(e.event))
	}},
	"listSpans":  {showed: true, ask: of("/spans", "/spans?tag=t&order=desc", "/spans?q=told", "/spans?type=orders.*", "/spans?status=executed&limit=3")},
	"getSpan":    {showed: true, ask: of("/spans/{span}")},
	"getReceipt": {ask: of("/spans/{span}/receipt", "/spans/{span}/receipt?format=tlog-proof")},
	"getCauses":  {ask: of("/spans/{span}/causes")}, "getEffects": {ask: of("/spans/{span}/effects")}, "getWhy": {showed: true, ask: of("/spans/{span}/why")},
	"getCheckpoint": {ask: of("/checkpoint")}, "getInclusion": {ask: of("/proofs/inclusion?index=5")}, "getConsistency": {ask: of("/proofs/consistency?from=3")},
	"getTile":      {ask: of("/tile/0/000", "/tile/0/000.p/5", "/tile/entries/000.p/5", "/tile/entries/000.p/8")},
	"exportBundle": {showed: true, ask: of("/bundle", "/bundle?from=5")},
	"importBundle": {ask: func(e *erasure, base, token string) []byte {
		whole := e.raw(http.MethodGet, base+e.at("/bundle"), e.token(e.owner), "", nil)
		return e.raw(http.MethodPost, base+e.at("/bundle"), token, "application/x-ndjson", whole)
	}},
	"feed": {showed: true, ask: feeds},

	"getAccount": {ask: at("/v1/account")}, "listSessions": {ask: at("/v1/sessions")},
	"createAccount": {}, "setAccount": {}, "eraseAccount": {}, "requestEmailProof": {}, "proveEmail": {}, "setPassword": {}, "offerSecondFactor": {}, "confirmSecondFactor": {}, "removeSecondFactor": {}, "renewRecoveryCodes": {},
	"listPasskeys": {ask: at("/v1/account/passkeys")}, "beginPasskey": {}, "finishPasskey": {}, "renamePasskey": {}, "removePasskey": {}, "beginPasskeySignIn": {}, "finishPasskeySignIn": {},
	"listInvitations": {ask: of("/invitations")}, "createInvitation": {}, "revokeInvitation": {}, "lookAtInvitation": {}, "acceptInvitation": {}, "requestCode": {},
	"listOIDCProviders": {ask: at("/v1/sessions/oidc")}, "listOIDCLinks": {ask: at("/v1/account/oidc")}, "beginOIDCSignIn": {}, "finishOIDCSignIn": {}, "beginOIDCLink": {}, "removeOIDCLink": {},
	"signIn": {}, "completeSignIn": {}, "endSession": {}, "endOtherSessions": {},
	"pauseSchedule": {}, "resumeSchedule": {}, "runSchedule": {}, "changeTenantState": {}, "changeAccountState": {},
	"setWebhook": {}, "rotateWebhook": {}, "deleteWebhook": {}, "testWebhook": {},
	"createOnboardingSession": {}, "getOnboardingSession": {}, "putOnboardingStep": {}, // what they show of drafts is the templates' own
	"setIdentity": {}, "eraseIdentity": {}, "addKeyEvent": {}, "rotateIdentity": {}, "revokeIdentity": {}, "createAPIKey": {}, "getAPIKey": {}, "rotateAPIKey": {}, "revokeAPIKey": {},
	"verifySignatures": {}, "verifySignatureStream": {}, "createTenant": {}, "cancelTask": {}, "requeueTask": {}, "pauseFollower": {}, "resumeFollower": {}, "requeueFollower": {}, "skipEntry": {}, "requestBacktest": {}, "requestReplay": {}, "simulateSpans": {}, "cosignCheckpoint": {}, "createFeedTicket": {},
}

func rawEvents(keys *id.Keys) (out []json.RawMessage) {
	for _, event := range keys.Events() {
		out = append(out, json.RawMessage(event))
	}
	return out
}

// found are the secrets in an answer.
func (e *erasure) found(answer []byte) (out []string) {
	for _, secret := range e.secrets {
		if bytes.Contains(answer, []byte(secret)) {
			out = append(out, secret)
		}
	}
	return out
}

// TestErasedByNoRoute asks every route of the document, at the process that
// erases and at another one of the node, for everybody, before and after.
func TestErasedByNoRoute(t *testing.T) {
	t.Parallel()
	spec, err := spectest.Load()
	require.NoError(t, err)
	for path, item := range spec.Document.Paths.Map() {
		for _, op := range item.Operations() {
			_, ok := routes[op.OperationID]
			require.True(t, ok, "%s of %s: say here whether it shows content of spans, and ask it", op.OperationID, path)
		}
	}
	for _, kind := range []string{backend.SQLite, backend.Postgres, backend.Files, backend.Memory} {
		t.Run(kind, testErasedByNoRoute)
	}
}

func testErasedByNoRoute(t *testing.T) {
	t.Parallel()
	e := newErasure(t)
	auditor := e.member(span.RoleAuditor)
	readers := map[string]func() string{
		"owner": func() string { return e.token(e.owner) }, "auditor": func() string { return e.token(auditor) }, "nobody": func() string { return "" },
	}
	seen := map[string]bool{}
	for name, route := range routes {
		if route.ask == nil {
			continue
		}
		for _, base := range []string{e.url, e.other} {
			found := e.found(route.ask(e, base, e.token(e.owner)))
			require.Equal(t, route.showed, len(found) > 0, "%s shows %q: this test could not fail, or its table is wrong", name, found)
			for _, secret := range found {
				seen[secret] = true
			}
		}
	}
	require.Len(t, seen, len(e.secrets), "each secret is shown by some route: %v", seen)
	whole := e.raw(http.MethodGet, e.url+e.at("/bundle"), e.token(auditor), "", nil)

	e.erase()
	for who, token := range readers {
		for name, route := range routes {
			if route.ask == nil {
				continue
			}
			for _, base := range []string{e.url, e.other} {
				require.Empty(t, e.found(route.ask(e, base, token())), "%s shows %s what was erased", name, who)
			}
		}
	}
	for _, secret := range e.secrets { // none of its words leads to it either
		var page client.Page
		e.get(e.at("/spans?q="+url.QueryEscape(secret)), e.token(auditor)).want(t, http.StatusOK).decode(t, &page)
		require.Empty(t, page.Items)
	}

	// A node that has a copy erases it with the next bundle.
	there := newWorld(t)
	there.importBundle(e.tenant.Id, "?slug=copy", there.token(there.owner), whole).want(t, http.StatusCreated)
	there.register(auditor)
	copied := func() []string {
		return e.found(there.get("/v1/tenants/copy/bundle", there.token(auditor)).want(t, http.StatusOK).body)
	}
	require.NotEmpty(t, copied())
	whole = e.raw(http.MethodGet, e.url+e.at("/bundle"), e.token(auditor), "", nil)
	there.importBundle(e.tenant.Id, "", there.token(there.owner), whole).want(t, http.StatusOK)
	require.Empty(t, copied())
	report, err := bundle.Verify(t.Context(), bytes.NewReader(whole), bundle.Options{Node: e.node.ID()})
	require.NoError(t, err)
	require.True(t, report.OK, "%v", report.Problems)
	require.EqualValues(t, len(e.ids), report.WithheldRedacted)
}
