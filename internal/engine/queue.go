package engine

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

const codeQueueFull = "queue_full"

var errCancelled = fault.New(fault.Unavailable, "request_cancelled",
	"the request ended before the span's turn came; it was not recorded")

// item is one thing a sequencer does: append a span, or bring the embedded key
// events of some identities up to date.
type item struct {
	span     *span.Span            // nil for an embedding, timers, or a change of a schedule
	hash     span.Hash             // of the span's header
	expected *uint64               // size the timeline must have before the span
	known    int                   // how many events the directory held of the author; 0 for none
	embed    []string              // identities to bring up to date
	fire     bool                  // answer the timers that are due
	wide     bool                  // bring the contracts for every tenant up to date
	schedule *rules.ScheduleChange // what somebody does to a schedule
	dryRun   bool                  // decide, record nothing
	bytes    int                   // counted against the queue's limit

	charged  bool // the guest's quota was spent; the sequencer alone touches it
	evidence bool // that of refusals was spent; likewise

	state state // guarded by Engine.mu
	reply *reply
	index int // in reply
}

type state uint8

const (
	waiting  state = iota // in a queue; its caller may still take it back
	taken                 // in a batch; the sequencer answers it
	answered              // once, for good
)

// answer is a Result before the receipt of a repeat has been read.
type answer struct {
	Result
	repeats *uint64 // seq of the entry that this span repeats
	kept    bool    // refused, and the entry of its evidence stands
}

// reply collects the answers to items handed over together.
type reply struct {
	answers []answer
	left    atomic.Int32
	done    chan struct{} // closed when all are answered
}

func newReply(n int) *reply {
	r := &reply{answers: make([]answer, n), done: make(chan struct{})}
	r.left.Store(int32(n))
	return r
}

func (r *reply) set(index int, a answer) {
	r.answers[index] = a
	if r.left.Add(-1) == 0 {
		close(r.done)
	}
}

// queue is the work waiting for one tenant. Engine.mu guards it.
type queue struct {
	items []*item
	count int // of items that are still waiting
	bytes int // of the same
	abort context.CancelFunc
}

// enqueue hands items to the tenant's sequencer, all or none, and starts one if
// none runs.
func (e *Engine) enqueue(tenant string, items []*item) error {
	idle, err := e.put(tenant, items)
	if idle != nil {
		go e.sequence(tenant, idle)
	}
	return err
}

// put adds items to the tenant's queue, all or none. A queue that is empty takes
// any one group, however large. Where nobody works on the queue it is returned,
// and the caller must see to it with sequence or lead.
func (e *Engine) put(tenant string, items []*item) (idle *queue, err error) {
	bytes := 0
	for _, it := range items {
		bytes += it.bytes
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errStopping
	}
	q := e.queues[tenant]
	if q != nil && q.count > 0 && (q.count+len(items) > e.cfg.QueueLimit || q.bytes+bytes > e.cfg.QueueBytes) {
		return nil, fault.Newf(fault.Limited, codeQueueFull,
			"%d spans already wait for this tenant; this one was not recorded, send it again in a moment", q.count).After(time.Second)
	}
	if q == nil {
		q = &queue{}
		idle, e.queues[tenant] = q, q
		e.sequencers.Add(1)
	}
	q.items = append(q.items, items...)
	q.count += len(items)
	q.bytes += bytes
	return idle, nil
}

// await waits for the answers. When ctx ends it takes back what still waits
// and then waits for the rest, which is being committed.
func (e *Engine) await(ctx context.Context, tenant string, items []*item, r *reply) {
	select {
	case <-r.done:
		return
	case <-ctx.Done():
	}
	e.drop(tenant, items, errCancelled.Because(context.Cause(ctx)))
	<-r.done
}

// drop answers with err whatever of items still waits.
func (e *Engine) drop(tenant string, items []*item, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := e.queues[tenant]
	for _, it := range items {
		if it.state != waiting {
			continue
		}
		it.state = answered
		q.count--
		q.bytes -= it.bytes
		it.reply.set(it.index, answer{Result: Result{Err: err}})
	}
	if q != nil && len(q.items) > 2*q.count+e.cfg.MaxBatch {
		// A sequencer that is held up must not let dropped spans pile up.
		q.items = slices.DeleteFunc(q.items, func(it *item) bool { return it.state != waiting })
	}
}

