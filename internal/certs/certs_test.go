package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// issue makes a certificate that is its own authority, and its key, in PEM.
func issue(t *testing.T, change ...func(*x509.Certificate)) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: serial, NotBefore: today.Add(-time.Hour), NotAfter: today.Add(time.Hour), DNSNames: []string{"log.example.com"}}
	for _, c := range change {
		c(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// pair is where a certificate and its key are, and the time there.
type pair struct {
	cert, key string
	now       time.Time
	log       bytes.Buffer
}

func put(t *testing.T, cert, key []byte) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), now: today}
	p.write(t, cert, key)
	return p
}

func (p *pair) write(t *testing.T, cert, key []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.cert, cert, 0o600))
	require.NoError(t, os.WriteFile(p.key, key, 0o600))
	// Later than before, however coarse the file system's clock is.
	require.NoError(t, os.Chtimes(p.cert, p.now, p.now))
	require.NoError(t, os.Chtimes(p.key, p.now, p.now))
}

func (p *pair) open() (*Files, error) {
	return OpenFiles(p.cert, p.key, slog.New(slog.NewTextHandler(&p.log, nil)), func() time.Time { return p.now })
}

func TestWhatIsNoPair(t *testing.T) {
	t.Parallel()
	cert, key := issue(t)
	other, otherKey := issue(t)
	late, lateKey := issue(t, func(c *x509.Certificate) { c.NotAfter = today.Add(-time.Minute) })
	early, earlyKey := issue(t, func(c *x509.Certificate) { c.NotBefore = today.Add(time.Minute) })
	nameless, namelessKey := issue(t, func(c *x509.Certificate) { c.DNSNames = nil })
	for code, p := range map[string]*pair{
		"":                         put(t, cert, key),
		"tls_pair_invalid":         put(t, other, key),
		"tls_certificate_expired":  put(t, late, lateKey),
		"tls_certificate_early":    put(t, early, earlyKey),
		"tls_certificate_nameless": put(t, nameless, namelessKey),
	} {
		_, err := p.open()
		require.Equal(t, code, fault.CodeOf(err))
	}
	for _, text := range []string{"", "nonsense", string(key), string(cert[:len(cert)/2])} {
		_, err := put(t, []byte(text), otherKey).open()
		require.Equal(t, "tls_pair_invalid", fault.CodeOf(err), text)
	}
	open := put(t, cert, key)
	require.NoError(t, os.Chmod(open.key, 0o604))
	_, err := open.open()
	require.Equal(t, "tls_key_open", fault.CodeOf(err))
	require.NoError(t, os.Chmod(open.key, 0o640))
	_, err = open.open()
	require.NoError(t, err, "a group may read it")
	require.NoError(t, os.Remove(open.key))
	_, err = open.open()
	require.Equal(t, "tls_file_missing", fault.CodeOf(err))
}

// shown is the certificate that a server shows to somebody who asks now.
func shown(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- tls.Server(server, config).Handshake() }()
	var got []byte
	conn := tls.Client(client, &tls.Config{InsecureSkipVerify: true, ServerName: "log.example.com", VerifyConnection: func(state tls.ConnectionState) error {
		got = state.PeerCertificates[0].Raw
		return nil
	}})
	require.NoError(t, conn.Handshake())
	require.NoError(t, <-done)
	_ = client.Close()
	return got
}

func der(t *testing.T, text []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(text)
	require.NotNil(t, block)
	return block.Bytes
}

// Files are taken over while the server runs; what is wrong is not, and told once.
func TestFilesAreRenewed(t *testing.T) {
	t.Parallel()
	cert, key := issue(t)
	p := put(t, cert, key)
	f, err := p.open()
	require.NoError(t, err)
	config := f.Config()
	require.Equal(t, der(t, cert), shown(t, config))
	require.True(t, f.Serves("LOG.example.com"))
	require.False(t, f.Serves("example.com"))

	next, nextKey := issue(t)
	p.now = p.now.Add(10 * time.Second)
	p.write(t, next, key) // half of it
	require.Equal(t, der(t, cert), shown(t, config))
	p.now = p.now.Add(10 * time.Second)
	require.Equal(t, der(t, cert), shown(t, config))
	require.Equal(t, 1, bytes.Count(p.log.Bytes(), []byte("level=ERROR")), "%s", p.log.String())
	require.Contains(t, p.log.String(), "tls_pair_invalid")
	p.write(t, next, nextKey)
	p.now = p.now.Add(10 * time.Second)
	require.Equal(t, der(t, next), shown(t, config))
	require.Contains(t, p.log.String(), "renewed")

	late, lateKey := issue(t, func(c *x509.Certificate) { c.NotAfter = today })
	p.write(t, late, lateKey)
	p.now = p.now.Add(10 * time.Second)
	require.Equal(t, der(t, next), shown(t, config), "an expired one is not taken over")
	require.NoError(t, os.Remove(p.key))
	p.now = p.now.Add(10 * time.Second)
	require.Equal(t, der(t, next), shown(t, config))
}

// Nothing older than TLS 1.2 is spoken, and of that nothing without forward
// secrecy and authenticated encryption.
func TestVersionsAndSuites(t *testing.T) {
	t.Parallel()
	cert, key := issue(t)
	f, err := put(t, cert, key).open()
	require.NoError(t, err)
	speak := func(c *tls.Config) (tls.ConnectionState, error) {
		c.InsecureSkipVerify = true
		client, server := net.Pipe()
		defer client.Close()
		go func() { _ = tls.Server(server, f.Config()).Handshake(); _ = server.Close() }()
		conn := tls.Client(client, c)
		err := conn.Handshake()
		return conn.ConnectionState(), err
	}
	state, err := speak(&tls.Config{NextProtos: []string{"h2"}})
	require.NoError(t, err)
	require.Equal(t, uint16(tls.VersionTLS13), state.Version)
	require.Equal(t, "h2", state.NegotiatedProtocol)
	state, err = speak(&tls.Config{MaxVersion: tls.VersionTLS12})
	require.NoError(t, err)
	require.Equal(t, uint16(tls.VersionTLS12), state.Version)
	_, err = speak(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	require.Error(t, err)
	_, err = speak(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}})
	require.Error(t, err)
}

func TestParseDomains(t *testing.T) {
	t.Parallel()
	got, err := ParseDomains("Log.example.com, b.example")
	require.NoError(t, err)
	require.Equal(t, []string{"log.example.com", "b.example"}, got)
	for _, bad := range []string{"localhost", "192.0.2.1", "*.example.com", "bücher.example", "a..b", "-a.example", "a.example:443", "https://a.example", "a.example/x"} {
		_, err := ParseDomains(bad)
		require.Equal(t, "tls_acme", fault.CodeOf(err), bad)
	}
	require.Equal(t, "tls_acme_directory", fault.CodeOf(CheckDirectory("http://ca.example")))
	require.NoError(t, CheckDirectory("https://ca.example/dir"))
	require.Equal(t, "tls_acme_email", fault.CodeOf(CheckEmail("Ops <ops@example.com>")))
	require.NoError(t, CheckEmail("ops@example.com"))
}
