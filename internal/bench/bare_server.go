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
	"strings"
)

// What this program is called with to be a bare server.
const (
	echoCommand   = "echo"
	fanoutCommand = "fanout"
)

// bareServer is this program, as a process of its own that serves something
// without a node, so that its processor time can be told from the clients'.
type bareServer struct {
	url   string
	cmd   *exec.Cmd
	stdin io.Closer
}

func startBare(ctx context.Context, args ...string) (*bareServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &bareServer{cmd: exec.CommandContext(ctx, self, args...)}
	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	s.url = "http://" + strings.TrimSpace(address)
	return s, nil
}

// end ends the process and waits for it.
func (s *bareServer) end() error { return errors.Join(s.stdin.Close(), s.cmd.Wait()) }

// serveBare is that process: it says on stdout where it listens, and serves
// until stdin ends.
func serveBare(h http.Handler, stdin io.Reader, stdout io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: h}
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
