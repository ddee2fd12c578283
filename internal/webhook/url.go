package webhook

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// MaxURLBytes bounds an endpoint's address.
const MaxURLBytes = 2048

// errURL never repeats the address: people put secrets in there.
var errURL = fault.New(fault.Invalid, "webhook_url", "the address of a webhook is not acceptable")

func badURL(why string) error { return errURL.At("/url", why) }

// CheckURL says whether an endpoint may have this address (invalid webhook_url).
// An address by name is looked at again at each delivery, when it is known what
// the name stands for.
func (s *Sender) CheckURL(text string) (*url.URL, error) {
	if text == "" || len(text) > MaxURLBytes || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, badURL("is not 1 to 2,048 characters of ASCII without spaces; write other characters as %xx, names as xn--…")
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Hostname() == "" {
		return nil, badURL("is no URL with a host, as https://example.org/hook is one")
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !s.cfg.Plain):
		return nil, badURL("is not an https:// one; webhook.plain of the node's configuration would allow http://")
	case u.User != nil:
		return nil, badURL("has a user or a password; the signature tells the receiver who sends")
	case u.Fragment != "" || strings.HasSuffix(text, "#"):
		return nil, badURL("has a fragment (#…), which is never sent")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, badURL("has a port that is none")
		}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		if what := s.guard.refusal(addr); what != "" {
			return nil, badURL("is " + what + "; webhook.networks of the node's configuration names networks that may be called beside the public internet")
		}
	}
	return u, nil
}
