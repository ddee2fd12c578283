package id

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// masterOf is a master key like the ones that operators have.
func masterOf(t testing.TB, seed byte) *MasterKey {
	t.Helper()
	text, err := NewMasterKey(source(seed))
	require.NoError(t, err)
	m, err := ParseMasterKey(text)
	require.NoError(t, err)
	return m
}

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	raw := make([]byte, 32)
	_, err := source(7).Read(raw)
	require.NoError(t, err)
	var ids []string
	for _, text := range []string{
		base64.RawURLEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw),
		base64.RawStdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw) + "\n",
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
	} {
		m, err := ParseMasterKey(text)
		require.NoError(t, err, text)
		ids = append(ids, m.ID())
	}
	require.Regexp(t, "^[0-9a-f]{16}$", ids[0])
	for _, other := range ids {
		require.Equal(t, ids[0], other, "one key, however it is written")
	}
	require.NotEqual(t, ids[0], masterOf(t, 8).ID())

	b64 := base64.StdEncoding.EncodeToString
	rising := make([]byte, 32)
	for i := range rising {
		rising[i] = byte(200 + 3*i)
	}
	for text, code := range map[string]string{
		"":                                  "master_key_malformed",
		"correct horse battery staple":      "master_key_malformed",
		b64(raw[:31]):                       "master_key_malformed",
		b64(append(bytes.Clone(raw), 1)):    "master_key_malformed",
		strings.Repeat("g", 64):             "master_key_malformed",
		b64(make([]byte, 32)):               "master_key_weak",
		b64(bytes.Repeat([]byte("ab"), 16)): "master_key_weak",
		b64(rising):                         "master_key_weak",
	} {
		_, err := ParseMasterKey(text)
		requireCode(t, code, err)
		require.Equal(t, fault.Invalid, fault.KindOf(err))
		if text != "" {
			require.NotContains(t, err.Error(), text)
		}
	}
}

func TestSealedOpensWhereItBelongs(t *testing.T) {
	t.Parallel()
	m, plain := masterOf(t, 1), []byte("seed")
	sealed, err := m.Seal("keys", "a", plain, source(2))
	require.NoError(t, err)
	require.NotContains(t, string(sealed), string(plain))
	again, err := m.Seal("keys", "a", plain, source(3))
	require.NoError(t, err)
	require.NotEqual(t, sealed, again)
	got, err := m.Open("keys", "a", sealed)
	require.NoError(t, err)
	require.Equal(t, plain, got)

	for name, open := range map[string]func() ([]byte, error){
		"row":     func() ([]byte, error) { return m.Open("keys", "b", sealed) },
		"purpose": func() ([]byte, error) { return m.Open("other", "a", sealed) },
		"join":    func() ([]byte, error) { return m.Open("key", "sa", sealed) },
		"master":  func() ([]byte, error) { return masterOf(t, 2).Open("keys", "a", sealed) },
	} {
		_, err := open()
		require.Error(t, err, name)
		require.Equal(t, "sealed_unopenable", fault.CodeOf(err), name)
	}
	_, err = m.Seal("keys", "a", plain, bytes.NewReader(nil))
	requireCode(t, "randomness_unavailable", err)
}

// FuzzSealed: of all bytes, only the ones that were sealed open, and they open
// to what was sealed.
func FuzzSealed(f *testing.F) {
	m, plain := masterOf(f, 1), []byte("seed")
	sealed, err := m.Seal("keys", "a", plain, source(2))
	require.NoError(f, err)
	f.Add(sealed)
	f.Add(sealed[:len(sealed)-1])
	f.Add(append(bytes.Clone(sealed), 0))
	f.Add([]byte{})
	f.Add([]byte{sealVersion})
	f.Add(append([]byte{2}, sealed[1:]...))
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := m.Open("keys", "a", src)
		if bytes.Equal(src, sealed) {
			require.NoError(t, err)
			require.Equal(t, plain, got)
			return
		}
		requireCode(t, "sealed_unopenable", err)
	})
}

// FuzzMasterKey: what is taken is one key however it is written, and a refusal
// does not repeat it.
func FuzzMasterKey(f *testing.F) {
	text, err := NewMasterKey(source(1))
	require.NoError(f, err)
	f.Add(text)
	f.Add(text + "=")
	f.Add(strings.Repeat("0f", 32))
	f.Add("passphrase of many words")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMasterKey(text)
		if err != nil {
			require.Contains(t, []string{"master_key_malformed", "master_key_weak"}, fault.CodeOf(err))
			if len(text) > 12 {
				require.NotContains(t, err.Error(), text)
			}
			return
		}
		raw, ok := masterSecret(strings.TrimSpace(text))
		require.True(t, ok)
		again, err := ParseMasterKey(hex.EncodeToString(raw))
		require.NoError(t, err)
		require.Equal(t, m.ID(), again.ID())
	})
}
