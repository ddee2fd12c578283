package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/danvoulez/logline/internal/fault"
)

// Exit codes. They are part of the public interface: scripts depend on them.
const (
	exitOK          = 0 // done
	exitFailed      = 1 // the operation or the verification failed
	exitUsage       = 2 // wrong command, flag, argument or configuration
	exitUnavailable = 3 // the server or a file it needs cannot be reached or used now
	exitRefused     = 4 // not allowed: no valid credential, or not the right
	exitConflict    = 5 // the state differs from what the command assumed
	exitRejects     = 6 // done, but a part of the input was rejected and set aside
)

const exitHelp = `Exit codes:
  0  done
  1  the operation or the verification failed
  2  wrong command, flag, argument or configuration
  3  server, database or a file unreachable, or unavailable now
  4  refused: no valid credential, or not the right
  5  conflict with what is already recorded
  6  done, but part of the input was rejected and set aside`

// usageError marks an error of whoever typed the command.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes an error that ends the process with exitUsage.
func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// exitError ends the process with a given code. With a nil err nothing is
// printed: the command has already said what is wrong.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// exitCode is the process's exit code for what a command returned.
func exitCode(err error) int {
	var exit *exitError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitFailed
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Limited:
		return exitUnavailable
	case fault.Unauthenticated, fault.Forbidden:
		return exitRefused
	case fault.Conflict:
		return exitConflict
	default:
		return exitFailed
	}
}

// printError says what went wrong: the detail, the places in the input, and
// the cause, because at a command line the reader is the operator.
func printError(w io.Writer, err error) {
	var exit *exitError
	if errors.As(err, &exit) && exit.err == nil {
		return
	}
	var f *fault.Error
	if !errors.As(err, &f) {
		fmt.Fprintf(w, "logline: %v\n", err)
		return
	}
	fmt.Fprintf(w, "logline: %s (%s)\n", f.Detail, f.Code)
	for _, field := range f.Fields {
		if field.Pointer == "" {
			if field.Detail == f.Detail {
				continue // said already
			}
			fmt.Fprintf(w, "  %s\n", field.Detail)
			continue
		}
		fmt.Fprintf(w, "  %s: %s\n", field.Pointer, field.Detail)
	}
	if cause := f.Unwrap(); cause != nil {
		fmt.Fprintf(w, "  cause: %v\n", cause)
	}
}
