package systemtest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// telling calls a webhook for each span of a type.
const telling = `contract tell.pings version "1.0.0" {
	webhook desk { endpoint: "front-desk"  retries: 100  backoff: 100ms }
	rule tell { on: "test.happened"  then { call webhook "desk" { body: { n: data.n } } } }
}`

// letterbox is a receiver that does what is asked for once, by its id. It is
// down until it is opened; of what it takes, the first answers are lost.
type letterbox struct {
	secret string

	mu    sync.Mutex // guards the rest
	lose  int
	bad   []error
	done  map[string]string // body by id
	again int
}

func (b *letterbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return // its sender was killed
	}
	id, err := webhook.Verify(b.secret, r.Header, body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.bad = append(b.bad, err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if _, known := b.done[id]; known {
		b.again++
	}
	b.done[id] = string(body)
	if b.lose > 0 {
		b.lose--
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusNoContent)
}

// open serves at an address until the test ends.
func (b *letterbox) open(t *testing.T, address string) {
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	server := &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
}

// The receiver is down at first, loses answers, and the node is killed before
// and while it delivers: each webhook arrives, under one id, signed.
func TestWebhooksOutliveKills(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]func(t *testing.T) []string{
		"sqlite":   func(*testing.T) []string { return nil },
		"postgres": func(t *testing.T) []string { return []string{"--database-url", pgtest.New(t).URL} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deliverUnderKills(t, flags(t)...)
		})
	}
}

func deliverUnderKills(t *testing.T, flags ...string) {
	const spans = 60
	y := onboard(t, start(t, t.TempDir(), append(flags, "--webhook-plain=true", "--webhook-networks=127.0.0.0/8", "--tasks-lease=2s")...))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	made, err := y.api.SetWebhook(background(), y.tenant.Id, "front-desk", "http://"+address+"/hunter2")
	require.NoError(t, err)
	payload, err := span.Canonical(span.Contract{Name: "tell.pings", Version: "1.0.0", Source: telling, Hash: span.Sum([]byte(telling)).String(), Action: span.ActionActivate})
	require.NoError(t, err)
	_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
	require.NoError(t, err)

	var lines [][]byte
	want := map[string]bool{}
	for n := range spans {
		lines = append(lines, y.note(n))
		var h struct{ ID string }
		require.NoError(t, json.Unmarshal(lines[n], &h))
		want[h.ID+"_0"] = true
	}
	y.appendAll(lines)
	require.Eventually(t, func() bool { return y.told("logline.task.retrying", "webhook_unreachable") }, time.Minute, 50*time.Millisecond, "it is down; log:\n%s", y.Log)
	y.Kill()
	require.NotContains(t, y.Log.String(), "hunter2")

	box := &letterbox{secret: made.Secret, lose: 10, done: map[string]string{}}
	box.open(t, address)
	y.attach(started(t, y.Again()))
	arrived := func() int {
		box.mu.Lock()
		defer box.mu.Unlock()
		return len(box.done)
	}
	require.Eventually(t, func() bool { return arrived() > 0 }, 2*time.Minute, time.Millisecond, "log:\n%s", y.Log)
	y.Kill() // in the middle
	y.attach(started(t, y.Again()))
	require.Eventually(t, func() bool {
		box.mu.Lock()
		defer box.mu.Unlock()
		return len(box.done) == spans && box.again >= 10 // whose answers were lost
	}, 3*time.Minute, 20*time.Millisecond, "log:\n%s", y.Log)
	require.Eventually(t, func() bool { return y.told("logline.task.completed", "") }, time.Minute, 50*time.Millisecond)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)

	box.mu.Lock()
	defer box.mu.Unlock()
	require.Empty(t, box.bad)
	for id := range box.done {
		require.True(t, want[id], id)
	}
	for _, hidden := range []string{"hunter2", "whsec_"} {
		require.NotContains(t, y.Log.String(), hidden)
	}
}

// told says whether the timeline tells of a task that came to this, and why.
func (y *tenancy) told(typ, code string) bool {
	for raw, err := range y.api.All(background(), y.tenant.Id, client.Filter{Types: []string{typ}}) {
		if err != nil {
			return false
		}
		var e struct {
			Span struct {
				Payload struct{ Tasks []struct{ Code string } }
			}
		}
		if json.Unmarshal(raw, &e) == nil {
			for _, task := range e.Span.Payload.Tasks {
				if task.Code == code {
					return true
				}
			}
		}
	}
	return false
}

// A receiver that takes messages and never answers keeps its own tenant waiting
// and nobody else: another tenant's webhook arrives while all that one tenant may
// have running hang.
func TestAReceiverThatHangsHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	y := onboard(t, start(t, t.TempDir(), "--webhook-plain=true", "--webhook-networks=127.0.0.0/8", "--tenants=open"))
	other := &tenancy{server: y.server, owner: register(t, y.server, y.server.client())}
	own := y.server.client(client.WithSigner(other.owner.Signer(), other.owner.ID(), y.node))
	var err error
	other.tenant, err = own.CreateTenant(background(), "", client.NewTenant{Slug: "other", Name: "Other", Owner: other.owner.ID()})
	require.NoError(t, err)
	other.attach(y.server)

	hanging, arrived, over := make(chan struct{}, 100), make(chan struct{}, 1), make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/hangs" {
			hanging <- struct{}{}
			select {
			case <-over:
			case <-r.Context().Done():
			}
			return
		}
		arrived <- struct{}{}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(receiver.Close)
	t.Cleanup(func() { close(over) })
	payload, err := span.Canonical(span.Contract{Name: "tell.pings", Version: "1.0.0", Source: telling, Hash: span.Sum([]byte(telling)).String(), Action: span.ActionActivate})
	require.NoError(t, err)
	for path, of := range map[string]*tenancy{"/hangs": y, "/works": other} {
		_, err := of.api.SetWebhook(background(), of.tenant.Id, "front-desk", receiver.URL+path)
		require.NoError(t, err)
		_, err = of.api.Append(background(), of.tenant.Id, of.seal(of.owner.Signer(), of.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
		require.NoError(t, err)
	}
	var lines [][]byte
	for n := range 40 {
		lines = append(lines, y.note(n))
	}
	y.appendAll(lines)
	for range 16 { // as many as one tenant may have
		<-hanging
	}
	began := time.Now()
	other.appendAll([][]byte{other.note(1)})
	select {
	case <-arrived:
		t.Logf("it arrived after %s", time.Since(began))
	case <-time.After(10 * time.Second): // half of what an attempt may take
		t.Fatalf("the other tenant's webhook waits for one that hangs; log:\n%s", y.Log)
	}
}
