package ndjsonstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memindex"
	"github.com/danvoulez/logline/internal/timeline/segment"
)

// The folders and files of a tenant.
const (
	LinesDir    = "lines"
	PayloadsDir = "payloads"
	commitsDir  = "commits"
	RecordFile  = "tenant.json"
	indexFile   = "index"
)

// MaxContent is the longest line of payloads, in bytes: a payload of 64 MiB, a
// detail, and room.
const MaxContent = 256 << 20

// Longest lines that are read, in bytes.
const (
	maxCommit = 1 << 30
	maxRecord = 1 << 20
)

// files is one timeline on the disk. Index and file system keep readers apart
// from whoever commits.
type files struct {
	mu      sync.Mutex // held by whoever appends
	dir     string
	lines   *segment.Series
	content *segment.Series
	commits *segment.Series

	snapshotAt uint64 // size of the newest snapshot, written or being written
}

var _ memindex.Content = (*files)(nil)

// openFiles lists a tenant's files without reading them.
func (s *Store) openFiles(dir string) (*files, error) {
	f := &files{dir: dir}
	for _, p := range []struct {
		to   **segment.Series
		name string
	}{{&f.lines, LinesDir}, {&f.content, PayloadsDir}, {&f.commits, commitsDir}} {
		series, err := segment.Open(s.cfg.FS, filepath.Join(dir, p.name), s.cfg.Limits)
		if err != nil {
			return nil, ioError(err)
		}
		*p.to = series
	}
	return f, nil
}

func (f *files) series() []*segment.Series { return []*segment.Series{f.content, f.lines, f.commits} }

func (f *files) commit() {
	for _, series := range f.series() {
		series.Commit()
	}
}

func (f *files) close() error {
	var errs []error
	for _, series := range f.series() {
		errs = append(errs, series.Close())
	}
	return errors.Join(errs...)
}

// Read implements memindex.Content.
func (f *files) Read(r *timeline.Record, full bool) (err error) {
	if r.Line, err = f.lines.Read(r.Seq); err != nil || !full {
		return ioError(err)
	}
	raw, err := f.content.Read(r.Seq)
	if err != nil {
		return ioError(err)
	}
	return readContent(raw, r)
}

// Notes implements memindex.Content.
func (f *files) Notes(batch int) ([]timeline.Note, error) {
	raw, err := f.commits.Read(uint64(batch))
	if err != nil {
		return nil, ioError(err)
	}
	c, err := parseCommit(raw)
	if err != nil {
		return nil, damaged(filepath.Join(f.dir, commitsDir), err.Error())
	}
	return append(c.earlier(), timeline.Note{Size: c.Size, Text: []byte(c.Checkpoint)}), nil
}

// content is the line of an entry's erasable parts. Payload and Detail are
// their very bytes.
type content struct {
	Seq      uint64          `json:"seq"`
	Redacted bool            `json:"redacted,omitempty"`
	Salt     string          `json:"salt,omitempty"`
	Detail   json.RawMessage `json:"detail,omitempty"`
	Payload  json.RawMessage `json:"payload,omitempty"`
}

// AppendContent appends the line of a row's erasable parts to dst. It is never
// shorter than what takes its place when they are erased. json.Marshal would
// rewrite the bytes.
func AppendContent(dst []byte, r *timeline.Row) []byte {
	begin := len(dst)
	dst = strconv.AppendUint(append(dst, `{"seq":`...), r.Seq, 10)
	if r.Salt != "" {
		salt, _ := json.Marshal(r.Salt) // a string marshals
		dst = append(append(dst, `,"salt":`...), salt...)
	}
	if r.Detail != nil {
		dst = append(append(dst, `,"detail":`...), r.Detail...)
	}
	if r.Payload != nil {
		dst = append(append(dst, `,"payload":`...), r.Payload...)
	}
	dst = append(dst, '}')
	return pad(dst, begin+len(erasedContent(r.Seq)))
}

// ErasedContent is what takes the place of a line of this length.
func ErasedContent(seq uint64, length int) []byte { return pad(erasedContent(seq), length) }

func erasedContent(seq uint64) []byte {
	return append(strconv.AppendUint([]byte(`{"seq":`), seq, 10), `,"redacted":true}`...)
}

// pad fills up with spaces, which JSON allows behind a value.
func pad(line []byte, length int) []byte {
	if n := length - len(line); n > 0 {
		line = append(line, bytes.Repeat([]byte{' '}, n)...)
	}
	return line
}

// IsContent says whether this is the line of an entry's erasable parts, whole.
func IsContent(seq uint64, line []byte) bool {
	var c content
	return json.Unmarshal(line, &c) == nil && c.Seq == seq
}

// readContent takes the line of an entry's erasable parts apart.
func readContent(raw []byte, into *timeline.Record) error {
	var c content
	if err := json.Unmarshal(raw, &c); err != nil || c.Seq != into.Seq || c.Redacted {
		return fault.Newf(fault.Internal, "content_damaged",
			"the stored payload of entry %d cannot be read; check the timeline with fsck or restore a backup", into.Seq).Because(err)
	}
	into.Payload, into.Salt, into.Detail = c.Payload, c.Salt, c.Detail
	return nil
}
