package id

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// What a node has sealed opens after a restart and after its keys have rotated,
// and for no other node.
func TestSealingKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n, _, err := OpenNode(dir, testTime, source(1))
	require.NoError(t, err)
	key, err := n.SealingKey()
	require.NoError(t, err)
	blob, err := key.Seal("webhook", "row", []byte("plain"), source(2))
	require.NoError(t, err)

	require.NoError(t, n.Rotate(t.Context(), testTime, source(3)))
	again, _, err := OpenNode(dir, testTime, bytes.NewReader(nil))
	require.NoError(t, err)
	for _, node := range []*Node{n, again} {
		later, err := node.SealingKey()
		require.NoError(t, err)
		require.Equal(t, key.ID(), later.ID())
		plain, err := later.Open("webhook", "row", blob)
		require.NoError(t, err)
		require.Equal(t, "plain", string(plain))
	}

	other, _, err := OpenNode(t.TempDir(), testTime, source(4))
	require.NoError(t, err)
	foreign, err := other.SealingKey()
	require.NoError(t, err)
	require.NotEqual(t, key.ID(), foreign.ID())
	_, err = foreign.Open("webhook", "row", blob)
	require.Equal(t, "sealed_unopenable", fault.CodeOf(err))

	// The master key whose bytes are the node's secret is another one.
	same, err := newMasterKey(n.current().Secret())
	require.NoError(t, err)
	require.NotEqual(t, key.ID(), same.ID())
}
