package recovery

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/cloudflare/circl/secretsharing"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// signer is an organisation's primary key.
type signer ed25519.PrivateKey

func (s signer) Public() string {
	return span.B64(ed25519.PrivateKey(s).Public().(ed25519.PublicKey))
}
func (s signer) Sign(message []byte) []byte { return ed25519.Sign(ed25519.PrivateKey(s), message) }

func newSigner(t testing.TB) signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return signer(key)
}

func split(t testing.TB, seed [32]byte, of, needs int) []*Share {
	t.Helper()
	shares, err := Split(ana, seed, of, needs, newSigner(t), testTime, rand.Reader)
	require.NoError(t, err)
	require.Len(t, shares, of)
	return shares
}

func handIn(shares ...*Share) []Handed {
	handed := make([]Handed, len(shares))
	for i, s := range shares {
		handed[i] = Handed{fmt.Sprintf("file-%d", s.Number), s}
	}
	return handed
}

// TestEnoughSharesAreTheKey: any that are enough, in any order, are the seed; one fewer
// are nothing, also for somebody who leaves the counting out.
func TestEnoughSharesAreTheKey(t *testing.T) {
	t.Parallel()
	by := newSigner(t)
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.IntRange(2, 9).Draw(t, "of")
		needs := rapid.IntRange(2, of).Draw(t, "needs")
		seed := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		shares, err := Split(ana, seed, of, needs, by, testTime, rand.Reader)
		require.NoError(t, err)
		shares = rapid.Permutation(shares).Draw(t, "order")
		given := rapid.IntRange(needs, of).Draw(t, "given")
		c, got, err := Combine(handIn(shares[:given]...))
		require.NoError(t, err)
		require.Equal(t, seed, got)
		require.Equal(t, ana, c.Identity)
		require.Equal(t, by.Public(), c.By)

		few := shares[:needs-1]
		_, _, err = Combine(handIn(few...))
		require.Equal(t, "shares_few", fault.CodeOf(err))
		points := make([]secretsharing.Share, len(few))
		for i, s := range few {
			points[i], err = s.point()
			require.NoError(t, err)
		}
		scalar, err := secretsharing.Recover(uint(len(few)-1), points)
		require.NoError(t, err)
		_, err = c.open(scalar)
		require.Equal(t, "shares_wrong", fault.CodeOf(err))
	})
}

func TestNumbersOfACeremony(t *testing.T) {
	t.Parallel()
	for _, n := range [][2]int{{1, 1}, {3, 1}, {3, 4}, {0, 0}, {MaxShares + 1, 2}, {3, -1}} {
		_, err := Split(ana, counting(), n[0], n[1], newSigner(t), testTime, rand.Reader)
		require.Equal(t, "ceremony_numbers", fault.CodeOf(err), n)
	}
	_, err := Split("@ana", counting(), 3, 2, newSigner(t), testTime, rand.Reader)
	require.Equal(t, "recovery_identity", fault.CodeOf(err))
}

