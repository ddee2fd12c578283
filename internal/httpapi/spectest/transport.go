package spectest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Transport holds every answer that next gives against the document and fails t
// for one that breaks it. The answers themselves pass unchanged.
func Transport(t testing.TB, next http.RoundTripper) http.RoundTripper {
	t.Helper()
	spec, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return &transport{t: t, next: next, spec: spec}
}

type transport struct {
	t    testing.TB
	next http.RoundTripper
	spec *Spec
}

func (c *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	where := fmt.Sprintf("%s %s: %d", req.Method, req.URL.Path, resp.StatusCode)
	if resp.Header.Get("X-Request-Id") == "" {
		c.t.Errorf("%s: no X-Request-Id", where)
	}
	pointer, stream, err := c.spec.answer(req, resp)
	if err != nil {
		c.t.Errorf("%s: %v", where, err)
	}
	if stream != nil {
		resp.Body = &lines{ReadCloser: resp.Body, spec: c.spec, schema: stream,
			report: func(line []byte, err error) { c.t.Errorf("%s: %v\n%s", where, err, line) }}
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil { // a connection that broke off is the caller's to judge
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
		return resp, nil
	}
	if pointer != "" && req.Method != http.MethodHead {
		if err := c.spec.check(pointer, body); err != nil {
			c.t.Errorf("%s: %v\n%s", where, err, body)
		}
	}
	return resp, nil
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// answer finds what the document says about an answer: the JSON Pointer of its
// schema, "" where its content is no JSON, or how the lines of a stream are.
func (s *Spec) answer(req *http.Request, resp *http.Response) (pointer string, stream func(n int, line []byte) string, err error) {
	contentType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	bare := resp.Header.Get("Content-Type") == "" && resp.ContentLength == 0 // which some answers are, by the document
	if err != nil && !bare {
		return "", nil, fmt.Errorf("content type %q: %w", resp.Header.Get("Content-Type"), err)
	}
	asked := req
	if req.Method == http.MethodHead { // answered as GET, without content
		asked = req.Clone(req.Context())
		asked.Method = http.MethodGet
	}
	route, _, unknown := s.router.FindRoute(shallow(asked))
	if unknown != nil { // there is no such route; a problem says so
		if contentType != "application/problem+json" || resp.StatusCode < 400 {
			return "", nil, fmt.Errorf("answered %s where the document has no route", contentType)
		}
		return "/components/schemas/Problem", nil, nil
	}
	key := strconv.Itoa(resp.StatusCode)
	said := route.Operation.Responses.Value(key)
	if said == nil {
		if resp.StatusCode < 400 {
			return "", nil, errors.New("the document names no such status")
		}
		key, said = "default", route.Operation.Responses.Default()
	}
	if said == nil {
		return "", nil, errors.New("the document does not say what problems look like")
	}
	media := said.Value.Content[contentType]
	if bare && len(said.Value.Content) == 0 {
		return "", nil, nil
	}
	if media == nil {
		return "", nil, fmt.Errorf("the document names no content of type %s", contentType)
	}
	switch {
	case contentType == "application/x-ndjson" && strings.HasSuffix(route.Path, "/bundle"):
		return "", bundleLine, nil
	case contentType == "application/x-ndjson":
		return "", resultLine, nil
	case !strings.HasSuffix(contentType, "json"):
		return "", nil, nil
	}
	return place(route.Path, asked.Method, key, said) + "/content/" + escape(contentType) + "/schema", nil, nil
}

// shallow is the request for a tile with an index of one element, where it is
// for one with several: a path of the document cannot say how many there are.
func shallow(req *http.Request) *http.Request {
	before, tile, ok := strings.Cut(req.URL.Path, "/tile/")
	parts := strings.Split(tile, "/")
	if !ok || len(parts) < 3 {
		return req
	}
	out := req.Clone(req.Context())
	out.URL.Path = before + "/tile/" + parts[0] + "/" + parts[1]
	return out
}

func place(path, method, key string, said *openapi3.ResponseRef) string {
	if ref, ok := strings.CutPrefix(said.Ref, "#"); ok {
		return ref
	}
	return "/paths/" + escape(path) + "/" + strings.ToLower(method) + "/responses/" + key
}

func resultLine(int, []byte) string { return "AppendResult" }

func bundleLine(n int, line []byte) string {
	switch {
	case n == 0:
		return "BundleHeader"
	case bytes.HasPrefix(line, []byte(`{"leaf":`)):
		return "HiddenEntry"
	}
	return "Entry"
}

// lines holds the lines of a stream against the document as they are read.
type lines struct {
	io.ReadCloser
	spec   *Spec
	schema func(n int, line []byte) string
	report func(line []byte, err error)
	held   []byte
	seen   int
}

func (s *lines) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.held = append(s.held, p[:n]...)
	for {
		line, rest, ok := bytes.Cut(s.held, []byte("\n"))
		if !ok {
			break
		}
		if wrong := s.spec.CheckSchema(s.schema(s.seen, line), line); wrong != nil {
			s.report(line, wrong)
		}
		s.held = rest
		s.seen++
	}
	if errors.Is(err, io.EOF) && len(s.held) > 0 {
		s.report(s.held, errors.New("the last line of the stream has no end"))
		s.held = nil
	}
	return n, err
}
