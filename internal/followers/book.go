package followers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// book is the followers in the database. It is safe for concurrent use, also by
// several processes.
type book struct {
	db *storage.DB
}

// everybody is the scope of who looks after all tenants.
const everybody = "*"

// change runs a write transaction on a tenant's followers, or everybody's.
func (b *book) change(ctx context.Context, scope string, fn func(*sql.Tx) error) error {
	return b.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := b.open(ctx, tx, scope); err != nil {
			return err
		}
		return fn(tx)
	})
}

// view runs a transaction that reads them.
func (b *book) view(ctx context.Context, scope string, fn func(*sql.Tx) error) error {
	tx, err := b.db.Read.BeginTx(ctx, nil)
	if err != nil {
		return storage.Classify(fmt.Errorf("begin: %w", err))
	}
	defer tx.Rollback()
	if err := b.open(ctx, tx, scope); err != nil {
		return storage.Classify(err)
	}
	return storage.Classify(fn(tx))
}

// open lets a transaction see the rows, where the database keeps others' from it.
func (b *book) open(ctx context.Context, tx *sql.Tx, scope string) error {
	if b.db.Dialect != storage.Postgres {
		return nil
	}
	if _, err := tx.ExecContext(ctx, storage.SetTasks, scope); err != nil {
		return fmt.Errorf("open a tenant's followers: %w", err)
	}
	return nil
}

const columns = `tenant, name, state, step, cursor, skip, entry, tries, code, error, failing_since, changed_at, changed_by, seen_at`

// row is a follower as it is stored.
type row struct {
	Status
	skip uint64 // or Nowhere
}

func scan(from interface{ Scan(...any) error }) (r row, err error) {
	var cursor, seen int64
	var skip, entry, failing, changed *int64
	err = from.Scan(&r.Tenant, &r.Name, &r.State, &r.Step, &cursor, &skip, &entry, &r.Tries, &r.Code, &r.Error, &failing, &changed, &r.ChangedBy, &seen)
	r.Cursor = uint64(cursor)
	if seen > 0 {
		r.SeenAt = time.UnixMilli(seen).UTC()
	}
	r.skip, r.Entry, r.FailingSince, r.ChangedAt = entryOf(skip), entryOf(entry), moment(failing), moment(changed)
	if r.State == Running && !r.FailingSince.IsZero() {
		r.State = Failing
	}
	return r, err
}

func entryOf(n *int64) uint64 {
	if n == nil {
		return Nowhere
	}
	return uint64(*n)
}

