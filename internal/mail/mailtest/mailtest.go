// Package mailtest runs a real SMTP server (aiosmtpd) for one test. It is for tests
// alone.
package mailtest

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	netmail "net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Variable names the Python that has aiosmtpd; scripts/smtp.sh sets it.
const Variable = "LOGLINE_TEST_SMTP"

//go:embed smtpd.py
var program string

// Options are what the server does.
type Options struct {
	Security       string   // starttls, tls or off
	User, Password string   // "": it asks for none
	Refuse         []string // recipients that it never takes
	Defer          []string // and those that it does not take now
}

// Server is one that runs until the test ends.
type Server struct {
	Port  int
	Roots *x509.CertPool // that its certificate is from
	dir   string
}

// Start runs a server on 127.0.0.1. Without aiosmtpd the test is skipped.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	python := os.Getenv(Variable)
	if python == "" {
		t.Skip("needs an SMTP server: run make test, which installs aiosmtpd, or set " + Variable + " to a Python that has it")
	}
	dir := t.TempDir()
	s := &Server{Roots: x509.NewCertPool(), dir: filepath.Join(dir, "box")}
	want := map[string]any{"security": o.Security, "user": o.User, "password": o.Password, "refuse": o.Refuse, "defer": o.Defer, "dir": s.dir}
	if o.Security != "off" {
		want["cert"], want["key"] = s.certify(t, dir)
	}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	cmd := exec.Command(python, "-c", program, string(text))
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close() // it ends with its input
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the SMTP server said: %s", said.Bytes())
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err, "the SMTP server did not start")
	s.Port, err = strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	return s
}

// certify makes a certificate for 127.0.0.1.
func (s *Server) certify(t testing.TB, dir string) (cert, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	made := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, made, made, secret.Public(), secret)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	s.Roots.AddCert(parsed)
	raw, err := x509.MarshalPKCS8PrivateKey(secret)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert, key
}

// Messages are those it has taken, in no order.
func (s *Server) Messages(t testing.TB) (all []*netmail.Message) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "new", "*"))
	require.NoError(t, err)
	for _, name := range files {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		m, err := netmail.ReadMessage(strings.NewReader(string(raw)))
		require.NoError(t, err, "%s", raw)
		all = append(all, m)
	}
	return all
}
