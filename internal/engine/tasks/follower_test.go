package tasks_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// What a contract emits becomes a span of the node's that names its cause, once.
func TestEmit(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		first := w.submit("test.ping", ping(1)) // before anybody follows
		p := w.start(tasks.WorkerConfig{})
		second := w.submit("test.ping", ping(2), func(h *span.Header) { h.Visibility = span.VisibilityPrivate })
		for i, cause := range []string{first, second} {
			got := w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Completed)
			var out struct{ Span string }
			require.NoError(w.t, json.Unmarshal(got.Output, &out))
			rec, err := w.log.Get(w.t.Context(), w.tenant.ID, out.Span)
			require.NoError(w.t, err)
			h, err := span.ParseLine(rec.Line)
			require.NoError(w.t, err)
			require.Equal(w.t, "test.pong", h.Span.Type)
			require.Equal(w.t, w.node.ID(), h.Span.Author)
			require.Equal(w.t, []string{cause}, h.Span.Causes)
			require.Equal(w.t, "pong", h.Span.Title)
			require.JSONEq(w.t, ping(i+1), string(rec.Payload))
			require.Equal(w.t, []string{span.VisibilityOrganization, span.VisibilityPrivate}[i], h.Span.Visibility, "no wider than its cause's")
		}
		p.stop()
		require.Len(w.t, w.typed("test.pong"), 2)
	})
}

// An action whose body was erased before it was done is not done any more.
func TestErasedActionsAreNotDone(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		cause := w.submit("test.ping", ping(1))
		rec, err := w.log.Get(w.t.Context(), w.tenant.ID, cause)
		require.NoError(w.t, err)
		e, err := span.ParseLine(rec.Line)
		require.NoError(w.t, err)
		payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: cause, HeaderHash: e.Span.Hash().String()}}, Reason: "asked"})
		require.NoError(w.t, err)
		w.submit(span.TypeRedaction, string(payload))
		w.start(tasks.WorkerConfig{})
		got := w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Failed)
		require.Equal(w.t, "action_erased", got.Code)
		require.Equal(w.t, 1, got.Attempt)
		require.Empty(w.t, w.typed("test.pong"))
	})
}

// Several processes follow the same timelines: each action is one task and one
// span, however they end.
func TestManyProcesses(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		const count = 120
		var procs []*process
		for n := range 3 {
			procs = append(procs, w.start(tasks.WorkerConfig{Name: fmt.Sprint(n), Slots: 4}))
		}
		var causes []string
		for n := range count {
			causes = append(causes, w.submit("test.ping", ping(n)))
			if n == count/2 {
				procs[0].stop()
			}
		}
		for _, cause := range causes {
			w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Completed)
		}
		for _, p := range procs {
			p.stop()
		}
		seen := map[string]int{}
		for _, r := range w.typed("test.pong") {
			seen[r.Entry.Span.Causes[0]]++
		}
		for _, cause := range causes {
			require.Equal(w.t, 1, seen[cause])
		}
		w.same()
	})
}

// told is how a task stands by what its timeline says.
type told struct {
	state         string
	step, attempt int
}

// fold reconstructs every task from the timeline alone: what decisions ask for,
// and what was told of it since.
func (w *world) fold() map[string]told {
	out := map[string]told{}
	for _, r := range w.entries() {
		var effects struct {
			Actions []struct {
				Kind, Of string
				Index    int
			}
		}
		if r.Entry.Decision.Effects != nil {
			require.NoError(w.t, json.Unmarshal(r.Entry.Decision.Effects, &effects))
		}
		for _, a := range effects.Actions {
			origin := r.Entry.Span.ID
			if a.Of != "" {
				origin = a.Of
			}
			id := fmt.Sprintf("%s.%d", origin, a.Index)
			if _, ok := out[id]; !ok && a.Kind != "schedule" {
				out[id] = told{"queued", 0, 0}
			}
		}
		what, ok := strings.CutPrefix(r.Entry.Span.Type, "logline.task.")
		if !ok || what == "fired" {
			continue
		}
		state, ok := map[string]string{"queued": "queued", "retrying": "queued", "started": "running", "completed": "completed", "failed": "failed", "cancelled": "cancelled"}[what]
		require.True(w.t, ok, what)
		require.Equal(w.t, w.node.ID(), r.Entry.Span.Author)
		var payload tasks.Told
		require.NoError(w.t, json.Unmarshal(r.Payload, &payload))
		require.NotEmpty(w.t, payload.Tasks)
		for _, task := range payload.Tasks {
			if known, ok := out[task.Task]; !ok || task.Step >= known.step {
				out[task.Task] = told{state, task.Step, task.Attempt}
			}
			if origin, _, _ := strings.Cut(task.Task, "."); w.isSpan(origin) {
				require.Contains(w.t, r.Entry.Span.Causes, origin)
			}
		}
	}
	return out
}

