package backup

import (
	"context"
	"slices"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func storeOf(db *storage.DB) *sqlitestore.Store { return sqlitestore.NewStore(db) }

// again remembers what an archive says, to write it again.
type again struct {
	timeline.Snapshot
	header Header
	keys   []byte
	tables []heardTable
	lines  []heardTimeline
}

type heardTable struct {
	name    string
	columns []string
	rows    [][]any
}

type heardTimeline struct {
	tenant  timeline.Tenant
	entries []timeline.Record
	notes   []timeline.Note
	edge    tree.Range
}

func (a *again) Header(h Header) error { a.header = h; return nil }
func (a *again) Keys(k []byte) error   { a.keys = append([]byte{}, k...); return nil }
func (a *again) Table(name string, columns []string) error {
	a.tables = append(a.tables, heardTable{name: name, columns: columns})
	return nil
}

func (a *again) Row(values []any) error {
	t := &a.tables[len(a.tables)-1]
	t.rows = append(t.rows, values)
	return nil
}

func (a *again) Timeline(t timeline.Tenant) error {
	a.lines = append(a.lines, heardTimeline{tenant: t})
	return nil
}

func (a *again) last() *heardTimeline { return &a.lines[len(a.lines)-1] }

func (a *again) Entry(r *timeline.Record) error {
	l := a.last()
	kept := *r
	kept.Redacted = r.Payload == nil && r.Salt == "" && r.Detail == nil // an archive says no more
	l.entries = append(l.entries, kept)
	l.edge.Append(span.LeafHash(r.Line), nil)
	return nil
}

func (a *again) Checkpoint(n timeline.Note) error {
	a.last().notes = append(a.last().notes, n)
	return nil
}

func (a *again) Names(context.Context) (out []string, err error) {
	for _, t := range a.tables {
		out = append(out, t.name)
	}
	return out, nil
}

func (a *again) Rows(_ context.Context, table string, columns func([]string) error, row func([]any) error) error {
	t := a.tables[slices.IndexFunc(a.tables, func(t heardTable) bool { return t.name == table })]
	if err := columns(t.columns); err != nil {
		return err
	}
	for _, r := range t.rows {
		if err := row(r); err != nil {
			return err
		}
	}
	return nil
}

func (a *again) Tenants(context.Context) (out []timeline.Tenant, err error) {
	for i := range a.lines {
		out = append(out, a.lines[i].tenant)
	}
	return out, nil
}

func (a *again) of(tenant string) *heardTimeline {
	return &a.lines[slices.IndexFunc(a.lines, func(l heardTimeline) bool { return l.tenant.ID == tenant })]
}

func (a *again) State(_ context.Context, tenant string) (timeline.Head, []standing.Row, error) {
	l := a.of(tenant)
	return timeline.Head{Size: l.tenant.Size, Root: l.edge.Root()}, nil, nil
}

func (a *again) Entries(_ context.Context, tenant string, from uint64) ([]timeline.Record, error) {
	return slices.Clone(a.of(tenant).entries[from:]), nil
}

func (a *again) Checkpoints(_ context.Context, tenant string, after uint64, limit int) (out []timeline.Note, err error) {
	for _, n := range a.of(tenant).notes {
		if n.Size > after && len(out) < limit {
			out = append(out, n)
		}
	}
	return out, nil
}
