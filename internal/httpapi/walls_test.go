package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// checkless is a log in which everybody may do everything everywhere: a server
// on it checks nothing of roles and visibility.
type checkless struct{ httpapi.Log }

func (l checkless) Standing(ctx context.Context, tenant string) (standing.View, error) {
	v, err := l.Log.Standing(ctx, tenant)
	if err != nil {
		v = standing.New(id.DefaultVerifier()) // what is hidden from the server decides nothing here either
	}
	return anything{v}, nil
}

func (checkless) Knows(context.Context, string, string) (bool, error) { return true, nil }

type anything struct{ standing.View }

func (anything) Can(string, standing.Right) bool { return true }
func (anything) Roles(string) []string           { return []string{span.RoleOwner, span.RoleAuditor} }

// TestRowLevelSecurityAlone takes the application's checks away, all at once: a
// server that lets everybody do everything is asked for another's tenant on every
// route, and its statements name that tenant, while the database holds each
// transaction to be the caller's own tenant's. Nothing of the other is shown, and
// nothing of it changes.
func TestRowLevelSecurityAlone(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db, store := backend.Open(t, d.URL)
	w := newNodeOn(t, db, store, func(d *id.Directory) engine.Directory { return d }, nil)
	w.owner = w.identity()
	w.tenant = w.newTenant(bootstrapToken, "acme", false)
	mine := furnish(t, w)
	there := *w
	there.owner = w.identity()
	there.tenant = there.newTenant(w.token(there.owner), "rival-inc", false)
	theirs := furnish(t, &there)

	// More processes on the same database, which have seen nothing yet.
	another := func() *world {
		db, store := backend.Open(t, d.URL)
		return newProcess(t, w.node, db, store, func(d *id.Directory) engine.Directory { return d }, nil, quick,
			func(d *httpapi.Deps) { d.Log = checkless{d.Log} })
	}
	// Once more without the walls of what leads to the entries, so that theirs are tried too.
	for _, doors := range [][]string{nil, {"timeline_heads", "timeline_tenants"}} {
		open := another()
		caller := &party{name: "caller", keys: there.owner, self: there.owner.ID(), token: open.token(w.owner)}
		asked, said := map[string]*http.Request{}, map[string][]string{}
		for _, u := range uses() {
			if strings.Contains(whereOf(t, u.op), "{tenant}") {
				a := &asking{place: theirs, who: caller, name: theirs.tenant.Id}
				req := u.ask(a)
				to, err := url.Parse(open.url)
				require.NoError(t, err)
				req.URL.Host, req.Host = to.Host, to.Host
				asked[u.op], said[u.op] = req, a.said
			}
		}
		require.Greater(t, len(asked), 50)
		before := rowsOf(t, d, theirs)
		swap(t, d, theirs, mine)
		for _, table := range doors {
			d.Exec(t, `ALTER TABLE `+table+` DISABLE ROW LEVEL SECURITY`)
		}
		for op, req := range asked {
			answer := heard(t, req)
			for _, own := range said[op] {
				answer = strings.ReplaceAll(answer, own, "")
			}
			for what, secret := range theirs.secrets() {
				require.NotContains(t, answer, secret, "%s shows %s", op, what)
			}
		}
		after := rowsOf(t, d, theirs)
		for table, rows := range before {
			require.Equal(t, rows, after[table], "%s has changed", table)
		}
		swap(t, d, theirs, theirs)
		for _, table := range doors {
			d.Exec(t, `ALTER TABLE `+table+` ENABLE ROW LEVEL SECURITY`)
		}
	}

	// It is the database that keeps them: on its own the server shows and changes all.
	open := another()
	shown := open.get("/v1/tenants/"+theirs.tenant.Id+"/spans?limit=1000", open.token(w.owner)).want(t, http.StatusOK)
	require.Contains(t, string(shown.body), theirs.secrets()["a payload"])
}

// whereOf is the path of an operation of the document.
func whereOf(t *testing.T, op string) string {
	t.Helper()
	op, _, _ = strings.Cut(op, " ")
	spec, err := spectest.Load()
	require.NoError(t, err)
	for path, item := range spec.Document.Paths.Map() {
		for _, o := range item.Operations() {
			if o.OperationID == op {
				return path
			}
		}
	}
	require.Fail(t, "no such operation", op)
	return ""
}

// secrets are what is the place's alone.
func (p *place) secrets() map[string]string {
	return map[string]string{
		"a payload": wordOf(p.tenant.Slug), "where a webhook goes": p.receiver, "a private span": p.spans[span.VisibilityPrivate],
		"a span of the organization's": p.spans[span.VisibilityOrganization], "a public span": p.spans[span.VisibilityPublic], "an effect": p.effect,
		"a member": bare(p.author), "a task": p.waiting, "a contract": p.contract,
	}
}

// swap has row-level security take transactions of one tenant for another's.
func swap(t *testing.T, d *pgtest.Database, of, as *place) {
	t.Helper()
	d.Exec(t, fmt.Sprintf(`CREATE OR REPLACE FUNCTION logline_tenant() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS $$
		SELECT CASE v WHEN %[1]s THEN %[2]s ELSE v END FROM (SELECT nullif(current_setting('logline.tenant', true), '')::bigint v) s $$`,
		numberOf(t, d, of), numberOf(t, d, as)),
		fmt.Sprintf(`CREATE OR REPLACE FUNCTION logline_tasks() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
		SELECT CASE v WHEN '%s' THEN '%s' ELSE v END FROM (SELECT current_setting('logline.tasks', true) v) s $$`, of.tenant.Id, as.tenant.Id))
}

func numberOf(t *testing.T, d *pgtest.Database, p *place) string {
	return askAdmin(t, d, `SELECT tenant::text FROM timeline_tenants WHERE id = '`+p.tenant.Id+`'`)[0]
}

// rowsOf is every row of a tenant in every table, as the superuser sees them.
func rowsOf(t *testing.T, d *pgtest.Database, p *place) map[string]string {
	t.Helper()
	number, out := numberOf(t, d, p), map[string]string{}
	for _, table := range askAdmin(t, d, `SELECT table_name::text FROM information_schema.columns WHERE column_name = 'tenant' AND table_schema = 'public'`) {
		out[table] = askAdmin(t, d, `SELECT coalesce(string_agg(r::text, E'\n' ORDER BY r::text), '') FROM `+table+` r WHERE tenant::text IN ('`+number+`', '`+p.tenant.Id+`')`)[0]
	}
	require.NotEmpty(t, out["timeline_entries"])
	require.NotEmpty(t, out["webhooks"])
	require.NotEmpty(t, out["tasks"])
	return out
}

func askAdmin(t *testing.T, d *pgtest.Database, query string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	rows, err := conn.Query(t.Context(), query)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

// heard is all that an answer says: of a feed, until it has nothing more to say.
func heard(t *testing.T, req *http.Request) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), feedPatience)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	require.NoError(t, err, "%s %s", req.Method, req.URL)
	defer resp.Body.Close()
	var b strings.Builder
	buffer := make([]byte, 64<<10)
	for {
		n, err := resp.Body.Read(buffer)
		b.Write(buffer[:n])
		var timeout net.Error
		switch {
		case err == io.EOF || strings.Contains(string(buffer[:n]), `"heartbeat"`):
			return b.String()
		case errors.As(err, &timeout) && timeout.Timeout():
			require.Fail(t, "the answer does not end", "%s %s: %s", req.Method, req.URL, b.String())
		}
		require.NoError(t, err)
	}
}
