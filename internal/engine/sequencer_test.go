package engine_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// hooked is a store whose appends go through a function, and which may lose
// checkpoints on demand.
type hooked struct {
	timeline.Store
	blind atomic.Bool // Checkpoint fails
	hook  atomic.Pointer[func(ctx context.Context, b *timeline.Batch, next func() error) error]
}

func (h *hooked) Append(ctx context.Context, b *timeline.Batch) error {
	next := func() error { return h.Store.Append(ctx, b) }
	if hook := h.hook.Load(); hook != nil {
		return (*hook)(ctx, b, next)
	}
	return next()
}

func (h *hooked) Checkpoint(ctx context.Context, tenant string, seq uint64) (uint64, []byte, error) {
	if h.blind.CompareAndSwap(true, false) { // for one question
		return 0, nil, fault.New(fault.Unavailable, "database_gone", "test")
	}
	return h.Store.Checkpoint(ctx, tenant, seq)
}

func (h *hooked) set(hook func(ctx context.Context, b *timeline.Batch, next func() error) error) {
	if hook == nil {
		h.hook.Store(nil)
		return
	}
	h.hook.Store(&hook)
}

// hookedWorld is a world whose store's appends can be intercepted.
func hookedWorld(t *testing.T, s setup) (*world, *hooked) {
	h := &hooked{}
	s.wrap = func(inner timeline.Store) timeline.Store { h.Store = inner; return h }
	return newWorld(t, s), h
}

// held stops every append until release; entered tells of each that waits.
func (h *hooked) held() (entered chan int, release func()) {
	entered, gate := make(chan int, 100), make(chan struct{})
	h.set(func(_ context.Context, b *timeline.Batch, next func() error) error {
		entered <- len(b.Rows)
		<-gate
		return next()
	})
	return entered, sync.OnceFunc(func() { close(gate) })
}

func TestManyCallersManyTenantsExactlyOnce(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		const tenants, callers, spans = 3, 6, 15
		s.cfg = engine.Config{MaxBatch: 16}
		w := newWorld(t, s)
		ctx := context.Background()
		ids := []string{w.tenant.ID}
		for n := 1; n < tenants; n++ {
			tn, err := w.CreateTenant(ctx, fmt.Sprintf("tenant-%d", n), "T", w.owner.ID(), false)
			require.NoError(t, err)
			ids = append(ids, tn.ID)
		}
		var wg sync.WaitGroup
		var created, repeats atomic.Int64
		for _, tenant := range ids {
			for range callers {
				var raws [][]byte
				for n := range spans {
					raws = append(raws, w.sealIn(tenant, w.owner.Signer(), w.owner.ID(), fmt.Appendf(nil, `{"n":%d}`, n)))
				}
				for range 2 { // each span by two callers at once
					wg.Go(func() {
						for _, raw := range raws {
							r := w.Submit(ctx, tenant, raw, engine.Options{})
							if r.Err != nil {
								t.Error(r.Err)
								continue
							}
							switch r.Outcome {
							case engine.Created:
								created.Add(1)
							case engine.Repeat:
								repeats.Add(1)
							}
						}
					})
				}
			}
		}
		wg.Wait()
		require.EqualValues(t, tenants*callers*spans, created.Load())
		require.EqualValues(t, tenants*callers*spans, repeats.Load())
		for _, tenant := range ids {
			seen := map[string]bool{}
			for _, e := range w.entries(tenant) {
				require.False(t, seen[e.Span.ID], "twice")
				seen[e.Span.ID] = true
			}
			require.Equal(t, 5+callers*spans, len(seen))
		}
	})
}

func TestSubmitManyKeepsEachCallersOrder(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		const callers, lines = 4, 120
		s.cfg = engine.Config{MaxBatch: 25, QueueLimit: 1000}
		w := newWorld(t, s)
		sent := make([][][]byte, callers)
		for c := range callers {
			for n := range lines {
				sent[c] = append(sent[c], w.note(w.owner, n))
			}
			sent[c] = slices.Insert(sent[c], 60, []byte("not a span"))
		}
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				results := w.SubmitMany(context.Background(), "acme", sent[c])
				last := uint64(0)
				for i, r := range results {
					if i == 60 {
						if r.Err == nil {
							t.Error("line 60 accepted")
						}
						continue
					}
					if r.Err != nil || r.Receipt.Index <= last {
						t.Errorf("line %d: index %v after %d, %v", i, r.Receipt, last, r.Err)
						return
					}
					last = r.Receipt.Index
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 5+callers*lines, w.size())
	})
}

