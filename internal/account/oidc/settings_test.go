package oidc

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

const good = `providers:
  - name: work
    label: Example Inc.
    issuer: https://login.example.com/realms/a
    client_id: logline
    client_secret_file: work.secret
    domains: [Example.com]
    hosts: [keys.example.com, "tokens.example.com:8443"]
  - {name: here, issuer: "http://127.0.0.1:4000", client_id: logline, client_secret_file: here.secret}
`

func TestParseSettings(t *testing.T) {
	t.Parallel()
	all, err := ParseSettings([]byte(good))
	require.NoError(t, err)
	require.Equal(t, []Settings{
		{Name: "work", Label: "Example Inc.", Issuer: "https://login.example.com/realms/a", ClientID: "logline", SecretFile: "work.secret",
			Domains: []string{"example.com"}, Hosts: []string{"keys.example.com", "tokens.example.com:8443"}},
		{Name: "here", Label: "here", Issuer: "http://127.0.0.1:4000", ClientID: "logline", SecretFile: "here.secret"},
	}, all)
	one := func(more string) string {
		return "providers:\n  - {name: a, issuer: 'https://a.example', client_id: c, client_secret_file: s" + more + "}\n"
	}
	for text, want := range map[string]string{
		"":                                "providers: has 0",
		"providers: []":                   "providers: has 0",
		"provider: []":                    "field provider not found",
		one(", client_secret: s"):         "field client_secret not found",
		one(", domains: ['*.example']"):   "domains:",
		one(", domains: ['a@b.example']"): "domains:",
		one(", hosts: ['https://b']"):     "hosts:",
		one(", label: \"a\\n\""):          "label:",
		one("") + "  - {name: a, issuer: 'https://b.example', client_id: c, client_secret_file: s}\n": "providers[1]: another has the same name",
		one("") + "  - {name: b, issuer: 'https://a.example', client_id: c, client_secret_file: s}\n": "providers[1]: another has the same name",
		"providers: [{name: A}]": "name: must be",
		"providers: [{name: a, client_id: c, client_secret_file: s, issuer: 'http://a.example'}]":    "issuer: must begin with https://",
		"providers: [{name: a, client_id: c, client_secret_file: s, issuer: 'https://a.example?b'}]": "issuer: must be https://",
		"providers: [{name: a, client_id: c, client_secret_file: s, issuer: 'https://b@a.example'}]": "issuer: must be https://",
		"providers: [{name: a, client_id: c, client_secret_file: s, issuer: 'file:///etc/passwd'}]":  "issuer: must be https://",
		"providers: [{name: a, client_secret_file: s, issuer: 'https://a.example'}]":                 "client_id:",
		"providers: [{name: a, client_id: c, issuer: 'https://a.example'}]":                          "client_secret_file:",
	} {
		_, err := ParseSettings([]byte(text))
		require.Equal(t, "oidc_providers", fault.CodeOf(err), text)
		require.ErrorContains(t, err, want, text)
	}
}

// FuzzParseSettings: whatever the file holds, a provider that is taken is reached
// with TLS or on this machine, at hosts that are its own, and opens accounts for
// addresses of the very domains alone.
func FuzzParseSettings(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("providers: [{name: a, issuer: 'https://[::1]:1', client_id: c, client_secret_file: s}]"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := ParseSettings(raw)
		if err != nil {
			require.Equal(t, "oidc_providers", fault.CodeOf(err))
			return
		}
		for _, p := range all {
			u, err := url.Parse(p.Issuer)
			require.NoError(t, err)
			require.True(t, u.Scheme == "https" || local(u.Hostname()))
			made, err := newParty(Provider{Settings: p}, nil, nil, nil)
			require.NoError(t, err)
			reached := made.client.Transport.(fence)
			require.True(t, reached.allows(u))
			require.False(t, reached.allows(&url.URL{Scheme: "https", Host: "not-named.example"}))
			for _, domain := range p.Domains {
				require.Equal(t, domain, made.opensFor("a@"+domain))
				require.Empty(t, made.opensFor("a@x."+domain+".x"))
			}
		}
	})
}
