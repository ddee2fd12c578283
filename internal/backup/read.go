package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/klauspost/compress/zstd"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// maxWindow bounds the memory that decompression takes, in bytes.
const maxWindow = 64 << 20

// Read reads an archive and tells h what it holds. The codes of its errors are
// archive_invalid and, for a form that a newer program has made, archive_newer;
// errors of h come back as they are. Only after nil is all that h was told
// known to be what was written.
func Read(ctx context.Context, from io.Reader, h Handler) (Summary, error) {
	z, err := zstd.NewReader(from, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Summary{}, invalid("it is no zstd stream").Because(err)
	}
	defer z.Close()
	return readPlain(ctx, z, h)
}

// readPlain reads the lines, not compressed.
func readPlain(ctx context.Context, from io.Reader, h Handler) (Summary, error) {
	r := &reader{in: bufio.NewReaderSize(from, 256<<10), h: h}
	if err := r.header(); err != nil {
		return r.sum, err
	}
	for r.number > 0 {
		if err := ctx.Err(); err != nil {
			return r.sum, fault.New(fault.Unavailable, "interrupted", "the operation was interrupted before it finished").Because(err)
		}
		done, err := r.part()
		if err != nil || done {
			return r.sum, err
		}
	}
	return r.sum, nil
}

// reader reads lines, and counts and hashes those of the part under way.
type reader struct {
	in     *bufio.Reader
	h      Handler
	number uint64 // of the last line read, from 1
	lines  uint64
	hash   hash.Hash
	sum    Summary
}

// maxFirst bounds the first line of a backup, and the first of a part, in bytes: a
// file that somebody sent is known for none before it has cost anything.
const maxFirst = 4 << 20

// next is the next line, of at most so many bytes, its end included. It is put
// together once, so that a long one takes no more than twice its size.
func (r *reader) next(most int) ([]byte, error) {
	var pieces [][]byte
	size := 0
	for {
		piece, err := r.in.ReadSlice('\n')
		pieces, size = append(pieces, bytes.Clone(piece)), size+len(piece)
		switch {
		case err == nil:
			r.number++
			if len(pieces) == 1 {
				return pieces[0], nil
			}
			return bytes.Join(pieces, nil), nil
		case errors.Is(err, bufio.ErrBufferFull):
			if size > most {
				return nil, invalid("line %d is too long", r.number+1)
			}
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, invalid("it breaks off after line %d", r.number).Because(err)
		default:
			return nil, invalid("it is damaged after line %d", r.number).Because(err)
		}
	}
}

// endOfPart is how the last line of a part begins, and no other line in it.
var endOfPart = []byte(`{"end":`)

// body is the next line of a part; at the part's end ok is false and the line
// is not part of it.
func (r *reader) body() (line []byte, ok bool, err error) {
	if line, err = r.next(maxLine); err != nil || bytes.HasPrefix(line, endOfPart) {
		return line, false, err
	}
	r.hash.Write(line)
	r.lines++
	return line, true, nil
}

// one is the next line of a part, decoded; the part must not end before it.
func (r *reader) one(to any) error {
	line, ok, err := r.body()
	if err != nil {
		return err
	}
	if !ok {
		return invalid("the part that ends at line %d lacks its first line", r.number)
	}
	return r.decode(line, to)
}

// decode reads one line of a known kind, strictly.
func (r *reader) decode(line []byte, to any) error {
	if err := json.Unmarshal(line, to, json.RejectUnknownMembers(true), json.MatchCaseInsensitiveNames(false)); err != nil {
		return invalid("line %d is not what it should be", r.number).Because(err)
	}
	return nil
}

