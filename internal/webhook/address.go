package webhook

import (
	"net/netip"
	"slices"
)

// guard says which addresses may be connected to: those of the public internet,
// and networks that the operator names.
type guard struct{ allowed []netip.Prefix }

// special are networks that are not of the public internet (the IANA
// special-purpose registries, RFC 6890 and successors), and public addresses at
// which clouds answer their own machines alone.
var special = []struct {
	net  netip.Prefix
	what string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("10.0.0.0/8"), "a private network"},
	{netip.MustParsePrefix("100.64.0.0/10"), "a carrier's network (CGNAT)"}, // metadata of Alibaba Cloud is here
	{netip.MustParsePrefix("127.0.0.0/8"), "this machine (loopback)"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's metadata"}, // of Azure
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address, where clouds keep metadata"},
	{netip.MustParsePrefix("172.16.0.0/12"), "a private network"},
	{netip.MustParsePrefix("192.0.0.0/24"), "a network of protocols"}, // metadata of Oracle Cloud is here
	{netip.MustParsePrefix("192.0.2.0/24"), "a network of examples"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a relay of 6to4"},
	{netip.MustParsePrefix("192.168.0.0/16"), "a private network"},
	{netip.MustParsePrefix("198.18.0.0/15"), "a network of benchmarks"},
	{netip.MustParsePrefix("198.51.100.0/24"), "a network of examples"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a network of examples"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved or broadcast address"},

	{netip.MustParsePrefix("::/128"), "an unspecified address"},
	{netip.MustParsePrefix("::1/128"), "this machine (loopback)"},
	{netip.MustParsePrefix("2001::/23"), "a network of protocols"}, // Teredo is here
	{netip.MustParsePrefix("2001:db8::/32"), "a network of examples"},
	{netip.MustParsePrefix("3fff::/20"), "a network of examples"},
	{netip.MustParsePrefix("fc00::/7"), "a private network"}, // metadata of AWS is here
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

var (
	global6 = netip.MustParsePrefix("2000::/3")     // all that is given out of IPv6
	nat64   = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: IPv4 in the last 4 bytes
	sixto4  = netip.MustParsePrefix("2002::/16")    // RFC 3056: IPv4 in the next 4 bytes
)

// refusal says what kind of address this is, if it may not be connected to, and
// "" if it may. What is allowed is allowed as it is written: a network of IPv4
// does not cover the addresses of IPv6 in which it can be embedded, but for
// IPv4-mapped ones, which are the same addresses.
func (g guard) refusal(addr netip.Addr) string {
	if !addr.IsValid() {
		return "no address"
	}
	zoned := addr.Zone() != ""
	addr = addr.WithZone("").Unmap()
	if slices.ContainsFunc(g.allowed, func(p netip.Prefix) bool { return p.Contains(addr) }) {
		return ""
	}
	if zoned {
		return "a link-local address"
	}
	for _, s := range special {
		if s.net.Contains(addr) {
			return s.what
		}
	}
	b := addr.As16()
	switch {
	case addr.Is4():
		return ""
	case nat64.Contains(addr):
		return guard{}.embedded(b[12:])
	case sixto4.Contains(addr):
		return guard{}.embedded(b[2:6])
	case global6.Contains(addr):
		return ""
	}
	return "not an address of the public internet"
}

func (g guard) embedded(b []byte) string {
	if what := g.refusal(netip.AddrFrom4([4]byte(b))); what != "" {
		return what + ", embedded in IPv6"
	}
	return ""
}
