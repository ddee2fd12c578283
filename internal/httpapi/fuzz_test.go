package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
	"github.com/danvoulez/logline/internal/span"
)

// in is the world as t sees it: a fuzz target may not use its F while it runs.
func (w *world) in(t *testing.T) *world {
	c := *w
	c.t = t
	c.http = &http.Client{Transport: spectest.Transport(t, http.DefaultTransport)}
	return &c
}

// refusedOr expects one of the statuses, or a problem that blames the caller.
func (r reply) refusedOr(t *testing.T, statuses ...int) bool {
	t.Helper()
	if slices.Contains(statuses, r.status) {
		return true
	}
	var p client.Problem
	require.NoError(t, json.Unmarshal(r.body, &p), "%s", r.body)
	require.GreaterOrEqual(t, r.status, 400, "%s", r.body)
	require.Less(t, r.status, 500, "%s", r.body)
	require.NotEmpty(t, p.Code)
	return false
}

// FuzzQuery: any query over the spans is refused, or answered with exactly the
// spans that a plain reading of its filters picks.
func FuzzQuery(f *testing.F) {
	w := newWorld(f)
	var headers []span.Header
	other := w.member("member")
	for i := range 12 {
		author := w.owner
		if i%2 == 1 {
			author = other
		}
		raw := w.seal(author, fmt.Appendf(nil, `{"n":%d}`, i), func(h *span.Header) {
			h.Type = []string{"a.one", "a.two.deep", "b"}[i%3]
			h.Subject, h.Tags = []string{"", "s1", "é"}[i%3], []string{fmt.Sprintf("t%d", i%5), "all"}
			if i > 0 {
				h.Causes = []string{headers[i-1].ID}
			}
		})
		w.append(raw).want(f, http.StatusCreated)
		sp, err := span.Parse(raw, span.Limits{})
		require.NoError(f, err)
		headers = append(headers, sp.Header)
	}
	good := []string{
		"", "tag=all", "tag=all&type=a.*", "tag=all&type=a.**&type=b&order=desc", "tag=all&limit=5", "tag=t1&author=" + bare(other.ID()),
		"tag=all&subject=s1", "tag=all&cause=" + headers[3].ID, "tag=all&subject=%C3%A9", "tag=all&since=2026-03-01T12:00:00.000Z", "tag=all&until=2026-03-01T12:00:00.000Z",
		"tag=all&status=executed", "tag=all&status=ghost",
	}
	for _, q := range good {
		w.get(w.at("/spans?"+q), w.token(w.owner)).want(f, http.StatusOK)
		f.Add(q)
	}
	for _, q := range []string{
		"limit=0", "limit=99999999999999999999", "type=", "type=%2a", "q=%00", "q=a&q=b", "cursor=x", "order=ASC", "tag=all;type=b", "%zz", "tag=%ff", "tag=all&tag=t1", "x=1",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
			return // no query at all
		}
		w := w.in(t)
		req := w.request(http.MethodGet, w.at("/spans"), w.token(w.owner), "", nil)
		req.URL.RawQuery = query
		r := w.do(req)
		if !r.refusedOr(t, http.StatusOK) {
			return
		}
		asked, err := url.ParseQuery(query)
		require.NoError(t, err, "what is no query was answered")
		if asked.Has("q") || asked.Has("cursor") || asked.Get("tag") == "" {
			return // words and places have tests of their own; without a tag there is more than ours
		}
		var want []string
		for _, h := range headers {
			if picks(asked, &h) {
				want = append(want, h.ID)
			}
		}
		if asked.Get("order") == "desc" {
			slices.Reverse(want)
		}
		limit := 100
		if asked.Has("limit") {
			_, err := fmt.Sscan(asked.Get("limit"), &limit)
			require.NoError(t, err)
		}
		want = want[:min(limit, len(want))]
		var page struct{ Items []struct{ Span span.Header } }
		r.decode(t, &page)
		var got []string
		for _, e := range page.Items {
			got = append(got, e.Span.ID)
		}
		require.Equal(t, want, got, query)
	})
}

// picks is a plain reading of the filters. All entries have one time, executed.
func picks(q url.Values, h *span.Header) bool {
	const recorded = "2026-03-01T12:00:00.000Z"
	is := func(name, value string) bool { return !q.Has(name) || q.Get(name) == value }
	return (!q.Has("type") || slices.ContainsFunc(q["type"], func(p string) bool { return span.MatchType(p, h.Type) })) &&
		(is("author", h.Author) || is("author", bare(h.Author))) && is("subject", h.Subject) && is("status", "executed") &&
		slices.Contains(h.Tags, q.Get("tag")) && (!q.Has("cause") || slices.Contains(h.Causes, q.Get("cause"))) &&
		(!q.Has("since") || recorded >= q.Get("since")) && (!q.Has("until") || recorded < q.Get("until"))
}

