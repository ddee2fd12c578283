package httpapi_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// TestWorkTellsNothing counts what a request has the stores do: for a tenant that
// the caller may not know of it is what it is for one that does not exist, so how
// long the answer takes tells them apart no more than what it says. And none of it
// is the loading of a timeline, which grows with it.
func TestWorkTellsNothing(t *testing.T) {
	t.Parallel()
	db, store := backend.Open(t, backend.URL(t, backend.SQLite))
	same := func(d *id.Directory) engine.Directory { return d }
	w := newNodeOn(t, db, store, same, nil)
	w.owner = w.identity()
	w.tenant = w.newTenant(bootstrapToken, "acme", false)
	secret := furnish(t, w)
	foreign := w.identity()
	elsewhere := w.newTenantOf(foreign, "foreign")
	callers := []*party{
		{name: "nobody", keys: w.keys()}, {name: "stranger", keys: w.identity()}, {name: "foreign", keys: foreign},
		{name: "elsewhere", token: w.apiKey(foreign, foreign.ID(), map[string]any{"tenant": elsewhere}).Key},
		{name: "member-away", token: w.apiKey(w.owner, w.owner.ID(), map[string]any{"tenant": w.newTenantOf(w.owner, "second")}).Key},
	}
	for _, p := range callers[1:3] {
		p.token = w.token(p.keys)
	}

	faults := &storetest.Faults{}
	process := newProcess(t, w.node, db, storetest.NewFaultyStore(store, faults), func(d *id.Directory) engine.Directory { return faultyDirectory{d, faults} }, nil,
		func(d *httpapi.Deps) {
			d.Directory = faultyDirectory{d.Directory.(*id.Directory), faults}
			d.APIKeys = faultyAPIKeys{d.APIKeys, faults}
		})
	to, err := url.Parse(process.url)
	require.NoError(t, err)
	work := func(u *use, p *party, name string) []string {
		req := u.ask(&asking{place: secret, who: p, name: name})
		if req == nil {
			return nil
		}
		req.URL.Host, req.Host = to.Host, to.Host
		faults.Calls()
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.GreaterOrEqual(t, resp.StatusCode, http.StatusBadRequest, "%s by %s", u.op, p.name)
		return faults.Calls()
	}
	tried := 0
	for _, u := range uses() {
		if !strings.Contains(whereOf(t, u.op), "{tenant}") || strings.HasPrefix(u.op, "importBundle") {
			continue
		}
		for _, p := range callers {
			names := [][2]string{{secret.tenant.Slug, absentSlug}}
			if !u.open {
				names = append(names, [2]string{secret.tenant.Id, absentID})
			}
			for _, pair := range names {
				absent, theirs := work(&u, p, pair[1]), work(&u, p, pair[0])
				if u.open { // of an author, the engine remembers how many key events there are, and of a name, whose it is
					require.InDelta(t, len(absent), len(theirs), 1, "%s by %s: %v for a name that is taken, %v for one that is not", u.op, p.name, theirs, absent)
					continue
				}
				tried++
				require.Equal(t, absent, theirs, "%s by %s, %q", u.op, p.name, pair[0])
			}
		}
	}
	require.Greater(t, tried, 300)
}
