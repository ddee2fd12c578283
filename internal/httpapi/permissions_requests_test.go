package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// use is a way to ask for an operation, as it should be asked. What it acts on is
// made anew each time, so that it can be refused for nothing but the caller.
type use struct {
	op  string // operationId, and after a space which use of it, where there are several
	ask func(a *asking) *http.Request
	// shown counts what an answer shows; nil: the status alone is in the table.
	shown func(a *asking, resp *http.Response) int
	// operated: operators of the node do it in tenants that they may not read.
	operated bool
	// open: for a tenant's id it answers anybody, with nothing of its content, or
	// with what the request's own signature lets its author know.
	open bool
}

// asking is a caller who asks about a place by a name. The name may be of another
// tenant than the place's things are in, or of none.
type asking struct {
	*place
	who  *party
	name string
	none bool     // the things that are named are in no tenant
	said []string // what was made up, or is of the place alone, and stands in the request
}

// uses are all operations of the document. A new one belongs here.
func uses() []use {
	return []use{
		{op: "getLive", ask: plain("/livez")}, {op: "getReady", ask: plain("/readyz")}, {op: "getMetrics", ask: plain("/metrics")},
		{op: "getVersion", ask: plain("/v1/version")}, {op: "getNode", ask: plain("/v1/node")},
		{op: "listTemplates", ask: plain("/v1/templates"), shown: items}, {op: "getTemplate", ask: plain("/v1/templates/audit-trail")},

		{op: "registerIdentity", ask: register}, {op: "registerIdentity custody", ask: registerHeld},
		{op: "getIdentity", ask: identity(http.MethodGet, "", nil)},
		{op: "setIdentity", ask: identity(http.MethodPatch, "", map[string]any{"name": "N"})},
		{op: "eraseIdentity", ask: identity(http.MethodDelete, "", nil)},
		{op: "getDID", ask: identity(http.MethodGet, "/did.json", nil)},
		{op: "listKeyEvents", ask: identity(http.MethodGet, "/events", nil)}, {op: "addKeyEvent", ask: delegate},
		{op: "rotateIdentity", ask: identity(http.MethodPost, "/rotate", nil)},
		{op: "revokeIdentity", ask: identity(http.MethodPost, "/revoke", map[string]any{"reason": "over"})},
		{op: "listAPIKeys", ask: identity(http.MethodGet, "/keys", nil)},
		{op: "createAPIKey", ask: identity(http.MethodPost, "/keys", map[string]any{"types": []string{"a.b"}})},
		{op: "getAPIKey", ask: oneKey(http.MethodGet, "", nil)},
		{op: "revokeAPIKey", ask: oneKey(http.MethodDelete, "", nil)},
		{op: "rotateAPIKey", ask: oneKey(http.MethodPost, "/rotate", map[string]any{"overlap": "1h"})},
		{op: "createAccount", ask: own(http.MethodPost, "/v1/accounts", map[string]any{"password": passphrase})},
		{op: "createAccount custody", ask: own(http.MethodPost, "/v1/accounts", map[string]any{"custody": true, "password": passphrase})},
		{op: "getAccount", ask: own(http.MethodGet, "/v1/account", nil)},
		{op: "setAccount", ask: own(http.MethodPatch, "/v1/account", map[string]any{"email": "x@example.com"})},
		{op: "requestEmailProof", ask: own(http.MethodPost, "/v1/account/email/code", nil)},
		{op: "proveEmail", ask: own(http.MethodPost, "/v1/account/email/proof", map[string]any{"code": "no"})}, // 409: this node mails nothing
		{op: "setPassword", ask: own(http.MethodPost, "/v1/account/password", map[string]any{"password": passphrase})},
		{op: "offerSecondFactor", ask: own(http.MethodPost, "/v1/account/totp", nil)},
		// With a code that is wrong, which comes after who may send one: 403 for it is the
		// same as for who may not, 409 is for there being no second factor.
		{op: "confirmSecondFactor", ask: own(http.MethodPost, "/v1/account/totp/confirm", map[string]any{"code": "no"})},
		{op: "removeSecondFactor", ask: own(http.MethodPost, "/v1/account/totp/remove", map[string]any{"code": "no"})},
		{op: "renewRecoveryCodes", ask: own(http.MethodPost, "/v1/account/recovery-codes", map[string]any{"code": "no"})},
		{op: "listPasskeys", ask: own(http.MethodGet, "/v1/account/passkeys", nil)},
		{op: "beginPasskey", ask: onLocalhost(own(http.MethodPost, "/v1/account/passkeys/begin", nil))},
		{op: "finishPasskey", ask: own(http.MethodPost, "/v1/account/passkeys/finish", map[string]any{"credential": map[string]any{}})}, // 400 after who may
		{op: "renamePasskey", ask: own(http.MethodPatch, "/v1/account/passkeys/none", map[string]any{"name": "x"})},
		{op: "removePasskey", ask: own(http.MethodDelete, "/v1/account/passkeys/none", nil)},
		{op: "beginPasskeySignIn", ask: onLocalhost(own(http.MethodPost, "/v1/sessions/passkey/begin", nil))},
		{op: "finishPasskeySignIn", ask: own(http.MethodPost, "/v1/sessions/passkey/finish", map[string]any{"credential": map[string]any{}})},
		// Of a provider that there is not, which comes after who may.
		{op: "listOIDCProviders", ask: plain("/v1/sessions/oidc"), shown: items},
		{op: "beginOIDCSignIn", ask: own(http.MethodGet, "/v1/sessions/oidc/none", nil)},
		{op: "finishOIDCSignIn", ask: own(http.MethodGet, "/v1/sessions/oidc/none/callback?state=s&code=c", nil)},
		{op: "listOIDCLinks", ask: own(http.MethodGet, "/v1/account/oidc", nil)},
		{op: "beginOIDCLink", ask: own(http.MethodPost, "/v1/account/oidc", map[string]any{"provider": "none"})},
		{op: "removeOIDCLink", ask: own(http.MethodDelete, "/v1/account/oidc/none", nil)},
		{op: "changeAccountState", ask: own(http.MethodPost, "/v1/accounts/@nobody/state", map[string]any{"action": "deactivate"}), operated: true},
		{op: "signIn", ask: own(http.MethodPost, "/v1/sessions", map[string]any{})},
		{op: "completeSignIn", ask: own(http.MethodPost, "/v1/sessions/second-factor", map[string]any{"code": "no"})},
		{op: "listSessions", ask: own(http.MethodGet, "/v1/sessions", nil)},
		{op: "endOtherSessions", ask: own(http.MethodDelete, "/v1/sessions", nil)},
		{op: "endSession", ask: own(http.MethodDelete, "/v1/sessions/current", nil)},
		{op: "eraseAccount", ask: own(http.MethodDelete, "/v1/account", nil)},
		{op: "verifySignatures", ask: verify}, {op: "verifySignatureStream", ask: socketTo(func(*asking) string { return verifyPath }, "logline.v1")},

		{op: "createOnboardingSession", ask: func(a *asking) *http.Request {
			return a.send(http.MethodPost, sessionsPath, "application/json", map[string]any{})
		}},
		// Its own token opens a session, and nobody's credential does.
		{op: "getOnboardingSession", ask: func(a *asking) *http.Request {
			return a.request(http.MethodGet, a.newcomer().path, a.who.token, "", nil)
		}},
		{op: "getOnboardingSession by its token", ask: func(a *asking) *http.Request {
			n := a.newcomer()
			return a.request(http.MethodGet, n.path, n.token, "", nil)
		}},
		{op: "putOnboardingStep", ask: func(a *asking) *http.Request {
			n := a.newcomer()
			return a.send(http.MethodPut, n.path+"/steps/identity", "application/json", n.who())
		}},

		{op: "createTenant", ask: found}, {op: "listTenants", ask: plain("/v1/tenants"), shown: items},
		{op: "getTenant", ask: get("")},
		// Refused to an operator of the node as well, but only because it changes nothing.
		{op: "changeTenantState", ask: func(a *asking) *http.Request { return a.post("/state", map[string]any{"action": "resume"}) }, operated: true},
		{op: "listMembers", ask: get("/members")}, {op: "getStats", ask: get("/stats")}, {op: "getUsage", ask: get("/usage")},

		{op: "appendSpans", ask: appendOf(func(a *asking) []byte { return a.by(`{"n":1}`) }), open: true},
		{op: "appendSpans of many", ask: appendLines, shown: lineStatus, open: true},
		{op: "appendSpans on behalf", ask: appendOf(onBehalf), open: true},
		{op: "appendSpans to try", ask: appendDry, open: true},
		{op: "appendSpans for finance", ask: appendOf(func(a *asking) []byte { return a.by(`{"n":1}`, typed("money.moved")) }), open: true},
		{op: "appendSpans approval", ask: appendOf(approval), open: true},
		{op: "appendSpans member", ask: appendOf(grantOf(span.RoleMember)), open: true},
		{op: "appendSpans owner", ask: appendOf(grantOf(span.RoleOwner)), open: true},
		{op: "appendSpans contract", ask: appendOf(contractOf), open: true},
		{op: "appendSpans redaction", ask: appendOf(redaction), open: true},
		{op: "appendSpans revert own", ask: appendOf(revertOwn), open: true},
		{op: "appendSpans revert", ask: appendOf(revertOthers), open: true},
		{op: "appendSpans resolution", ask: appendOf(resolution), open: true},
		{op: "simulateSpans", ask: simulate, shown: spanStatus, open: true},
		{op: "appendEvents", ask: event},
		{op: "listSpans", ask: get("/spans?tag=" + seen), shown: items}, {op: "listSpans search", ask: get("/spans?q=" + seen), shown: items},
		{op: "getSpan private", ask: spanOf(span.VisibilityPrivate, "")}, {op: "getSpan organization", ask: spanOf(span.VisibilityOrganization, "")},
		{op: "getSpan public", ask: spanOf(span.VisibilityPublic, "")},
		{op: "getReceipt private", ask: spanOf(span.VisibilityPrivate, "/receipt")}, {op: "getReceipt organization", ask: spanOf(span.VisibilityOrganization, "/receipt")},
		{op: "getWhy private", ask: spanOf(span.VisibilityPrivate, "/why")}, {op: "getWhy organization", ask: spanOf(span.VisibilityOrganization, "/why")},
		{op: "getCauses", ask: func(a *asking) *http.Request { return a.get("/spans/" + a.thing(a.effect) + "/causes") }, shown: nodes},
		{op: "getEffects", ask: spanOf(span.VisibilityOrganization, "/effects"), shown: nodes},

		{op: "listContracts", ask: get("/contracts"), shown: items},
		{op: "getContract", ask: func(a *asking) *http.Request { return a.get("/contracts/" + a.thing(a.contract)) }},
		{op: "listTasks", ask: get("/tasks?queue=" + seen), shown: items}, {op: "listQueues", ask: get("/queues")},
		{op: "getTask", ask: func(a *asking) *http.Request { return a.get("/tasks/" + a.task()) }},
		{op: "cancelTask", ask: func(a *asking) *http.Request { return a.post("/tasks/"+a.task()+"/cancel", nil) }},
		{op: "requeueTask", ask: func(a *asking) *http.Request { return a.post("/tasks/"+a.endedTask()+"/requeue", nil) }},
		{op: "requestBacktest", ask: func(a *asking) *http.Request {
			return a.post("/backtests", map[string]any{"source": `contract no.tests version "1.0.0" { rule no { on: "test.**" then { tag "x" } } }`})
		}},
		{op: "requestReplay", ask: func(a *asking) *http.Request { return a.post("/replays", map[string]any{}) }},
		{op: "listSchedules", ask: get("/schedules"), shown: items}, {op: "getSchedule", ask: schedule(http.MethodGet, "")},
		{op: "pauseSchedule", ask: schedule(http.MethodPost, "/pause")}, {op: "resumeSchedule", ask: schedule(http.MethodPost, "/resume")},
		{op: "runSchedule", ask: schedule(http.MethodPost, "/run")},
		{op: "listFollowers", ask: get("/followers")}, {op: "getFollower", ask: followerOf("")},
		{op: "pauseFollower", ask: followerOf("/pause")}, {op: "resumeFollower", ask: followerOf("/resume")},
		{op: "requeueFollower", ask: followerOf("/requeue")}, {op: "skipEntry", ask: followerOf("/skip")},
		{op: "listWebhooks", ask: get("/webhooks"), shown: items}, {op: "setWebhook", ask: webhookOf(http.MethodPut, "")},
		{op: "deleteWebhook", ask: webhookOf(http.MethodDelete, "")}, {op: "rotateWebhook", ask: webhookOf(http.MethodPost, "/rotate")},
		{op: "testWebhook", ask: webhookOf(http.MethodPost, "/test")},

		{op: "getCheckpoint", ask: get("/checkpoint"), open: true}, {op: "cosignCheckpoint", ask: noteOf, open: true},
		{op: "getTile hashes", ask: get("/tile/0/000.p/3"), open: true}, {op: "getTile entries", ask: get("/tile/entries/000.p/3")},
		{op: "getInclusion", ask: get("/proofs/inclusion?index=1"), open: true}, {op: "getConsistency", ask: get("/proofs/consistency?from=1"), open: true},
		{op: "exportBundle", ask: get("/bundle"), shown: words}, {op: "importBundle", ask: imported},
		{op: "feed sse", ask: feedEvents, shown: sent}, {op: "feed socket", ask: socketTo(feedPath, "logline.v1"), shown: socketSent},
		{op: "createFeedTicket", ask: func(a *asking) *http.Request { return a.post("/feed/tickets", nil) }},

		{op: "listInvitations", ask: get("/invitations")}, {op: "createInvitation", ask: invitationBy},
		{op: "revokeInvitation", ask: func(a *asking) *http.Request {
			made, _ := a.invites(span.RoleMember)
			return a.send(http.MethodDelete, a.at("/invitations/"+a.thing(made.Id)), "", nil)
		}},
		{op: "requestCode", ask: func(a *asking) *http.Request { // the node registers everybody and mails no codes
			return a.send(http.MethodPost, "/v1/registrations/code", typeJSON, map[string]any{"email": "ana@example.org"})
		}},
		{op: "lookAtInvitation", ask: func(a *asking) *http.Request {
			_, token := a.invites(span.RoleMember)
			return a.send(http.MethodPost, "/v1/invitations/look", typeJSON, client.InvitationToken{Token: token.Reveal()})
		}},
		{op: "acceptInvitation for a new identity", ask: func(a *asking) *http.Request {
			_, token := a.invites(span.RoleMember)
			return a.send(http.MethodPost, "/v1/invitations/accept", typeJSON, client.InvitationAcceptance{Token: token.Reveal(), Events: registration(a.keys(), "", "").Events})
		}},
		{op: "acceptInvitation", ask: func(a *asking) *http.Request { // the last: from here on everybody has a role
			_, token := a.invites(span.RoleGuest)
			return a.send(http.MethodPost, "/v1/invitations/accept", typeJSON, client.InvitationToken{Token: token.Reveal()})
		}},
	}
}

