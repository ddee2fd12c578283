package onboarding

import (
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// FuzzReadToken: a token file gives its text without the space around it, or
// is refused as too short, and never changes by being read.
func FuzzReadToken(f *testing.F) {
	for _, text := range []string{"", "llb_short\n", "llb_0123456789012345678901234567890123456789012\n", "  llb_01234567890123456789\r\n", strings.Repeat(" ", 50), "\xff" + strings.Repeat("x", 30)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(TokenPath(dir), text, 0o600))
		token, created, err := readOrMakeToken(dir, nil) // it makes none over one that is there
		require.False(t, created)
		want := strings.TrimFunc(string(text), unicode.IsSpace)
		if len(want) < minTokenFile {
			require.Equal(t, "bootstrap_token_unreadable", fault.CodeOf(err))
			require.Empty(t, token)
		} else {
			require.NoError(t, err)
			require.Equal(t, want, token)
		}
		left, err := os.ReadFile(TokenPath(dir))
		require.NoError(t, err)
		require.Equal(t, text, left)
	})
}
