package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// Refold folds a timeline's entries from entry 0 on into what was derived from
// them, as the sessions that admitted them did, in two passes: Want sees every
// entry, then Fold sees every entry again. It asks no index, so that a damaged
// one changes nothing; what it remembers grows with the spans that others act
// on, not with the entries. Not safe for concurrent use.
type Refold struct {
	wanted map[string]*standing.Ref // spans that others act on; nil until Fold meets them
	state  *standing.State
	tx     *standing.Tx
	folder Folder
	rows   *folded
	view   *overlay // of rows
}

// NewRefold begins before entry 0. folder is the one that the sessions had; nil
// for none.
func NewRefold(v id.Verifier, folder Folder) *Refold {
	f := &Refold{wanted: map[string]*standing.Ref{}, state: standing.New(v), folder: folder, rows: &folded{touched: map[string]bool{}}}
	f.tx = f.state.Begin()
	f.view = &overlay{base: f.rows}
	return f
}

// Want notes which spans an entry acts on; r.Entry must be set.
func (f *Refold) Want(r *Record) {
	for _, id := range targets(r.Entry.Span.Type, r.Payload) {
		f.wanted[id] = nil
	}
}

// Wanted says whether another entry acts on the span, as Want has seen.
func (f *Refold) Wanted(spanID string) bool {
	_, ok := f.wanted[spanID]
	return ok
}

// Folded is what one entry made.
type Folded struct {
	Row      Row
	Spent    []SpentID
	Change   standing.Change
	Embedded string // the identity whose inception it embeds, "" for none
}

// Fold takes in the next entry; r.Entry must be set. An error says why the
// rules do not take the entry: then nothing after it can be folded.
func (f *Refold) Fold(r *Record) (Folded, error) {
	rows, err := fold(context.Background(), f.folder, r.Entry, r.Payload, f.view) // memory: nothing waits
	if err != nil {
		return Folded{}, err
	}
	change, err := f.tx.Apply(r.Entry, r.Payload, f.look)
	if err != nil {
		return Folded{}, err
	}
	f.rows.put(rows)
	out := Folded{Row: RowOf(r), Change: change, Embedded: embeds(r.Entry.Span.Type, r.Payload)}
	if out.Spent, err = spends(r.Entry, r.Payload); err != nil {
		return Folded{}, err
	}
	if f.Wanted(r.Entry.Span.ID) {
		ref := r.ref()
		ref.Status = out.Row.Status
		f.wanted[ref.ID] = &ref
	}
	for _, c := range change.Statuses {
		ref := f.wanted[c.SpanID]
		if ref == nil {
			return Folded{}, fault.Newf(fault.Internal, "target_unforeseen", "entry %d changes the status of %s, which was not looked for", r.Seq, c.SpanID)
		}
		ref.Status = c.Status
	}
	return out, nil
}

func (f *Refold) look(spanID string) (standing.Ref, bool) {
	if ref := f.wanted[spanID]; ref != nil {
		return *ref, true
	}
	return standing.Ref{}, false
}

// View is the standing after the entries folded so far.
func (f *Refold) View() standing.View { return f.tx }

// Changed are the state rows that changed since it was asked last, as a batch
// of the entries in between would write them.
func (f *Refold) Changed() []standing.Row {
	rows := append(f.tx.Rows(), f.rows.changed()...)
	f.tx.Commit()
	return rows
}

// State are all state rows; it is also Changed.
func (f *Refold) State() []standing.Row {
	f.tx.Commit()
	f.rows.changed()
	return append(f.state.Rows(), f.rows.all()...)
}

// Decisions are the decision rows after the entries folded so far.
func (f *Refold) Decisions() DecisionState { return f.view }

// Parse reads the line of a record as a store returns it into its Entry.
func (r *Record) Parse() error { return r.parse() }

// Writer is who signs checkpoints at this position: their origin and note
// verifier key.
func Writer(v standing.View) (origin tree.Origin, vkey string, err error) {
	n, _ := v.Epoch()
	origin = tree.Origin{Tenant: v.Tenant(), Node: v.Node(), Epoch: n}
	key, err := tree.ParseLogKey(v.LogKey())
	if err != nil {
		return origin, "", err
	}
	vkey, err = tree.VerifierKey(origin, key)
	return origin, vkey, err
}
