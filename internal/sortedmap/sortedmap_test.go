package sortedmap_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/sortedmap"
)

// A sorted map is a map whose keys are sorted.
func TestIsAMapInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var m sortedmap.Map[int]
		model := map[string]int{}
		wide := rapid.SampledFrom([]int{10, 5000}).Draw(t, "wide")
		key := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, wide).Draw(t, "key")) })
		for n := range rapid.IntRange(0, 1500).Draw(t, "steps") {
			k := key.Draw(t, "k")
			if rapid.IntRange(0, 4).Draw(t, "delete") == 0 {
				m.Delete(k)
				delete(model, k)
			} else {
				m.Set(k, n)
				model[k] = n
			}
		}
		require.Equal(t, len(model), m.Len())
		keys := slices.Sorted(maps.Keys(model))
		for range 10 {
			at := key.Draw(t, "at")
			want, ok := model[at]
			got, found := m.Get(at)
			require.Equal(t, ok, found)
			require.Equal(t, want, got)
			n, _ := slices.BinarySearch(keys, at)
			var up, down []string
			for k, v := range m.From(at) {
				require.Equal(t, model[k], v)
				up = append(up, k)
			}
			for k, v := range m.Below(at) {
				require.Equal(t, model[k], v)
				down = append(down, k)
			}
			slices.Reverse(down)
			require.Equal(t, append([]string(nil), keys[n:]...), up)
			require.Equal(t, append([]string(nil), keys[:n]...), down)
		}
	})
}

// Keys that come in order, as most do, fill the blocks; others split them.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	for _, step := range []int{1, 7919} {
		var m sortedmap.Map[int]
		const n = 20_000
		for i := range n {
			m.Set(fmt.Sprintf("%08d", i*step%n), i)
		}
		require.Equal(t, n, m.Len())
		next := 0
		for k := range m.From("") {
			require.Equal(t, fmt.Sprintf("%08d", next), k)
			next++
		}
		require.Equal(t, n, next)
		for i := range n {
			m.Delete(fmt.Sprintf("%08d", i))
		}
		require.Zero(t, m.Len())
		for range m.From("") {
			t.Fatal("nothing is left")
		}
	}
}
