package taskstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/storage"
)

// sqlite keeps tasks in SQLite, whose write transactions come one after the
// other: what one has read stays true until its commit.
type sqlite struct {
	db *storage.DB

	mu     sync.Mutex           // guards the rest
	asks   *sql.Stmt            // dueText, for the connections that read; nil until it is asked
	ready  map[string]*sql.Stmt // prepared once for the one connection that writes, and closed with it
	wanted []string             // to be prepared before the next transaction, which has that connection
}

// prepare prepares the statements that transactions have met.
func (s *sqlite) prepare(ctx context.Context) {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = nil
	s.mu.Unlock()
	for _, text := range wanted {
		st, err := s.db.Write.PrepareContext(ctx, text)
		if err != nil {
			continue // the transaction will say so
		}
		s.mu.Lock()
		if s.ready[text] == nil {
			s.ready[text], st = st, nil
		}
		s.mu.Unlock()
		if st != nil {
			_ = st.Close() // another one was faster
		}
	}
}

// write runs fn in a transaction; its errors come back classified.
func (s *sqlite) write(ctx context.Context, operation string, fn func(w *writing) error) error {
	s.prepare(ctx)
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		w := &writing{ctx: ctx, tx: tx, store: s, prepared: map[string]*sql.Stmt{}}
		if err := fn(w); err != nil {
			return fmt.Errorf("tasks: %s: %w", operation, err)
		}
		return nil
	})
}

// writing is a transaction and its statements.
type writing struct {
	ctx      context.Context
	tx       *sql.Tx
	store    *sqlite
	prepared map[string]*sql.Stmt
}

func (w *writing) statement(text string) (*sql.Stmt, error) {
	if st := w.prepared[text]; st != nil {
		return st, nil
	}
	w.store.mu.Lock()
	ready := w.store.ready[text]
	if ready == nil {
		w.store.wanted = append(w.store.wanted, text)
	}
	w.store.mu.Unlock()
	if ready != nil {
		w.prepared[text] = w.tx.StmtContext(w.ctx, ready)
		return w.prepared[text], nil
	}
	st, err := w.tx.PrepareContext(w.ctx, text) // closed with the transaction
	w.prepared[text] = st
	return st, err
}

