package engine_test

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// enlist gives the node's key events to the directory, as the start of a
// server does.
func (w *world) enlist() {
	w.t.Helper()
	_, _, err := w.dir.Register(context.Background(), w.node.Events(), "", "")
	require.NoError(w.t, err)
}

func (w *world) rotateNode() (before id.Signer) {
	w.t.Helper()
	before = w.node.Signer()
	require.NoError(w.t, w.node.Rotate(context.Background(), w.clock.now(), rand.Reader))
	return before
}

// TestNodeRotationEntersEveryTimelineInOneBatch: the rotation under the old key,
// the log key's delegation under the new one, one checkpoint for both.
func TestNodeRotationEntersEveryTimelineInOneBatch(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w, ctx := newWorld(t, s), context.Background()
		w.enlist()
		second, err := w.CreateTenant(ctx, "second", "Second", w.owner.ID(), false)
		require.NoError(t, err)
		require.NoError(t, w.submit(w.note(w.owner, 0)).Err)
		before := w.rotateNode()
		pending, err := w.EmbedNode(ctx)
		require.NoError(t, err)
		require.Empty(t, pending)
		info, err := w.dir.Get(ctx, w.node.ID())
		require.NoError(t, err)
		require.Equal(t, w.node.Events(), info.Events)

		for _, tenant := range []string{w.tenant.ID, second.ID} {
			entries := w.entries(tenant)
			n := len(entries)
			require.Equal(t, []string{span.TypeIdentity, span.TypeIdentity}, w.types(tenant, n-2))
			require.Equal(t, before.Public(), entries[n-2].Span.Signature.Key)
			require.Equal(t, w.node.Signer().Public(), entries[n-1].Span.Signature.Key)
			receipt, err := w.log.Receipt(ctx, tenant, uint64(n-2))
			require.NoError(t, err)
			require.Equal(t, uint64(n), receipt.Size, "one batch")
		}
		// Again changes nothing, and everything goes on under the new key.
		size := w.size()
		_, err = w.EmbedNode(ctx)
		require.NoError(t, err)
		require.Equal(t, size, w.size())
		require.NoError(t, w.submit(w.note(w.member(span.RoleMember), 1)).Err)
		require.NoError(t, w.SubmitOwn(ctx, "acme", "logline.peer.seen", []byte(`{}`), engine.OwnOptions{}).Err)
		w.verify()

		third, err := w.CreateTenant(ctx, "third", "Third", w.owner.ID(), false)
		require.NoError(t, err)
		w.tenant = third
		require.NoError(t, w.submit(w.note(w.owner, 2)).Err)
		require.Len(t, w.entries(third.ID), 8)
		w.verify()
	})
}

// TestNodeRotationsReachATimelineLate: two of them happened while it was out of
// reach, and enter before anything else that the node signs there.
func TestNodeRotationsReachATimelineLate(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w, ctx := newWorld(t, s), context.Background()
		w.enlist()
		w.rotateNode()
		w.rotateNode()
		require.NoError(t, w.submit(w.note(w.owner, 0)).Err, "the old key still stands here")
		w.grant(w.identity(), span.RoleMember)
		id := span.TypeIdentity
		require.Equal(t, []string{"test.happened", id, id, id, id, id, span.TypeMember}, w.types(w.tenant.ID, 5))
		w.verify()

		w.rotateNode()
		require.NoError(t, w.SubmitOwn(ctx, "acme", "logline.peer.seen", []byte(`{}`), engine.OwnOptions{}).Err)
		require.Equal(t, []string{id, id, "logline.peer.seen"}, w.types(w.tenant.ID, 12))
		w.verify()
	})
}

// TestNodeRotationSurvivesACrash: the key file has it, nothing else yet; the
// next start brings it everywhere.
func TestNodeRotationSurvivesACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, ctx := newWorld(t, setup{url: backend.URL(t, backend.SQLite), nodeDir: dir}), context.Background()
	w.enlist()
	w.rotateNode()

	p := w.process()
	var err error
	p.node, _, err = id.OpenNode(dir, w.clock.now(), rand.Reader)
	require.NoError(t, err)
	p.log = p.newLog()
	p.Engine = p.newEngine(setup{}, p.log)
	pending, err := p.EmbedNode(ctx)
	require.NoError(t, err)
	require.Empty(t, pending)
	require.NoError(t, p.submit(p.note(p.owner, 1)).Err)
	p.verify()
}

