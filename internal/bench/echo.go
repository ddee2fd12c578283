package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/danvoulez/logline/internal/loadgen"
)

// serveEcho is a bare server that reads each request and answers as many bytes
// as its path says.
func serveEcho(stdin io.Reader, stdout io.Writer) error {
	answer := make([]byte, 16<<20)
	for i := range answer {
		answer[i] = 'x'
	}
	return serveBare(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	}), stdin, stdout)
}

// measureEcho is what taking a span in and answering as many bytes as its
// receipt has costs a bare server, in seconds of one core.
func measureEcho(ctx context.Context, bodies [][]byte, c loadgen.Case, receipt int64) (float64, error) {
	s, err := startBare(ctx, echoCommand)
	if err != nil {
		return 0, fmt.Errorf("echo: %w", err)
	}
	c.Echo = true
	_, err = loadgen.Load(ctx, fmt.Sprintf("%s/%d", s.url, receipt*int64(c.Lines)), bodies, c)
	if err := errors.Join(err, s.end()); err != nil {
		return 0, fmt.Errorf("echo: %w", err)
	}
	used := s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
	return used.Seconds() / float64(c.Spans), nil
}
