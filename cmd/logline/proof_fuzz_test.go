package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// FuzzProofFile: whatever is found good is good by x/mod's own reading of the
// tree and of the note, and what is no proof file is refused as one.
func FuzzProofFile(f *testing.F) {
	const tenant = "0190d6a2-1111-8222-9333-444455556666"
	seed := sha256.Sum256([]byte("log"))
	secret := ed25519.NewKeyFromSeed(seed[:])
	random := bytes.NewReader(bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 1000))
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	keys, err := id.NewKeys(id.SubjectPerson, now, random)
	require.NoError(f, err)
	var lines [][]byte
	var leaves []span.Hash
	for seq := range uint64(5) {
		spanID, err := span.RandomID(now, random)
		require.NoError(f, err)
		sp, err := id.SealSpan(keys.Signer(), span.Header{
			ID: spanID, Tenant: tenant, Author: keys.ID(), Type: "test.happened", Time: span.FormatTime(now),
			Status: span.StatusExecuted, Visibility: span.VisibilityPublic,
		}, fmt.Appendf(nil, `{"n":%d}`, seq), make([]byte, 16))
		require.NoError(f, err)
		e := span.Entry{Seq: seq, RecordedAt: span.FormatTime(now), Span: sp.Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}
		lines = append(lines, e.AppendLine(nil))
		leaves = append(leaves, span.LeafHash(lines[seq]))
	}
	grown, err := tree.NewBatch(&tree.Range{}, leaves)
	require.NoError(f, err)
	c := tree.Checkpoint{Origin: tree.Origin{Tenant: tenant, Node: keys.ID()}, Size: grown.Size(), Root: grown.Root()}
	signed, err := c.Sign(secret.Public().(ed25519.PublicKey), func(m []byte) []byte { return ed25519.Sign(secret, m) })
	require.NoError(f, err)
	vkey, err := tree.VerifierKey(c.Origin, secret.Public().(ed25519.PublicKey))
	require.NoError(f, err)
	verifier, err := note.NewVerifier(vkey)
	require.NoError(f, err)
	for i, line := range lines {
		proof, err := grown.Inclusion(uint64(i))
		require.NoError(f, err)
		file := tree.ProofFile{Extra: line, Index: uint64(i), Hashes: proof, Checkpoint: signed}
		report, err := checkProof(file.Marshal(), proofOptions{logKey: vkey})
		require.NoError(f, err)
		require.True(f, report.OK, "%+v", report.Problems)
		f.Add(file.Marshal())
		file.Index ^= 1
		f.Add(file.Marshal())
	}
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		report, err := checkProof(raw, proofOptions{logKey: vkey})
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			return
		}
		require.Equal(t, report.OK, len(report.Problems) == 0)
		if !report.OK {
			return
		}
		file, err := tree.ParseProofFile(raw)
		require.NoError(t, err)
		opened, err := note.Open(file.Checkpoint, note.VerifierList(verifier))
		require.NoError(t, err)
		checkpoint, err := tree.ParseNote(file.Checkpoint)
		require.NoError(t, err)
		require.Equal(t, checkpoint.Text(), opened.Text)
		proof := make(tlog.RecordProof, len(file.Hashes))
		for i, h := range file.Hashes {
			proof[i] = tlog.Hash(h)
		}
		require.NoError(t, tlog.CheckRecord(proof, int64(checkpoint.Size), tlog.Hash(checkpoint.Root), int64(file.Index), tlog.RecordHash(file.Extra)))
	})
}