func moment(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

// storedEntry and storedTime are the inverses, for a statement.
func storedEntry(n uint64) any {
	if n == Nowhere {
		return nil
	}
	return int64(n)
}

func storedTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// rows reads what a condition names.
func (b *book) rows(ctx context.Context, scope, where string, args ...any) (out []row, err error) {
	err = b.view(ctx, scope, func(tx *sql.Tx) error {
		found, err := tx.QueryContext(ctx, `SELECT `+columns+` FROM followers WHERE `+where+` ORDER BY tenant, name`, args...)
		if err != nil {
			return fmt.Errorf("read followers: %w", err)
		}
		defer found.Close()
		for found.Next() {
			r, err := scan(found)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return found.Err()
	})
	return out, err
}

// reportText keeps what a follower says. A cursor never goes back, so the one of
// several processes that is furthest counts; why it is parked stays, and is not
// said again by one that has not heard yet that it was let go ($10).
const reportText = `INSERT INTO followers (` + columns + `) VALUES ($1, $2, 0, 0, $3, NULL, $4, $5, $6, $7, $8, NULL, '', $9)
	ON CONFLICT (tenant, name) DO UPDATE SET seen_at = excluded.seen_at,
		cursor = CASE WHEN followers.cursor > excluded.cursor THEN followers.cursor ELSE excluded.cursor END,
		skip = CASE WHEN followers.skip < excluded.cursor THEN NULL ELSE followers.skip END,
		entry = CASE WHEN followers.state = 2 OR $10 = 1 THEN followers.entry ELSE excluded.entry END,
		tries = CASE WHEN followers.state = 2 OR $10 = 1 THEN followers.tries ELSE excluded.tries END,
		code = CASE WHEN followers.state = 2 OR $10 = 1 THEN followers.code ELSE excluded.code END,
		error = CASE WHEN followers.state = 2 OR $10 = 1 THEN followers.error ELSE excluded.error END,
		failing_since = CASE WHEN followers.state = 2 OR $10 = 1 THEN followers.failing_since ELSE excluded.failing_since END`

// report keeps what followers say, which come in the order of tenant and name.
func (b *book) report(ctx context.Context, list []Status) error {
	return b.change(ctx, everybody, func(tx *sql.Tx) error {
		for i := range list {
			s := &list[i]
			if _, err := tx.ExecContext(ctx, reportText, s.Tenant, s.Name, int64(s.Cursor), storedEntry(s.Entry), s.Tries, s.Code, s.Error,
				storedTime(s.FailingSince), s.SeenAt.UnixMilli(), number(s.State == Paused || s.State == Parked)); err != nil {
				return fmt.Errorf("report a follower: %w", err)
			}
		}
		return nil
	})
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// What an event tells.
const (
	toldPaused   = "paused"
	toldParked   = "parked"
	toldResumed  = "resumed"
	toldRequeued = "requeued"
	toldSkipped  = "skipped"
)

// act changes one follower's state by what judge makes of it, and keeps the event
// that tells of it; with what "" there is nothing to change. there says that a
// follower is there although it has never been stored.
func (b *book) act(ctx context.Context, now time.Time, tenant, name, by string, there bool, judge func(*row) (what string, err error)) (s Status, err error) {
	err = b.change(ctx, tenant, func(tx *sql.Tx) error {
		r, err := b.lock(ctx, tx, tenant, name)
		if errors.Is(err, sql.ErrNoRows) && there {
			r, err = row{Status: Status{Tenant: tenant, Name: name, Entry: Nowhere}, skip: Nowhere}, nil
		}
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrUnknown
		}
		if err != nil {
			return err
		}
		what, err := judge(&r)
		if err != nil || what == "" {
			s = r.Status
			return err
		}
		r.Step++
		r.ChangedAt, r.ChangedBy = now.UTC().Truncate(time.Millisecond), by
		s = r.Status
		return errors.Join(write(ctx, tx, &r), note(ctx, tx, what, &r))
	})
	return s, err
}

func (b *book) lock(ctx context.Context, tx *sql.Tx, tenant, name string) (row, error) {
	text := `SELECT ` + columns + ` FROM followers WHERE tenant = $1 AND name = $2`
	if b.db.Dialect == storage.Postgres {
		text += ` FOR UPDATE`
	}
	return scan(tx.QueryRowContext(ctx, text, tenant, name))
}

func write(ctx context.Context, tx *sql.Tx, r *row) error {
	state := r.State
	if state == Failing {
		state = Running
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO followers (`+columns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (tenant, name) DO UPDATE SET state = excluded.state, step = excluded.step, cursor = excluded.cursor, skip = excluded.skip, entry = excluded.entry,
			tries = excluded.tries, code = excluded.code, error = excluded.error, failing_since = excluded.failing_since,
			changed_at = excluded.changed_at, changed_by = excluded.changed_by`,
		r.Tenant, r.Name, int(state), r.Step, int64(r.Cursor), storedEntry(r.skip), storedEntry(r.Entry), r.Tries, r.Code, r.Error,
		storedTime(r.FailingSince), storedTime(r.ChangedAt), r.ChangedBy, max(r.SeenAt.UnixMilli(), 0))
	if err != nil {
		return fmt.Errorf("change a follower: %w", err)
	}
	return nil
}

func note(ctx context.Context, tx *sql.Tx, what string, r *row) error {
	entry, code, text := r.Entry, r.Code, r.Error
	switch what {
	case toldSkipped:
		entry, code, text = r.skip, "", ""
	case toldParked:
		if code == unclassified {
			text = "" // it was not written for all who may read the timeline
		}
	default:
		entry, code, text = Nowhere, "", ""
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO follower_events (tenant, name, step, what, at, changed_by, entry, code, error) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		r.Tenant, r.Name, r.Step, what, r.ChangedAt.UnixMilli(), r.ChangedBy, storedEntry(entry), code, text)
	if err != nil {
		return fmt.Errorf("note a follower's change: %w", err)
	}
	return nil
}

// event is a change that a timeline is to tell of.
type event struct {
	tenant, name, what string
	step               int
	at                 time.Time
	by                 string
	entry              uint64
	code, text         string
}

// untold are the oldest events behind one, or of all.
func (b *book) untold(ctx context.Context, behind *event, limit int) (out []event, err error) {
	where, args := "", []any{limit}
	if behind != nil {
		where = `WHERE (at, tenant, name, step) > ($2, $3, $4, $5) `
		args = append(args, behind.at.UnixMilli(), behind.tenant, behind.name, behind.step)
	}
	err = b.view(ctx, everybody, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT tenant, name, step, what, at, changed_by, entry, code, error FROM follower_events `+where+`ORDER BY at, tenant, name, step LIMIT $1`, args...)
		if err != nil {
			return fmt.Errorf("read followers' changes: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			var e event
			var at int64
			var entry *int64
			if err := rows.Scan(&e.tenant, &e.name, &e.step, &e.what, &at, &e.by, &entry, &e.code, &e.text); err != nil {
				return err
			}
			e.at, e.entry = time.UnixMilli(at).UTC(), entryOf(entry)
			out = append(out, e)
		}
		return rows.Err()
	})
	return out, err
}

// told forgets an event.
func (b *book) told(ctx context.Context, e *event) error {
	return b.change(ctx, everybody, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM follower_events WHERE at = $1 AND tenant = $2 AND name = $3 AND step = $4`, e.at.UnixMilli(), e.tenant, e.name, e.step)
		return err
	})
}

// pause, resume, requeue and skip are what people do; park is the node's.

func pause(r *row) (string, error) {
	switch {
	case r.Name == Mirror:
		return "", ErrOperators
	case r.State == Paused:
		return "", nil
	}
	r.State = Paused
	return toldPaused, nil
}

func resume(r *row) (string, error) {
	if r.State == Running || r.State == Failing {
		return "", nil
	}
	r.release()
	return toldResumed, nil
}

func requeue(r *row) (string, error) {
	if r.State != Parked {
		return "", ErrNotHeld
	}
	r.release()
	return toldRequeued, nil
}

func skip(entry uint64) func(*row) (string, error) {
	return func(r *row) (string, error) {
		switch {
		case r.Name != Tasks:
			return "", ErrUnskipped
		case r.State != Parked || entry == Nowhere || r.Entry != entry:
			return "", ErrEntry
		}
		r.release()
		r.skip = entry
		return toldSkipped, nil
	}
}

func (r *row) release() {
	r.State, r.Entry, r.Tries, r.Code, r.Error, r.FailingSince = Running, Nowhere, 0, "", "", time.Time{}
}

// errHeld says that somebody has held the follower already.
var errHeld = fault.New(fault.Conflict, "follower_held", "the follower is held already")

func park(s *Status) func(*row) (string, error) {
	return func(r *row) (string, error) {
		if r.State == Paused || r.State == Parked {
			return "", errHeld
		}
		r.State, r.Cursor = Parked, max(r.Cursor, s.Cursor)
		r.Entry, r.Tries, r.Code, r.Error, r.FailingSince = s.Entry, s.Tries, s.Code, s.Error, s.FailingSince
		return toldParked, nil
	}
}
