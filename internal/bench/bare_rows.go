package main

import (
	"fmt"
	"slices"
)

// table is one of the product's tables that every append writes, with the SQL
// expression for the seq of the entry that a row came with.
type table struct{ name, sqlite, postgres string }

// written is the tables that a bare writer fills, but for checkpoints, of which
// each batch has one.
var written = []table{
	{"timeline_ids", "seq", "seq"},
	{entries, "position & 1099511627775", "seq"},
	{"timeline_tags", "seq", "seq"},
	{"timeline_links", "seq", "seq"},
	{"timeline_hashes", "((idx + 1) << level) - 1", "((idx + 1) << level) - 1"},
}

// measured picks a table's rows of the timeline that is measured: the node tells
// what is done to it on a shorter one of its own.
const measured = "tenant = (SELECT tenant FROM timeline_heads ORDER BY size DESC LIMIT 1)"

const (
	entries     = "timeline_entries"
	checkpoints = "timeline_checkpoints"
)

// unwritten is the tables that an append of plain spans leaves alone, or that
// have one row for a timeline.
var unwritten = []string{
	"timeline_tenants", "timeline_heads", "timeline_state", "timeline_identities", "timeline_words", "timeline_indexed",
	"timeline_cosignatures", "timeline_imports",
}

// knowTables refuses a table that nobody has said of whether appends write it.
func knowTables(names []string) error {
	for _, name := range names {
		known := name == checkpoints || slices.Contains(unwritten, name) ||
			slices.ContainsFunc(written, func(t table) bool { return t.name == name })
		if !known {
			return fmt.Errorf("table %s is new: say in internal/bench/bare_rows.go what an append writes there", name)
		}
	}
	return nil
}

// rows is a table's rows in order of the seqs they came with.
type rows struct {
	table   string
	columns []string
	seqs    []uint64
	values  [][]any // by row
}

// add takes a row whose first column is its seq.
func (r *rows) add(columns []string, values []any) {
	r.columns = columns[1:]
	r.seqs, r.values = append(r.seqs, uint64(values[0].(int64))), append(r.values, values[1:])
}

// below takes the rows of entries before end, which are n of those that are left.
func (r *rows) below(end uint64, n int) ([][]any, error) {
	found := 0
	for found < len(r.seqs) && r.seqs[found] < end {
		found++
	}
	if r.table == entries && found != n {
		return nil, fmt.Errorf("the node recorded %d of %d entries", found, n)
	}
	taken := r.values[:found]
	r.seqs, r.values = r.seqs[found:], r.values[found:]
	return taken, nil
}
