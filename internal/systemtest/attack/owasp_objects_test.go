package attack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const absent = "0190a000-0000-8000-8000-000000000000" // a tenant that is not there

// Gained would be: to read or change what belongs to another tenant or identity
// by naming it.
func TestOWASPAPI1BrokenObjectLevelAuthorization(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		key := s.apiKey(s.owner, nil)
		var held struct{ ID string }
		s.post(s.token(s.owner), "/v1/identities", map[string]any{"custody": true, "subject": "service"}).want(t, http.StatusCreated).decode(t, &held)
		s.activate(s.owner, s.tenant, `contract watch.rules version "1.0.0" { rule tell { on: "order.placed" then { emit "order.noticed" { data: { id: data.id } } } } }`).want(t, http.StatusCreated)
		asked := s.record(s.owner, `{"id":"`+secret+`"}`, typed("order.placed"), visible(span.VisibilityPrivate))

		// What is the victim's, by its own address and by the hostile tenant's.
		objects := []string{
			"/spans/" + s.private, "/spans/" + s.private + "/receipt", "/spans/" + s.private + "/causes", "/spans/" + s.private + "/effects",
			"/spans/" + s.private + "/why", "/spans/" + s.organization, "/contracts/watch.rules", "/tasks/" + asked + ".0",
		}
		collections := []string{
			"", "/members", "/stats", "/spans", "/spans?q=treasure", "/spans?author=" + bare(s.owner), "/contracts", "/tasks", "/queues",
			"/schedules", "/followers", "/webhooks", "/bundle", "/tile/entries/000.p/1",
		}
		for who, token := range s.strangers() {
			for _, path := range append(objects, collections...) {
				theirs, nowhere := s.get(token, s.at(path)), s.get(token, "/v1/tenants/"+absent+path)
				require.Equal(t, nowhere.same(), theirs.same(), "%s: %s tells that the tenant is there", who, path)
				require.Contains(t, []int{http.StatusUnauthorized, http.StatusNotFound}, theirs.status, "%s: %s", who, path)
				require.NotContains(t, string(theirs.body), secret)
			}
		}
		evil := s.token(s.mallory)
		for _, path := range objects {
			r := s.get(evil, "/v1/tenants/"+s.evil.Id+path)
			require.Equal(t, http.StatusNotFound, r.status, "%s was found by way of another tenant: %s", path, r.body)
		}

		// Identities, their names, keys and API keys.
		for _, c := range []struct {
			method, path string
			body         any
		}{
			{http.MethodPatch, "/v1/identities/" + bare(s.owner), map[string]any{"name": "Mallory's"}},
			{http.MethodDelete, "/v1/identities/" + bare(s.owner), nil},
			{http.MethodGet, "/v1/identities/" + bare(s.owner) + "/keys", nil},
			{http.MethodPost, "/v1/identities/" + bare(s.owner) + "/keys", map[string]any{"label": "mine now"}},
			{http.MethodDelete, "/v1/identities/" + bare(s.owner) + "/keys/" + key[4:20], nil},
			{http.MethodPost, "/v1/identities/" + strings.TrimPrefix(held.ID, span.IdentityScheme) + "/rotate", nil},
			{http.MethodPost, "/v1/identities/" + strings.TrimPrefix(held.ID, span.IdentityScheme) + "/revoke", map[string]any{}},
			{http.MethodPost, "/v1/identities/" + strings.TrimPrefix(held.ID, span.IdentityScheme) + "/keys", map[string]any{}},
		} {
			for who, token := range map[string]string{"mallory": evil, "a member": s.token(s.member), "nobody": ""} {
				body := []byte(nil)
				if c.body != nil {
					body, _ = json.Marshal(c.body)
				}
				r := s.do(c.method, token, c.path, "application/json", body)
				require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, r.status, "%s: %s %s: %s", who, c.method, c.path, r.body)
			}
		}
		// Under one's own identity another's API key is not found, and stays good.
		r := s.do(http.MethodDelete, evil, "/v1/identities/"+bare(s.mallory)+"/keys/"+key[4:20], "", nil)
		require.Equal(t, http.StatusNotFound, r.status, "%s", r.body)
		s.get(key, s.at("")).want(t, http.StatusOK)

		// Cursors and tickets are of the tenant that they were made for.
		var page struct{ Next *string }
		s.get(s.token(s.owner), s.at("/spans?limit=1")).want(t, http.StatusOK).decode(t, &page)
		require.NotNil(t, page.Next)
		r = s.get(evil, "/v1/tenants/"+s.evil.Id+"/spans?limit=100&cursor="+*page.Next)
		require.NotContains(t, string(r.body), s.tenant.Id)
		var ticket struct{ Ticket string }
		s.post(evil, "/v1/tenants/"+s.evil.Id+"/feed/tickets", []byte("{}")).want(t, http.StatusCreated).decode(t, &ticket)
		req, err := http.NewRequest(http.MethodGet, s.URL+s.at("/feed?from=0&ticket="+ticket.Ticket), nil)
		require.NoError(t, err)
		req.Header.Set("Accept", "text/event-stream")
		resp, err := browser().Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "a ticket for one tenant opened the feed of another")
	})
}

