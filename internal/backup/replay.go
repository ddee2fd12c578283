package backup

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Sizes of the batches in which a timeline is written again; each ends with a
// checkpoint.
const (
	batchEntries = 2000
	batchBytes   = 8 << 20
)

// replay writes one timeline into a store: the same lines and checkpoints, and
// everything derived made anew by folding them.
type replay struct {
	store  timeline.Appender
	fold   *timeline.Refold
	tenant timeline.Tenant
	edge   *tree.Range

	batch *timeline.Batch // under way
	notes []timeline.Note
	bytes int
	begun bool   // a batch was committed
	last  string // recorded_at
}

func newReplay(store timeline.Appender, t timeline.Tenant, fold *timeline.Refold) *replay {
	r := &replay{store: store, fold: fold, tenant: t, edge: &tree.Range{}}
	r.next()
	return r
}

// next begins a batch.
func (r *replay) next() {
	r.batch = &timeline.Batch{Tenant: r.tenant.ID, ExpectedSize: r.edge.End(), ExpectedRoot: r.edge.Root()}
	r.notes, r.bytes = nil, 0
}

// entry takes the next one.
func (r *replay) entry(rec *timeline.Record) error {
	f, err := r.fold.Fold(rec)
	if err != nil {
		return fault.Newf(fault.Invalid, "archive_timeline_invalid",
			"the rules do not take entry %d of the timeline of tenant %s after those before it; use another copy", rec.Seq, r.tenant.ID).Because(err)
	}
	b := r.batch
	r.edge.Append(rec.Leaf, func(s tree.Subtree) { b.Subtrees = append(b.Subtrees, s) })
	b.Rows = append(b.Rows, f.Row)
	b.Spent = append(b.Spent, f.Spent...)
	b.Statuses = append(b.Statuses, f.Change.Statuses...)
	for _, ref := range f.Change.Redacted {
		b.Redacted = append(b.Redacted, ref.Seq)
	}
	if f.Embedded != "" {
		b.Embedded = append(b.Embedded, f.Embedded)
	}
	r.last = rec.Entry.RecordedAt
	r.bytes += len(rec.Line) + len(rec.Payload) + len(rec.Detail)
	return nil
}

// checkpoint takes that of the size reached, and commits where the batch is
// large enough.
func (r *replay) checkpoint(ctx context.Context, n timeline.Note) error {
	r.notes = append(r.notes, n)
	if n.Size == r.tenant.Size || len(r.batch.Rows) >= batchEntries || r.bytes >= batchBytes {
		return r.commit(ctx)
	}
	return nil
}

func (r *replay) commit(ctx context.Context) error {
	b := r.batch
	origin, vkey, err := timeline.Writer(r.fold.View())
	if err != nil {
		return err
	}
	end := len(r.notes) - 1
	b.Head = timeline.Head{
		Size: r.edge.End(), Root: r.edge.Root(), RecordedAt: r.last, Checkpoint: r.notes[end].Text, Edge: r.edge.Hashes(),
	}
	b.Earlier = r.notes[:end]
	b.State = r.fold.Changed()
	if !r.begun {
		g := r.fold.View().Genesis()
		if g == nil || g.Tenant != r.tenant.ID {
			return fault.Newf(fault.Invalid, "archive_timeline_invalid", "the timeline of tenant %s does not begin with its genesis; use another copy", r.tenant.ID)
		}
		t := r.tenant
		t.Name, t.Node, t.Owner, t.Origin, t.LogKey = g.Name, g.Node, g.Owner, origin.String(), vkey
		b.Create = &t
	} else {
		b.Epoch = &timeline.Epoch{Origin: origin.String(), LogKey: vkey}
	}
	if err := r.store.Append(ctx, b); err != nil {
		return err
	}
	r.begun = true
	r.next()
	return nil
}

// Survey reads an archive for the first time: whether it is whole, and which
// entries of its timelines act on which.
type Survey struct {
	verify id.Verifier
	folder timeline.Folder
	folds  map[string]*timeline.Refold
	now    *timeline.Refold

	header Header
	keys   []byte
	sealed map[string]bool // identities with sealed keys
	under  map[string]int  // them by the id of the master key
	column int             // of the identity
	master int             // of that id
	table  string
}

