// Command logline is the server and the client of LogLine in one binary:
// flags in, text out, everything else in internal packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/danvoulez/logline/internal/fault"
)

func main() { os.Exit(process()) }

// process runs the command line of this process and returns its exit code.
func process() int {
	// The first SIGINT or SIGTERM ends the context and everything drains; the
	// handler is removed then, so that a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	// Noticed, SIGPIPE makes a write to a closed pipe fail instead of ending the
	// process. It is not ignored, which children would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}, os.Getenv)
}

// stdio is the three standard streams.
type stdio struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// run executes one command line and returns its exit code (exit.go).
func run(ctx context.Context, args []string, std stdio, getenv func(string) string) int {
	out := &output{w: std.out}
	env := &environment{
		Args: args, Stdin: std.in, Stdout: out, Stderr: std.err, Getenv: getenv,
		IsTerminal: isTerminal(std.out), ErrIsTerm: isTerminal(std.err), Now: time.Now,
	}
	cmd, err := newRoot(env).ExecuteContextC(ctx)
	// Whoever reads no further (`| head`) has what they want.
	closed := errors.Is(out.err, syscall.EPIPE)
	if closed && errors.Is(err, syscall.EPIPE) {
		err = nil
	}
	if err == nil && out.err != nil && !closed {
		err = fault.New(fault.Unavailable, "output_failed", "it is done, but the output could not be written").Because(out.err)
	}
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !env.started && !errors.As(err, &exit) {
		err = &usageError{err: err}
	}
	printError(std.err, err)
	if !env.started {
		fmt.Fprintf(std.err, "  usage: %s\n  more:  %s --help\n", cmd.UseLine(), cmd.CommandPath())
	}
	return exitCode(err)
}

// output remembers the first failure to write, so that no command has to look
// after each line.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && (isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd()))
}
