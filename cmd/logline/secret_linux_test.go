package main

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// prompted tells when something was written to it.
type prompted chan struct{}

func (p prompted) Write(b []byte) (int, error) {
	select {
	case p <- struct{}{}:
	default:
	}
	return len(b), nil
}

// terminal is a pseudo-terminal: what a person types into, and what a program reads.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var locked, n int32
	control(t, person, syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	control(t, person, syscall.TIOCGPTN, unsafe.Pointer(&n))
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

func control(t *testing.T, f *os.File, request uintptr, arg unsafe.Pointer) {
	t.Helper()
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg))
	require.Zero(t, errno)
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	var state syscall.Termios
	control(t, f, syscall.TCGETS, unsafe.Pointer(&state))
	return state.Lflag&syscall.ECHO != 0
}

func TestPassphraseFromATerminal(t *testing.T) {
	t.Parallel()
	person, program := terminal(t)
	_, err := io.WriteString(person, "secret\n")
	require.NoError(t, err)
	answer, ok, err := askSecret(&environment{Stdin: program, Stderr: io.Discard}, "? ")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "secret", answer)
}

func TestInterruptAtThePassphrase(t *testing.T) { // not parallel: it signals this process
	_, program := terminal(t)
	asked := make(prompted, 1)
	ended := make(chan error, 1)
	go func() {
		_, _, err := askSecret(&environment{Stdin: program, Stderr: asked}, "? ")
		ended <- err
	}()
	<-asked
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGINT))
	err := <-ended
	require.ErrorContains(t, err, "interrupted")
	require.Equal(t, exitFailed, exitCode(err))
	require.True(t, echoes(t, program), "the terminal shows again what is typed")
}
