// Package backup is a whole node in one file: every table of its database and
// every timeline with payloads and checkpoints, in a form that no dialect and
// no way to keep timelines owns, so that it can be restored into any of them.
//
// An archive is a zstd stream of lines of JSON. The first is the header; then
// come parts, each begun by a line that names it and ended by one with its
// number of lines and their SHA-256; the last line is the manifest, the list of
// all parts again. What is cut off, altered or follows the manifest makes the
// whole archive invalid, and Read says so before its end only in errors: who
// acts on an archive reads it twice, and acts the second time.
//
// Parts, in this order:
//
//	table NAME       a line of column names, then one array a row: null, number,
//	                 string, or {"b64": "…"} for bytes
//	timeline ID      the tenant's record, then its entries in order, each
//	                 checkpoint after the last entry that it covers
//	keys             the node's key file, where it was asked for
//
// It does not know what the tables hold; what is derived from lines is not in
// an archive and made anew.
package backup

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline"
)

// Version is the version of the form of archives.
const Version = 1

// Limits of one line of an archive, and of lines that are not entries or rows.
const (
	maxLine  = 192 << 20 // an entry with the largest payload a node can be set to take
	maxParts = 1 << 20
)

// Header is the first line of an archive.
type Header struct {
	Logline string `json:"logline"` // always "backup"
	V       int    `json:"v"`       // Version
	Schema  int64  `json:"schema"`  // of the database it was made from
	Node    string `json:"node"`    // LogLine ID
	MadeAt  string `json:"made_at"`
	MadeBy  string `json:"made_by"` // version of the program
	Keys    bool   `json:"keys"`    // the node's key file is in it
}

// Part is what the manifest says of one part.
type Part struct {
	Name   string `json:"name"`
	Lines  uint64 `json:"lines"`
	SHA256 string `json:"sha256"` // b64u, over the lines with their ends
}

// Kinds of parts, and what their names begin with.
const (
	tablePart    = "table "
	timelinePart = "timeline "
	keysPart     = "keys"
)

// record is the first line of a timeline: what of the tenant's record does not
// follow from its lines, and what to expect.
type record struct {
	PublicReading bool   `json:"public_reading"`
	CreatedAt     string `json:"created_at"`
	Slug          string `json:"slug"`
	Size          uint64 `json:"size"`
	Root          string `json:"root"`
}

// entry is one entry of a timeline, or one checkpoint. (omitempty would leave out
// a payload {}.)
type entry struct {
	Line    jsontext.Value `json:"line,omitzero"`
	Payload jsontext.Value `json:"payload,omitzero"`
	Salt    string         `json:"salt,omitempty"`
	Detail  jsontext.Value `json:"detail,omitzero"`

	Checkpoint string `json:"checkpoint,omitempty"`
	Size       uint64 `json:"size,omitzero"`
}

// blob is how bytes stand in a row.
type blob struct {
	B64 string `json:"b64"`
}

// Handler is told what an archive holds, in its order. An error of its own ends
// the reading.
type Handler interface {
	Header(Header) error
	// Table begins a table; its rows follow.
	Table(name string, columns []string) error
	// Row is one row: nil, int64, float64, string or []byte for each column.
	Row(values []any) error
	// Timeline begins one; its entries and checkpoints follow. Of the tenant ID,
	// Slug, PublicReading, CreatedAt and Size are set.
	Timeline(t timeline.Tenant) error
	// Entry is the next entry; Entry and Leaf are set.
	Entry(r *timeline.Record) error
	// Checkpoint is the one of the size reached.
	Checkpoint(n timeline.Note) error
	// Keys is the node's key file.
	Keys(file []byte) error
}

func invalid(format string, args ...any) *fault.Error {
	return fault.Newf(fault.Invalid, "archive_invalid", "this is not a whole backup: "+format+"; use another copy", args...)
}
