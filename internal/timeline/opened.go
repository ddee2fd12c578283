package timeline

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Opened is the entries from <= seq < to with what stands beside their lines,
// page after page, for a reader who sees them all: one that the reader may not
// see ends it with entries_withheld. While a page is used the next ones are read
// and parsed, on all processors; a page belongs to whoever got it. Where ctx
// ends, its error does.
func (l *Log) Opened(ctx context.Context, tenant string, from, to uint64, r standing.Reader) iter.Seq2[[]*span.Opened, error] {
	return func(yield func([]*span.Opened, error) bool) {
		id, err := l.id(ctx, tenant)
		if err != nil {
			yield(nil, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		read, opened := make(chan exportPage), make(chan openedPage, 1)
		go l.readAhead(ctx, id, from, to, read)
		go openPages(ctx, read, r, opened)
		defer func() {
			cancel()
			for range opened { // it is closed when nothing is read any more
			}
		}()
		for p := range opened {
			if !yield(p.entries, p.err) || p.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

type openedPage struct {
	entries []*span.Opened
	err     error
}

// openPages opens pages as they are read, and waits for whoever reads them.
func openPages(ctx context.Context, read <-chan exportPage, r standing.Reader, out chan<- openedPage) {
	defer close(out)
	for p := range read {
		o := openedPage{err: p.err}
		if p.err == nil {
			o.entries, o.err = openAll(p.records, r)
		}
		select {
		case out <- o:
		case <-ctx.Done(): // read is closed soon
		}
	}
}

// openAll opens records on all processors.
func openAll(records []Record, r standing.Reader) ([]*span.Opened, error) {
	out, errs := make([]*span.Opened, len(records)), make([]error, len(records))
	const atOnce = 32
	var next atomic.Int64
	work := func() {
		for from := int(next.Add(atOnce)) - atOnce; from < len(records); from = int(next.Add(atOnce)) - atOnce {
			for i := from; i < min(from+atOnce, len(records)); i++ {
				out[i], errs[i] = records[i].open(r)
			}
		}
	}
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(records)/atOnce) - 1 {
		workers.Go(work)
	}
	work()
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// open is the record as a reader sees it who may.
func (r *Record) open(reader standing.Reader) (*span.Opened, error) {
	if err := r.parse(); err != nil {
		return nil, err
	}
	if !r.VisibleTo(reader) {
		return nil, fault.Newf(fault.Forbidden, "entries_withheld", "entry %d is not for this reader, who would have to see all; an auditor does", r.Seq)
	}
	return r.opened(), nil
}

// opened is the record with what is kept beside its line, which is parsed.
func (r *Record) opened() *span.Opened {
	o := &span.Opened{Entry: *r.Entry, Payload: r.Payload, Salt: r.Salt, Detail: r.Detail}
	if r.Redacted {
		o.Payload, o.Salt, o.Detail = nil, "", nil
		o.Withheld = span.WithheldRedacted
		if o.Decision.DetailHash != "" {
			o.DetailWithheld = span.WithheldRedacted
		}
	}
	return o
}
