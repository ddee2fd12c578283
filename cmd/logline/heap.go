package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// heapRoom is how much the heap of a server or of an import may always grow
// between two collections, in bytes. Such a heap is small and its garbage much:
// growing by no more than the heap's own size, as Go does it, takes a tenth of
// the processors under load.
const heapRoom = 96 << 20

// Bounds of the percentage that this leads to: 100 is Go's own.
const (
	leastGrowth = 100
	mostGrowth  = 500 // a heap that suddenly has more alive grows by as much until it is looked at
)

// giveHeapRoom looks at the heap after each collection and lets it grow by
// heapRoom at least, until stop is called. Where GOGC says something else, that
// holds.
func giveHeapRoom() (stop func()) {
	before := debug.SetGCPercent(leastGrowth)
	if before != leastGrowth {
		debug.SetGCPercent(before)
		return func() {}
	}
	h := &heapTuner{}
	h.now.Store(leastGrowth)
	h.tune()
	h.watch()
	return func() {
		h.stopped.Store(true)
		debug.SetGCPercent(before)
	}
}

type heapTuner struct {
	now     atomic.Int64 // the percentage that holds
	stopped atomic.Bool
}

// collected is garbage from the start: its cleanup runs after the next collection.
type collected struct{ _ [16]byte }

func (h *heapTuner) watch() {
	runtime.AddCleanup(&collected{}, func(h *heapTuner) {
		if !h.stopped.Load() {
			h.tune()
			h.watch()
		}
	}, h)
}

func (h *heapTuner) tune() {
	scanned := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(scanned)
	var base uint64 // what the percentage is of: each goroutine has a stack
	for _, s := range scanned {
		if s.Value.Kind() != metrics.KindUint64 {
			return
		}
		base += s.Value.Uint64()
	}
	// Setting it stops the world for a moment, which a small change is not worth.
	if want, now := growth(base), h.now.Load(); want > now+now/4 || want < now {
		h.now.Store(want)
		debug.SetGCPercent(int(want))
	}
}

// growth is by how many percent a heap with base bytes to scan may grow.
func growth(base uint64) int64 {
	return int64(min(max(heapRoom*100/max(base, 1), leastGrowth), mostGrowth))
}
