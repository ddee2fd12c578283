package id

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// waits is how many registrations wait for their turn.
func (t *together) waits() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting)
}

func requireWaiting(t testing.TB, tg *together, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return tg.waits() == n }, time.Minute, time.Millisecond)
}

func TestWhatComesMeanwhileGoesTogether(t *testing.T) {
	t.Parallel()
	var tg together
	var batches []int // one at a time
	first, release := make(chan struct{}), make(chan struct{})
	all := func(_ context.Context, batch []*registration) {
		if batches = append(batches, len(batch)); len(batches) == 1 {
			close(first)
			<-release
		}
		for _, r := range batch {
			r.err = nil
		}
	}
	var running sync.WaitGroup
	running.Go(func() { require.NoError(t, tg.do(t.Context(), &registration{}, all)) })
	<-first
	gone, leave := context.WithCancel(t.Context())
	for range 10 {
		running.Go(func() { require.NoError(t, tg.do(t.Context(), &registration{}, all)) })
	}
	requireWaiting(t, &tg, 10)
	left := make(chan error)
	go func() { left <- tg.do(gone, &registration{}, all) }()
	requireWaiting(t, &tg, 11)
	leave()
	require.Error(t, <-left)
	requireWaiting(t, &tg, 10)
	close(release)
	running.Wait()
	require.Equal(t, []int{1, 10}, batches)
	require.NoError(t, tg.do(t.Context(), &registration{}, all))
	require.Equal(t, []int{1, 10, 1}, batches)
}

func TestAPanicAnswersAllOfItsBatch(t *testing.T) {
	t.Parallel()
	var tg together
	first, release := make(chan struct{}), make(chan struct{})
	begun := false
	all := func(context.Context, []*registration) {
		if !begun {
			begun = true
			close(first)
			<-release
			panic("x")
		}
		panic("y")
	}
	errs, panics := make(chan error, 3), make(chan any, 3)
	do := func() {
		defer func() {
			if p := recover(); p != nil {
				panics <- p
			}
		}()
		errs <- tg.do(t.Context(), &registration{}, all)
	}
	go do()
	<-first
	go do()
	go do()
	requireWaiting(t, &tg, 2)
	close(release)
	require.Equal(t, "x", <-panics)
	require.Equal(t, "y", <-panics)
	require.Equal(t, "registration_failed", fault.CodeOf(<-errs))
}

// TestRegistrationsShareATransaction: one that is refused costs its neighbours
// nothing, and what was taken is there.
func TestRegistrationsShareATransaction(t *testing.T) {
	t.Parallel()
	onEveryDatabase(t, func(t *testing.T, d *Directory, _ func() *Directory) {
		register(t, d, newKeys(t, SubjectPerson, 100), "taken", "")
		held, release, let := make(chan struct{}), make(chan struct{}), make(chan error)
		go func() {
			let <- d.db.InTx(t.Context(), func(*sql.Tx) error { close(held); <-release; return nil })
		}()
		<-held
		keys := make([]*Keys, 12)
		errs := make([]error, len(keys))
		created := make([]bool, len(keys))
		var running sync.WaitGroup
		for i := range keys {
			keys[i] = newKeys(t, SubjectPerson, byte(i+1))
			handle := fmt.Sprintf("person-%d", i)
			switch i {
			case 5:
				handle = "taken"
			case 7:
				keys[i] = keys[6] // twice at once
				handle = "person-6"
			}
			running.Go(func() { _, created[i], errs[i] = d.Register(t.Context(), keys[i].Events(), handle, "") })
		}
		requireWaiting(t, &d.together, len(keys)-1) // one waits for the database
		close(release)
		require.NoError(t, <-let)
		running.Wait()
		for i, k := range keys {
			if i == 5 {
				requireCode(t, "handle_taken", errs[i])
				continue
			}
			require.NoError(t, errs[i], i)
			info, err := d.Get(t.Context(), k.ID())
			require.NoError(t, err)
			require.Equal(t, k.Events(), info.Events)
			if i != 6 && i != 7 {
				require.True(t, created[i], i)
			}
		}
		require.NotEqual(t, created[6], created[7], "one of the two made it")
	})
}
