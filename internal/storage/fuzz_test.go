package storage

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// FuzzParse: a database URL is read such that its short form means the same, or
// refused without a word of what follows its scheme, where passwords stand.
func FuzzParse(f *testing.F) {
	for _, raw := range []string{
		"", "memory:", "memory:x", "sqlite:a.db", "sqlite:///a/../b.db", "sqlite://", "sqlite:a?mode=ro", "sqlite:a\x00", "sqlite:memory:",
		"postgres://ana:secret@host/db", "postgres:///db?host=/run/pg&password=secret", "postgresql://[::1]:7/a%2fb?logline_role=x", "postgres://a:1,b:2/d", "postgresql:", "mysql://ana:secret@host", "file.db", ":", "SQLITE:a", "sqlite:C:\\x.db",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := Parse(raw)
		scheme, rest, ok := strings.Cut(raw, ":")
		if err != nil {
			require.Equal(t, "database_url_invalid", fault.CodeOf(err))
			if ok {
				_, other := Parse(scheme + ":?") // no URL of any scheme
				require.Error(t, other)
				require.Equal(t, other.Error(), err.Error(), "the reason depends on what follows the scheme")
			}
			return
		}
		again, err := Parse(got.String())
		require.NoError(t, err)
		if got.Server != "" {
			require.Equal(t, got.Server, again.Server)
			require.Contains(t, []string{"postgres", "postgresql"}, scheme)
			u, err := url.Parse(got.Server)
			require.NoError(t, err)
			_, secret := u.User.Password()
			require.False(t, secret, got.Server)
			return
		}
		require.Equal(t, got, again)
		require.Equal(t, raw == "memory:", got.Memory)
		if !got.Memory {
			require.Equal(t, "sqlite", scheme)
			require.Equal(t, filepath.Clean(strings.TrimPrefix(rest, "//")), got.Path)
		}
	})
}
