package policy

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline/tree"
)

// cosigner is a witness made from the specification's text alone: vkey, key id,
// signed message and signature line are put together here by hand.
type cosigner struct {
	name   string
	secret ed25519.PrivateKey
}

func newCosigner(name string) cosigner {
	seed := sha256.Sum256([]byte("test cosigner " + name))
	return cosigner{name: name, secret: ed25519.NewKeyFromSeed(seed[:])}
}

func (c cosigner) typed(typ byte) []byte {
	return append([]byte{typ}, c.secret.Public().(ed25519.PublicKey)...)
}

func (c cosigner) keyID(typ byte) []byte {
	sum := sha256.Sum256([]byte(c.name + "\n" + string(c.typed(typ))))
	return sum[:4]
}

func (c cosigner) vkeyOf(typ byte) string {
	return fmt.Sprintf("%s+%x+%s", c.name, c.keyID(typ), base64.StdEncoding.EncodeToString(c.typed(typ)))
}

func (c cosigner) vkey() string { return c.vkeyOf(0x04) }

// line is the cosignature of a note's text at a time.
func (c cosigner) line(text string, at uint64) string {
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at, text)
	raw := binary.BigEndian.AppendUint64(c.keyID(0x04), at)
	raw = append(raw, ed25519.Sign(c.secret, []byte(message))...)
	return "— " + c.name + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
}

const (
	testTenant = "0190d6a2-1111-8222-9333-444455556666"
	testNode   = "logline-id://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// testLog is a log with the checkpoint it signed, and that note's text.
type testLog struct {
	secret     ed25519.PrivateKey
	checkpoint tree.Checkpoint
	note       string
}

func newTestLog(t testing.TB, name string) testLog {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	l := testLog{secret: ed25519.NewKeyFromSeed(seed[:])}
	l.checkpoint = tree.Checkpoint{Origin: tree.Origin{Tenant: testTenant, Node: testNode}, Size: 7, Root: sha256.Sum256(nil)}
	note, err := l.checkpoint.Sign(l.secret.Public().(ed25519.PublicKey), func(m []byte) []byte { return ed25519.Sign(l.secret, m) })
	require.NoError(t, err)
	l.note = string(note)
	return l
}

func (l testLog) vkey(t testing.TB) string {
	t.Helper()
	v, err := tree.VerifierKey(l.checkpoint.Origin, l.secret.Public().(ed25519.PublicKey))
	require.NoError(t, err)
	return v
}

// with is the log's note with more signature lines.
func (l testLog) with(t testing.TB, lines ...string) *tree.Note {
	t.Helper()
	n, err := tree.ParseNote([]byte(l.note + strings.Join(lines, "")))
	require.NoError(t, err)
	return n
}

func mustParse(t testing.TB, lines ...string) *Policy {
	t.Helper()
	p, err := Parse([]byte(strings.Join(lines, "\n") + "\n"))
	require.NoError(t, err)
	return p
}
