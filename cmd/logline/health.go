package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/ui"
)

func newHealthCmd(env *environment) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the server on this machine whether it can append and sign now",
		Long: `Asks /readyz of the server that the same configuration starts: --listen, PORT or
LOGLINE_LISTEN, on this machine. One line says the answer; exit code 0 for yes,
1 for no and for no answer. Where the server speaks TLS, it has to show the
certificate that is set, for one of its names, not expired. It is what a
container's health check runs.`,
		Example: "  logline health\n  PORT=8080 logline health",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(env, cmd)
			if err != nil {
				return err
			}
			url, err := cfg.LocalURL()
			if err != nil {
				return &usageError{err: err}
			}
			trust, err := cfg.LocalTrust()
			if err != nil {
				return &exitError{code: exitFailed, err: err}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			if err := askReady(ctx, url, trust); err != nil {
				return &exitError{code: exitFailed, err: err}
			}
			_, err = fmt.Fprintf(env.Stdout, "ready: %s\n", url)
			return err
		},
	}
	app.AddServerFlags(cmd.Flags())
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long to wait for the answer")
	return cmd
}

// askReady is nil where the server says that it is ready.
func askReady(ctx context.Context, url string, trust *tls.Config) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true} // and no proxy: this machine is asked
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fault.Newf(fault.Unavailable, "no_answer", "no answer from %s", url).Because(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var problem struct{ Type, Detail string }
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what cannot be read is not shown
	if json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		problem.Detail = resp.Status
	}
	return fault.Newf(fault.Unavailable, "not_ready", "not ready: %s", ui.Clean(problem.Detail))
}
