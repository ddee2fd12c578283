package httpapi_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/httpapi/spectest"
)

// raw sends bytes on a connection of their own and reads all answers to its end.
func (w *world) raw(t *testing.T, text string) []*http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	go func() { _, _ = io.WriteString(conn, text) }() // the server may end first
	var out []*http.Response
	br := bufio.NewReader(conn)
	for {
		method, _, _ := strings.Cut(text, " ")
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return out
		}
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if out = append(out, resp); resp.Close {
			return out
		}
	}
}

// TestRequestsThatAreTwo sends what two servers in a row could read as different
// requests. Each is refused, or is one request after which the connection ends:
// nothing that stands behind it is ever answered.
func TestRequestsThatAreTwo(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{ReadHeader: 20 * time.Second})
	secret := w.token(w.owner)
	hidden := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", w.at("/members"), secret)
	post := "POST " + w.at("/spans") + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for name, text := range map[string]string{
		"two lengths":                post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}" + hidden,
		"two lengths in one":         post + "Content-Length: 2, 3\r\n\r\n{}" + hidden,
		"a length with a sign":       post + "Content-Length: +2\r\n\r\n{}" + hidden,
		"a length in hex":            post + "Content-Length: 0x2\r\n\r\n{}" + hidden,
		"a length below zero":        post + "Content-Length: -1\r\n\r\n{}" + hidden,
		"chunks and a length":        post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + hidden,
		"a length and chunks":        post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks twice":               post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks, then none":          post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + hidden,
		"chunks behind a tab":        post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks with a space before": post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks by another name":     post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"chunks in HTTP/1.0":         strings.Replace(post, "HTTP/1.1", "HTTP/1.0", 1) + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a chunk with an extension":  post + "Transfer-Encoding: chunked\r\n\r\n2;a=\"\r\n\"\r\n{}\r\n0\r\n\r\n" + hidden,
		"a chunk of no size":         post + "Transfer-Encoding: chunked\r\n\r\n\r\n" + hidden,
		"a chunk too large":          post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + hidden,
		"a trailer":                  post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer " + secret + "\r\n\r\n" + hidden,
		"a lone return":              "GET /v1/node HTTP/1.1\r\nHost: x\r\nX-A: b\rContent-Length: 5\r\n\r\n" + hidden,
		"a zero byte":                "GET /v1/node HTTP/1.1\r\nHost: x\r\nX-A: b\x00c\r\n\r\n" + hidden,
		"a field without a name":     "GET /v1/node HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n" + hidden,
		"a field without a colon":    "GET /v1/node HTTP/1.1\r\nHost: x\r\nGET /x HTTP/1.1\r\n\r\n" + hidden,
		"two hosts":                  "GET /v1/node HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + hidden,
		"no host":                    "GET /v1/node HTTP/1.1\r\n\r\n" + hidden,
		"a host that is none":        "GET /v1/node HTTP/1.1\r\nHost: x y\r\n\r\n" + hidden,
		"a space in the target":      "GET /v1/node /x HTTP/1.1\r\nHost: x\r\n\r\n" + hidden,
		"another protocol":           "GET /v1/node HTTP/3.0\r\nHost: x\r\n\r\n" + hidden,
		"the preface of HTTP/2":      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
		"more header than fits":      "GET /v1/node HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n" + hidden,
		"an expectation":             "GET /v1/node HTTP/1.1\r\nHost: x\r\nExpect: wonders\r\n\r\n" + hidden,
	} {
		answers := w.raw(t, text)
		require.Len(t, answers, 1, "%s: nothing behind it is answered", name)
		got := answers[0]
		require.True(t, got.Close, name)
		require.GreaterOrEqual(t, got.StatusCode, 400, name)
		require.Less(t, got.StatusCode, 600, name)
		require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"), name)
		require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"), name)
		require.NotEmpty(t, got.Header.Get("X-Request-Id"), name)
		require.Empty(t, got.Header["Location"], name)
		body, err := io.ReadAll(got.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), `"type":"urn:logline:problem:`, name)
		require.NotContains(t, string(body), w.owner.ID(), name)
	}
	// A folded field is one value (RFC 9112 §5.2), whatever it looks like.
	folded := "GET /v1/node HTTP/1.1\r\nHost: x\r\nX-A: b\r\n Content-Length: 5\r\n\r\n"
	require.Len(t, w.raw(t, folded+folded+strings.Replace(folded, "X-A: b\r\n Content-Length: 5", "Connection: close", 1)), 3)
	// What stood behind them is a good request: alone it is answered.
	require.Equal(t, http.StatusOK, w.raw(t, strings.Replace(hidden, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))[0].StatusCode)
}

// TestPipelined has each of several requests on one connection answered under its
// own credential, in order.
func TestPipelined(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{})
	ask := func(fields string) string {
		return "GET " + w.at("/members") + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n"
	}
	mine := "Authorization: Bearer " + w.token(w.owner) + "\r\n"
	var got []int
	for _, r := range w.raw(t, ask(mine)+ask("")+ask("Authorization: Bearer x\r\n")+ask(mine)+ask(mine+"Authorization: Bearer x\r\n")+ask("Connection: close\r\n")) {
		got = append(got, r.StatusCode)
	}
	require.Equal(t, []int{200, 401, 401, 200, 401, 401}, got)
}

