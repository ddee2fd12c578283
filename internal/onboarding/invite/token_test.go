package invite_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"encoding/json"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
)

// vector is testdata/invitation.json, which other implementations read too.
type vector struct {
	Secret, Token, TokenHash, Tenant, Invitation, Nonce, Seed, Signer, Sealed, Page, Link string
}

func readVector(t testing.TB) (v vector) {
	t.Helper()
	raw, err := os.ReadFile("testdata/invitation.json")
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(raw))
	require.NoError(t, d.Decode(&v))
	return v
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	out, err := hex.DecodeString(text)
	require.NoError(t, err)
	return out
}

func TestVector(t *testing.T) {
	t.Parallel()
	v := readVector(t)
	token, err := invite.NewToken(bytes.NewReader(unhex(t, v.Secret)))
	require.NoError(t, err)
	seed := [32]byte(unhex(t, v.Seed))
	sealed, err := token.Seal(v.Tenant, v.Invitation, seed, bytes.NewReader(unhex(t, v.Nonce)))
	require.NoError(t, err)
	require.Equal(t, []string{v.Token, v.TokenHash, v.Signer, v.Sealed, v.Link},
		[]string{token.Reveal(), token.Hash().String(), id.NewSecretKey(seed).Public(), span.B64(sealed), invite.Link(v.Page, token)})

	opened, err := token.Open(v.Tenant, v.Invitation, sealed)
	require.NoError(t, err)
	require.Equal(t, seed, opened)
	for name, try := range map[string]func() error{
		"another tenant":     func() error { _, err := token.Open(v.Invitation, v.Invitation, sealed); return err },
		"another invitation": func() error { _, err := token.Open(v.Tenant, v.Tenant, sealed); return err },
		"cut":                func() error { _, err := token.Open(v.Tenant, v.Invitation, sealed[:59]); return err },
		"changed": func() error {
			_, err := token.Open(v.Tenant, v.Invitation, append(bytes.Clone(sealed[:59]), sealed[59]^1))
			return err
		},
		"another token": func() error {
			other, err := invite.NewToken(bytes.NewReader(make([]byte, 32)))
			require.NoError(t, err)
			_, err = other.Open(v.Tenant, v.Invitation, sealed)
			return err
		},
	} {
		require.Equal(t, "invitation_sealed", fault.CodeOf(try()), name)
	}
}

func TestTokensPrintAsMasks(t *testing.T) {
	t.Parallel()
	token, err := invite.ParseToken(readVector(t).Token)
	require.NoError(t, err)
	for _, form := range []string{"%v", "%s", "%+v", "%#v"} {
		require.Equal(t, "lli_(not shown)", fmt.Sprintf(form, token))
	}
}

func TestParseLink(t *testing.T) {
	t.Parallel()
	v := readVector(t)
	for text, node := range map[string]string{
		v.Link: v.Page, v.Token: "", " " + v.Token + "\n": "", invite.Link("http://127.0.0.1:8080/", must(t, v.Token)): "http://127.0.0.1:8080",
		"https://log.example/sub/onboard/#invite=" + v.Token: "https://log.example/sub",
	} {
		at, token, err := invite.ParseLink(text)
		require.NoError(t, err, text)
		require.Equal(t, node, at)
		require.Equal(t, v.Token, token.Reveal())
	}
	for _, text := range []string{
		"", "https://log.example/onboard", "https://log.example/onboard?invite=" + v.Token, "https://log.example/#invite=" + v.Token,
		"ftp://log.example/onboard#invite=" + v.Token, "https://me@log.example/onboard#invite=" + v.Token, "https://log.example/onboard#invite=" + v.Token[:30],
		"javascript:alert(1)/onboard#invite=" + v.Token, "//log.example/onboard#invite=" + v.Token,
	} {
		_, _, err := invite.ParseLink(text)
		require.Equal(t, "invitation_malformed", fault.CodeOf(err), text)
		require.NotContains(t, err.Error(), v.Token[10:])
	}
}

func must(t testing.TB, text string) invite.Token {
	t.Helper()
	token, err := invite.ParseToken(text)
	require.NoError(t, err)
	return token
}

// FuzzParseLink: what is taken is a token that is written again as it was read, at
// an address that leads to the same link; what is refused is repeated nowhere.
func FuzzParseLink(f *testing.F) {
	v := readVector(f)
	for _, text := range []string{v.Link, v.Token, "", "lli_", v.Link + "#", "http://[::1]:80/x%2fy/onboard#invite=" + v.Token, "https:///onboard#invite=" + v.Token, "https://a/%zz/onboard#invite=" + v.Token} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		node, token, err := invite.ParseLink(text)
		if err != nil {
			require.Equal(t, "invitation_malformed", fault.CodeOf(err))
			return
		}
		require.Contains(t, text, token.Reveal())
		if node == "" {
			require.Equal(t, strings.TrimSpace(text), token.Reveal())
			return
		}
		again, same, err := invite.ParseLink(invite.Link(node, token))
		require.NoError(t, err)
		require.Equal(t, token, same)
		require.Equal(t, strings.TrimRight(node, "/"), again)
	})
}