// TestWrongSharesAreNamed: a share that was changed, of another ceremony, or that is
// there twice is told, and nothing is combined with it.
func TestWrongSharesAreNamed(t *testing.T) {
	t.Parallel()
	shares, others := split(t, counting(), 5, 3), split(t, counting(), 5, 3)
	_, _, err := Combine(handIn(shares[0], others[1], shares[2]))
	require.Equal(t, "shares_foreign", fault.CodeOf(err))
	require.ErrorContains(t, err, "file-1, file-3; ")
	require.ErrorContains(t, err, ": file-2)")
	_, _, err = Combine(handIn(shares[0], shares[1], shares[0]))
	require.Equal(t, "shares_repeated", fault.CodeOf(err))
	_, _, err = Combine(nil)
	require.Equal(t, "shares_few", fault.CodeOf(err))

	text, err := shares[1].Text()
	require.NoError(t, err)
	change := func(edit func(map[string]any)) string {
		var f map[string]any
		require.NoError(t, json.Unmarshal(text, &f))
		edit(f)
		out, err := json.Marshal(f)
		require.NoError(t, err)
		_, err = ParseShare(out)
		return fault.CodeOf(err)
	}
	require.Empty(t, change(func(map[string]any) {}))
	for name, c := range map[string]struct {
		code string
		edit func(map[string]any)
	}{
		"another's value":      {"share_altered", func(f map[string]any) { f["value"] = shares[2].value }},
		"another number":       {"share_altered", func(f map[string]any) { f["share"] = 3 }},
		"fewer needed":         {"share_altered", func(f map[string]any) { f["needs"] = 2; f["commitments"] = f["commitments"].([]any)[:2] }},
		"another identity":     {"share_altered", func(f map[string]any) { f["identity"] = strings.Replace(ana, "5hjp", "5hjq", 1) }},
		"another key sealed":   {"share_altered", func(f map[string]any) { f["sealed"] = others[0].Sealed }},
		"another commitment":   {"share_altered", func(f map[string]any) { f["commitments"].([]any)[0] = others[0].Commitments[0] }},
		"another signature":    {"share_altered", func(f map[string]any) { f["signature"] = others[0].Signature }},
		"another signer":       {"share_altered", func(f map[string]any) { f["by"] = others[0].By }},
		"another ceremony":     {"share_altered", func(f map[string]any) { f["value"] = others[1].value }},
		"no value":             {"share_malformed", func(f map[string]any) { delete(f, "value") }},
		"a value out of range": {"share_malformed", func(f map[string]any) { f["value"] = strings.Repeat("_", 42) + "8" }},
		"number zero":          {"share_malformed", func(f map[string]any) { f["share"] = 0 }},
		"a number too high":    {"share_malformed", func(f map[string]any) { f["share"] = 6 }},
		"an unknown member":    {"share_malformed", func(f map[string]any) { f["x"] = 1 }},
		"another form":         {"share_malformed", func(f map[string]any) { f["v"] = 2 }},
	} {
		require.Equal(t, c.code, change(c.edit), name)
	}
	for _, text := range []string{"", "{}", "[]", string(text) + "{}", strings.Repeat(" ", MaxShareBytes+1), strings.Replace(string(text), `"share"`, `"v": 1, "share"`, 1)} {
		_, err := ParseShare([]byte(text))
		require.Equal(t, "share_malformed", fault.CodeOf(err))
	}
}

// TestSharesAreEncrypted: a share is read by whom it is for.
func TestSharesAreEncrypted(t *testing.T) {
	t.Parallel()
	share := split(t, counting(), 3, 2)[0]
	mine, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	other, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	sealed, err := share.Seal(mine.Recipient().String())
	require.NoError(t, err)
	require.False(t, bytes.Contains(sealed, []byte(share.value)))
	back, err := OpenShare(bytes.ReplaceAll(sealed, []byte("\n"), []byte("\r\n")), other, mine)
	require.NoError(t, err)
	require.Equal(t, share, back)
	_, err = OpenShare(sealed, other)
	require.Equal(t, "share_not_yours", fault.CodeOf(err))
	_, err = OpenShare(sealed)
	require.Equal(t, "share_encrypted", fault.CodeOf(err))
	_, err = OpenShare(sealed[:len(sealed)/2], mine)
	require.Equal(t, "share_malformed", fault.CodeOf(err))
	for _, to := range []string{"", "ana", mine.String(), mine.Recipient().String() + "\n" + other.Recipient().String()} {
		_, err = share.Seal(to)
		require.Equal(t, "age_recipient", fault.CodeOf(err))
		require.NotContains(t, err.Error(), mine.String(), "a secret key that was given by mistake is not repeated")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(verb, share), share.value, verb)
	}
}

// FuzzShare: what is read as a share is signed, prints and reads back the same, and
// combines with the others of its ceremony to the one seed that there is.
func FuzzShare(f *testing.F) {
	shares := split(f, counting(), 3, 2)
	for _, s := range shares {
		text, err := s.Text()
		require.NoError(f, err)
		f.Add(text)
		f.Add(bytes.ReplaceAll(text, []byte("value"), []byte("Value")))
	}
	f.Add([]byte(`{"logline":"share","v":1}`))
	f.Add([]byte("-----BEGIN AGE ENCRYPTED FILE-----\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := OpenShare(src)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			return
		}
		text, err := s.Text()
		require.NoError(t, err)
		back, err := ParseShare(text)
		require.NoError(t, err)
		require.Equal(t, s, back)
		if s.Signature != shares[0].Signature {
			return // signed by a key that the fuzzer made: another ceremony
		}
		_, seed, err := Combine([]Handed{{"a", s}, {"b", shares[s.Number%3]}})
		require.NoError(t, err)
		require.Equal(t, counting(), seed)
	})
}