// TestPathsThatAreOthers asks for what somebody may not read by every other
// spelling of its address, and for what is nowhere.
func TestPathsThatAreOthers(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{})
	id := w.tenant.Id
	stranger := "Authorization: Bearer " + w.token(w.identity()) + "\r\n"
	for _, target := range []string{
		"/v1/tenants/" + id + "/members/", "/v1/tenants/" + id + "/./members", "/v1/tenants/x/../" + id + "/members", "/v1/tenants/x/%2e%2e/" + id + "/members",
		"/v1/tenants/" + id + "%2fmembers", "/v1/tenants/" + id + "//members", "//v1/tenants/" + id + "/members", "/v1//tenants/" + id + "/members",
		"/v1/tenants/" + id + ";x=y/members", "/v1/tenants/" + id + "/members;x=y", "/v1/tenants/" + id + "/members%00", "/v1/tenants/" + id + "%00/members",
		"/v1/tenants/" + id + "%20/members", "/v1/tenants/" + id + "./members", "/v1/tenants/" + id + "%2e/members", "/v1/tenants/" + strings.ToUpper(id) + "/members",
		"/V1/tenants/" + id + "/members", "/v1/TENANTS/" + id + "/members", "/v1/tenants/ACME/members", "/v1/tenants/%61cme/members", "/v1/tenants/%2561cme/members",
		"/v1/tenants/acm%c0%a5/members", "/v1/tenants/acme%ff/members", "/v1/tenants/%EF%BD%81cme/members", "/v1/tenants/acme%0d%0aX-A:b/members",
		"/v1/tenants/*/members", "/v1/tenants/%/members", "/v1/tenants/acme%/members", "/v1/tenants/acme%zz/members", "/v1/tenants/..%2f..%2fetc/passwd", "/v1/tenants/\\" + id + "/members",
		"/livez/../v1/tenants/" + id + "/members", "/livez%2f..%2fv1/tenants/" + id + "/members", "/metrics/../v1/tenants/" + id + "/members",
		"/v1/tenants/" + id + "/members?tenant=" + id, "/v1/tenants/" + id + "/members#x",
		"http://x/v1/tenants/" + id + "/members", "http://evil.example/v1/tenants/" + id + "/members", "x:443", "*", "https:v1", "v1/node", "?x", "/" + strings.Repeat("a", 9000), "/v1/node?" + strings.Repeat("a", 9000),
		"/.well-known/acme-challenge/x", "/.git/config", "/debug/pprof/", "/%2e%2e/%2e%2e/etc/passwd",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "TRACE", "CONNECT"} {
			for _, r := range w.raw(t, method+" "+target+" HTTP/1.1\r\nHost: x\r\n"+stranger+"Content-Length: 0\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /v1/node\r\nConnection: close\r\n\r\n") {
				where := method + " " + target
				if method == "OPTIONS" && r.StatusCode == http.StatusNoContent || target == "*" && method == "OPTIONS" {
					continue // which methods an address has is in the document
				}
				require.GreaterOrEqual(t, r.StatusCode, 400, where)
				require.Less(t, r.StatusCode, 500, where)
				require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"), where)
				require.Empty(t, r.Header["Location"], where)
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.NotContains(t, string(body), w.owner.ID(), where)
			}
		}
	}
}

// TestMethodsOfEveryRoute asks at every route by methods that it does not have,
// also in the name of one that it has.
func TestMethodsOfEveryRoute(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{})
	spec, err := spectest.Load()
	require.NoError(t, err)
	before := w.size()
	for path, item := range spec.Document.Paths.Map() {
		target := parameterless(path, w.tenant.Id)
		for _, method := range []string{"TRACE", "CONNECT", "PROPFIND", "get", "GETX", "PATCH"} {
			if item.GetOperation(method) != nil {
				continue
			}
			answers := w.raw(t, method+" "+target+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+w.token(w.owner)+"\r\nX-HTTP-Method: POST\r\nX-HTTP-Method-Override: POST\r\nX-Method-Override: GET\r\nConnection: close\r\n\r\n")
			require.Len(t, answers, 1, "%s %s", method, target)
			// 415: a name in one path may be what another path leaves open.
			require.Contains(t, []int{400, 404, 405, 415}, answers[0].StatusCode, "%s %s", method, target)
			require.Equal(t, "application/problem+json", answers[0].Header.Get("Content-Type"), "%s %s", method, target)
		}
	}
	require.Equal(t, before, w.size())
}

// What is refused anyway is refused before the client is told to send it.
func TestContinueOnlyAfterChecks(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{})
	say := func(fields string) string {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n%s\r\n", w.at("/spans"), fields)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		line, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		return line
	}
	require.Contains(t, say("Content-Type: application/json\r\nContent-Length: 10\r\n"), "100 Continue")
	require.Contains(t, say("Content-Type: application/json\r\nContent-Length: 99999999\r\n"), "413")
	require.Contains(t, say("Content-Type: text/plain\r\nContent-Length: 10\r\n"), "415")
	require.Contains(t, say("Content-Type: application/json\r\nContent-Length: 10\r\n"+names(200)), "431")
}

func TestTooManyFieldsAndTooLongAnAddress(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{})
	for status, text := range map[int]string{
		431: "GET /v1/node HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + names(100) + "\r\n",
		414: "GET /v1/node?" + strings.Repeat("a", 8<<10) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		200: "GET /v1/node?" + strings.Repeat("a", 7<<10) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + names(98) + "\r\n",
	} {
		answers := w.raw(t, text)
		require.Len(t, answers, 1)
		require.Equal(t, status, answers[0].StatusCode)
	}
}

// names is n fields of different names.
func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: b\r\n", i)
	}
	return b.String()
}
