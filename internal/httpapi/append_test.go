package httpapi_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// checkReceipt verifies a receipt as a client would, with nothing of the server.
func (w *world) checkReceipt(r *client.Receipt) *span.Entry {
	w.t.Helper()
	entry, err := span.ParseLine(r.Entry)
	require.NoError(w.t, err)
	leaf := span.LeafHash(r.Entry)
	require.Equal(w.t, r.LeafHash, leaf.String())
	var hashes []span.Hash
	for _, text := range r.Inclusion.Hashes {
		h, err := span.ParseHash(text)
		require.NoError(w.t, err)
		hashes = append(hashes, h)
	}
	file := tree.ProofFile{Index: r.Inclusion.Index, Hashes: hashes, Checkpoint: []byte(r.Checkpoint)}
	c, err := file.Verify(leaf, w.tenant.LogKey)
	require.NoError(w.t, err)
	require.Equal(w.t, r.Inclusion.Size, c.Size)
	require.Equal(w.t, r.Inclusion.Index, entry.Seq)
	return entry
}

func TestAppend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.note(w.owner, 1)
	first := w.append(raw).want(t, http.StatusCreated)
	require.Equal(t, "application/json", first.header.Get("Content-Type"))
	var receipt client.Receipt
	first.decode(t, &receipt)
	entry := w.checkReceipt(&receipt)
	require.Equal(t, spanID(t, raw), entry.Span.ID)

	repeat := w.append(raw).want(t, http.StatusOK)
	require.Equal(t, string(first.body), string(repeat.body), "a repeat gets the first receipt")

	spaced := w.note(w.owner, 2)
	spaced = bytes.Replace(spaced, []byte(`{"author"`), []byte("{ \n\"author\""), 1)
	w.append(spaced).want(t, http.StatusCreated)
	bySlug := w.note(w.owner, 3)
	w.post("/v1/tenants/acme/spans", "", bySlug).want(t, http.StatusCreated)
	chunked := w.request(http.MethodPost, w.at("/spans"), "", "application/json; charset=UTF-8", struct{ io.Reader }{bytes.NewReader(w.note(w.owner, 4))})
	chunked.ContentLength = -1
	w.do(chunked).want(t, http.StatusCreated)

	simulated := w.note(w.owner, 5, func(h *span.Header) { h.Status = span.StatusSimulated })
	var sim struct {
		Simulated bool
		Decision  struct{ Outcome string }
		Entry     json.RawMessage
	}
	w.append(simulated).want(t, http.StatusOK).decode(t, &sim)
	require.True(t, sim.Simulated)
	require.Equal(t, "allow", sim.Decision.Outcome)
	require.Nil(t, sim.Entry)
}

func TestAppendRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger := w.keys()
	registered := w.identity()
	auditor := w.member("auditor")
	taken := w.note(w.owner, 1)
	w.append(taken).want(t, http.StatusCreated)
	good := w.note(w.owner, 2)
	forged := bytes.Replace(good, []byte(`"title"`), []byte(`"title"`), 1)
	forged = bytes.Replace(forged, []byte(`"visibility":"organization"`), []byte(`"visibility":"public"`), 1)
	same := func(h *span.Header) { h.ID = spanID(t, taken) }

	for name, c := range map[string]struct {
		raw    []byte
		status int
		code   string
	}{
		"empty":             {nil, 400, "json_syntax"},
		"not JSON":          {[]byte("{"), 400, "json_syntax"},
		"array":             {[]byte("[]"), 400, "json_not_object"},
		"no members":        {[]byte("{}"), 400, "member_missing"},
		"deep":              {[]byte(strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70)), 400, ""},
		"altered header":    {forged, 400, "signature_invalid"},
		"altered payload":   {bytes.Replace(good, []byte(`{"n":2}`), []byte(`{"n":3}`), 1), 400, ""},
		"other tenant":      {w.note(w.owner, 3, func(h *span.Header) { h.Tenant = "00000000-0000-8000-8000-000000000000" }), 400, "tenant_mismatch"},
		"unknown author":    {w.note(stranger, 4), 403, ""},
		"no role":           {w.note(registered, 5), 403, ""},
		"auditor":           {w.note(auditor, 6), 403, ""},
		"foreign key":       {w.sealBy(stranger.Signer(), w.owner.ID(), []byte(`{}`)), 403, "key_unknown"},
		"reserved author":   {w.seal(w.owner, []byte(`{}`), func(h *span.Header) { h.Type = "logline.genesis" }), 0, ""},
		"unknown reserved":  {w.seal(w.owner, []byte(`{}`), func(h *span.Header) { h.Type = "logline.nothing" }), 0, ""},
		"old":               {w.note(w.owner, 7, func(h *span.Header) { h.Time = span.FormatTime(w.clock.now().Add(-8 * 24 * time.Hour)) }), 400, "span_time_window"},
		"future":            {w.note(w.owner, 8, func(h *span.Header) { h.Time = span.FormatTime(w.clock.now().Add(time.Hour)) }), 400, "span_time_window"},
		"spent id":          {w.note(w.owner, 9, same), 409, "id_conflict"},
		"payload too large": {w.seal(w.owner, []byte(`{"x":"`+strings.Repeat("x", 1<<20)+`"}`)), 413, "payload_too_large"},
		"header too large": {w.note(w.owner, 10, func(h *span.Header) {
			for range 32 { // 256 bytes each, and six times as many in canonical form
				h.Tags = append(h.Tags, strings.Repeat("\x01", 256))
			}
		}), 413, "header_too_large"},
	} {
		r := w.append(c.raw)
		switch {
		case c.status == 0:
			require.GreaterOrEqual(t, r.status, 400, name)
			require.Less(t, r.status, 500, name)
		case c.code == "":
			require.Equal(t, c.status, r.status, "%s: %s", name, r.body)
		default:
			require.Equal(t, c.status, r.status, "%s: %s", name, r.body)
			r.problem(t, c.status, c.code)
		}
	}
	p := w.append(w.note(w.owner, 11, same)).problem(t, http.StatusConflict, "id_conflict")
	existing, ok := p.Meta["existing"].(map[string]any)
	require.True(t, ok, "the author is told what holds the id")
	require.Equal(t, w.owner.ID(), existing["author"])
	require.Equal(t, "/id", p.Fields[0].Pointer)

	for _, contentType := range []string{"", "text/plain", "application/cloudevents+json"} {
		w.do(w.request(http.MethodPost, w.at("/spans"), "", contentType, bytes.NewReader(good))).
			problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	}
	packed := w.request(http.MethodPost, w.at("/spans"), "", "application/json", bytes.NewReader(good))
	packed.Header.Set("Content-Encoding", "gzip")
	w.do(packed).problem(t, http.StatusUnsupportedMediaType, "content_type_unsupported")
	huge := bytes.Repeat([]byte(" "), 3<<20)
	w.append(huge).problem(t, http.StatusRequestEntityTooLarge, "body_too_large")
	w.append(w.note(w.owner, 12)).want(t, http.StatusCreated)
}

