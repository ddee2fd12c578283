package bundle

import (
	"bytes"
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

// Entries are the entries that are left, in order. It ends after an error; a
// line of an entry withheld whole is one.
func (r *Reader) Entries() iter.Seq2[*span.Opened, error] {
	max := span.MaxLine + r.opt.Limits.Payload + maxDetail + lineSlack
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

func unreadable(line int) *fault.Error {
	return fault.Newf(fault.Invalid, "bundle_invalid", "line %d of the bundle cannot be read", line)
}