func (r *reader) header() error {
	line, err := r.next(maxFirst)
	if err != nil {
		return err
	}
	var kind struct {
		Logline string `json:"logline"`
		V       int    `json:"v"`
	}
	if err := json.Unmarshal(line, &kind); err != nil || kind.Logline != "backup" {
		return invalid("it does not begin as one")
	}
	if kind.V != Version {
		return fault.Newf(fault.Unavailable, "archive_newer",
			"the backup has the form %d and this program knows only %d; use the newer logline that made it", kind.V, Version)
	}
	if err := r.decode(line, &r.sum.Header); err != nil {
		return err
	}
	if h := r.sum.Header; !span.IsIdentity(h.Node) || h.Schema < 1 {
		return invalid("its header lacks node or schema")
	}
	return r.h.Header(r.sum.Header)
}

// part reads the next part, or the manifest and the end.
func (r *reader) part() (done bool, err error) {
	line, err := r.next(maxFirst)
	if err != nil {
		return false, err
	}
	var begin struct {
		Part     string `json:"part"`
		Manifest []Part `json:"manifest"`
	}
	if err := r.decode(line, &begin); err != nil {
		return false, err
	}
	if begin.Part == "" {
		return true, r.end(begin.Manifest)
	}
	for _, p := range r.sum.Parts {
		if p.Name == begin.Part {
			return false, invalid("the part %q stands twice", begin.Part)
		}
	}
	if len(r.sum.Parts) >= maxParts {
		return false, invalid("it has too many parts")
	}
	r.hash, r.lines = sha256.New(), 0
	var last []byte
	switch name := begin.Part; {
	case strings.HasPrefix(name, tablePart) && r.sum.Timelines > 0:
		return false, invalid("a table follows the timelines")
	case strings.HasPrefix(name, tablePart):
		last, err = r.table(strings.TrimPrefix(name, tablePart))
	case strings.HasPrefix(name, timelinePart):
		last, err = r.timeline(strings.TrimPrefix(name, timelinePart))
	case name == keysPart:
		last, err = r.keys()
	default:
		return false, invalid("it has a part of an unknown kind, %q", name)
	}
	if err != nil {
		return false, err
	}
	return false, r.close(begin.Part, last)
}

// close compares what a part's end says with what was read.
func (r *reader) close(name string, last []byte) error {
	var end struct {
		End Part `json:"end"`
	}
	if err := r.decode(last, &end); err != nil {
		return err
	}
	read := Part{Name: name, Lines: r.lines, SHA256: span.B64(r.hash.Sum(nil))}
	if end.End != read {
		return invalid("the part %q is not what it was when it was made", name)
	}
	r.sum.Parts = append(r.sum.Parts, read)
	return nil
}

// end compares the manifest, and makes sure that nothing follows.
func (r *reader) end(manifest []Part) error {
	if !slices.Equal(manifest, r.sum.Parts) {
		return invalid("it does not have the parts that its manifest lists")
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return invalid("something follows its manifest").Because(err)
	}
	if r.sum.Header.Keys != slices.ContainsFunc(r.sum.Parts, func(p Part) bool { return p.Name == keysPart }) {
		return invalid("its header is wrong about the keys")
	}
	return nil
}

// namePattern is what tables and columns may be called: nothing that a
// statement could take for anything else.
var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

func (r *reader) table(name string) (last []byte, err error) {
	var columns []string
	if err := r.one(&columns); err != nil {
		return nil, err
	}
	for _, c := range append([]string{name}, columns...) {
		if !namePattern.MatchString(c) || len(columns) == 0 {
			return nil, invalid("line %d names a table or column that cannot be one", r.number)
		}
	}
	if err := r.h.Table(name, columns); err != nil {
		return nil, err
	}
	for {
		line, ok, err := r.body()
		if err != nil || !ok {
			return line, err
		}
		var raw []jsontext.Value
		if err := r.decode(line, &raw); err != nil {
			return nil, err
		}
		if len(raw) != len(columns) {
			return nil, invalid("line %d has %d values for %d columns", r.number, len(raw), len(columns))
		}
		row := make([]any, len(raw))
		for i := range raw {
			if row[i], err = r.value(raw[i]); err != nil {
				return nil, err
			}
		}
		r.sum.Rows++
		if err := r.h.Row(row); err != nil {
			return nil, err
		}
	}
}

