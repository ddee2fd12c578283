// Package mail hands messages of plain text to the one SMTP server that an operator
// has named. It says what came of it and tries once: whoever asked is told, and asks
// again. It keeps no message and no address, so that neither a link nor a code in a
// message outlives the attempt.
package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"

	"github.com/danvoulez/logline/internal/fault"
)

// How a server is spoken to (RFC 3207, RFC 8314).
const (
	STARTTLS = "starttls" // TLS is asked for, and nothing is sent without it
	TLS      = "tls"      // from the first byte
	Plain    = "off"      // for a server on this machine
)

// MaxAddress bounds an address, in bytes (RFC 5321 §4.5.3.1.3, without brackets).
const MaxAddress = 254

// maxSubject bounds a subject, in code points.
const maxSubject = 150

// Config is the server and what it is told.
type Config struct {
	Host           string
	Port           int
	User, Password string // "": it asks for neither
	From           string // address of the sender, as ParseAddress takes it
	Security       string // STARTTLS …
	Timeout        time.Duration
	TLS            *tls.Config // whom to believe; nil: whom the system believes
}

// Message is one to a single person.
type Message struct {
	To      string // as ParseAddress gives it
	Subject string // control characters become spaces
	Text    string
}

// Sender is safe for concurrent use.
type Sender struct{ cfg Config }

// New makes a sender; it connects to nothing.
func New(cfg Config) *Sender { return &Sender{cfg: cfg} }

var errAddress = fault.New(fault.Invalid, "mail_address",
	"this is no address such as ana@example.org: letters of ASCII, one @, and no name beside it")

// ParseAddress reads one bare address and writes its domain in lower case; invalid
// mail_address. What it gives holds nothing that ends a line or begins another
// recipient.
func ParseAddress(text string) (string, error) {
	if len(text) > MaxAddress || strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", errAddress
	}
	a, err := netmail.ParseAddress(text)
	if err != nil || a.Name != "" || a.Address != text {
		return "", errAddress // whatever needs quotes is not what anybody has
	}
	at := strings.LastIndexByte(text, '@')
	domain := strings.ToLower(text[at+1:])
	if strings.HasPrefix(domain, "[") || !strings.Contains(domain, ".") && domain != "localhost" {
		return "", errAddress
	}
	return text[:at+1] + domain, nil
}

// DomainOf is the domain of an address that ParseAddress gave.
func DomainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// Send hands a message to the server, once. Its errors are for whoever asked to be
// shown, and hold nothing that the server said: refused mail_refused where it will not
// take this message, unavailable mail_unavailable where it may later, or cannot be
// reached.
func (s *Sender) Send(ctx context.Context, m Message) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	msg, err := s.message(m)
	if err != nil {
		return err
	}
	c, err := gomail.NewClient(s.cfg.Host, s.options()...)
	if err != nil {
		return fault.New(fault.Unavailable, "mail_unavailable", "the settings of the mail server cannot be used; whoever runs the node finds the reason in its log").Because(err)
	}
	return told(c.DialAndSendWithContext(ctx, msg))
}

func (s *Sender) options() []gomail.Option {
	opts := []gomail.Option{gomail.WithPort(s.cfg.Port), gomail.WithTimeout(s.cfg.Timeout), gomail.WithoutNoop(), gomail.WithHELO(DomainOf(s.cfg.From))}
	trust := &tls.Config{}
	if s.cfg.TLS != nil {
		trust = s.cfg.TLS.Clone()
	}
	trust.MinVersion = max(trust.MinVersion, tls.VersionTLS12)
	if trust.ServerName == "" {
		trust.ServerName = s.cfg.Host
	}
	opts = append(opts, gomail.WithTLSConfig(trust))
	switch s.cfg.Security {
	case TLS:
		opts = append(opts, gomail.WithSSL())
	case Plain:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.cfg.User != "" {
		auth := gomail.SMTPAuthAutoDiscover
		if s.cfg.Security == Plain {
			auth = gomail.SMTPAuthPlainNoEnc // on this machine, says CheckPlain
		}
		opts = append(opts, gomail.WithSMTPAuth(auth), gomail.WithUsername(s.cfg.User), gomail.WithPassword(s.cfg.Password))
	}
	return opts
}

// CheckPlain says whether a server may be spoken to without TLS: one on this machine.
func CheckPlain(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s *Sender) message(m Message) (*gomail.Msg, error) {
	to, err := ParseAddress(m.To)
	if err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(msg.From(s.cfg.From), msg.To(to)); err != nil {
		return nil, errAddress.Because(err)
	}
	msg.Subject(oneLine(m.Subject))
	msg.SetDate()
	msg.SetMessageIDWithValue(rand.Text() + "@" + DomainOf(s.cfg.From)) // not this machine's name
	msg.SetGenHeader("Auto-Submitted", "auto-generated")                // RFC 3834: nobody's holiday answers it
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	return msg, nil
}

// oneLine is text that ends no line of a header and is not too long for one.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxSubject {
		text = string(runes[:maxSubject-1]) + "…"
	}
	return text
}

// told is what may be shown of a failure.
func told(err error) error {
	if err == nil {
		return nil
	}
	var refused *gomail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return fault.Newf(fault.Conflict, "mail_refused", "the mail server does not take a message to this address (%d); look at the address", refused.ErrorCode()).Because(err)
	}
	return fault.New(fault.Unavailable, "mail_unavailable", "the mail server cannot be reached or takes nothing now; try again later, or give the link in another way").Because(err)
}
