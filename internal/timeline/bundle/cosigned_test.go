package bundle

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/danvoulez/logline/internal/timeline/policy"
)

// cosigner is a witness as the library of the format's authors makes it.
type cosigner struct {
	*cosignature.Signer
	vkey string
}

func (b *builder) cosigner(name string) cosigner {
	secret, public, err := note.GenerateKey(b.rand, name)
	require.NoError(b.t, err)
	signer, err := cosignature.NewSignerForCosignatureV1(secret)
	require.NoError(b.t, err)
	vkey, err := cosignature.VKeyToCosignatureV1(public)
	require.NoError(b.t, err)
	return cosigner{signer, vkey}
}

// cosigned is the bundle of info with signatures added to its checkpoint.
func (b *builder) cosigned(info Info, by ...cosigner) []byte {
	log, err := note.NewVerifier(info.LogKey)
	require.NoError(b.t, err)
	n, err := note.Open(info.Checkpoint, note.VerifierList(log))
	require.NoError(b.t, err)
	var signers []note.Signer
	for _, c := range by {
		signers = append(signers, c)
	}
	info.Checkpoint, err = note.Sign(n, signers...)
	require.NoError(b.t, err)
	return b.writeInfo(info)
}

func parsePolicy(t testing.TB, lines ...string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse([]byte(strings.Join(lines, "\n") + "\n"))
	require.NoError(t, err)
	return p
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(5)
	one, two, three, stranger := b.cosigner("w.example/1"), b.cosigner("w.example/2"), b.cosigner("w.example/3"), b.cosigner("other.example")
	witnesses := []string{"witness one " + one.vkey, "witness two " + two.vkey, "witness three " + three.vkey, "group two-of-three 2 one two three"}
	p := parsePolicy(t, append(witnesses, "quorum two-of-three")...)
	info := b.info(0, b.edge.End())
	node := " (node " + b.node.ID() + ")"

	rep := verify(t, b.cosigned(info, three, stranger, one), Options{Policy: p})
	require.Empty(t, rep.Problems)
	assert.True(t, rep.Authenticated)
	assert.Equal(t, "consistent; vouched for by the policy's witnesses"+node+"; cosigned by 2 witnesses, quorum two-of-three met", rep.Verdict)
	assert.Equal(t, []string{"1 signatures of the checkpoint are by keys that the policy does not name, and were ignored"}, rep.Notes)
	require.NotNil(t, rep.Cosigned)
	assert.True(t, rep.Cosigned.QuorumMet)
	assert.Equal(t, "two-of-three", rep.Cosigned.Quorum)
	require.Len(t, rep.Cosigned.By, 2)
	assert.Equal(t, "one", rep.Cosigned.By[0].Witness)
	assert.Equal(t, "w.example/1", rep.Cosigned.By[0].Key)
	assert.Equal(t, "three", rep.Cosigned.By[1].Witness)
	assert.Len(t, rep.Cosigned.By[1].Time, len("2006-01-02T15:04:05.000Z"))

	rep = verify(t, b.cosigned(info, two), Options{Policy: p})
	assert.Equal(t, []string{"cosignatures_missing"}, codes(rep))
	assert.Contains(t, rep.Problems[0].Reason, "group two-of-three has 1 of the 2 it needs (without one, three)")
	assert.Equal(t, "consistent, but not what you asked to believe"+node, rep.Verdict)
	assert.False(t, rep.Authenticated)
	assert.False(t, rep.Cosigned.QuorumMet)

	// Together with another pin, both must hold.
	rep = verify(t, b.cosigned(info, two), Options{Policy: p, Node: b.node.ID()})
	assert.Equal(t, []string{"cosignatures_missing"}, codes(rep))
	rep = verify(t, b.cosigned(info, one, two), Options{Policy: p, Node: b.owner.ID()})
	assert.Equal(t, []string{"node_not_pinned"}, codes(rep))
	rep = verify(t, b.cosigned(info, one, two), Options{Policy: p, Node: b.node.ID()})
	assert.True(t, strings.HasPrefix(rep.Verdict, "consistent; origin authenticated"+node+"; cosigned by 2"), rep.Verdict)

	// Cosignatures say nothing for a bundle that does not hold, nor without a policy.
	rep = verify(t, bytes.Replace(b.cosigned(info, one, two), []byte(`"n":3`), []byte(`"n":4`), 1), Options{Policy: p})
	assert.False(t, rep.OK)
	assert.True(t, strings.HasPrefix(rep.Verdict, "not consistent"), rep.Verdict)
	rep = verify(t, b.cosigned(info, one, two), Options{})
	assert.True(t, rep.OK)
	assert.False(t, rep.Authenticated)
	assert.Nil(t, rep.Cosigned)
	assert.Equal(t, []string{"2 cosignatures were not checked: no policy says whose to believe"}, rep.Notes)
}

