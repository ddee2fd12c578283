package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func readVectors(t *testing.T, name string, into any) {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "vectors", name))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(src, into))
}

// TestVectorsBundle puts the vectors' spans and entries together to a bundle
// under the vectors' checkpoint, which must verify clean.
func TestVectorsBundle(t *testing.T) {
	t.Parallel()
	var entries []struct {
		Line   string
		Detail json.RawMessage
	}
	var spans struct {
		Tenant, Node string
		Spans        []struct{ Span json.RawMessage }
	}
	var checkpoint struct {
		VerifierKey string `json:"verifier_key"`
		Checkpoint  string
	}
	readVectors(t, "entries.json", &entries)
	readVectors(t, "spans.json", &spans)
	readVectors(t, "checkpoint.json", &checkpoint)
	require.Len(t, spans.Spans, len(entries))

	b := &builder{t: t, tree: memoryTree{}, edge: &tree.Range{}}
	info := Info{
		Tenant: spans.Tenant, Node: spans.Node, LogKey: checkpoint.VerifierKey,
		Checkpoint: []byte(checkpoint.Checkpoint), To: uint64(len(entries)),
	}
	for i, e := range entries {
		sp, err := span.Parse(spans.Spans[i].Span, span.Limits{})
		require.NoError(t, err)
		entry := Entry{Seq: uint64(i), Line: []byte(e.Line), Payload: sp.Payload, Salt: sp.Salt, Leaf: span.LeafHash([]byte(e.Line))}
		if e.Detail != nil {
			_, entry.Detail, err = span.ParseDetail(e.Detail)
			require.NoError(t, err)
		}
		switch sp.Type {
		case span.TypeGenesis:
			g, err := span.ParseGenesis(sp.Payload)
			require.NoError(t, err)
			info.Slug, info.Name = g.Slug, g.Name
		case span.TypeIdentity:
			p, err := span.ParseIdentity(sp.Payload)
			require.NoError(t, err)
			if i == 1 || i == 2 {
				info.Events = append(info.Events, p.Event)
			}
		}
		b.entries = append(b.entries, entry)
		b.tree[0] = append(b.tree[0], entry.Leaf)
	}
	var out bytes.Buffer
	require.NoError(t, Write(context.Background(), &out, info, b.tree, b.all(0, info.To)))
	rep := verify(t, out.Bytes(), Options{Node: spans.Node, Checkpoint: info.Checkpoint})
	require.Empty(t, rep.Problems)
	require.True(t, rep.Authenticated)
	require.Equal(t, len(entries), rep.Entries)
	require.Equal(t, len(entries), rep.Checked)
}