// at is a path below the tenant as it is named.
func (a *asking) at(path string) string { return "/v1/tenants/" + a.name + path }

func (a *asking) get(path string) *http.Request {
	return a.request(http.MethodGet, a.at(path), a.who.token, "", nil)
}

func (a *asking) post(path string, body any) *http.Request {
	return a.send(http.MethodPost, a.at(path), "application/json", body)
}

// send asks with a body: bytes as they are, anything else as JSON.
func (a *asking) send(method, path, contentType string, body any) *http.Request {
	raw, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(a.t, err)
	}
	return a.request(method, path, a.who.token, contentType, bytes.NewReader(raw))
}

// thing is the name of one of the place's things, or of none.
func (a *asking) thing(name string) string {
	if a.none {
		name = nothingLike(name)
	}
	a.said = append(a.said, name)
	return name
}

// nothingLike is a name of the same form that nothing has.
func nothingLike(name string) string {
	if len(name) >= 36 && span.IsUUID(name[:36]) { // of a span, or of a task
		return "01900000-0000-7000-8000-00000000000d" + name[36:]
	}
	return "no." + name
}

func plain(path string) func(*asking) *http.Request {
	return func(a *asking) *http.Request { return a.request(http.MethodGet, path, a.who.token, "", nil) }
}

// passphrase is a password of tests.
const passphrase = "correct horse battery staple"

