package rules_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/standing"
)

// The state in memory answers as a plain map does.
func TestMemoryAgreesWithAMap(t *testing.T) {
	t.Parallel()
	ctx, random := t.Context(), rand.New(rand.NewPCG(1, 2))
	var m rules.Memory
	plain := rows{}
	key := func() string { return fmt.Sprintf("%c/%03d", 'a'+random.IntN(3), random.IntN(200)) }
	for range 2000 {
		change := standing.Row{Key: key()}
		if random.IntN(3) > 0 {
			change.Value = fmt.Append(nil, random.Int())
		}
		m.Apply([]standing.Row{change})
		plain.apply([]standing.Row{change})

		prefix, at := string('a'+rune(random.IntN(3)))+"/", key()
		want, ok, _ := plain.Get(ctx, at)
		got, found, err := m.Get(ctx, at)
		require.NoError(t, err)
		require.Equal(t, ok, found)
		require.Equal(t, want, got)

		floor, ok, _ := plain.Floor(ctx, prefix, at)
		below, found, err := m.Floor(ctx, prefix, at)
		require.NoError(t, err)
		require.Equal(t, ok, found)
		require.Equal(t, floor, below)

		list, _ := plain.Range(ctx, prefix, at, 5)
		after, err := m.Range(ctx, prefix, at, 5)
		require.NoError(t, err)
		require.Equal(t, list, after)
	}
}
