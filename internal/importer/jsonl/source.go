package jsonl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/span"
)

// maxRecords is how many records one line may hold.
const maxRecords = 100_000

// Config is what a source needs beside its map.
type Config struct {
	Open    func() (io.ReadCloser, error) // the input, from its beginning
	Name    string                        // of the source; "" is "jsonl:" and the map's name
	MaxLine int                           // bytes; 0 is DefaultMaxLine
	// Reject takes lines that give no item; its error ends the import. Called
	// by the goroutine that reads the items.
	Reject func(Reject) error
}

// Reject is a line that could not be imported, or not in full.
type Reject struct {
	Line   int64
	Code   string
	Reason string
	Raw    []byte // cut at the limit for lines
	Length int64  // in bytes, before it was cut
}

// Source is the records of one input by a map. Lines that it cannot read, or
// the map cannot, go to Config.Reject and do not end it.
type Source struct {
	m   *Map
	cfg Config
}

var _ importer.Source = (*Source)(nil)

// New makes a source.
func New(m *Map, cfg Config) *Source {
	if cfg.Name == "" {
		cfg.Name = "jsonl:" + m.Name
	}
	if cfg.MaxLine <= 0 {
		cfg.MaxLine = DefaultMaxLine
	}
	return &Source{m: m, cfg: cfg}
}

// OpenFile is a Config.Open for a path.
func OpenFile(path string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return os.Open(path) }
}

// Name is the source's name.
func (s *Source) Name() string { return s.cfg.Name }

// Count is unknown before everything has been read.
func (s *Source) Count(context.Context) (int64, error) { return -1, nil }

// Items yields the records in order. An item's Ref is its line (see RejectOf).
func (s *Source) Items(ctx context.Context) iter.Seq2[importer.Item, error] {
	return func(yield func(importer.Item, error) bool) {
		if err := s.read(ctx, yield); err != nil && !errors.Is(err, errStop) {
			yield(importer.Item{}, err)
		}
	}
}

// errStop is the consumer's wish to end.
var errStop = errors.New("stop")

func (s *Source) read(ctx context.Context, yield func(importer.Item, error) bool) error {
	in, err := s.cfg.Open()
	if err != nil {
		return fault.Newf(fault.NotFound, "input_unreadable", "the input cannot be read").Because(err)
	}
	defer in.Close()
	plain, closeIt, err := decompress(in)
	if err != nil {
		return broken(err, 0)
	}
	defer closeIt()
	lines := &lineReader{in: bufio.NewReaderSize(plain, 64<<10), max: s.cfg.MaxLine}
	literal := false // the line before said that this one had been rejected
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		l, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return broken(err, lines.number)
		case !literal && bytes.HasPrefix(l.raw, []byte(rejectMark)):
			literal = true
			continue
		case len(bytes.TrimSpace(l.raw)) == 0 && l.length == int64(len(l.raw)):
			continue
		}
		literal = false
		if err := s.line(ctx, l, yield); err != nil {
			return err
		}
	}
}

// broken says where the input could not be read on.
func broken(err error, after int64) error {
	var f *fault.Error
	if errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Newf(fault.Invalid, "input_broken", "the input cannot be read after line %d; what came before it is imported", after).Because(err)
}

// line yields what one line holds, and rejects it for the first record that
// gives no item; the others are yielded all the same.
func (s *Source) line(ctx context.Context, l line, yield func(importer.Item, error) bool) error {
	ref := &Reject{Line: l.number, Raw: l.raw, Length: l.length}
	if l.length > int64(s.cfg.MaxLine) {
		return s.reject(ref, fault.Newf(fault.Invalid, "line_too_large",
			"the line has %d bytes, and %d are read; --max-line allows more", l.length, s.cfg.MaxLine))
	}
	value, canonical, err := parse(l.raw)
	if err != nil {
		return s.reject(ref, err)
	}
	var first error // why the line is rejected
	done := false   // nobody wants more
	emit := func(record any, canonical []byte) error {
		work := spend(ctx, maxRecordSteps)
		item, err := s.m.item(work, record, canonical)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if first == nil {
				first = err
			}
			if work.left <= 0 {
				return errStop // so that a line of such records takes no time without end
			}
			return nil
		}
		item.Ref = ref
		item.Weight += len(l.raw)
		if !yield(item, nil) {
			done = true
			return errStop
		}
		return nil
	}
	if records := s.m.exprs[memberRecords]; records == nil {
		err = emit(value, canonical)
	} else {
		err = s.records(spend(ctx, maxSteps), records, value, emit)
	}
	switch {
	case done || ctx.Err() != nil && err != nil:
		return err
	case err != nil && first == nil:
		first = recordFault(memberRecords, "%v", err)
	}
	if first != nil {
		return s.reject(ref, first)
	}
	return nil
}

// records gives each record of a line to emit.
func (s *Source) records(ctx context.Context, records *expr, value any, emit func(any, []byte) error) error {
	n := 0
	return records.each(ctx, value, func(record any) error {
		if n++; n > maxRecords {
			return fmt.Errorf("the line holds more than %d records", maxRecords)
		}
		return emit(record, nil)
	})
}

func (s *Source) reject(ref *Reject, err error) error {
	r := *ref
	f := fault.From(err)
	r.Code, r.Reason = f.Code, describeFault(f)
	if f.Code == "map_failed" {
		r.Reason = printable(f.Detail) // it names the expression
	}
	return s.cfg.Reject(r)
}

// RejectOf is the line of an item that a node refused.
func RejectOf(item importer.Item, why importer.Failure) (Reject, bool) {
	ref, ok := item.Ref.(*Reject)
	if !ok {
		return Reject{}, false
	}
	r := *ref
	r.Code, r.Reason = why.Code, printable(why.Detail)
	return r, true
}

// parse reads a line as JSON: canonical is its canonical form where the line is
// an object. Numbers too big to be exact in JSON become strings of their digits.
func parse(raw []byte) (value any, canonical []byte, err error) {
	object := bytes.TrimLeft(raw, " \t\r")
	if len(object) > 0 && object[0] != '{' {
		return parseOther(raw)
	}
	canonical, err = span.Canonicalize(raw)
	if fault.CodeOf(err) == "json_number_range" {
		canonical, err = span.Canonicalize(quoteBigNumbers(raw))
	}
	if err != nil {
		return nil, nil, err
	}
	value, err = decode(canonical)
	return value, canonical, err
}

// parseOther reads a line whose JSON is no object, a list of records mostly. It
// goes through the same checks, inside an object.
func parseOther(raw []byte) (any, []byte, error) {
	const head, tail = `{"":`, `}`
	wrapped := append(append([]byte(head), raw...), tail...)
	value, _, err := parse(wrapped)
	if err != nil {
		switch fault.CodeOf(err) {
		case "json_syntax", "json_trailing_data", "json_duplicate_member":
			return nil, nil, errNotJSON
		}
		return nil, nil, err
	}
	if members := value.(map[string]any); len(members) == 1 { // else the line closed the object itself
		return members[""], nil, nil
	}
	return nil, nil, errNotJSON
}

var errNotJSON = fault.New(fault.Invalid, "json_syntax", "the line is not JSON; a line must hold one value")

func decode(canonical []byte) (value any, err error) {
	dec := json.NewDecoder(bytes.NewReader(canonical))
	dec.UseNumber()
	err = dec.Decode(&value)
	return value, err
}
