package webhook

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	for _, text := range []string{
		"https://example.org", "https://example.org/", "https://example.org:8443/hook?key=1", "https://xn--bcher-kva.example/", "https://8.8.8.8/", "https://[2606:4700::1]:443/x",
	} {
		u, err := s.CheckURL(text)
		require.NoError(t, err, text)
		require.Equal(t, text, u.String())
	}
	for text, why := range map[string]string{
		"": "1 to 2,048", "https://" + strings.Repeat("a", 2048): "1 to 2,048", "https://exa mple.org": "1 to 2,048", "https://bücher.example/": "xn--", "https://a/\n": "1 to 2,048",
		"example.org/hook": "no URL with a host", "https:///x": "no URL with a host", "https:example.org": "no URL with a host", "https://:443/": "no URL with a host", "https://[::1": "no URL with a host",
		"http://example.org/": "https://", "ftp://example.org/": "https://", "file:///etc/passwd": "no URL with a host", "gopher://example.org/": "https://",
		"https://user:hunter2@example.org/": "user or a password", "https://user@example.org/": "user or a password",
		"https://example.org/#x": "fragment", "https://example.org/#": "fragment", "https://example.org:/": "port", "https://example.org:0/": "port", "https://example.org:65536/": "port",
		"https://127.0.0.1/": "loopback", "https://[::1]/": "loopback", "https://169.254.169.254/latest/meta-data": "metadata", "https://[::ffff:10.0.0.1]/": "private", "https://[fe80::1%25eth0]/": "link-local",
	} {
		_, err := s.CheckURL(text)
		require.Equal(t, "webhook_url", fault.CodeOf(err), text)
		require.ErrorContains(t, err, why, text)
		require.NotContains(t, err.Error(), "hunter2")
	}

	wide := New(Config{Plain: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	for _, text := range []string{"http://example.org/", "http://127.0.0.1:8080/"} {
		_, err := wide.CheckURL(text)
		require.NoError(t, err, text)
	}
	_, err := wide.CheckURL("http://10.0.0.1/")
	require.ErrorContains(t, err, "private")
}

// FuzzCheckURL: what is taken leads where it says, over what it says.
func FuzzCheckURL(f *testing.F) {
	for _, text := range []string{"https://example.org/hook", "https://user@example.org", "http://127.0.0.1", "https://[::1%25x]:1/", "https://0x7f.1/"} {
		f.Add(text)
	}
	s := New(Config{})
	f.Fuzz(func(t *testing.T, text string) {
		u, err := s.CheckURL(text)
		if err != nil {
			require.Equal(t, "webhook_url", fault.CodeOf(err))
			return
		}
		require.Equal(t, "https", u.Scheme)
		require.Nil(t, u.User)
		require.NotEmpty(t, u.Hostname())
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			require.Empty(t, s.guard.refusal(addr))
		}
	})
}
