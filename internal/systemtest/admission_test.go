//go:build unix

package systemtest

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// refusal starts a process that must refuse to, and returns the one line that
// it says before it ends with the code of a thing that is not available.
func (f *fleet) refusal(p *program.Server) string {
	f.t.Helper()
	require.NoError(f.t, lookAtSources())
	p.Cmd.Args = append(p.Cmd.Args, "--log-level=error")
	err := p.Start()
	require.Error(f.t, err)
	require.Equal(f.t, 3, p.Cmd.ProcessState.ExitCode(), "it says:\n%s", p.Log)
	said := strings.Split(strings.TrimSpace(p.Log.String()), "\n")
	if strings.HasPrefix(said[0], "Warning: everybody on this machine can read the password") { // the fleet names its database by flag
		said = said[1:]
	}
	require.NotEmpty(f.t, said)
	require.True(f.t, strings.HasPrefix(said[0], "logline: "), "it says:\n%s", p.Log)
	for _, line := range said[1:] {
		require.Regexp(f.t, `^\s`, line, "one line, and below it where and what the database said")
	}
	require.NotContains(f.t, p.Log.String(), "goroutine ")
	return said[0]
}

// empty is a fleet on a database where nothing has been started yet.
func empty(t *testing.T, database string) *fleet {
	return &fleet{t: t, database: database, master: newMaster()}
}

// The server starts with a role that is too strong or can do little, and says
// what it thinks of it; one that can do too little it refuses.
func TestDatabaseRoles(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]pgtest.Option{
		"owner": nil, "superuser": {pgtest.Superuser}, "owner who may not create roles": {pgtest.NoCreateRole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, pgtest.New(t, options...).URL)
			_, err := f.tenant.api.Append(background(), "acme", f.tenant.note(0))
			require.NoError(t, err)
			f.tenant.export()
			require.Zero(t, f.tenant.terminate())
		})
	}
	t.Run("stranger", func(t *testing.T) {
		t.Parallel()
		d := pgtest.New(t)
		stranger := pgtest.New(t) // a role without any right in d
		u, err := url.Parse(stranger.URL)
		require.NoError(t, err)
		u.Path = "/" + d.Name
		f := empty(t, u.String())
		line := f.refusal(f.prepare(f.dir()))
		require.Contains(t, line, "database_role_weak")
		require.Contains(t, line, "GRANT")
		password, _ := u.User.Password()
		require.NotContains(t, line, password)
	})
	t.Run("wrong password", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(pgtest.New(t).URL)
		require.NoError(t, err)
		u.User = url.UserPassword("logline_nobody_"+u.User.Username(), "s3cret")
		f := empty(t, u.String())
		line := f.refusal(f.prepare(f.dir()))
		require.NotContains(t, line, "s3cret")
		t.Log(line)
	})
	t.Run("no server", func(t *testing.T) {
		t.Parallel()
		f := empty(t, "postgres://u:s3cret@127.0.0.1:1/d")
		line := f.refusal(f.prepare(f.dir()))
		require.NotContains(t, line, "s3cret")
		require.Contains(t, line, "database_unavailable")
	})
}

// A schema that a newer build has made is refused, and left as it is.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	f := newFleet(t, d.URL)
	require.Zero(t, f.tenant.terminate())
	d.Exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9000, true)")
	line := f.refusal(f.prepare(f.dirs[0]))
	require.Contains(t, line, "schema_newer")
	d.Exec(t, "DELETE FROM goose_db_version WHERE version_id = 9000")
	f.tenant.attach(f.start(f.dirs[0]))
	f.tenant.export()
}

