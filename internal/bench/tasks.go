package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"time"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/bench/decide"
	"github.com/danvoulez/logline/internal/bench/fill"
	"github.com/danvoulez/logline/internal/bench/work"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/span"
)

// taskBatch is how many tasks a worker takes at once here.
const taskBatch = 50

// measureTasks times what the engine does by itself: tasks taken and completed
// beside a bare queue, among few and among very many, and how soon one begins
// that a commit asks for.
func measureTasks(ctx context.Context, b *bench) (figures []figure, err error) {
	for _, store := range b.stores {
		if store != postgres && store != sqlite {
			continue // tasks are in a database
		}
		for _, measure := range []func(context.Context, string) ([]figure, error){b.claims, b.starts} {
			some, err := measure(ctx, store)
			if err != nil {
				return figures, fmt.Errorf("%s: %w", store, err)
			}
			figures = append(figures, some...)
		}
	}
	return figures, nil
}

// queue is a database with so many queued tasks.
func (b *bench) queue(ctx context.Context, store string, count int) (_ *work.Queue, remove func() error, err error) {
	b.nodes++
	url := "sqlite:" + filepath.Join(b.dir, fmt.Sprintf("queue-%d.db", b.nodes))
	remove = func() error { return nil } // with the folder
	if store == postgres {
		if url, err = b.pg.create(ctx); err != nil {
			return nil, nil, err
		}
		remove = func() error { return b.pg.drop(context.Background(), url) }
	}
	q, err := work.Open(ctx, url, count, func(ctx context.Context, statements ...string) error { return b.pg.execIn(ctx, url, statements...) })
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	if store == postgres {
		if err := b.pg.execIn(ctx, url, "VACUUM ANALYZE"); err != nil {
			return nil, nil, errors.Join(err, q.Close(), remove())
		}
	}
	drop := remove
	return q, func() error { return errors.Join(q.Close(), drop()) }, nil
}

// claims takes and completes tasks by turns: with a bare queue, and among many.
func (b *bench) claims(ctx context.Context, store string) (figures []figure, err error) {
	rounds, many := b.pick(200, 20), b.pick(1_000_000, 20_000)
	few := 2 * rounds * taskBatch
	b.say("tasks: claims of %d by turns with a bare queue, and among %d and %d, %s", taskBatch, few, many, store)
	small, removeSmall, err := b.queue(ctx, store, few)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, removeSmall()) }()
	large, removeLarge, err := b.queue(ctx, store, many)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, removeLarge()) }()
	var claims, ends, bares, among []time.Duration
	for round := range rounds {
		list, claim, err := small.Claim(ctx, taskBatch)
		if err != nil {
			return nil, err
		}
		end, err := small.Complete(ctx, list)
		if err != nil {
			return nil, err
		}
		bare, err := small.Bare(ctx, taskBatch)
		if err != nil {
			return nil, err
		}
		list, crowded, err := large.Claim(ctx, taskBatch)
		if err != nil {
			return nil, err
		}
		if _, err := large.Complete(ctx, list); err != nil {
			return nil, err
		}
		if round < rounds/10 {
			continue // connections, plans and pages are made ready
		}
		claims, ends, bares, among = append(claims, claim), append(ends, end), append(bares, bare), append(among, crowded)
	}
	whole := make([]time.Duration, len(claims))
	for i := range claims {
		whole[i] = claims[i] + ends[i]
	}
	return []figure{
		{Group: "tasks", Name: fmt.Sprintf("claim and complete, %d at once, of a bare queue", taskBatch), Store: store, Measured: seconds(bares) / seconds(whole), Unit: ratio,
			Target: &target{Text: "0.5 of the bare rate", Bound: 0.5, Sense: atLeast},
			Note: fmt.Sprintf("%s of %s; a claim of %d takes %s, their end %s", perSecond.show(taskBatch/seconds(whole)), perSecond.show(taskBatch/seconds(bares)),
				taskBatch, inSeconds.show(seconds(claims)), inSeconds.show(seconds(ends)))},
		{Group: "tasks", Name: fmt.Sprintf("a claim among %d, of one among %d", many, few), Store: store, Measured: seconds(among) / seconds(claims), Unit: ratio,
			Target: &target{Text: "no more than a tenth slower", Bound: 1.1, Sense: atMost},
			Note:   inSeconds.show(seconds(among)) + " and " + inSeconds.show(seconds(claims))},
	}, nil
}

