package passkey

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

// Pages says on which pages passkeys work. A passkey belongs to the name of a host
// (WebAuthn §5.1.2, the relying party's ID), and browsers make and use them on pages
// that came with TLS, and on those of localhost.
type Pages struct {
	Own   string                           // where people reach the node, as https://log.example.com; "" where nobody has said
	Named func(hostname, port string) bool // without Own: the names that the node is called by; nil: nobody has said
	Here  bool                             // the node is reached from its own machine alone, so that localhost is it
}

// party is the host that passkeys of a page belong to. Of pages that only somebody
// else could have meant it knows none: a name that leads here is not ours yet.
func (p Pages) party(origin string) (string, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return "", p.elsewhere(origin)
	}
	host, port := u.Hostname(), u.Port()
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	if _, err := netip.ParseAddr(host); err == nil || host == "" || u.Scheme != "https" && !local {
		return "", p.elsewhere(origin)
	}
	switch {
	case p.Own != "" && origin == originOf(p.Own):
	case p.Here && host == "localhost":
	case p.Own == "" && p.Named != nil && p.Named(host, cmpPort(port)):
	default:
		return "", p.elsewhere(origin)
	}
	return host, nil
}

// cmpPort is a port of a page with TLS.
func cmpPort(port string) string {
	if port == "" {
		return "443"
	}
	return port
}

// elsewhere says where passkeys work instead.
func (p Pages) elsewhere(origin string) error {
	at := p.Own
	if u, err := url.Parse(origin); err == nil && at == "" && p.Here && u.Host != "" {
		at = u.Scheme + "://localhost"
		if port := u.Port(); port != "" {
			at = u.Scheme + "://" + net.JoinHostPort("localhost", port)
		}
	}
	if at == "" {
		return fault.New(fault.Unavailable, "passkeys_nowhere", "passkeys belong to the name of a host, and this node does not know its own. Whoever runs it sets LOGLINE_PUBLIC_URL to where people reach it, as https://log.example.com")
	}
	return fault.Newf(fault.Forbidden, "passkeys_elsewhere", "passkeys do not work on this page; open %s, with a name and with TLS unless it is localhost", at)
}

// originOf is the origin of an address, as browsers write it (RFC 6454 §6.2).
func originOf(address string) string {
	u, err := url.Parse(strings.ToLower(address))
	if err != nil {
		return ""
	}
	host := strings.TrimSuffix(u.Host, map[string]string{"http": ":80", "https": ":443"}[u.Scheme])
	return u.Scheme + "://" + host
}
