package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func TestGetSpan(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.seal(w.owner, []byte(`{"text":"<b>é</b>"}`))
	sealed, err := span.Parse(raw, span.Limits{})
	require.NoError(t, err)
	w.append(raw).want(t, http.StatusCreated)
	token := w.token(w.owner)
	var rec client.Record
	w.get(w.at("/spans/"+sealed.ID), token).want(t, http.StatusOK).decode(t, &rec)
	opened, err := span.ParseOpened(rec.Entry, span.Limits{})
	require.NoError(t, err)
	require.NoError(t, opened.CheckHashes())
	require.Equal(t, string(sealed.Payload), string(opened.Payload))
	require.Equal(t, sealed.Salt, opened.Salt)
	require.Equal(t, rec.LeafHash, span.LeafHash(opened.Entry.AppendLine(nil)).String())
	require.EqualValues(t, "executed", rec.Status)
	for _, absent := range []string{"x", "01900000-0000-7000-8000-000000000000", "%20", "01900000-0000-7000-8000-00000000000Z"} {
		w.get(w.at("/spans/"+absent), token).problem(t, http.StatusNotFound, "span_unknown")
	}
}

func TestRedactedAndReverted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	target, undone := w.note(w.owner, 1), w.note(w.owner, 2)
	w.append(target).want(t, http.StatusCreated)
	w.append(undone).want(t, http.StatusCreated)
	hash := func(raw []byte) string {
		sp, err := span.Parse(raw, span.Limits{})
		require.NoError(t, err)
		return sp.Hash().String()
	}
	redaction := w.seal(w.owner, fmt.Appendf(nil, `{"reason":"asked","spans":[{"header_hash":%q,"span":%q}]}`, hash(target), spanID(t, target)),
		func(h *span.Header) { h.Type = span.TypeRedaction })
	w.append(redaction).want(t, http.StatusCreated)
	revert := w.seal(w.owner, fmt.Appendf(nil, `{"header_hash":%q,"reason":"wrong","span":%q}`, hash(undone), spanID(t, undone)),
		func(h *span.Header) { h.Type = span.TypeRevert })
	w.append(revert).want(t, http.StatusCreated)

	token := w.token(w.owner)
	r := w.get(w.at("/spans/"+spanID(t, target)), token).want(t, http.StatusOK)
	require.NotContains(t, string(r.body), `"payload":`)
	require.NotContains(t, string(r.body), `"salt"`)
	require.Contains(t, string(r.body), `"withheld":"redacted"`)
	repeat := w.append(target).want(t, http.StatusOK)
	require.NotContains(t, string(repeat.body), `"payload":`)
	require.Contains(t, string(w.get(w.at("/spans/"+spanID(t, target)), token).body), `"withheld":"redacted"`, "a repeat restores nothing")

	var rec client.Record
	w.get(w.at("/spans/"+spanID(t, undone)), token).decode(t, &rec)
	require.EqualValues(t, "reverted", rec.Status)
	var page client.Page
	w.get(w.at("/spans?status=reverted"), token).want(t, http.StatusOK).decode(t, &page)
	require.Len(t, page.Items, 1)
	require.EqualValues(t, "reverted", page.Statuses[0])
	var why client.Why
	w.get(w.at("/spans/"+spanID(t, undone)+"/why"), token).want(t, http.StatusOK).decode(t, &why)
	require.Len(t, why.Acts, 1)
	require.Equal(t, span.TypeRevert, why.Acts[0].Type)
	require.Equal(t, "wrong", why.Acts[0].Reason)
}

func TestQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.member("member")
	ids := make([]string, 10)
	for i := range ids {
		author := w.owner
		if i%2 == 1 {
			author = other
		}
		raw := w.note(author, i, func(h *span.Header) {
			h.Type = []string{"a.one", "a.two.deep", "b.one"}[i%3]
			h.Subject, h.Tags = fmt.Sprintf("s%d", i%4), []string{fmt.Sprintf("t%d", i%5), "all"}
			if i > 0 {
				h.Causes = []string{ids[i-1]}
			}
		})
		ids[i] = spanID(t, raw)
		w.append(raw).want(t, http.StatusCreated)
		w.clock.advance(1000e6)
	}
	token := w.token(w.owner)
	list := func(query string) (found []string, next *string) {
		var page client.Page
		w.get(w.at("/spans?"+query), token).want(t, http.StatusOK).decode(t, &page)
		for _, e := range page.Items {
			o, err := span.ParseOpened(e, span.Limits{})
			require.NoError(t, err)
			require.NotNil(t, o.Payload)
			found = append(found, o.Span.ID)
		}
		return found, page.Next
	}
	pick := func(ns ...int) (out []string) {
		for _, n := range ns {
			out = append(out, ids[n])
		}
		return out
	}
	for query, want := range map[string][]string{
		"type=a.one":                         pick(0, 3, 6, 9),
		"type=a.*":                           pick(0, 3, 6, 9),
		"type=a.**":                          pick(0, 1, 3, 4, 6, 7, 9),
		"type=a.one&type=b.*":                pick(0, 2, 3, 5, 6, 8, 9),
		"tag=t1":                             pick(1, 6),
		"subject=s3":                         pick(3, 7),
		"tag=all&author=" + bare(other.ID()): pick(1, 3, 5, 7, 9),
		"tag=all&author=" + url.QueryEscape(other.ID()): pick(1, 3, 5, 7, 9),
		"cause=" + ids[4]:                        pick(5),
		"tag=all&since=2026-03-01T12:00:08.000Z": pick(8, 9),
		"tag=all&until=2026-03-01T12:00:02.000Z": pick(0, 1),
		"tag=all&order=desc&limit=3":             pick(9, 8, 7),
		"tag=all&q=b.one":                        pick(2, 5, 8),
		"tag=all&status=executed&subject=s0":     pick(0, 4, 8),
		"tag=nothing":                            nil,
		"tag=all&status=ghost":                   nil,
		"author=" + bare(w.keys().ID()):          nil,
	} {
		got, _ := list(query)
		require.Equal(t, want, got, query)
	}
	for _, order := range []string{"asc", "desc"} {
		var paged []string
		for cursor := ""; ; {
			got, next := list("tag=all&limit=3&order=" + order + "&cursor=" + cursor)
			paged = append(paged, got...)
			if next == nil {
				break
			}
			cursor = url.QueryEscape(*next)
		}
		require.Len(t, paged, 10)
		if order == "asc" {
			require.Equal(t, ids, paged)
		}
	}
	w.get(w.at("/spans?auhtor=me"), token).problem(t, http.StatusBadRequest, "parameter_unknown")
	w.get(w.at("/bundle?form=1"), token).problem(t, http.StatusBadRequest, "parameter_unknown")
	w.get(w.at("/spans?tag=a%00b"), token).problem(t, http.StatusBadRequest, "parameter_invalid")
	w.get(w.at("/spans?tag=a%ff"), token).problem(t, http.StatusBadRequest, "parameter_invalid")
	w.get("/v1/tenants/ac%00me/spans", token).problem(t, http.StatusNotFound, "route_unknown")
	for query := range map[string]bool{
		"type=A..b": true, "author=me": true, "status=great": true, "since=yesterday": true, "until=2026-03-01T12:00:00Z": true,
		"cause=x": true, "q=": true, "order=random": true, "limit=0": true, "limit=1001": true, "limit=x": true, "cursor=%21": true,
		"subject=": true, "tag=": true,
	} {
		r := w.get(w.at("/spans?"+query), token)
		require.Equal(t, http.StatusBadRequest, r.status, "%s %s", query, r.body)
	}

	var g client.Graph
	w.get(w.at("/spans/"+ids[5]+"/causes"), token).want(t, http.StatusOK).decode(t, &g)
	require.Equal(t, ids[5], g.Root)
	require.Len(t, g.Nodes, 6)
	w.get(w.at("/spans/"+ids[5]+"/causes?depth=2"), token).want(t, http.StatusOK).decode(t, &g)
	require.Len(t, g.Nodes, 3)
	w.get(w.at("/spans/"+ids[5]+"/effects?depth=1"), token).want(t, http.StatusOK).decode(t, &g)
	require.Len(t, g.Edges, 1)
	require.Equal(t, ids[5], g.Edges[0].From)
	require.Equal(t, ids[6], g.Edges[0].To)
	for _, depth := range []string{"0", "65", "x"} {
		w.get(w.at("/spans/"+ids[5]+"/effects?depth="+depth), token).problem(t, http.StatusBadRequest, "parameter_invalid")
	}
	var why client.Why
	w.get(w.at("/spans/"+ids[5]+"/why"), token).want(t, http.StatusOK).decode(t, &why)
	require.Equal(t, other.ID(), why.Signer.Identity)
	require.Equal(t, other.Signer().Public(), why.Signer.Key)
	require.True(t, why.Signer.Primary)
	require.Equal(t, []string{"member"}, why.Signer.Roles)
	require.Len(t, why.Causes, 1)
	require.Len(t, why.Effects, 1)
	w.checkReceipt(&why.Receipt)
}

func TestReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.note(w.owner, 1)
	first := w.append(raw).want(t, http.StatusCreated)
	path, token := w.at("/spans/"+spanID(t, raw)+"/receipt"), w.token(w.owner)
	require.JSONEq(t, string(first.body), string(w.get(path, token).want(t, http.StatusOK).body))
	require.Equal(t, "application/json", w.get(path+"?format=json", token).header.Get("Content-Type"))

	asFile := w.get(path+"?format=tlog-proof", token).want(t, http.StatusOK)
	require.Equal(t, "text/plain; charset=utf-8", asFile.header.Get("Content-Type"))
	req := w.request(http.MethodGet, path, token, "", nil)
	req.Header.Set("Accept", "text/plain")
	require.Equal(t, string(asFile.body), string(w.do(req).body))
	file, err := tree.ParseProofFile(asFile.body)
	require.NoError(t, err)
	_, err = file.Verify(span.LeafHash(file.Extra), w.tenant.LogKey)
	require.NoError(t, err)
	entry, err := span.ParseLine(file.Extra)
	require.NoError(t, err)
	require.Equal(t, spanID(t, raw), entry.Span.ID)
	w.get(path+"?format=xml", token).problem(t, http.StatusBadRequest, "parameter_invalid")
}

