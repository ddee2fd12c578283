package tasks_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	signed "github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/webhook"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

// tell calls a webhook for each test.ping.
const tell = `contract tell.pings version "1.0.0" {
	webhook desk { endpoint: "front-desk"  timeout: 10s  retries: 3 }
	rule tell {
		on: "test.ping"
		then { call webhook "desk" { body: { n: data.n } } }
	}
}`

// calling is a world whose tenant has webhooks.
type calling struct {
	*world
	sender *webhook.Sender
	book   *endpoint.Book
}

func callings(t *testing.T, test func(w *calling)) {
	databases(t, func(w *world) {
		sender := webhook.New(webhook.Config{Plain: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Total: time.Minute, Header: time.Minute})
		key, err := w.node.SealingKey()
		require.NoError(w.t, err)
		w.activate(tell)
		test(&calling{w, sender, endpoint.New(w.db, key, sender, time.Now, rand.Reader)})
	})
}

func (w *calling) start() *process {
	return w.world.start(tasks.WorkerConfig{Poll: 10 * time.Millisecond}, tasks.Kind{
		Name: rules.ActionCall, Priority: tasks.Normal, Attempts: tasks.MaxCalls, First: time.Millisecond, Longest: 50 * time.Millisecond,
		Run: tasks.NewCaller(w.log, w.book, w.sender).Run,
	})
}

