package systemtest

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCompactionKilled kills compactions at random moments, beside a server
// under load where it may run, and then lets one finish: every acknowledged span
// is there, nothing erased is, and the node is sound.
func TestCompactionKilled(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		compactUnderKills(t, onboard(t, start(t, dir)), nil, dir)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		dir := t.TempDir()
		where := []string{"--database-url", c.url()}
		compactUnderKills(t, onboard(t, start(t, dir, where...)), where, dir, filepath.Dir(c.dir))
	})
	t.Run("ndjson", testCompactionOfFilesKilled)
}

// kills is how often a compaction is killed.
func kills() int {
	if testing.Short() {
		return 4
	}
	return 15
}

// killer kills compactions within the time that one takes.
type killer struct {
	t      *testing.T
	random *rand.Rand
	limit  time.Duration
	killed int
}

func newKiller(t *testing.T) *killer {
	return &killer{t: t, random: seed(t), limit: 400 * time.Millisecond}
}

// more says whether another round is due: until there were enough, and one was
// killed.
func (k *killer) more(round int) bool { return round < kills() || k.killed == 0 && round < 100 }

// strike starts a compaction and kills it, unless it ends before.
func (k *killer) strike(dir string, where []string) {
	k.t.Helper()
	cmd := keeper(k.t, dir, append([]string{"erase", "--compact"}, where...)...)
	begun := time.Now()
	require.NoError(k.t, cmd.Start())
	timer := time.AfterFunc(time.Duration(k.random.Int64N(int64(k.limit))), func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Wait(); err == nil {
		k.limit = min(k.limit, time.Since(begun))
		return
	}
	require.False(k.t, cmd.ProcessState.Exited(), "it failed by itself")
	k.killed++
}

func compactUnderKills(t *testing.T, y *tenancy, where []string, dirs ...string) {
	k := newKiller(t)
	d := newDoomed(y, 400)
	d.erase()
	l := newLedger()
	ctx, stop := context.WithCancel(background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		y.load(ctx, l, y.swift, func(err error) {
			if ctx.Err() == nil {
				t.Errorf("a caller was refused: %v", err)
			}
		})
	}()
	for n := 0; k.more(n); n++ {
		k.strike(dirs[0], where)
	}
	stop()
	<-ended
	require.Positive(t, k.killed)
	kept(t, dirs[0], append([]string{"erase", "--compact"}, where...)...)
	require.Zero(t, d.found(dirs...))
	y.settle(l)
	y.requireAll(l, k.random)
	d.holds()
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	kept(t, dirs[0], append([]string{"fsck"}, where...)...)
	t.Logf("%d compactions killed, %d spans acknowledged meanwhile", k.killed, l.acknowledged())
}

// Files belong to one process: the server is stopped.
func testCompactionOfFilesKilled(t *testing.T) {
	t.Parallel()
	k := newKiller(t)
	dir, mirror := t.TempDir(), t.TempDir()
	where := []string{"--timeline", "ndjson:" + filepath.Join(dir, "timelines")}
	flags := append(where[:2:2], "--mirror", mirror, "--mirror-payloads", "true")
	y := onboard(t, start(t, dir, flags...))
	d := newDoomed(y, 400)
	d.erase()
	d.mirrored(mirror)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	for n := 0; k.more(n); n++ {
		k.strike(dir, flags)
		if n%3 == 1 { // it goes on in between
			y.attach(start(t, dir, flags...))
			more := newDoomed(y, 20)
			more.erase()
			d.mirrored(mirror)
			d.texts = append(d.texts, more.texts...)
			require.Zero(t, y.terminate(), "log:\n%s", y.Log)
		}
	}
	require.Positive(t, k.killed)
	kept(t, dir, append([]string{"erase", "--compact"}, flags...)...)
	require.Zero(t, d.found(dir, mirror))
	kept(t, dir, append([]string{"fsck"}, where...)...)
	y.attach(start(t, dir, flags...))
	d.holds()
	require.Zero(t, y.terminate())
	t.Logf("%d compactions killed", k.killed)
}
