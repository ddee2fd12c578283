package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	tessera "github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// grow appends spans of the owner until the timeline has size entries.
func (w *world) grow(size uint64) {
	w.t.Helper()
	for have := w.size(); have < size; have = w.size() {
		n := int(min(size-have, 1000))
		lines := make([][]byte, n)
		for i := range lines {
			lines[i] = w.note(w.owner, i)
		}
		for _, r := range w.engine.SubmitMany(context.Background(), w.tenant.Id, lines) {
			require.NoError(w.t, r.Err)
		}
	}
}

// tileLog is a log as tessera's client sees it.
type tileLog struct {
	*tessera.HTTPFetcher
	verifier note.Verifier
}

func (w *world) tiles() tileLog {
	w.t.Helper()
	root, err := url.Parse(w.url + w.at("/"))
	require.NoError(w.t, err)
	fetcher, err := tessera.NewHTTPFetcher(root, w.http)
	require.NoError(w.t, err)
	verifier, err := note.NewVerifier(w.tenant.LogKey)
	require.NoError(w.t, err)
	return tileLog{fetcher, verifier}
}

func TestTesseraClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	log := w.tiles()
	log.SetAuthorizationHeader("Bearer " + w.token(w.member("auditor")))
	small, smallNote, _, err := tessera.FetchCheckpoint(t.Context(), log.ReadCheckpoint, log.verifier, w.tenant.Origin)
	require.NoError(t, err)
	tracker, err := tessera.NewLogStateTracker(t.Context(), log.ReadTile, smallNote, log.verifier, w.tenant.Origin, tessera.UnilateralConsensus(log.ReadCheckpoint))
	require.NoError(t, err)
	for _, size := range []uint64{small.Size, 255, 256, 257, 513} {
		w.grow(size)
		checkpoint, _, _, err := tessera.FetchCheckpoint(t.Context(), log.ReadCheckpoint, log.verifier, w.tenant.Origin)
		require.NoError(t, err)
		require.Equal(t, size, checkpoint.Size)
		_, _, _, err = tracker.Update(t.Context()) // verifies the consistency with what it saw before
		require.NoError(t, err)
		require.Equal(t, size, tracker.Latest().Size)

		builder, err := tessera.NewProofBuilder(t.Context(), size, log.ReadTile)
		require.NoError(t, err)
		consistent, err := builder.ConsistencyProof(t.Context(), small.Size, size)
		require.NoError(t, err)
		require.NoError(t, proof.VerifyConsistency(rfc6962.DefaultHasher, small.Size, size, consistent, small.Hash, checkpoint.Hash))
		var seen uint64
		for i := uint64(0); seen < size; i++ {
			bundle, err := tessera.GetEntryBundle(t.Context(), log.ReadEntryBundle, i, size)
			require.NoError(t, err)
			for _, entry := range bundle.Entries {
				line, err := span.ParseLine(entry)
				require.NoError(t, err)
				require.Equal(t, seen, line.Seq)
				included, err := builder.InclusionProof(t.Context(), seen)
				require.NoError(t, err)
				require.NoError(t, proof.VerifyInclusion(rfc6962.DefaultHasher, seen, size, rfc6962.DefaultHasher.HashLeaf(entry), included, checkpoint.Hash))
				seen++
			}
		}
		leaves, err := tessera.FetchLeafHashes(t.Context(), log.ReadTile, 0, size, size)
		require.NoError(t, err)
		require.Len(t, leaves, int(size))
	}
}

// tileReader reads tiles for x/mod, whose paths have a height that LogLine's, of
// height 8, leave out.
type tileReader struct {
	w      *world
	client *client.Client
}