func TestBatchIsWhatArrivedDuringTheLastCommit(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{cfg: engine.Config{MaxBatch: 10}})
	sub := w.bus.Subscribe(w.tenant.ID)
	defer sub.Close()
	entered, release := h.held()
	var wg sync.WaitGroup
	wg.Go(func() { requireNoErr(t, w.submit(w.note(w.owner, 0))) })
	require.Equal(t, 1, <-entered, "the first span does not wait for company")
	var lines [][]byte
	for n := range 14 {
		lines = append(lines, w.note(w.owner, n))
	}
	wg.Go(func() {
		for _, r := range w.SubmitMany(context.Background(), "acme", lines) {
			requireNoErr(t, r)
		}
	})
	release()
	wg.Wait()
	require.Equal(t, 10, <-entered, "at most MaxBatch together")
	require.Equal(t, 4, <-entered)
	require.NotEmpty(t, sub.Take(), "announced")
	require.EqualValues(t, 20, w.size())
}

func requireNoErr(t *testing.T, r engine.Result) {
	if r.Err != nil {
		t.Error(r.Err)
	}
}

func TestQueueFull(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{cfg: engine.Config{QueueLimit: 4}})
	entered, release := h.held()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer release()
	first := w.note(w.owner, 0)
	wg.Go(func() { requireNoErr(t, w.submit(first)) })
	<-entered
	queued := make(chan struct{})
	full := make(chan error, 1)
	wg.Go(func() {
		// Callers arrive until one is turned away.
		var arrivals sync.WaitGroup
		for n := range 5 {
			raw := w.note(w.owner, n)
			arrivals.Go(func() {
				if r := w.submit(raw); r.Err != nil {
					full <- r.Err
				}
			})
		}
		close(queued)
		arrivals.Wait()
	})
	<-queued
	err := <-full
	requireCode(t, "queue_full", err)
	require.Equal(t, fault.Limited, fault.KindOf(err))
	require.Positive(t, fault.From(err).RetryAfter)

	results := w.SubmitMany(context.Background(), "acme", [][]byte{w.note(w.owner, 9), []byte("x"), w.note(w.owner, 9)})
	requireCode(t, "queue_full", results[0].Err)
	require.Error(t, results[1].Err)
	requireCode(t, "queue_full", results[2].Err)
}

func TestQueueLimitByBytes(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{cfg: engine.Config{QueueBytes: 8000}})
	entered, release := h.held()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer release()
	big := func() []byte { return w.seal(w.owner, fmt.Appendf(nil, `{"x":"%06000d"}`, 0)) }
	first, second, third := big(), big(), big()
	wg.Go(func() { requireNoErr(t, w.submit(first)) })
	<-entered
	refused := make(chan engine.Result, 2)
	for _, raw := range [][]byte{second, third} {
		wg.Go(func() {
			if r := w.submit(raw); r.Err != nil {
				refused <- r
			}
		})
	}
	requireCode(t, "queue_full", (<-refused).Err)
}

func TestCallerWhoLeavesWhileQueuedRecordsNothing(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{})
	entered, release := h.held()
	var wg sync.WaitGroup
	taken, leave := context.WithCancel(context.Background())
	first := w.note(w.owner, 1)
	wg.Go(func() {
		// Its batch has begun: it completes although the caller has gone.
		r := w.Submit(taken, "acme", first, engine.Options{})
		requireNoErr(t, r)
	})
	<-entered
	leave()
	gone, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	r := w.Submit(gone, "acme", w.note(w.owner, 2), engine.Options{})
	requireCode(t, "request_cancelled", r.Err)
	for _, r := range w.SubmitMany(gone, "acme", [][]byte{w.note(w.owner, 3), w.note(w.owner, 4)}) {
		requireCode(t, "request_cancelled", r.Err)
	}
	release()
	wg.Wait()
	require.NoError(t, w.submit(w.note(w.owner, 5)).Err)
	require.EqualValues(t, 7, w.size())
}

