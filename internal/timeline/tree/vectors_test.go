package tree

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "vectors", name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(src, into))
}

func hashesOf(t *testing.T, texts []string) []span.Hash {
	t.Helper()
	out := make([]span.Hash, len(texts))
	for i, s := range texts {
		var err error
		out[i], err = span.ParseHash(s)
		require.NoError(t, err)
	}
	return out
}

func vectorLeaves(t *testing.T) []span.Hash {
	t.Helper()
	var entries []struct {
		Line     string `json:"line"`
		LeafHash string `json:"leaf_hash"`
	}
	readVectors(t, "entries.json", &entries)
	leaves := make([]span.Hash, len(entries))
	for i, e := range entries {
		leaves[i] = span.LeafHash([]byte(e.Line))
		require.Equal(t, e.LeafHash, leaves[i].String())
	}
	return leaves
}

func TestVectorsTree(t *testing.T) {
	t.Parallel()
	leaves := vectorLeaves(t)
	m, _ := grow(t, leaves)
	var vectors struct {
		Roots []struct {
			Size uint64
			Root string
		}
		Inclusion []struct {
			Index, Size uint64
			Hashes      []string
		}
		Consistency []struct {
			From, To uint64
			Hashes   []string
		}
	}
	readVectors(t, "tree.json", &vectors)
	require.NotEmpty(t, vectors.Roots)
	require.NotEmpty(t, vectors.Inclusion)
	require.NotEmpty(t, vectors.Consistency)
	for _, v := range vectors.Roots {
		root, err := Root(t.Context(), m, v.Size)
		require.NoError(t, err)
		require.Equal(t, v.Root, root.String(), "size %d", v.Size)
	}
	for _, v := range vectors.Inclusion {
		want := hashesOf(t, v.Hashes)
		got, err := Inclusion(t.Context(), m, v.Index, v.Size)
		require.NoError(t, err)
		require.Equal(t, want, got)
		root, err := Root(t.Context(), m, v.Size)
		require.NoError(t, err)
		require.NoError(t, VerifyInclusion(leaves[v.Index], v.Index, v.Size, want, root))
	}
	for _, v := range vectors.Consistency {
		want := hashesOf(t, v.Hashes)
		got, err := Consistency(t.Context(), m, v.From, v.To)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, VerifyConsistency(v.From, v.To, mustRoot(t, m, v.From), mustRoot(t, m, v.To), want))
	}
}

func mustRoot(t *testing.T, m *memory, size uint64) span.Hash {
	t.Helper()
	root, err := Root(t.Context(), m, size)
	require.NoError(t, err)
	return root
}

func TestVectorsCheckpoint(t *testing.T) {
	t.Parallel()
	var v struct {
		Origin      string
		VerifierKey string `json:"verifier_key"`
		LogKeySeed  string `json:"log_key_seed"`
		Checkpoint  string
	}
	readVectors(t, "checkpoint.json", &v)
	seed, err := span.ParseB64(v.LogKeySeed, ed25519.SeedSize)
	require.NoError(t, err)
	private := ed25519.NewKeyFromSeed(seed)
	public := private.Public().(ed25519.PublicKey)
	origin, err := ParseOrigin(v.Origin)
	require.NoError(t, err)
	vkey, err := VerifierKey(origin, public)
	require.NoError(t, err)
	require.Equal(t, v.VerifierKey, vkey)

	m, edge := grow(t, vectorLeaves(t))
	c := Checkpoint{Origin: origin, Size: m.size, Root: edge.Root()}
	signed, err := c.Sign(public, func(text []byte) []byte { return ed25519.Sign(private, text) })
	require.NoError(t, err)
	require.Equal(t, v.Checkpoint, string(signed))
	got, err := OpenNote([]byte(v.Checkpoint), v.VerifierKey)
	require.NoError(t, err)
	require.Equal(t, c, got)
}
