package systemtest

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// Each of many spans asks for a webhook, while workers are killed with -9 over
// and over: on PostgreSQL one of three, and once the database; on SQLite the only
// process. Every effect is done at least once, each idempotency key is applied
// once, no task is lost, and the timeline alone says of every task what the store
// says.
func TestTasksUnderKills(t *testing.T) {
	t.Parallel()
	tasks, kills := 600, 6
	if n, err := strconv.Atoi(os.Getenv("LOGLINE_TEST_TASKS")); err == nil {
		tasks, kills = n, max(6, n/100)
	} else if testing.Short() {
		tasks, kills = 200, 3
	}
	flags := []string{"--webhook-plain=true", "--webhook-networks=127.0.0.0/8", "--tasks-lease=2s"}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		h := &hands{t: t, random: seed(t), tasks: tasks, kills: kills}
		h.begin(onboard(t, start(t, t.TempDir(), flags...)))
		h.workers = []*server{h.y.server}
		h.revive = func(int) {
			s := started(t, h.workers[0].Again())
			h.workers[0] = s
			h.y.attach(s)
		}
		h.run()
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		f := &fleet{t: t, database: pgtest.NewIn(t, c.url()).URL, master: newMaster(), flags: flags}
		dir := f.dir()
		h := &hands{t: t, random: seed(t), tasks: tasks, kills: kills, cluster: c}
		h.begin(onboard(t, f.start(dir)))
		require.Zero(t, h.y.terminate(), "log:\n%s", h.y.Log)
		h.y.attach(f.start(dir, "--modules=httpapi,id,timeline,rules"))
		alone := func(s *server) *server {
			t.Cleanup(s.Kill)
			require.NoError(t, s.StartSilent())
			return s
		}
		for range 3 {
			h.workers = append(h.workers, alone(&server{f.prepare(f.dir(), "--modules=engine"), t}))
		}
		h.revive = func(i int) { h.workers[i] = alone(&server{h.workers[i].Again(), t}) }
		h.run()
		require.Zero(t, h.y.terminate(), "log:\n%s", h.y.Log)
		for _, w := range h.workers[1:] {
			require.Zero(t, w.terminate(), "log:\n%s", w.Log)
		}
		h.y.attach(f.start(dir)) // which serves the engine's routes too
		h.requireToldAll()
	})
}

// hands are workers that are killed, what they are to do, and a receiver that
// counts what they did.
type hands struct {
	t       *testing.T
	random  *rand.Rand
	tasks   int
	kills   int
	cluster *cluster // nil for SQLite
	y       *tenancy
	workers []*server
	revive  func(i int) // starts a worker again that was killed
	secret  string
	want    map[string]bool // message ids

	mu      sync.Mutex // guards the rest
	odds    *rand.Rand
	came    int            // requests
	applied map[string]int // by message id: how often it took effect, which is once
	seen    map[string]int // how often it came
	bad     []error
	more    chan struct{} // something was applied
}

// begin sets up the receiver and the contract.
func (h *hands) begin(y *tenancy) {
	h.y = y
	h.want, h.applied, h.seen = map[string]bool{}, map[string]int{}, map[string]int{}
	h.more = make(chan struct{}, 1)
	h.odds = rand.New(rand.NewPCG(h.random.Uint64(), 0))
	receiver := httptest.NewServer(h)
	h.t.Cleanup(receiver.Close)
	made, err := y.api.SetWebhook(background(), y.tenant.Id, "front-desk", receiver.URL)
	require.NoError(h.t, err)
	h.secret = made.Secret
	payload, err := span.Canonical(span.Contract{Name: "tell.pings", Version: "1.0.0", Source: telling, Hash: span.Sum([]byte(telling)).String(), Action: span.ActionActivate})
	require.NoError(h.t, err)
	_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
	require.NoError(h.t, err)
}

