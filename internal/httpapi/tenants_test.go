package httpapi_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func TestCreateTenant(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	w.owner = w.identity()
	body := client.NewTenant{Slug: "acme", Name: "Acme", Owner: w.owner.ID()}
	w.post("/v1/tenants", "", body).problem(t, http.StatusUnauthorized, "credential_required")
	w.post("/v1/tenants", "llb_wrong", body).problem(t, http.StatusUnauthorized, "bootstrap_token_wrong")
	w.post("/v1/tenants", bootstrapToken, []byte(`{"slug":"acme"}`)).want(t, http.StatusBadRequest)
	w.post("/v1/tenants", bootstrapToken, []byte(`{"slug":"acme","name":"A","owner":"x","admin":true}`)).
		problem(t, http.StatusBadRequest, "body_malformed")
	w.post("/v1/tenants", bootstrapToken, client.NewTenant{Slug: "acme", Name: "Acme", Owner: w.keys().ID()}).
		problem(t, http.StatusBadRequest, "identity_unknown")

	var made client.Tenant
	w.post("/v1/tenants", bootstrapToken, body).want(t, http.StatusCreated).decode(t, &made)
	require.Equal(t, "acme", made.Slug)
	require.Equal(t, w.owner.ID(), made.Owner)
	require.Equal(t, w.node.ID(), made.Node)
	require.Equal(t, "logline/v1/"+made.Id+"/"+bare(w.node.ID())+"/0", made.Origin)
	require.True(t, strings.HasPrefix(made.LogKey, made.Origin+"+"), made.LogKey)
	require.Positive(t, made.Size)

	var again client.Tenant // the answer may have been lost
	w.post("/v1/tenants", bootstrapToken, body).want(t, http.StatusCreated).decode(t, &again)
	require.Equal(t, made.Id, again.Id)
	body.Slug = "other"
	w.post("/v1/tenants", bootstrapToken, body).problem(t, http.StatusForbidden, "bootstrap_token_spent")

	// This node lets everybody make tenants, but for nobody else.
	w.post("/v1/tenants", w.token(w.owner), body).want(t, http.StatusCreated)
	w.post("/v1/tenants", w.token(w.identity()), body).problem(t, http.StatusForbidden, "owner_not_caller")
	w.post("/v1/tenants", w.token(w.owner), body).want(t, http.StatusConflict)
}

func TestBodiesAreToldWhereTheyAreWrong(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	for body, want := range map[string]string{
		``:                                       "\x00ends too soon",
		`{"slug":"a"`:                            "\x00ends too soon",
		`null`:                                   "\x00is null, where an object is asked for",
		`[]`:                                     "\x00is of another type than asked for",
		`hello`:                                  "\x00is not valid JSON at byte 0",
		`{"slug":"a"} x`:                         "\x00is not valid JSON at byte 13",
		`{"slug":"a","slug":"b"}`:                "/slug\x00is given twice",
		`{"slug":5}`:                             "/slug\x00is of another type than asked for",
		`{"slug":"a","colour":1}`:                "/colour\x00is not asked for here",
		`{"slug":` + strings.Repeat("[", 20_000): "/slug" + strings.Repeat("/0", 125) + "\x00is not valid JSON at byte 10007",
	} {
		p := w.post("/v1/tenants", bootstrapToken, []byte(body)).problem(t, http.StatusBadRequest, "body_malformed")
		require.Len(t, p.Fields, 1, body)
		require.Equal(t, want, p.Fields[0].Pointer+"\x00"+p.Fields[0].Detail, body)
	}
}

func TestParametersAreRefusedInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for query, want := range map[string]string{
		"": "index is missing", "?index=-1": "index must be a whole number", "?index=abc": "index must be a whole number",
		"?index=0&size=99999999999999999999": "size must be a whole number", "?index=1&index=2": "index is given more than once",
	} {
		p := w.get(w.at("/proofs/inclusion"+query), "").problem(t, http.StatusBadRequest, "parameter_invalid")
		require.Contains(t, p.Detail, want, query)
		require.NotContains(t, p.Detail, "strconv")
		require.NotContains(t, p.Detail, "binding")
	}
	req := w.request(http.MethodPost, w.at("/spans"), "", "application/json", bytes.NewReader(w.note(w.owner, 1)))
	req.Header.Set("Logline-Expected-Seq", "0x5")
	p := w.do(req).problem(t, http.StatusBadRequest, "parameter_invalid")
	require.Contains(t, p.Detail, "Logline-Expected-Seq must be a whole number")
}

func TestOneCredentialAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := w.request(http.MethodGet, w.at(""), w.token(w.owner), "", nil)
	req.Header.Add("Authorization", "Bearer "+w.token(w.identity()))
	w.do(req).problem(t, http.StatusUnauthorized, "credential_malformed")
}

// readers are everybody who may ask, by name.
func (w *world) readers() map[string]*id.Keys {
	return map[string]*id.Keys{
		"anonymous": nil, "stranger": w.identity(), "owner": w.owner, "admin": w.member("admin"), "member": w.member("member"),
		"agent": w.member("agent"), "auditor": w.member("auditor"), "guest": w.member("guest"), "author": w.member("member"),
	}
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		w := newWorld(t)
		w.tenant = w.newTenant(w.token(w.owner), "shown", public)
		readers := w.readers()
		author := readers["author"]
		spans := map[string]string{}
		for _, v := range []string{span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic} {
			raw := w.note(author, 1, visible(v), func(h *span.Header) { h.Tags = []string{"seen"} })
			w.append(raw).want(t, http.StatusCreated)
			spans[v] = spanID(t, raw)
		}
		own := w.note(readers["guest"], 2, visible(span.VisibilityPrivate), func(h *span.Header) { h.Tags = []string{"seen"} })
		w.append(own).want(t, http.StatusCreated)
		spans["guest's"] = spanID(t, own)
		behalf := w.note(author, 3, visible(span.VisibilityPrivate), func(h *span.Header) {
			h.Tags, h.OnBehalfOf = []string{"seen"}, readers["member"].ID()
		})
		w.append(behalf).want(t, http.StatusCreated)
		spans["member's"] = spanID(t, behalf)

		const private, organization, open, guests, members = "private", "organization", "public", "guest's", "member's"
		sees := map[string][]string{
			"anonymous": {}, "stranger": {},
			"owner": {organization, open}, "admin": {organization, open}, "agent": {organization, open},
			"member":  {organization, open, members},
			"auditor": {private, organization, open, guests, members},
			"guest":   {guests},
			"author":  {private, organization, open, members},
		}
		if public {
			sees["anonymous"], sees["stranger"] = []string{open}, []string{open}
			sees["guest"] = []string{open, guests}
		}
		for name, keys := range readers {
			token := w.token(keys)
			absent, code := http.StatusNotFound, "tenant_unknown"
			switch {
			case public || len(sees[name]) > 0:
				code = "span_unknown"
			case keys == nil:
				absent, code = http.StatusUnauthorized, "credential_required"
			}
			for v, spanID := range spans {
				for _, part := range []string{"", "/receipt", "/why", "/causes", "/effects"} {
					r := w.get(w.at("/spans/"+spanID+part), token)
					if contains(sees[name], v) {
						require.Equal(t, http.StatusOK, r.status, "%s %s%s public=%v: %s", name, v, part, public, r.body)
					} else {
						p := r.problem(t, absent, code)
						none := w.get(w.at("/spans/01900000-0000-7000-8000-000000000000"+part), token)
						require.Equal(t, none.problem(t, absent, code).Detail, p.Detail, "hidden and absent answer alike")
					}
				}
			}
			list := w.get(w.at("/spans?tag=seen"), token)
			if absent == http.StatusUnauthorized || code == "tenant_unknown" {
				list.problem(t, absent, code)
				continue
			}
			var page client.Page
			list.want(t, http.StatusOK).decode(t, &page)
			require.Len(t, page.Items, len(sees[name]), "%s public=%v", name, public)
			require.Len(t, page.Statuses, len(page.Items))
			w.get(w.at("/bundle"), token).want(t, http.StatusOK)
		}
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func TestTenantReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	readers := w.readers()
	type answer struct {
		status int
		code   string
	}
	ok := answer{status: http.StatusOK}
	hidden, anonymous := answer{http.StatusNotFound, "tenant_unknown"}, answer{http.StatusUnauthorized, "credential_required"}
	forbidden := answer{http.StatusForbidden, "role_forbidden"}
	for name, keys := range readers {
		tenant, inside := ok, ok
		switch name {
		case "anonymous":
			tenant, inside = anonymous, anonymous
		case "stranger":
			tenant, inside = hidden, hidden
		case "guest":
			inside = forbidden
		}
		for path, want := range map[string]answer{"": tenant, "/members": inside, "/stats": inside, "/bundle": tenant} {
			for _, as := range []string{w.tenant.Id, w.tenant.Slug} {
				r := w.get("/v1/tenants/"+as+path, w.token(keys))
				if want.code == "" {
					require.Equal(t, want.status, r.status, "%s %s %s", name, path, r.body)
					continue
				}
				p := r.problem(t, want.status, want.code)
				if want != forbidden {
					for _, absent := range []string{"nowhere", "00000000-0000-8000-8000-000000000000"} {
						q := w.get("/v1/tenants/"+absent+path, w.token(keys)).problem(t, want.status, want.code)
						p.Instance, q.Instance = "", ""
						require.Equal(t, p, q, "a tenant one may not read answers like one that does not exist")
					}
				}
			}
		}
	}
	var page struct{ Items []client.Member }
	w.get(w.at("/members"), w.token(w.owner)).decode(t, &page)
	require.Len(t, page.Items, 7)
	for _, m := range page.Items {
		if m.Identity == w.owner.ID() {
			require.Equal(t, []string{"owner"}, m.Roles)
			require.Equal(t, "person", m.Subject)
			require.Equal(t, "active", m.Status)
		}
	}
	var stats client.Stats
	w.get(w.at("/stats"), w.token(w.owner)).decode(t, &stats)
	require.Positive(t, stats.Size)
	require.NotEmpty(t, stats.Types)
}

func TestListTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.tenant
	w.get("/v1/tenants", "").problem(t, http.StatusUnauthorized, "credential_required")
	owner, other := w.owner, w.identity()
	for _, slug := range []string{"a1", "a2", "a3"} {
		w.newTenant(w.token(owner), slug, false)
	}
	w.owner = other
	w.newTenant(w.token(other), "theirs", false)
	w.newTenant(w.token(other), "everybodys", true)
	list := func(keys *id.Keys, query string) (slugs []string, next *string) {
		var page struct {
			Items []client.Tenant
			Next  *string
		}
		w.get("/v1/tenants"+query, w.token(keys)).want(t, http.StatusOK).decode(t, &page)
		for _, it := range page.Items {
			slugs = append(slugs, it.Slug)
		}
		return slugs, page.Next
	}
	all, next := list(owner, "")
	require.ElementsMatch(t, []string{first.Slug, "a1", "a2", "a3", "everybodys"}, all)
	require.Nil(t, next)
	theirs, _ := list(other, "")
	require.ElementsMatch(t, []string{"theirs", "everybodys"}, theirs)

	var paged []string
	for query := "?limit=2"; ; {
		slugs, next := list(owner, query)
		paged = append(paged, slugs...)
		if next == nil {
			break
		}
		require.Len(t, slugs, 2)
		query = "?limit=2&cursor=" + *next
	}
	require.Equal(t, all, paged)
	w.get("/v1/tenants?cursor=zzz", w.token(owner)).problem(t, http.StatusBadRequest, "cursor_invalid")
	for _, limit := range []string{"0", "1001", "-1", "many"} {
		w.get("/v1/tenants?limit="+limit, w.token(owner)).problem(t, http.StatusBadRequest, "parameter_invalid")
	}
}
