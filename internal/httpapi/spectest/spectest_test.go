package spectest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed []string
}

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failed = append(r.failed, fmt.Sprintf(format, args...))
}

// The check itself must be able to fail.
func TestTransportNoticesWrongAnswers(t *testing.T) {
	t.Parallel()
	const problem = `{"type":"urn:logline:problem:x_y","title":"t","status":404,"detail":"d","instance":"i"}`
	const refused = `{"line":1,"status":404,"problem":` + problem + `}`
	hash := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	header := `{"logline":"bundle","v":1,"tenant":{"id":"d34e1747-5b14-88b1-a45b-f748568d1192","slug":"a","name":"A"},` +
		`"node":{"id":"logline-id://vlns7bajzgm33ozhez3umhtmgh5igxkhn2s2gjn2vu3bgqyhbluq","events":[{"v":1,"kind":"inception",` +
		`"time":"2026-01-01T00:00:00.000Z","signature":{"key":"` + hash + `","value":"` + hash + hash + `"}}]},` +
		`"log_key":"k","from":0,"to":1,"checkpoint":"c","packages":["` + hash + `"]}` + "\n"
	hidden := `{"leaf":"` + hash + `","seq":0}` + "\n"
	for name, c := range map[string]struct {
		method, path string
		status       int
		contentType  string
		body         string
		good         bool
	}{
		"problem":                  {"GET", "/v1/tenants", 404, "application/problem+json", problem, true},
		"problem without a type":   {"GET", "/v1/tenants", 404, "application/problem+json", `{"title":"t","status":404,"detail":"d","instance":"i"}`, false},
		"problem of another type":  {"GET", "/v1/tenants", 404, "application/json", problem, false},
		"no such route":            {"GET", "/v2", 404, "application/problem+json", problem, true},
		"no such route, no fault":  {"GET", "/v2", 200, "application/json", `{}`, false},
		"page without next":        {"GET", "/v1/tenants", 200, "application/json", `{"items":[]}`, false},
		"page":                     {"GET", "/v1/tenants", 200, "application/json", `{"items":[],"next":null}`, true},
		"status":                   {"GET", "/v1/tenants", 203, "application/json", `{"items":[],"next":null}`, false},
		"no JSON":                  {"GET", "/v1/tenants", 200, "application/json", `{"items"`, false},
		"note":                     {"GET", "/v1/tenants/a/checkpoint", 200, "text/plain; charset=utf-8", "note\n", true},
		"HEAD":                     {"HEAD", "/v1/tenants", 200, "application/json", "", true},
		"results":                  {"POST", "/v1/tenants/a/spans", 200, "application/x-ndjson", refused + "\n" + refused + "\n", true},
		"the second result":        {"POST", "/v1/tenants/a/spans", 200, "application/x-ndjson", refused + "\n" + `{"line":2}` + "\n", false},
		"result without an end":    {"POST", "/v1/tenants/a/spans", 200, "application/x-ndjson", refused, false},
		"bundle":                   {"GET", "/v1/tenants/a/bundle", 200, "application/x-ndjson", header + hidden, true},
		"bundle without its head":  {"GET", "/v1/tenants/a/bundle", 200, "application/x-ndjson", hidden, false},
		"bundle with a wrong line": {"GET", "/v1/tenants/a/bundle", 200, "application/x-ndjson", header + `{"seq":0}` + "\n", false},
		"bundle with another head": {"GET", "/v1/tenants/a/bundle", 200, "application/x-ndjson", `{"x":1,` + header[1:], false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				w.Header().Set("X-Request-Id", "i")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			t.Cleanup(s.Close)
			r := &recorder{TB: t}
			req, err := http.NewRequest(c.method, s.URL+c.path, nil)
			require.NoError(t, err)
			resp, err := Transport(r, http.DefaultTransport).RoundTrip(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.body, string(body), "the answer passes unchanged")
			require.Equal(t, c.good, len(r.failed) == 0, "%v", r.failed)
		})
	}
}
