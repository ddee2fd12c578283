package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
)

// document is the API's document and its router, loaded once.
var document = sync.OnceValues(func() (*openapi3.T, routers.Router) {
	doc, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		panic(err)
	}
	doc.Servers = nil // tests listen where they can
	router, err := legacy.NewRouter(doc)
	if err != nil {
		panic(err)
	}
	return doc, router
})

// good remembers what has been held against the document: compiling its schemas
// is most of the work of a test, and answers repeat.
var (
	good     sync.Map
	instance = regexp.MustCompile(`"instance":"[^"]*"`)
	kinds    sync.Map // kind of answer to how many were checked, in short mode
)

// once runs check unless it has passed for the same text before. In short mode
// the first few answers of a kind stand for the rest.
func once(kind, text string, check func() bool) {
	if testing.Short() {
		n, _ := kinds.LoadOrStore(kind, new(atomic.Int32))
		if n.(*atomic.Int32).Add(1) > 5 {
			return
		}
	}
	text = kind + instance.ReplaceAllString(text, "")
	if _, known := good.Load(text); !known && check() {
		good.Store(text, true)
	}
}

// checkedLines is how many lines of an NDJSON answer are held against the document.
const checkedLines = 10

// checked holds every answer against the API's document.
type checked struct {
	t    testing.TB
	next http.RoundTripper
}

func (c *checked) RoundTrip(req *http.Request) (*http.Response, error) {
	_, router := document()
	route, params, unknown := router.FindRoute(req)
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	require.NotEmpty(c.t, resp.Header.Get("X-Request-Id"))
	contentType := resp.Header.Get("Content-Type")
	if contentType == "application/x-ndjson" {
		resp.Body = &checkedStream{ReadCloser: resp.Body, t: c.t, bundle: strings.HasSuffix(req.URL.Path, "/bundle")}
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if unknown != nil {
		require.Equal(c.t, "application/problem+json", contentType)
		checkSchema(c.t, "Problem", body)
		return resp, nil
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
		Status:                 resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	once(fmt.Sprintln(req.Method, route.Path, resp.StatusCode, contentType), string(body), func() bool {
		err := openapi3filter.ValidateResponse(context.Background(), input)
		if err != nil {
			c.t.Errorf("%s %s answered %d against its document: %v\n%s", req.Method, req.URL.Path, resp.StatusCode, err, body)
		}
		return err == nil
	})
	return resp, nil
}

// checkedStream holds the lines of a stream against the document as they are read.
type checkedStream struct {
	io.ReadCloser
	t      testing.TB
	bundle bool
	held   []byte
	seen   int
}

func (s *checkedStream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.seen < checkedLines {
		s.held = append(s.held, p[:n]...)
	}
	for s.seen < checkedLines {
		line, rest, ok := bytes.Cut(s.held, []byte("\n"))
		if !ok {
			break
		}
		s.held = rest
		switch {
		case !s.bundle:
			checkSchema(s.t, "AppendResult", line)
		case s.seen > 0 && !bytes.Contains(line, []byte(`"leaf":`)):
			checkSchema(s.t, "Entry", line)
		}
		s.seen++
	}
	return n, err
}

func checkSchema(t testing.TB, name string, body []byte) {
	t.Helper()
	doc, _ := document()
	once(name, string(body), func() bool {
		var v any
		require.NoError(t, json.Unmarshal(body, &v), "%s", body)
		err := doc.Components.Schemas[name].Value.VisitJSON(v, openapi3.EnableJSONSchema2020(), openapi3.MultiErrors())
		if err != nil {
			t.Errorf("not a %s: %v\n%s", name, err, body)
		}
		return err == nil
	})
}

func TestRoutesAreTheDocuments(t *testing.T) {
	t.Parallel()
	doc, _ := document()
	var documented, served []string
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			documented = append(documented, method+" "+path)
			require.NotEmpty(t, op.OperationID, path)
			require.NotNil(t, op.Responses.Default(), "%s %s does not say what its problems look like", method, path)
		}
	}
	for _, r := range httpapi.New(httpapi.Deps{}).Routes() {
		parts := strings.Split(r.Path, "/")
		for i, p := range parts {
			if name, ok := strings.CutPrefix(p, ":"); ok {
				parts[i] = "{" + name + "}"
			}
		}
		served = append(served, r.Method+" "+strings.Join(parts, "/"))
	}
	sort.Strings(documented)
	sort.Strings(served)
	require.Equal(t, documented, served)
}

// The check itself must be able to fail.
func TestCheckNoticesWrongAnswers(t *testing.T) {
	t.Parallel()
	doc, _ := document()
	for name, body := range map[string]string{
		"Problem":      `{"type":"about:blank","title":"t","status":400,"detail":"d","instance":"i"}`,
		"AppendResult": `{"line":1}`,
		"Receipt":      `{"entry":{},"leaf_hash":"x","checkpoint":"c","inclusion":{"index":0,"size":1,"hashes":[]}}`,
		"TenantPage":   `{"items":[]}`,
	} {
		var v any
		require.NoError(t, json.Unmarshal([]byte(body), &v))
		require.Error(t, doc.Components.Schemas[name].Value.VisitJSON(v, openapi3.EnableJSONSchema2020()), name)
	}
}