func (tileReader) Height() int { return 8 }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		path := tree.Tile{Level: t.L, Index: uint64(t.N), Width: t.W}.String()
		if out[i], err = r.client.Tile(context.Background(), r.w.tenant.Id, path); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func TestSumdbTileReader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := client.New(w.url, client.WithHTTPClient(w.http))
	require.NoError(t, err)
	w.grow(700)
	raw, err := c.Checkpoint(t.Context(), w.tenant.Id)
	require.NoError(t, err)
	checkpoint, err := tree.OpenNote(raw, w.tenant.LogKey)
	require.NoError(t, err)
	reader := tlog.TileHashReader(tlog.Tree{N: int64(checkpoint.Size), Hash: tlog.Hash(checkpoint.Root)}, tileReader{w, c})
	for _, index := range []int64{0, 255, 256, 511, 512, 699} {
		included, err := tlog.ProveRecord(700, index, reader) // checks every tile against the root
		require.NoError(t, err)
		leaf, want, err := w.log.Inclusion(t.Context(), w.tenant.Id, uint64(index), 700)
		require.NoError(t, err)
		require.NoError(t, tlog.CheckRecord(included, 700, tlog.Hash(checkpoint.Root), index, tlog.Hash(leaf)))
		require.Len(t, included, len(want))
	}
	for _, from := range []int64{1, 256, 257, 512} {
		_, err := tlog.ProveTree(700, from, reader)
		require.NoError(t, err)
	}
}

func TestTiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	auditor := w.member("auditor")
	w.grow(300)
	r := w.get(w.at("/tile/0/000"), "").want(t, http.StatusOK)
	require.Len(t, r.body, 256*32)
	require.Equal(t, "application/octet-stream", r.header.Get("Content-Type"))
	require.Equal(t, "public, max-age=31536000, immutable", r.header.Get("Cache-Control"))
	require.Equal(t, r.body[:32], w.get(w.at("/tile/0/000.p/1"), "").want(t, http.StatusOK).body)
	require.Len(t, w.get(w.at("/tile/0/001.p/44"), "").want(t, http.StatusOK).body, 44*32)
	upper := w.get(w.at("/tile/1/000.p/1"), "").want(t, http.StatusOK).body
	var leaves tree.Range
	for leaf := range slices.Chunk(r.body, 32) {
		leaves.Append(span.Hash(leaf), nil)
	}
	root := leaves.Root()
	require.Equal(t, root[:], upper)

	for _, path := range []string{"0/001.p/45", "0/001", "0/002.p/1", "0/x001/000", "1/000.p/2", "1/000", "2/000.p/1", "63/000.p/1", "entries/001", "entries/x999/999/000.p/1"} {
		want, code := http.StatusNotFound, "tile_unknown"
		if path == "entries/x999/999/000.p/1" {
			want, code = http.StatusBadRequest, "tile_invalid"
		}
		w.get(w.at("/tile/"+path), w.token(auditor)).problem(t, want, code)
	}
	for _, path := range []string{"0/0", "00/000", "64/000", "0/000.p/0", "0/000.p/256", "0/000.p/x", "0/x000/000", "0/000/", "x/000", "0/000%2Fp", "entries/0", "0/000?x=1", "0/000.p/1/2/3"} {
		r := w.get(w.at("/tile/"+path), "")
		require.Equal(t, http.StatusBadRequest, r.status, "%s: %s", path, r.body)
	}
}

func TestTilesAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := w.append(w.note(w.owner, 1, visible(span.VisibilityPrivate))).want(t, http.StatusCreated)
	auditor, member := w.member("auditor"), w.member("member")
	path := w.at(fmt.Sprintf("/tile/entries/000.p/%d", w.size()))

	w.get(path, "").problem(t, http.StatusUnauthorized, "credential_required")
	for _, who := range []*id.Keys{w.owner, member} {
		w.get(path, w.token(who)).problem(t, http.StatusForbidden, "role_forbidden")
	}
	w.get(path, w.token(w.identity())).problem(t, http.StatusNotFound, "tenant_unknown")
	r := w.get(path, w.token(auditor)).want(t, http.StatusOK)
	require.Equal(t, "private, max-age=31536000, immutable", r.header.Get("Cache-Control"))
	require.Equal(t, "Authorization", r.header.Get("Vary"))
	var bundle api.EntryBundle
	require.NoError(t, bundle.UnmarshalText(r.body))

	receipt, err := w.log.Receipt(t.Context(), w.tenant.Id, 5)
	require.NoError(t, err)
	require.Equal(t, receipt.Line, bundle.Entries[5])
	require.True(t, bytes.HasPrefix(secret.body, append([]byte(`{"entry":`), bundle.Entries[5]...)), "%s", secret.body)

	// A slug must not tell by its answer whether there is such a tenant.
	var answers []string
	for _, slug := range []string{"acme", "nobody"} {
		p := w.get("/v1/tenants/"+slug+"/tile/0/000.p/1", w.token(w.owner)).problem(t, http.StatusNotFound, "tenant_unknown")
		answers = append(answers, p.Detail)
	}
	require.Equal(t, answers[0], answers[1])
	w.get("/v1/tenants/00000000-0000-8000-8000-000000000000/tile/0/000.p/1", "").problem(t, http.StatusNotFound, "tenant_unknown")
}

