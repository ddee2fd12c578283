package httpapi_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
)

var update = flag.Bool("update", false, "write testdata/permissions.txt as the server answers now")

const (
	permissions = "testdata/permissions.txt"
	absentID    = "0190a000-0000-8000-8000-000000000000"
	absentSlug  = "nowhere"
	howToAdd    = "add it to uses() in permissions_requests_test.go, run go test -run 'TestPermissions$' -update ./internal/httpapi, and read what that adds to " + permissions
)

// matrix is everybody who asks, and whose tenants they ask about: this, where
// they hold their roles; another's; and one with public reading where they hold none.
type matrix struct {
	t                  *testing.T
	this, other, shown *place
	callers            []*party
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	w := newWorld(t)
	// Whoever owns the first tenant operates the node, which has told of its making.
	require.NoError(t, w.own.Record(t.Context(), admin.Act{Type: admin.TenantCreated, Subject: w.tenant.Id, By: w.owner.ID()}))
	m := &matrix{t: t, this: furnish(t, w)}
	outsider := w.identity()
	for slug, at := range map[string]**place{"rival-inc": &m.other, "shown": &m.shown} {
		there := *w
		there.owner = outsider
		there.tenant = there.newTenant(w.token(outsider), slug, slug == "shown")
		*at = furnish(t, &there)
	}
	m.callers = m.parties()
	return m
}

// TestPermissions asks for every operation of the document as everybody, and
// holds who got what against a table. Of another's tenant, and of another's
// things under the name of one's own, everybody gets the answers for what does
// not exist.
func TestPermissions(t *testing.T) {
	t.Parallel()
	spec, err := spectest.Load()
	require.NoError(t, err)
	where := map[string]string{} // path by operationId
	for path, item := range spec.Document.Paths.Map() {
		for _, op := range item.Operations() {
			where[op.OperationID] = path
		}
	}
	asked := map[string]bool{}
	for _, u := range uses() {
		op, _, _ := strings.Cut(u.op, " ")
		asked[op] = true
	}
	for op := range where {
		assert.True(t, asked[op], "who may %s? A route without a row is not let in: %s", op, howToAdd)
	}
	if t.Failed() {
		return
	}
	m := newMatrix(t)
	table := m.heading()
	for _, u := range uses() {
		op, _, _ := strings.Cut(u.op, " ")
		path, known := where[op]
		require.True(t, known, "the operation %s is in openapi.yaml no more; take it out of uses()", op)
		switch {
		case strings.Contains(path, "{tenant}"):
			table += m.ofTenant(&u)
		case strings.Contains(path, "{identity}"):
			table += m.ofIdentity(&u)
		default:
			table += m.row(&u, "", func(p *party) string { return m.cell(&u, &asking{place: m.this, who: p}) })
		}
	}
	if *update && t.Name() == "TestPermissions" {
		require.NoError(t, os.WriteFile(permissions, []byte(table), 0o600))
	}
	want, err := os.ReadFile(permissions)
	require.NoError(t, err)
	require.Empty(t, difference(string(want), table), "the table of who may what is another; if it should be: %s", howToAdd)
}

// difference are the lines that one text has and another has not.
func difference(want, is string) string {
	var b strings.Builder
	for sign, texts := range map[string][2]string{"- ": {want, is}, "+ ": {is, want}} {
		others := slices.Collect(strings.Lines(texts[1]))
		for l := range strings.Lines(texts[0]) {
			if !slices.Contains(others, l) {
				b.WriteString(sign + l)
			}
		}
	}
	return b.String()
}

const (
	labelWidth = 40
	cellWidth  = 9
)

func (m *matrix) heading() string {
	cells := make([]string, len(m.callers))
	for i, p := range m.callers {
		cells[i] = p.name
	}
	return line("", cells)
}

func line(label string, cells []string) string {
	text := fmt.Sprintf("%-*s", labelWidth, label)
	for _, c := range cells {
		text += fmt.Sprintf(" %-*s", cellWidth, c)
	}
	return strings.TrimRight(text, " ") + "\n"
}

// row asks as everybody.
func (m *matrix) row(u *use, of string, cell func(p *party) string) string {
	cells := make([]string, len(m.callers))
	for i, p := range m.callers {
		cells[i] = cell(p)
	}
	if of != "" {
		of = ", " + of
	}
	return line(u.op+of, cells)
}

