package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGrowth(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 500, growth(0))
	require.EqualValues(t, 500, growth(4<<20))
	require.EqualValues(t, 300, growth(32<<20))
	require.EqualValues(t, 100, growth(heapRoom))
	require.EqualValues(t, 100, growth(4<<30), "a large heap grows as Go lets it")
}

// It is the process that is tuned, so this test runs alone.
func TestHeapRoomFollowsTheHeap(t *testing.T) {
	now := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	if now() != 100 {
		t.Skip("GOGC is set, which holds")
	}
	stop := giveHeapRoom()
	defer stop()
	runtime.GC()
	require.Greater(t, now(), 100)
	large := make([]byte, 2*heapRoom)
	require.Eventually(t, func() bool { runtime.GC(); return now() == 100 }, time.Minute, time.Millisecond, "a heap that has grown")
	runtime.KeepAlive(large)
	stop()
	runtime.GC()
	require.Equal(t, 100, now())

	defer debug.SetGCPercent(debug.SetGCPercent(50))
	giveHeapRoom()()
	require.Equal(t, 50, now(), "what GOGC says holds")
}