// inbox is a receiver that verifies, and does each webhook once.
type inbox struct {
	secret string
	answer func(n int, w http.ResponseWriter) // to the nth request, which was taken

	mu       sync.Mutex // guards the rest
	requests int
	bad      []error
	done     map[string]string // body by id
	repeats  int
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	id := ""
	if err == nil {
		id, err = signed.Verify(i.secret, r.Header, body)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.requests++
	if err != nil {
		i.bad = append(i.bad, err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if _, known := i.done[id]; known {
		i.repeats++
	}
	i.done[id] = string(body)
	i.answer(i.requests, w)
}

// serve opens the receiver at an address.
func (i *inbox) serve(t *testing.T, addr string) string {
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	server := &http.Server{Handler: i, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

func (w *calling) output(got tasks.Task) (out struct {
	Webhook, Outcome, Answer string
	Status                   int
	Ms                       *int64
}) {
	w.t.Helper()
	require.NoError(w.t, json.Unmarshal(got.Output, &out), "%s", got.Output)
	require.NotNil(w.t, out.Ms)
	return out
}

// TestCall: a receiver that is down at first, then fails, then does it and loses
// its answer, has done each webhook once by its idempotency key, and the timeline
// tells of every try.
func TestCall(t *testing.T) {
	callings(t, func(w *calling) {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(w.t, err)
		addr := free.Addr().String()
		require.NoError(w.t, free.Close())
		_, secret, err := w.book.Set(w.t.Context(), w.tenant.ID, "front-desk", "http://"+addr+"/in", w.owner.ID())
		require.NoError(w.t, err)

		w.start()
		cause := w.submit("test.ping", ping(7))
		key := tasks.Key{Tenant: w.tenant.ID, Origin: cause}
		require.Eventually(w.t, func() bool {
			got, err := w.store.Get(context.Background(), key)
			return err == nil && got.Code == webhook.CodeUnreachable
		}, time.Minute, time.Millisecond, "it is down")

		in := &inbox{secret: secret, done: map[string]string{}, answer: func(n int, rw http.ResponseWriter) {
			switch n {
			case 1:
				panic(http.ErrAbortHandler) // done, and the answer is lost
			default:
				rw.WriteHeader(http.StatusAccepted)
				_, _ = io.WriteString(rw, "thank you")
			}
		}}
		// It may have been tried as often as the contract says by now: then somebody
		// queues it again.
		in.serve(w.t, addr)
		var got tasks.Task
		require.Eventually(w.t, func() bool {
			got, err = w.store.Get(context.Background(), key)
			require.NoError(w.t, err)
			if got.State == tasks.Failed {
				_, err := w.store.Requeue(context.Background(), time.Now(), key, tasks.MaxCalls)
				require.NoError(w.t, err)
			}
			return got.State == tasks.Completed
		}, time.Minute, 5*time.Millisecond)

		out := w.output(got)
		require.Equal(w.t, "front-desk", out.Webhook)
		require.Equal(w.t, "delivered", out.Outcome)
		require.Equal(w.t, 202, out.Status)
		require.Equal(w.t, "thank you", out.Answer)
		in.mu.Lock()
		defer in.mu.Unlock()
		require.Empty(w.t, in.bad)
		require.Equal(w.t, 2, in.requests)
		require.Equal(w.t, 1, in.repeats, "which it knows by the id")
		require.Len(w.t, in.done, 1)
		var body map[string]any
		require.NoError(w.t, json.Unmarshal([]byte(in.done[cause+"_0"]), &body))
		entry, err := w.log.Get(w.t.Context(), w.tenant.ID, cause)
		require.NoError(w.t, err)
		require.Contains(w.t, string(entry.Line), body["timestamp"].(string))
		delete(body, "timestamp")
		require.Equal(w.t, map[string]any{"type": "desk", "tenant": w.tenant.ID, "span": cause, "data": map[string]any{"n": 7.0}}, body)

		codes := map[string]bool{}
		require.Eventually(w.t, func() bool {
			ended := false
			for _, r := range w.entries() { // of one head: the end comes after what led there
				if !strings.HasPrefix(r.Entry.Span.Type, "logline.task.") {
					continue
				}
				var told tasks.Told
				require.NoError(w.t, json.Unmarshal(r.Payload, &told))
				for _, task := range told.Tasks {
					codes[task.Code] = true
					if r.Entry.Span.Type == "logline.task.completed" {
						require.JSONEq(w.t, string(got.Output), string(task.Result))
						ended = true
					}
				}
			}
			return ended
		}, time.Minute, 10*time.Millisecond)
		require.True(w.t, codes[webhook.CodeUnreachable], "%v", codes)
		require.True(w.t, codes[webhook.CodeCut], "%v", codes)
	})
}

// What would not help is not tried again, and says why.
func TestCallsThatFail(t *testing.T) {
	callings(t, func(w *calling) {
		w.start()
		ends := func() tasks.Task {
			return w.state(tasks.Key{Tenant: w.tenant.ID, Origin: w.submit("test.ping", ping(1))}, tasks.Failed)
		}
		got := ends()
		require.Equal(w.t, "webhook_unknown", got.Code)
		require.Equal(w.t, 1, got.Attempt)
		require.Contains(w.t, got.Error, "logline webhooks set")

		status := http.StatusNotFound
		in := &inbox{done: map[string]string{}, answer: func(_ int, rw http.ResponseWriter) { rw.WriteHeader(status) }}
		address := "http://" + in.serve(w.t, "127.0.0.1:0")
		var err error
		_, in.secret, err = w.book.Set(w.t.Context(), w.tenant.ID, "front-desk", address, w.owner.ID())
		require.NoError(w.t, err)
		got = ends()
		require.Equal(w.t, []any{webhook.CodeRefused, 1}, []any{got.Code, got.Attempt})
		require.Equal(w.t, 404, w.output(got).Status)

		in.mu.Lock()
		status = http.StatusServiceUnavailable
		in.mu.Unlock()
		got = ends()
		require.Equal(w.t, []any{webhook.CodeFailing, 4}, []any{got.Code, got.Attempt}, "the contract says 3 retries")
		_, err = w.store.Requeue(w.t.Context(), time.Now(), got.Key, tasks.MaxCalls)
		require.NoError(w.t, err)
		require.Eventually(w.t, func() bool {
			again, err := w.store.Get(context.Background(), got.Key)
			return err == nil && again.State == tasks.Failed && again.Attempt == 8
		}, time.Minute, 5*time.Millisecond, "queued again, it has as many once more")

		in.mu.Lock()
		status = http.StatusGone
		in.mu.Unlock()
		got = ends()
		require.Equal(w.t, webhook.CodeGone, got.Code)
		in.mu.Lock()
		before := in.requests
		in.mu.Unlock()
		got = ends()
		require.Equal(w.t, webhook.CodeGone, got.Code, "and it is not asked again")
		in.mu.Lock()
		require.Equal(w.t, before, in.requests)
		require.Empty(w.t, in.bad)
		in.mu.Unlock()
	})
}

// A contract's backoff doubles, and a receiver may ask for more.
func TestBackoff(t *testing.T) {
	t.Parallel()
	down := fault.New(fault.Unavailable, "down", "down")
	for _, c := range []struct {
		backoff, retryAfter string
		attempt             int
		want                time.Duration
	}{
		{"", "", 3, 0}, {"", "90s", 1, 90 * time.Second}, {"30s", "", 1, 30 * time.Second}, {"30s", "", 4, 4 * time.Minute},
		{"30s", "10m", 4, 10 * time.Minute}, {"30s", "", 40, 24 * time.Hour}, {"5d", "", 1, 24 * time.Hour}, {"90m", "1m", 1, 90 * time.Minute},
		{"soon", "", 1, 0}, {"-1s", "", 1, 0}, {"d", "", 1, 0}, {"-5d", "", 1, 0},
	} {
		after, _ := time.ParseDuration(c.retryAfter)
		err := tasks.Again(c.backoff, 100, &tasks.Task{Attempt: c.attempt, Attempts: tasks.MaxCalls}, down.After(after))
		require.Equal(t, c.want, fault.From(err).RetryAfter, "%+v", c)
	}
}
