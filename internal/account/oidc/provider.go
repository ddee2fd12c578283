package oidc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/danvoulez/logline/internal/fault"
)

const (
	answerTime  = 10 * time.Second // that one call to a provider takes at most
	allTime     = 30 * time.Second // and all for one person
	mostAnswer  = 1 << 20          // bytes of an answer
	knownFor    = time.Hour        // that a provider is not asked again where its parts are
	spareFor    = 5 * time.Second  // that a provider is left alone that did not answer
	mostHeaders = 64 << 10         // bytes
)

// party is a provider with what is known of it.
type party struct {
	Provider
	client *http.Client
	now    func() time.Time
	log    *slog.Logger

	mu     sync.Mutex
	known  *parts
	failed error
	until  time.Time // that known or failed holds
}

// parts are where a provider is asked what.
type parts struct {
	provider *oidclib.Provider
	endpoint oauth2.Endpoint
	saysWho  bool // its answers by way of the browser name it (RFC 9207)
}

func newParty(p Provider, base http.RoundTripper, now func() time.Time, log *slog.Logger) (*party, error) {
	u, err := parseIssuer(p.Issuer)
	if err != nil {
		return nil, wrong("issuer: %s", err)
	}
	if base == nil {
		base = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: answerTime}).DialContext, // and no proxy of the environment's
			TLSHandshakeTimeout: answerTime, ResponseHeaderTimeout: answerTime, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 2,
			MaxResponseHeaderBytes: mostHeaders, ForceAttemptHTTP2: true,
		}
	}
	f := fence{base: base, plain: u.Scheme == "http", hosts: append([]string{authority(u)}, p.Hosts...)}
	for i, host := range p.Hosts {
		f.hosts[i+1] = authority(&url.URL{Scheme: u.Scheme, Host: host})
	}
	return &party{Provider: p, now: now, log: log, client: &http.Client{
		Transport: f, Timeout: answerTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// fence lets calls go to a provider's own hosts alone, and bounds what comes back.
type fence struct {
	base  http.RoundTripper
	hosts []string
	plain bool
}

var errFence = errors.New("the provider names a host that is not its own; where it is, the operator adds it to the provider's hosts")

func (f fence) allows(u *url.URL) bool {
	return (u.Scheme == "https" || f.plain && u.Scheme == "http") && u.User == nil && slices.Contains(f.hosts, authority(u))
}

// RoundTrip implements http.RoundTripper.
func (f fence) RoundTrip(req *http.Request) (*http.Response, error) {
	if !f.allows(req.URL) {
		return nil, errFence
	}
	res, err := f.base.RoundTrip(req)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, mostAnswer)
	}
	return res, err
}

// authority is the host and the port that an address leads to.
func authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// asks is a context for calls to the provider.
func (p *party) asks(ctx context.Context) context.Context {
	return oidclib.ClientContext(ctx, p.client)
}

// find learns where the provider's parts are; what it said last holds for an hour.
func (p *party) find(ctx context.Context) (*parts, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if now.Before(p.until) {
		return p.known, p.failed
	}
	// Others wait for it too: who asked first may go away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	if p.known, p.failed = p.discover(ctx); p.failed != nil {
		p.until = now.Add(spareFor)
		p.log.WarnContext(ctx, "a provider that people sign in by cannot be used", slog.String("provider", p.Name), slog.Any("error", p.failed))
		return nil, p.failed
	}
	p.until = now.Add(knownFor)
	return p.known, nil
}

func (p *party) unusable(err error) error {
	return fault.Newf(fault.Unavailable, "oidc_unavailable", "%s cannot be reached, or does not answer as it should; try again, or sign in another way", p.Label).Because(brief{err}).After(spareFor)
}

// brief is an error for the log, of which a provider wrote a part: not all that it
// likes to have there.
type brief struct{ error }

const mostError = 300 // bytes

func (b brief) Error() string {
	text := b.error.Error()
	if len(text) > mostError {
		text = text[:mostError] + "…"
	}
	return strings.ToValidUTF8(text, "")
}

func (b brief) Unwrap() error { return b.error }

// discover asks the provider (OpenID Connect Discovery 1.0 §4), which must call
// itself by the very issuer that is set.
func (p *party) discover(ctx context.Context) (*parts, error) {
	provider, err := oidclib.NewProvider(p.asks(ctx), p.Issuer)
	if err != nil {
		return nil, p.unusable(err)
	}
	var said struct {
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		SaysWho bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&said); err != nil {
		return nil, p.unusable(err)
	}
	d := &parts{provider: provider, endpoint: provider.Endpoint(), saysWho: said.SaysWho}
	// To try both, as the library does unless told, would spend a code on a guess.
	d.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if len(said.Methods) > 0 && !slices.Contains(said.Methods, "client_secret_basic") {
		d.endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	// Browsers are led to the first, and secrets to the second.
	for _, address := range []string{d.endpoint.AuthURL, d.endpoint.TokenURL} {
		u, err := url.Parse(address)
		if err != nil || !p.client.Transport.(fence).allows(u) {
			return nil, p.unusable(errFence)
		}
	}
	return d, nil
}