// Gained would be: to set what a caller may not set, by saying it, or to be shown
// what no caller may see.
func TestOWASPAPI3BrokenObjectPropertyLevelAuthorization(t *testing.T) {
	s := alone(t)
	evil := s.token(s.mallory)
	taken := keys(t)
	events := make([]json.RawMessage, 0, 1)
	for _, e := range taken.Events() {
		events = append(events, e)
	}
	before := s.size()
	for name, c := range map[string]struct {
		method, path string
		body         map[string]any
	}{
		"an identity with an id of one's choice": {http.MethodPost, "/v1/identities", map[string]any{"events": events, "id": s.owner.ID()}},
		"an identity with a role":                {http.MethodPost, "/v1/identities", map[string]any{"events": events, "roles": []string{"owner"}, "tenant": s.tenant.Id}},
		"an identity in custody of somebody":     {http.MethodPost, "/v1/identities", map[string]any{"custody": true, "subject": "service", "maker": s.owner.ID()}},
		"a tenant with an id":                    {http.MethodPost, "/v1/tenants", map[string]any{"slug": "mine", "name": "x", "owner": s.mallory.ID(), "id": s.tenant.Id}},
		"a tenant of another node":               {http.MethodPost, "/v1/tenants", map[string]any{"slug": "mine", "name": "x", "owner": s.mallory.ID(), "node": s.node, "log_key": "x", "read_only": false}},
		"a tenant in another's name":             {http.MethodPost, "/v1/tenants", map[string]any{"slug": "mine", "name": "x", "owner": s.owner.ID()}},
		"an API key for another":                 {http.MethodPost, "/v1/identities/" + bare(s.mallory) + "/keys", map[string]any{"identity": s.owner.ID()}},
		"an API key made by another":             {http.MethodPost, "/v1/identities/" + bare(s.mallory) + "/keys", map[string]any{"created_by": s.owner.ID(), "used_at": "x"}},
		"an API key for another's tenant":        {http.MethodPost, "/v1/identities/" + bare(s.mallory) + "/keys", map[string]any{"tenant": s.tenant.Id}},
		"an API key whose text is known":         {http.MethodPost, "/v1/identities/" + bare(s.mallory) + "/keys", map[string]any{"key": "llk_known"}},
		"a status":                               {http.MethodPatch, "/v1/identities/" + bare(s.mallory), map[string]any{"name": "x", "status": "active", "subject": "node"}},
		"a webhook with a known secret":          {http.MethodPut, "/v1/tenants/" + s.evil.Id + "/webhooks/desk", map[string]any{"url": "https://example.org/", "secret": "whsec_known"}},
		"a backtest as somebody":                 {http.MethodPost, "/v1/tenants/" + s.evil.Id + "/backtests", map[string]any{"source": "x", "asked_by": s.owner.ID(), "tenant": s.tenant.Id}},
	} {
		raw, err := json.Marshal(c.body)
		require.NoError(t, err)
		r := s.do(c.method, evil, c.path, "application/json", raw)
		require.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound}, r.status, "%s was taken: %s", name, r.body)
	}
	s.get(evil, "/v1/tenants/mine").want(t, http.StatusNotFound)

	// Members of a span that nobody defined, and the same member twice.
	good := string(s.seal(s.member, `{"n":1}`))
	for name, raw := range map[string]string{
		"a decision":     strings.Replace(good, `"v":1`, `"v":1,"decision":{"outcome":"allow"}`, 1),
		"a seq":          strings.Replace(good, `"v":1`, `"v":1,"seq":0`, 1),
		"a time":         strings.Replace(good, `"v":1`, `"v":1,"recorded_at":"2020-01-01T00:00:00.000Z"`, 1),
		"roles":          strings.Replace(good, `"v":1`, `"v":1,"roles":["owner"]`, 1),
		"another author": strings.Replace(good, `"author":"`+s.member.ID()+`"`, `"author":"`+s.member.ID()+`","author":"`+s.owner.ID()+`"`, 1),
		"a case variant": strings.Replace(good, `"v":1`, `"v":1,"Author":"`+s.owner.ID()+`"`, 1),
	} {
		require.NotEqual(t, good, raw, name)
		r := s.post("", s.at("/spans"), []byte(raw))
		require.Equal(t, http.StatusBadRequest, r.status, "%s: %s", name, r.body)
	}
	require.Equal(t, before, s.size(), "something was recorded")

	// What is secret is shown once, or never.
	s.apiKey(s.mallory, nil)
	listed := s.get(evil, "/v1/identities/"+bare(s.mallory)+"/keys").want(t, http.StatusOK)
	require.NotContains(t, string(listed.body), "llk_")
	var made struct{ Secret string }
	s.do(http.MethodPut, evil, "/v1/tenants/"+s.evil.Id+"/webhooks/desk", "application/json", []byte(`{"url":"https://example.org/hook"}`)).
		want(t, http.StatusCreated).decode(t, &made)
	require.NotEmpty(t, made.Secret)
	require.NotContains(t, string(s.get(evil, "/v1/tenants/"+s.evil.Id+"/webhooks").want(t, http.StatusOK).body), made.Secret)
	// A member sees the header of nothing that is private, and no payload of it.
	for _, path := range []string{"/spans", "/spans?order=desc", "/bundle", "/spans?type=**"} {
		r := s.get(s.token(s.member), s.at(path)).want(t, http.StatusOK)
		require.NotContains(t, string(r.body), secret)
		require.NotContains(t, string(r.body), s.private, "%s names a private span", path)
	}
}