var _ Handler = (*Survey)(nil)

// NewSurvey makes an empty one. folder is that of the node; nil for none.
func NewSurvey(v id.Verifier, folder timeline.Folder) *Survey {
	return &Survey{verify: v, folder: folder, folds: map[string]*timeline.Refold{}, sealed: map[string]bool{}, under: map[string]int{}}
}

// KeyFile is the node's key file, nil where the archive has none.
func (s *Survey) KeyFile() []byte { return s.keys }

// Sealed says whether the identity's keys are in the archive, sealed under a
// master key.
func (s *Survey) Sealed(identity string) bool { return s.sealed[identity] }

// Under is how many keys are sealed under each master key, by its id.
func (s *Survey) Under() map[string]int { return s.under }

// Header implements Handler.
func (s *Survey) Header(h Header) error { s.header = h; return nil }

// Table implements Handler.
func (s *Survey) Table(name string, columns []string) error {
	s.table, s.column, s.master = name, slices.Index(columns, "identity"), slices.Index(columns, "master")
	return nil
}

// Row implements Handler.
func (s *Survey) Row(values []any) error {
	if s.table == "sealed_keys" && s.column >= 0 {
		if identity, ok := values[s.column].(string); ok {
			s.sealed[identity] = true
		}
		if s.master >= 0 {
			if master, ok := values[s.master].(string); ok {
				s.under[master]++
			}
		}
	}
	return nil
}

// Timeline implements Handler.
func (s *Survey) Timeline(t timeline.Tenant) error {
	s.now = timeline.NewRefold(s.verify, s.folder)
	s.folds[t.ID] = s.now
	return nil
}

// Entry implements Handler.
func (s *Survey) Entry(r *timeline.Record) error {
	if span.IsReserved(r.Entry.Span.Type) {
		s.now.Want(r)
	}
	return nil
}

// Checkpoint implements Handler.
func (s *Survey) Checkpoint(timeline.Note) error { return nil }

// Keys implements Handler.
func (s *Survey) Keys(file []byte) error { s.keys = file; return nil }

// errEnough ends a reading before the timelines.
var errEnough = errors.New("the tables have been read")

// LoadTables reads an archive again, after a Survey of it, up to the timelines,
// and puts its tables in the place of a database's.
func LoadTables(ctx context.Context, from io.Reader, to SQLTables) error {
	_, err := Read(ctx, from, &Load{Context: ctx, Tables: &to})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return err
}

// Load reads an archive again, after a Survey of it, and writes its timelines.
type Load struct {
	Context  context.Context                       // of the operation, as long as which it lives
	Survey   *Survey                               // of the same archive
	Store    timeline.Appender                     // an empty one
	Tables   *SQLTables                            // see LoadTables; nil to leave them out
	Progress func(slug string, done, total uint64) // nil for nobody

	insert func([]any) error
	replay *replay
}

var _ Handler = (*Load)(nil)

// Header implements Handler.
func (l *Load) Header(Header) error { return nil }

// Table implements Handler.
func (l *Load) Table(name string, columns []string) (err error) {
	if l.Tables != nil {
		l.insert, err = l.Tables.Insert(l.Context, name, columns)
	}
	return err
}

// Row implements Handler.
func (l *Load) Row(values []any) error {
	if l.Tables == nil {
		return nil
	}
	return l.insert(values)
}

// Timeline implements Handler.
func (l *Load) Timeline(t timeline.Tenant) error {
	if l.Store == nil {
		return errEnough
	}
	fold := l.Survey.folds[t.ID]
	if fold == nil {
		return invalid("it has changed since it was checked")
	}
	l.replay = newReplay(l.Store, t, fold)
	return nil
}

// Entry implements Handler.
func (l *Load) Entry(r *timeline.Record) error {
	if l.Progress != nil && r.Seq%256 == 255 {
		l.Progress(l.replay.tenant.Slug, r.Seq+1, l.replay.tenant.Size)
	}
	return l.replay.entry(r)
}

// Checkpoint implements Handler.
func (l *Load) Checkpoint(n timeline.Note) error { return l.replay.checkpoint(l.Context, n) }

// Keys implements Handler.
func (l *Load) Keys([]byte) error { return nil }
