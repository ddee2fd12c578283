package remote

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

const tenant = "8f14e45f-ceea-867f-a5bd-1d6f6b5e3a11"

// answering is an appender to a node that gives every request this answer.
func answering(t *testing.T, answer http.HandlerFunc) *Appender {
	t.Helper()
	node := httptest.NewServer(answer)
	t.Cleanup(node.Close)
	c, err := client.New(node.URL)
	require.NoError(t, err)
	return New(c, tenant, func(*id.Keys) (*client.Client, error) { return c, nil })
}

func TestWhatTheNodeSaysKeepsItsKind(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]fault.Kind{
		400: fault.Invalid, 401: fault.Unauthenticated, 403: fault.Forbidden, 404: fault.NotFound, 409: fault.Conflict,
		410: fault.Gone, 413: fault.Invalid, 422: fault.Invalid, 429: fault.Limited, 500: fault.Internal,
		502: fault.Unavailable, 503: fault.Unavailable, 504: fault.Unavailable,
	} {
		a := answering(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // all of it, so that the client reads the answer
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"type":"urn:logline:problem:some_code","title":"x","status":1,"detail":"red \u001b[31m","instance":"r"}`)
		})
		_, err := a.Append(t.Context(), [][]byte{[]byte(`{}`)})
		f := fault.From(err)
		require.Equal(t, kind, f.Kind, "%d", status)
		require.Equal(t, "some_code", f.Code)
		require.Equal(t, 7*time.Second, f.RetryAfter)
		require.NotContains(t, f.Detail, "\x1b")
	}
}

func TestWhatMayHavePersistedIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"cut in a result": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"line":1,"status":2`)
		},
		"too few results": func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
		"no answer":       func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"not a node": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, "<html>Bad Gateway</html>", http.StatusBadGateway)
		},
	} {
		_, err := answering(t, answer).Append(t.Context(), [][]byte{[]byte(`{}`)})
		require.Equal(t, fault.Unavailable, fault.KindOf(err), "%s: %v", name, err)
	}
	c, err := client.New("http://127.0.0.1:1")
	require.NoError(t, err)
	a := New(c, tenant, func(*id.Keys) (*client.Client, error) { return c, nil })
	_, err = a.Append(t.Context(), [][]byte{[]byte(`{}`)})
	require.Equal(t, "node_unreachable", fault.CodeOf(err))
	keys, err := id.NewKeys("person", time.Now(), rand.Reader)
	require.NoError(t, err)
	require.Equal(t, "node_unreachable", fault.CodeOf(a.Register(t.Context(), keys, "Ana")))
}

func TestCtrlCIsNotALostConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client has gone once it has read all
		cancel()
		<-r.Context().Done() // an empty answer could be there before the client is gone
	})
	_, err := a.Append(ctx, [][]byte{[]byte(`{}`)})
	require.ErrorIs(t, err, context.Canceled)
}
