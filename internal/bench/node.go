package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// The stores that a node keeps timelines in.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
	ndjson   = "ndjson"
	memory   = "memory"
)

var allStores = []string{postgres, sqlite, ndjson, memory}

// node is a server on a store of its own, with one tenant.
type node struct {
	*program.Server
	store    string
	database string // its URL; "" for SQLite in Dir
	owner    *id.Keys
	api      *client.Client // without a signer
	tenant   *client.Tenant

	bench *bench
}

// start starts a node with an empty store and makes its tenant.
func (b *bench) start(ctx context.Context, store string, args ...string) (*node, error) {
	n, err := b.startEmpty(ctx, store, args...)
	if err != nil {
		return nil, err
	}
	if err := n.onboard(ctx); err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

// startEmpty starts a node with an empty store; nobody is registered there.
func (b *bench) startEmpty(ctx context.Context, store string, args ...string) (*node, error) {
	b.nodes++
	n := &node{store: store, bench: b}
	dir := filepath.Join(b.dir, fmt.Sprintf("node-%d", b.nodes))
	switch store {
	case postgres:
		var err error
		if n.database, err = b.pg.create(ctx); err != nil {
			return nil, err
		}
		args = append(args, "--database-url", n.database)
	case ndjson:
		args = append(args, "--timeline", "ndjson:"+filepath.Join(dir, "timelines"))
	case memory:
		n.database = "memory:"
		args = append(args, "--database-url", n.database)
	}
	var err error
	if n.Server, err = program.New(b.binary, dir, args...); err == nil {
		err = n.Server.Start()
	}
	if err != nil {
		return nil, errors.Join(err, n.remove())
	}
	return n, nil
}

// onboard makes the owner and the tenant.
func (n *node) onboard(ctx context.Context) (err error) {
	if n.owner, err = id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader); err != nil {
		return err
	}
	if n.api, err = client.New(n.URL); err != nil {
		return err
	}
	n.tenant, err = n.FirstTenant(ctx, n.api, n.owner, "bench", "Bench")
	return err
}

// spansURL is where spans are appended.
func (n *node) spansURL() string { return n.URL + "/v1/tenants/" + n.tenant.Id + "/spans" }

// used is the processor time that the server and its database's have used.
func (n *node) used() (time.Duration, error) {
	used, err := processCPU(n.Cmd.Process.Pid)
	if err != nil || n.store != postgres {
		return used, err
	}
	database, err := n.bench.pg.cpu()
	return used + database, err
}

// end stops the server gently; what it stored stays until remove.
func (n *node) end() error {
	if code, err := n.Terminate(); err != nil || code != 0 {
		return errors.Join(err, fmt.Errorf("the server ended with %d; log:\n%s", code, n.Log))
	}
	return nil
}

// remove stops the server, if it runs, and removes everything it stored.
func (n *node) remove() error {
	if n.Server == nil {
		return nil
	}
	n.Kill()
	err := os.RemoveAll(n.Dir)
	if n.store == postgres {
		err = errors.Join(err, n.bench.pg.drop(context.Background(), n.database))
	}
	return err
}

// loaded is how a load went and what it cost in processor time.
type loaded struct {
	loadgen.Loaded
	clients time.Duration // in this process, which does nothing else meanwhile
	server  time.Duration // with its database's
	others  time.Duration // of everything else on the machine, the kernel's own work included
}

// load sends bodies that were signed beforehand.
func (n *node) load(ctx context.Context, bodies [][]byte, c loadgen.Case) (l loaded, err error) {
	server, err := n.used()
	if err != nil {
		return l, err
	}
	all, clients := busy(), ownCPU()
	if l.Loaded, err = loadgen.Load(ctx, n.spansURL(), bodies, c); err != nil {
		return l, fmt.Errorf("%w; log:\n%s", err, n.Log)
	}
	l.clients = ownCPU() - clients
	after, err := n.used()
	l.server = after - server
	l.others = max(busy()-all-l.clients-l.server, 0)
	return l, err
}
