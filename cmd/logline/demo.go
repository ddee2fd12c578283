package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// demoName is the demo's profile, tenant slug and key file.
const demoName = "demo"

// demoFlags are what can be changed about the demo.
type demoFlags struct {
	exit, json            bool
	dataDir, listen, repo string
	chosen                bool // --listen was given
}

// demoResult is what the demo came to, for --json.
type demoResult struct {
	URL     string         `json:"url"`
	DataDir string         `json:"data_dir"`
	Profile profile        `json:"profile"`
	Import  any            `json:"import,omitempty"` // absent without a repository
	File    string         `json:"file"`             // the exported bundle
	Verify  *bundle.Report `json:"verify"`
	Receipt any            `json:"receipt"` // of the newest entry

	newest string // its span id
}

func newDemoCmd(env *environment) *cobra.Command {
	var f demoFlags
	defaults := app.Defaults()
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start a node here, import this git repository's history and verify it",
		Long: `Start a node on an embedded database, with keys, a tenant and an identity of its
own; import the history of the git repository you stand in as signed spans;
export the whole timeline and verify it offline; then keep serving until Ctrl-C.

Running it again continues with the same data and adds only what is new.
Remove the data directory to begin anew.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.chosen = cmd.Flags().Changed("listen")
			return f.run(cmd.Context(), env)
		},
	}
	cmd.Flags().BoolVar(&f.exit, "exit", false, "stop when everything is verified")
	cmd.Flags().StringVar(&f.dataDir, "data-dir", defaults.DataDir, "where the node's keys and database are")
	cmd.Flags().StringVar(&f.listen, "listen", defaults.Listen, "address to serve on")
	cmd.Flags().StringVar(&f.repo, "repo", ".", "git repository to import")
	registerJSON(cmd, &f.json)
	return cmd
}

func (f *demoFlags) run(ctx context.Context, env *environment) (err error) {
	stdout := env.Stdout
	if f.json {
		quiet := *env
		quiet.Stdout = io.Discard
		env = &quiet
	}
	cfg := app.Defaults()
	cfg.DataDir, cfg.Listen, cfg.LogLevel = f.dataDir, f.freeAddress(env), "error"
	// The demo's own end stops the server too, and waits for it.
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	node, err := startNode(ctx, env, cfg)
	if err != nil {
		return err
	}
	defer func() {
		stop()
		if stopErr := node.wait(); err == nil {
			err = stopErr
		}
	}()
	s, result, err := f.show(ctx, env, node.URL())
	if err != nil {
		return node.reason(err)
	}
	if f.json {
		if err := printJSON(stdout, result); err != nil {
			return err
		}
	}
	f.tellNext(s, result)
	if f.exit {
		return nil
	}
	node.waitForEnd(ctx)
	fmt.Fprintln(env.Stdout, "\nStopping.")
	return nil
}

// show does everything that the demo is for.
func (f *demoFlags) show(ctx context.Context, env *environment, url string) (*session, *demoResult, error) {
	s, err := f.onboard(ctx, env, url)
	if err != nil {
		return nil, nil, err
	}
	result := &demoResult{URL: url, DataDir: f.dataDir, Profile: s.profile}
	fmt.Fprintln(env.Stdout)
	if err := f.importHistory(ctx, s, result); err != nil {
		return nil, nil, err
	}
	if err := f.export(ctx, s, result); err != nil {
		return nil, nil, err
	}
	return s, result, f.newestReceipt(ctx, s, result)
}

// freeAddress is the address to listen on: the default one may be taken by
// something else, and then any free port will do.
func (f *demoFlags) freeAddress(env *environment) string {
	if f.chosen {
		return f.listen
	}
	l, err := net.Listen("tcp", f.listen)
	if err == nil {
		_ = l.Close() // only tried
		return f.listen
	}
	host, port, splitErr := net.SplitHostPort(f.listen)
	if splitErr != nil || !errors.Is(err, syscall.EADDRINUSE) {
		return f.listen // the server says what is wrong with it
	}
	fmt.Fprintf(env.Stdout, "Port %s is taken; using another one.\n", port)
	return net.JoinHostPort(host, "0")
}
