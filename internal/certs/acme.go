package certs

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
)

// ACME gets certificates for domains from an authority and renews them a month
// before they end. The authority asks by TLS-ALPN-01 on the server's own port and,
// where Answers is served on port 80, by HTTP-01. It asks at the domain's address,
// so that one process alone must be reached there. It is safe for concurrent use.
type ACME struct {
	domains []string
	manager *autocert.Manager
	log     *slog.Logger
}

// ACMEConfig says for what, from whom, and where certificates are kept.
type ACMEConfig struct {
	Domains   []string // in lower case, ASCII
	Email     string   // for the authority to write to; may be empty
	Directory string   // URL of the authority's directory; "": Let's Encrypt
	Dir       string   // for account, keys and certificates; made with mode 0700
}

// patience is how long one question to the authority may take.
const patience = 30 * time.Second

// OpenACME makes the directory and asks nobody: certificates are got when the
// first client asks for one. To give domains is to accept the authority's terms.
func OpenACME(cfg ACMEConfig, agent string, log *slog.Logger) (*ACME, error) {
	if err := atomicfile.MkdirAll(cfg.Dir); err != nil {
		return nil, fault.Newf(fault.Unavailable, "tls_acme_dir", "the directory %s, where certificates are kept, cannot be made; check its parent's permissions", cfg.Dir).Because(err)
	}
	return &ACME{domains: cfg.Domains, log: log, manager: &autocert.Manager{
		Prompt: autocert.AcceptTOS, HostPolicy: autocert.HostWhitelist(cfg.Domains...), Email: cfg.Email, Cache: autocert.DirCache(cfg.Dir),
		Client: &acme.Client{DirectoryURL: cfg.Directory, UserAgent: agent, HTTPClient: &http.Client{Timeout: patience}},
	}}, nil
}

// Config is for a server that shows the certificates and answers TLS-ALPN-01.
func (a *ACME) Config() *tls.Config {
	c := base()
	c.GetCertificate = a.get
	c.NextProtos = append(c.NextProtos, acme.ALPNProto)
	return c
}

// get tells the log why a domain has no certificate: the client cannot be told,
// and the operator can help. For names that nobody set, nothing is said or asked.
func (a *ACME) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := a.manager.GetCertificate(hello)
	if err != nil && a.Serves(hello.ServerName) {
		a.log.WarnContext(hello.Context(), "no certificate from the ACME authority", slog.String("domain", strings.ToLower(hello.ServerName)), slog.Any("error", err))
	}
	return cert, err
}

// Answers answers HTTP-01, and leaves every other request to rest.
func (a *ACME) Answers(rest http.Handler) http.Handler {
	answers := a.manager.HTTPHandler(rest)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if name, _, err := net.SplitHostPort(req.Host); err == nil && strings.HasPrefix(req.URL.Path, challenges) {
			req.Host = name // whichever port is led here
		}
		answers.ServeHTTP(w, req)
	})
}

// challenges is where an authority asks (RFC 8555 §8.3).
const challenges = "/.well-known/acme-challenge/"

// Serves says whether host is one of the domains.
func (a *ACME) Serves(host string) bool { return slices.Contains(a.domains, strings.ToLower(host)) }

// domainName is a name of at least two parts in ASCII, no part longer than 63.
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// ParseDomains reads domains separated by commas.
func ParseDomains(list string) (out []string, err error) {
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.ToLower(strings.TrimSpace(text)); text == "" {
			continue
		}
		if _, address := netip.ParseAddr(text); address == nil || len(text) > 253 || !domainName.MatchString(text) {
			return nil, fault.New(fault.Invalid, "tls_acme", "must be domains such as log.example.com, separated by commas: no addresses, no * and those of other scripts as xn--…")
		}
		out = append(out, text)
	}
	return out, nil
}

// CheckDirectory is what is wrong with the URL of an authority's directory.
func CheckDirectory(text string) error {
	if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil) {
		return fault.New(fault.Invalid, "tls_acme_directory", "must be an https:// URL, or empty for Let's Encrypt")
	}
	return nil
}

// CheckEmail is what is wrong with an address for the authority to write to.
func CheckEmail(text string) error {
	if at, err := mail.ParseAddress(text); text != "" && (err != nil || at.Address != text) {
		return fault.New(fault.Invalid, "tls_acme_email", "must be an address such as ops@example.com, or empty")
	}
	return nil
}