// seconds is the median.
func seconds(times []time.Duration) float64 {
	times = slices.Sorted(slices.Values(times))
	return times[len(times)/2].Seconds()
}

// starts measures from a receipt to the beginning of the task that its commit
// asks for, while nothing else is to be done: until a receiver has the webhook.
func (b *bench) starts(ctx context.Context, store string) (_ []figure, err error) {
	bare, err := b.bare(ctx, store)
	if err != nil {
		return nil, err
	}
	spans := b.pick(500, 30)
	b.say("tasks: from commit to start, %s", store)
	n, err := b.start(ctx, store, "--webhook-plain=true", "--webhook-networks=127.0.0.0/8")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.remove()) }()
	came := make(chan time.Time, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came <- time.Now()
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	if err := n.tell(ctx, receiver.URL); err != nil {
		return nil, err
	}
	var late loadgen.Latencies
	for i := range spans {
		sealed, err := fill.Seal(n.owner, n.tenant.Id, "test.happened", []byte(`{}`), nil)
		if err != nil {
			return nil, err
		}
		if _, err := n.api.Append(ctx, n.tenant.Id, sealed); err != nil {
			return nil, err
		}
		committed := time.Now()
		select {
		case at := <-came:
			if i >= spans/10 {
				late = append(late, max(0, at.Sub(committed)))
			}
		case <-time.After(time.Minute):
			return nil, errors.New("a task did not begin within a minute")
		}
		// Its end is told, and the node idle again, before the next one.
		if err := idle(ctx, n); err != nil {
			return nil, err
		}
	}
	p99 := late.Percentile(99).Seconds()
	return []figure{{Group: "tasks", Name: "from a receipt to the start of what it asks for, p99", Store: store, Measured: p99, Unit: inSeconds,
		Target: &target{Text: "20 bare commits", Bound: 20 * bare.commit.Seconds(), Sense: atMost},
		Note:   fmt.Sprintf("until a receiver has the webhook, its connection included; p50 %s", inSeconds.show(late.Percentile(50).Seconds()))}}, nil
}

// tell has a contract call a webhook for each span of a type.
func (n *node) tell(ctx context.Context, address string) error {
	var err error
	if n.api, err = client.New(n.URL, client.WithSigner(n.owner.Signer(), n.owner.ID(), n.tenant.Node)); err != nil {
		return err
	}
	if _, err := n.api.SetWebhook(ctx, n.tenant.Id, "desk", address); err != nil {
		return err
	}
	payload, err := decide.Activation(`contract tell.pings version "1.0.0" {
	webhook desk { endpoint: "desk" }
	rule tell { on: "test.happened"  then { call webhook "desk" { body: {} } } }
}`)
	if err != nil {
		return err
	}
	sealed, err := fill.Seal(n.owner, n.tenant.Id, span.TypeContract, payload, nil)
	if err != nil {
		return err
	}
	_, err = n.api.Append(ctx, n.tenant.Id, sealed)
	return err
}

// idle waits until nothing of a node's tasks is queued or running, and gives it
// time to tell of it.
func idle(ctx context.Context, n *node) error {
	for range 1000 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		queues, err := n.api.Queues(ctx, n.tenant.Id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(queues, func(q client.Queue) bool { return q.Queued+q.Running > 0 }) {
			return nil
		}
	}
	return errors.New("the last task is not done after 20 s")
}