func (w *world) isSpan(id string) bool {
	_, err := w.log.Get(context.Background(), w.tenant.ID, id)
	return err == nil
}

// stored is the same from the store.
func (w *world) stored() map[string]told {
	out := map[string]told{}
	list, err := w.store.List(context.Background(), tasks.List{Tenant: w.tenant.ID, Limit: 10_000})
	require.NoError(w.t, err)
	for _, t := range list {
		out[t.ID()] = told{t.State.String(), t.Step, t.Attempt}
	}
	return out
}

// same holds the timeline against the store.
func (w *world) same() {
	w.t.Helper()
	folded, stored := w.fold(), w.stored()
	require.Len(w.t, folded, len(stored))
	for id := range stored {
		require.Equal(w.t, stored[id], folded[id], id)
	}
}

// The timeline alone says how every task stands, in each state there is.
func TestTheTimelineTellsEverything(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		r := newRunning()
		fails := tasks.Kind{Name: "fails", Attempts: 2, First: time.Millisecond, Run: func(context.Context, *tasks.Task) ([]byte, error) {
			return nil, fmt.Errorf("no")
		}}
		p := w.start(tasks.WorkerConfig{Poll: 10 * time.Millisecond}, fails, tasks.Kind{Name: "long", Run: r.run})
		var causes []string
		for n := range 70 {
			causes = append(causes, w.submit("test.ping", ping(n)))
		}
		failed, again := w.add("fails", func(d *tasks.Draft) { d.Attempts = 2 }), w.add("fails", func(d *tasks.Draft) { d.Attempts = 2 })
		later := w.add("fails", func(d *tasks.Draft) { d.RunAt = time.Now().Add(time.Hour) })
		cancelled := w.add("fails", func(d *tasks.Draft) { d.RunAt = time.Now().Add(time.Hour) })
		running := w.add("long")
		<-r.began
		_, err := w.store.Cancel(w.t.Context(), time.Now(), cancelled)
		require.NoError(w.t, err)
		w.state(failed, tasks.Failed)
		w.state(again, tasks.Failed)
		_, err = w.store.Requeue(w.t.Context(), time.Now(), again, 1)
		require.NoError(w.t, err)
		for _, cause := range causes {
			w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Completed)
		}
		w.state(again, tasks.Failed)
		require.Eventually(w.t, func() bool { return w.fold()[running.ID()].state == "running" }, time.Minute, 10*time.Millisecond)
		require.Eventually(w.t, func() bool {
			events, err := w.store.Untold(w.t.Context(), time.Unix(0, 0), time.Unix(0, 0), 1) // takes none that somebody is telling
			return err == nil && len(events) == 0 && w.fold()[failed.ID()].state == "failed" && w.fold()[cancelled.ID()].state == "cancelled"
		}, time.Minute, 10*time.Millisecond)
		require.Eventually(w.t, func() bool { return fmt.Sprint(w.fold()) == fmt.Sprint(w.stored()) }, time.Minute, 10*time.Millisecond)
		require.Equal(w.t, told{"queued", 0, 0}, w.fold()[later.ID()])
		require.Equal(w.t, 3, w.fold()[again.ID()].attempt)
		close(r.release)
		w.state(running, tasks.Completed)
		p.stop()
		w.same() // what is left is told at the end

		// Many changes are told in few entries, and those of spans name them.
		completed := w.typed(tasks.TypePrefix + tasks.ToldCompleted)
		require.Less(w.t, len(completed), 70)
		var last timeline.Record = completed[len(completed)-1]
		require.Contains(w.t, string(last.Payload), running.ID())
	})
}

