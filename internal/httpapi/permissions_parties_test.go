package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// party is a caller: a column of the table.
type party struct {
	name   string
	token  string   // "": nobody
	keys   *id.Keys // signs spans and key events; nil where it holds none
	self   string   // LogLine ID, "" for nobody
	ticket func() string
	// another is a session like the party's, of an identity of its own that may end
	// with what is asked; nil for whoever comes otherwise.
	another func() string
}

// parties are everybody who may ask about the first place. Owner, admin and the
// others hold their role there and in no other tenant.
func (m *matrix) parties() []*party {
	w := m.this.world
	of := func(name string, keys *id.Keys) *party {
		return &party{name: name, token: w.token(keys), keys: keys, self: keys.ID()}
	}
	foreign := w.identity()
	w.newTenantOf(foreign, "foreign")
	former := w.member(span.RoleMember)
	w.append(w.withdrawal(former.ID(), span.RoleMember)).want(w.t, http.StatusCreated)
	revoked := of("revoked", w.member(span.RoleAdmin))
	event, err := revoked.keys.Revoke("lost", w.clock.now())
	require.NoError(w.t, err)
	w.post(pathOf(revoked.self, "/events"), "", event.Raw).want(w.t, http.StatusCreated)

	out := []*party{
		{name: "nobody", keys: w.keys()}, of("stranger", w.identity()), of("foreign", foreign), of("former", former), revoked,
		of("declared", w.member("finance")), of("finance", w.member("finance", span.RoleMember)),
	}
	for _, role := range []string{span.RoleGuest, span.RoleAgent, span.RoleMember, span.RoleAuditor, span.RoleAdmin} {
		out = append(out, of(role, w.member(role)))
	}
	owner := of("owner", w.owner)
	held := w.held(w.owner, span.RoleAgent)
	scoped := w.held(w.owner, span.RoleAdmin)
	out = append(out, owner,
		&party{name: "device", token: w.device(w.owner, "logline.api", "test.*"), self: owner.self},
		&party{name: "key", token: w.apiKey(w.owner, owner.self, map[string]any{}).Key, self: owner.self},
		&party{name: "typed", token: w.apiKey(w.owner, owner.self, map[string]any{"types": []string{"shop.*"}}).Key, self: owner.self},
		&party{name: "tasker", token: w.apiKey(w.owner, owner.self, map[string]any{"rights": []string{"read", "tasks"}}).Key, self: owner.self},
		&party{name: "held", token: w.apiKey(w.owner, held.Id, map[string]any{"types": []string{"shop.*"}}).Key, self: held.Id},
		&party{name: "here", token: w.apiKey(w.owner, scoped.Id, map[string]any{"tenant": w.tenant.Id}).Key, self: scoped.Id},
		&party{name: "elsewhere", token: w.apiKey(w.owner, owner.self, map[string]any{"tenant": w.newTenantOf(w.owner, "elsewhere")}).Key, self: owner.self},
		&party{name: "ticket", ticket: func() string { return w.newTicket(owner.token) }},
	)
	out[len(out)-1].token = w.newTicket(owner.token)
	return append(out,
		w.signedIn("session", func() string { return w.held(w.owner, span.RoleAdmin).Id }, func(string) {}),
		w.signedIn("stale", func() string { return w.held(w.owner, span.RoleAdmin).Id }, w.age),
		w.signedIn("reads", func() string { return w.member(span.RoleAdmin).ID() }, func(string) {}))
}

// signedIn is a party that comes by a session of an identity, after something was
// done to it by its id. What sessions do to their own identity has tests of its own:
// in the table it would end them.
func (w *world) signedIn(name string, who func() string, then func(session string)) *party {
	p := &party{name: name}
	p.another = func() string {
		n, token, err := w.accounts.Begin(w.t.Context(), who(), account.ByPassword, account.Where{})
		require.NoError(w.t, err)
		then(n.ID)
		return token
	}
	p.token = p.another()
	return p
}

// age makes a session one that has not proved itself for long.
func (w *world) age(session string) {
	_, err := w.db.Write.ExecContext(w.t.Context(), `UPDATE account_sessions SET proved_at = $1 WHERE id = $2`, span.FormatTime(w.clock.now().Add(-time.Hour)), session)
	require.NoError(w.t, err)
}