// ServeHTTP is the receiver. It applies a message once, by its id; of some it
// loses the answer, some it puts off, and some it takes its time for.
func (h *hands) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return // its sender was killed
	}
	message, err := webhook.Verify(h.secret, r.Header, body)
	h.mu.Lock()
	h.came++
	luck := h.odds.IntN(100)
	if err != nil {
		h.bad = append(h.bad, err)
		h.mu.Unlock()
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	h.seen[message]++
	if luck < 3 {
		h.mu.Unlock()
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if h.applied[message] == 0 { // it knows the key
		h.applied[message]++
		select {
		case h.more <- struct{}{}:
		default:
		}
	}
	h.mu.Unlock()
	switch {
	case luck < 6:
		panic(http.ErrAbortHandler)
	case luck < 10: // slow: some of these senders are killed meanwhile
		select {
		case <-r.Context().Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *hands) done() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.applied)
}

func (h *hands) run() {
	t, y := h.t, h.y
	began := time.Now()
	l := newLedger()
	var lines [][]byte
	for n := range h.tasks {
		raw := y.note(n)
		lines = append(lines, raw)
		h.want[spanID(raw)+"_0"] = true
	}
	api := y.swift()
	var sending sync.WaitGroup
	sending.Go(func() {
		for at := 0; at < len(lines); at += 100 {
			insist(t.Context(), l, y.tenant.Id, lines[at:min(at+100, len(lines))], nil, func() *client.Client { return api })
		}
	})
	killed := h.killAll()
	sending.Wait()
	h.await("every effect is done", func() bool { return h.done() == h.tasks })
	took := time.Since(began)

	told := map[string]howItStands{}
	h.await("every end is told", func() bool {
		told = h.rebuilt()
		for _, s := range told {
			if s.what != "completed" {
				return false
			}
		}
		return len(told) == h.tasks
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Empty(t, h.bad)
	for message := range h.want {
		require.Equal(t, 1, h.applied[message], "%s", message)
	}
	require.Len(t, h.applied, h.tasks, "nothing was done that nobody asked for")
	t.Logf("%d tasks through %d kills in %.1f s: %d requests, %d of them repeats; of every task the timeline tells", h.tasks, killed, took.Seconds(), h.came, h.came-len(h.seen))
	if h.cluster == nil {
		h.requireTold(told)
		require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	}
}

// killAll kills a worker whenever a share of the tasks is done, at some moment,
// and in the middle the database.
func (h *hands) killAll() (killed int) {
	for killed < h.kills {
		if h.cluster != nil && killed == h.kills/2 {
			h.cluster.kill()
			h.cluster.restart()
		}
		for h.done() < h.tasks*killed/h.kills {
			select {
			case <-h.more:
			case <-time.After(2 * time.Minute):
				h.t.Fatalf("nothing is done any more after %d of %d tasks and %d kills; log:\n%s", h.done(), h.tasks, killed, h.workers[0].Log)
			}
		}
		wait(h.t.Context(), time.Duration(h.random.IntN(20_000))*time.Microsecond) // at any moment
		i := h.random.IntN(len(h.workers))
		h.workers[i].Kill()
		killed++
		h.revive(i)
	}
	return killed
}

func (h *hands) await(what string, so func() bool) {
	h.t.Helper()
	require.Eventually(h.t, so, 5*time.Minute, 200*time.Millisecond, "%s; log:\n%s", what, h.workers[0].Log)
}

// howItStands is how a task stands.
type howItStands struct {
	what          string // completed, …
	step, attempt int
}

// rebuilt is how every task stands by the exported timeline alone, which
// verifies: what decisions name, and the last step that is told of each.
func (h *hands) rebuilt() map[string]howItStands {
	out := map[string]howItStands{}
	for line := range bytes.Lines(h.y.export().Bytes()) {
		var e struct {
			Span struct {
				ID, Type string
				Payload  json.RawMessage
			}
			Decision struct {
				Effects struct{ Actions []struct{ Index int } }
			}
		}
		require.NoError(h.t, json.Unmarshal(line, &e))
		for _, a := range e.Decision.Effects.Actions {
			task := e.Span.ID + "." + strconv.Itoa(a.Index)
			if _, known := out[task]; !known {
				out[task] = howItStands{what: "queued"}
			}
		}
		what, tells := bytes.CutPrefix([]byte(e.Span.Type), []byte("logline.task."))
		if !tells {
			continue
		}
		var told struct {
			Tasks []struct {
				Task          string
				Step, Attempt int
			}
		}
		require.NoError(h.t, json.Unmarshal(e.Span.Payload, &told))
		for _, task := range told.Tasks {
			if task.Step >= out[task.Task].step {
				out[task.Task] = howItStands{string(what), task.Step, task.Attempt}
			}
		}
	}
	return out
}

func (h *hands) requireToldAll() { h.requireTold(h.rebuilt()) }

// requireTold holds what the timeline tells against the store.
func (h *hands) requireTold(told map[string]howItStands) {
	h.t.Helper()
	stored := map[string]howItStands{}
	for f := (client.TaskFilter{Limit: 1000}); ; {
		page, err := h.y.api.Tasks(background(), h.y.tenant.Id, f)
		require.NoError(h.t, err)
		for i := range page.Items {
			task := &page.Items[i]
			stored[task.Id] = howItStands{string(task.State), told[task.Id].step, task.Attempt}
		}
		if page.Next == nil {
			break
		}
		f.Cursor = *page.Next
	}
	require.Equal(h.t, stored, told)
	queues, err := h.y.api.Queues(background(), h.y.tenant.Id)
	require.NoError(h.t, err)
	require.Len(h.t, queues, 1)
	require.EqualValues(h.t, []any{0, 0, h.tasks, 0}, []any{int(queues[0].Queued), int(queues[0].Running), int(queues[0].Completed), int(queues[0].Failed)})
}
