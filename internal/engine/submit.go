package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Options are the conditions of one append.
type Options struct {
	// ExpectedSize, when set, refuses the span with conflict expected_seq
	// unless the timeline holds exactly that many entries before it.
	ExpectedSize *uint64
	// DryRun decides and records nothing, as for a span with status simulated.
	DryRun bool
}

// Outcomes of a submission that was not refused.
const (
	Created   = "created"   // a new entry; Decision.Outcome may still be "pending"
	Repeat    = "repeat"    // the same span was recorded before; Receipt is its first one
	Simulated = "simulated" // decided only; no entry was made and Receipt is nil
)

// Result answers one span. Exactly one of Outcome and Err is set.
type Result struct {
	Outcome  string
	Receipt  *timeline.Receipt
	Decision span.Decision
	// Foresight is all that contracts said of a simulated span.
	Foresight *rules.Outcome
	Err       error // *fault.Error
}

// Submit records one span, given as the bytes received, in tenant (id or slug).
// It answers after the commit. When ctx ends while the span still waits, the
// span is dropped and the answer is unavailable request_cancelled; once its
// batch has begun it completes and is answered whatever ctx says.
func (e *Engine) Submit(ctx context.Context, tenant string, raw []byte, opt Options) Result {
	tenant, err := e.resolve(ctx, tenant)
	if err != nil {
		return Result{Err: fault.From(err)}
	}
	if err := e.begin(ctx); err != nil {
		return Result{Err: err}
	}
	it, err := e.check(ctx, tenant, raw)
	e.end()
	if err != nil {
		return Result{Err: fault.From(err)}
	}
	if err := e.count(ctx, it); err != nil {
		return Result{Err: err}
	}
	if e.strangers(ctx, tenant, []*item{it}) {
		return Result{Err: standing.ErrAuthorUnknown}
	}
	it.expected, it.dryRun = opt.ExpectedSize, opt.DryRun
	return e.submitItem(ctx, tenant, it)
}

// submitItem queues one item and waits for its answer.
func (e *Engine) submitItem(ctx context.Context, tenant string, it *item) Result {
	it.reply = newReply(1)
	items := []*item{it}
	idle, err := e.put(tenant, items)
	if err != nil {
		return Result{Err: err}
	}
	if idle != nil {
		e.lead(tenant, idle)
	}
	e.await(ctx, tenant, items, it.reply)
	e.carryOn(ctx, tenant, items)
	return e.complete(ctx, tenant, it.reply.answers[0])
}

// SubmitMany records spans in order and answers each at its index. A refused
// span does not stop those after it, with one exception: when the queue is full
// or an author sends too much, that span and all after it are answered limited
// (queue_full, or what Config.Gate says). While one
// part of the lines is being committed the next is checked.
func (e *Engine) SubmitMany(ctx context.Context, tenant string, lines [][]byte) []Result {
	results := make([]Result, len(lines))
	tenant, err := e.resolve(ctx, tenant)
	if err != nil {
		failAll(results, fault.From(err))
		return results
	}
	var last *part
	for from := 0; from < len(lines); {
		to := e.partEnd(lines, from)
		next := e.checkPart(ctx, tenant, lines[from:to], results[from:to])
		if from == 0 && e.strangers(ctx, tenant, next.items) {
			next.refuse(standing.ErrAuthorUnknown)
			next.items, next.lineOf = nil, nil
		}
		if err := e.putPart(ctx, tenant, next, last, to == len(lines)); err != nil {
			next.refuse(err)
			failAll(results[to:], err)
			break
		}
		last.finish(ctx, e, tenant)
		last, from = next, to
	}
	last.finish(ctx, e, tenant)
	return results
}

// part is a run of SubmitMany's lines that is queued together.
type part struct {
	results []Result
	items   []*item // those of the lines that passed the check, in order
	lineOf  []int   // by index in items
	reply   *reply
}

// partEnd is where the part that begins at from ends: at most a batch and at
// most a quarter of the queue, so that one caller does not fill it.
func (e *Engine) partEnd(lines [][]byte, from int) int {
	count, bytes := min(e.cfg.MaxBatch, max(e.cfg.QueueLimit/4, 1)), min(e.cfg.MaxBatchBytes, e.cfg.QueueBytes/4)
	to := from
	for size := 0; to < len(lines) && to-from < count; to++ {
		if size += len(lines[to]); size > bytes && to > from {
			break
		}
	}
	return to
}

// atOnce is how many lines are checked in one turn: taking turns for each would
// put a goroutine to sleep and wake it for each.
const atOnce = 16

