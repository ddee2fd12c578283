package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is a PostgreSQL server on this machine that syncs every commit.
type cluster struct {
	url        *url.URL // of a superuser
	postmaster int      // the server's first process
	stop       func()   // nil for a server of somebody else's
}

var exported = regexp.MustCompile(`LOGLINE_TEST_POSTGRES='([^']+)'`)

// openCluster uses the server at raw, or starts one of its own in dir by the
// project's script. Where there is none to start it says so and returns nil.
func openCluster(ctx context.Context, raw, dir string, stderr io.Writer) (*cluster, error) {
	c := &cluster{}
	if raw == "" {
		if err := os.Chmod(dir, 0o755); err != nil { // the server's user has to reach its folder
			return nil, err
		}
		var err error
		if raw, err = c.start(ctx, filepath.Join(dir, "services"), stderr); err != nil || raw == "" {
			return nil, err
		}
	}
	var err error
	if c.url, err = url.Parse(raw); err == nil {
		err = c.look(ctx)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// start runs the script, which names on stderr what the machine lacks; "" then.
func (c *cluster) start(ctx context.Context, dir string, stderr io.Writer) (string, error) {
	script := func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "bash", append([]string{"scripts/services.sh"}, args...)...)
		cmd.Env = append(os.Environ(), "LOGLINE_SERVICES_DIR="+dir, "LOGLINE_TEST_POSTGRES=")
		cmd.Stderr = stderr
		return cmd
	}
	c.stop = func() {
		if err := script(context.Background(), "down").Run(); err != nil {
			fmt.Fprintln(stderr, "bench: stop PostgreSQL:", err)
		}
	}
	out, err := script(ctx, "up", "synced").Output()
	if err != nil {
		err = fmt.Errorf("start PostgreSQL: %w", err)
	} else if found := exported.FindSubmatch(out); found != nil {
		return string(found[1]), nil
	}
	c.close()
	return "", err
}

// look finds the server's first process and refuses a server that does not sync.
func (c *cluster) look(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url.String())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var own int
	var fsync, commit string
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid(), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&own, &fsync, &commit); err != nil {
		return err
	}
	if fsync != "on" || commit != "on" {
		return fmt.Errorf("PostgreSQL has fsync %s and synchronous_commit %s; measure on a server that has both on", fsync, commit)
	}
	c.postmaster, err = parentOf(own)
	if err != nil {
		return fmt.Errorf("PostgreSQL's processes are not on this machine, or it has no /proc: %w", err)
	}
	return nil
}

// cpu is the processor time that the server has used, all its processes.
func (c *cluster) cpu() (time.Duration, error) { return familyCPU(c.postmaster) }

// create makes an empty database and returns its URL.
func (c *cluster) create(ctx context.Context) (string, error) {
	name := "logline_bench_" + strings.ToLower(rand.Text()[:12])
	if err := c.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"); err != nil {
		return "", err
	}
	u := *c.url
	u.Path = "/" + name
	return u.String(), nil
}

// drop removes a database that create made, and the role of its server.
func (c *cluster) drop(ctx context.Context, database string) error {
	u, err := url.Parse(database)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(u.Path, "/")
	return c.exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)", "DROP ROLE IF EXISTS logline_app_"+name)
}

func (c *cluster) exec(ctx context.Context, statements ...string) error {
	return c.execIn(ctx, c.url.String(), statements...)
}

// execIn is exec in another database.
func (c *cluster) execIn(ctx context.Context, database string, statements ...string) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// close stops a server that start started.
func (c *cluster) close() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}