// value is one value of a row.
func (r *reader) value(raw jsontext.Value) (any, error) {
	switch raw.Kind() {
	case 'n':
		return nil, nil
	case '"':
		var s string
		err := r.decode(raw, &s)
		return s, err
	case '0':
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return n, nil
		}
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return nil, invalid("line %d has a number that is too large", r.number)
		}
		return f, nil
	case '{':
		return r.blob(raw)
	}
	return nil, invalid("line %d has a value of an unknown kind", r.number)
}

func (r *reader) blob(raw []byte) ([]byte, error) {
	var b struct {
		B64 *string `json:"b64"`
	}
	if err := r.decode(raw, &b); err != nil {
		return nil, err
	}
	if b.B64 == nil {
		return nil, invalid("line %d has a value of an unknown kind", r.number)
	}
	out, err := span.ParseB64(*b.B64, -1)
	if err != nil {
		return nil, invalid("line %d has bytes that are not base64url", r.number)
	}
	return out, nil
}

func (r *reader) keys() (last []byte, err error) {
	line, ok, err := r.body()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, invalid("the part of the keys is empty")
	}
	file, err := r.blob(line)
	if err != nil {
		return nil, err
	}
	if err := r.h.Keys(file); err != nil {
		return nil, err
	}
	if last, ok, err = r.body(); ok {
		return nil, invalid("line %d follows the keys", r.number)
	}
	return last, err
}

// timeline reads one, and holds its lines against its root.
func (r *reader) timeline(tenant string) (last []byte, err error) {
	var rec record
	if err := r.one(&rec); err != nil {
		return nil, err
	}
	if !span.IsUUID(tenant) {
		return nil, invalid("line %d begins the timeline of no tenant", r.number)
	}
	if err := r.h.Timeline(timeline.Tenant{
		ID: tenant, Slug: rec.Slug, PublicReading: rec.PublicReading, CreatedAt: rec.CreatedAt, Size: rec.Size,
	}); err != nil {
		return nil, err
	}
	edge := &tree.Range{}
	noted := uint64(0)
	for {
		line, ok, err := r.body()
		if err != nil {
			return nil, err
		}
		if !ok {
			if edge.End() != rec.Size || noted != rec.Size || edge.Root().String() != rec.Root || rec.Size == 0 {
				return nil, invalid("the timeline that ends at line %d is not the one of its first line", r.number)
			}
			r.sum.Timelines++
			return line, nil
		}
		if noted, err = r.entry(line, edge, noted); err != nil {
			return nil, err
		}
	}
}

// entry reads an entry or a checkpoint; noted is the size of the last one.
func (r *reader) entry(line []byte, edge *tree.Range, noted uint64) (uint64, error) {
	var e entry
	if err := r.decode(line, &e); err != nil {
		return noted, err
	}
	if e.Checkpoint != "" {
		n, err := tree.ParseNote([]byte(e.Checkpoint))
		if err != nil || e.Line != nil || e.Payload != nil || e.Detail != nil || e.Salt != "" ||
			n.Size != e.Size || e.Size != edge.End() || e.Size <= noted || n.Root != edge.Root() {
			return noted, invalid("line %d is no checkpoint of the entries before it", r.number)
		}
		return e.Size, r.h.Checkpoint(timeline.Note{Size: e.Size, Text: []byte(e.Checkpoint)})
	}
	rec := timeline.Record{Seq: edge.End(), Line: e.Line, Payload: e.Payload, Salt: e.Salt, Detail: e.Detail, Leaf: span.LeafHash(e.Line)}
	if err := rec.Parse(); err != nil || rec.Entry.Seq != rec.Seq || e.Size != 0 {
		return noted, invalid("line %d is not entry %d", r.number, rec.Seq)
	}
	edge.Append(rec.Leaf, nil)
	r.sum.Entries++
	return noted, r.h.Entry(&rec)
}
