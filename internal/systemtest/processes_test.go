package systemtest

import (
	"context"
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

// databases runs a test on each kind of database that several processes share.
func databases(t *testing.T, test func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "logline.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.New(t).URL)
	})
}

// Three processes append to one tenant while a fourth follows: dense, none
// skipped, none twice, one chain of checkpoints, and nobody waits long.
func TestThreeProcessesAppend(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		newFleet(t, database).contend(300, 10)
	})
}

// The same with no wake-up between processes: the feed polls.
func TestThreeProcessesWithoutRelay(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		newFleet(t, database, "--relay=off").contend(50, 5)
	})
}

// The same with a Redis that dies on the way and comes back.
func TestThreeProcessesAndRedisKilled(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		r := newRedis(t)
		f := newFleet(t, database, "--redis-url", r.url())
		ctx, stop := context.WithCancel(t.Context())
		var chaos sync.WaitGroup
		chaos.Go(func() {
			for n := 0; wait(ctx, 300*time.Millisecond); n++ {
				if n%2 == 0 {
					r.kill()
				} else {
					r.start()
				}
			}
		})
		f.contend(100, 5)
		stop()
		chaos.Wait()
	})
}

// With a poll that comes once a minute, it is the relay that tells the feed of
// one process what another appends: by Redis, and again after Redis was gone.
func TestWakeUpsByRedis(t *testing.T) {
	t.Parallel()
	r := newRedis(t)
	f := newFleet(t, "sqlite:"+filepath.Join(t.TempDir(), "logline.db"), "--redis-url", r.url(), "--feed-poll=1m")
	f.requireWakeUps()
	r.kill()
	time.AfterFunc(time.Second, r.start)
	f.requireWakeUps()
	require.Contains(t, f.tenant.Log.String(), "relay lost")
	require.NotContains(t, f.tenant.Log.String(), "s3cret")
}

// The same by the database itself, and again after its connections were cut and
// it did not answer for a while.
func TestWakeUpsByPostgres(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, pgtest.New(t).URL)
	f := newFleet(t, through, "--feed-poll=1m")
	f.requireWakeUps()
	p.cut()
	f.requireWakeUps()
	require.Contains(t, f.tenant.Log.String(), "relay lost")
}

// requireWakeUps checks that a feed at another process hears of an append long
// before it polls. Wake-ups are lost while a carrier is down, so that there may
// have to be more than one append.
func (f *fleet) requireWakeUps() {
	t := f.t
	t.Helper()
	watcher := f.at(f.start(f.dir()))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var feed onlooker
	var watching sync.WaitGroup
	watching.Go(func() { feed.listen(ctx, watcher) })
	l := newLedger()
	appended := func() uint64 { // also after connections were cut
		raw := f.tenant.note(0)
		insist(ctx, l, f.tenant.tenant.Id, [][]byte{raw}, nil, func() *client.Client { return f.tenant.api })
		return l.acks[spanID(raw)].Inclusion.Index
	}
	feed.until(t, appended()) // it has caught up and waits
	for began := time.Now(); ; {
		seq := appended()
		sent := time.Now()
		for time.Since(sent) < time.Second && feed.size() <= seq {
			wait(ctx, time.Millisecond)
		}
		if feed.size() > seq {
			t.Logf("heard after %s", time.Since(sent).Round(time.Millisecond))
			break
		}
		require.Less(t, time.Since(began), 40*time.Second, "nothing is heard")
	}
	stop()
	watching.Wait()
	require.Zero(t, watcher.terminate(), "log:\n%s", watcher.Log)
}

