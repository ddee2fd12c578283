package webhook

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"93.184.216.34": "", "8.8.8.8": "", "100.63.255.255": "", "100.128.0.0": "", "172.15.255.255": "", "172.32.0.0": "", "168.63.129.17": "",
		"2606:4700:4700::1111": "", "2a00:1450::1": "", "::ffff:8.8.8.8": "", "64:ff9b::8.8.8.8": "", "2002:808:808::1": "",

		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "::1": "loopback", "0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "::": "unspecified",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private", "fd00::1": "private", "fc00::1": "private",
		"169.254.1.1": "link-local", "fe80::1": "link-local", "febf::1": "link-local", "fe80::1%eth0": "link-local", "2606:4700::1%eth0": "link-local",
		"100.64.0.1": "CGNAT", "100.127.255.255": "CGNAT",
		"169.254.169.254": "metadata", "168.63.129.16": "metadata", "fd00:ec2::254": "private", "100.100.100.200": "CGNAT", "192.0.0.192": "protocols",
		"224.0.0.1": "multicast", "239.255.255.255": "multicast", "ff02::1": "multicast", "255.255.255.255": "broadcast", "240.0.0.1": "reserved",
		"192.0.2.1": "examples", "198.51.100.1": "examples", "203.0.113.1": "examples", "2001:db8::1": "examples", "3fff::1": "examples",
		"198.18.0.1": "benchmarks", "192.88.99.1": "6to4", "2001::1": "protocols",

		"::ffff:127.0.0.1": "loopback", "::ffff:169.254.169.254": "metadata", "::ffff:10.0.0.1": "private",
		"::127.0.0.1": "public internet", "64:ff9b:1::1": "public internet", "fec0::1": "public internet", "4000::1": "public internet", "100::1": "public internet", "5f00::1": "public internet",
		"64:ff9b::127.0.0.1": "(loopback), embedded", "64:ff9b::169.254.169.254": "metadata, embedded", "2002:7f00:1::": "(loopback), embedded", "2002:a9fe:a9fe::1": "metadata, embedded",
	} {
		got := guard{}.refusal(netip.MustParseAddr(text))
		require.Equal(t, want == "", got == "", "%s: %s", text, got)
		require.Contains(t, got, want, text)
	}
	require.NotEmpty(t, guard{}.refusal(netip.Addr{}))
}

// What is allowed is what is named, and the same address written as IPv6.
func TestNamedNetworks(t *testing.T) {
	t.Parallel()
	g := guard{allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/32")}}
	for _, text := range []string{"10.1.2.3", "::ffff:10.1.2.3", "fd00:1::1", "8.8.8.8"} {
		require.Empty(t, g.refusal(netip.MustParseAddr(text)), text)
	}
	for _, text := range []string{"10.2.0.1", "127.0.0.1", "fd00:2::1", "64:ff9b::10.1.2.3", "2002:a01:203::1", "::10.1.2.3", "169.254.169.254"} {
		require.NotEmpty(t, g.refusal(netip.MustParseAddr(text)), text)
	}
}

// FuzzRefusal: an address that embeds one of IPv4 is called only if that one is.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1}, []byte{})
	f.Add([]byte{169, 254, 169, 254}, []byte{1})
	f.Add([]byte{8, 8, 8, 8}, []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, four, rest []byte) {
		var v4 [4]byte
		copy(v4[:], four)
		plain := netip.AddrFrom4(v4)
		what := guard{}.refusal(plain)
		private := plain.IsPrivate() || plain.IsLoopback() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified()
		require.False(t, private && what == "", "%s", plain)

		mapped := netip.AddrFrom16(plain.As16())
		require.Equal(t, what, guard{}.refusal(mapped))
		nat := [16]byte{0, 0x64, 0xff, 0x9b, 12: v4[0], 13: v4[1], 14: v4[2], 15: v4[3]}
		six := [16]byte{0x20, 2, v4[0], v4[1], v4[2], v4[3]}
		copy(six[6:], rest)
		for _, a := range [][16]byte{nat, six} {
			got := guard{}.refusal(netip.AddrFrom16(a))
			require.Equal(t, what == "", got == "", "%s", netip.AddrFrom16(a))
			require.True(t, strings.HasPrefix(got, what))
		}
	})
}