// own asks about the caller's own account; a session is one that may end with it.
func own(method, path string, body any) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		who := *a.who
		if who.another != nil {
			who.token = who.another()
		}
		b := *a
		b.who = &who
		if body == nil {
			return b.request(method, path, who.token, "", nil)
		}
		return b.send(method, path, "application/json", body)
	}
}

// onLocalhost is what a page asks that was opened by a name, as passkeys need one.
func onLocalhost(ask func(*asking) *http.Request) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		req := ask(a)
		req.Host = "localhost"
		return req
	}
}

func get(path string) func(*asking) *http.Request {
	return func(a *asking) *http.Request { return a.get(path) }
}

// identity asks about the identity that a.name names.
func identity(method, path string, body any) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		if body == nil && method != http.MethodPost {
			return a.request(method, pathOf(a.name, path), a.who.token, "", nil)
		}
		return a.send(method, pathOf(a.name, path), "application/json", body)
	}
}

func register(a *asking) *http.Request {
	return a.send(http.MethodPost, "/v1/identities", "application/json", registration(a.keys(), "", ""))
}

func registerHeld(a *asking) *http.Request {
	return a.send(http.MethodPost, "/v1/identities", "application/json", map[string]any{"custody": true, "subject": "service"})
}

func delegate(a *asking) *http.Request {
	if a.who.keys == nil {
		return nil
	}
	k, err := id.NewKeys(id.SubjectService, a.clock.now(), randReader)
	require.NoError(a.t, err)
	event, err := a.who.keys.DelegateKey(k.Signer().Public(), "d", []string{"a.b"}, "", "", a.clock.now())
	if err != nil {
		return nil // an identity that has ended signs none
	}
	return a.send(http.MethodPost, pathOf(a.name, "/events"), "application/json", event.Raw)
}

