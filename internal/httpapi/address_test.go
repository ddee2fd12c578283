package httpapi

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// asked is a request from a peer with header fields, name and value by turns.
func asked(peer string, fields ...string) *http.Request {
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(peer), 4321).String()
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

func behind(t testing.TB, list, header string) *Server {
	t.Helper()
	proxies, err := ParseProxies(list, header)
	require.NoError(t, err)
	return &Server{deps: Deps{Proxies: proxies}}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	const xff, fwd, real = "X-Forwarded-For", "Forwarded", "X-Real-IP"
	for name, c := range map[string]struct {
		trusted, header, peer string
		fields                []string
		want                  string
	}{
		"no proxy":                        {"", "", "192.0.2.1", []string{xff, "203.0.113.9", fwd, "for=203.0.113.9", real, "203.0.113.9"}, "192.0.2.1"},
		"a peer that is none":             {"10.0.0.0/8", "", "192.0.2.1", []string{xff, "203.0.113.9"}, "192.0.2.1"},
		"one proxy":                       {"10.0.0.0/8", "", "10.1.1.1", []string{xff, "203.0.113.9"}, "203.0.113.9"},
		"the client's own claim":          {"10.0.0.0/8", "", "10.1.1.1", []string{xff, "198.51.100.1, 203.0.113.9"}, "203.0.113.9"},
		"its claim in a field of its own": {"10.0.0.0/8", "", "10.1.1.1", []string{xff, "198.51.100.1", xff, "203.0.113.9"}, "203.0.113.9"},
		"a claim to be a proxy":           {"10.0.0.0/8", "", "10.1.1.1", []string{xff, "198.51.100.1, 10.2.2.2, 203.0.113.9"}, "203.0.113.9"},
		"two proxies":                     {"10.0.0.0/8,192.0.2.7", "", "10.1.1.1", []string{xff, "198.51.100.1, 203.0.113.9, 192.0.2.7"}, "203.0.113.9"},
		"proxies alone":                   {"10.0.0.0/8", "", "10.1.1.1", []string{xff, "10.3.3.3, 10.2.2.2"}, "10.3.3.3"},
		"no header":                       {"10.0.0.0/8", "", "10.1.1.1", nil, "10.1.1.1"},
		"an empty one":                    {"10.0.0.0/8", "", "10.1.1.1", []string{xff, ""}, "10.1.1.1"},
		"what cannot be read ends it":     {"10.0.0.0/8", "", "10.1.1.1", []string{xff, "203.0.113.9, unknown, 10.2.2.2"}, "10.2.2.2"},
		"with ports":                      {"loopback", "", "127.0.0.1", []string{xff, "203.0.113.9:4711"}, "203.0.113.9"},
		"IPv6":                            {"loopback", "", "::1", []string{xff, "2001:db8::7"}, "2001:db8::7"},
		"IPv6 with a port":                {"loopback", "", "::1", []string{xff, "[2001:db8::7]:4711"}, "2001:db8::7"},
		"IPv6 in brackets":                {"loopback", "", "::1", []string{xff, "[2001:db8::7]"}, "2001:db8::7"},
		"IPv4 in IPv6":                    {"10.0.0.0/8", "", "::ffff:10.1.1.1", []string{xff, "::ffff:203.0.113.9"}, "203.0.113.9"},
		"a zone":                          {"loopback", "", "::1", []string{xff, "fe80::1%eth0"}, "::1"},
		"nowhere":                         {"loopback", "", "127.0.0.1", []string{xff, "0.0.0.0"}, "127.0.0.1"},
		"only the header that is set":     {"10.0.0.0/8", "", "10.1.1.1", []string{fwd, "for=198.51.100.1", real, "198.51.100.1"}, "10.1.1.1"},
		"more hops than there are":        {"10.0.0.0/8", "", "10.1.1.1", []string{xff, "203.0.113.9" + strings.Repeat(",10.2.2.2", 40)}, "10.2.2.2"},
		"Railway":                         {"railway", "", "100.64.0.3", []string{real, "203.0.113.9", xff, "198.51.100.1"}, "203.0.113.9"},
		"Railway, said twice":             {"railway", "", "100.64.0.3", []string{real, "203.0.113.9", real, "198.51.100.1"}, "100.64.0.3"},
		"Railway, a list":                 {"railway", "", "100.64.0.3", []string{real, "203.0.113.9, 198.51.100.1"}, "100.64.0.3"},
		"not Railway's edge":              {"railway", "", "203.0.113.77", []string{real, "198.51.100.1"}, "203.0.113.77"},
		"Forwarded":                       {"10.0.0.0/8", "forwarded", "10.1.1.1", []string{fwd, `for=198.51.100.1, For="[2001:db8::7]:4711";proto=https;by=10.1.1.1`}, "2001:db8::7"},
		"Forwarded, obfuscated":           {"10.0.0.0/8", "Forwarded", "10.1.1.1", []string{fwd, `for=198.51.100.1, for=_hidden`}, "10.1.1.1"},
		"Forwarded, an open quote":        {"10.0.0.0/8", "Forwarded", "10.1.1.1", []string{fwd, `for="198.51.100.1, for=203.0.113.9`}, "10.1.1.1"},
		"Forwarded, a quote inside":       {"10.0.0.0/8", "Forwarded", "10.1.1.1", []string{fwd, `for=x";for=198.51.100.1, for=203.0.113.9`}, "10.1.1.1"},
		"Forwarded, for twice":            {"10.0.0.0/8", "Forwarded", "10.1.1.1", []string{fwd, `for=198.51.100.1;for=203.0.113.9`}, "10.1.1.1"},
	} {
		require.Equal(t, c.want, behind(t, c.trusted, c.header).clientAddress(asked(c.peer, c.fields...)).String(), name)
	}
	odd := asked("192.0.2.1")
	odd.RemoteAddr = "@"
	require.False(t, (&Server{}).clientAddress(odd).IsValid())
}

