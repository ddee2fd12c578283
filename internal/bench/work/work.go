// Package work runs the engine's store of tasks as a worker does, beside a bare
// queue of the same rows in the same database: rows marked by FOR UPDATE SKIP
// LOCKED on PostgreSQL, by an immediate transaction on SQLite, with no turns
// between tenants, no limits, no counts and nothing to tell a timeline.
package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/engine/tasks/taskstore"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	tenant = "0a000000-0000-8000-8000-000000000000"
	queue  = "emit"
)

// Queue is a database with queued tasks, and as many bare rows.
type Queue struct {
	db    *storage.DB
	store tasks.Store
	now   time.Time
}

// Open opens an empty database and puts so many tasks of one tenant into it, all
// due, and the same rows into the bare queue. On PostgreSQL asOwner runs
// statements as whoever may make tables and sees every row.
func Open(ctx context.Context, url string, count int, asOwner func(ctx context.Context, statements ...string) error) (_ *Queue, err error) {
	q := &Queue{now: time.Now()}
	if q.db, err = storage.Open(ctx, url); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.Close())
		}
	}()
	if err := q.db.Migrate(ctx); err != nil {
		return nil, err
	}
	q.store = taskstore.New(q.db)
	if q.db.Dialect == storage.Postgres {
		return q, asOwner(ctx, q.filling(count)...)
	}
	for _, statement := range q.filling(count) {
		if _, err := q.db.Write.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	// As a process finds it that starts: a connection that has written a million
	// rows at once keeps a table of pages of that size, and looks through it at the
	// end of every transaction.
	if err := q.db.Close(); err != nil {
		return nil, err
	}
	if q.db, err = storage.Open(ctx, url); err != nil {
		return nil, err
	}
	q.store = taskstore.New(q.db)
	return q, nil
}

// Close closes the database.
func (q *Queue) Close() error { return q.db.Close() }

// filling is the statements that fill the database.
func (q *Queue) filling(count int) []string {
	const bare = `tenant TEXT NOT NULL, origin TEXT NOT NULL, action INTEGER NOT NULL, queue TEXT NOT NULL, kind TEXT NOT NULL,
		name TEXT NOT NULL, priority INTEGER NOT NULL, state INTEGER NOT NULL, step INTEGER NOT NULL, attempt INTEGER NOT NULL, attempts INTEGER NOT NULL,
		run_at INTEGER NOT NULL, lease_until INTEGER, cancelling INTEGER NOT NULL, worker TEXT NOT NULL, seq INTEGER, asked_by TEXT NOT NULL,
		made_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, code TEXT NOT NULL, error TEXT NOT NULL, input BLOB, output BLOB,
		PRIMARY KEY (tenant, origin, action)`
	number, no := "printf('%012d', n)", "0"
	from := fmt.Sprintf("(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n FROM s)", count)
	table, after := "CREATE TABLE bare_tasks ("+bare+") STRICT, WITHOUT ROWID", "ANALYZE"
	if q.db.Dialect == storage.Postgres {
		number, no, from = "lpad(n::text, 12, '0')", "false", fmt.Sprintf("generate_series(1, %d) n", count)
		table, after = "CREATE TABLE bare_tasks (LIKE tasks, PRIMARY KEY (tenant, origin, action)) WITH (fillfactor = 80)", "GRANT ALL ON bare_tasks TO PUBLIC"
	}
	return []string{
		fmt.Sprintf(`INSERT INTO tasks (tenant, origin, action, queue, kind, name, priority, state, step, attempt, attempts, run_at, cancelling, worker,
				seq, asked_by, made_at, changed_at, code, error)
			SELECT '%s', '019c0000-0000-7000-8000-' || %s, 0, '%s', 'emit', 'a.b', 1, 0, 0, 0, 20, n, %s, '', n, '', 0, 0, '', '' FROM %s`, tenant, number, queue, no, from),
		`INSERT INTO task_queues (tenant, queue, most, queued, running, completed, failed, cancelled, next_at)
			SELECT tenant, queue, 1000000, count(*), 0, 0, 0, 0, min(run_at) FROM tasks GROUP BY tenant, queue`,
		table,
		`INSERT INTO bare_tasks SELECT * FROM tasks`,
		`CREATE INDEX bare_ready ON bare_tasks (run_at, origin, action) WHERE state = 0`,
		after,
	}
}

