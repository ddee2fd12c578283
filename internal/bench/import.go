package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/importertest"
	"github.com/danvoulez/logline/internal/importer/remote"
)

// measureImport imports a real git history over HTTP, signing included. Without
// the test data it measures nothing and says so.
func measureImport(ctx context.Context, b *bench) ([]figure, error) {
	data := os.Getenv("LOGLINE_TEST_DATA")
	if data == "" {
		data = filepath.Join("..", "shared", "data")
	}
	commits := filepath.Join(data, "git-nats-server", "commits.jsonl.gz")
	if _, err := os.Stat(commits); err != nil || b.quick {
		b.say("import: left out (quick run, or no %s)", commits)
		return nil, nil
	}
	n, err := b.start(ctx, sqlite)
	if err != nil {
		return nil, err
	}
	defer n.remove()
	dial := func(keys *id.Keys) (*client.Client, error) {
		return client.New(n.URL, client.WithSigner(keys.Signer(), keys.ID(), n.tenant.Node))
	}
	api, err := dial(n.owner)
	if err != nil {
		return nil, err
	}
	im := importer.New(remote.New(api, n.tenant.Id, dial), importer.Config{Keys: n.owner, Tenant: n.tenant.Id})
	r, err := im.Run(ctx, importertest.OpenCommits(commits, "git:nats-server"))
	if err != nil {
		return nil, err
	}
	if r.Failed > 0 {
		return nil, fmt.Errorf("%d commits failed, the first: %+v", r.Failed, r.Failures[0])
	}
	note := fmt.Sprintf("%d commits by %d people", r.Added, r.Ghosts)
	return []figure{{Group: "import", Name: "git history, signed and registered", Store: n.store, Measured: r.Rate(), Unit: perSecond, Note: note}}, n.end()
}
