package tree

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	formats "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"golang.org/x/mod/sumdb/note"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

func testOrigin() Origin {
	return Origin{
		Tenant: "d34e1747-5b14-88b1-a45b-f748568d1192",
		Node:   span.IdentityScheme + strings.Repeat("a", 52),
		Epoch:  3,
	}
}

func testNote(t testing.TB) (checkpoint Checkpoint, signed []byte, vkey string) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	public := private.Public().(ed25519.PublicKey)
	checkpoint = Checkpoint{Origin: testOrigin(), Size: 21, Root: EmptyRoot()}
	signed, err := checkpoint.Sign(public, func(m []byte) []byte { return ed25519.Sign(private, m) })
	require.NoError(t, err)
	vkey, err = VerifierKey(checkpoint.Origin, public)
	require.NoError(t, err)
	return checkpoint, signed, vkey
}

func TestSignedNotesAreReadByIndependentCode(t *testing.T) {
	t.Parallel()
	want, signed, vkey := testNote(t)
	verifier, err := note.NewVerifier(vkey)
	require.NoError(t, err)
	theirs, rest, _, err := formats.ParseCheckpoint(signed, want.Origin.String(), verifier)
	require.NoError(t, err)
	assert.Empty(t, rest)
	assert.Equal(t, want.Size, theirs.Size)
	assert.Equal(t, want.Root[:], theirs.Hash)

	got, err := OpenNote(signed, vkey)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// No byte of a note signed by the log alone can change unnoticed.
func TestEveryByteOfANoteCounts(t *testing.T) {
	t.Parallel()
	_, signed, vkey := testNote(t)
	for i := range signed {
		for _, flip := range []byte{1, 0x20, 0x80, 0x0f} {
			bad := bytes.Clone(signed)
			bad[i] ^= flip
			_, err := OpenNote(bad, vkey)
			assert.Error(t, err, "byte %d xor %x", i, flip)
		}
		_, err := OpenNote(append(bytes.Clone(signed[:i]), signed[i+1:]...), vkey)
		assert.Error(t, err, "without byte %d", i)
		for _, more := range []byte(" \n\r=A0") {
			_, err := OpenNote(append(append(bytes.Clone(signed[:i]), more), signed[i:]...), vkey)
			assert.Error(t, err, "%q before byte %d", more, i)
		}
	}
}

func TestEveryByteOfAVerifierKeyCounts(t *testing.T) {
	t.Parallel()
	_, _, vkey := testNote(t)
	for i := range vkey {
		for _, flip := range []byte{1, 0x20, 0x80} {
			bad := []byte(vkey)
			bad[i] ^= flip
			_, _, err := ParseVerifierKey(string(bad))
			assert.Equal(t, "verifier_key_invalid", fault.CodeOf(err), "byte %d xor %x", i, flip)
		}
	}
	_, _, err := ParseVerifierKey(vkey + "\n")
	assert.Error(t, err)
}

func TestNotesThatAreRefused(t *testing.T) {
	t.Parallel()
	checkpoint, signed, vkey := testNote(t)
	text := checkpoint.Text()
	line := string(signed[len(text)+1:])
	for name, src := range map[string]string{
		"empty":               "",
		"no signature":        text + "\n",
		"no final newline":    strings.TrimSuffix(string(signed), "\n"),
		"extension line":      text + "more\n\n" + line,
		"leading zero":        strings.Replace(string(signed), "\n21\n", "\n021\n", 1),
		"negative size":       strings.Replace(string(signed), "\n21\n", "\n-21\n", 1),
		"size beyond 2^53":    strings.Replace(string(signed), "\n21\n", "\n9007199254740992\n", 1),
		"other origin":        strings.Replace(string(signed), "/v1/", "/v2/", 1),
		"epoch with plus":     strings.Replace(string(signed), "/3\n", "/+3\n", 1),
		"short root":          strings.Replace(string(signed), "FU=", "==", 1),
		"too large":           string(signed) + strings.Repeat("— a AAAAAAA=\n", MaxNoteSize/12),
		"too many signatures": string(signed) + strings.Repeat("— a AAAAAAA=\n", MaxSignatures),
		"carriage return":     text + "\n" + strings.Replace(line, " ", "\r ", 1),
	} {
		_, err := ParseNote([]byte(src))
		assert.Equal(t, "checkpoint_invalid", fault.CodeOf(err), name)
	}

	_, err := OpenNote([]byte(string(signed)+line), vkey)
	assert.Equal(t, "checkpoint_signature_invalid", fault.CodeOf(err), "signed twice by the log")
	other := strings.Replace(vkey, "/3+", "/4+", 1)
	_, err = OpenNote(signed, other)
	assert.Equal(t, "verifier_key_invalid", fault.CodeOf(err), "key hash of another name")
	elsewhere := checkpoint.Origin
	elsewhere.Epoch++
	_, key, err := ParseVerifierKey(vkey)
	require.NoError(t, err)
	other, err = VerifierKey(elsewhere, key)
	require.NoError(t, err)
	_, err = OpenNote(signed, other)
	assert.Equal(t, "checkpoint_signature_invalid", fault.CodeOf(err), "key of another epoch")

	withCosignature := string(signed) + "— witness.example AAAAAAAAAAA=\n"
	n, err := ParseNote([]byte(withCosignature))
	require.NoError(t, err)
	assert.Len(t, n.Signatures, 2)
	assert.NoError(t, n.Verify(vkey), "cosignatures by others are not the log's affair")
}

func TestSignRefusesASignerOfAnotherKey(t *testing.T) {
	t.Parallel()
	c := Checkpoint{Origin: testOrigin(), Size: 1}
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	_, err := c.Sign(public, func([]byte) []byte { return make([]byte, 64) })
	assert.Equal(t, "log_signature_invalid", fault.CodeOf(err))
	_, err = c.Sign(public[:31], nil)
	assert.Equal(t, "log_key_invalid", fault.CodeOf(err))
}

// A signer signs for its own origin and key alone, and every note as whoever
// verifies all of them would.
func TestSignerSignsForOneOriginAndKey(t *testing.T) {
	t.Parallel()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	public, stranger := private.Public().(ed25519.PublicKey), ed25519.NewKeyFromSeed(make([]byte, 32))
	right := false
	s, err := NewSigner(testOrigin(), public, func(m []byte) []byte {
		if right {
			return ed25519.Sign(private, m)
		}
		return ed25519.Sign(stranger, m)
	})
	require.NoError(t, err)
	for range 2 {
		_, err = s.Sign(Checkpoint{Origin: testOrigin(), Size: 1})
		require.Equal(t, "log_signature_invalid", fault.CodeOf(err), "nothing is proven by a refusal")
	}
	right = true
	vkey, err := VerifierKey(testOrigin(), public)
	require.NoError(t, err)
	for size := uint64(1); size < 4; size++ {
		signed, err := s.Sign(Checkpoint{Origin: testOrigin(), Size: size})
		require.NoError(t, err)
		n, err := ParseNote(signed)
		require.NoError(t, err)
		require.Equal(t, size, n.Size)
		require.NoError(t, n.Verify(vkey))
	}

	later := testOrigin()
	later.Epoch++
	_, err = s.Sign(Checkpoint{Origin: later, Size: 4})
	require.Equal(t, "log_signature_invalid", fault.CodeOf(err))
	require.True(t, s.Is(testOrigin(), public))
	require.False(t, s.Is(later, public))
	require.False(t, s.Is(testOrigin(), stranger.Public().(ed25519.PublicKey)))
	require.False(t, (*Signer)(nil).Is(testOrigin(), public))
}

func TestOriginsAndLogKeysHaveOneSpelling(t *testing.T) {
	t.Parallel()
	o := testOrigin()
	back, err := ParseOrigin(o.String())
	require.NoError(t, err)
	assert.Equal(t, o, back)
	for _, s := range []string{"", "logline/v1/", o.String() + "/", o.String() + "0x", strings.ToUpper(o.String()),
		strings.Replace(o.String(), "/3", "/03", 1), strings.Replace(o.String(), "/3", "/-1", 1)} {
		_, err := ParseOrigin(s)
		assert.Equal(t, "origin_invalid", fault.CodeOf(err), s)
	}
	key := ed25519.PublicKey(bytes.Repeat([]byte{9}, 32))
	again, err := ParseLogKey(EncodeLogKey(key))
	require.NoError(t, err)
	assert.Equal(t, key, again)
	_, err = ParseLogKey(span.B64(append([]byte{2}, key...)))
	assert.Equal(t, "log_key_invalid", fault.CodeOf(err))
}

func TestProofFiles(t *testing.T) {
	t.Parallel()
	leaves := leavesOf(21, 2)
	m, edge := grow(t, leaves)
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	public := private.Public().(ed25519.PublicKey)
	c := Checkpoint{Origin: testOrigin(), Size: 21, Root: edge.Root()}
	signed, err := c.Sign(public, func(b []byte) []byte { return ed25519.Sign(private, b) })
	require.NoError(t, err)
	vkey, err := VerifierKey(c.Origin, public)
	require.NoError(t, err)
	hashes, err := Inclusion(t.Context(), m, 13, 21)
	require.NoError(t, err)

	file := (&ProofFile{Extra: []byte(`{"a":1}`), Index: 13, Hashes: hashes, Checkpoint: signed}).Marshal()
	var theirs proof.TLogProof
	require.NoError(t, theirs.Unmarshal(file))
	assert.Equal(t, file, theirs.Marshal(), "the independent implementation writes the same file")

	p, err := ParseProofFile(file)
	require.NoError(t, err)
	got, err := p.Verify(leaves[13], vkey)
	require.NoError(t, err)
	assert.Equal(t, c, got)
	_, err = p.Verify(leaves[12], vkey)
	assert.Equal(t, "proof_invalid", fault.CodeOf(err))

	bare := (&ProofFile{Index: 0, Checkpoint: signed}).Marshal()
	p, err = ParseProofFile(bare)
	require.NoError(t, err)
	assert.Nil(t, p.Extra)
	assert.Equal(t, bare, p.Marshal())

	for name, bad := range map[string]string{
		"header":    strings.Replace(string(file), "@v1", "@v2", 1),
		"no index":  strings.Replace(string(file), "index 13\n", "", 1),
		"index":     strings.Replace(string(file), "index 13", "index 013", 1),
		"extra":     strings.Replace(string(file), "extra ", "extra =", 1),
		"hash":      strings.Replace(string(file), "index 13\n", "index 13\nAAAA\n", 1),
		"no note":   string(file[:bytes.Index(file, []byte("\n\n"))]),
		"too long":  strings.Replace(string(file), "index 13\n", "index 13\n"+strings.Repeat(strings.Repeat("A", 43)+"=\n", 64), 1),
		"only head": proofHeader + "\n\n",
	} {
		_, err := ParseProofFile([]byte(bad))
		assert.Equal(t, "proof_file_invalid", fault.CodeOf(err), name)
	}
}

func FuzzParseNote(f *testing.F) {
	_, signed, vkey := testNote(f)
	f.Add(signed)
	f.Add([]byte(string(signed) + "— witness.example AAAAAAAAAAA=\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		n, err := ParseNote(src)
		if err != nil {
			return
		}
		// What was accepted has one spelling, and independent code reads it alike.
		require.True(t, strings.HasPrefix(string(src), n.Checkpoint.Text()+"\n"))
		if n.Verify(vkey) != nil {
			return
		}
		verifier, err := note.NewVerifier(vkey)
		require.NoError(t, err)
		_, err = note.Open(src, note.VerifierList(verifier))
		require.NoError(t, err)
	})
}

func FuzzParseProofFile(f *testing.F) {
	_, signed, _ := testNote(f)
	f.Add((&ProofFile{Extra: []byte("x"), Index: 3, Hashes: leavesOf(3, 1), Checkpoint: signed}).Marshal())
	f.Add([]byte(fmt.Sprintf("%s\nindex 0\n\n%s", proofHeader, signed)))
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := ParseProofFile(src)
		if err != nil {
			return
		}
		require.Equal(t, src, p.Marshal())
	})
}

func FuzzParseVerifierKey(f *testing.F) {
	_, _, vkey := testNote(f)
	f.Add(vkey)
	f.Fuzz(func(t *testing.T, s string) {
		origin, key, err := ParseVerifierKey(s)
		if err != nil {
			return
		}
		again, err := VerifierKey(origin, key)
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}