// FuzzRegistration: any body registers what it says, or nothing.
func FuzzRegistration(f *testing.F) {
	w := newNode(f)
	keys := w.keys()
	good, err := json.Marshal(registration(keys, "ana", "Ana"))
	require.NoError(f, err)
	keys = w.keys()
	_, _, err = keys.Delegate("phone", nil, "", w.clock.now(), randReader)
	require.NoError(f, err)
	longer, err := json.Marshal(registration(keys, "", ""))
	require.NoError(f, err)
	for _, body := range []string{string(good), string(longer), "", "{}", `{"events":[]}`, `{"events":null}`, `{"events":[null]}`, `{"events":[1]}`, `[]`, `{"handle":"a","name":"\u0000"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := w.in(t)
		r := w.post("/v1/identities", "", body)
		if !r.refusedOr(t, http.StatusCreated, http.StatusOK) {
			return
		}
		var made client.Identity
		r.decode(t, &made)
		var asked struct {
			Events       []json.RawMessage
			Handle, Name string
		}
		require.NoError(t, json.Unmarshal(body, &asked))
		var now client.KeyEvents
		w.get("/v1/identities/"+bare(made.Id)+"/events", "").want(t, http.StatusOK).decode(t, &now)
		require.GreaterOrEqual(t, len(now.Events), len(asked.Events))
		for i, e := range asked.Events {
			canonical, err := span.Canonicalize(e)
			require.NoError(t, err)
			require.Equal(t, string(canonical), string(now.Events[i]))
		}
		if asked.Handle != "" {
			require.Equal(t, asked.Handle, made.Handle)
		}
	})
}

// FuzzKeyEvent: any body adds the one event that it is, or changes nothing.
func FuzzKeyEvent(f *testing.F) {
	w := newNode(f)
	keys := w.identity()
	event, _, err := keys.Delegate("phone", []string{"a.*"}, "", w.clock.now(), randReader)
	require.NoError(f, err)
	f.Add([]byte(event.Raw))
	f.Add([]byte(keys.Events()[0]))
	another := w.identity() // a good event is taken, or nothing below says much
	taken, _, err := another.Delegate("phone", []string{"a.*"}, "", w.clock.now(), randReader)
	require.NoError(f, err)
	w.post("/v1/identities/"+bare(another.ID())+"/events", "", taken.Raw).want(f, http.StatusCreated)
	event, err = keys.Rotate(w.clock.now(), randReader)
	require.NoError(f, err)
	f.Add([]byte(event.Raw))
	for _, body := range []string{"", "{}", "[]", "null", `{"v":1,"kind":"claim"}`, `{"v":1,"kind":"rotation","seq":-1}`} {
		f.Add([]byte(body))
	}
	path := "/v1/identities/" + bare(keys.ID()) + "/events"
	f.Fuzz(func(t *testing.T, body []byte) {
		w := w.in(t)
		var before, after client.KeyEvents
		w.get(path, "").want(t, http.StatusOK).decode(t, &before)
		taken := w.post(path, "", body).refusedOr(t, http.StatusCreated, http.StatusOK)
		w.get(path, "").want(t, http.StatusOK).decode(t, &after)
		n := len(before.Events)
		require.GreaterOrEqual(t, len(after.Events), n)
		require.Equal(t, before.Events, after.Events[:n])
		if !taken {
			require.Len(t, after.Events, n)
			return
		}
		canonical, err := span.Canonicalize(body)
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(after.Events, func(e json.RawMessage) bool { return string(e) == string(canonical) }))
		require.LessOrEqual(t, len(after.Events), n+1)
	})
}

// FuzzNewTenant: any body makes the tenant that it says, or none.
func FuzzNewTenant(f *testing.F) {
	w := newWorld(f)
	for _, body := range []string{
		fmt.Sprintf(`{"slug":"next","name":"Next","owner":%q}`, w.owner.ID()), fmt.Sprintf(`{"slug":"open","name":"É","owner":%q,"public_reading":true}`, w.owner.ID()),
		fmt.Sprintf(`{"slug":"acme","name":"A","owner":%q}`, w.owner.ID()), fmt.Sprintf(`{"slug":"d34e1747-5b14-88b1-a45b-f748568d1192","name":"A","owner":%q}`, w.owner.ID()),
		fmt.Sprintf(`{"slug":"","name":"","owner":%q}`, w.owner.ID()), "", "{}", "[]", `{"slug":1}`, `{"slug":"a","slug":"b"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := w.in(t)
		token := w.token(w.owner)
		list := func() []client.Tenant {
			var all []client.Tenant
			for cursor := ""; ; {
				var page struct {
					Items []client.Tenant
					Next  *string
				}
				w.get("/v1/tenants?limit=1000"+cursor, token).want(t, http.StatusOK).decode(t, &page)
				if all = append(all, page.Items...); page.Next == nil {
					return all
				}
				cursor = "&cursor=" + url.QueryEscape(*page.Next)
			}
		}
		before := list()
		r := w.post("/v1/tenants", token, body)
		if !r.refusedOr(t, http.StatusCreated, http.StatusOK) {
			require.Len(t, list(), len(before))
			return
		}
		var made client.Tenant
		r.decode(t, &made)
		var asked client.NewTenant
		require.NoError(t, json.Unmarshal(body, &asked))
		require.Equal(t, []string{asked.Slug, asked.Name, asked.Owner}, []string{made.Slug, made.Name, made.Owner})
		require.Equal(t, asked.PublicReading, made.PublicReading)
		var got client.Tenant
		w.get("/v1/tenants/"+url.PathEscape(made.Slug), token).want(t, http.StatusOK).decode(t, &got)
		require.Equal(t, made.Id, got.Id)
		require.LessOrEqual(t, len(list()), len(before)+1)
	})
}
