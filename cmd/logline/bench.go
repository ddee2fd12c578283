package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer/remote"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/ui"
)

// benchFlags say what a throw-away node is measured on.
type benchFlags struct {
	quick, files, asJSON bool
	database, dir        string
}

// benchResult is what --json prints; times in seconds.
type benchResult struct {
	Storage string      `json:"storage"`
	Synced  float64     `json:"synced_write_s"` // median of a 4 KiB write, synced, on the same disk
	Cases   []benchCase `json:"cases"`
}

type benchCase struct {
	Case    string  `json:"case"`
	Callers int     `json:"callers"`
	Lines   int     `json:"spans_per_request"`
	Spans   int     `json:"spans"`
	Rate    float64 `json:"appends_per_s"`
	P50     float64 `json:"p50_s"` // of a request
	P99     float64 `json:"p99_s"`
}

func newBenchCmd(env *environment) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast a node on this machine takes spans in",
		Long: `Start a node of its own in a temporary folder, append signed spans over HTTP in
four ways (one caller, 16, 256, and four that send 500 at a time), and say how
many a second were acknowledged and how long a request took. Every span is signed
beforehand, checked, decided, synced to disk and answered with its receipt.
Callers and node share this machine.

--database-url measures on PostgreSQL; the database must be empty, and what the
node writes there stays: drop it afterwards.`,
		Example: `  logline bench --quick
  logline bench --files
  logline bench --database-url postgres://…/empty`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) },
	}
	cmd.Flags().BoolVar(&f.quick, "quick", false, "a tenth of the work: shows that it runs, not how fast")
	cmd.Flags().BoolVar(&f.files, "files", false, "keep timelines in NDJSON files instead of the database")
	cmd.Flags().StringVar(&f.database, "database-url", "", "an empty database to measure on (default: SQLite in the temporary folder)")
	cmd.Flags().StringVar(&f.dir, "dir", "", "where the temporary folder is made: the disk that is measured (default: the system's)")
	registerJSON(cmd, &f.asJSON)
	return cmd
}

func (f *benchFlags) run(ctx context.Context, env *environment) error {
	dir, err := os.MkdirTemp(f.dir, "logline-bench-")
	if err != nil {
		return fileError("write", firstOf(f.dir, os.TempDir()), err)
	}
	defer os.RemoveAll(dir)
	synced, err := loadgen.Fsync(filepath.Join(dir, "synced"))
	if err != nil {
		return fileError("write", dir, err)
	}
	cfg := app.Defaults()
	cfg.DataDir, cfg.Listen, cfg.LogLevel = filepath.Join(dir, "data"), "127.0.0.1:0", "error"
	cfg.DatabaseURL, cfg.Registration = f.database, app.Open
	result := benchResult{Storage: "sqlite", Synced: synced.Seconds()}
	if f.database != "" {
		result.Storage = "database"
	}
	if f.files {
		cfg.Timeline = "ndjson:" + filepath.Join(dir, "timelines")
		result.Storage = "files"
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	node, err := startNode(ctx, env, cfg)
	if err != nil {
		return err
	}
	defer func() { stop(); _ = node.wait() }()
	if err := f.measure(ctx, env, node, cfg, &result); err != nil {
		return node.reason(err)
	}
	if f.asJSON {
		return printJSON(env.Stdout, result)
	}
	fmt.Fprintf(env.Stdout, "\n4 KiB written and synced to the same disk: %s\n", loadgen.Show(synced))
	return nil
}

// measure runs every case in a tenant made for it.
func (f *benchFlags) measure(ctx context.Context, env *environment, node *demoNode, cfg app.Config, result *benchResult) error {
	owner, tenant, err := f.onboard(ctx, env, node.URL(), cfg.DataDir)
	if err != nil {
		return err
	}
	table := ui.NewTable("APPEND OVER HTTP", ">SPANS", ">PER SECOND", ">P50", ">P99")
	for _, c := range loadgen.Cases(f.quick) {
		bodies, err := loadgen.Seal(owner, tenant.Id, c)
		if err != nil {
			return err
		}
		l, err := loadgen.Load(ctx, node.URL()+"/v1/tenants/"+tenant.Id+"/spans", bodies, c)
		if err != nil {
			return err
		}
		p50, p99, rate := l.Latencies.Percentile(50), l.Latencies.Percentile(99), float64(c.Spans)/l.Elapsed.Seconds()
		result.Cases = append(result.Cases, benchCase{c.Name(), c.Callers, c.Lines, c.Spans, rate, p50.Seconds(), p99.Seconds()})
		table.Row(c.Name(), ui.Count(int64(c.Spans)), ui.Count(int64(rate)), loadgen.Show(p50), loadgen.Show(p99))
	}
	if f.asJSON {
		return nil
	}
	return writeTable(env, table)
}

// onboard makes an identity and the node's first tenant.
func (f *benchFlags) onboard(ctx context.Context, env *environment, url, dataDir string) (*id.Keys, *client.Tenant, error) {
	owner, err := id.NewKeys(id.SubjectService, time.Now(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c, err := dial(env, profile{URL: url}, nil)
	if err != nil {
		return nil, nil, err
	}
	if _, _, err := c.Register(ctx, remote.Registration(owner, "", "")); err != nil {
		return nil, nil, err
	}
	token, err := os.ReadFile(filepath.Join(dataDir, bootstrapToken))
	if err != nil {
		return nil, nil, usagef("the database is not empty: it has a tenant already; name an empty one")
	}
	tenant, err := c.CreateTenant(ctx, strings.TrimSpace(string(token)), client.NewTenant{Slug: "bench", Name: "Bench", Owner: owner.ID()})
	return owner, tenant, err
}