func TestProofs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.append(w.note(w.owner, i)).want(t, http.StatusCreated)
	}
	// By id these are open to all, whatever credential is sent along.
	note := w.get(w.at("/checkpoint"), "nonsense").want(t, http.StatusOK)
	require.Equal(t, "text/plain; charset=utf-8", note.header.Get("Content-Type"))
	c, err := tree.OpenNote(note.body, w.tenant.LogKey)
	require.NoError(t, err)

	var inc client.InclusionProof
	w.get(w.at("/proofs/inclusion?index=3"), "").want(t, http.StatusOK).decode(t, &inc)
	require.Equal(t, c.Size, inc.Size)
	leaf, err := span.ParseHash(inc.LeafHash)
	require.NoError(t, err)
	require.NoError(t, tree.VerifyInclusion(leaf, 3, c.Size, parseHashes(t, inc.Hashes), c.Root))
	var con client.ConsistencyProof
	w.get(w.at("/proofs/consistency?from=3"), "").want(t, http.StatusOK).decode(t, &con)
	require.Equal(t, c.Size, con.To)
	require.NotEmpty(t, con.Hashes)
	w.get(w.at(fmt.Sprintf("/proofs/consistency?from=3&to=%d", c.Size)), "").want(t, http.StatusOK)

	for _, path := range []string{
		"/proofs/inclusion", "/proofs/inclusion?index=x", "/proofs/inclusion?index=-1", "/proofs/inclusion?index=999",
		"/proofs/inclusion?index=1&size=999", "/proofs/inclusion?index=4&size=4", "/proofs/consistency", "/proofs/consistency?from=5&to=3",
		"/proofs/consistency?from=1&to=999", "/bundle?from=999", "/bundle?to=999", "/bundle?from=4&to=3", "/bundle?to=0", "/bundle?from=x",
	} {
		r := w.get(w.at(path), w.token(w.owner))
		require.Equal(t, http.StatusBadRequest, r.status, "%s: %s", path, r.body)
		require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
	}
	for _, part := range []string{"/checkpoint", "/proofs/inclusion?index=0", "/proofs/consistency?from=1"} {
		w.get("/v1/tenants/acme"+part, "").problem(t, http.StatusUnauthorized, "credential_required")
		w.get("/v1/tenants/nowhere"+part, "").problem(t, http.StatusUnauthorized, "credential_required")
		stranger := w.token(w.identity())
		w.get("/v1/tenants/acme"+part, stranger).problem(t, http.StatusNotFound, "tenant_unknown")
		w.get("/v1/tenants/nowhere"+part, stranger).problem(t, http.StatusNotFound, "tenant_unknown")
		w.get("/v1/tenants/acme"+part, w.token(w.owner)).want(t, http.StatusOK)
		w.get("/v1/tenants/00000000-0000-8000-8000-000000000000"+part, "").problem(t, http.StatusNotFound, "tenant_unknown")
	}
}

func parseHashes(t *testing.T, texts []string) []span.Hash {
	out := make([]span.Hash, len(texts))
	for i, text := range texts {
		h, err := span.ParseHash(text)
		require.NoError(t, err)
		out[i] = h
	}
	return out
}

func TestBundle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.append(w.note(w.owner, i, visible(span.VisibilityPrivate))).want(t, http.StatusCreated)
	}
	verify := func(r reply) *bundle.Report {
		r.want(t, http.StatusOK)
		require.Equal(t, "application/x-ndjson", r.header.Get("Content-Type"))
		report, err := bundle.Verify(t.Context(), bytes.NewReader(r.body), bundle.Options{Node: w.node.ID()})
		require.NoError(t, err)
		require.True(t, report.OK, "%+v", report.Problems)
		return report
	}
	whole := verify(w.get(w.at("/bundle"), w.token(w.owner)))
	require.Zero(t, whole.WithheldPrivate)
	part := verify(w.get(w.at("/bundle?from=3&to=6"), w.token(w.owner)))
	require.EqualValues(t, 3, part.From)
	require.EqualValues(t, 6, part.To)

	member := w.get(w.at("/bundle"), w.token(w.member("member")))
	verify(member)
	require.Equal(t, 5, bytes.Count(member.body, []byte(`{"leaf":`))+bytes.Count(member.body, []byte(`{"seq":`)), "what one may not see is a leaf")
	var header struct{ Logline string }
	first, _, _ := bytes.Cut(member.body, []byte("\n"))
	require.NoError(t, json.Unmarshal(first, &header))
	require.Equal(t, "bundle", header.Logline)
}
