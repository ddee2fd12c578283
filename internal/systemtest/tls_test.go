package systemtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	enc "encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/systemtest/program"
)

// authority issues certificates that clients believe who are given its root.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	root string // file
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, root: filepath.Join(t.TempDir(), "root.pem")}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return a
}

// issue writes a certificate for this machine and its key into two files.
func (a *authority) issue(cert, key string, serial int64) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, private.Public(), a.key)
	require.NoError(a.t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(a.t, err)
	require.NoError(a.t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(a.t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
}

// believing is TLS by the roots of a file.
func believing(t *testing.T, root, name string) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(root)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	return &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// TestTLSByFiles runs the program with a certificate of a private authority: its
// own commands reach it, HTTP/2 is spoken, http:// is led to https://, and new
// files are taken over while connections stay.
func TestTLSByFiles(t *testing.T) {
	t.Parallel()
	ca, dir := newAuthority(t), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca.issue(cert, key, 2)
	plain := freeAddress(t)
	s, err := program.New(binary, filepath.Join(dir, "data"), "--tls-cert", cert, "--tls-key", key, "--tls-redirect", plain)
	require.NoError(t, err)
	t.Cleanup(s.Kill)
	require.NoError(t, s.StartSilent())
	address := strings.TrimPrefix(s.URL, "http://")
	secure := "https://" + address

	transport := &http.Transport{TLSClientConfig: believing(t, ca.root, ""), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	get := func(url string) *http.Response {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(req)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	resp := get(secure + "/v1/node")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, 2, resp.ProtoMajor)
	require.Equal(t, "max-age=31536000", resp.Header.Get("Strict-Transport-Security"))
	require.EqualValues(t, 2, resp.TLS.PeerCertificates[0].SerialNumber.Int64())

	run := func(env []string, args ...string) (string, error) {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), append(env, "LOGLINE_CONFIG_DIR="+filepath.Join(dir, "profiles"))...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := run(nil, "health", "--listen", address, "--tls-cert", cert, "--tls-key", key)
	require.NoError(t, err, out)
	require.Contains(t, out, "ready: "+secure)
	token := "LOGLINE_BOOTSTRAP_TOKEN=" + strings.TrimSpace(readFile(t, filepath.Join(dir, "data", "bootstrap-token")))
	out, err = run([]string{token}, "onboard", "acme", "--url", secure, "--handle", "ana", "--no-passphrase")
	require.Error(t, err, "nobody believes this authority yet")
	require.Contains(t, out, "certificate")
	out, err = run([]string{token, "SSL_CERT_FILE=" + ca.root}, "onboard", "acme", "--url", secure, "--handle", "ana", "--no-passphrase")
	require.NoError(t, err, out)
	out, err = run([]string{"SSL_CERT_FILE=" + ca.root}, "append", "--type", "note.written", "--payload", `{"text":"hello"}`)
	require.NoError(t, err, out)

	for path, want := range map[string]string{"/v1/node?x=1": secure + "/v1/node?x=1", "/": secure + "/"} {
		resp = get("http://" + plain + path)
		require.Equal(t, http.StatusPermanentRedirect, resp.StatusCode)
		require.Equal(t, want, resp.Header.Get("Location"))
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	}
	for name, text := range map[string]string{
		"a credential":        "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n",
		"a ticket":            "GET /v1/tenants/x/feed?ticket=y HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"no question":         "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
		"another's name":      "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"another's address":   "GET //evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"an absolute address": "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"no request":          "\x16\x03\x01\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", plain)
		require.NoError(t, err)
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
		_ = conn.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(conn)
		require.NoError(t, err, name)
		require.NoError(t, conn.Close())
		require.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 400 "), "%s: %s", name, answer)
		require.Contains(t, string(answer), "application/problem+json", name)
		require.NotContains(t, string(answer), "Location:", name)
		require.NotContains(t, string(answer), "evil", name)
	}

	ca.issue(cert, key, 3)
	require.Eventually(t, func() bool {
		conn, err := tls.Dial("tcp", address, believing(t, ca.root, "localhost"))
		if err != nil {
			return false
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == 3
	}, time.Minute, 100*time.Millisecond, "the new certificate is shown")
	resp = get(secure + "/v1/node")
	require.EqualValues(t, 2, resp.TLS.PeerCertificates[0].SerialNumber.Int64(), "the connection from before stays")
	code, err := s.Terminate()
	require.NoError(t, err)
	require.Zero(t, code)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(text)
}

// TestTLSByACME has the program get a certificate from an ACME server that runs
// as a process of its own (Pebble, the test server of Let's Encrypt), by
// TLS-ALPN-01 and by HTTP-01, and keep it across a restart.
func TestTLSByACME(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("an ACME server is built; make test does without -short")
	}
	dir := t.TempDir()
	pebble := filepath.Join(dir, "pebble")
	build := exec.Command("go", "build", "-modfile=tools/go.mod", "-o", pebble, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	for name, challenge := range map[string]string{"TLS-ALPN-01": "tls", "HTTP-01": "http"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const domain = "log.example.test"
			dir, ca := t.TempDir(), newAuthority(t)
			plain := freeAddress(t)
			s, err := program.New(binary, filepath.Join(dir, "data"), "--tls-acme", domain, "--tls-acme-email", "ops@example.test", "--tls-redirect", plain)
			require.NoError(t, err)
			t.Cleanup(s.Kill)
			address := strings.TrimPrefix(s.URL, "http://")
			tlsPort, httpPort := address, plain
			if challenge == "http" {
				tlsPort = freeAddress(t) // nobody answers there
			}
			acme := startPebble(t, pebble, ca, tlsPort, httpPort)
			s.Cmd.Args = append(s.Cmd.Args, "--tls-acme-directory", acme.directory)
			s.Cmd.Env = append(s.Cmd.Env, "SSL_CERT_FILE="+ca.root)
			require.NoError(t, s.StartSilent())

			roots := acme.roots(t)
			connect := func(name string) (*tls.Conn, error) {
				return tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", address, &tls.Config{RootCAs: roots, ServerName: name})
			}
			conn, err := connect(domain)
			require.NoError(t, err, "%s\n%s", s.Log, acme.log)
			first := conn.ConnectionState().PeerCertificates[0]
			require.NoError(t, first.VerifyHostname(domain))
			require.NoError(t, conn.Close())
			_, err = connect("other.example.test")
			require.Error(t, err, "nothing is got for names that were not set")

			kept := filepath.Join(s.Dir, "acme")
			info, err := os.Stat(kept)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
			files, err := os.ReadDir(kept)
			require.NoError(t, err)
			require.NotEmpty(t, files)
			for _, f := range files {
				info, err := f.Info()
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f.Name())
			}

			acme.stop()
			code, err := s.Terminate()
			require.NoError(t, err)
			require.Zero(t, code)
			again := s.Again()
			t.Cleanup(again.Kill)
			require.NoError(t, again.StartSilent())
			conn, err = connect(domain)
			require.NoError(t, err, "it was kept: %s", again.Log)
			require.Equal(t, first.SerialNumber, conn.ConnectionState().PeerCertificates[0].SerialNumber)
			require.NoError(t, conn.Close())
		})
	}
}

// pebble is one process of the ACME server.
type pebbleServer struct {
	directory, management string
	http                  *http.Client
	log                   *program.Log
	stop                  func()
}

func startPebble(t *testing.T, binary string, ca *authority, tlsAddress, httpAddress string) *pebbleServer {
	t.Helper()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca.issue(cert, key, 2)
	port := func(address string) (n int) {
		_, text, err := net.SplitHostPort(address)
		require.NoError(t, err)
		_, err = fmt.Sscan(text, &n)
		require.NoError(t, err)
		return n
	}
	listen, management := freeAddress(t), freeAddress(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": management, "certificate": cert, "privateKey": key,
		"tlsPort": port(tlsAddress), "httpPort": port(httpAddress), "keyAlgorithm": "ecdsa", "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": 7776000}},
	}})
	require.NoError(t, err)
	name := filepath.Join(dir, "config.json")
	require.NoError(t, os.WriteFile(name, config, 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	p := &pebbleServer{directory: "https://" + listen + "/dir", management: "https://" + management, log: &program.Log{},
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: believing(t, ca.root, ""), DisableKeepAlives: true}, Timeout: 10 * time.Second}}
	cmd := exec.CommandContext(ctx, binary, "-config", name, "-dnsserver", localNames(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	cmd.Stdout, cmd.Stderr = p.log, p.log
	require.NoError(t, cmd.Start())
	p.stop = func() {
		cancel()
		_ = cmd.Wait() // the second time says so
	}
	t.Cleanup(p.stop)
	require.Eventually(t, func() bool {
		resp, err := p.http.Get(p.directory)
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond, "%s", p.log)
	return p
}

func (p *pebbleServer) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	resp, err := p.http.Get(p.management + "/roots/0")
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text), "%s", text)
	return pool
}

// localNames is a name server, over TCP, for which every name is this machine: of
// IPv4 it has the address, and of nothing else anything (RFC 1035 §4).
func localNames(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for answerName(conn) == nil {
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func answerName(conn net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	question := make([]byte, enc.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return err
	}
	end := 12
	for end < len(question) && question[end] != 0 {
		end += int(question[end]) + 1
	}
	if end += 5; end > len(question) {
		return io.ErrUnexpectedEOF
	}
	answer := append([]byte{}, question[:end]...)
	answer[2], answer[3] = 0x84, 0 // an answer, and the last word
	copy(answer[6:12], make([]byte, 6))
	if enc.BigEndian.Uint16(question[end-4:]) == 1 {
		answer[7] = 1
		answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	_, err := conn.Write(append(enc.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	return err
}
