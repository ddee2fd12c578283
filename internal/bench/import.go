package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/importertest"
	"github.com/danvoulez/logline/internal/importer/remote"
)

type importReport struct {
	Commits int64   `json:"commits"`
	People  int     `json:"people"`
	Seconds float64 `json:"seconds"`
	Rate    float64 `json:"commits_per_s"`
}

// measureImport imports a real git history over HTTP, signing included. Without
// the test data, or on a quick run, it measures nothing and says so.
func measureImport(ctx context.Context, binary, dir string, quick bool, out io.Writer) (*importReport, error) {
	data := os.Getenv("LOGLINE_TEST_DATA")
	if data == "" {
		data = filepath.Join("..", "shared", "data")
	}
	commits := filepath.Join(data, "git-nats-server", "commits.jsonl.gz")
	if _, err := os.Stat(commits); err != nil || quick {
		fmt.Fprintf(out, "\nimport: left out (quick run, or no %s)\n", commits)
		return nil, nil
	}
	s, owner, tenant, err := startNode(ctx, binary, dir)
	if err != nil {
		return nil, err
	}
	defer s.Kill()
	dial := func(keys *id.Keys) (*client.Client, error) {
		return client.New(s.URL, client.WithSigner(keys.Signer(), keys.ID(), tenant.Node))
	}
	api, err := dial(owner)
	if err != nil {
		return nil, err
	}
	im := importer.New(remote.New(api, tenant.Id, dial), importer.Config{Keys: owner, Tenant: tenant.Id})
	r, err := im.Run(ctx, importertest.OpenCommits(commits, "git:nats-server"))
	if err != nil {
		return nil, err
	}
	if r.Failed > 0 {
		return nil, fmt.Errorf("%d commits failed, the first: %+v", r.Failed, r.Failures[0])
	}
	fmt.Fprintf(out, "\nimport of a git history: %d commits by %d people in %.1f s, %.0f/s, signing and registering included\n",
		r.Added, r.Ghosts, r.Elapsed.Seconds(), r.Rate())
	return &importReport{Commits: r.Added, People: r.Ghosts, Seconds: r.Elapsed.Seconds(), Rate: r.Rate()}, nil
}
