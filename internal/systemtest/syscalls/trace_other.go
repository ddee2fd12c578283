//go:build !(linux && amd64)

package syscalls

import (
	"fmt"
	"os"
)

// Trace is the main function of a tracer, which there is none of here.
func Trace([]string) int {
	fmt.Fprintln(os.Stderr, "syscalls: ptrace on Linux on amd64 is needed")
	return 125
}
