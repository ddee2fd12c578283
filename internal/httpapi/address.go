package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
)

// Headers in which a proxy says for whom it asks.
const (
	headerForwarded      = "Forwarded" // RFC 7239
	headerForwardedFor   = "X-Forwarded-For"
	headerForwardedProto = "X-Forwarded-Proto"
	headerRealIP         = "X-Real-Ip"
)

// Names of networks that stand for themselves in a list of proxies.
var (
	loopbackNetworks = prefixes("127.0.0.0/8", "::1/128")
	privateNetworks  = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
	railwayNetworks  = prefixes("100.64.0.0/10") // what Railway's edge calls services from
)

// maxHops bounds how many proxies in a row are looked through.
const maxHops = 32

// Proxies are the peers whose word about the client is taken, each with the one
// header that it is read from: a proxy hands on what it does not set itself, so
// that any other header may be the client's own. The zero value trusts nobody.
type Proxies []proxy

type proxy struct {
	network netip.Prefix
	header  string // canonical name
}

// ParseProxies reads networks separated by commas, as 10.1.0.0/16, single
// addresses, and the names loopback, private and railway. header is
// X-Forwarded-For, Forwarded or X-Real-IP; "" for the usual one, which is
// X-Real-IP for railway and X-Forwarded-For for all others.
func ParseProxies(list, header string) (Proxies, error) {
	header = http.CanonicalHeaderKey(header)
	if header != "" && !slices.Contains([]string{headerForwarded, headerForwardedFor, headerRealIP}, header) {
		return nil, fault.New(fault.Invalid, "proxy_header", "must be X-Forwarded-For, Forwarded or X-Real-IP, or empty")
	}
	var out Proxies
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		networks, usual, err := proxyNetworks(text)
		if err != nil {
			return nil, err
		}
		if header != "" {
			usual = header
		}
		for _, n := range networks {
			out = append(out, proxy{n, usual})
		}
	}
	return out, nil
}

// proxyNetworks is what one element of the list stands for, and the header that
// is usual there.
func proxyNetworks(text string) ([]netip.Prefix, string, error) {
	switch text {
	case "loopback":
		return loopbackNetworks, headerForwardedFor, nil
	case "private":
		return privateNetworks, headerForwardedFor, nil
	case "railway":
		return railwayNetworks, headerRealIP, nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		return []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}, headerForwardedFor, nil
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || p != p.Masked() || p.Addr().Is4In6():
		return nil, "", fault.New(fault.Invalid, "proxy_trusted",
			"must be networks such as 10.1.0.0/16 or fd00:1::/32 without bits behind the prefix, addresses, loopback, private or railway, separated by commas")
	case p.Bits() == 0:
		return nil, "", fault.New(fault.Invalid, "proxy_trusted",
			"must not trust every address: anybody could then claim to be anybody; name the networks that the proxies are in")
	}
	return []netip.Prefix{p}, headerForwardedFor, nil
}

// header is the header that this peer's word is read from, "" where the peer is
// not trusted.
func (p Proxies) header(peer netip.Addr) string {
	for i := range p {
		if p[i].network.Contains(peer) {
			return p[i].header
		}
	}
	return ""
}

// clientAddress is where a request comes from: the peer of its connection or, where
// that is a trusted proxy, the nearest address before it that is none. Whoever
// limits, counts or logs by address asks here. The zero Addr stands for a
// connection without one.
func (s *Server) clientAddress(req *http.Request) netip.Addr {
	at := peerOf(req)
	header := s.deps.Proxies.header(at)
	if header == "" {
		return at
	}
	values := req.Header[header]
	if header == headerRealIP {
		if len(values) == 1 {
			if claimed, ok := hop(values[0]); ok {
				return claimed
			}
		}
		return at
	}
	hops := hopsOf(header, values)
	for i := len(hops) - 1; i >= 0 && len(hops)-i <= maxHops; i-- {
		claimed, ok := hop(hops[i])
		if !ok {
			return at // whatever is before what cannot be read, nobody that is trusted says it
		}
		if at = claimed; s.deps.Proxies.header(at) == "" {
			return at
		}
	}
	return at
}

// fromProxy says whether the peer is a trusted proxy.
func (s *Server) fromProxy(req *http.Request) bool {
	return len(s.deps.Proxies) > 0 && s.deps.Proxies.header(peerOf(req)) != ""
}

// secure says whether the client speaks TLS, to the server or to a trusted proxy
// that says so.
func (s *Server) secure(req *http.Request) bool {
	if req.TLS != nil {
		return true
	}
	if !s.fromProxy(req) {
		return false
	}
	if s.deps.Proxies.header(peerOf(req)) == headerForwarded {
		elements := forwardedElements(strings.Join(req.Header[headerForwarded], ","))
		return len(elements) > 0 && equalFoldASCII(elements[len(elements)-1]["proto"], "https")
	}
	said := strings.Split(strings.Join(req.Header[headerForwardedProto], ","), ",")
	return equalFoldASCII(strings.TrimSpace(said[len(said)-1]), "https")
}

// peerOf is the other end of the request's connection.
func peerOf(req *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// hopsOf are the addresses that a header names, the nearest last.
func hopsOf(header string, values []string) []string {
	all := strings.Join(values, ",") // several fields are one list (RFC 9110 §5.3)
	if header == headerForwardedFor {
		if strings.TrimSpace(all) == "" {
			return nil
		}
		return strings.Split(all, ",")
	}
	elements := forwardedElements(all)
	hops := make([]string, len(elements))
	for i, e := range elements {
		hops[i] = e["for"]
	}
	return hops
}

// hop reads one address, with or without a port.
func hop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	at, err := netip.ParseAddr(text)
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(text); err == nil {
			at = withPort.Addr()
		}
	}
	if inner, bracketed := strings.CutPrefix(text, "["); err != nil && bracketed {
		if inner, bracketed = strings.CutSuffix(inner, "]"); bracketed {
			at, err = netip.ParseAddr(inner)
		}
	}
	if err != nil || at.Zone() != "" || at.IsUnspecified() {
		return netip.Addr{}, false
	}
	return at.Unmap(), true
}

// fromThisMachine says whether the caller is a process here: no proxy, and no
// page of a site whose name was pointed here.
func (s *Server) fromThisMachine(req *http.Request) bool {
	for _, name := range []string{headerForwarded, headerForwardedFor, headerForwardedProto, headerRealIP, echo.HeaderOrigin} {
		if len(req.Header[name]) > 0 {
			return false
		}
	}
	return peerOf(req).IsLoopback() && localName(req.Host)
}

// localName says whether a Host names this machine by itself.
func localName(host string) bool {
	if name, _, found := strings.Cut(host, ":"); equalFoldASCII(host, "localhost") || found && equalFoldASCII(name, "localhost") {
		return true
	}
	at, ok := hop(host)
	return ok && at.IsLoopback()
}

func prefixes(texts ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParsePrefix(text)
	}
	return out
}