// Ids that follow from what they are for cannot be reckoned by others, and whoever
// spends one before the node all the same keeps no span from being emitted.
func TestSpentIDs(t *testing.T) {
	databases(t, func(w *world) {
		w.activate(echo)
		cause := w.submit("test.ping", ping(1))
		rec, err := w.log.Get(w.t.Context(), w.tenant.ID, cause)
		require.NoError(w.t, err)
		e, err := span.ParseLine(rec.Line)
		require.NoError(w.t, err)
		at, err := span.ParseTime(e.RecordedAt)
		require.NoError(w.t, err)
		for n := range 16 { // as many as are passed over, without the secret
			id := tasks.DerivedID(nil, at, "emit", cause+".0", w.tenant.ID, fmt.Sprint(n))
			w.submit("test.pong", ping(9), func(h *span.Header) { h.ID, h.Causes = id, []string{cause} })
		}
		for n := range 2 {
			id := tasks.DerivedID([]byte(nodeSecret), at, "emit", cause+".0", w.tenant.ID, fmt.Sprint(n))
			w.submit("test.pong", ping(9), func(h *span.Header) { h.ID, h.Causes = id, []string{cause} })
		}
		p := w.start(tasks.WorkerConfig{})
		w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Completed)
		p.stop()
		emitted := 0
		for _, r := range w.typed("test.pong") {
			if r.Entry.Span.Author == w.node.ID() {
				require.JSONEq(w.t, ping(1), string(r.Payload))
				emitted++
			}
		}
		require.Equal(w.t, 1, emitted)

		// A run whose end was not settled emits it again, and nothing comes of it.
		rec, err = w.log.Get(w.t.Context(), w.tenant.ID, cause)
		require.NoError(w.t, err)
		scribe := tasks.NewScribe(w.eng, w.log, w.node.ID(), []byte(nodeSecret))
		before := len(w.entries())
		out, err := tasks.NewEmitter(w.log, scribe).Run(w.t.Context(), &tasks.Task{Key: tasks.Key{Tenant: w.tenant.ID, Origin: cause}})
		require.NoError(w.t, err)
		require.Contains(w.t, string(out), tasks.DerivedID([]byte(nodeSecret), at, "emit", cause+".0", w.tenant.ID, "2"))
		require.Len(w.t, w.entries(), before)
	})
}

func TestTellsAtTheEnd(t *testing.T) {
	databases(t, func(w *world) {
		k := w.add("kind")
		teller := tasks.NewTeller(w.store, tasks.NewScribe(w.eng, w.log, w.node.ID(), []byte(nodeSecret)), tasks.TellerConfig{Poll: time.Hour, Log: silent})
		ctx, cancel := context.WithCancel(w.t.Context())
		cancel()
		teller.Run(ctx)
		require.Equal(w.t, map[string]told{k.ID(): {"queued", 0, 0}}, w.fold(), "at the end")
		events, err := w.store.Untold(w.t.Context(), time.Now(), time.Now(), 1)
		require.NoError(w.t, err)
		require.Empty(w.t, events)
	})
}

// counting counts the pages that are read from the store.
type counting struct {
	*timeline.Log
	pages atomic.Int32
}

func (c *counting) Entries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) ([]timeline.Record, uint64, error) {
	c.pages.Add(1)
	return c.Log.Entries(ctx, tenant, from, min(to, from+50), r)
}

// The past of a timeline without contracts is not read at all, and what is far
// behind is read by turns, to its end.
func TestALongPast(t *testing.T) {
	databases(t, func(w *world) {
		log := &counting{Log: w.log}
		follow := func() (stop func()) {
			kinds := tasks.NewKinds(tasks.Kind{Name: rules.ActionEmit})
			f := tasks.NewFollower(log, w.store, kinds, w.bus, tasks.FollowerConfig{Log: silent, Poll: time.Hour})
			ctx, cancel := context.WithCancel(w.t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); f.Run(ctx) }()
			return func() { cancel(); <-ended }
		}
		past := func(count int) {
			var lines [][]byte
			for n := range count {
				lines = append(lines, w.sealed("test.old", ping(n)))
			}
			for _, r := range w.eng.SubmitMany(w.t.Context(), w.tenant.ID, lines) {
				require.NoError(w.t, r.Err)
			}
		}
		past(tasks.Unstored)
		stop := follow()
		require.Eventually(w.t, func() bool {
			cursor, err := w.store.Cursor(w.t.Context(), w.tenant.ID)
			return err == nil && cursor >= tasks.Unstored
		}, time.Minute, time.Millisecond)
		require.Zero(w.t, log.pages.Load(), "nothing is read")
		w.activate(echo)
		cause := w.submit("test.ping", ping(1))
		w.state(tasks.Key{Tenant: w.tenant.ID, Origin: cause}, tasks.Queued)
		stop()

		past(tasks.Unstored)
		last := w.submit("test.ping", ping(2))
		log.pages.Store(0)
		stop = follow()
		w.state(tasks.Key{Tenant: w.tenant.ID, Origin: last}, tasks.Queued)
		stop()
		require.Greater(w.t, log.pages.Load(), int32(2*tasks.AtOnce))
	})
}