// contend has three processes append as much as is said, singles a process and
// batches of 100 a process, while a fourth follows, and checks everything.
func (f *fleet) contend(singles, batches int) {
	f.t.Helper()
	writers := []*tenancy{f.tenant}
	for range 2 {
		writers = append(writers, f.at(f.start(f.dir())))
	}
	watcher := f.at(f.start(f.dir()))
	ctx, stop := context.WithCancel(f.t.Context())
	defer stop()
	var watching sync.WaitGroup
	var feed onlooker
	watching.Go(func() { feed.listen(ctx, watcher) })

	l := newLedger()
	began := time.Now()
	var working sync.WaitGroup
	tallies := make([]tally, len(writers))
	for i, y := range writers {
		y.write(ctx, &working, l, &tallies[i], singles, batches)
	}
	working.Wait()
	took := time.Since(began)
	total := len(writers) * (singles + 100*batches)
	require.Len(f.t, l.acks, total)
	for i := range tallies {
		f.t.Logf("process %d: the longest request took %s", i, tallies[i].longest.Round(time.Millisecond))
		require.Less(f.t, tallies[i].longest, 20*time.Second)
	}
	f.t.Logf("%d spans by three processes in %s, %.0f a second", total, took.Round(time.Millisecond), float64(total)/took.Seconds())
	f.conclude(l, &feed)
	stop()
	watching.Wait()
}

// write starts three callers of one process.
func (y *tenancy) write(ctx context.Context, working *sync.WaitGroup, l *ledger, seen *tally, singles, batches int) {
	for range 2 {
		api := y.swift()
		working.Go(func() {
			for n := range singles / 2 {
				insist(ctx, l, y.tenant.Id, [][]byte{y.note(n)}, seen, func() *client.Client { return api })
			}
		})
	}
	api := y.swift()
	working.Go(func() {
		for range batches {
			lines := make([][]byte, 100)
			for n := range lines {
				lines[n] = y.note(n)
			}
			insist(ctx, l, y.tenant.Id, lines, seen, func() *client.Client { return api })
		}
	})
}

// conclude checks that every process shows the one timeline, that it holds all
// that was acknowledged, once, that no receipt contradicts another, and that
// the onlooker saw all of it in order.
func (f *fleet) conclude(l *ledger, feed *onlooker) {
	t := f.t
	t.Helper()
	y := f.tenant
	y.settle(l)
	r := y.requireAll(l, seed(t))
	if feed != nil {
		feed.requireAll(t, r)
	}
	f.requireNotes(r)
}

// doors are the clients of the processes that run now.
type doors struct {
	mu   sync.Mutex // guards apis
	apis []*client.Client
	next int
}

func (d *doors) set(i int, api *client.Client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.apis[i] = api
}

// any is one of the processes, another each time.
func (d *doors) any() *client.Client {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	return d.apis[d.next%len(d.apis)]
}

// One of three processes is killed and started again, over and over, while
// callers append through whichever answers. "logline tail -f" in a terminal, and
// somebody who queries, miss nothing.
func TestKilledAmongOthers(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		rounds := 6
		if testing.Short() {
			rounds = 2
		}
		f := newFleet(t, database)
		steady := f.at(f.start(f.dir()))
		dir := f.dir()
		victim := f.at(f.start(dir))
		open := &doors{apis: []*client.Client{f.tenant.swift(), steady.swift(), victim.swift()}}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var feed onlooker
		var watching, working sync.WaitGroup
		watching.Go(func() { feed.follow(ctx, steady.swift(), f.tenant.tenant.Id) })
		terminal := steady.tail()

		l := newLedger()
		load, enough := context.WithCancel(ctx)
		for c := range 4 {
			working.Go(func() {
				for n := 0; load.Err() == nil; n++ {
					lines := [][]byte{f.tenant.note(n)}
					for len(lines) < c*20 {
						lines = append(lines, f.tenant.note(n))
					}
					insist(ctx, l, f.tenant.tenant.Id, lines, nil, open.any)
				}
			})
		}
		random := seed(t)
		for range rounds {
			wait(ctx, time.Duration(50+random.IntN(400))*time.Millisecond)
			victim.Kill()
			require.NotContains(t, victim.Log.String(), "checkpoint_regression")
			wait(ctx, time.Duration(random.IntN(300))*time.Millisecond)
			victim = f.at(f.start(dir)) // its note is older than the timeline by now
			open.set(2, victim.swift())
		}
		enough()
		working.Wait()
		t.Logf("%d spans acknowledged over %d kills", len(l.acks), rounds)
		f.conclude(l, &feed)
		size := f.tenant.checkpoint().Size
		terminal.requireAt(size)
		require.Equal(t, size, terminal.next.Load(), "nothing more than there is")
		require.Zero(t, terminal.interrupt(), "it says:\n%s", terminal.errs)
		for _, y := range []*tenancy{f.tenant, steady, victim} {
			_, err := y.api.Append(ctx, "acme", y.note(0))
			require.NoError(t, err)
			require.NotContains(t, y.Log.String(), "checkpoint_regression")
			require.Zero(t, y.terminate(), "log:\n%s", y.Log)
		}
		stop()
		watching.Wait()
	})
}