func TestPolicyWithLogs(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(3)
	forged := newBuilder(t, 2)
	forged.grow(3)
	witness := b.cosigner("w.example")
	info := b.info(0, b.edge.End())

	logOnly := parsePolicy(t, "log "+info.LogKey, "quorum none")
	rep := verify(t, b.whole(), Options{Policy: logOnly})
	assert.True(t, rep.Authenticated)
	assert.True(t, rep.Cosigned.LogListed)
	assert.Equal(t, "consistent; origin authenticated (node "+b.node.ID()+")", rep.Verdict)
	rep = verify(t, forged.whole(), Options{Policy: logOnly})
	assert.Equal(t, []string{"log_not_in_policy"}, codes(rep))

	both := parsePolicy(t, "log "+info.LogKey, "witness w "+witness.vkey, "quorum w")
	assert.True(t, verify(t, b.cosigned(info, witness), Options{Policy: both}).Authenticated)
	assert.Equal(t, []string{"cosignatures_missing"}, codes(verify(t, b.whole(), Options{Policy: both})))
	rep = verify(t, forged.cosigned(forged.info(0, forged.edge.End()), witness), Options{Policy: both})
	assert.Equal(t, []string{"log_not_in_policy"}, codes(rep))
	assert.False(t, rep.Authenticated)

	// A policy that asks for nothing pins nothing.
	rep = verify(t, b.cosigned(info, witness), Options{Policy: parsePolicy(t, "witness w "+witness.vkey, "quorum none")})
	assert.True(t, rep.OK)
	assert.False(t, rep.Authenticated)
	assert.Equal(t, "consistent; origin not authenticated (node "+b.node.ID()+")", rep.Verdict)
	assert.Len(t, rep.Cosigned.By, 1)
}

func TestPolicyOnOtherCheckpoints(t *testing.T) {
	t.Parallel()
	b := newBuilder(t, 1)
	b.grow(5)
	witness := b.cosigner("w.example")
	p := parsePolicy(t, "witness w "+witness.vkey, "quorum w")

	// A part of the timeline is covered by the cosigned checkpoint of the whole.
	assert.True(t, verify(t, b.cosigned(b.info(3, 6), witness), Options{Policy: p}).Authenticated)

	// The cosignature of one checkpoint is none of another.
	earlier := b.info(0, b.edge.End())
	b.grow(1)
	now := b.info(0, b.edge.End())
	log, err := note.NewVerifier(earlier.LogKey)
	require.NoError(t, err)
	signed, err := note.Open(earlier.Checkpoint, note.VerifierList(log))
	require.NoError(t, err)
	before, err := note.Sign(signed, witness)
	require.NoError(t, err)
	now.Checkpoint = append(now.Checkpoint, bytes.TrimPrefix(before, earlier.Checkpoint)...)
	rep := verify(t, b.writeInfo(now), Options{Policy: p})
	assert.ElementsMatch(t, []string{"cosignature_invalid", "cosignatures_missing"}, codes(rep))

	// A checkpoint of nothing authenticates nothing.
	empty := b.info(0, 0)
	empty.Checkpoint = b.checkpointAt(0)
	rep = verify(t, b.cosigned(empty, witness), Options{Policy: p})
	assert.True(t, rep.Cosigned.QuorumMet)
	assert.False(t, rep.Authenticated)
}
