package taskstore

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/span"
)

// Get implements tasks.Desk.
func (s *sqlite) Get(ctx context.Context, k tasks.Key) (tasks.Task, error) {
	found, err := s.tasks(ctx, "read", getText, k.Tenant, k.Origin, k.Action)
	if err == nil && len(found) == 0 {
		err = tasks.ErrUnknown
	}
	if err != nil {
		return tasks.Task{}, err
	}
	return found[0], nil
}

// List implements tasks.Desk.
func (s *sqlite) List(ctx context.Context, l tasks.List) ([]tasks.Task, error) {
	text, args := listText(&l)
	return s.tasks(ctx, "list", text, args...)
}

// Counts implements tasks.Desk.
func (s *sqlite) Counts(ctx context.Context, tenant string) (out []tasks.Counts, err error) {
	err = s.read(ctx, "count", func(row scanner) error {
		c, err := scanCounts(row)
		out = append(out, c)
		return err
	}, countsText, tenant)
	return out, err
}

// Tally implements tasks.Work.
func (s *sqlite) Tally(ctx context.Context, list []tasks.Tally, before time.Time) error {
	return s.write(ctx, "tally", func(w *writing) error {
		for i := range list {
			t := &list[i]
			if _, err := w.exec(`INSERT INTO task_minutes (tenant, queue, minute, completed, retried, failed) VALUES ($1, $2, $3, $4, $5, $6)
					ON CONFLICT DO UPDATE SET completed = completed + excluded.completed, retried = retried + excluded.retried, failed = failed + excluded.failed`,
				t.Tenant, t.Queue, minuteOf(t.Minute), t.Completed, t.Retried, t.Failed); err != nil {
				return err
			}
		}
		_, err := w.exec(`DELETE FROM task_minutes WHERE minute < $1`, minuteOf(before))
		return err
	})
}

// Recent implements tasks.Desk.
func (s *sqlite) Recent(ctx context.Context, tenant string, since time.Time) (out []tasks.Tally, err error) {
	err = s.read(ctx, "read tallies", func(row scanner) error {
		t, err := scanTally(tenant, row)
		out = append(out, t)
		return err
	}, recentText, tenant, minuteOf(since))
	return out, err
}

// Backlog implements tasks.Desk.
func (s *sqlite) Backlog(ctx context.Context, tenant string) (changes int64, oldest time.Time, err error) {
	var at *int64
	err = s.read(ctx, "count events", func(row scanner) error { return row.Scan(&changes, &at) }, backlogText, tenant)
	if at != nil {
		oldest = moment(*at)
	}
	return changes, oldest, err
}

// Cancel implements tasks.Desk.
func (s *sqlite) Cancel(ctx context.Context, now time.Time, k tasks.Key) (tasks.Task, error) {
	return s.change(ctx, "cancel", k, func(w *writing, t *tasks.Task) error {
		switch t.State {
		case tasks.Cancelled:
			return nil
		case tasks.Running:
			_, err := w.exec(`UPDATE tasks SET cancelling = 1, changed_at = $4 WHERE tenant = $1 AND origin = $2 AND action = $3`, k.Tenant, k.Origin, k.Action, now.UnixMilli())
			return err
		case tasks.Queued:
		default:
			return tasks.ErrEnded
		}
		if _, err := w.exec(`UPDATE tasks SET state = 4, step = step + 1, changed_at = $4 WHERE tenant = $1 AND origin = $2 AND action = $3`,
			k.Tenant, k.Origin, k.Action, now.UnixMilli()); err != nil {
			return err
		}
		if _, err := w.exec(`UPDATE task_queues SET queued = queued - 1, cancelled = cancelled + 1 WHERE tenant = $1 AND queue = $2`, k.Tenant, t.Queue); err != nil {
			return err
		}
		return w.note(&tasks.Event{Key: k, Caused: t.Seq != nil, Step: t.Step + 1, What: tasks.ToldCancelled, Attempt: t.Attempt, At: now})
	})
}