// Batches of a thousand from one process get their turn among singles that two
// others send without a pause, and the singles theirs.
func TestBigBatchesAmongSingles(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, database string) {
		f := newFleet(t, database)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		l := newLedger()
		var working sync.WaitGroup
		var single, batch tally
		for range 2 {
			y := f.at(f.start(f.dir()))
			for range 4 {
				api := y.swift()
				working.Go(func() {
					for n := 0; ctx.Err() == nil; n++ {
						insist(t.Context(), l, y.tenant.Id, [][]byte{y.note(n)}, &single, func() *client.Client { return api })
					}
				})
			}
		}
		api := f.tenant.swift()
		began := time.Now()
		for range 5 {
			lines := make([][]byte, 1000)
			for n := range lines {
				lines[n] = f.tenant.note(n)
			}
			insist(t.Context(), l, f.tenant.tenant.Id, lines, &batch, func() *client.Client { return api })
		}
		took := time.Since(began)
		stop()
		working.Wait()
		t.Logf("5 batches of 1000 in %s, the longest %s; %d singles meanwhile, the longest %s; refusals %v %v", took.Round(time.Millisecond),
			batch.longest.Round(time.Millisecond), len(l.acks)-5000, single.longest.Round(time.Millisecond), batch.refusals, single.refusals)
		require.Empty(t, batch.faults)
		require.Empty(t, single.faults)
		require.Less(t, batch.longest, 20*time.Second)
		require.Less(t, single.longest, 20*time.Second)
		f.conclude(l, nil)
	})
}

// A database restored from an older copy is noticed by each process that gave
// out what it lacks; ordered at two at once, they go on under one new origin.
func TestNewEpochAmongProcesses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "logline.db")
	f := newFleet(t, "sqlite:"+path)
	y, old := f.tenant, []byte(nil)
	second := f.dir()
	for round := range 2 {
		other := f.at(f.start(second))
		for _, at := range []*tenancy{y, other} {
			_, err := at.api.Append(background(), "acme", at.note(round))
			require.NoError(t, err)
			require.Zero(t, at.terminate(), "log:\n%s", at.Log) // the last one leaves no write-ahead log
		}
		if round == 0 {
			var err error
			old, err = os.ReadFile(path)
			require.NoError(t, err)
			y = f.at(f.start(f.dirs[0]))
		}
	}
	require.NoError(t, os.WriteFile(path, old, 0o600))

	refused := f.at(f.start(second))
	_, err := refused.api.Append(background(), "acme", refused.note(0))
	require.Equal(t, "checkpoint_regression", client.CodeOf(err))
	require.Zero(t, refused.terminate())

	var starting sync.WaitGroup
	servers := make([]*program.Server, 2)
	failures := make([]error, 2)
	for i, dir := range []string{f.dirs[0], second} {
		servers[i] = f.prepare(dir, "--new-epoch")
		t.Cleanup(servers[i].Kill)
		starting.Go(func() { failures[i] = servers[i].Start() })
	}
	starting.Wait()
	origins := map[string]bool{}
	for i, p := range servers {
		require.NoError(t, failures[i])
		at := f.at(&server{Server: p, t: t})
		_, err := at.api.Append(background(), "acme", at.note(9))
		require.NoError(t, err)
		tenant, err := at.api.Tenant(background(), "acme")
		require.NoError(t, err)
		origins[tenant.Origin] = true
		at.tenant = tenant
		at.export()
	}
	require.Len(t, origins, 1, "one new origin: %v", origins)
	for origin := range origins {
		require.True(t, strings.HasSuffix(origin, "/1"), origin)
	}
}
