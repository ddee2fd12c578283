package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/webhook"
)

// TestDelivers: what arrives is a webhook by the specification, over TLS, signed
// with both secrets, and holds nothing else.
func TestDelivers(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	older, newer, m := secret(t), secret(t), message()
	got := make(chan error, 1)
	check := func(r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		for _, s := range []webhook.Secret{older, newer} {
			id, err := webhook.Verify(s.Reveal(), r.Header, body)
			if err != nil || id != m.ID || string(body) != string(m.Body) {
				return fmt.Errorf("%s %s: %w", id, body, err)
			}
		}
		for name := range r.Header {
			switch name {
			case "Content-Type", "User-Agent", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Content-Length", "Connection":
			default:
				return fmt.Errorf("the header %s", name)
			}
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || r.Host != "hook.test:"+r.URL.Port() && !strings.HasPrefix(r.Host, "hook.test:") || r.RequestURI != "/in?key=1" {
			return fmt.Errorf("%s %s at %s", r.Method, r.RequestURI, r.Host)
		}
		return nil
	}
	tlsConfig := ca.server(t, "hook.test", time.Now().Add(time.Hour))
	r := listen(t, "127.0.0.1:0", func(c net.Conn) {
		s := tls.Server(c, tlsConfig)
		request, err := http.ReadRequest(bufio.NewReader(s))
		if err != nil {
			got <- err
			return
		}
		got <- check(request)
		io.WriteString(s, "HTTP/1.1 202 Accepted\r\nContent-Length: 6\r\nRetry-After: 9\r\n\r\nthanks")
		s.CloseWrite()
		io.Copy(io.Discard, s)
	})
	cfg := local()
	cfg.Plain, cfg.Roots = false, ca.pool
	_, cfg.Resolver = resolver(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	result := New(cfg).Send(t.Context(), Endpoint{"https://hook.test:" + r.port() + "/in?key=1", []webhook.Secret{newer, older}}, m)
	require.Equal(t, Delivered, result.Outcome, "%+v", result)
	require.NoError(t, <-got)
	require.NoError(t, result.Err())
	require.Equal(t, 202, result.Status)
	require.Equal(t, "thanks", result.Answer)
	require.Positive(t, result.Took)
	require.Zero(t, result.RetryAfter)
}

// TestHostileReceivers: whatever a receiver does, an attempt ends, with a class
// of its own, and takes no more than it may.
func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	const (
		soon  = 300 * time.Millisecond // from where nothing else can be late
		later = 4 * time.Second        // where something that is in time is waited for too
	)
	flood := func(start, again string) (func(net.Conn), *int64) {
		var written int64 // read after the receiver is done
		return func(c net.Conn) {
			if !readRequest(c) {
				return
			}
			n, err := io.WriteString(c, start)
			for written += int64(n); err == nil; written += int64(n) {
				n, err = io.WriteString(c, again)
			}
		}, &written
	}
	never := func(text string) func(net.Conn) { // says text, and then nothing until it is left
		return func(c net.Conn) {
			if readRequest(c) {
				io.WriteString(c, text)
				io.Copy(io.Discard, c)
			}
		}
	}
	endlessBody, bodyWritten := flood("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16))
	endlessChunks, chunksWritten := flood("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n"+strings.Repeat("y", 0x1000)+"\r\n")
	endlessHeaders, headersWritten := flood("HTTP/1.1 200 OK\r\n", "X-More: "+strings.Repeat("z", 4000)+"\r\n")
	endlessLine, lineWritten := flood("HTTP/1.1 200 ", strings.Repeat("a", 1<<16))
	informational, informationalWritten := flood("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
	noise, noiseWritten := flood("", strings.Repeat("\x00\xff\x16\x03", 1<<12))
	garbage, garbageWritten := flood("", strings.Repeat("\x00\xff\x16\n", 1<<12))
	held := make(chan struct{})

	for name, c := range map[string]struct {
		serve   func(net.Conn)
		limit   func(*Config)
		outcome Outcome
		code    string
		status  int
		answer  string
		written *int64
	}{
		"no answer":                   {never(""), func(c *Config) { c.Header = soon }, Retry, CodeTimeout, 0, "", nil},
		"no answer at all in time":    {never(""), func(c *Config) { c.Total = later }, Retry, CodeTimeout, 0, "", nil},
		"half a header":               {never("HTTP/1.1 200 OK\r\nX: "), func(c *Config) { c.Header = soon }, Retry, CodeTimeout, 0, "", nil},
		"a header in drips":           {dripping("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<16)), func(c *Config) { c.Header = soon }, Retry, CodeTimeout, 0, "", nil},
		"a request that is not read":  {func(c net.Conn) { io.ReadFull(c, make([]byte, 1)); <-held }, func(c *Config) { c.Total = later }, Retry, CodeTimeout, 0, "", nil},
		"a body that does not come":   {never("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nyes"), func(c *Config) { c.Body = later }, Delivered, "", 200, "yes", nil},
		"a failure's slow body":       {never("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\nno"), func(c *Config) { c.Body = later }, Retry, CodeFailing, 503, "no", nil},
		"a body cut short":            {answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nyes"), nil, Delivered, "", 200, "yes", nil},
		"a body without end":          {endlessBody, nil, Delivered, "", 200, strings.Repeat("x", MaxAnswerBytes), bodyWritten},
		"chunks without end":          {endlessChunks, nil, Retry, CodeFailing, 500, strings.Repeat("y", MaxAnswerBytes), chunksWritten},
		"a chunk that is too large":   {answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"), nil, Delivered, "", 200, "", nil},
		"headers without end":         {endlessHeaders, nil, Retry, CodeHeaders, 0, "", headersWritten},
		"a status line without end":   {endlessLine, nil, Retry, CodeHeaders, 0, "", lineWritten},
		"headers that are too large":  {answers("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 17<<10) + "\r\n\r\n"), nil, Retry, CodeHeaders, 0, "", nil},
		"1xx without end":             {informational, nil, Retry, CodeHeaders, 0, "", informationalWritten},
		"some 1xx":                    {answers(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9) + "HTTP/1.1 204 No Content\r\n\r\n"), nil, Delivered, "", 204, "", nil},
		"another protocol":            {answers("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), nil, GiveUp, CodeRefused, 101, "", nil},
		"noise":                       {noise, nil, Retry, CodeHeaders, 0, "", noiseWritten},
		"garbage":                     {garbage, nil, Retry, CodeMalformed, 0, "", garbageWritten},
		"another service":             {answers("SSH-2.0-OpenSSH_9.6\r\n"), nil, Retry, CodeMalformed, 0, "", nil},
		"a status that is none":       {answers("HTTP/1.1 2x0 OK\r\n\r\n"), nil, Retry, CodeMalformed, 0, "", nil},
		"a length that is none":       {answers("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), nil, Retry, CodeMalformed, 0, "", nil},
		"two lengths":                 {answers("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"), nil, Retry, CodeMalformed, 0, "", nil},
		"cut before the answer":       {func(c net.Conn) { readRequest(c) }, nil, Retry, CodeCut, 0, "", nil},
		"cut in a line of the answer": {answers("HTTP/1.1 200 OK\r\nContent-Le"), nil, Retry, CodeMalformed, 0, "", nil},
		"cut in the answer":           {answers("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"), nil, Retry, CodeCut, 0, "", nil},
		"cut in the request":          {func(c net.Conn) { io.ReadFull(c, make([]byte, 9)); c.(*net.TCPConn).SetLinger(0) }, nil, Retry, CodeCut, 0, "", nil},
		"Retry-After nonsense":        {answers("HTTP/1.1 429 No\r\nRetry-After: -99999999999999999999\r\nRetry-After: 5\r\n\r\n"), nil, Retry, CodeBusy, 429, "", nil},
		"an answer for a terminal":    {answers("HTTP/1.1 400 No\r\n\r\n\x1b[2J\x1b]0;x\x07\r\nno\xff"), nil, GiveUp, CodeRefused, 400, "�[2J�]0;x�  no�", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, "127.0.0.1:0", c.serve)
			cfg := local()
			if c.limit != nil {
				c.limit(&cfg)
			}
			m := message()
			if strings.Contains(name, "not read") {
				defer close(held)
				m.Body = bytes.Repeat([]byte("1"), 32<<20) // more than the system holds
			}
			s := secret(t)
			result := New(cfg).Send(t.Context(), Endpoint{"http://" + r.addr + "/hook?key=hunter2", []webhook.Secret{s}}, m)
			require.Equal(t, c.outcome, result.Outcome, "%+v", result)
			require.Equal(t, c.code, result.Code, "%+v", result)
			require.Equal(t, c.status, result.Status)
			require.Equal(t, c.answer, result.Answer)
			require.Less(t, result.Took, patience)
			require.Zero(t, result.RetryAfter)
			require.EqualValues(t, 1, r.conns.Load(), "one attempt is one request")
			told := fmt.Sprint(result, result.Err())
			for _, hidden := range []string{"hunter2", r.port(), "127.0.0.1", s.Reveal()} {
				require.NotContains(t, told, hidden)
			}
			if c.written != nil {
				r.done.Wait() // it ended, because nobody read on
				require.Less(t, *c.written, int64(32<<20))
			}
		})
	}
}

// A compressed answer is not unpacked, however much there is in it: what is kept
// are its first bytes as they came.
func TestCompressedAnswersStayPacked(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := io.CopyN(z, zeros{}, 64<<20)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	asked := make(chan string, 1)
	r := listen(t, "127.0.0.1:0", func(c net.Conn) {
		request, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		asked <- request.Header.Get("Accept-Encoding")
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", packed.Len(), packed.Bytes())
	})
	result := New(local()).Send(t.Context(), Endpoint{"http://" + r.addr + "/hook", []webhook.Secret{secret(t)}}, message())
	require.Equal(t, Delivered, result.Outcome, "%+v", result)
	require.Empty(t, <-asked, "nothing packed was asked for")
	require.LessOrEqual(t, len([]rune(result.Answer)), MaxAnswerBytes)
	require.Contains(t, result.Answer, "\ufffd", "the bytes of gzip's own beginning")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// dripping writes text byte by byte after a request, each when the system has
// room, slower than anybody waits for.
func dripping(text string) func(net.Conn) {
	return func(c net.Conn) {
		if !readRequest(c) {
			return
		}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := range len(text) {
			<-tick.C
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				return
			}
		}
	}
}

// TestNoRedirections: a redirection is an answer, wherever it leads.
func TestNoRedirections(t *testing.T) {
	t.Parallel()
	elsewhere := listen(t, "127.0.0.1:0", answers("HTTP/1.1 200 OK\r\n\r\n"))
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/", "http://" + elsewhere.addr + "/", "file:///etc/passwd", "//" + elsewhere.addr, "::nonsense::"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			r := listen(t, "127.0.0.1:0", answers(fmt.Sprintf("HTTP/1.1 %d Go\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, to)))
			result := New(local()).Send(t.Context(), Endpoint{"http://" + r.addr, []webhook.Secret{secret(t)}}, message())
			require.Equal(t, GiveUp, result.Outcome)
			require.Equal(t, CodeRedirected, result.Code)
			require.NotContains(t, result.Why, "169.254")
			require.EqualValues(t, 1, r.conns.Load())
		}
	}
	require.Zero(t, elsewhere.conns.Load())
}

// TestNamesThatLeadInside: what counts is what a name stands for when it is
// connected to, in that attempt.
func TestNamesThatLeadInside(t *testing.T) {
	t.Parallel()
	inside := listen(t, "127.0.0.1:0", answers("HTTP/1.1 200 OK\r\n\r\nsecrets"))
	outside := listen(t, "127.0.0.2:"+inside.port(), answers("HTTP/1.1 200 OK\r\n\r\nhello"))
	in, out := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	cfg := local()
	cfg.Networks = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} // which is the internet here
	to := Endpoint{"http://hook.test:" + inside.port(), []webhook.Secret{secret(t)}}

	t.Run("always", func(t *testing.T) {
		cfg := cfg
		_, cfg.Resolver = resolver(t, []netip.Addr{in})
		result := New(cfg).Send(t.Context(), to, message())
		require.Equal(t, GiveUp, result.Outcome)
		require.Equal(t, CodeAddress, result.Code)
		require.Contains(t, result.Why, "loopback")
	})
	t.Run("from the second time on", func(t *testing.T) { // DNS rebinding
		cfg := cfg
		var n *names
		n, cfg.Resolver = resolver(t, []netip.Addr{out}, []netip.Addr{in})
		s := New(cfg)
		result := s.Send(t.Context(), to, message())
		require.Equal(t, Delivered, result.Outcome, "%+v", result)
		require.Equal(t, "hello", result.Answer)
		require.Equal(t, 1, n.asked(), "what was checked is what was connected to")
		result = s.Send(t.Context(), to, message())
		require.Equal(t, CodeAddress, result.Code)
	})
	t.Run("among others", func(t *testing.T) {
		cfg := cfg
		_, cfg.Resolver = resolver(t, []netip.Addr{in, out, in})
		result := New(cfg).Send(t.Context(), to, message())
		require.Equal(t, "hello", result.Answer, "%+v", result)
	})
	t.Run("metadata", func(t *testing.T) {
		cfg := cfg
		_, cfg.Resolver = resolver(t, []netip.Addr{netip.MustParseAddr("169.254.169.254")})
		result := New(cfg).Send(t.Context(), to, message())
		require.Equal(t, CodeAddress, result.Code)
		require.Contains(t, result.Why, "metadata")
	})
	t.Run("localhost", func(t *testing.T) {
		result := New(cfg).Send(t.Context(), Endpoint{"http://localhost:" + inside.port(), to.Secrets}, message())
		require.Equal(t, CodeAddress, result.Code, "%+v", result)
	})
	t.Run("written as such", func(t *testing.T) {
		result := New(cfg).Send(t.Context(), Endpoint{"http://" + inside.addr, to.Secrets}, message())
		require.Equal(t, CodeURL, result.Code)
		require.Equal(t, GiveUp, result.Outcome)
	})
	t.Run("nowhere", func(t *testing.T) {
		cfg := cfg
		_, cfg.Resolver = resolver(t, nil)
		result := New(cfg).Send(t.Context(), to, message())
		require.Equal(t, CodeUnresolved, result.Code, "%+v", result)
		require.Equal(t, Retry, result.Outcome)
	})
	require.Zero(t, inside.conns.Load())
	require.EqualValues(t, 2, outside.conns.Load())
}

func TestTLSIsVerified(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	serve := func(c *tls.Config) func(net.Conn) {
		return func(conn net.Conn) { answers("HTTP/1.1 200 OK\r\n\r\n")(tls.Server(conn, c)) }
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		says  string
	}{
		"another name":  {serve(ca.server(t, "other.test", time.Now().Add(time.Hour))), "another name's"},
		"expired":       {serve(ca.server(t, "hook.test", time.Now().Add(-time.Minute))), "expired"},
		"signed by any": {serve(stranger.server(t, "hook.test", time.Now().Add(time.Hour))), "nobody this node trusts"},
		"no TLS":        {answers("HTTP/1.1 200 OK\r\n\r\n"), "TLS"},
		"plain at once": {func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); settle(c) }, "does not speak TLS"},
		"old TLS":       {serve(&tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10, Certificates: ca.server(t, "hook.test", time.Now().Add(time.Hour)).Certificates}), "TLS"},
		"ends at once":  {func(c net.Conn) { io.ReadFull(c, make([]byte, 1)); settle(c) }, "handshake"},
		"cuts it":       {func(c net.Conn) { io.ReadFull(c, make([]byte, 1)); c.(*net.TCPConn).SetLinger(0) }, "handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := listen(t, "127.0.0.1:0", c.serve)
			cfg := local()
			cfg.Roots = ca.pool
			_, cfg.Resolver = resolver(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
			result := New(cfg).Send(t.Context(), Endpoint{"https://hook.test:" + r.port(), []webhook.Secret{secret(t)}}, message())
			require.Equal(t, CodeTLS, result.Code, "%+v", result)
			require.Equal(t, Retry, result.Outcome)
			require.Contains(t, result.Why, c.says)
			require.NotContains(t, result.Why, "other.test")
		})
	}
}

// A receiver that takes the connection and never shakes hands.
func TestConnectIsBounded(t *testing.T) {
	t.Parallel()
	r := listen(t, "127.0.0.1:0", func(c net.Conn) { io.Copy(io.Discard, c) })
	cfg := local()
	cfg.Connect = 300 * time.Millisecond
	to := Endpoint{"https://" + r.addr, []webhook.Secret{secret(t)}}
	result := New(cfg).Send(t.Context(), to, message())
	require.Equal(t, CodeConnectSlow, result.Code, "%+v", result)
	require.Equal(t, Retry, result.Outcome)

	cfg = local()
	m := message()
	m.Timeout = 300 * time.Millisecond
	result = New(cfg).Send(t.Context(), to, m)
	require.Equal(t, CodeConnectSlow, result.Code, "by the message's own limit")

	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	result = New(cfg).Send(t.Context(), Endpoint{"http://" + free.Addr().String(), to.Secrets}, message())
	require.Equal(t, CodeUnreachable, result.Code, "%+v", result)
}

// Whoever sends may stop; that is no fault of the receiver.
func TestStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := listen(t, "127.0.0.1:0", func(c net.Conn) {
		if readRequest(c) {
			cancel()
			io.Copy(io.Discard, c)
		}
	})
	result := New(local()).Send(ctx, Endpoint{"http://" + r.addr, []webhook.Secret{secret(t)}}, message())
	require.Equal(t, CodeStopped, result.Code)
	require.Equal(t, Retry, result.Outcome)
}

// The environment's proxy is not asked, unless it is configured. Not parallel:
// it sets the environment.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	proxy := listen(t, "127.0.0.1:0", answers("HTTP/1.1 200 OK\r\n\r\nproxy"))
	direct := listen(t, "127.0.0.1:0", answers("HTTP/1.1 200 OK\r\n\r\ndirect"))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"} {
		t.Setenv(name, "http://"+proxy.addr)
	}
	cfg := local()
	_, cfg.Resolver = resolver(t, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	to := Endpoint{"http://hook.test:" + direct.port(), []webhook.Secret{secret(t)}}
	require.Equal(t, "direct", New(cfg).Send(t.Context(), to, message()).Answer)

	cfg.Proxy, cfg.Networks = &url.URL{Scheme: "http", Host: proxy.addr}, nil
	require.Equal(t, "proxy", New(cfg).Send(t.Context(), to, message()).Answer)
	to.URL = "http://" + direct.addr
	require.Equal(t, CodeURL, New(cfg).Send(t.Context(), to, message()).Code, "what is written as an address is checked")
	require.EqualValues(t, 1, proxy.conns.Load())
	require.EqualValues(t, 1, direct.conns.Load())
}

// Endpoints are told apart by name in logs, never by address or secret.
func TestEndpointsAreNotLogged(t *testing.T) {
	t.Parallel()
	s := secret(t)
	to := Endpoint{"https://example.org/hunter2", []webhook.Secret{s}}
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", slog.Any("to", to))
	text := out.String() + fmt.Sprintf("%v %+v %#v %s", to, to, to, to)
	require.NotContains(t, text, "hunter2")
	require.NotContains(t, text, s.Reveal()[6:])
}
