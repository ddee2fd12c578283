package policy

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

const (
	march2023 = 1679315147
	may2033   = 2000000000
)

func TestQuorum(t *testing.T) {
	t.Parallel()
	log := newTestLog(t, "log")
	text := log.checkpoint.Text()
	x1, x2, x3 := newCosigner("x1"), newCosigner("x2"), newCosigner("x3")
	y1, y2 := newCosigner("y1"), newCosigner("y2")
	stranger := newCosigner("stranger")
	p := mustParse(t,
		"witness X1 "+x1.vkey(), "witness X2 "+x2.vkey(), "witness X3 "+x3.vkey(), "group X 2 X1 X2 X3",
		"witness Y1 "+y1.vkey(), "witness Y2 "+y2.vkey(), "group Y any Y1 Y2",
		"group both all X Y", "quorum both")
	line := func(c cosigner) string { return c.line(text, march2023) }

	r := p.Evaluate(log.with(t, line(x3), line(stranger), line(x1), line(y2)))
	assert.True(t, r.QuorumMet)
	assert.Empty(t, r.Missing)
	assert.Empty(t, r.Invalid)
	assert.Equal(t, 1, r.Unknown)
	at := time.Unix(march2023, 0).UTC()
	assert.Equal(t, []Cosignature{{"X1", "x1", at}, {"X3", "x3", at}, {"Y2", "y2", at}}, r.Cosigned)

	r = p.Evaluate(log.with(t, line(x3), line(x3)))
	assert.False(t, r.QuorumMet)
	assert.Equal(t, []Shortage{
		{"both", 0, 2, []string{"X", "Y"}}, {"Y", 0, 1, []string{"Y1", "Y2"}}, {"X", 1, 2, []string{"X1", "X2"}},
	}, r.Missing, "one witness counts once however often it signs")
	assert.Equal(t, "group X has 1 of the 2 it needs (without X1, X2)", r.Missing[2].String())

	r = p.Evaluate(log.with(t, line(x1), line(x2), line(x3)))
	assert.False(t, r.QuorumMet)
	assert.Equal(t, []Shortage{{"both", 1, 2, []string{"Y"}}, {"Y", 0, 1, []string{"Y1", "Y2"}}}, r.Missing)

	single := mustParse(t, "witness X1 "+x1.vkey(), "quorum X1")
	r = single.Evaluate(log.with(t))
	require.Len(t, r.Missing, 1)
	assert.Equal(t, "there is no cosignature by X1", r.Missing[0].String())
	assert.True(t, single.Evaluate(log.with(t, line(x1))).QuorumMet)
	assert.True(t, mustParse(t, "witness X1 "+x1.vkey(), "quorum none").Evaluate(log.with(t)).QuorumMet)
}

func TestWhatACosignatureIsNot(t *testing.T) {
	t.Parallel()
	log := newTestLog(t, "log")
	text := log.checkpoint.Text()
	w := newCosigner("w")
	p := mustParse(t, "witness W "+w.vkey(), "quorum W")
	other := log.checkpoint
	other.Size++
	altered := func(at int) string {
		name, b64, _ := strings.Cut(strings.TrimSuffix(w.line(text, march2023), "\n"), " w ")
		raw, err := base64.StdEncoding.DecodeString(b64)
		require.NoError(t, err)
		raw[at] ^= 1
		return name + " w " + base64.StdEncoding.EncodeToString(raw) + "\n"
	}
	plain := "— w " + base64.StdEncoding.EncodeToString(append(w.keyID(0x04), ed25519.Sign(w.secret, []byte(text))...)) + "\n"
	for what, line := range map[string]string{
		"of another checkpoint":      w.line(other.Text(), march2023),
		"with another time":          altered(11),
		"with an altered signature":  altered(40),
		"without a time":             plain,
		"of a key's id alone":        "— w " + base64.StdEncoding.EncodeToString(append(w.keyID(0x04), 0)) + "\n",
		"after the year 9999":        w.line(text, maxTime+1),
		"of a time beyond 63 bits":   w.line(text, 1<<63),
		"by a key of the same name ": altered(0), // not the witness's key: ignored
	} {
		r := p.Evaluate(log.with(t, line))
		assert.False(t, r.QuorumMet, what)
		assert.Empty(t, r.Cosigned, what)
		if strings.Contains(what, "same name") {
			assert.Empty(t, r.Invalid, what)
			assert.Equal(t, 1, r.Unknown, what)
		} else {
			assert.Equal(t, []string{"W"}, r.Invalid, what)
			assert.Zero(t, r.Unknown, what)
		}
	}

	// The log's own key vouches for the log, not for a witness.
	r := p.Evaluate(log.with(t))
	assert.False(t, r.QuorumMet)

	// The latest of several times counts, and a bad one is still told.
	r = p.Evaluate(log.with(t, w.line(text, march2023), w.line(text, may2033), w.line(text, 0), altered(40)))
	assert.True(t, r.QuorumMet)
	assert.Equal(t, []Cosignature{{"W", "w", time.Unix(may2033, 0).UTC()}}, r.Cosigned)
	assert.Equal(t, []string{"W"}, r.Invalid)
}

func TestLogs(t *testing.T) {
	t.Parallel()
	log, imposter := newTestLog(t, "log"), newTestLog(t, "imposter")
	p := mustParse(t, "log "+newCosigner("elsewhere.example").vkeyOf(0x01), "log "+log.vkey(t), "quorum none")
	assert.Equal(t, log.vkey(t), p.Evaluate(log.with(t)).Log)
	assert.Empty(t, p.Evaluate(imposter.with(t)).Log, "the same origin under another key")
	next := newTestLog(t, "log")
	next.checkpoint.Origin.Epoch++
	assert.Empty(t, mustParse(t, "log "+next.vkey(t), "quorum none").Evaluate(log.with(t)).Log, "the same key under another origin")
	assert.Empty(t, mustParse(t, "quorum none").Evaluate(log.with(t)).Log)
}

// Signatures made by the library verify here, and those made here by hand from
// the specification verify in the library and in x/mod's note.
func TestAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	log := newTestLog(t, "log")
	w := newCosigner("w.example/cosigner")
	seed := base64.StdEncoding.EncodeToString(append([]byte{0x04}, w.secret.Seed()...))
	signer, err := cosignature.NewSignerForCosignatureV1(fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", w.name, w.keyID(0x04), seed))
	require.NoError(t, err)
	opened, err := note.Open([]byte(log.note), note.VerifierList(must(note.NewVerifier(log.vkey(t)))))
	require.NoError(t, err)
	before := time.Now().Truncate(time.Second)
	signed, err := note.Sign(opened, signer)
	require.NoError(t, err)
	p := mustParse(t, "witness W "+w.vkey(), "quorum W")
	r := p.Evaluate(log.with(t, strings.TrimPrefix(string(signed), log.note)))
	require.True(t, r.QuorumMet)
	assert.False(t, r.Cosigned[0].Time.Before(before))

	ours := log.note + w.line(log.checkpoint.Text(), march2023)
	theirs, err := note.Open([]byte(ours), note.VerifierList(signer.Verifier()))
	require.NoError(t, err)
	require.Len(t, theirs.Sigs, 1)
	at, err := cosignature.CoSigV1Timestamp(theirs.Sigs[0])
	require.NoError(t, err)
	assert.Equal(t, at.UTC(), p.Evaluate(log.with(t, w.line(log.checkpoint.Text(), march2023))).Cosigned[0].Time)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
