package importer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecentKeepsTheLastAndForgetsTheFirst(t *testing.T) {
	t.Parallel()
	r := newRecent[int, int](100)
	for i := range 1000 {
		r.put(i, -i)
		for back := range min(i+1, 100) {
			v, ok := r.get(i - back)
			require.True(t, ok, "%d after %d", i-back, i)
			require.Equal(t, back-i, v)
		}
		require.LessOrEqual(t, len(r.young)+len(r.old), 200)
	}
	_, ok := r.get(0)
	require.False(t, ok)
}

func TestRecentKeepsWhatIsUsed(t *testing.T) {
	t.Parallel()
	r := newRecent[int, int](100)
	r.put(-1, 7)
	for i := range 1000 {
		r.put(i, i)
		v, ok := r.get(-1)
		require.True(t, ok, "after %d", i)
		require.Equal(t, 7, v)
	}
}
