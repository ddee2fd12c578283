package taskstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
)

// Heartbeat implements tasks.Work.
func (s *sqlite) Heartbeat(ctx context.Context, until time.Time, list []tasks.Lease) (out []tasks.Beat, err error) {
	err = s.write(ctx, "heartbeat", func(w *writing) error {
		for _, l := range list {
			b := tasks.Beat{Lease: l}
			err := w.row([]any{&b.Cancelling}, `UPDATE tasks SET lease_until = $5 WHERE tenant = $1 AND origin = $2 AND action = $3 AND state = 1 AND attempt = $4
				RETURNING cancelling`, l.Tenant, l.Origin, l.Action, l.Attempt, until.UnixMilli())
			if b.Lost = errors.Is(err, sql.ErrNoRows); err != nil && !b.Lost {
				return err
			}
			out = append(out, b)
		}
		return nil
	})
	return out, err
}

// Note implements tasks.Work.
func (s *sqlite) Note(ctx context.Context, l tasks.Lease, output []byte) error {
	return s.write(ctx, "note", func(w *writing) error {
		_, err := w.exec(noteText, l.Tenant, l.Origin, l.Action, l.Attempt, output)
		return err
	})
}

// Settle implements tasks.Work.
func (s *sqlite) Settle(ctx context.Context, now time.Time, lapsed bool, ends []tasks.Settlement) (out []tasks.Key, err error) {
	err = s.write(ctx, "settle", func(w *writing) error {
		out, err = w.settle(now, lapsed, ends)
		return err
	})
	return out, err
}

// manner is in what way runs end; most that end together end alike.
type manner struct {
	state       tasks.State
	runAt       int64
	free        bool
	code, error string
}

// settleLite ends those runs, of the keys and attempts that are given, that are
// last ones. Tasks are found by their keys: "+state" keeps the planner from going
// through all that run, by the index of their leases.
const settleLite = `UPDATE tasks SET state = $4, step = step + 1, run_at = CASE $4 WHEN 0 THEN $5 ELSE run_at END,
		attempts = attempts + $6, lease_until = NULL, cancelling = 0, changed_at = $2, code = $7, error = $8, output = coalesce(CAST(g.p AS BLOB), output)
	FROM (SELECT value ->> 0 AS t, value ->> 1 AS o, value ->> 2 AS a, value ->> 3 AS n, value ->> 4 AS p FROM json_each($1)) g
	WHERE tenant = g.t AND origin = g.o AND action = g.a AND +state = 1 AND attempt = g.n AND (NOT $3 OR lease_until < $2)
	RETURNING tenant, origin, action, queue`

// endedText keeps for the timeline that they ended, and of those that are marked
// the output.
const endedText = `INSERT INTO task_events (` + eventColumns + `, taken_until)
	SELECT t.tenant, t.origin, t.action, t.seq IS NOT NULL, t.step, $2, t.attempt, $3, CASE t.state WHEN 0 THEN t.run_at END, t.code, t.error,
		CASE k.value ->> 3 WHEN 1 THEN t.output END, 0
	FROM json_each($1) k JOIN tasks t ON t.tenant = k.value ->> 0 AND t.origin = k.value ->> 1 AND t.action = k.value ->> 2`

// settle ends runs, and counts and notes those that were the last ones.
func (w *writing) settle(now time.Time, lapsed bool, ends []tasks.Settlement) (out []tasks.Key, err error) {
	alike := map[manner][]*tasks.Settlement{}
	for i := range ends {
		e := &ends[i]
		m := manner{e.State, 0, e.Free, e.Code, e.Error}
		if e.State == tasks.Queued {
			m.runAt = e.RunAt.UnixMilli()
		}
		alike[m] = append(alike[m], e)
	}
	for m, some := range alike {
		done, err := w.settleAlike(now, lapsed, &m, some)
		if err != nil {
			return nil, err
		}
		out = append(out, done...)
	}
	return out, nil
}

func (w *writing) settleAlike(now time.Time, lapsed bool, m *manner, ends []*tasks.Settlement) (out []tasks.Key, err error) {
	given, carries := make([][5]any, len(ends)), map[tasks.Key]int{}
	for i, e := range ends {
		given[i] = [5]any{e.Tenant, e.Origin, e.Action, e.Attempt}
		if e.Output != nil {
			given[i][4] = string(e.Output)
			carries[e.Key] = number(result(e.Output) != nil)
		}
	}
	type of struct{ tenant, queue string }
	counts := map[of]int{}
	var marked [][4]any
	if err := w.query(func(row scanner) error {
		var k tasks.Key
		var queue string
		err := row.Scan(&k.Tenant, &k.Origin, &k.Action, &queue)
		counts[of{k.Tenant, queue}]++
		out, marked = append(out, k), append(marked, [4]any{k.Tenant, k.Origin, k.Action, carries[k]})
		return err
	}, settleLite, list(given), now.UnixMilli(), lapsed, int(m.state), m.runAt, number(m.free), m.code, m.error); err != nil || len(out) == 0 {
		return nil, err
	}
	var next any
	if m.state == tasks.Queued {
		next = m.runAt
	}
	for q, n := range counts {
		back := func(s tasks.State) int { return n * number(m.state == s) }
		if _, err := w.exec(`UPDATE task_queues SET running = running - $3, queued = queued + $4, completed = completed + $5, failed = failed + $6, cancelled = cancelled + $7,
				next_at = CASE WHEN $8 IS NULL THEN next_at ELSE min(coalesce(next_at, $8), $8) END WHERE tenant = $1 AND queue = $2`,
			q.tenant, q.queue, n, back(tasks.Queued), back(tasks.Completed), back(tasks.Failed), back(tasks.Cancelled), next); err != nil {
			return nil, err
		}
	}
	_, err = w.exec(endedText, list(marked), told(m.state), now.UnixMilli())
	return out, err
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Lapsed implements tasks.Work.
func (s *sqlite) Lapsed(ctx context.Context, now time.Time, limit int) ([]tasks.Task, error) {
	return s.tasks(ctx, "look for ended leases", lapsedText, now.UnixMilli(), limit)
}
