//go:build unix

package systemtest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// outage is how long a database is away: 30 s where LOGLINE_TEST_LONG is set.
func outage() time.Duration {
	if os.Getenv("LOGLINE_TEST_LONG") != "" {
		return 30 * time.Second
	}
	return 6 * time.Second
}

// strain is callers who never stop appending to one tenant.
type strain struct {
	y       *tenancy
	ledger  *ledger
	tally   tally
	ctx     context.Context // the callers', which stop ends
	stop    func()
	working sync.WaitGroup
}

// strained starts callers of single spans and of batches.
func (y *tenancy) strained(callers int) *strain {
	s := &strain{y: y, ledger: newLedger()}
	ctx, end := context.WithCancel(y.t.Context())
	s.ctx, s.stop = ctx, end
	y.t.Cleanup(end)
	for c := range callers {
		api := y.swift()
		s.working.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				lines := [][]byte{y.note(n)}
				for c%4 == 3 && len(lines) < 40 {
					lines = append(lines, y.note(n))
				}
				// What is begun is brought to its end, so that all is acknowledged.
				insist(y.t.Context(), s.ledger, y.tenant.Id, lines, &s.tally, func() *client.Client { return api })
			}
		})
	}
	return s
}

// more waits until n more spans are acknowledged and returns how long it took.
func (s *strain) more(n int, within time.Duration) time.Duration {
	s.y.t.Helper()
	began, before := time.Now(), s.ledger.acknowledged()
	for s.ledger.acknowledged() < before+n {
		require.Less(s.y.t, time.Since(began), within, "no span is acknowledged; log:\n%s", s.y.Log)
		wait(s.y.t.Context(), again)
	}
	return time.Since(began)
}

// halt stops the callers, once each has an answer.
func (s *strain) halt() {
	s.stop()
	s.working.Wait()
}

// end stops the callers and checks that all that was acknowledged stands, once,
// and that every refusal told when to come again.
func (s *strain) end() {
	t := s.y.t
	t.Helper()
	s.halt()
	require.Empty(t, s.tally.faults)
	require.Empty(t, s.ledger.unanswered())
	s.y.requireAll(s.ledger, seed(t))
	t.Logf("%d spans acknowledged, the longest request took %s, refusals %v",
		len(s.ledger.acks), s.tally.longest.Round(time.Millisecond), s.tally.refusals)
}

// readiness is the status of /readyz and the code of its problem.
func (s *server) readiness() (int, string) {
	api := s.client()
	err := api.Ready(background())
	var p *client.Problem
	if err == nil {
		return http.StatusOK, ""
	}
	require.ErrorAs(s.t, err, &p)
	return p.Status, p.Code
}

// ready waits until /readyz answers with a status.
func (s *server) ready(status int, within time.Duration) {
	s.t.Helper()
	for began := time.Now(); ; wait(s.t.Context(), again) {
		got, code := s.readiness()
		if got == status {
			return
		}
		require.Less(s.t, time.Since(began), within, "/readyz still answers %d %s", got, code)
	}
}

// memory is the resident memory of a process in MiB, 0 where there is no /proc.
func (s *server) memory() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(s.t, err)
	return kib / 1024
}

// The database is gone, does not answer, or is slow, for a while and under
// load: callers are told to come again, nothing acknowledged is lost, memory
// does not grow without bound, and service comes back by itself.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		begin   func(*proxy)
		unready bool
	}{
		{"gone", (*proxy).refuse, true},
		{"silent", (*proxy).stall, true},
		{"slow", func(p *proxy) { p.slow(150 * time.Millisecond) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, through := newProxy(t, pgtest.New(t).URL)
			f := newFleet(t, through)
			y := f.tenant
			s := y.strained(16)
			s.more(200, time.Minute)
			before := y.memory()

			c.begin(p)
			most, worst := before, http.StatusOK
			for began := time.Now(); time.Since(began) < outage(); wait(t.Context(), again) {
				most = max(most, y.memory())
				if status, _ := y.readiness(); status != http.StatusOK {
					worst = status
				}
			}
			if c.unready {
				y.ready(http.StatusServiceUnavailable, time.Minute)
			} else {
				require.Equal(t, http.StatusOK, worst, "slow is not out of order")
				require.Positive(t, s.more(1, time.Minute))
			}
			p.pass()
			back := s.more(100, time.Minute)
			y.ready(http.StatusOK, time.Minute)
			most = max(most, y.memory())
			t.Logf("%s for %s: service was back after %s; memory %d MiB before, %d MiB at most", c.name, outage(), back.Round(time.Millisecond), before, most)
			require.Less(t, most, before+256)
			s.end()
			require.Zero(t, y.terminate(), "log:\n%s", y.Log)
		})
	}
}