// Claim begins runs of the next tasks and says how long that took.
func (q *Queue) Claim(ctx context.Context, batch int) (list []tasks.Task, took time.Duration, err error) {
	began := time.Now()
	list, err = q.store.Claim(ctx, tasks.Claim{Now: q.now, Until: q.now.Add(time.Minute), Most: batch, Queues: []string{queue}, Worker: "bench"})
	took = time.Since(began)
	if err == nil && len(list) != batch {
		err = fmt.Errorf("%d tasks were claimed of %d", len(list), batch)
	}
	return list, took, err
}

// Complete ends their runs.
func (q *Queue) Complete(ctx context.Context, list []tasks.Task) (took time.Duration, err error) {
	ends := make([]tasks.Settlement, len(list))
	for i := range list {
		ends[i] = tasks.Settlement{Lease: list[i].Lease(), State: tasks.Completed}
	}
	began := time.Now()
	done, err := q.store.Settle(ctx, q.now, false, ends)
	took = time.Since(began)
	if err == nil && len(done) != len(list) {
		err = fmt.Errorf("%d tasks were completed of %d", len(done), len(list))
	}
	return took, err
}

// Bare does the same to the bare queue: two transactions that mark the next rows
// as running and read them, and mark them as completed.
func (q *Queue) Bare(ctx context.Context, batch int) (took time.Duration, err error) {
	began := time.Now()
	keys, err := q.bareClaim(ctx, batch)
	if err == nil {
		err = q.bareComplete(ctx, keys)
	}
	took = time.Since(began)
	if err == nil && len(keys) != batch {
		err = fmt.Errorf("%d bare rows were claimed of %d", len(keys), batch)
	}
	return took, err
}

// bareRow is what is read of a row: all of it, into as many places.
type bareRow [23]any

const (
	bareNext = `SELECT tenant, origin, action FROM bare_tasks WHERE state = 0 AND run_at <= $1 ORDER BY run_at, origin, action LIMIT $2`
	bareMark = `UPDATE bare_tasks SET state = 1, attempt = attempt + 1, lease_until = $3 WHERE (tenant, origin, action) IN (` + bareNext
)

func (q *Queue) bareClaim(ctx context.Context, batch int) (keys []string, err error) {
	each := func(scan func(...any) error) error {
		var row bareRow
		into := make([]any, len(row))
		for i := range row {
			into[i] = &row[i]
		}
		err := scan(into...)
		keys = append(keys, fmt.Sprint(row[1]))
		return err
	}
	until := q.now.Add(time.Minute).UnixMilli()
	if q.db.Dialect == storage.Postgres {
		rows, err := q.db.Pool().Query(ctx, bareMark+` FOR UPDATE SKIP LOCKED) RETURNING *`, q.now.UnixMilli(), batch, until)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			if err := each(rows.Scan); err != nil {
				return nil, err
			}
		}
		return keys, rows.Err()
	}
	rows, err := q.db.Write.QueryContext(ctx, bareMark+`) RETURNING *`, q.now.UnixMilli(), batch, until)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return nil, err
		}
	}
	return keys, rows.Err()
}

func (q *Queue) bareComplete(ctx context.Context, origins []string) error {
	if q.db.Dialect == storage.Postgres {
		_, err := q.db.Pool().Exec(ctx, `UPDATE bare_tasks SET state = 2, lease_until = NULL WHERE tenant = $1 AND origin = ANY ($2) AND action = 0`, tenant, origins)
		return err
	}
	list, err := json.Marshal(origins)
	if err != nil {
		return err
	}
	_, err = q.db.Write.ExecContext(ctx, `UPDATE bare_tasks SET state = 2, lease_until = NULL WHERE tenant = $1 AND origin IN (SELECT value FROM json_each($2)) AND action = 0`, tenant, string(list))
	return err
}
