package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/danvoulez/logline/internal/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a carrier inside this process, for what takes a clock of its own; the
// real ones are tested on real servers.
type wire struct {
	mu    sync.Mutex // guards the rest
	down  error      // why nobody can connect
	links map[*wireLink]bool
	sent  []string
	tries int
}

type wireLink struct {
	wire   *wire
	in     chan string
	broken chan struct{}
	once   sync.Once
}

func newWire() *wire { return &wire{links: map[*wireLink]bool{}} }

func (*wire) Name() string { return "wire" }

func (w *wire) Connect(context.Context) (Link, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	if w.down != nil {
		return nil, w.down
	}
	l := &wireLink{wire: w, in: make(chan string, 1000), broken: make(chan struct{})}
	w.links[l] = true
	return l, nil
}

// cut breaks every connection and refuses new ones while err is not nil.
func (w *wire) cut(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = err
	for l := range w.links {
		l.once.Do(func() { close(l.broken) })
		delete(w.links, l)
	}
}

func (w *wire) attempts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries
}

func (w *wire) messages() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.sent...)
}

func (l *wireLink) Send(_ context.Context, message string) error {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	if !l.wire.links[l] {
		return errors.New("cut")
	}
	l.wire.sent = append(l.wire.sent, message)
	for other := range l.wire.links {
		other.in <- message
	}
	return nil
}

func (l *wireLink) Receive(ctx context.Context) (string, error) {
	select {
	case m := <-l.in:
		return m, nil
	case <-l.broken:
		return "", errors.New("cut")
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (l *wireLink) Close() error {
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	l.once.Do(func() { close(l.broken) })
	delete(l.wire.links, l)
	return nil
}

// node is a process: its bus, a follower on it, and its relay.
type node struct {
	*bus.Bus
	follower *bus.Subscription
	stop     func()
}

// run starts a relay that ends with the test.
func run(t *testing.T, c Carrier, log *slog.Logger) node {
	t.Helper()
	n := node{Bus: bus.New()}
	n.follower = n.Subscribe()
	r := New(n.Bus, c, Config{Logger: log})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	n.stop = func() { cancel(); running.Wait() }
	t.Cleanup(n.stop)
	return n
}

// Processes wake each other, and nobody hears again what was his own: a message
// sent on would go round for ever.
func TestWakesTheOthersOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		nodes := []node{run(t, w, nil), run(t, w, nil), run(t, w, nil)}
		synctest.Wait()
		nodes[0].Publish(bus.Appended{Tenant: tenant, Size: 7})
		time.Sleep(time.Minute)
		for _, n := range nodes {
			require.Equal(t, []bus.Appended{{Tenant: tenant, Size: 7}}, n.follower.Take())
		}
		require.Equal(t, 1, len(w.messages()))
		for _, n := range nodes {
			n.stop()
		}
	})
}

// A busy tenant sends a bounded number of messages, the last of which is of its
// last size.
func TestBusyTenantIsCoalesced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := run(t, w, nil), run(t, w, nil)
		synctest.Wait()
		for size := range uint64(10_000) {
			a.Publish(bus.Appended{Tenant: tenant, Size: size})
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Second)
		require.LessOrEqual(t, len(w.messages()), 52, "50 a second, and the first and last")
		require.GreaterOrEqual(t, len(w.messages()), 45)
		require.Equal(t, []bus.Appended{{Tenant: tenant, Size: 9999}}, b.follower.Take())
		a.stop()
		b.stop()
	})
}

// Many tenants share messages.
func TestManyTenantsShareMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := run(t, w, nil), run(t, w, nil)
		synctest.Wait()
		for n := range 1001 {
			a.Publish(bus.Appended{Tenant: fmt.Sprintf("019b0000-0000-8000-8000-%012x", n), Size: 1})
		}
		time.Sleep(time.Second)
		require.Len(t, b.follower.Take(), 1001)
		require.LessOrEqual(t, len(w.messages()), 13)
		a.stop()
		b.stop()
	})
}

// A carrier that is down is tried again ever more rarely, said to be lost once,
// and used again without anybody's doing; what was appended meanwhile is told.
func TestLossAndRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.down = errors.New("refused")
		var out bytes.Buffer
		a := run(t, w, slog.New(slog.NewTextHandler(&out, nil)))
		b := run(t, w, slog.New(slog.DiscardHandler))
		synctest.Wait()
		a.Publish(bus.Appended{Tenant: tenant, Size: 1})
		time.Sleep(10 * time.Minute)
		require.Less(t, w.attempts(), 200, "two relays")
		w.cut(nil)
		time.Sleep(time.Minute)
		require.Len(t, w.messages(), 1, "what was pending is sent; b may have missed it, being later")
		b.follower.Take()

		w.cut(errors.New("cut"))
		synctest.Wait()
		w.cut(nil)
		time.Sleep(time.Second)
		a.Publish(bus.Appended{Tenant: tenant, Size: 2})
		time.Sleep(time.Second)
		require.Equal(t, []bus.Appended{{Tenant: tenant, Size: 2}}, b.follower.Take(), "a short cut is over in a moment")
		a.stop()
		b.stop()
		require.Equal(t, 2, strings.Count(out.String(), "relay lost"), out.String())
		require.Equal(t, 2, strings.Count(out.String(), "relay connected again"), out.String())
	})
}

// What others put on the channel is passed over.
func TestForeignMessagesAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a := run(t, w, slog.New(slog.DiscardHandler))
		synctest.Wait()
		l, err := w.Connect(t.Context())
		require.NoError(t, err)
		for _, m := range []string{"", "hello", strings.Repeat("x", 1<<20), "1 " + process + " " + tenant + ":3"} {
			require.NoError(t, l.Send(t.Context(), m))
		}
		time.Sleep(time.Second)
		require.Equal(t, []bus.Appended{{Tenant: tenant, Size: 3}}, a.follower.Take())
		require.NoError(t, l.Close())
		a.stop()
	})
}

// The last commit before a stop is told to the others.
func TestStopTellsTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		a, b := run(t, w, nil), run(t, w, nil)
		synctest.Wait()
		a.Publish(bus.Appended{Tenant: tenant, Size: 1})
		synctest.Wait()
		a.Publish(bus.Appended{Tenant: tenant, Size: 2}) // within the interval
		a.stop()
		synctest.Wait()
		require.Equal(t, []bus.Appended{{Tenant: tenant, Size: 2}}, b.follower.Take())
		b.stop()
	})
}
