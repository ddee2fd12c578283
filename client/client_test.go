package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// against makes a client for a server that answers with handler.
func against(t *testing.T, handler http.HandlerFunc, opts ...Option) *Client {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	c, err := New(s.URL, opts...)
	require.NoError(t, err)
	return c
}

func TestNewRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:8080", "/v1", "ftp://host", "http://", "http://[", "unix:///x"} {
		_, err := New(base)
		require.Error(t, err, base)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(429)
		_, _ = io.WriteString(w, `{"type":"urn:logline:problem:queue_full","title":"Too much","status":429,"detail":"wait",
			"instance":"abc","errors":[{"pointer":"/a","detail":"b"}],"size":12345678901234567890}`)
	})
	_, err := c.Version(context.Background())
	var p *Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, &Problem{
		Code: "queue_full", Status: 429, Title: "Too much", Detail: "wait", Instance: "abc",
		Fields: []Field{{"/a", "b"}}, Meta: map[string]any{"size": json.Number("12345678901234567890")}, RetryAfter: 7 * time.Second,
	}, p)
	require.Equal(t, "wait (queue_full); /a: b", err.Error())
	require.Equal(t, "queue_full", CodeOf(errors.Join(errors.New("x"), err)))
	require.Empty(t, CodeOf(errors.New("x")))
}

func TestAnswersOfSomethingElse(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"<html>bad gateway</html>", "", "{}", `{"type":"about:blank"}`, `{"type":7}`,
		`{"type":"urn:logline:problem:e\u001b[31mvil","detail":"x"}`, `{"type":"urn:logline:problem:"}`, `{"type":"urn:else:queue_full"}`} {
		c := against(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(502)
			_, _ = io.WriteString(w, body)
		})
		_, err := c.Version(context.Background())
		var p *Problem
		require.ErrorAs(t, err, &p, body)
		require.Equal(t, 502, p.Status)
		require.Equal(t, "http_502", p.Code, body)
	}
	c := against(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "<html>") })
	_, err := c.Version(context.Background())
	require.ErrorContains(t, err, "/v1/version")
}

type fakeSigner struct{ signed atomic.Int32 }

func (s *fakeSigner) Public() string { return "key" }
func (s *fakeSigner) Sign(message []byte) []byte {
	s.signed.Add(1)
	return []byte("signature")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	var got []string
	now := time.Unix(1_700_000_000, 999)
	signer := &fakeSigner{}
	asked := 0
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/node" {
			asked++
			require.Empty(t, r.Header.Get("Authorization"))
			_, _ = io.WriteString(w, `{"id":"logline-id://node"}`)
			return
		}
		got = append(got, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		_, _ = io.WriteString(w, `{"items":[],"next":null}`)
	}, WithSigner(signer, "logline-id://me", ""), WithClock(func() time.Time { return now }))
	call := func() {
		_, err := c.Tenants(context.Background())
		require.NoError(t, err)
	}
	call()
	now = now.Add(4 * time.Minute)
	call()
	now = now.Add(time.Second)
	call()
	now = now.Add(-time.Hour) // the clock was set back
	call()
	require.Equal(t, 1, asked)
	require.EqualValues(t, 3, signer.signed.Load())
	require.Equal(t, got[0], got[1])
	require.NotEqual(t, got[1], got[2])

	parts := strings.Split(got[0], ".")
	require.Len(t, parts, 3)
	read := func(part string) (m map[string]any) {
		b, err := base64.RawURLEncoding.DecodeString(part)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &m))
		return m
	}
	require.Equal(t, map[string]any{"alg": "EdDSA", "typ": "logline-auth+jwt", "kid": "key"}, read(parts[0]))
	require.Equal(t, map[string]any{"sub": "logline-id://me", "aud": "logline-id://node", "origin": c.token.origin, "iat": 1.7e9, "exp": 1.7e9 + 300}, read(parts[1]))
}

// What is open or carries its own signature goes without a credential.
func TestNoCredentialWhereNoneIsNeeded(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		require.Empty(t, r.Header.Get("Authorization"), r.URL.Path)
		_, _ = io.WriteString(w, `{}`)
	}, WithSigner(&fakeSigner{}, "logline-id://me", "logline-id://node"))
	_, err := c.Append(context.Background(), "t", []byte("{}"))
	require.NoError(t, err)
	_, err = c.AppendEvent(context.Background(), "logline-id://me", []byte("{}"))
	require.NoError(t, err)
}

func TestCutAnswers(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		_, _ = io.WriteString(w, `{"line":1,"status":201,"receipt":{"entry":{}}}`+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	results, err := c.AppendMany(context.Background(), "t", [][]byte{[]byte("{}"), []byte("{}")})
	require.ErrorContains(t, err, "broke off")
	require.Len(t, results, 1)
	require.ErrorContains(t, c.Bundle(context.Background(), "t", io.Discard, 0, 0), "broke off")
}

func TestTooFewResults(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	_, err := c.AppendMany(context.Background(), "t", [][]byte{[]byte("{}")})
	require.ErrorContains(t, err, "answered 0 of 1")
}

// A node that refuses a stream early ends the sending.
func TestRefusedStream(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) })
	endless := func(yield func([]byte) bool) {
		for yield([]byte(strings.Repeat("x", 10_000))) {
		}
	}
	err := c.AppendStream(context.Background(), "t", endless, func(LineResult) error { return nil })
	require.Error(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, c.AppendStream(ctx, "t", slices.Values([][]byte{[]byte("{}")}), nil), context.Canceled)
}

// The origin in a token is the address spoken to, as browsers write origins.
func TestOriginOfTokens(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "HTTPS://Log.Example.com:443/": "https://log.example.com", "http://log_line:80/a/b": "http://log_line",
		"https://log.example.com:80": "https://log.example.com:80", "http://[::1]:8080": "http://[::1]:8080", "https://exämple.com": "",
	} {
		c, err := New(base)
		require.NoError(t, err)
		require.Equal(t, want, c.token.origin, base)
	}
}
