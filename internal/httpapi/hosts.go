package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

// A token is for one node, which it names; a client that does not know the node yet
// asks the server that it speaks to. So a hostile server can name another node, and
// use the token there. Against that, tokens say by which address their client came
// (`origin`), and a node takes none that came by somebody else's.

// Names are those that the server is called by, and what is asked of tokens.
type Names struct {
	Hosts  []string               // host or host:port, in lower case
	Serves func(host string) bool // further ones, such as those of its certificate; nil for none
	Must   bool                   // tokens that name no origin are refused
}

// known says whether anybody has said what the server is called.
func (n Names) known() bool { return len(n.Hosts) > 0 || n.Serves != nil }

// has says whether the server is called by this host, with its port where the name
// has one.
func (n Names) has(hostname, port string) bool {
	return slices.Contains(n.Hosts, hostname) || slices.Contains(n.Hosts, net.JoinHostPort(strings.Trim(hostname, "[]"), port)) ||
		n.Serves != nil && n.Serves(strings.Trim(hostname, "[]"))
}

// Called says whether the server is called by a host; nil where nobody has said what
// it is called.
func (n Names) Called() func(hostname, port string) bool {
	if !n.known() {
		return nil
	}
	return n.has
}

var errHosts = fault.New(fault.Invalid, "hosts",
	"must be names or addresses by which clients reach this node, such as log.example.com or 10.0.0.7:8080, separated by commas: without a scheme, a path or *")

// ParseHosts reads hosts separated by commas, each with or without a port.
func ParseHosts(list string) (out []string, err error) {
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.ToLower(strings.TrimSpace(text)); text == "" {
			continue
		}
		if _, host, ok := splitOrigin("http://" + text); !ok || host != text && host+":80" != text || strings.Contains(text, "*") {
			return nil, errHosts
		}
		out = append(out, text)
	}
	return out, nil
}

var errNoOrigin = fault.New(fault.Unauthenticated, "token_origin_required",
	"this node takes only tokens that name the origin they are for (claim `origin`, scheme://host[:port]); use a newer client")

// judgeOrigin refuses a credential whose token came by the address of somebody else,
// who then handed it on.
func (s *Server) judgeOrigin(req *http.Request, who id.Credential) error {
	switch {
	case who.How != id.ByToken:
		return nil
	case who.Origin == "" && s.deps.Names.Must:
		return errNoOrigin
	case who.Origin == "" || s.answersTo(req, who.Origin):
		return nil
	}
	return fault.Newf(fault.Unauthenticated, "token_origin",
		"this token is for %s, which is no address of this node: if its server handed it on, do not trust it; if it is this node, or a proxy before it, its operator names it in the setting hosts", shownOrigin(who.Origin))
}

// shownOrigin is what is repeated of a token's origin: an origin, or nothing.
func shownOrigin(text string) string {
	if scheme, host, ok := splitOrigin(text); ok {
		return scheme + "://" + host
	}
	return "something that is no scheme://host[:port]"
}

// splitOrigin is an origin's scheme and host, without the port that is usual. It takes
// more names than browsers know as origins: services are called as containers are.
func splitOrigin(text string) (scheme, host string, ok bool) {
	u, err := url.Parse(strings.ToLower(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Scheme+"://"+u.Host != strings.ToLower(text) ||
		strings.ContainsFunc(u.Host, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", "", false
	}
	return u.Scheme, withoutUsualPort(u.Scheme, u.Host), true
}

// answersTo says whether an origin is an address of this server.
//
// Where the server knows its names, they decide. Where it does not, the request's
// Host has to be the origin's: whoever hands a token on through a front that chooses
// by Host has to say ours. Somebody who reaches the server itself may say any, so that
// this is as good as the front; and a Host that is no name in public was written by a
// front, for us, and says nothing about the client.
func (s *Server) answersTo(req *http.Request, text string) bool {
	scheme, host, ok := splitOrigin(text)
	if !ok {
		return false
	}
	hostname, port := splitHost(scheme, host)
	if reachedAt(req.Context(), hostname) {
		return true
	}
	if s.deps.Names.known() {
		return s.deps.Names.has(hostname, port)
	}
	asked := withoutUsualPort(scheme, strings.ToLower(req.Host))
	return asked == host || !public(asked)
}

// splitHost is a host's name and port, the usual one of the scheme where none is named.
func splitHost(scheme, host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return strings.Trim(host, "[]"), map[string]string{"http": "80", "https": "443"}[scheme]
}

// reachedAt says whether an address, or a name of the machine itself, is where the
// request's connection came in: nobody else is there.
func reachedAt(ctx context.Context, hostname string) bool {
	local, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	at := local.AddrPort().Addr().Unmap().WithZone("")
	if hostname == "localhost" || strings.HasSuffix(hostname, ".localhost") {
		return at.IsLoopback()
	}
	said, err := netip.ParseAddr(hostname)
	return err == nil && said.Unmap() == at
}

// public says whether a Host is a name that clients elsewhere could use.
func public(host string) bool {
	name, _ := splitHost("", host)
	if _, err := netip.ParseAddr(name); err == nil {
		return false
	}
	return strings.Contains(name, ".") && !strings.HasSuffix(name, ".localhost")
}
