package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/ui"
)

func newWebhooksListenCmd(env *environment) *cobra.Command {
	l := listener{env: env, done: map[string]bool{}}
	var secretFile string
	cmd := &cobra.Command{
		Use:   "listen ADDRESS",
		Short: "Receive webhooks here, verify them and print them",
		Long: `Receives webhooks at ADDRESS, host:port, and prints what is signed with the secret:
the id, and the body as it came. A message that comes again is told on standard
error and not printed twice. What is not signed so is refused with 401.

It is for trying a contract out. It remembers ids until it ends, and no longer: a
receiver of yours keeps them beside its work.`,
		Example: "  logline webhooks set till http://127.0.0.1:8700/ > till.secret\n  logline webhooks listen 127.0.0.1:8700 --secret-file till.secret --count 1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if l.count < 0 {
				return usagef("--count is a number of messages, or 0 for no end")
			}
			text, err := os.ReadFile(secretFile)
			if err != nil {
				return fault.Newf(fault.Invalid, "secret_file", "the file with the webhook's secret cannot be read: %s", ui.Clean(err.Error()))
			}
			if e := secret.Exposure(secretFile); e != "" {
				fmt.Fprintln(env.Stderr, "Warning:", ui.Clean(e))
			}
			l.secret = strings.TrimSpace(string(text))
			if _, err := webhook.ParseSecret(l.secret); err != nil {
				return fault.Newf(fault.Invalid, "secret_file", "%s holds no secret of a webhook: %v; put there what `logline webhooks set` or `rotate` printed", ui.Clean(secretFile), err)
			}
			return l.run(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVar(&secretFile, "secret-file", "", "the file that holds the webhook's secret")
	cmd.Flags().IntVar(&l.count, "count", 0, "end after so many messages; 0: go on until Ctrl-C")
	_ = cmd.MarkFlagRequired("secret-file") // there is such a flag
	return cmd
}

// listener is one run of the command.
type listener struct {
	env    *environment
	secret string
	count  int // messages after which it ends; 0: none

	mu     sync.Mutex // guards the rest
	done   map[string]bool
	enough func()
}

// run serves until as many messages have come as were asked for, or ctx ends.
func (l *listener) run(ctx context.Context, address string) error {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return fault.Newf(fault.Invalid, "address", "cannot listen on %s: %s", ui.Clean(address), ui.Clean(err.Error()))
	}
	ctx, l.enough = context.WithCancel(ctx)
	defer l.enough()
	server := &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	fmt.Fprintf(l.env.Stderr, "Listening on http://%s/\n", socket.Addr())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(socket) }()
	select {
	case err = <-ended:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(closing) // the last answer goes out first
	if failed := <-ended; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return err
}

// maxListened bounds a message, which a span's payload bounds too.
const maxListened = 4 << 20

// ServeHTTP implements http.Handler.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxListened))
	if err != nil {
		http.Error(w, "too large, or cut short", http.StatusRequestEntityTooLarge)
		return
	}
	message, err := webhook.Verify(l.secret, r.Header, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		fmt.Fprintf(l.env.Stderr, "refused: %s\n", ui.Clean(err.Error()))
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	case l.done[message]:
		fmt.Fprintf(l.env.Stderr, "%s came again\n", message)
	default:
		l.done[message] = true
		fmt.Fprintf(l.env.Stdout, "%s %s\n", message, ui.Clean(string(body)))
	}
	w.WriteHeader(http.StatusNoContent)
	if len(l.done) == l.count {
		l.enough()
	}
}