// sequence is the one goroutine that appends to a tenant in this process. It
// never waits: a batch is whatever has arrived while the last one committed,
// and when nothing has, it ends. Whoever puts the next item begins again; both
// happen under Engine.mu, so no item is ever left without a sequencer.
func (e *Engine) sequence(tenant string, q *queue) {
	defer e.sequencers.Done()
	for {
		batch := e.take(tenant, q)
		if batch == nil {
			return
		}
		e.runBatch(tenant, q, batch)
	}
}

// lead is sequence on the goroutine of the caller who came to an idle timeline,
// for one batch: nobody has to be woken for it. What has arrived meanwhile is not
// the caller's to wait for.
func (e *Engine) lead(tenant string, q *queue) {
	if batch := e.take(tenant, q); batch != nil {
		e.runBatch(tenant, q, batch)
		if e.waiting(tenant, q) {
			go e.sequence(tenant, q)
			return
		}
	}
	e.sequencers.Done()
}

// waiting says whether q holds work; where it does not, q is removed.
func (e *Engine) waiting(tenant string, q *queue) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if q.count == 0 {
		delete(e.queues, tenant)
	}
	return q.count > 0
}

// take removes the next batch from q, or q from the engine when it is empty.
func (e *Engine) take(tenant string, q *queue) []*item {
	e.mu.Lock()
	defer e.mu.Unlock()
	var batch []*item
	bytes, i := 0, 0
	for ; i < len(q.items) && len(batch) < e.cfg.MaxBatch; i++ {
		it := q.items[i]
		if it.state != waiting {
			continue // taken back by its caller
		}
		if len(batch) > 0 && bytes+it.bytes > e.cfg.MaxBatchBytes {
			break
		}
		it.state = taken
		bytes += it.bytes
		batch = append(batch, it)
	}
	if len(batch) == 0 {
		delete(e.queues, tenant)
		return nil
	}
	rest := copy(q.items, q.items[i:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	q.count -= len(batch)
	q.bytes -= bytes
	return batch
}

// runBatch decides and commits a batch within CommitTimeout, and sees to it
// that every item is answered exactly once even if a step panics.
func (e *Engine) runBatch(tenant string, q *queue, batch []*item) {
	ctx, cancel := context.WithTimeout(context.Background(), e.cfg.CommitTimeout)
	defer cancel()
	e.mu.Lock()
	q.abort = cancel
	if e.gaveUp {
		cancel()
	}
	e.mu.Unlock()

	b := &batchRun{engine: e, tenant: tenant, left: make(map[*item]answer)}
	defer func() {
		if p := recover(); p != nil {
			e.logPanic(ctx, tenant, p)
			b.answerRest(batch, answer{Result: Result{Err: errPanicked}})
		}
	}()
	b.run(ctx, batch)
	b.answerRest(batch, answer{Result: Result{Err: errUnanswered}})
}

// drain refuses new work, lets queued work complete, and gives up on what is
// left after DrainTimeout. Calling it twice is harmless.
func (e *Engine) drain() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()

	finished := make(chan struct{})
	go func() {
		e.sequencers.Wait()
		close(finished)
	}()
	timeout := time.NewTimer(e.cfg.DrainTimeout)
	defer timeout.Stop()
	select {
	case <-finished:
		return
	case <-timeout.C:
	}
	e.giveUp()
	<-finished
}

// giveUp answers everything that waits and cancels the commits under way.
func (e *Engine) giveUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gaveUp = true
	for _, q := range e.queues {
		for _, it := range q.items {
			if it.state == waiting {
				it.state = answered
				it.reply.set(it.index, answer{Result: Result{Err: errStopping}})
			}
		}
		q.items, q.count, q.bytes = nil, 0, 0
		if q.abort != nil {
			q.abort()
		}
	}
}
