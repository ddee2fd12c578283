package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Reader reads a bundle that Verify has found good, to take it over. It checks
// no more than it must to read it.
type Reader struct {
	lines *lineReader
	opt   Options
	info  Info
}

// NewReader reads the first line of a bundle.
func NewReader(r io.Reader, opt Options) (*Reader, error) {
	out := &Reader{lines: newLineReader(r), opt: opt.withDefaults()}
	first, err := out.lines.next(out.opt.MaxHeaderLine)
	if err != nil {
		return nil, unreadable(1).Because(err)
	}
	h, err := parseHeader(first.bytes)
	if err != nil {
		return nil, err
	}
	out.info = Info{
		Tenant: h.Tenant.ID, Slug: h.Tenant.Slug, Name: h.Tenant.Name, Node: h.Node.ID, LogKey: h.LogKey,
		Checkpoint: []byte(h.Checkpoint), From: h.From, To: h.To,
	}
	for _, e := range h.Node.Events {
		out.info.Events = append(out.info.Events, bytes.Clone(e))
	}
	return out, nil
}

// Info says what the bundle is of.
func (r *Reader) Info() Info { return r.info }

func (r *Reader) maxLine() int { return span.MaxLine + r.opt.Limits.Payload + maxDetail + lineSlack }

// Entries are the entries that are left, in order. It ends after an error; a
// line of an entry withheld whole is one.
func (r *Reader) Entries() iter.Seq2[*span.Opened, error] {
	max := r.maxLine()
	return func(yield func(*span.Opened, error) bool) {
		for {
			line, err := r.lines.next(max)
			if errors.Is(err, io.EOF) {
				return
			}
			var opened *span.Opened
			if err == nil {
				opened, err = span.ParseOpened(line.bytes, r.opt.Limits)
			}
			if err != nil {
				err = unreadable(line.number).Because(err)
			}
			if !yield(opened, err) || err != nil {
				return
			}
		}
	}
}

// Pages are the same entries by some dozens. They are read on Options.Workers
// goroutines ahead of whoever asks for them, and belong to that one. Where ctx
// ends, its error does, once the stream has given what it was asked for.
func (r *Reader) Pages(ctx context.Context) iter.Seq2[[]*span.Opened, error] {
	return func(yield func([]*span.Opened, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		ahead := newChecking(r.opt.Workers)
		go ahead.run(ctx, r.lines, &lineChecker{limits: r.opt.Limits, maxLine: r.maxLine(), reads: true}, r.opt.Workers)
		defer func() {
			cancel()
			for range ahead.ordered { // it is closed when the workers are done
			}
		}()
		line := 1
		for c := range ahead.ordered {
			select {
			case <-c.done:
			case <-ctx.Done():
				yield(nil, ctx.Err())
				return
			}
			page, err := c.page(line)
			line += len(page)
			ahead.folded(c)
			if len(page) > 0 && !yield(page, nil) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// page is the entries of a chunk, which begins behind a line, up to what cannot be
// read.
func (c *chunk) page(line int) ([]*span.Opened, error) {
	page := make([]*span.Opened, 0, len(c.lines))
	for i := range c.lines {
		l := &c.lines[i]
		if l.err != nil {
			return page, unreadable(l.number).Because(l.err)
		}
		page = append(page, l.opened)
	}
	if c.err != nil {
		return page, unreadable(line + len(page) + 1).Because(c.err)
	}
	return page, nil
}

func unreadable(line int) *fault.Error {
	return fault.Newf(fault.Invalid, "bundle_invalid", "line %d of the bundle cannot be read", line)
}
