package importer

import (
	"context"
	"errors"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// run is one import under way, as a line of three: one goroutine reads the
// source and has its people registered, one owns seen and signs what names nobody
// that the node does not know, one owns report and submits.
type run struct {
	*Importer
	source string
	start  time.Time
	seen   *recent[[10]byte, int64] // digest of a source id -> its time in ms
	ghosts *ghosts
	report Report
}

// batch is a group of spans that travel in one request.
type batch struct {
	items                       []Item
	ids                         []string
	hashes                      []string // payload hashes, to recognise what is already there
	lines                       [][]byte
	ghosts                      int
	edges, unresolved, overflow int64
}

// people is items whose actors the node knows once all of known is closed.
type people struct {
	items []Item
	known []<-chan struct{}
}

// read reads the source to its end and has the people of each batch registered,
// in group.
func (r *run) read(ctx context.Context, src Source, group *errgroup.Group, to chan<- people) error {
	items := make([]Item, 0, r.cfg.BatchSize)
	weight := 0
	flush := func() error {
		if len(items) == 0 {
			return nil
		}
		known, err := r.ghosts.introduce(ctx, group, items)
		if err != nil {
			return err
		}
		p := people{items, known}
		items, weight = make([]Item, 0, r.cfg.BatchSize), 0
		return send(ctx, to, p)
	}
	for item, err := range src.Items(ctx) {
		if err != nil {
			return err
		}
		items = append(items, item)
		weight += item.Weight
		if len(items) == r.cfg.BatchSize || weight >= maxBatchWeight {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// send hands v over, unless ctx ends first.
func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sign waits for the batch's people and makes it: headers in order, since causes
// look back, then hashes and signatures on every processor.
func (r *run) sign(ctx context.Context, of people) (*batch, error) {
	for _, known := range of.known {
		select {
		case <-known:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	items := of.items
	b := &batch{
		items:  items,
		ids:    make([]string, len(items)),
		hashes: make([]string, len(items)),
		lines:  make([][]byte, len(items)),
		ghosts: r.ghosts.len(),
	}
	headers := make([]span.Header, len(items))
	now := span.FormatTime(r.cfg.Now())
	for i := range items {
		headers[i] = r.header(&items[i], now, b)
		b.ids[i] = headers[i].ID
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	const chunk = 32
	for at := 0; at < len(items); at += chunk {
		group.Go(func() error {
			for i := at; i < min(at+chunk, len(items)); i++ {
				sealed, err := r.seal(headers[i], &items[i])
				if err != nil {
					return err
				}
				b.hashes[i], b.lines[i] = sealed.PayloadHash, sealed.Canonical()
			}
			return nil
		})
	}
	return b, group.Wait()
}

// submit appends the batch, retrying what may be retried, and counts.
func (r *run) submit(ctx context.Context, b *batch) error {
	results, err := r.append(ctx, b.lines)
	var refused []refusal
	for i, res := range results {
		switch {
		case err != nil && (temporary(res.Err) || ctx.Err() != nil && errors.Is(res.Err, err)): // no answer: neither there nor refused
		case res.Err == nil:
			r.report.Added++
		case r.alreadyThere(res.Err, b.hashes[i]):
			r.report.Already++
		default:
			refused = append(refused, refusal{b.items[i], r.fail(b, i, res.Err)})
		}
	}
	r.report.Edges += b.edges
	r.report.Unresolved += b.unresolved
	r.report.Overflow += b.overflow
	r.report.Ghosts = b.ghosts
	r.report.Elapsed = r.cfg.Now().Sub(r.start)
	r.cfg.Progress(r.report.Progress)
	// When nothing at all was let through for want of rights, the rest of the
	// source would only be refused in the same words.
	if first := results[0].Err; err == nil && len(refused) == int(r.report.Done()) && len(refused) == len(results) && hopeless(first) {
		return first
	}
	for _, no := range refused {
		if err := r.cfg.Refused(no.item, no.why); err != nil {
			return err
		}
	}
	return err
}

// refusal is an item that the node refused.
type refusal struct {
	item Item
	why  Failure
}

func (r *run) fail(b *batch, i int, err error) Failure {
	r.report.Failed++
	f := fault.From(err)
	detail := f.Detail
	if f.Code == "id_conflict" {
		detail = "its id is spent here: by other content (the source has two records of that id, or the record or the map changed since), or by an attempt that a contract refused; what is recorded stays"
	}
	failure := Failure{SourceID: b.items[i].SourceID, SpanID: b.ids[i], Code: f.Code, Detail: detail}
	if len(r.report.Failures) < maxFailures {
		r.report.Failures = append(r.report.Failures, failure)
	}
	return failure
}

// hopeless says that err is about the author or the tenant, not about the item.
func hopeless(err error) bool {
	switch fault.KindOf(err) {
	case fault.Forbidden, fault.Unauthenticated, fault.NotFound:
		return true
	default:
		return false
	}
}

// alreadyThere says that the span which holds the id is this one from an
// earlier run: same author, same payload; only the signing time differs.
func (r *run) alreadyThere(err error, payloadHash string) bool {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Conflict {
		return false
	}
	existing, ok := f.Meta["existing"].(map[string]any)
	return ok && existing["author"] == r.cfg.Keys.ID() && existing["payload_hash"] == payloadHash
}