func TestHeadMovedIsDecidedAgain(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		other := w.newEngine(s, w.newLog()) // another process on the same store
		var wg sync.WaitGroup
		const each = 40
		var raws [2][][]byte
		for i := range raws {
			for n := range each {
				raws[i] = append(raws[i], w.note(w.owner, n))
			}
		}
		for i, e := range []*engine.Engine{w.Engine, other} {
			for _, raw := range raws[i] {
				wg.Go(func() { requireNoErr(t, e.Submit(context.Background(), "acme", raw, engine.Options{})) })
			}
		}
		wg.Wait()
		require.EqualValues(t, 5+2*each, w.size())
		require.Len(t, w.entries(w.tenant.ID), 5+2*each)
	})
}

func TestExpectedSizeHasOneWinnerAcrossProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	other := w.newEngine(setup{}, w.newLog())
	var wg sync.WaitGroup
	var won atomic.Int64
	size := uint64(5)
	for n := range 10 {
		raw, e := w.note(w.owner, n), []*engine.Engine{w.Engine, other}[n%2]
		wg.Go(func() {
			if r := e.Submit(context.Background(), "acme", raw, engine.Options{ExpectedSize: &size}); r.Err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
	require.EqualValues(t, 6, w.size())
}

func TestFailedCommitIsUnavailable(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{})
	for _, failure := range []error{
		fault.New(fault.Unavailable, "disk_full", "the disk is full").After(time.Second),
		fault.New(fault.Internal, "internal", "test"),
		context.DeadlineExceeded,
	} {
		h.set(func(context.Context, *timeline.Batch, func() error) error { return failure })
		raw := w.note(w.owner, 1)
		results := w.SubmitMany(context.Background(), "acme", [][]byte{raw, []byte("x"), raw, w.note(w.owner, 2)})
		for _, i := range []int{0, 2, 3} {
			require.Equal(t, fault.Unavailable, fault.KindOf(results[i].Err), "%v", results[i].Err)
		}
		require.Equal(t, fault.Invalid, fault.KindOf(results[1].Err))
		if fault.CodeOf(failure) == "disk_full" {
			requireCode(t, "disk_full", results[0].Err)
		}
		h.set(nil)
		require.NoError(t, w.submit(raw).Err, "the sequencer goes on")
	}
}

func TestUnknownOutcomeIsResolved(t *testing.T) {
	t.Parallel()
	for name, logBlind := range map[string]bool{"by the log": false, "by the engine": true} {
		t.Run(name, func(t *testing.T) {
			stores(t, func(t *testing.T, s setup) { testUnknownOutcome(t, s, logBlind) })
		})
	}
}

// testUnknownOutcome breaks the connection after the commit; with logBlind the
// log cannot tell what became of it, and the engine looks the ids up again.
func testUnknownOutcome(t *testing.T, s setup, logBlind bool) {
	w, h := hookedWorld(t, s)
	before := w.note(w.owner, 0)
	require.NoError(t, w.submit(before).Err)
	h.set(func(_ context.Context, _ *timeline.Batch, next func() error) error {
		if err := next(); err != nil {
			return err
		}
		h.blind.Store(logBlind)
		return fault.New(fault.Unavailable, "database_gone", "the connection broke after the commit")
	})
	raw := w.note(w.owner, 1)
	results := w.SubmitMany(context.Background(), "acme", [][]byte{before, raw, raw, []byte("x"), w.note(w.owner, 2)})
	h.set(nil)
	for i, want := range []string{engine.Repeat, engine.Created, engine.Repeat, "", engine.Created} {
		if want == "" {
			require.Error(t, results[i].Err)
			continue
		}
		require.NoError(t, results[i].Err, i)
		require.Equal(t, want, results[i].Outcome, i)
	}
	requireReceipt(t, w, results[1], raw)
	require.Equal(t, results[1].Receipt, results[2].Receipt)
	require.EqualValues(t, 8, w.size())
}

func TestSpanTheStoreRefusesDoesNotFailItsNeighbours(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{})
	h.set(func(_ context.Context, b *timeline.Batch, next func() error) error {
		for _, r := range b.Rows {
			if r.Type == "test.poison" {
				return fault.New(fault.Internal, "internal", "test")
			}
		}
		return next()
	})
	var lines [][]byte
	for n := range 20 {
		lines = append(lines, w.note(w.owner, n))
	}
	lines[13] = w.seal(w.owner, []byte(`{}`), func(h *span.Header) { h.Type = "test.poison" })
	for i, r := range w.SubmitMany(context.Background(), "acme", lines) {
		if i == 13 {
			require.Equal(t, fault.Unavailable, fault.KindOf(r.Err), "%v", r.Err)
			continue
		}
		require.NoError(t, r.Err, i)
	}
	require.EqualValues(t, 5+19, w.size())
}

