package engine_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// TestImportedTimeline: followers are woken, and whatever goes over all
// timelines leaves the one that another node writes alone.
func TestImportedTimeline(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		ctx := context.Background()
		w, there := newWorld(t, setup{}), newWorld(t, s)
		requireNoErr(t, w.submit(w.note(w.owner, 1)))
		var bundle bytes.Buffer
		require.NoError(t, w.log.Export(ctx, &bundle, w.tenant.ID, 0, 0, standing.Everything()))
		sub := there.bus.Subscribe(w.tenant.ID)
		defer sub.Close()
		opt := timeline.ImportOptions{Slug: "acme-west", Dir: t.TempDir()}
		out, err := there.Import(ctx, bytes.NewReader(bundle.Bytes()), opt)
		require.NoError(t, err)
		require.NotEmpty(t, sub.Take(), "announced")
		_, err = there.Import(ctx, bytes.NewReader(bundle.Bytes()), timeline.ImportOptions{Dir: t.TempDir()})
		require.NoError(t, err)
		require.Empty(t, sub.Take(), "nothing was new")

		for _, tenant := range []string{w.tenant.ID, "acme-west"} {
			r := there.Submit(ctx, tenant, w.note(w.owner, 2), engine.Options{})
			require.Equal(t, timeline.CodeReadOnly, fault.CodeOf(r.Err))
		}
		renewed, err := there.RenewEpochs(ctx, false)
		require.NoError(t, err)
		require.Empty(t, renewed)
		renewed, err = there.RenewEpochs(ctx, true)
		require.NoError(t, err)
		require.Len(t, renewed, 1)
		require.Equal(t, there.tenant.ID, renewed[0].ID)
		_, _, err = there.dir.Register(ctx, w.owner.Events(), "", "")
		require.NoError(t, err)
		rotation, err := w.owner.Rotate(there.clock.now(), rand.Reader)
		require.NoError(t, err)
		_, pending, err := there.EmbedEvent(ctx, w.owner.ID(), rotation.Raw)
		require.NoError(t, err)
		require.Empty(t, pending)
		size, err := there.log.Stats(ctx, w.tenant.ID)
		require.NoError(t, err)
		require.Equal(t, out.To, size.Size)
	})
}
