package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/certs"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi"
)

// Proxy is whose word about clients is taken, and where it stands.
type Proxy struct {
	Trusted string `mapstructure:"trusted"`
	Header  string `mapstructure:"header"`
}

// trusted reads both settings, or for a check one of them alone.
func (p Proxy) trusted(key string) (httpapi.Proxies, error) {
	switch key {
	case "proxy.trusted":
		p.Header = ""
	case "proxy.header":
		p.Trusted = ""
	}
	return httpapi.ParseProxies(p.Trusted, p.Header)
}

// CORS is which pages may use the API from a browser.
type CORS struct {
	Origins string `mapstructure:"origins"`
}

// hereAlone says whether the server can be reached from its own machine alone: a
// proxy that is trusted speaks for others.
func (c Config) hereAlone() bool { return loopback(c.Listen) && c.Proxy.Trusted == "" }

// TLS is what the server speaks TLS with: files, or an authority, or neither.
type TLS struct {
	Cert          string `mapstructure:"cert"`
	Key           string `mapstructure:"key"`
	ACME          string `mapstructure:"acme"`
	ACMEEmail     string `mapstructure:"acme_email"`
	ACMEDirectory string `mapstructure:"acme_directory"`
	Redirect      string `mapstructure:"redirect"`
}

func (t TLS) on() bool { return t.Cert != "" || t.ACME != "" }

func (t TLS) scheme() string {
	if t.on() {
		return "https"
	}
	return "http"
}

// check is what is wrong with one setting. Each is decoded after those before it
// in the table of settings.
func (t TLS) check(key string) string {
	var err error
	switch key {
	case "tls.key":
		if (t.Cert == "") != (t.Key == "") {
			return "tls.cert and tls.key go together; set both or neither"
		}
	case "tls.acme":
		if t.ACME != "" && t.Cert != "" {
			return "certificates come from files (tls.cert) or by ACME (tls.acme), not both"
		}
		_, err = certs.ParseDomains(t.ACME)
	case "tls.acme_email":
		err = certs.CheckEmail(t.ACMEEmail)
	case "tls.acme_directory":
		err = certs.CheckDirectory(t.ACMEDirectory)
	case "tls.redirect":
		switch {
		case t.Redirect != "" && !t.on():
			return "there is no TLS to lead to; set tls.cert and tls.key, or tls.acme"
		case t.Redirect != "":
			return checkListen(t.Redirect)
		}
	}
	if err != nil {
		return fault.From(err).Detail
	}
	return ""
}

// certificates are those that the server shows; nil where it speaks no TLS.
type certificates interface {
	Config() *tls.Config
	Serves(host string) bool
}

var (
	_ certificates = (*certs.Files)(nil)
	_ certificates = (*certs.ACME)(nil)
)

func (a *App) openCertificates() (certificates, error) {
	switch t := a.cfg.TLS; {
	case t.Cert != "":
		return certs.OpenFiles(t.Cert, t.Key, a.log, a.opt.Now)
	case t.ACME != "":
		domains, err := certs.ParseDomains(t.ACME)
		if err != nil {
			return nil, err
		}
		return certs.OpenACME(certs.ACMEConfig{
			Domains: domains, Email: t.ACMEEmail, Directory: t.ACMEDirectory, Dir: filepath.Join(a.cfg.DataDir, "acme"),
		}, "LogLine/"+a.opt.Version.Version, a.log)
	}
	return nil, nil
}

// guard gives the server what it believes about its callers, the pages that may
// call it, and its certificates.
func (a *App) guard(deps *httpapi.Deps) (err error) {
	if deps.Proxies, err = a.cfg.Proxy.trusted(""); err != nil {
		return err
	}
	if deps.Origins, err = httpapi.ParseOrigins(a.cfg.CORS.Origins); err != nil {
		return err
	}
	if a.certs, err = a.openCertificates(); err != nil {
		return err
	}
	if a.certs != nil {
		deps.TLS = a.certs.Config()
	}
	deps.Names, err = a.names()
	return err
}

// names are those that the server is called by: what was set, and what its certificate
// says, unless that may be for the proxy before it alone.
func (a *App) names() (n httpapi.Names, err error) {
	n.Must = a.cfg.RequireOrigin
	if n.Hosts, err = httpapi.ParseHosts(a.cfg.hosts()); err == nil && a.certs != nil && a.cfg.Proxy.Trusted == "" {
		n.Serves = a.certs.Serves
	}
	return n, err
}

// hosts are the names that the server was told, that of public_url among them. One in
// another script is left out: clients that go there name no origin.
func (c Config) hosts() string {
	u, err := url.Parse(c.publicURL())
	if err != nil || u.Host == "" || strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }) {
		return c.Hosts
	}
	return c.Hosts + "," + u.Host
}

// nameless says whether others reach a node that does not know what it is called.
func (c Config) nameless() bool {
	return c.hosts() == "" && !c.hereAlone() && (!c.TLS.on() || c.Proxy.Trusted != "")
}

// serve listens and serves until ctx ends.
func (a *App) serve(ctx context.Context, server *httpapi.Server, ready func()) error {
	listener, err := listen(ctx, a.cfg.Listen, "listen")
	if err != nil {
		return err
	}
	stop, err := a.serveRedirect(ctx, listener.Addr())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer stop()
	a.url = a.cfg.TLS.scheme() + "://" + reachable(listener.Addr())
	ready()
	return server.Run(ctx, listener)
}

func listen(ctx context.Context, address, flag string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, "listen_failed",
			"cannot listen on %s; if another program does, stop it or choose another address with --%s", address, flag).Because(err)
	}
	return listener, nil
}

// redirectPatience is how long one request without TLS may take.
const redirectPatience = 10 * time.Second

// serveRedirect leads http:// to https:// where that is asked for, until stop.
func (a *App) serveRedirect(ctx context.Context, secure net.Addr) (stop func(), err error) {
	if a.cfg.TLS.Redirect == "" {
		return func() {}, nil
	}
	listener, err := listen(ctx, a.cfg.TLS.Redirect, "tls-redirect")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(secure.String())
	if err != nil || port == "443" {
		port = ""
	}
	handler := httpapi.Redirect(port, a.certs.Serves)
	if authority, ok := a.certs.(*certs.ACME); ok {
		handler = authority.Answers(handler)
	}
	return httpapi.ServeBare(listener, handler, redirectPatience), nil
}

// LocalTrust is what a client on this machine believes of the server: a name that
// its certificate is for, and where that is in a file, this certificate alone, as
// it stands there. nil where the server speaks no TLS.
func (c Config) LocalTrust() (*tls.Config, error) {
	switch {
	case c.TLS.Cert != "":
		leaf, err := certs.Leaf(c.TLS.Cert)
		if err != nil {
			return nil, err
		}
		return trust(leaf), nil
	case c.TLS.ACME != "":
		domains, err := certs.ParseDomains(c.TLS.ACME)
		if err != nil {
			return nil, err
		}
		return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: domains[0]}, nil
	}
	return nil, nil
}

// trust is to believe one certificate, by a name that it is for.
func trust(leaf *x509.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if len(leaf.DNSNames) > 0 {
		c.ServerName = strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	} else {
		c.ServerName = leaf.IPAddresses[0].String()
	}
	return c
}
