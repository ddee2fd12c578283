package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const verifyPath = "/v1/signatures/verify"

func signed(k *id.Keys, message string) string {
	return span.B64(k.Signer().Sign(id.Message([]byte(message))))
}

func checkOf(k *id.Keys, message string) map[string]any {
	return map[string]any{"identity": k.ID(), "message": message, "signature": signed(k, message)}
}

func TestVerifySignaturesOverHTTP(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	k := w.identity()
	var v openapi.Verdict
	w.post(verifyPath, "", checkOf(k, "hello <ö>")).want(t, http.StatusOK).decode(t, &v)
	require.Equal(t, openapi.Verdict{Valid: true, Reason: "current", Identity: k.ID(), Key: k.Signer().Public(), Primary: true}, v)
	binary := map[string]any{"key": k.Signer().Public(), "message_b64u": span.B64([]byte{0, 0xff}), "signature": signed(k, "\x00\xff")}
	v = openapi.Verdict{}
	w.post(verifyPath, "", binary).want(t, http.StatusOK).decode(t, &v)
	require.True(t, v.Valid)
	require.Equal(t, openapi.VerdictReason("unbound"), v.Reason)

	wrong := checkOf(k, "hello")
	wrong["message"] = "hullo"
	var out struct{ Items []openapi.Verdict }
	w.post(verifyPath, "", map[string]any{"items": []any{checkOf(k, "a"), wrong, checkOf(w.keys(), "b")}}).want(t, http.StatusOK).decode(t, &out)
	require.Equal(t, []openapi.VerdictReason{"current", "mismatch", "unknown_identity"}, []openapi.VerdictReason{out.Items[0].Reason, out.Items[1].Reason, out.Items[2].Reason})

	// Bad input says where.
	two := checkOf(k, "a")
	two["message_b64u"] = "YQ"
	for pointer, body := range map[string]any{
		"/message":           two,
		"/message_b64u":      map[string]any{"key": k.Signer().Public(), "message_b64u": "a=", "signature": signed(k, "a")},
		"/signature":         map[string]any{"identity": k.ID(), "message": "a", "signature": "x"},
		"/identity":          map[string]any{"message": "a", "signature": signed(k, "a")},
		"/items/1/signature": map[string]any{"items": []any{checkOf(k, "a"), map[string]any{"identity": k.ID(), "message": "a", "signature": "x"}}},
		"/items":             map[string]any{"items": []any{}},
		"/extra":             map[string]any{"extra": 1},
	} {
		reply := w.post(verifyPath, "", body)
		reply.want(t, http.StatusBadRequest)
		require.Contains(t, string(reply.body), `"pointer":"`+pointer+`"`)
	}
	mixed := checkOf(k, "a")
	mixed["items"] = []any{checkOf(k, "a")}
	w.post(verifyPath, "", mixed).problem(t, http.StatusBadRequest, "body_malformed")
	many := make([]any, 101)
	for i := range many {
		many[i] = checkOf(k, "a")
	}
	w.post(verifyPath, "", map[string]any{"items": many}).problem(t, http.StatusBadRequest, "body_malformed")
	long := strings.Repeat("a", id.MaxMessageBytes+1)
	w.post(verifyPath, "", checkOf(k, long)).problem(t, http.StatusRequestEntityTooLarge, "message_too_large")
}

func TestVerifySignatureStream(t *testing.T) {
	t.Parallel()
	w := newNode(t, func(d *httpapi.Deps) { d.Limits.Verifiers = 1 })
	k := w.identity()
	conn, _, err := w.dial(verifyPath, "", nil)
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, "logline.v1", conn.Subprotocol())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(feedPatience)))

	// Sent ahead, answered in order; a bad one is a problem and ends nothing.
	const n = 200
	var ahead sync.WaitGroup
	ahead.Go(func() {
		for i := range n {
			frame, _ := json.Marshal(checkOf(k, fmt.Sprint(i)))
			if i%10 == 3 {
				frame = []byte(`{"items":`)
			}
			if conn.WriteMessage(websocket.TextMessage, frame) != nil {
				return
			}
		}
	})
	for i := range n {
		_, raw, err := conn.ReadMessage()
		require.NoError(t, err)
		if i%10 == 3 {
			require.Contains(t, string(raw), `"type":"urn:logline:problem:body_malformed"`)
			continue
		}
		require.Contains(t, string(raw), `"reason":"current"`, i)
	}

	ahead.Wait() // one writes at a time

	// No more streams than there are places; other callers are not in their way.
	_, refused, err := w.dial(verifyPath, "", nil)
	require.Error(t, err)
	require.Equal(t, http.StatusServiceUnavailable, refused.StatusCode)
	w.post(verifyPath, "", checkOf(k, "x")).want(t, http.StatusOK)

	// A frame that is too large ends the stream, and gives its place back.
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, make([]byte, 257<<10)))
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)
	require.Eventually(t, func() bool {
		again, _, err := w.dial(verifyPath, "", nil)
		if err != nil {
			return false
		}
		defer again.Close()
		if again.WriteMessage(websocket.BinaryMessage, []byte("x")) != nil {
			return false
		}
		_, _, err = again.ReadMessage()
		return websocket.IsCloseError(err, websocket.CloseUnsupportedData)
	}, feedPatience, 10*time.Millisecond)
}

func TestVerifySignatureStreamRefusals(t *testing.T) {
	t.Parallel()
	w := newNode(t, func(d *httpapi.Deps) { d.Limits.Idle = 50 * time.Millisecond })
	w.get(verifyPath, "").problem(t, http.StatusBadRequest, "stream_transport")
	_, resp, err := w.dial(verifyPath, "", http.Header{"Origin": {"https://evil.example"}})
	require.Error(t, err)
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	_, resp, err = (&websocket.Dialer{}).Dial("ws"+strings.TrimPrefix(w.url, "http")+verifyPath, nil)
	require.Error(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)

	// Whoever asks nothing is let go.
	conn, _, err := w.dial(verifyPath, "", http.Header{"Origin": {w.url}})
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(feedPatience)))
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseNormalClosure), "%v", err)
}

// TestStoppingEndsVerifyStreams: a stream that is open keeps no server running.
func TestStoppingEndsVerifyStreams(t *testing.T) {
	t.Parallel()
	var deps httpapi.Deps
	w := newNode(t, func(d *httpapi.Deps) { deps = *d })
	server := httpapi.New(deps)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx, listener) }()
	w.url = "http://" + listener.Addr().String()
	conn, _, err := w.dial(verifyPath, "", nil)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.WriteJSON(checkOf(w.identity(), "m")))
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(feedPatience)))
	_, _, err = conn.ReadMessage()
	require.NoError(t, err)
	cancel()
	_, _, err = conn.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseGoingAway), "%v", err)
	require.NoError(t, <-ended)
}