// TestNodeRotatesUnderLoad: what the node signs meanwhile is neither lost nor
// refused.
func TestNodeRotatesUnderLoad(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w, ctx := newWorld(t, s), context.Background()
		w.enlist()
		var grants [][]byte
		for range 12 {
			grants = append(grants, w.member_(w.owner, w.identity().ID(), span.ActionGrant, span.RoleMember))
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, raw := range grants {
				requireNoErr(t, w.submit(raw))
			}
		})
		wg.Go(func() {
			for range 12 {
				requireNoErr(t, w.SubmitOwn(ctx, "acme", "logline.peer.seen", []byte(`{}`), engine.OwnOptions{}))
			}
		})
		for range 3 {
			w.rotateNode()
			pending, err := w.EmbedNode(ctx)
			require.NoError(t, err)
			require.Empty(t, pending)
		}
		wg.Wait()
		require.EqualValues(t, 5+2*12+12+2*3, w.size())
		w.verify()
	})
}

// TestNodeEventsComeFromTheNode: whoever holds its keys cannot end the log key
// from outside.
func TestNodeEventsComeFromTheNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, setup{nodeDir: dir})
	w.enlist()
	stolen, err := id.LoadKeys(filepath.Join(dir, id.NodeKeyFile), nil)
	require.NoError(t, err)
	rotation, err := stolen.Rotate(w.clock.now(), rand.Reader)
	require.NoError(t, err)
	_, _, err = w.EmbedEvent(context.Background(), w.node.ID(), rotation.Raw)
	requireCode(t, "node_events_own", err)
	require.NoError(t, w.submit(w.note(w.owner, 0)).Err)
	w.verify()
}

// TestProcessTakesUpARotationMadeElsewhere: two processes share the node's
// sealed keys. One rotates them; the other, which has not read them since, finds
// timelines that know a key it lacks, reads again and goes on.
func TestProcessTakesUpARotationMadeElsewhere(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	master, err := id.ParseMasterKey(text)
	require.NoError(t, err)
	dir := t.TempDir()
	a := newWorld(t, setup{url: backend.URL(t, backend.SQLite), nodeDir: dir})
	a.enlist()
	b := a.process()
	for _, p := range []*world{a, b} { // the file that a made is sealed by whoever is first
		o, err := id.NodeHome{Dir: dir, DB: p.db, Masters: id.Masters{master}}.Open(ctx, p.clock.now(), rand.Reader)
		require.NoError(t, err)
		p.node = o.Node
		p.log = p.newLog()
		p.Engine = p.newEngine(setup{}, p.log)
	}
	member := a.member(span.RoleMember)
	require.NoError(t, b.submit(b.note(member, 0)).Err)

	a.rotateNode()
	pending, err := a.EmbedNode(ctx)
	require.NoError(t, err)
	require.Empty(t, pending)
	require.NotEqual(t, a.node.Signer().Public(), b.node.Signer().Public())
	rotation, err := member.Rotate(b.clock.now(), rand.Reader)
	require.NoError(t, err)
	_, pending, err = b.EmbedEvent(ctx, member.ID(), rotation.Raw)
	require.NoError(t, err)
	require.Empty(t, pending)
	require.Equal(t, a.node.Signer().Public(), b.node.Signer().Public())

	a.rotateNode()
	_, err = a.EmbedNode(ctx)
	require.NoError(t, err)
	require.NoError(t, b.SubmitOwn(ctx, "acme", "logline.peer.seen", []byte(`{}`), engine.OwnOptions{}).Err)
	require.Equal(t, a.node.Events(), b.node.Events())
	require.NoError(t, b.submit(b.note(member, 1)).Err)
	b.verify()
}