func TestSecureOrNot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trusted, header, peer string
		fields                []string
		want                  bool
	}{
		"nobody says so":          {"loopback", "", "127.0.0.1", nil, false},
		"nobody that is trusted":  {"", "", "127.0.0.1", []string{"X-Forwarded-Proto", "https"}, false},
		"a proxy says so":         {"loopback", "", "127.0.0.1", []string{"X-Forwarded-Proto", "https"}, true},
		"a proxy says otherwise":  {"loopback", "", "127.0.0.1", []string{"X-Forwarded-Proto", "https, http"}, false},
		"Railway":                 {"railway", "", "100.64.0.3", []string{"X-Forwarded-Proto", "https"}, true},
		"by Forwarded":            {"loopback", "Forwarded", "127.0.0.1", []string{"Forwarded", "for=192.0.2.1;proto=HTTPS"}, true},
		"by Forwarded, otherwise": {"loopback", "Forwarded", "127.0.0.1", []string{"Forwarded", "proto=https, for=192.0.2.1", "X-Forwarded-Proto", "https"}, false},
	} {
		require.Equal(t, c.want, behind(t, c.trusted, c.header).secure(asked(c.peer, c.fields...)), name)
	}
}

func TestParseProxies(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"10.0.0.1/8", "0.0.0.0/0", "::/0", "::ffff:10.0.0.0/104", "::ffff:10.0.0.1", "everybody", "10.0.0.0/8;10.1.0.0/16", "fe80::1%eth0"} {
		_, err := ParseProxies(list, "")
		require.Equal(t, "proxy_trusted", fault.CodeOf(err), list)
	}
	_, err := ParseProxies("loopback", "X-Client")
	require.Equal(t, "proxy_header", fault.CodeOf(err))
	none, err := ParseProxies(" , ", "Forwarded")
	require.NoError(t, err)
	require.Empty(t, none)
	all, err := ParseProxies("loopback, private,fd00:1::/32,192.0.2.7", "")
	require.NoError(t, err)
	require.Len(t, all, 9)
}

// FuzzForwarded: whatever is in front of it, the element that a proxy adds last
// is read as it was written, or nothing is.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{`for=192.0.2.60;proto=http;by=203.0.113.43`, `For="[2001:db8:cafe::17]:4711"`, `for=_gazonk, for=unknown;host="a,b"`, `"`, `for="\"`, `;;,,`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, before string) {
		elements := forwardedElements(before + ", for=192.0.2.7;proto=https")
		if len(elements) == 0 {
			return
		}
		last := elements[len(elements)-1]
		require.Equal(t, map[string]string{"for": "192.0.2.7", "proto": "https"}, last, "%q", before)
		s := behind(t, "10.0.0.0/8", "Forwarded")
		req := asked("10.1.1.1")
		req.Header["Forwarded"] = []string{before + ", for=192.0.2.7"}
		require.Equal(t, "192.0.2.7", s.clientAddress(req).String())
	})
}