func TestPanicInTheStoreAnswersEverybody(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{})
	h.set(func(context.Context, *timeline.Batch, func() error) error { panic("a defect") })
	for _, r := range w.SubmitMany(context.Background(), "acme", [][]byte{w.note(w.owner, 1), w.note(w.owner, 2)}) {
		require.Equal(t, fault.Internal, fault.KindOf(r.Err))
	}
	h.set(nil)
	require.NoError(t, w.submit(w.note(w.owner, 3)).Err, "the sequencer goes on")
}

func TestDrainCompletesQueuedWork(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{})
	entered, release := h.held()
	results := make(chan engine.Result, 6)
	var wg sync.WaitGroup
	submit := func(n int) {
		raw := w.note(w.owner, n)
		wg.Go(func() { results <- w.submit(raw) })
	}
	submit(0)
	<-entered
	for n := 1; n < 6; n++ {
		submit(n)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- w.Run(ctx) }()
	require.NoError(t, w.Ready(ctx))
	stop()
	// Once closed, the engine says so; what was queued before is still done.
	for w.Ready(context.Background()) == nil {
		select {
		case err := <-stopped:
			t.Fatalf("stopped with work at hand: %v", err)
		default:
		}
	}
	requireCode(t, "engine_stopping", w.submit(w.note(w.owner, 9)).Err)
	release()
	require.NoError(t, <-stopped)
	wg.Wait()
	close(results)
	recorded := 0
	for r := range results {
		if r.Err == nil {
			recorded++
			continue
		}
		requireCode(t, "engine_stopping", r.Err)
	}
	require.Positive(t, recorded)
	require.EqualValues(t, 5+recorded, w.size())
	require.NoError(t, w.Run(ctx), "stopping twice is harmless")
}

func TestDrainGivesUpInTheEnd(t *testing.T) {
	t.Parallel()
	w, h := hookedWorld(t, setup{cfg: engine.Config{DrainTimeout: 20 * time.Millisecond}})
	entered := make(chan struct{}, 1)
	h.set(func(ctx context.Context, _ *timeline.Batch, _ func() error) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	results := make(chan engine.Result, 2)
	first, second := w.note(w.owner, 1), w.note(w.owner, 2)
	go func() { results <- w.submit(first) }()
	<-entered
	go func() { results <- w.submit(second) }()
	ctx, stop := context.WithCancel(context.Background())
	stop()
	require.NoError(t, w.Run(ctx))
	for range 2 {
		require.Equal(t, fault.Unavailable, fault.KindOf((<-results).Err))
	}
}

func TestRotationDuringLoadNeverLetsTheOldKeyInAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	keys := w.member(span.RoleMember)
	old := keys.Signer()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					w.submit(w.sealBy(old, keys.ID(), []byte(`{}`)))
				}
			}
		})
	}
	rotate(t, w, keys)
	acknowledged := w.size()
	close(stop)
	wg.Wait()
	for _, e := range w.entries(w.tenant.ID)[acknowledged:] {
		require.NotEqual(t, old.Public(), e.Span.Signature.Key)
	}
}

func rotate(t *testing.T, w *world, keys *id.Keys) {
	t.Helper()
	event, err := keys.Rotate(w.clock.now(), rand.Reader)
	require.NoError(t, err)
	_, pending, err := w.EmbedEvent(context.Background(), keys.ID(), event.Raw)
	require.NoError(t, err)
	require.Empty(t, pending)
}
