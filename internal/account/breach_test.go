package account

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// Each form of a list knows what is in it, and nothing else.
func TestBreachedLists(t *testing.T) {
	t.Parallel()
	var stolen, lines []string
	dir := t.TempDir()
	folder := filepath.Join(dir, "ranges")
	require.NoError(t, os.Mkdir(folder, 0o700))
	for i := range 1000 {
		password := fmt.Sprintf("stolen password %d", i)
		stolen = append(stolen, password)
		hash := sha1Hex(password)
		lines = append(lines, fmt.Sprintf("%s:%d", hash, i*i))
		name := filepath.Join(folder, hash[:5])
		if i%2 == 0 {
			name += ".txt"
		}
		require.NoError(t, os.WriteFile(name, []byte(hash[5:]+":7\r\n"), 0o600))
	}
	slices.Sort(lines)
	bare := make([]string, len(lines))
	for i, l := range lines {
		bare[i] = strings.ToLower(l[:40])
	}
	for name, text := range map[string]string{
		"hashes.txt": strings.Join(lines, "\r\n") + "\r\n", "bare.txt": strings.Join(bare, "\n"), "plain.txt": strings.Join(stolen, "\n"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, name := range []string{"hashes.txt", "bare.txt", "plain.txt", "ranges"} {
		list, err := OpenBreached(filepath.Join(dir, name))
		require.NoError(t, err, name)
		for i, password := range stolen {
			found, err := list.Has(password)
			require.NoError(t, err, name)
			require.True(t, found, "%s: %s", name, password)
			found, err = list.Has(fmt.Sprintf("another password %d", i))
			require.NoError(t, err, name)
			require.False(t, found, name)
		}
	}
	_, err := OpenBreached(filepath.Join(dir, "none"))
	require.Equal(t, "breached_unreadable", fault.CodeOf(err))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad"), []byte(lines[0]+"\nno hash\n"+lines[1]), 0o600))
	list, err := OpenBreached(filepath.Join(dir, "bad"))
	require.NoError(t, err)
	_, err = list.Has("whatever")
	require.Equal(t, "breached_malformed", fault.CodeOf(err))

	list, err = OpenBreached(filepath.Join(dir, "plain.txt"))
	require.NoError(t, err)
	s := &Service{cfg: Config{Breached: list}.withDefaults()}
	require.Equal(t, "password_breached", fault.CodeOf(s.judgePassword("/password", stolen[7])))
	require.NoError(t, s.judgePassword("/password", passphrase))
}

// Whatever is in a file of ordered hashes, exactly that is found; and no file makes
// a search fail otherwise than by an error.
func FuzzBreachedSearch(f *testing.F) {
	f.Add([]byte("one\ntwo\nthree"), []byte("two"), false)
	f.Add([]byte{}, []byte("x"), true)
	f.Add([]byte("AAAA:1\nBBBB:2"), []byte("AAAA"), true)
	f.Fuzz(func(t *testing.T, words, want []byte, raw bool) {
		if raw {
			_, _ = search(strings.NewReader(string(words)), int64(len(words)), sha1Hex(string(want)))
			return
		}
		var lines []string
		in := false
		for i, w := range strings.Split(string(words), "\n") {
			in = in || normal(w) == normal(string(want))
			line := sha1Hex(w)
			if i%2 == 0 {
				line += fmt.Sprintf(":%d", i)
			}
			lines = append(lines, line)
		}
		slices.Sort(lines)
		text := strings.Join(lines, "\n")
		found, err := search(strings.NewReader(text), int64(len(text)), sha1Hex(string(want)))
		require.NoError(t, err)
		require.Equal(t, in, found)
	})
}

// An address that is taken is found by itself in lower case, and what a browser calls
// itself is stored in bounds.
func FuzzAddress(f *testing.F) {
	f.Add("ana@example.com")
	f.Add("A browser\x00\xff/1.0")
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := emailKey(text); err == nil && text != "" {
			require.Equal(t, strings.ToLower(text), key)
			require.LessOrEqual(t, len(key), maxEmail*2)
			require.Contains(t, key, "@")
		}
		out := clip(text)
		require.LessOrEqual(t, len(out), mostAgent)
		require.Equal(t, out, clip(out))
	})
}
