// Package certs holds the certificates that a server shows: a pair of files that
// may be replaced while it runs, or what a certificate authority gives by ACME
// (RFC 8555). It serves nothing and dials nobody but that authority.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// lookEvery is how often a handshake looks whether the files have changed.
const lookEvery = time.Second

// Files is a certificate with its key in two files of PEM. They are looked at
// during handshakes: whoever replaces them need tell nobody. It is safe for
// concurrent use.
type Files struct {
	cert, key string
	log       *slog.Logger
	now       func() time.Time

	mu     sync.Mutex // guards the rest
	pair   *tls.Certificate
	looked time.Time
	seen   [2]stamp // of the files as they were read or refused last
}

// stamp is what changes with a file that is replaced or written.
type stamp struct {
	size    int64
	changed time.Time
}

// OpenFiles reads a certificate, the ones between it and its authority behind it,
// and its key. Files that cannot be read, do not belong together, are not valid
// now or let others read the key are errors that say so.
func OpenFiles(cert, key string, log *slog.Logger, now func() time.Time) (*Files, error) {
	if now == nil {
		now = time.Now
	}
	f := &Files{cert: cert, key: key, log: log, now: now}
	f.seen, f.looked = f.stamps(), now()
	pair, err := f.read()
	if err != nil {
		return nil, err
	}
	f.pair = pair
	return f, nil
}

// Config is for a server that shows the certificate.
func (f *Files) Config() *tls.Config {
	c := base()
	c.GetCertificate = f.get
	return c
}

// Serves says whether the certificate is for a host, a name or an address.
func (f *Files) Serves(host string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pair.Leaf.VerifyHostname(host) == nil
}

func (f *Files) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked) >= lookEvery {
		f.looked = now
		f.renew(hello.Context())
	}
	return f.pair, nil
}

// renew takes new files over; of what is wrong with them the log tells once, and
// the pair from before is shown on. Whoever writes one file after the other is
// told of a pair that does not match in between, at worst.
func (f *Files) renew(ctx context.Context) {
	seen := f.stamps()
	if seen == f.seen {
		return
	}
	f.seen = seen
	pair, err := f.read()
	if err != nil {
		f.log.ErrorContext(ctx, "the new TLS certificate is not used; the one from before stays", slog.Any("error", err), slog.Time("until", f.pair.Leaf.NotAfter))
		return
	}
	f.pair = pair
	f.log.InfoContext(ctx, "TLS certificate renewed", slog.Time("until", pair.Leaf.NotAfter))
}

func (f *Files) stamps() (s [2]stamp) {
	for i, name := range []string{f.cert, f.key} {
		if info, err := os.Stat(name); err == nil {
			s[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return s
}

func (f *Files) read() (*tls.Certificate, error) {
	cert, err := readFile(f.cert)
	if err != nil {
		return nil, err
	}
	if err := private(f.key); err != nil {
		return nil, err
	}
	key, err := readFile(f.key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "tls_pair_invalid",
			"%s and %s are no certificate with its key in PEM; give the certificate's chain, the server's own first, and the key that belongs to it", f.cert, f.key).Because(err)
	}
	return &pair, valid(f.cert, pair.Leaf, f.now())
}

func valid(name string, leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fault.Newf(fault.Invalid, "tls_certificate_expired", "the certificate in %s ended at %s; get a new one", name, leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fault.Newf(fault.Invalid, "tls_certificate_early", "the certificate in %s begins at %s; look at this machine's clock", name, leaf.NotBefore.UTC().Format(time.RFC3339))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return fault.Newf(fault.Invalid, "tls_certificate_nameless", "the certificate in %s is for no name or address (subject alternative name), so no client takes it; get one that is", name)
	}
	return nil
}

func readFile(name string) ([]byte, error) {
	content, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.Newf(fault.Invalid, "tls_file_missing", "there is no file %s; tls.cert and tls.key name the certificate's and the key's", name).Because(err)
	case err != nil:
		return nil, fault.Newf(fault.Invalid, "tls_file_unreadable", "%s cannot be read; check its owner and permissions", name).Because(err)
	}
	return content, nil
}

// private refuses a key that every user of the machine may read. A group may,
// for that is how programs that renew certificates share them.
func private(name string) error {
	info, err := os.Stat(name)
	if err != nil || runtime.GOOS == "windows" { // whose permissions are not in the mode
		return nil
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return fault.Newf(fault.Invalid, "tls_key_open", "the key %s has mode %04o, so that every user of this machine can read or change it; chmod 600 it, and treat it as known", name, mode)
	}
	return nil
}

// Leaf is the first certificate of a file of PEM, which is the server's own.
func Leaf(name string) (*x509.Certificate, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, fault.Newf(fault.Invalid, "tls_pair_invalid", "there is no certificate in %s", name)
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil || len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 {
			return nil, fault.Newf(fault.Invalid, "tls_pair_invalid", "the first certificate in %s cannot be read, or is for no name", name).Because(err)
		}
		return leaf, nil
	}
}

// base is TLS 1.2 and 1.3. Of 1.2 only what has forward secrecy and authenticated
// encryption; 1.3 has nothing else.
func base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
	}
}
