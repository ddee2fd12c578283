package timeline_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/memstore"
)

// TestNoBatchEndsTheLogKey: a rotation of the node enters together with the log
// key's new delegation or not at all, because a checkpoint's key is judged at
// its size.
func TestNoBatchEndsTheLogKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	before := w.node.Signer()
	require.NoError(t, w.node.Rotate(context.Background(), w.now, w.random))
	events := w.node.Events()
	rotation := w.seal(before, w.node.ID(), "logline.identity", []byte(`{"event":`+string(events[2])+`}`), nil)
	size := w.head().Size

	s := w.admit(rotation)
	_, err := s.Commit(t.Context())
	require.Equal(t, "log_key_ended", fault.CodeOf(err))
	s.Close()
	require.Equal(t, size, w.head().Size)

	w.append(rotation, w.embed(events[3]))
	w.append(w.plain(1)...)
	w.verifyBundle(w.export(0, 0, all))
	w.verifyBundle(w.export(0, size, all))
	w.verifyBundle(w.export(size+1, 0, all))
}
