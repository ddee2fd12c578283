//go:build !linux || !amd64

package hotpath

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
)

func countSteps(*testing.T, string) (uint64, error) {
	return 0, fmt.Errorf("%w on %s/%s, only on linux/amd64", errors.ErrUnsupported, runtime.GOOS, runtime.GOARCH)
}

func child(string) int { return 1 }
