package storage

import (
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
		"postgres://ana:secret@host/db", "postgresql:", "mysql://ana:secret@host", "file.db", ":", "SQLITE:a", "sqlite:C:\\x.db",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := Parse(raw)
		scheme, rest, ok := strings.Cut(raw, ":")
		if err != nil {
			require.Contains(t, []string{"database_url_invalid", "database_unsupported"}, fault.CodeOf(err))
			if ok {
				_, other := Parse(scheme + ":?") // no URL of any scheme
				require.Error(t, other)
				require.Equal(t, other.Error(), err.Error(), "the reason depends on what follows the scheme")
			}
			return
		}
		again, err := Parse(got.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Equal(t, raw == "memory:", got.Memory)
		if !got.Memory {
			require.Equal(t, "sqlite", scheme)
			require.Equal(t, filepath.Clean(strings.TrimPrefix(rest, "//")), got.Path)
		}
	})
}
