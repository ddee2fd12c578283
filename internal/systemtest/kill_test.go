package systemtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestKillNine is the soak in short: a few rounds on each kind.
func TestKillNine(t *testing.T) {
	t.Parallel()
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	random := seed(t)
	for _, k := range kinds {
		first := random.Uint64()
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := k.newStage(t)
			var sum figures
			for n := range rounds {
				r := &round{t: t, kind: k, stage: s, dir: t.TempDir(), seed: first + uint64(n), kills: 1}
				r.run(t.Context())
				sum.add(&r.figures)
			}
			t.Log(sum.String())
		})
	}
}

func TestTerminateUnderLoadDrains(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	y := onboard(t, start(t, dir))
	l := newLedger()
	ctx, stop := context.WithCancel(background())
	defer stop()
	ended := make(chan struct{})
	go func() { defer close(ended); y.load(ctx, l, y.checked, unheard) }()
	busy := time.NewTicker(5 * time.Millisecond)
	defer busy.Stop()
	for range busy.C {
		if l.acknowledged() > 100 {
			break
		}
	}
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	<-ended
	require.NotContains(t, y.Log.String(), "panic")

	y.attach(start(t, dir))
	y.settle(l)
	y.requireAll(l, seed(t))
	require.Zero(t, y.terminate())
}