// Requeue implements tasks.Desk.
func (s *sqlite) Requeue(ctx context.Context, now time.Time, k tasks.Key, more int) (tasks.Task, error) {
	return s.change(ctx, "requeue", k, func(w *writing, t *tasks.Task) error {
		if t.State != tasks.Failed && t.State != tasks.Cancelled {
			return tasks.ErrNotEnded
		}
		if _, err := w.exec(`UPDATE tasks SET state = 0, step = step + 1, attempts = attempt + $4, run_at = $5, changed_at = $5
				WHERE tenant = $1 AND origin = $2 AND action = $3`, k.Tenant, k.Origin, k.Action, more, now.UnixMilli()); err != nil {
			return err
		}
		if _, err := w.exec(`UPDATE task_queues SET queued = queued + 1, failed = failed - $3, cancelled = cancelled - $4, next_at = min(coalesce(next_at, $5), $5)
				WHERE tenant = $1 AND queue = $2`, k.Tenant, t.Queue, number(t.State == tasks.Failed), number(t.State == tasks.Cancelled), now.UnixMilli()); err != nil {
			return err
		}
		return w.note(&tasks.Event{Key: k, Caused: t.Seq != nil, Step: t.Step + 1, What: tasks.ToldQueued, Attempt: t.Attempt, At: now, RunAt: now})
	})
}

// change changes one task and reads it.
func (s *sqlite) change(ctx context.Context, operation string, k tasks.Key, fn func(*writing, *tasks.Task) error) (t tasks.Task, err error) {
	err = s.write(ctx, operation, func(w *writing) error {
		read := func() error {
			return w.query(func(row scanner) (err error) { t, err = scanTask(row); return err }, getText, k.Tenant, k.Origin, k.Action)
		}
		if err := read(); err != nil {
			return err
		}
		if t.Origin == "" {
			return tasks.ErrUnknown
		}
		if err := fn(w, &t); err != nil {
			return err
		}
		return read()
	})
	return t, err
}

// Untold implements tasks.Journal.
func (s *sqlite) Untold(ctx context.Context, now, until time.Time, limit int) (out []tasks.Event, err error) {
	const text = openText + ` SELECT tenant FROM open`
	var open []string
	read := func(row scanner) error {
		var tenant string
		err := row.Scan(&tenant)
		open = append(open, tenant)
		return err
	}
	if err := s.read(ctx, "read events", read, text, now.UnixMilli()); err != nil || len(open) == 0 {
		return nil, err // without the write lock
	}
	err = s.write(ctx, "read events", func(w *writing) error {
		open = nil
		if err := w.query(read, text, now.UnixMilli()); err != nil {
			return err
		}
		for rest := limit; rest > 0 && len(open) > 0; rest = limit - len(out) {
			share, more := max(1, rest/len(open)), []string(nil)
			for _, tenant := range open {
				some, err := w.untold(tenant, now, until, min(share, limit-len(out)))
				if err != nil {
					return err
				}
				if out = append(out, some...); len(some) == share {
					more = append(more, tenant) // may have more
				}
			}
			open = more
		}
		return nil
	})
	return inOrder(out), err
}

// untold takes the oldest events of one tenant.
func (w *writing) untold(tenant string, now, until time.Time, limit int) (out []tasks.Event, err error) {
	if err := w.query(func(row scanner) error {
		e, err := scanEvent(row)
		out = append(out, e)
		return err
	}, untoldLite, tenant, now.UnixMilli(), limit); err != nil {
		return nil, err
	}
	for i := range out {
		e := &out[i]
		if _, err := w.exec(`UPDATE task_events SET taken_until = $6 WHERE tenant = $1 AND origin = $2 AND action = $3 AND step = $4 AND at = $5`,
			e.Tenant, e.Origin, e.Action, e.Step, e.At.UnixMilli(), until.UnixMilli()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

const untoldLite = `SELECT ` + eventColumns + ` FROM task_events WHERE tenant = $1 AND taken_until <= $2 ORDER BY at, origin, action, step LIMIT $3`

// Told implements tasks.Journal.
func (s *sqlite) Told(ctx context.Context, events []tasks.Event) error {
	return s.write(ctx, "forget events", func(w *writing) error {
		for i := range events {
			e := &events[i]
			if _, err := w.exec(`DELETE FROM task_events WHERE tenant = $1 AND origin = $2 AND action = $3 AND step = $4 AND at = $5`,
				e.Tenant, e.Origin, e.Action, e.Step, e.At.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget implements tasks.Journal.
func (s *sqlite) Forget(ctx context.Context, tenant string, before time.Time, limit int) (int, error) {
	var n int64
	err := s.write(ctx, "forget tasks", func(w *writing) (err error) {
		n, err = w.exec(`DELETE FROM tasks WHERE (tenant, origin, action) IN (
			SELECT tenant, origin, action FROM tasks WHERE tenant = $1 AND origin < $2 AND state IN (2, 4) ORDER BY origin, action LIMIT $3)`,
			tenant, span.NewID(before, [10]byte{}), limit)
		return err
	})
	return int(n), err
}