// exec says how many rows a statement changed.
func (w *writing) exec(text string, args ...any) (int64, error) {
	st, err := w.statement(text)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(w.ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs scan on each row. Nothing else is asked meanwhile: there is one
// connection.
func (w *writing) query(scan func(scanner) error, text string, args ...any) error {
	st, err := w.statement(text)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(w.ctx, args...)
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// row reads one row; sql.ErrNoRows where there is none.
func (w *writing) row(into []any, text string, args ...any) error {
	found := false
	err := w.query(func(row scanner) error { found = true; return row.Scan(into...) }, text, args...)
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return err
}

func each(rows *sql.Rows, scan func(scanner) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// read runs scan on each row of a question outside of any transaction.
func (s *sqlite) read(ctx context.Context, operation string, scan func(scanner) error, text string, args ...any) error {
	rows, err := s.db.Read.QueryContext(ctx, text, args...)
	if err == nil {
		err = each(rows, scan)
	}
	if err != nil {
		return storage.Classify(fmt.Errorf("tasks: %s: %w", operation, err))
	}
	return nil
}

func (s *sqlite) tasks(ctx context.Context, operation, text string, args ...any) (out []tasks.Task, err error) {
	err = s.read(ctx, operation, func(row scanner) error {
		t, err := scanTask(row)
		out = append(out, t)
		return err
	}, text, args...)
	return out, err
}

// Time implements tasks.Timekeeper: the database is this machine's.
func (s *sqlite) Time(context.Context) (t time.Time, ok bool, err error) { return t, false, nil }

// Cursor implements tasks.Inbox.
func (s *sqlite) Cursor(ctx context.Context, tenant string) (next uint64, err error) {
	err = s.read(ctx, "read cursor", func(row scanner) error { return row.Scan(&next) }, `SELECT next FROM task_cursors WHERE tenant = $1`, tenant)
	return next, err
}

// Advance implements tasks.Inbox.
func (s *sqlite) Advance(ctx context.Context, now time.Time, tenant string, from, to uint64, list []tasks.Draft) (made int, err error) {
	err = s.write(ctx, "take in", func(w *writing) error {
		var stands int64
		if err := w.row([]any{&stands}, `SELECT next FROM task_cursors WHERE tenant = $1`, tenant); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if uint64(stands) != from {
			return tasks.ErrMoved
		}
		if _, err := w.exec(`INSERT INTO task_cursors (tenant, next) VALUES ($1, $2) ON CONFLICT DO UPDATE SET next = excluded.next`, tenant, int64(to)); err != nil {
			return err
		}
		made, err = w.insert(now, tenant, list)
		return err
	})
	return made, err
}

// Add implements tasks.Inbox.
func (s *sqlite) Add(ctx context.Context, now time.Time, tenant string, t tasks.Draft) error {
	return s.write(ctx, "add", func(w *writing) error {
		_, err := w.insert(now, tenant, []tasks.Draft{t})
		return err
	})
}

// insert makes those tasks that are not there, and says how many.
func (w *writing) insert(now time.Time, tenant string, list []tasks.Draft) (made int, err error) {
	for i := range list {
		t := &list[i]
		var seq any
		if t.Seq != nil {
			seq = int64(*t.Seq)
		}
		n, err := w.exec(`INSERT INTO tasks (tenant, origin, action, queue, kind, name, priority, state, step, attempt, attempts, run_at, cancelling, worker,
				seq, asked_by, made_at, changed_at, code, error, input)
			VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, $8, $9, 0, '', $10, $11, $12, $12, '', '', $13) ON CONFLICT DO NOTHING`,
			tenant, t.Origin, t.Action, t.Queue, t.Kind, t.Name, t.Priority, t.Attempts, t.RunAt.UnixMilli(), seq, t.AskedBy, now.UnixMilli(), t.Input)
		if err != nil {
			return made, err
		}
		if n == 0 {
			continue
		}
		made++
		if _, err := w.exec(`INSERT INTO task_queues (tenant, queue, most, queued, running, completed, failed, cancelled, next_at)
				VALUES ($1, $2, CASE WHEN EXISTS (SELECT 1 FROM tenant_rests r WHERE r.tenant = $1) THEN -$3 ELSE $3 END, 1, 0, 0, 0, 0, $4)
				ON CONFLICT DO UPDATE SET queued = queued + 1, most = excluded.most, next_at = min(coalesce(next_at, excluded.next_at), excluded.next_at)`,
			tenant, t.Queue, t.Most, t.RunAt.UnixMilli()); err != nil {
			return made, err
		}
		if t.Seq == nil {
			e := tasks.Event{Key: tasks.Key{Tenant: tenant, Origin: t.Origin, Action: t.Action}, What: tasks.ToldQueued, At: now, RunAt: t.RunAt}
			if err := w.note(&e); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// note keeps an event for the timeline.
func (w *writing) note(e *tasks.Event) error {
	var runAt any
	if !e.RunAt.IsZero() {
		runAt = e.RunAt.UnixMilli()
	}
	_, err := w.exec(`INSERT INTO task_events (`+eventColumns+`, taken_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0)`,
		e.Tenant, e.Origin, e.Action, e.Caused, e.Step, e.What, e.Attempt, e.At.UnixMilli(), runAt, e.Code, e.Error, e.Result)
	return err
}

// Limit implements tasks.Inbox.
func (s *sqlite) Limit(ctx context.Context, queue string, most int) error {
	return s.write(ctx, "limit a queue", func(w *writing) error {
		_, err := w.exec(`UPDATE task_queues SET most = CASE WHEN most < 0 THEN -$2 ELSE $2 END WHERE queue = $1 AND abs(most) <> $2`, queue, most)
		return err
	})
}

// Rest implements tasks.Inbox.
func (s *sqlite) Rest(ctx context.Context, tenant string, rest bool) error {
	return s.write(ctx, "rest", func(w *writing) error {
		text := riseText
		if rest {
			text = restText
		}
		if _, err := w.exec(text, tenant); err != nil {
			return err
		}
		_, err := w.exec(limitText, tenant)
		return err
	})
}

// Hush implements tasks.Journal.
func (s *sqlite) Hush(ctx context.Context, tenant string) error {
	return s.write(ctx, "hush", func(w *writing) error {
		_, err := w.exec(hushText, tenant)
		return err
	})
}

// list is items as a JSON array.
func list[T any](items []T) string {
	b, err := json.Marshal(items)
	if err != nil {
		return "[]" // unreachable: texts and numbers have a form
	}
	return string(b)
}