// oneKey asks about an API key that whoever may has just made.
func oneKey(method, path string, body any) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		var made openapi.APIKey
		name := "none"
		for _, token := range []string{a.who.token, a.token(a.owner)} {
			if r := a.world.post(pathOf(a.name, "/keys"), token, map[string]any{}); r.status == http.StatusCreated {
				r.decode(a.t, &made)
				name = made.Id
				break
			}
		}
		if body == nil {
			return a.request(method, pathOf(a.name, "/keys/"+name+path), a.who.token, "", nil)
		}
		return a.send(method, pathOf(a.name, "/keys/"+name+path), "application/json", body)
	}
}

func verify(a *asking) *http.Request {
	return a.send(http.MethodPost, verifyPath, "application/json", checkOf(a.owner, "hello"))
}

func found(a *asking) *http.Request {
	owner := a.who.self
	if owner == "" {
		owner = a.owner.ID()
	}
	return a.send(http.MethodPost, "/v1/tenants", "application/json", map[string]any{"slug": "made-by-" + a.who.name, "name": "M", "owner": owner})
}

func (a *asking) task() string { return a.thing(a.newTask("waiting")) }

// newTask is the name of one whose like no other tenant has.
func (p *place) newTask(queue string) (name string) {
	p.made(1, func(d *tasks.Draft) {
		origin, err := span.RandomID(p.clock.now(), randReader)
		require.NoError(p.t, err)
		d.Queue, d.Origin, name = queue, origin, origin+".0"
	})
	return name
}

