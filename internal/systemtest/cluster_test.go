package systemtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// cluster is a PostgreSQL of a test's own, which the test may stop.
type cluster struct {
	t    *testing.T
	bin  string
	dir  string
	port string
	more []string // settings, name=value
}

// newCluster makes and starts one; where there are no programs for it, the test
// is skipped.
func newCluster(t *testing.T, settings ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, bin: postgresPrograms(t), more: settings}
	// Outside the test's own folder, whose parents another user may not enter.
	dir, err := os.MkdirTemp("", "logline-cluster")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if uid, gid, needed := unprivileged(t); needed {
		require.NoError(t, os.Chown(dir, int(uid), int(gid)))
	}
	c.dir = filepath.Join(dir, "pg")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, c.port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c.run("initdb", "-D", c.dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	t.Cleanup(func() { c.stop("immediate") })
	c.start()
	return c
}

func postgresPrograms(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	require.NoError(t, err)
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		t.Skip("needs PostgreSQL's server programs: run make test, which installs them")
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1])
}

// unprivileged is whom the server runs as where this is root, which it refuses.
func unprivileged(t *testing.T) (uid, gid uint32, needed bool) {
	t.Helper()
	if os.Getuid() != 0 {
		return 0, 0, false
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	require.NoError(t, err)
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	group, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	return uint32(id), uint32(group), true
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir = "/"
	if uid, gid, needed := unprivileged(c.t); needed {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	return cmd
}

func (c *cluster) run(name string, args ...string) {
	c.t.Helper()
	out, err := c.command(name, args...).CombinedOutput()
	require.NoError(c.t, err, "%s: %s", name, out)
}

func (c *cluster) start() {
	c.t.Helper()
	out, err := c.tryStart()
	require.NoError(c.t, err, "pg_ctl start: %s", out)
}

// tryStart is start, which fails while processes of a server that was killed are
// still there.
func (c *cluster) tryStart() (string, error) {
	options := fmt.Sprintf("-p %s -k %s -c listen_addresses=127.0.0.1 -c fsync=off", c.port, filepath.Dir(c.dir))
	for _, s := range c.more {
		options += " -c " + s
	}
	// Its output goes to a file: a server that keeps the test's pipe open keeps the test waiting.
	out, err := c.command("pg_ctl", "-D", c.dir, "-w", "-t", "60", "-l", filepath.Join(filepath.Dir(c.dir), "log"), "-o", options, "start").CombinedOutput()
	return string(out), err
}

// kill ends the server's first process with SIGKILL; the others notice.
func (c *cluster) kill() {
	c.t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.dir, "postmaster.pid"))
	require.NoError(c.t, err)
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(c.t, err)
	require.NoError(c.t, syscall.Kill(pid, syscall.SIGKILL))
}

// restart starts the server after it was killed, once nothing of it is left.
func (c *cluster) restart() {
	c.t.Helper()
	for began := time.Now(); ; wait(c.t.Context(), again) {
		out, err := c.tryStart()
		if err == nil {
			return
		}
		require.Less(c.t, time.Since(began), time.Minute, "pg_ctl start: %v: %s", err, out)
	}
}

// killBackend ends with SIGKILL one of the processes that serve a database, a
// busy one if there is one. The server then ends all of them and recovers.
func (c *cluster) killBackend(database string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.url())
	require.NoError(c.t, err)
	defer conn.Close(ctx)
	var pid int
	require.NoError(c.t, conn.QueryRow(ctx, `SELECT pid FROM pg_stat_activity WHERE datname = $1
		ORDER BY CASE state WHEN 'active' THEN 0 WHEN 'idle in transaction' THEN 1 ELSE 2 END, random() LIMIT 1`, database).Scan(&pid))
	require.NoError(c.t, syscall.Kill(pid, syscall.SIGKILL))
}

// stop ends the server: fast, as an operator does, or immediate, as a crash.
func (c *cluster) stop(how string) {
	_ = c.command("pg_ctl", "-D", c.dir, "-w", "-m", how, "stop").Run()
}

// url names the database postgres as the superuser.
func (c *cluster) url() string {
	return "postgres://postgres@127.0.0.1:" + c.port + "/postgres?sslmode=disable"
}