// checkPart checks lines in parallel, as far as the engine has room for.
func (e *Engine) checkPart(ctx context.Context, tenant string, lines [][]byte, results []Result) *part {
	items := make([]*item, len(lines))
	var next atomic.Int64
	var workers sync.WaitGroup
	some := func(from int) {
		lines := lines[from:min(from+atOnce, len(lines))]
		err := e.begin(ctx)
		if err == nil {
			defer e.end()
		}
		for i := range lines {
			if err != nil {
				results[from+i].Err = err
				continue
			}
			it, err := e.check(ctx, tenant, lines[i])
			if err != nil {
				results[from+i].Err = fault.From(err)
				continue
			}
			items[from+i] = it
		}
	}
	work := func() {
		for from := int(next.Add(atOnce)) - atOnce; from < len(lines); from = int(next.Add(atOnce)) - atOnce {
			some(from)
		}
	}
	for range min(e.cfg.Workers, (len(lines)+atOnce-1)/atOnce) - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()

	p := &part{results: results}
	for i, it := range items {
		if it != nil {
			it.index = len(p.items)
			p.items = append(p.items, it)
			p.lineOf = append(p.lineOf, i)
		}
	}
	p.reply = newReply(len(p.items))
	for _, it := range p.items {
		it.reply = p.reply
	}
	return p
}

// signer is a key that signs for somebody.
type signer struct{ author, key string }

func signerOf(it *item) signer { return signer{it.span.Author, it.span.Signature.Key} }

// count has the gate count spans, by author and key in the order they first
// came. The first that it refuses is the answer to all.
func (e *Engine) count(ctx context.Context, items ...*item) error {
	if e.cfg.Gate == nil {
		return nil
	}
	if first := signerOf(items[0]); !slices.ContainsFunc(items, func(it *item) bool { return signerOf(it) != first }) {
		return e.countOf(ctx, first, len(items)) // as nearly always
	}
	var order []signer
	spans := make(map[signer]int)
	for _, it := range items {
		s := signerOf(it)
		if spans[s]++; spans[s] == 1 {
			order = append(order, s)
		}
	}
	for _, s := range order {
		if err := e.countOf(ctx, s, spans[s]); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) countOf(ctx context.Context, s signer, spans int) error {
	if err := e.cfg.Gate.Author(ctx, s.author, s.key, spans); err != nil {
		return fault.From(err)
	}
	return nil
}

// putPart queues p. A queue that is full is given one more chance once the
// caller's own earlier part is out of it. After its final part the caller has
// nothing left to do but lead, if the timeline is idle.
func (e *Engine) putPart(ctx context.Context, tenant string, p, earlier *part, final bool) error {
	if len(p.items) == 0 {
		return nil
	}
	if err := e.count(ctx, p.items...); err != nil {
		return err
	}
	idle, err := e.put(tenant, p.items)
	if fault.CodeOf(err) == codeQueueFull && earlier != nil {
		earlier.finish(ctx, e, tenant)
		idle, err = e.put(tenant, p.items)
	}
	switch {
	case idle == nil:
	case final:
		e.lead(tenant, idle)
	default:
		go e.sequence(tenant, idle)
	}
	return err
}

// refuse answers with err whatever of p was not answered by its check.
func (p *part) refuse(err error) {
	for _, line := range p.lineOf {
		p.results[line].Err = err
	}
}

// finish waits for p's answers and puts them into its results. Doing it twice,
// or to nil, is harmless.
func (p *part) finish(ctx context.Context, e *Engine, tenant string) {
	if p == nil || len(p.items) == 0 {
		return
	}
	e.await(ctx, tenant, p.items, p.reply)
	e.carryOn(ctx, tenant, p.items)
	for i, a := range p.reply.answers {
		p.results[p.lineOf[i]] = e.complete(ctx, tenant, a)
	}
	p.items = nil
}

var errNoReceipt = fault.New(fault.Unavailable, "receipt_unavailable",
	"the span is recorded, but its receipt cannot be read now; send the same span again, it is never recorded twice").After(time.Second)

func failAll(results []Result, err error) {
	for i := range results {
		results[i].Err = err
	}
}

// complete turns an answer into a Result, reading the first receipt of a span
// that was recorded earlier.
func (e *Engine) complete(ctx context.Context, tenant string, a answer) Result {
	if a.Err != nil {
		return Result{Err: fault.From(a.Err)}
	}
	if a.repeats == nil {
		return a.Result
	}
	receipt, err := e.log.Receipt(ctx, tenant, *a.repeats)
	if err != nil {
		return Result{Err: errNoReceipt.Because(err)}
	}
	entry, err := span.ParseLine(receipt.Line)
	if err != nil {
		return Result{Err: errNoReceipt.Because(err)}
	}
	a.Receipt, a.Decision = &receipt, entry.Decision
	return a.Result
}
