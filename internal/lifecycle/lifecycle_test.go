package lifecycle

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/danvoulez/logline/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal records what modules do, in order.
type journal struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, " ")
}

// module starts at once and stops when told.
func (j *journal) module(name string, needs ...string) Module {
	return Module{Name: name, Needs: needs, Run: func(ctx context.Context, ready func()) error {
		j.add("+" + name)
		ready()
		<-ctx.Done()
		j.add("-" + name)
		return nil
	}}
}

func quiet() Options {
	return Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	all := []Module{
		{Name: "http", Needs: []string{"engine"}}, {Name: "engine", Needs: []string{"log"}}, {Name: "log"}, {Name: "extra"},
	}
	for flag, want := range map[string]string{
		"all":         "log extra engine http",
		"http":        "log engine http",
		"log, extra":  "log extra",
		"extra,extra": "extra",
	} {
		got, err := Select(flag, all)
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(names(got), " "), flag)
	}
	for _, flag := range []string{"", "htpp", "log,,extra", "log,none"} {
		_, err := Select(flag, all)
		require.Equal(t, "modules_unknown", fault.CodeOf(err), flag)
		require.ErrorContains(t, err, "known: http, engine, log, extra, or all")
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestOrderRefusesCirclesAndGaps(t *testing.T) {
	t.Parallel()
	for _, modules := range [][]Module{
		{{Name: "a", Needs: []string{"b"}}, {Name: "b", Needs: []string{"a"}}},
		{{Name: "a", Needs: []string{"missing"}}},
		{{Name: "a"}, {Name: "a"}},
	} {
		require.Equal(t, "modules_unordered", fault.CodeOf(Run(t.Context(), modules, quiet())))
	}
}

func TestStartsInOrderAndStopsInReverse(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	opt := quiet()
	opt.Ready = func() { j.add("ready"); cancel() }
	err := Run(ctx, []Module{j.module("c", "b"), j.module("a"), j.module("b", "a", "passive"), {Name: "passive"}}, opt)
	require.NoError(t, err)
	require.Equal(t, "+a +b +c ready -c -b -a", j.String())
}

// A module starts only when what it needs has said it is ready.
func TestWaitsForReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		ctx, cancel := context.WithCancel(t.Context())
		slow := Module{Name: "slow", Run: func(ctx context.Context, ready func()) error {
			time.Sleep(10 * time.Second)
			j.add("slow")
			ready()
			ready() // a second call is harmless
			<-ctx.Done()
			return nil
		}}
		opt := quiet()
		opt.Ready = cancel
		require.NoError(t, Run(ctx, []Module{j.module("next", "slow"), slow}, opt))
		require.Equal(t, "slow +next -next", j.String())
	})
}

func TestStartTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		never := Module{Name: "never", Needs: []string{"a"}, Run: func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			return nil
		}}
		begun := time.Now()
		err := Run(t.Context(), []Module{j.module("a"), never, j.module("z", "never")}, quiet())
		require.Equal(t, "module_start_timeout", fault.CodeOf(err))
		require.Equal(t, time.Minute, time.Since(begun))
		require.Equal(t, "+a -a", j.String())
	})
}

func TestOneFailureStopsAll(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, fail := range map[string]func(func()) error{
		"while starting": func(func()) error { return broken },
		"while running":  func(ready func()) error { ready(); return broken },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var j journal
			bad := Module{Name: "bad", Needs: []string{"a"}, Run: func(_ context.Context, ready func()) error { return fail(ready) }}
			err := Run(t.Context(), []Module{j.module("a"), bad}, quiet())
			require.ErrorIs(t, err, broken)
			require.ErrorContains(t, err, "module bad")
			require.Equal(t, 1, strings.Count(err.Error(), "broken"), "said once")
			require.Equal(t, "+a -a", j.String())
		})
	}
}

func TestEndingByItselfIsAFailure(t *testing.T) {
	t.Parallel()
	quits := Module{Name: "quits", Run: func(_ context.Context, ready func()) error { ready(); return nil }}
	require.Equal(t, "module_ended", fault.CodeOf(Run(t.Context(), []Module{quits}, quiet())))
}

func TestErrorsWhileStoppingAreReported(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	ctx, cancel := context.WithCancel(t.Context())
	opt := quiet()
	opt.Ready = cancel
	err := Run(ctx, []Module{
		{Name: "bad", Run: func(ctx context.Context, ready func()) error { ready(); <-ctx.Done(); return broken }},
		{Name: "fine", Run: func(ctx context.Context, ready func()) error { ready(); <-ctx.Done(); return ctx.Err() }},
	}, opt)
	require.ErrorIs(t, err, broken)
	require.NotContains(t, err.Error(), "fine")
}

// A module that does not stop in time is named and left behind, and the
// others are still told to stop.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		release := make(chan struct{})
		stuck := Module{Name: "stuck", Needs: []string{"a"}, Run: func(_ context.Context, ready func()) error {
			ready()
			<-release
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		opt := quiet()
		opt.Ready = cancel
		begun := time.Now()
		err := Run(ctx, []Module{j.module("a"), stuck}, opt)
		require.Equal(t, "drain_timeout", fault.CodeOf(err))
		require.ErrorContains(t, err, "stuck")
		require.Equal(t, 25*time.Second, time.Since(begun))
		synctest.Wait()
		require.Equal(t, "+a -a", j.String())
		close(release)
	})
}

func TestStoppedBeforeStarting(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, Run(ctx, []Module{j.module("a")}, quiet()))
	require.Empty(t, j.String())
}
