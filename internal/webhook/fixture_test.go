package webhook

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/webhook"
)

// Limits that no test reaches on a slow machine unless it means to.
const patience = time.Minute

var here = netip.MustParsePrefix("127.0.0.0/8")

// local is a configuration that calls this machine over plain HTTP.
func local() Config {
	return Config{Plain: true, Networks: []netip.Prefix{here}, Connect: patience, Header: patience, Body: patience, Total: patience}
}

func secret(t *testing.T) webhook.Secret {
	s, err := webhook.NewSecret(rand.Reader)
	require.NoError(t, err)
	return s
}

func message() Message {
	return Message{ID: "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a_0", Body: []byte(`{"amount":7}`)}
}

// receiver is a server that does what it likes with each connection.
type receiver struct {
	addr  string
	conns atomic.Int64
	done  sync.WaitGroup // of the connections
}

// listen serves raw connections until the test ends. serve runs after the
// connection is taken; on says where, as 127.0.0.1:0.
func listen(t *testing.T, on string, serve func(net.Conn)) *receiver {
	l, err := net.Listen("tcp", on)
	require.NoError(t, err)
	r := &receiver{addr: l.Addr().String()}
	stop := make(chan struct{})
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.conns.Add(1)
			r.done.Go(func() {
				defer c.Close()
				serve(c)
			})
			accepting.Go(func() { <-stop; c.Close() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(stop)
		accepting.Wait()
		r.done.Wait()
	})
	return r
}

func (r *receiver) port() string {
	_, port, _ := net.SplitHostPort(r.addr)
	return port
}

// answers reads one request, writes text, and closes.
func answers(text string) func(net.Conn) {
	return func(c net.Conn) {
		if readRequest(c) {
			io.WriteString(c, text)
			settle(c)
		}
	}
}

// settle ends the connection without losing what was written last.
func settle(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
	io.Copy(io.Discard, c)
}

func readRequest(c net.Conn) bool {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	return err == nil
}

// names answers for every name, each time with the next addresses of a list, the
// last of which stays.
type names struct {
	mu   sync.Mutex // guards turn
	turn int
	list [][]netip.Addr
	udp  net.PacketConn
}

// resolver is a DNS server of ours, and what asks it.
func resolver(t *testing.T, list ...[]netip.Addr) (*names, *net.Resolver) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &names{list: list, udp: udp}
	var serving sync.WaitGroup
	serving.Go(n.serve)
	t.Cleanup(func() {
		udp.Close()
		serving.Wait()
	})
	var d net.Dialer
	return n, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "udp", udp.LocalAddr().String())
	}}
}

func (n *names) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.turn
}

// serve answers questions for A; those for AAAA get no records.
func (n *names) serve() {
	buf := make([]byte, 1500)
	for {
		size, from, err := n.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		end := 12 // of the question: the name, its type and its class
		for end < size && buf[end] != 0 {
			end += int(buf[end]) + 1
		}
		if end += 5; end > size {
			continue
		}
		var addrs []netip.Addr
		if binary.BigEndian.Uint16(buf[end-4:]) == 1 {
			n.mu.Lock()
			addrs = n.list[min(n.turn, len(n.list)-1)]
			n.turn++
			n.mu.Unlock()
		}
		out := append([]byte{}, buf[:end]...)
		out[2], out[3] = 0x81, 0x80 // an answer, without error
		binary.BigEndian.PutUint16(out[6:], uint16(len(addrs)))
		clear(out[8:12])
		for _, a := range addrs {
			four := a.As4()
			out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // that name, A, IN, TTL 0
			out = append(out, four[:]...)
		}
		n.udp.WriteTo(out, from)
	}
}

// authority vouches for certificates.
type authority struct {
	pool *x509.CertPool
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a := &authority{pool: x509.NewCertPool(), cert: cert, key: key}
	a.pool.AddCert(cert)
	return a
}

// server is the configuration of a server with a certificate for name, until then.
func (a *authority) server(t *testing.T, name string, until time.Time) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	form := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: until.Add(-2 * time.Hour), NotAfter: until, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, form, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}
