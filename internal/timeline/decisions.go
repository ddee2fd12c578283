package timeline

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/standing"
)

// Decisions are the decision rows after everything admitted so far. Where they
// have to be read and the store is not at the session's head any more, the answer
// is ErrHeadMoved, to this and to everything after it.
func (s *Session) Decisions() DecisionState {
	if s.rows == nil {
		s.lv.rows.at(&s.head)
		s.rows = &overlay{base: readThrough{s}}
	}
	return s.rows
}

// Err is why nothing more can be admitted or committed, nil where it can.
func (s *Session) Err() error { return s.err }

// Wanted names decision rows that will be asked for: the row Key where Prefix is
// "", else Floor of Prefix and Key, or with a Limit their Range.
type Wanted struct {
	Prefix, Key string
	Limit       int
}

func (w *Wanted) ask() Ask {
	switch {
	case w.Prefix == "":
		return askKey(DecisionRows + w.Key)
	case w.Limit == 0:
		return askFloor(DecisionRows+w.Prefix, DecisionRows+w.Key)
	case w.Key == "":
		return askRange(DecisionRows+w.Prefix, "", min(w.Limit, MaxAsk))
	}
	return askRange(DecisionRows+w.Prefix, DecisionRows+w.Key, min(w.Limit, MaxAsk))
}

// Rows reads decision rows as of one committed head, which has that size.
func (l *Log) Rows(ctx context.Context, tenant string, wanted []Wanted) (size uint64, rows [][]standing.Row, err error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return 0, nil, err
	}
	asks, of := make([]Ask, 0, len(wanted)), make([]int, 0, len(wanted))
	for i := range wanted {
		if a := wanted[i].ask(); !a.empty() {
			asks, of = append(asks, a), append(of, i)
		}
	}
	got, err := l.store.Rows(ctx, id, asks)
	if err != nil {
		return 0, nil, err
	}
	rows = make([][]standing.Row, len(wanted))
	for i, n := range of {
		for _, r := range got.Rows[i] {
			rows[n] = append(rows[n], shown(r))
		}
	}
	return got.Size, rows, nil
}

// fold is what an admitted entry changes of the decision rows.
func (s *Session) fold(a *admitted) ([]standing.Row, error) {
	if s.log.cfg.Folder == nil {
		return nil, nil
	}
	rows, err := fold(s.ctx, s.log.cfg.Folder, a.entry, a.draft.Span.Payload, s.Decisions())
	if s.err != nil { // the store failed while the rows were asked for
		return nil, s.err
	}
	return rows, err
}

// stateRows are the state rows that the session changes, in order of key.
func (s *Session) stateRows() []standing.Row {
	rows := s.tx.Rows()
	if s.rows != nil {
		rows = append(rows, s.rows.changes()...)
	}
	return rows
}

// keepRows makes what a committed batch changed known at its head.
func (s *Session) keepRows(b *Batch) {
	if s.rows == nil {
		return // what is known is of another head now, and Decisions sees that
	}
	for i, r := range b.State {
		if r.Key >= DecisionRows {
			s.lv.rows.commit(b.State[i:], &b.Head)
			return
		}
	}
	s.lv.rows.commit(nil, &b.Head)
}

// readThrough is the decision rows at a session's head: what this process knows
// of them, and the store for the rest.
type readThrough struct{ s *Session }

var _ rowBase = readThrough{}

// readAhead is how many rows behind the one that was looked for are read with
// it: windows of time move forward.
const readAhead = 16

func (r readThrough) get(ctx context.Context, key string) ([]byte, error) {
	if r.s.create != nil {
		return nil, nil
	}
	if value, known := r.s.lv.rows.get(key); known {
		return value, nil
	}
	got, err := r.read(ctx, askKey(key))
	if err != nil || len(got[0]) == 0 {
		return nil, err
	}
	return got[0][0].Value, nil
}

func (r readThrough) rows(ctx context.Context, a Ask) ([]standing.Row, error) {
	if r.s.create != nil {
		return nil, nil
	}
	if rows, known := r.s.lv.rows.rows(&a); known {
		return rows, nil
	}
	got, err := r.read(ctx, withAhead(a)...)
	if err != nil {
		return nil, err
	}
	return got[0], nil
}

// withAhead is an ask with what is read beside it.
func withAhead(a Ask) []Ask {
	if a.Descending {
		if ahead := (Ask{Low: a.High, High: beyond(a.Low), Limit: readAhead}); !ahead.empty() {
			return []Ask{a, ahead}
		}
	}
	return []Ask{a}
}

// read asks the store, which must be at the session's head, and for what is
// foreseen too.
func (r readThrough) read(ctx context.Context, asks ...Ask) ([][]standing.Row, error) {
	s := r.s
	if s.err != nil {
		return nil, s.err
	}
	asks = append(asks, s.foreseen()...)
	got, err := s.log.store.Rows(ctx, s.lv.id, asks)
	if err == nil && (got.Size != s.head.Size || got.Root != s.head.Root) {
		s.lv.lostAt = time.Now()
		err = ErrHeadMoved
	}
	if err != nil {
		s.fail(err)
		return nil, err
	}
	for i := range asks {
		s.lv.rows.add(&asks[i], got.Rows[i])
	}
	return got.Rows, nil
}
