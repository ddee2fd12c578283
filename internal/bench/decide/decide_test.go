package decide

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is timed beside each other does the same: all expressions are evaluated,
// and all of them hold.
func TestBothDecide(t *testing.T) {
	t.Parallel()
	bare, err := Bare()
	require.NoError(t, err)
	require.NoError(t, bare())
	for _, count := range []int{Matching, 10, 100} {
		ours, err := Rules(count)
		require.NoError(t, err)
		require.NoError(t, ours())
		require.Equal(t, count, strings.Count(Contract(count), "rule r"))
		payload, err := Activation(Contract(count))
		require.NoError(t, err)
		require.Contains(t, string(payload), `"action":"activate"`)
	}
}

// A way that does less says so instead of being quick.
func TestWhatDoesNotDecideFails(t *testing.T) {
	t.Parallel()
	few, err := Rules(Matching - 1)
	require.NoError(t, err)
	require.ErrorContains(t, few(), "leaves the tags")
}

func BenchmarkBare(b *testing.B) { run(b, Bare) }

func BenchmarkRules10(b *testing.B) { run(b, func() (func() error, error) { return Rules(10) }) }

func BenchmarkRules100(b *testing.B) { run(b, func() (func() error, error) { return Rules(100) }) }

func run(b *testing.B, way func() (func() error, error)) {
	decide, err := way()
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if err := decide(); err != nil {
			b.Fatal(err)
		}
	}
}