// Two nodes are not one: the second one's keys do not belong to the database.
func TestTwoNodesOnOneDatabase(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		f := empty(t, database)
		f.master = "" // keys in files, as each node makes its own
		f.tenant = onboard(t, f.start(f.dir()))
		other := t.TempDir()
		alone := start(t, other)
		require.Zero(t, alone.terminate())
		line := f.refusal(f.prepare(other))
		require.Contains(t, line, "node_mismatch")
		none := t.TempDir()
		line = f.refusal(f.prepare(none))
		require.Contains(t, line, "node_keys_missing")
		require.NoFileExists(t, filepath.Join(none, "node.key"))

		key, err := os.ReadFile(filepath.Join(f.dirs[0], "node.key"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(none, "node.key"), key, 0o600))
		y := f.at(f.start(none))
		_, err = y.api.Append(background(), "acme", y.note(0))
		require.NoError(t, err)
		y.export()
	})
}

// With a wrong master key the node's keys cannot be opened.
func TestWrongMasterKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, pgtest.New(t).URL)
	other := *f
	other.master = newMaster()
	line := other.refusal(other.prepare(t.TempDir()))
	require.Contains(t, strings.ToLower(line), "master")
	require.NotContains(t, line, other.master)
}

// Processes that start at once on an empty database are one node.
func TestStartedAtOnce(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		f := empty(t, database)
		require.NoError(t, lookAtSources())
		const processes = 4
		servers := make([]*program.Server, processes)
		for i := range servers {
			servers[i] = f.prepare(f.dir())
			t.Cleanup(servers[i].Kill)
		}
		var starting sync.WaitGroup
		failures := make([]error, processes)
		for i, p := range servers {
			starting.Go(func() { failures[i] = p.Start() })
		}
		starting.Wait()
		for _, err := range failures {
			require.NoError(t, err)
		}
		f.tenant = onboard(t, &server{Server: servers[0], t: t})
		for _, p := range servers {
			y := f.at(&server{Server: p, t: t})
			require.Equal(t, f.tenant.node, y.node)
			_, err := y.api.Append(background(), "acme", y.note(0))
			require.NoError(t, err)
			require.Zero(t, y.terminate(), "log:\n%s", y.Log)
		}
	})
}

// A server that takes few connections: two processes ask for more than there
// are, and go on with what they get.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "max_connections=12", "superuser_reserved_connections=3")
	admin := &pgtest.Database{AdminURL: c.url()}
	admin.Exec(t, "CREATE ROLE logline LOGIN CREATEROLE", "CREATE DATABASE logline OWNER logline")
	f := newFleet(t, fmt.Sprintf("postgres://logline@127.0.0.1:%s/logline?sslmode=disable", c.port))
	first := f.tenant.strained(12)
	var reads tally
	for range 12 {
		api := f.tenant.swift()
		first.working.Go(func() {
			for first.ctx.Err() == nil {
				began := time.Now()
				_, err := api.Query(t.Context(), "acme", client.Filter{Descending: true, Limit: 500})
				reads.met(began, err)
			}
		})
	}
	first.more(100, time.Minute)
	p := f.prepare(f.dir())
	if err := p.Start(); err != nil { // the first has them all: a clear line, and try again
		require.Contains(t, p.Log.String(), "logline: ", "it says:\n%s", p.Log)
		require.Contains(t, p.Log.String(), "(database_")
		require.NotContains(t, p.Log.String(), "panic")
		t.Logf("the second process says: %s", p.Log)
	} else {
		t.Cleanup(p.Kill)
		second := f.at(&server{Server: p, t: t}).strained(12)
		first.more(100, time.Minute)
		second.more(20, time.Minute)
		second.halt()
		require.Empty(t, second.tally.faults)
		t.Logf("second process: %v", second.tally.refusals)
		p.Kill()
	}
	first.more(100, time.Minute)
	first.end()
	require.Empty(t, reads.faults)
	t.Logf("reads: the longest took %s, refusals %v", reads.longest.Round(time.Millisecond), reads.refusals)
	f.tenant.ready(http.StatusOK, time.Minute)
	require.Zero(t, f.tenant.terminate(), "log:\n%s", f.tenant.Log)
}
