package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

func TestParseHosts(t *testing.T) {
	t.Parallel()
	hosts, err := ParseHosts(" Log.Example.com, 10.0.0.7:8080 ,[::1]:80,log_line:8080,")
	require.NoError(t, err)
	require.Equal(t, []string{"log.example.com", "10.0.0.7:8080", "[::1]:80", "log_line:8080"}, hosts)
	for _, list := range []string{"https://log.example.com", "log.example.com/x", "*.example.com", "*", "a b", "u@h", "h?", "h#", "h:", ":80", "a,b/"} {
		_, err := ParseHosts(list)
		require.Equal(t, "hosts", fault.CodeOf(err), list)
	}
}

// TestOriginsOfTokens: which origins of tokens a server answers to, by what it knows of
// its names, where the connection came in, and what Host was asked for.
func TestOriginsOfTokens(t *testing.T) {
	t.Parallel()
	set := Names{Hosts: []string{"log.example.com", "10.0.0.7:8080", "log_line"}}
	shown := Names{Serves: func(host string) bool { return host == "log.example.com" || host == "192.0.2.1" }}
	for name, c := range map[string]struct {
		names               Names
		local, host, origin string
		want                bool
	}{
		"its name":                               {set, "10.0.0.7:80", "log.example.com", "https://log.example.com", true},
		"its name, from a proxy":                 {set, "10.0.0.7:80", "127.0.0.1:8080", "https://log.example.com", true},
		"its name, at any port":                  {set, "10.0.0.7:80", "x", "https://log.example.com:8443", true},
		"in capitals":                            {set, "10.0.0.7:80", "x", "HTTPS://LOG.example.COM", true},
		"a name of a container":                  {set, "172.17.0.2:80", "x", "http://log_line:8080", true},
		"an address with its port":               {set, "192.0.2.9:80", "x", "http://10.0.0.7:8080", true},
		"that address with another":              {set, "192.0.2.9:80", "x", "http://10.0.0.7:8081", false},
		"somebody else, who says so":             {set, "10.0.0.7:80", "evil.example", "https://evil.example", false},
		"somebody else, who says ours":           {set, "10.0.0.7:80", "log.example.com", "https://evil.example", false},
		"a name that ends like ours":             {set, "10.0.0.7:80", "x", "https://evil.log.example.com", false},
		"a name that begins like ours":           {set, "10.0.0.7:80", "x", "https://log.example.com.evil.example", false},
		"ours as somebody's user":                {set, "10.0.0.7:80", "x", "https://log.example.com@evil.example", false},
		"ours as somebody's path":                {set, "10.0.0.7:80", "x", "https://evil.example/log.example.com", false},
		"where it is":                            {set, "10.0.0.9:80", "x", "http://10.0.0.9:80", true},
		"where it is, mapped":                    {set, "[::ffff:10.0.0.9]:80", "x", "http://10.0.0.9", true},
		"this machine":                           {set, "127.0.0.1:80", "x", "http://localhost:8080", true},
		"this machine, by an address":            {set, "[::1]:80", "x", "http://[::1]:8080", true},
		"this machine, from others":              {set, "10.0.0.9:80", "x", "http://localhost:8080", false},
		"another address":                        {set, "10.0.0.9:80", "x", "http://10.0.0.8:80", false},
		"of the certificate":                     {shown, "10.0.0.9:80", "x", "https://log.example.com", true},
		"an address of the certificate":          {shown, "10.0.0.9:80", "x", "https://192.0.2.1", true},
		"not of the certificate":                 {shown, "10.0.0.9:80", "evil.example", "https://evil.example", false},
		"unnamed, what was asked for":            {Names{}, "10.0.0.9:80", "log.example.com", "https://log.example.com", true},
		"unnamed, with a port":                   {Names{}, "10.0.0.9:80", "log.example.com:8080", "http://log.example.com:8080", true},
		"unnamed, with the usual one":            {Names{}, "10.0.0.9:80", "LOG.example.com:443", "https://log.example.com", true},
		"unnamed, another name asked for":        {Names{}, "10.0.0.9:80", "log.example.com", "https://evil.example", false},
		"unnamed, another port asked for":        {Names{}, "10.0.0.9:80", "log.example.com:81", "https://log.example.com", false},
		"unnamed, a front that writes addresses": {Names{}, "127.0.0.1:80", "127.0.0.1:8080", "https://log.example.com", true},
		"unnamed, a front that writes its own":   {Names{}, "10.0.0.9:80", "backend", "https://log.example.com", true},
		"no origin":                              {Names{}, "10.0.0.9:80", "x", "log.example.com", false},
		"another scheme":                         {set, "10.0.0.9:80", "x", "ftp://log.example.com", false},
	} {
		at := netip.MustParseAddrPort(c.local)
		req := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(at)), http.MethodGet, "/", nil)
		req.Host = c.host
		s := &Server{deps: Deps{Names: c.names}}
		require.Equal(t, c.want, s.answersTo(req, c.origin), name)
		err := s.judgeOrigin(req, id.Credential{How: id.ByToken, Origin: c.origin})
		require.Equal(t, c.want, err == nil, name)
		if err != nil {
			require.Equal(t, "token_origin", fault.CodeOf(uniform(err)), name)
		}
		require.NoError(t, s.judgeOrigin(req, id.Credential{How: id.ByAPIKey}))
		require.NoError(t, s.judgeOrigin(req, id.Credential{How: id.ByToken}), "older clients name none")
		s.deps.Names.Must = true
		require.Equal(t, "token_origin_required", fault.CodeOf(s.judgeOrigin(req, id.Credential{How: id.ByToken})))
	}
}

// FuzzOrigin: an origin that a named server takes is one of its names, however it is
// written, and what is refused is repeated without anything that a terminal obeys.
func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{"https://log.example.com", "http://LOG.example.com:80", "https://log.example.com\\@evil", "https://[::1]:1", "http://log.example.com%2eevil", "https://\u001b[2J"} {
		f.Add(seed)
	}
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Host = "evil.example"
	s := &Server{deps: Deps{Names: Names{Hosts: []string{"log.example.com"}}}}
	f.Fuzz(func(t *testing.T, origin string) {
		err := s.judgeOrigin(req, id.Credential{How: id.ByToken, Origin: origin})
		if err == nil && origin != "" {
			rest, isHTTP := strings.CutPrefix(strings.ToLower(origin), "http")
			require.True(t, isHTTP)
			rest = strings.TrimPrefix(rest, "s")
			rest, isOurs := strings.CutPrefix(rest, "://log.example.com")
			require.True(t, isOurs, origin)
			require.Regexp(t, `^(:[0-9]*)?$`, rest)
			return
		}
		if err != nil {
			require.NotRegexp(t, `[[:cntrl:]]`, err.Error())
		}
	})
}
