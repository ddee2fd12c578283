// Package webhook delivers messages to endpoints over HTTP by the Standard
// Webhooks specification: one attempt each, signed, and bounded in time and
// memory whatever the receiver does. It connects to the public internet alone,
// unless it is told of other networks; that is decided by the address that is
// really connected to, so that no name and no redirection leads inside. It keeps
// nothing, repeats nothing, and neither its errors nor its results name an
// address or a secret.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/danvoulez/logline/client/webhook"
)

// Config is what a Sender is bounded by. Zero values mean the defaults named
// beside them.
type Config struct {
	Plain    bool           // http:// is allowed too
	Networks []netip.Prefix // that may be called beside the public internet
	// Proxy is where all requests go through, http:// or https://; nil: nowhere,
	// whatever the environment says. It is what resolves names then, so that it
	// decides which addresses are called, and this package only checks those
	// that are written as such.
	Proxy *url.URL

	Connect time.Duration // to resolve and connect, and again for TLS: 5 s
	Header  time.Duration // from the request to the answer's headers: 15 s
	Body    time.Duration // from there on, for the beginning of its body: 2 s
	Total   time.Duration // of all together: 20 s

	HeaderBytes int64  // of the answer: 16 KiB
	Agent       string // User-Agent: LogLine

	Roots    *x509.CertPool   // who may vouch for receivers: the system's
	Resolver *net.Resolver    // the system's
	Now      func() time.Time // time.Now
}

func (c Config) withDefaults() Config {
	c.Connect = cmp.Or(c.Connect, 5*time.Second)
	c.Header = cmp.Or(c.Header, 15*time.Second)
	c.Body = cmp.Or(c.Body, 2*time.Second)
	c.Total = cmp.Or(c.Total, 20*time.Second)
	c.HeaderBytes = cmp.Or(c.HeaderBytes, 16<<10)
	c.Agent = cmp.Or(c.Agent, "LogLine")
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Endpoint is where messages go, and what signs them.
type Endpoint struct {
	URL     string
	Secrets []webhook.Secret // all of them sign, the newest first
}

// String and GoString keep the address out of logs; many have a secret in it.
func (e Endpoint) String() string { return "webhook endpoint" }

// GoString is String.
func (e Endpoint) GoString() string { return e.String() }

// Message is what is delivered.
type Message struct {
	ID      string // the same in every attempt; see client/webhook.CheckID
	Body    []byte // JSON
	Timeout time.Duration
}

// Sender delivers messages. It is safe for concurrent use and holds no
// connections between attempts: each resolves, checks and connects anew.
type Sender struct {
	cfg       Config
	guard     guard
	transport *http.Transport
}

// New makes a sender.
func New(cfg Config) *Sender {
	s := &Sender{cfg: cfg.withDefaults()}
	s.guard.allowed = s.cfg.Networks
	dialer := &net.Dialer{Timeout: s.cfg.Connect, KeepAlive: -1, Resolver: s.cfg.Resolver, ControlContext: s.control}
	s.transport = &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: s.cfg.Connect, ResponseHeaderTimeout: s.cfg.Header,
		MaxResponseHeaderBytes: s.cfg.HeaderBytes, DisableKeepAlives: true, DisableCompression: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.cfg.Roots},
		Protocols:       new(http.Protocols),
	}
	s.transport.Protocols.SetHTTP1(true)
	if s.cfg.Proxy != nil {
		s.transport.Proxy = http.ProxyURL(s.cfg.Proxy)
		dialer.ControlContext = nil // only the proxy is ever connected to
	}
	return s
}

// attempt is what is learnt on the way of one.
type attempt struct {
	refused   atomic.Pointer[string] // what an address was that was not called
	tried     atomic.Bool            // an address that may be called was
	shaking   atomic.Bool            // a TLS handshake began
	connected atomic.Bool            // and ended, so that the request can be sent
}

type attemptKey struct{}

// control looks at each address between its resolution and the connection, when
// nothing can change it any more.
func (s *Sender) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	to, err := netip.ParseAddrPort(address)
	what := "no address"
	if err == nil {
		what = s.guard.refusal(to.Addr())
	}
	if what == "" {
		if a != nil {
			a.tried.Store(true)
		}
		return nil
	}
	if a != nil {
		a.refused.Store(&what)
	}
	return errRefused
}

var errRefused = errors.New("the address is not called")

// Send makes one attempt. It takes no longer than Config.Total, or
// Message.Timeout if that is less and not zero.
func (s *Sender) Send(ctx context.Context, to Endpoint, m Message) Result {
	began := s.cfg.Now()
	r := s.send(ctx, to, m, began)
	r.Took = max(s.cfg.Now().Sub(began), 0)
	return r
}

