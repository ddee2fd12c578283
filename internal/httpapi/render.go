package httpapi

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// Answers on the way of a span are written by hand: no reflection, and the
// bytes of a line go out as they were stored.

// headers are the values of headers that every answer, or every one in JSON, has.
// net/http reads them and nobody writes them.
type headers struct {
	noStore, json, vary []string
	hsts                []string
	safe                []safeHeader
}

type safeHeader struct {
	name  string // canonical
	value []string
}

// What browsers are told with every answer. Nothing here is a page: what a
// browser is brought to open all the same loads nothing, runs nothing, stands in
// no frame, tells nobody where it was and cannot be embedded elsewhere.
func newHeaders() headers {
	return headers{
		noStore: []string{"no-store"}, json: []string{typeJSON}, vary: []string{echo.HeaderOrigin},
		hsts: []string{"max-age=31536000"},
		safe: []safeHeader{
			{echo.HeaderXContentTypeOptions, []string{"nosniff"}},
			{echo.HeaderContentSecurityPolicy, []string{"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}},
			{echo.HeaderReferrerPolicy, []string{"no-referrer"}},
			{"Cross-Origin-Resource-Policy", []string{"same-origin"}},
			{"Cross-Origin-Opener-Policy", []string{"same-origin"}},
			{"Permissions-Policy", []string{"camera=(), geolocation=(), microphone=(), payment=(), usb=()"}},
		},
	}
}

// begin gives an answer the headers that all have: it may be read by nobody but
// who asked, unless a handler says otherwise.
func (h *headers) begin(to http.Header, secure bool) {
	for i := range h.safe {
		to[h.safe[i].name] = h.safe[i].value
	}
	to[echo.HeaderCacheControl] = h.noStore
	if secure {
		to[echo.HeaderStrictTransportSecurity] = h.hsts
	}
}

// sendJSON answers with a body that is JSON already. Its length is told, where
// net/http would send what has more than 2 KB in chunks.
func (s *Server) sendJSON(c echo.Context, status int, body []byte) error {
	res := c.Response()
	header := res.Header()
	header[echo.HeaderContentType], header[echo.HeaderContentLength] = s.always.json, []string{strconv.Itoa(len(body))}
	res.WriteHeader(status)
	_, err := res.Write(body)
	return err
}

// bodies are buffers of answers that have been sent; net/http keeps none.
type bodies struct{ pool sync.Pool }

// usualBody is the size of most receipts, and mostBody that of buffers that are kept.
const (
	usualBody = 4 << 10
	mostBody  = 64 << 10
)

func (b *bodies) get() *[]byte {
	if body, ok := b.pool.Get().(*[]byte); ok {
		return body
	}
	body := make([]byte, 0, usualBody)
	return &body
}

func (b *bodies) put(body *[]byte) {
	if cap(*body) <= mostBody {
		*body = (*body)[:0]
		b.pool.Put(body)
	}
}

// appendReceipt appends a receipt, whose entry is the line itself.
func appendReceipt(dst []byte, r *timeline.Receipt) []byte {
	dst = append(dst, `{"entry":`...)
	dst = append(dst, r.Line...)
	dst = append(dst, `,"leaf_hash":`...)
	dst = appendHash(dst, r.Leaf)
	dst = append(dst, `,"checkpoint":`...)
	dst = span.AppendString(dst, string(r.Checkpoint))
	dst = append(dst, `,"inclusion":{"index":`...)
	dst = strconv.AppendUint(dst, r.Index, 10)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendUint(dst, r.Size, 10)
	dst = append(dst, `,"hashes":`...)
	dst = appendHashes(dst, r.Proof)
	return append(dst, "}}"...)
}

// appendRecord appends an entry with its leaf hash and effective status, without
// the brace that ends them.
func appendRecord(dst []byte, r *timeline.Record) []byte {
	dst = append(dst, `{"entry":`...)
	dst = r.AppendOpened(dst)
	dst = append(dst, `,"leaf_hash":`...)
	dst = appendHash(dst, r.Leaf)
	dst = append(dst, `,"status":`...)
	return span.AppendString(dst, r.Status)
}

// appendPage appends a page of entries.
func appendPage(dst []byte, p *timeline.Page) []byte {
	dst = append(dst, `{"items":[`...)
	for i := range p.Records {
		dst = appendComma(dst, i)
		dst = p.Records[i].AppendOpened(dst)
	}
	dst = append(dst, `],"statuses":[`...)
	for i := range p.Records {
		dst = appendComma(dst, i)
		dst = span.AppendString(dst, p.Records[i].Status)
	}
	dst = append(dst, `],"next":`...)
	if p.Next == "" {
		dst = append(dst, "null"...)
	} else {
		dst = span.AppendString(dst, p.Next)
	}
	return append(dst, '}')
}

func appendHashes(dst []byte, hashes []span.Hash) []byte {
	dst = append(dst, '[')
	for i, h := range hashes {
		dst = appendComma(dst, i)
		dst = appendHash(dst, h)
	}
	return append(dst, ']')
}

func appendHash(dst []byte, h span.Hash) []byte {
	dst = append(dst, '"')
	dst = base64.RawURLEncoding.AppendEncode(dst, h[:])
	return append(dst, '"')
}

func appendComma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

// pending says whether the entry of a result waits for its resolution.
func pending(r *engine.Result) bool {
	return r.Outcome == engine.Created && r.Decision.Outcome == span.OutcomePending
}

func hashTexts(hashes []span.Hash) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = h.String()
	}
	return out
}