func (w *world) withdrawal(identity string, roles ...string) []byte {
	w.t.Helper()
	payload, err := span.Canonical(span.Member{Identity: identity, Roles: roles, Action: span.ActionWithdraw})
	require.NoError(w.t, err)
	return w.seal(w.owner, payload, typed(span.TypeMember))
}

// device is a token by a delegated key that may sign some types.
func (w *world) device(keys *id.Keys, types ...string) string {
	w.t.Helper()
	event, device, err := keys.Delegate("device", types, "", w.clock.now(), randReader)
	require.NoError(w.t, err)
	w.post(pathOf(keys.ID(), "/events"), "", event.Raw).want(w.t, http.StatusCreated)
	text, err := id.SignToken(device, keys.ID(), w.node.ID(), w.clock.now(), time.Minute)
	require.NoError(w.t, err)
	return text
}

func (w *world) newTicket(token string) string {
	w.t.Helper()
	var out openapi.FeedTicket
	w.post(w.at("/feed/tickets"), token, nil).want(w.t, http.StatusCreated).decode(w.t, &out)
	return out.Ticket
}

// place is a tenant with one of everything that routes name.
type place struct {
	*world
	contract string
	spans    map[string]string // ids by visibility
	effect   string            // id of a span that the organization's led to
	receiver string            // address that takes webhooks
	author   string            // LogLine ID of the member whose spans they are
	waiting  string            // name of a task
	inviter  string            // API key of an admin in custody; "" until somebody is invited
}

// wordOf is in the content of a tenant's spans and nowhere else.
func wordOf(slug string) string { return "word-of-" + slug }

// seen marks what the table counts.
const seen = "seen"

// permitted is a contract that gives rights to a role it declares.
const permitted = ` version "1.0.0" {
  role finance "answers for money"
  permit append "money.moved" to [finance]
  rule large { on: "money.asked" then { require approval { from: [finance] count: 1 } } }
  schedule hourly { every: 1h then { tag "hour" } }
}`

// furnish is a world's tenant as a place.
func furnish(t *testing.T, w *world) *place {
	t.Helper()
	p := &place{world: w, contract: w.tenant.Slug + ".rules", spans: map[string]string{}}
	w.append(w.contract("contract "+p.contract+permitted, span.ActionActivate)).want(t, http.StatusCreated)
	author := w.member(span.RoleMember)
	p.author = author.ID()
	for _, v := range []string{span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic} {
		raw := w.seal(author, []byte(`{"of":"`+wordOf(w.tenant.Slug)+`","word":"`+seen+`"}`), visible(v), tagged)
		w.append(raw).want(t, http.StatusCreated)
		p.spans[v] = spanID(t, raw)
	}
	last := w.note(author, 2, visible(span.VisibilityPrivate), func(h *span.Header) {
		h.Causes = []string{p.spans[span.VisibilityOrganization], p.spans[span.VisibilityPrivate]}
	})
	w.append(last).want(t, http.StatusCreated)
	last = w.note(author, 3, func(h *span.Header) {
		h.Causes = []string{p.spans[span.VisibilityOrganization], p.spans[span.VisibilityPrivate]}
	})
	w.append(last).want(t, http.StatusCreated)
	p.effect = spanID(t, last)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(receiver.Close)
	p.receiver = receiver.URL
	w.board.Watch(followers.Tasks).At(w.tenant.Id, 4, 9)
	p.waiting = p.newTask(seen)
	w.hook(p.receiver, w.tenant.Slug+"-seen")
	return p
}

func tagged(h *span.Header) { h.Tags = []string{seen} }

func (w *world) hook(address, name string) {
	w.t.Helper()
	r := w.put(w.at("/webhooks/"+name), w.token(w.owner), map[string]any{"url": address})
	require.Less(w.t, r.status, 300, "%s", r.body)
}

// schedule is the name of one that runs.
func (p *place) schedule(paused bool) string {
	action := rules.ScheduleResume
	if paused {
		action = rules.SchedulePause
	}
	_, _ = p.engine.ChangeSchedule(p.t.Context(), p.tenant.Id, p.contract+"/hourly", action, p.owner.ID()) // refused where it is so already
	return p.contract + "/hourly"
}