// endedTask is one that may be put in its queue again.
func (a *asking) endedTask() string {
	name := a.newTask("ended")
	k, err := tasks.ParseID(a.tenant.Id, name)
	require.NoError(a.t, err)
	_, err = a.tasks.Cancel(a.t.Context(), a.clock.now(), k)
	require.NoError(a.t, err)
	return a.thing(name)
}

func schedule(method, path string) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		a.place.schedule(path == "/resume")
		return a.send(method, a.at("/schedules/"+a.thing(a.contract)+"/hourly"+path), "", nil)
	}
}

// follower asks about the one that makes tasks, as it has to be for path.
func followerOf(path string) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		ctx, by := a.t.Context(), a.owner.ID()
		if path == "/resume" {
			_, _ = a.board.Pause(ctx, a.tenant.Id, followers.Tasks, by) // refused where it is so already
		} else {
			_, _ = a.board.Resume(ctx, a.tenant.Id, followers.Tasks, by)
		}
		var body any
		if path == "/requeue" || path == "/skip" {
			a.parked(followers.Tasks, 4)
			body = map[string]any{"entry": 4}
		}
		if path == "" {
			return a.get("/followers/" + followers.Tasks) // each tenant's has the same name
		}
		return a.post("/followers/"+followers.Tasks+path, body)
	}
}

func webhookOf(method, path string) func(*asking) *http.Request {
	return func(a *asking) *http.Request {
		name := a.tenant.Slug + "-" + a.who.name
		var body any = map[string]any{}
		switch method {
		case http.MethodPut:
			body = map[string]any{"url": a.receiver}
		default:
			a.hook(a.receiver, name)
			defer func(name string) { a.said = append(a.said, name) }(name)
		}
		if a.none {
			name = "none-" + a.who.name
			a.said = append(a.said, name)
		}
		return a.send(method, a.at("/webhooks/"+name+path), "application/json", body)
	}
}

// noteOf is of a witness that the node's policy does not know.
func noteOf(a *asking) *http.Request {
	note := a.world.get(a.world.at("/checkpoint"), "").want(a.t, http.StatusOK).body
	return a.request(http.MethodPost, a.at("/checkpoint"), a.who.token, "text/plain", bytes.NewReader(note))
}

// imported is what cannot be taken over: for who may try, it is no bundle.
func imported(a *asking) *http.Request {
	return a.request(http.MethodPost, a.at("/bundle"), a.who.token, "application/x-ndjson", strings.NewReader("{}\n"))
}

func items(a *asking, resp *http.Response) int {
	var page struct{ Items []json.RawMessage }
	require.NoError(a.t, json.NewDecoder(resp.Body).Decode(&page))
	return len(page.Items)
}

// nodes counts what a graph shows beside its root.
func nodes(a *asking, resp *http.Response) int {
	var graph struct{ Nodes []json.RawMessage }
	require.NoError(a.t, json.NewDecoder(resp.Body).Decode(&graph))
	return len(graph.Nodes) - 1
}