// Gained would be: an administrator's function for somebody who has no more than
// a right to read or to append.
func TestOWASPAPI5BrokenFunctionLevelAuthorization(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		contract := `contract mine.rules version "1.0.0" { rule all { on: "**" then { allow } } }`
		entry := s.get(s.token(s.owner), s.at("/spans/"+s.organization)).want(t, http.StatusOK)
		var rec struct{ Entry json.RawMessage }
		entry.decode(t, &rec)
		hash := headerHash(t, rec.Entry)
		before := s.size()
		for role, k := range map[string]*id.Keys{"member": s.member, "agent": s.agent, "guest": s.guest, "auditor": s.auditor, "former": s.former, "stranger": s.mallory} {
			for name, raw := range map[string][]byte{
				"make itself owner":     s.role(k, k, span.ActionGrant, "owner"),
				"make itself admin":     s.role(k, k, span.ActionGrant, "admin"),
				"make itself auditor":   s.role(k, k, span.ActionGrant, "auditor"),
				"bring somebody in":     s.role(k, s.mallory, span.ActionGrant, "guest"),
				"throw the owner out":   s.role(k, s.owner, span.ActionWithdraw, "owner"),
				"activate a contract":   s.contract(k, s.tenant, contract),
				"erase":                 s.seal(k, fmt.Sprintf(`{"reason":"x","spans":[{"header_hash":%q,"span":%q}]}`, hash, s.organization), typed(span.TypeRedaction)),
				"undo what is not its":  s.seal(k, fmt.Sprintf(`{"header_hash":%q,"reason":"x","span":%q}`, hash, s.organization), typed(span.TypeRevert)),
				"write a genesis":       s.seal(k, `{}`, typed("logline.genesis"), visible("public")),
				"write a key event":     s.seal(k, `{"event":{}}`, typed(span.TypeIdentity), visible("public")),
				"settle a pending span": s.seal(k, fmt.Sprintf(`{"header_hash":%q,"outcome":"executed","span":%q}`, hash, s.organization), typed("logline.resolution")),
				"open an epoch":         s.seal(k, `{}`, typed("logline.epoch"), visible("public")),
				"report a task":         s.seal(k, `{}`, typed("logline.task.completed")),
			} {
				r := s.append(raw)
				require.Contains(t, []int{http.StatusBadRequest, http.StatusForbidden, http.StatusConflict}, r.status, "%s may %s: %s", role, name, r.body)
			}
		}
		require.Equal(t, before, s.size(), "something was recorded")

		functions := []struct{ method, path, body string }{
			{http.MethodPut, "/webhooks/desk", `{"url":"https://example.org/"}`}, {http.MethodGet, "/webhooks", ""}, {http.MethodDelete, "/webhooks/desk", ""},
			{http.MethodPost, "/webhooks/desk/test", ""}, {http.MethodPost, "/webhooks/desk/rotate", "{}"}, {http.MethodGet, "/tasks", ""}, {http.MethodGet, "/queues", ""},
			{http.MethodPost, "/followers/tasks/pause", ""}, {http.MethodPost, "/followers/tasks/skip", `{"entry":1}`}, {http.MethodGet, "/followers", ""},
			{http.MethodGet, "/schedules", ""}, {http.MethodPost, "/backtests", `{"source":"contract a.b version \"1.0.0\" {}"}`},
			{http.MethodPost, "/replays", `{}`}, {http.MethodGet, "/tile/entries/000.p/1", ""},
		}
		for role, k := range map[string]*id.Keys{"member": s.member, "agent": s.agent, "guest": s.guest} {
			for _, f := range functions {
				r := s.do(f.method, s.token(k), s.at(f.path), "application/json", []byte(f.body))
				require.Equal(t, http.StatusForbidden, r.status, "%s may %s %s: %s", role, f.method, f.path, r.body)
			}
		}
		// An admin is no owner, and no auditor either until a span in the timeline says so.
		s.append(s.role(s.admin, s.admin, span.ActionGrant, "owner")).problem(t, http.StatusForbidden, "role_forbidden")
		s.append(s.role(s.admin, s.owner, span.ActionWithdraw, "owner")).problem(t, http.StatusForbidden, "role_forbidden")
		require.Equal(t, http.StatusForbidden, s.get(s.token(s.admin), s.at("/tile/entries/000.p/1")).status)
		require.Equal(t, http.StatusForbidden, s.post(s.token(s.admin), s.at("/backtests"), []byte(`{"source":"contract a.b version \"1.0.0\" {}"}`)).status)
		// Methods that a route does not have do nothing.
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, "TRACE", "PROPFIND"} {
			r := s.do(method, s.token(s.owner), s.at("/spans/"+s.organization), "", nil)
			require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, r.status, method)
		}
		require.Equal(t, before, s.size())
		// Whoever may does it in the same words, so that none of them was refused for its form.
		s.append(s.seal(s.admin, fmt.Sprintf(`{"header_hash":%q,"reason":"x","span":%q}`, hash, s.organization), typed(span.TypeRevert))).want(t, http.StatusCreated)
		s.append(s.seal(s.admin, fmt.Sprintf(`{"reason":"x","spans":[{"header_hash":%q,"span":%q}]}`, hash, s.organization), typed(span.TypeRedaction))).want(t, http.StatusCreated)
		s.activate(s.admin, s.tenant, contract).want(t, http.StatusCreated)
	})
}