// A credential on an append is not looked at: the span's signature is enough.
func TestAppendSaysWhatItCannotWaitFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.note(w.owner, 1)
	size := w.size()
	for query, code := range map[string]string{
		"?wait=witnessed": "parameter_invalid", "?wait=": "parameter_invalid", "?wait=durable&wait=witnessed": "parameter_invalid",
		"?wiat=durable": "parameter_unknown", "?timeout=5": "parameter_unknown",
	} {
		w.post(w.at("/spans"+query), "", raw).problem(t, http.StatusBadRequest, code)
	}
	require.Equal(t, size, w.size(), "what is refused changes nothing")
	w.post(w.at("/spans?wait=durable"), "", raw).want(t, http.StatusCreated)
}

func TestNoQueryParameterIsIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.note(w.owner, 1)
	w.append(raw).want(t, http.StatusCreated)
	one := "/spans/" + spanID(t, raw)
	for _, path := range []string{
		w.at("/spans?typ=a"), w.at("/bundle?form=1"), w.at("/proofs/inclusion?index=0&sise=1"), w.at("/proofs/consistency?from=1&two=2"),
		w.at(one + "/receipt?fromat=json"), w.at(one + "/causes?dept=1"), w.at(one + "/effects?dept=1"), "/v1/tenants?limt=1",
	} {
		w.get(path, w.token(w.owner)).problem(t, http.StatusBadRequest, "parameter_unknown")
	}
}

func TestAppendIgnoresCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(w.at("/spans"), "nonsense", w.note(w.owner, 1)).want(t, http.StatusCreated)
}

func TestAppendToUnknownTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.note(w.owner, 1)
	elsewhere := w.note(w.owner, 2, func(h *span.Header) { h.Tenant = "00000000-0000-8000-8000-000000000000" })
	w.post("/v1/tenants/00000000-0000-8000-8000-000000000000/spans", "", elsewhere).problem(t, http.StatusNotFound, "tenant_unknown")

	// Whoever does not know the tenant's id cannot tell its slug from one that is free.
	for _, slug := range []string{"acme", "nowhere"} {
		path := "/v1/tenants/" + slug + "/spans"
		w.post(path, "", elsewhere).problem(t, http.StatusNotFound, "tenant_unknown")
		w.post(path, "", []byte("{}")).problem(t, http.StatusBadRequest, "member_missing")
		w.do(w.request(http.MethodPost, path, "", "application/x-ndjson", bytes.NewReader(elsewhere))).
			problem(t, http.StatusNotFound, "tenant_unknown")
		many := w.do(w.request(http.MethodPost, path, "", "application/x-ndjson", strings.NewReader("{}\n{}\n"))).want(t, http.StatusOK)
		require.Len(t, many.results(t), 2)
	}
	w.post("/v1/tenants/nowhere/spans", "", raw).problem(t, http.StatusNotFound, "tenant_unknown")
}

func TestExpectedSeq(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	post := func(expected string, body []byte, contentType string) reply {
		req := w.request(http.MethodPost, w.at("/spans"), "", contentType, bytes.NewReader(body))
		req.Header.Set("Logline-Expected-Seq", expected)
		return w.do(req)
	}
	size := json.Number(jsonText(t, w.tenant.Size))
	raw := w.note(w.owner, 1)
	p := post("0", raw, "application/json").problem(t, http.StatusConflict, "expected_seq")
	require.Equal(t, size, p.Meta["size"])
	post(size.String(), raw, "application/json").want(t, http.StatusCreated)
	post(size.String(), w.note(w.owner, 2), "application/json").problem(t, http.StatusConflict, "expected_seq")
	for _, bad := range []string{"-1", "x", "1.5", "99999999999999999999999"} {
		post(bad, raw, "application/json").problem(t, http.StatusBadRequest, "parameter_invalid")
	}
	post("1", raw, "application/x-ndjson").problem(t, http.StatusBadRequest, "parameter_invalid")
}

func jsonText(t *testing.T, v any) string {
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func TestSmallLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits = httpapi.Limits{Line: 2000, Body: 3000} })
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
	w.append(w.seal(w.owner, []byte(`{"x":"`+strings.Repeat("x", 2000)+`"}`))).problem(t, http.StatusRequestEntityTooLarge, "body_too_large")
}