func (m *matrix) ofTenant(u *use) string {
	table := m.row(u, "", func(p *party) string { return m.cell(u, &asking{place: m.this, who: p, name: m.this.tenant.Id}) })
	table += m.row(u, "public reading", func(p *party) string {
		return m.cell(u, &asking{place: m.shown, who: p, name: m.shown.tenant.Id})
	})
	if u.open {
		table += m.row(u, "another's", func(p *party) string {
			return m.cell(u, &asking{place: m.other, who: p, name: m.other.tenant.Id})
		})
	}
	for i, p := range m.callers {
		if testing.Short() && i%3 != 0 || u.operated && p.keys == m.this.owner {
			continue
		}
		pairs := [][2]asking{{{place: m.other, name: m.other.tenant.Slug}, {place: m.other, name: absentSlug}}}
		if !u.open {
			pairs = append(pairs, [2]asking{{place: m.other, name: m.other.tenant.Id}, {place: m.other, name: absentID}},
				[2]asking{{place: m.other, name: m.this.tenant.Id}, {place: m.other, name: m.this.tenant.Id, none: true}})
		}
		for _, pair := range pairs {
			pair[0].who, pair[1].who = p, p
			absent, theirs := m.answer(u, &pair[1]), m.answer(u, &pair[0])
			if len(pair[0].said) == 0 && pair[1].none {
				continue // it names no thing of the tenant's
			}
			require.Equal(m.t, absent, theirs, "%s by %s tells apart what is another's (%q) and what there is not (%q)", u.op, p.name, pair[0].name, pair[1].name)
		}
	}
	return table
}

func (m *matrix) ofIdentity(u *use) string {
	table := m.row(u, "itself", func(p *party) string {
		if p.self == "" {
			return "-"
		}
		return m.cell(u, &asking{place: m.this, who: p, name: p.self})
	})
	table += m.row(u, "made by owner", func(p *party) string {
		return m.cell(u, &asking{place: m.this, who: p, name: m.this.held(m.this.owner).Id})
	})
	stranger := m.this.identity()
	table += m.row(u, "another's", func(p *party) string { return m.cell(u, &asking{place: m.this, who: p, name: stranger.ID()}) })
	nobody := m.this.keys()
	return table + m.row(u, "unknown", func(p *party) string { return m.cell(u, &asking{place: m.this, who: p, name: nobody.ID()}) })
}

// cell is what the table says of one request: its status, and how much was shown.
func (m *matrix) cell(u *use, a *asking) string {
	req := u.ask(a)
	if req == nil {
		return "-"
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(m.t, err)
	defer resp.Body.Close()
	require.Less(m.t, resp.StatusCode, http.StatusInternalServerError, "%s by %s", u.op, a.who.name)
	if resp.StatusCode >= http.StatusBadRequest || u.shown == nil {
		return fmt.Sprint(resp.StatusCode)
	}
	return fmt.Sprintf("%d:%d", resp.StatusCode, u.shown(a, resp))
}

// answer is everything of an answer that may not differ.
func (m *matrix) answer(u *use, a *asking) string {
	req := u.ask(a)
	if req == nil {
		return ""
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(m.t, err)
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Status // its content is its own; one that does not exist has none
	}
	text := resp.Status + "\n" + fixedPart(m.t, resp)
	for _, said := range append(a.said, a.name) {
		text = strings.ReplaceAll(text, said, "{named}")
	}
	return text
}

// fixedPart is the header and body of an answer without what is each request's own.
func fixedPart(t testing.TB, resp *http.Response) string {
	t.Helper()
	var body string
	var doc map[string]any
	if len(resp.Header["Content-Type"]) > 0 && json.NewDecoder(resp.Body).Decode(&doc) == nil {
		delete(doc, "instance")
		text, err := json.Marshal(doc)
		require.NoError(t, err)
		body = string(text)
	}
	header := resp.Header.Clone()
	for _, own := range []string{"Date", "X-Request-Id", "Content-Length"} {
		header.Del(own)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(header)) {
		lines = append(lines, name+": "+strings.Join(header[name], ", "))
	}
	return strings.Join(lines, "\n") + "\n" + body
}