func (s *Sender) send(ctx context.Context, to Endpoint, m Message, now time.Time) Result {
	u, err := s.CheckURL(to.URL)
	if err != nil {
		return failure(GiveUp, CodeURL, "the webhook's address is not one that this node calls any more; set another, or look at webhook.plain and webhook.networks of its configuration")
	}
	if err := webhook.CheckID(m.ID); err != nil || len(to.Secrets) == 0 {
		return failure(GiveUp, CodeURL, "the webhook has no secret, or the message no id")
	}
	limit := s.cfg.Total
	if m.Timeout > 0 {
		limit = min(limit, m.Timeout)
	}
	a := &attempt{}
	ctx, cancel := context.WithTimeoutCause(context.WithValue(ctx, attemptKey{}, a), limit, errTotal)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart: func() { a.shaking.Store(true) },
		GotConn:           func(httptrace.GotConnInfo) { a.connected.Store(true) },
	})
	request := &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: s.headers(to, m, now), Body: io.NopCloser(bytes.NewReader(m.Body)), ContentLength: int64(len(m.Body)),
	}
	answer, err := s.transport.RoundTrip(request.WithContext(ctx)) // which follows no redirections
	if err != nil {
		return s.failed(ctx, a, u, err)
	}
	defer answer.Body.Close() // which ends the connection, whatever is left
	r := byStatus(answer.StatusCode, answer.Header, now)
	late := time.AfterFunc(s.cfg.Body, cancel)
	defer late.Stop()
	body, _ := io.ReadAll(io.LimitReader(answer.Body, MaxAnswerBytes)) // the status has said all that counts
	r.Answer = beginning(body)
	return r
}

// headers are what is sent, with a signature by each secret.
func (s *Sender) headers(to Endpoint, m Message, now time.Time) http.Header {
	signatures := make([]string, len(to.Secrets))
	for i, secret := range to.Secrets {
		signatures[i] = secret.Sign(m.ID, now, m.Body)
	}
	return http.Header{
		"Content-Type":          {"application/json"},
		"User-Agent":            {s.cfg.Agent},
		webhook.HeaderID:        {m.ID},
		webhook.HeaderTimestamp: {strconv.FormatInt(now.Unix(), 10)},
		webhook.HeaderSignature: {strings.Join(signatures, " ")},
	}
}

var errTotal = errors.New("the attempt took longer than it may")

// failed says what an error of the transport means. Nothing of the error's text
// is told: it names addresses.
func (s *Sender) failed(ctx context.Context, a *attempt, u *url.URL, err error) Result {
	cause := context.Cause(ctx)
	switch {
	case cause != nil && !errors.Is(cause, errTotal) && !errors.Is(cause, context.DeadlineExceeded):
		return failure(Retry, CodeStopped, "the attempt was ended by the node; it is sent again")
	case !a.connected.Load():
		return s.unconnected(a, err)
	case timedOut(err):
		return failure(Retry, CodeTimeout, "the receiver took the connection and gave no answer in time; it should answer first and work later")
	case strings.Contains(err.Error(), "response headers exceeded"): // net/http has no error value for it
		return failure(Retry, CodeHeaders, "the headers of the receiver's answer are larger than "+strconv.FormatInt(s.cfg.HeaderBytes, 10)+" bytes together")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), strings.Contains(err.Error(), "server closed idle connection"):
		return failure(Retry, CodeCut, "the receiver ended the connection before its answer was complete; whether it took the message is unknown, so it is sent again under the same id")
	default:
		return failure(Retry, CodeMalformed, "what the receiver answered is no HTTP, or ended in the middle of a line; is it a web server that listens at this "+u.Scheme+" address?")
	}
}

// unconnected says why there was no connection to send on.
func (s *Sender) unconnected(a *attempt, err error) Result {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	refused := a.refused.Load()
	switch {
	case refused != nil && !a.tried.Load():
		return failure(GiveUp, CodeAddress, "the webhook's name stands for "+*refused+"; webhook.networks of the node's configuration names networks that may be called beside the public internet")
	case errors.As(err, &dns):
		return failure(Retry, CodeUnresolved, "the webhook's name stands for no address now; check its spelling and its DNS records")
	case errors.As(err, &certificate):
		return failure(Retry, CodeTLS, "the receiver's certificate does not hold: "+certified(certificate))
	case errors.As(err, &record):
		return failure(Retry, CodeTLS, "the receiver does not speak TLS; is it http at an https address?")
	case timedOut(err):
		return failure(Retry, CodeConnectSlow, "there was no connection to the receiver in time; is it running, and does a firewall keep the node out?")
	case s.cfg.Proxy != nil:
		return failure(Retry, CodeUnreachable, "there is no connection to the receiver through the node's proxy")
	case a.shaking.Load():
		return failure(Retry, CodeTLS, "the TLS handshake with the receiver failed, or was cut; it must speak TLS 1.2 or later")
	default:
		return failure(Retry, CodeUnreachable, "the receiver takes no connections now; is it running?")
	}
}

// certified is what is wrong with a certificate, without the names in it.
func certified(err *tls.CertificateVerificationError) string {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &host):
		return "it is another name's"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "it has expired, or is not valid yet"
	default:
		return "nobody this node trusts has signed it"
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, errTotal) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
