package main

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// It is the process that is tuned, so this test runs alone.
func TestSpareProcessors(t *testing.T) {
	cores := runtime.NumCPU()
	if os.Getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) != cores {
		t.Skip("something else says how many processors there are, which holds")
	}
	none := func(string) string { return "" }
	stop := addProcessors(none)
	require.Equal(t, cores+spareProcessors, runtime.GOMAXPROCS(0))
	addProcessors(none)()
	require.Equal(t, cores+spareProcessors, runtime.GOMAXPROCS(0), "they are added once")
	stop()
	require.Equal(t, cores, runtime.GOMAXPROCS(0))

	addProcessors(func(name string) string { return map[string]string{"GOMAXPROCS": "2"}[name] })()
	require.Equal(t, cores, runtime.GOMAXPROCS(0), "what GOMAXPROCS says holds")
	runtime.GOMAXPROCS(cores + 1)
	defer runtime.SetDefaultGOMAXPROCS()
	addProcessors(none)()
	require.Equal(t, cores+1, runtime.GOMAXPROCS(0), "so does a limit")
}
