package main

import (
	"runtime"
)

// spareProcessors is by how many a server's Go processors (GOMAXPROCS) exceed
// the machine's. Go looks for what came over the network when a processor has
// nothing to run, or every 10 ms. While signatures are checked, which takes as
// many processors as there are cores, one is left to look and to answer, and the
// kernel shares the cores among them.
const spareProcessors = 2

// addProcessors adds spareProcessors, until stop is called: after the
// application is made, whose workers are as many as the cores. It does nothing
// where GOMAXPROCS is set, or where Go found a smaller limit than the machine's,
// such as a container's: threads beyond a quota are stopped all together when
// it is used up.
func addProcessors(getenv func(string) string) (stop func()) {
	if getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) != runtime.NumCPU() {
		return func() {}
	}
	runtime.GOMAXPROCS(runtime.NumCPU() + spareProcessors)
	return runtime.SetDefaultGOMAXPROCS
}
