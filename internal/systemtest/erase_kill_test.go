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

// killCompaction starts one and kills it, unless it ends before.
func killCompaction(t *testing.T, random *rand.Rand, dir string, where []string) (killed bool) {
	t.Helper()
	cmd := keeper(t, dir, append([]string{"erase", "--compact"}, where...)...)
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(time.Duration(5+random.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	require.True(t, err == nil || !cmd.ProcessState.Exited(), "it failed by itself: %v", err)
	return err != nil
}

func compactUnderKills(t *testing.T, y *tenancy, where []string, dirs ...string) {
	random := seed(t)
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
	killed := 0
	for range kills() {
		if killCompaction(t, random, dirs[0], where) {
			killed++
		}
	}
	stop()
	<-ended
	require.Positive(t, killed)
	kept(t, dirs[0], append([]string{"erase", "--compact"}, where...)...)
	require.Zero(t, d.found(dirs...))
	y.settle(l)
	y.requireAll(l, random)
	d.holds()
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	kept(t, dirs[0], append([]string{"fsck"}, where...)...)
	t.Logf("%d of %d compactions killed, %d spans acknowledged meanwhile", killed, kills(), l.acknowledged())
}

// Files belong to one process: the server is stopped.
func testCompactionOfFilesKilled(t *testing.T) {
	t.Parallel()
	random := seed(t)
	dir, mirror := t.TempDir(), t.TempDir()
	where := []string{"--timeline", "ndjson:" + filepath.Join(dir, "timelines")}
	flags := append(where[:2:2], "--mirror", mirror, "--mirror-payloads", "true")
	y := onboard(t, start(t, dir, flags...))
	d := newDoomed(y, 400)
	d.erase()
	d.mirrored(mirror)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	killed := 0
	for n := range kills() {
		if killCompaction(t, random, dir, flags) {
			killed++
		}
		if n%3 == 1 { // it goes on in between
			y.attach(start(t, dir, flags...))
			more := newDoomed(y, 20)
			more.erase()
			d.mirrored(mirror)
			d.texts = append(d.texts, more.texts...)
			require.Zero(t, y.terminate(), "log:\n%s", y.Log)
		}
	}
	require.Positive(t, killed)
	kept(t, dir, append([]string{"erase", "--compact"}, flags...)...)
	require.Zero(t, d.found(dir, mirror))
	kept(t, dir, append([]string{"fsck"}, where...)...)
	y.attach(start(t, dir, flags...))
	d.holds()
	require.Zero(t, y.terminate())
	t.Logf("%d of %d compactions killed", killed, kills())
}
