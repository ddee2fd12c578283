//go:build unix

package systemtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// kind is a durable backend and what is killed.
type kind struct {
	name    string
	cluster bool // in a PostgreSQL of the stage's
	files   bool // timelines in NDJSON files, with a mirror
	// strikes are the ways to kill; one that returns true has killed the
	// server's process, else the server goes on.
	strikes []strike
}

var kinds = []kind{
	{name: "sqlite", strikes: []strike{killProcess}},
	{name: "postgres", cluster: true, strikes: []strike{killProcess}},
	{name: "postgres-server", cluster: true, strikes: []strike{killPostmaster, stopImmediate, killBackend, killBoth}},
	{name: "files", files: true, strikes: []strike{killProcess}},
}

// stage is what rounds of a kind share.
type stage struct {
	cluster *cluster // a PostgreSQL that syncs, nil for none
}

// newStage makes what rounds of a kind share. The PostgreSQL is its own, because
// it is killed, and because that of the other tests does not sync.
func (k *kind) newStage(t *testing.T) *stage {
	if !k.cluster {
		return &stage{}
	}
	return &stage{cluster: newCluster(t, "fsync=on", "full_page_writes=on", "synchronous_commit=on", "max_connections=60")}
}

// environment is how the server is told of its storage.
func (k *kind) environment(t *testing.T, s *stage, dir string) (env []string, database string) {
	env = []string{"LOGLINE_TENANTS=open", "LOGLINE_DATA_DIR=" + filepath.Join(dir, "data")}
	if s.cluster != nil {
		d := pgtest.NewIn(t, s.cluster.url())
		return append(env, "DATABASE_URL="+d.URL), d.Name
	}
	if k.files {
		env = append(env, "LOGLINE_TIMELINE=ndjson:"+filepath.Join(dir, "timelines"), "LOGLINE_MIRROR="+filepath.Join(dir, "mirror"))
	}
	return env, ""
}

// strike kills, and says whether the server's process is among what it killed.
type strike struct {
	name string
	do   func(r *round) (server bool)
}

var (
	killProcess    = strike{"process", func(r *round) bool { r.server.Kill(); return true }}
	killPostmaster = strike{"postmaster", func(r *round) bool { r.stage.cluster.kill(); return false }}
	stopImmediate  = strike{"immediate", func(r *round) bool { r.stage.cluster.stop("immediate"); return false }}
	killBackend    = strike{"backend", func(r *round) bool { r.stage.cluster.killBackend(r.database); return false }}
	killBoth       = strike{"both", func(r *round) bool { r.stage.cluster.kill(); r.server.Kill(); return true }}
)

// revive brings back the database that a strike has killed.
func (s *strike) revive(r *round) {
	switch s.name {
	case "postmaster", "immediate", "both":
		r.stage.cluster.restart()
	}
}

// longestLoad bounds how long a moment is waited for.
const longestLoad = 8 * time.Second

// moment is when to kill.
type moment struct {
	name  string
	await func(ctx context.Context, r *round, random *rand.Rand) (what string)
}

var moments = []moment{
	{"time", func(ctx context.Context, _ *round, random *rand.Rand) string {
		d := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
		wait(ctx, d)
		return d.String()
	}},
	// Soon after a span was sent: somewhere on its way to the commit.
	{"sent", func(ctx context.Context, r *round, random *rand.Rand) string {
		n, d := 1+random.Int64N(1200), time.Duration(random.Int64N(int64(6*time.Millisecond)))
		r.wire.after(ctx, n)
		wait(ctx, d)
		return fmt.Sprintf("%s after span %d was sent", d, n)
	}},
	// Right after some write of the server's: of a log, a file, or to a socket.
	{"write", func(ctx context.Context, r *round, random *rand.Rand) string {
		n := 1 + random.Int64N(4000)
		r.written(ctx, n)
		return fmt.Sprintf("after write %d", n)
	}},
}

// tripwire counts what is sent, and tells when there was enough of it.
type tripwire struct {
	sent atomic.Int64

	mu   sync.Mutex // guards the rest
	at   int64
	done chan struct{}
}

func (w *tripwire) touch() {
	n := w.sent.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil && n >= w.at {
		close(w.done)
		w.done = nil
	}
}

// after waits until n more are sent, or ctx ends.
func (w *tripwire) after(ctx context.Context, n int64) {
	done := make(chan struct{})
	w.mu.Lock()
	w.at, w.done = w.sent.Load()+n, done
	w.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-done:
	}
}

// written waits until the server has made n more system calls that write. Where
// the system does not count them it waits for as many milliseconds at most.
func (r *round) written(ctx context.Context, n int64) {
	file := fmt.Sprintf("/proc/%d/io", r.server.Cmd.Process.Pid)
	first, ok := writes(file)
	if !ok {
		wait(ctx, time.Duration(n)*time.Millisecond/4)
		return
	}
	for ctx.Err() == nil {
		if now, ok := writes(file); !ok || now >= first+n {
			return
		}
		wait(ctx, 50*time.Microsecond)
	}
}

// writes is how many calls that write a process has made.
func writes(file string) (n int64, ok bool) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	_, rest, _ := strings.Cut(string(raw), "syscw: ")
	number, _, _ := strings.Cut(rest, "\n")
	n, err = strconv.ParseInt(number, 10, 64)
	return n, err == nil
}