// pad brings the timeline to a size with lines that nobody signed: what tiles
// hold does not depend on it, and the log signs the tree all the same.
func (w *world) pad(size uint64) {
	w.t.Helper()
	ctx := context.Background()
	head, err := w.store.Head(ctx, w.tenant.Id)
	require.NoError(w.t, err)
	b := &timeline.Batch{Tenant: w.tenant.Id, ExpectedSize: head.Size, ExpectedRoot: head.Root}
	var leaves []span.Hash
	for seq := head.Size; seq < size; seq++ {
		line := fmt.Appendf(nil, `{"seq":%d}`, seq)
		leaves = append(leaves, span.LeafHash(line))
		id := fmt.Sprintf("00000000-0000-7000-8000-%012x", seq)
		b.Rows = append(b.Rows, timeline.Row{
			Seq: seq, Line: line, Leaf: span.LeafHash(line), ID: id, RecordedAt: head.RecordedAt, Type: "test.padding", Author: w.owner.ID(),
			Visibility: span.VisibilityPublic, Status: timeline.StatusExecuted,
		})
		b.Spent = append(b.Spent, timeline.SpentID{ID: id, Spent: timeline.Spent{Seq: seq, By: timeline.SpentByEntry}})
	}
	edge, err := tree.NewRange(0, head.Size, head.Edge)
	require.NoError(w.t, err)
	grown, err := tree.NewBatch(edge, leaves)
	require.NoError(w.t, err)
	origin, err := tree.ParseOrigin(w.tenant.Origin)
	require.NoError(w.t, err)
	note, err := tree.Checkpoint{Origin: origin, Size: size, Root: grown.Root()}.Sign(w.node.LogKey(), w.node.SignLog)
	require.NoError(w.t, err)
	b.Subtrees = grown.Subtrees()
	b.Head = timeline.Head{Size: size, Root: grown.Root(), RecordedAt: head.RecordedAt, Checkpoint: note, Edge: grown.Edge().Hashes()}
	require.NoError(w.t, w.store.Append(ctx, b))
}

// TestTesseraClientAtTheThirdLevel is TestTesseraClient around 256² entries,
// where a tile of the third level begins.
func TestTesseraClientAtTheThirdLevel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	log := w.tiles()
	const border = 256 * 256
	sizes := []uint64{border - 1, border, border + 1, border + 300}
	var roots [][]byte
	for i, size := range sizes {
		w.pad(size)
		checkpoint, _, _, err := tessera.FetchCheckpoint(t.Context(), log.ReadCheckpoint, log.verifier, w.tenant.Origin)
		require.NoError(t, err)
		require.Equal(t, size, checkpoint.Size)
		builder, err := tessera.NewProofBuilder(t.Context(), size, log.ReadTile)
		require.NoError(t, err)
		for j, smaller := range sizes[:i] {
			consistent, err := builder.ConsistencyProof(t.Context(), smaller, size)
			require.NoError(t, err)
			require.NoError(t, proof.VerifyConsistency(rfc6962.DefaultHasher, smaller, size, consistent, roots[j], checkpoint.Hash))
		}
		for _, index := range []uint64{100, 255, 256, 65_279, border - 2, size - 1} {
			included, err := builder.InclusionProof(t.Context(), index)
			require.NoError(t, err)
			leaf := rfc6962.DefaultHasher.HashLeaf(fmt.Appendf(nil, `{"seq":%d}`, index))
			require.NoError(t, proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf, included, checkpoint.Hash))
		}
		roots = append(roots, checkpoint.Hash)
	}
	require.Len(t, w.get(w.at("/tile/1/000"), "").want(t, http.StatusOK).body, 256*32)
	require.Len(t, w.get(w.at("/tile/2/000.p/1"), "").want(t, http.StatusOK).body, 32)
	w.get(w.at("/tile/2/000.p/2"), "").problem(t, http.StatusNotFound, "tile_unknown")
	w.get(w.at("/tile/1/001.p/1"), "").want(t, http.StatusOK)
	w.get(w.at("/tile/1/001.p/2"), "").problem(t, http.StatusNotFound, "tile_unknown")
}