// Connections break at random moments, in the middle of commits too: the
// outcome is unknown then, and resolved because a span is never recorded twice.
func TestConnectionsCutMidCommit(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, pgtest.New(t).URL)
	f := newFleet(t, through)
	second := f.at(f.start(f.dir()))
	a, b := f.tenant.strained(6), second.strained(6)
	random := seed(t)
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		wait(t.Context(), time.Duration(5+random.IntN(120))*time.Millisecond)
		p.cut()
	}
	a.more(50, time.Minute)
	b.more(50, time.Minute)
	b.halt()
	a.end()
	b.end()
	f.tenant.ready(http.StatusOK, time.Minute)
	require.Zero(t, f.tenant.terminate(), "log:\n%s", f.tenant.Log)
	require.Zero(t, second.terminate(), "log:\n%s", second.Log)
}

// The database server is restarted, in order and as by a crash.
func TestDatabaseRestarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	f := newFleet(t, c.url())
	s := f.tenant.strained(8)
	for _, how := range []string{"fast", "immediate"} {
		s.more(100, time.Minute)
		c.stop(how)
		f.tenant.ready(http.StatusServiceUnavailable, time.Minute)
		c.start()
		t.Logf("after a stop that is %s: back in %s", how, s.more(100, time.Minute).Round(time.Millisecond))
		f.tenant.ready(http.StatusOK, time.Minute)
	}
	s.end()
	require.Zero(t, f.tenant.terminate(), "log:\n%s", f.tenant.Log)
}

// A process that stands still, with a head in its hands or not, holds nobody up
// for long; when it goes on, it finds its way.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	f := newFleet(t, pgtest.New(t).URL)
	other := f.at(f.start(f.dir()))
	a, b := f.tenant.strained(8), other.strained(8)
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	var slowest time.Duration
	for range rounds {
		a.more(50, time.Minute)
		b.more(50, time.Minute)
		require.NoError(t, other.Cmd.Process.Signal(syscall.SIGSTOP))
		slowest = max(slowest, a.more(50, 30*time.Second))
		require.NoError(t, other.Cmd.Process.Signal(syscall.SIGCONT))
	}
	t.Logf("the slowest 50 spans beside a frozen process took %s", slowest.Round(time.Millisecond))
	b.halt()
	a.end()
	b.end()
}

// A server that is told to stop while its database does not answer stops in its
// time, or says that it could not.
func TestTerminatedWithoutDatabase(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(*proxy){"gone": (*proxy).refuse, "silent": (*proxy).stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, through := newProxy(t, pgtest.New(t).URL)
			f := newFleet(t, through, "--drain-timeout=6s")
			s := f.tenant.strained(4)
			s.more(50, time.Minute)
			begin(p)
			f.tenant.ready(http.StatusServiceUnavailable, time.Minute)
			began := time.Now()
			code, err := f.tenant.Terminate()
			require.NoError(t, err)
			t.Logf("ended with %d after %s", code, time.Since(began).Round(time.Millisecond))
			require.Less(t, time.Since(began), 15*time.Second)
			require.NotContains(t, f.tenant.Log.String(), "panic")
			p.pass()

			s.stop()
			y := f.at(f.start(f.dirs[0]))
			y.settle(s.ledger)
			y.requireAll(s.ledger, seed(t))
		})
	}
}
