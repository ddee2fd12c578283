package client

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	strict "github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// FuzzProblem: a problem document gives every member once, by its name or in
// Meta; and whatever a server answers, the caller learns a code and the status.
func FuzzProblem(f *testing.F) {
	f.Add([]byte(`{"type":"urn:logline:problem:x","status":400}`), 400)
	f.Add([]byte(`{"type":"urn:logline:problem:queue_full","title":"t","status":429,"detail":"d","instance":"i","errors":[{"pointer":"/a","detail":"b"}],"size":12345678901234567890,"retry_after":2}`), 429)
	f.Add([]byte(`{"type":"about:blank","existing":{"seq":7}}`), 503)
	f.Add([]byte("null"), 500)
	f.Add([]byte("<html>"), 502)
	f.Fuzz(func(t *testing.T, src []byte, status int) {
		status = 400 + int(uint(status)%200)
		answer := httptest.NewRecorder()
		answer.WriteHeader(status)
		_, _ = answer.Write(src)
		resp := answer.Result()
		resp.Request = httptest.NewRequest(http.MethodGet, "http://node/v1/x", nil)
		err := problemOf(resp)
		var told *Problem
		require.ErrorAs(t, err, &told)
		require.Equal(t, status, told.Status)
		require.NotEmpty(t, CodeOf(err))
		require.Contains(t, err.Error(), told.Code)

		var p Problem
		if json.Unmarshal(src, &p) != nil {
			require.True(t, strings.HasPrefix(told.Code, "http_"), told.Code)
			return
		}
		doc := map[string]any{}
		for name, value := range p.Meta {
			for _, known := range []string{"type", "title", "status", "detail", "instance", "errors"} {
				require.NotEqual(t, known, name)
				if strings.EqualFold(known, name) {
					return // Go reads it as the member, which no server means
				}
			}
			doc[name] = value
		}
		doc["type"], doc["title"], doc["status"] = problemPrefix+p.Code, p.Title, p.Status
		doc["detail"], doc["instance"], doc["errors"] = p.Detail, p.Instance, p.Fields
		again, err := json.Marshal(doc)
		require.NoError(t, err)
		var back Problem
		require.NoError(t, json.Unmarshal(again, &back))
		if len(p.Meta) == 0 {
			p.Meta, back.Meta = nil, nil
		}
		require.Equal(t, p, back)
	})
}

// FuzzResults: the lines of an answer to many spans are read one result a
// line, in order, up to the first that is none.
func FuzzResults(f *testing.F) {
	f.Add([]byte(`{"line":1,"status":201,"receipt":{"entry":{},"leaf_hash":"x"}}` + "\n" + `{"line":2,"status":400,"problem":{"type":"urn:logline:problem:x","detail":"d"}}` + "\n"))
	f.Add([]byte(`{"line":1,"status":200,"simulated":true,"decision":{"outcome":"allow"}}` + "\n" + "nonsense\n"))
	f.Add([]byte(`{"line":1}`))
	f.Add([]byte(`{"line":1,"status":201,"status":200}` + "\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := New("http://node", WithHTTPClient(&http.Client{Transport: canned{src}}))
		require.NoError(t, err)
		var got []LineResult
		err = c.AppendStream(t.Context(), "t", func(func([]byte) bool) {}, func(r LineResult) error {
			got = append(got, r)
			return nil
		})
		var want []LineResult
		rest, good := string(src), true
		for rest != "" && good {
			line, after, whole := strings.Cut(rest, "\n")
			var r struct {
				Line     int             `json:"line"`
				Status   int             `json:"status"`
				Receipt  *Receipt        `json:"receipt"`
				Decision json.RawMessage `json:"decision"`
				Problem  *Problem        `json:"problem"`
			}
			if good = whole && strict.Unmarshal([]byte(line), &r) == nil; good {
				want = append(want, LineResult{Line: r.Line, Appended: Appended{Status: r.Status, Receipt: r.Receipt, Decision: r.Decision}, Problem: r.Problem})
			}
			rest = after
		}
		require.Equal(t, good, err == nil, "%v", err)
		require.Equal(t, want, got)
	})
}

// canned answers with fixed content.
type canned struct{ body []byte }

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		_ = req.Body.Close()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(c.body))), Request: req, Header: http.Header{}}, nil
}
