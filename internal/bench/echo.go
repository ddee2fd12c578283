package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/loadgen"
)

// echoCommand is what this program is called with to be the bare server.
const echoCommand = "echo"

// serveEcho is a server that reads each request and answers as many bytes as
// its path says, until stdin ends. It says on stdout where it listens.
func serveEcho(stdin io.Reader, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	answer := make([]byte, 16<<20)
	for i := range answer {
		answer[i] = 'x'
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		n, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil || n > len(answer) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", r.URL.Path[1:])
		_, _ = w.Write(answer[:n]) // who has gone needs no answer
	})}
	fmt.Fprintln(stdout, l.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		_ = s.Close()
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// measureEcho is what taking a span in and answering as many bytes as its
// receipt has costs a bare server, in seconds of one core.
func measureEcho(ctx context.Context, bodies [][]byte, c loadgen.Case, receipt int64) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, echoCommand)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		c.Echo = true
		url := fmt.Sprintf("http://%s/%d", strings.TrimSpace(address), receipt*int64(c.Lines))
		_, err = loadgen.Load(ctx, url, bodies, c)
	}
	if err := errors.Join(err, in.Close(), cmd.Wait()); err != nil {
		return 0, fmt.Errorf("echo: %w", err)
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return used.Seconds() / float64(c.Spans), nil
}
