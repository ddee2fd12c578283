package taskstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// postgres keeps tasks in PostgreSQL. Each call is one message and, without
// BEGIN and COMMIT, one transaction: it first says whose tasks it is about, which
// row-level security goes by.
type postgres struct{ db *storage.DB }

// timeout bounds one call whatever becomes of the network to the server.
const timeout = 45 * time.Second

// ask sends one statement about a tenant's tasks, or everybody's, and runs scan
// on each row of its answer.
func (p *postgres) ask(ctx context.Context, operation, scope string, scan func(pgx.Rows) error, text string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := p.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	b := &pgx.Batch{}
	b.Queue(storage.SetTasks, scope)
	b.Queue(text, args...).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return storage.Classify(fmt.Errorf("tasks: %s: %w", operation, err))
	}
	return nil
}

// one is ask for one row at most.
func (p *postgres) one(ctx context.Context, operation, scope string, into []any, text string, args ...any) (found bool, err error) {
	err = p.ask(ctx, operation, scope, func(rows pgx.Rows) error {
		found = true
		return rows.Scan(into...)
	}, text, args...)
	return found, err
}

// Time implements tasks.Timekeeper.
func (p *postgres) Time(ctx context.Context) (t time.Time, ok bool, err error) {
	ok, err = p.one(ctx, "ask the time", "", []any{&t}, `SELECT clock_timestamp()`)
	return t, ok, err
}

// Cursor implements tasks.Inbox.
func (p *postgres) Cursor(ctx context.Context, tenant string) (next uint64, err error) {
	_, err = p.one(ctx, "read cursor", tenant, []any{&next}, `SELECT next FROM task_cursors WHERE tenant = $1`, tenant)
	return next, err
}

// drafts are the columns of drafts as arrays.
type drafts struct {
	origin, queue, kind, name, askedBy   []string
	action, priority, attempts, mostOnce []int32
	runAt                                []int64
	seq                                  []*int64
	input                                [][]byte
}

func columnsOf(list []tasks.Draft) (d drafts) {
	for i := range list {
		t := &list[i]
		d.origin, d.queue, d.kind = append(d.origin, t.Origin), append(d.queue, t.Queue), append(d.kind, t.Kind)
		d.name, d.askedBy = append(d.name, t.Name), append(d.askedBy, t.AskedBy)
		d.action, d.priority = append(d.action, int32(t.Action)), append(d.priority, int32(t.Priority))
		d.attempts, d.mostOnce = append(d.attempts, int32(t.Attempts)), append(d.mostOnce, int32(t.Most))
		d.runAt, d.input = append(d.runAt, t.RunAt.UnixMilli()), append(d.input, t.Input)
		var seq *int64
		if t.Seq != nil {
			n := int64(*t.Seq)
			seq = &n
		}
		d.seq = append(d.seq, seq)
	}
	return d
}

// insertText makes tasks of the tenant $1 at $2. It follows a condition named
// moved, and says how many were made.
const insertText = `, given AS (
		SELECT * FROM unnest($3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[], $10::int[], $11::bigint[], $12::bigint[], $13::text[], $14::bytea[])
			AS g (origin, action, queue, kind, name, priority, attempts, most, run_at, seq, asked_by, input)
	), made AS (
		INSERT INTO tasks (tenant, origin, action, queue, kind, name, priority, state, step, attempt, attempts, run_at, cancelling, worker,
			seq, asked_by, made_at, changed_at, code, error, input)
		SELECT $1, g.origin, g.action, g.queue, g.kind, g.name, g.priority, 0, 0, 0, g.attempts, g.run_at, false, '', g.seq, g.asked_by, $2, $2, '', '', g.input
		FROM given g WHERE EXISTS (SELECT FROM moved) ON CONFLICT DO NOTHING
		RETURNING origin, action, queue, run_at, seq
	), counted AS (
		INSERT INTO task_queues (tenant, queue, most, queued, running, completed, failed, cancelled, next_at)
		SELECT $1, m.queue, (SELECT max(g.most) FROM given g WHERE g.queue = m.queue) * (CASE WHEN EXISTS (SELECT FROM tenant_rests r WHERE r.tenant = $1) THEN -1 ELSE 1 END), count(*), 0, 0, 0, 0, min(m.run_at) FROM made m GROUP BY m.queue ORDER BY m.queue
		ON CONFLICT (tenant, queue) DO UPDATE SET queued = task_queues.queued + excluded.queued, most = excluded.most,
			next_at = least(task_queues.next_at, excluded.next_at)
	), noted AS (
		INSERT INTO task_events (tenant, origin, action, caused, step, what, attempt, at, run_at, code, error, taken_until)
		SELECT $1, m.origin, m.action, false, 0, 'queued', 0, $2, m.run_at, '', '', 0 FROM made m WHERE m.seq IS NULL
	)
	SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM made)`

const advanceText = `WITH moved AS (
		INSERT INTO task_cursors (tenant, next) SELECT $1, $16::bigint
		WHERE $15::bigint = 0 OR EXISTS (SELECT FROM task_cursors c WHERE c.tenant = $1)
		ON CONFLICT (tenant) DO UPDATE SET next = excluded.next WHERE task_cursors.next = $15 RETURNING 1
	)` + insertText

// Advance implements tasks.Inbox.
func (p *postgres) Advance(ctx context.Context, now time.Time, tenant string, from, to uint64, list []tasks.Draft) (made int, err error) {
	d := columnsOf(list)
	var moved int
	_, err = p.one(ctx, "take in", tenant, []any{&moved, &made}, advanceText, tenant, now.UnixMilli(),
		d.origin, d.action, d.queue, d.kind, d.name, d.priority, d.attempts, d.mostOnce, d.runAt, d.seq, d.askedBy, d.input, int64(from), int64(to))
	if err == nil && moved == 0 {
		err = tasks.ErrMoved
	}
	return made, err
}

// Add implements tasks.Inbox.
func (p *postgres) Add(ctx context.Context, now time.Time, tenant string, t tasks.Draft) error {
	d := columnsOf([]tasks.Draft{t})
	var moved, made int
	_, err := p.one(ctx, "add", tenant, []any{&moved, &made}, `WITH moved AS (SELECT 1)`+insertText, tenant, now.UnixMilli(),
		d.origin, d.action, d.queue, d.kind, d.name, d.priority, d.attempts, d.mostOnce, d.runAt, d.seq, d.askedBy, d.input)
	return err
}

// Limit implements tasks.Inbox.
func (p *postgres) Limit(ctx context.Context, queue string, most int) error {
	return p.ask(ctx, "limit a queue", everybody, none, `WITH held AS MATERIALIZED (
			SELECT tenant FROM task_queues WHERE queue = $1 AND abs(most) <> $2 ORDER BY tenant FOR UPDATE)
		UPDATE task_queues q SET most = CASE WHEN q.most < 0 THEN -$2::int ELSE $2::int END FROM held h WHERE q.tenant = h.tenant AND q.queue = $1`, queue, most)
}

// Rest implements tasks.Inbox. The limits are set in a statement that sees what the
// one before it committed; a process that ends between the two left limits that the
// next one sets.
func (p *postgres) Rest(ctx context.Context, tenant string, rest bool) error {
	text := riseText
	if rest {
		text = restText
	}
	if err := p.ask(ctx, "rest", everybody, none, text, tenant); err != nil {
		return err
	}
	return p.ask(ctx, "rest", everybody, none, `WITH held AS MATERIALIZED (SELECT tenant FROM task_queues WHERE tenant = $1 ORDER BY tenant, queue FOR UPDATE)
		UPDATE task_queues q SET most = CASE WHEN EXISTS (SELECT 1 FROM tenant_rests r WHERE r.tenant = $1) THEN -abs(most) ELSE abs(most) END
		FROM (SELECT count(*) FROM held) h WHERE q.tenant = $1`, tenant)
}

// Hush implements tasks.Journal.
func (p *postgres) Hush(ctx context.Context, tenant string) error {
	return p.ask(ctx, "hush", everybody, none, hushText, tenant)
}

// everybody is the scope of workers.
const everybody = "*"

func none(pgx.Rows) error { return nil }

const claimText = `SELECT ` + columns + ` FROM logline_claim_tasks($1, $2, $3, $4, $5, $6)`

// Claim implements tasks.Work.
func (p *postgres) Claim(ctx context.Context, c tasks.Claim) (out []tasks.Task, err error) {
	err = p.ask(ctx, "claim", everybody, func(rows pgx.Rows) error {
		t, err := scanTask(rows)
		out = append(out, t)
		return err
	}, claimText, c.Now.UnixMilli(), c.Until.UnixMilli(), c.Most, c.After, c.Queues, c.Worker)
	return out, err
}

// leases are the columns of leases as arrays.
func leases(list []tasks.Lease) (tenant, origin []string, action, attempt []int32, queue []string) {
	for _, l := range list {
		tenant, origin, queue = append(tenant, l.Tenant), append(origin, l.Origin), append(queue, l.Queue)
		action, attempt = append(action, int32(l.Action)), append(attempt, int32(l.Attempt))
	}
	return tenant, origin, action, attempt, queue
}

// A lease that somebody is settling is passed over: it is not lost, and the next
// heartbeat sees what came of it. Tasks are found by their keys: "state + 0" keeps
// the planner from going through all that run, by the index of their leases, once
// for each lease.
const heartbeatText = `WITH given AS (
		SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[]) AS g (tenant, origin, action, attempt, queue)
	), mine AS (
		SELECT t.tenant, t.origin, t.action FROM given g JOIN tasks t ON t.tenant = g.tenant AND t.origin = g.origin AND t.action = g.action
		WHERE t.state + 0 = 1 AND t.attempt = g.attempt FOR UPDATE OF t SKIP LOCKED
	), extended AS (
		UPDATE tasks t SET lease_until = $6 FROM mine m WHERE t.tenant = m.tenant AND t.origin = m.origin AND t.action = m.action
	)
	SELECT g.tenant, g.origin, g.action, g.attempt, g.queue, t.tenant IS NULL, coalesce(t.cancelling, false)
	FROM given g LEFT JOIN tasks t ON t.tenant = g.tenant AND t.origin = g.origin AND t.action = g.action AND t.state + 0 = 1 AND t.attempt = g.attempt`

// Heartbeat implements tasks.Work.
func (p *postgres) Heartbeat(ctx context.Context, until time.Time, list []tasks.Lease) (out []tasks.Beat, err error) {
	tenant, origin, action, attempt, queue := leases(list)
	err = p.ask(ctx, "heartbeat", everybody, func(rows pgx.Rows) error {
		var b tasks.Beat
		err := rows.Scan(&b.Tenant, &b.Origin, &b.Action, &b.Attempt, &b.Queue, &b.Lost, &b.Cancelling)
		out = append(out, b)
		return err
	}, heartbeatText, tenant, origin, action, attempt, queue, until.UnixMilli())
	return out, err
}

// Note implements tasks.Work.
func (p *postgres) Note(ctx context.Context, l tasks.Lease, output []byte) error {
	return p.ask(ctx, "note", everybody, none, noteText, l.Tenant, l.Origin, l.Action, l.Attempt, output)
}

const noteText = `UPDATE tasks SET output = $5 WHERE tenant = $1 AND origin = $2 AND action = $3 AND state = 1 AND attempt = $4`

const settleText = `WITH given AS (
		SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[], $6::int[], $7::bigint[], $8::int[], $9::text[], $10::text[], $11::bytea[], $12::text[], $13::bytea[])
			AS g (tenant, origin, action, attempt, queue, state, run_at, free, code, error, output, what, result)
	), held AS MATERIALIZED (
		SELECT q.tenant FROM task_queues q WHERE (q.tenant, q.queue) IN (SELECT tenant, queue FROM given) ORDER BY q.tenant, q.queue FOR UPDATE
	), ended AS (
		UPDATE tasks t SET state = g.state, step = t.step + 1, run_at = CASE g.state WHEN 0 THEN g.run_at ELSE t.run_at END, attempts = t.attempts + g.free, lease_until = NULL,
			cancelling = false, changed_at = $14, code = g.code, error = g.error, output = coalesce(g.output, t.output)
		FROM given g, (SELECT count(*) FROM held) h
		WHERE t.tenant = g.tenant AND t.origin = g.origin AND t.action = g.action AND t.state + 0 = 1 AND t.attempt = g.attempt
			AND (NOT $15::boolean OR t.lease_until < $14)
		RETURNING t.tenant, t.origin, t.action, t.queue, t.state, t.step, t.attempt, t.run_at, t.seq, t.code, t.error, g.what, g.result
	), counted AS (
		UPDATE task_queues q SET running = q.running - e.n, queued = q.queued + e.back, completed = q.completed + e.completed,
			failed = q.failed + e.failed, cancelled = q.cancelled + e.cancelled, next_at = least(q.next_at, e.next_at)
		FROM (SELECT tenant, queue, count(*) AS n, count(*) FILTER (WHERE state = 0) AS back, count(*) FILTER (WHERE state = 2) AS completed,
				count(*) FILTER (WHERE state = 3) AS failed, count(*) FILTER (WHERE state = 4) AS cancelled, min(run_at) FILTER (WHERE state = 0) AS next_at
			FROM ended GROUP BY tenant, queue) e
		WHERE q.tenant = e.tenant AND q.queue = e.queue
	), noted AS (
		INSERT INTO task_events (tenant, origin, action, caused, step, what, attempt, at, run_at, code, error, result, taken_until)
		SELECT tenant, origin, action, seq IS NOT NULL, step, what, attempt, $14, CASE state WHEN 0 THEN run_at END, code, error, result, 0 FROM ended
	)
	SELECT tenant, origin, action FROM ended`

// Settle implements tasks.Work.
func (p *postgres) Settle(ctx context.Context, now time.Time, lapsed bool, ends []tasks.Settlement) (out []tasks.Key, err error) {
	list := make([]tasks.Lease, len(ends))
	state, free := make([]int32, len(ends)), make([]int32, len(ends))
	runAt := make([]int64, len(ends))
	code, text, what := make([]string, len(ends)), make([]string, len(ends)), make([]string, len(ends))
	output, short := make([][]byte, len(ends)), make([][]byte, len(ends))
	for i := range ends {
		e := &ends[i]
		list[i], state[i], runAt[i] = e.Lease, int32(e.State), e.RunAt.UnixMilli()
		code[i], text[i], what[i] = e.Code, e.Error, told(e.State)
		output[i], short[i] = e.Output, result(e.Output)
		if e.Free {
			free[i] = 1
		}
	}
	tenant, origin, action, attempt, queue := leases(list)
	err = p.ask(ctx, "settle", everybody, func(rows pgx.Rows) error {
		var k tasks.Key
		err := rows.Scan(&k.Tenant, &k.Origin, &k.Action)
		out = append(out, k)
		return err
	}, settleText, tenant, origin, action, attempt, queue, state, runAt, free, code, text, output, what, short, now.UnixMilli(), lapsed)
	return out, err
}

const lapsedText = `SELECT ` + columns + ` FROM tasks WHERE state = 1 AND lease_until < $1 ORDER BY lease_until LIMIT $2`

// Lapsed implements tasks.Work.
func (p *postgres) Lapsed(ctx context.Context, now time.Time, limit int) (out []tasks.Task, err error) {
	return p.tasks(ctx, "look for ended leases", everybody, lapsedText, now.UnixMilli(), limit)
}

func (p *postgres) tasks(ctx context.Context, operation, scope, text string, args ...any) (out []tasks.Task, err error) {
	err = p.ask(ctx, operation, scope, func(rows pgx.Rows) error {
		t, err := scanTask(rows)
		out = append(out, t)
		return err
	}, text, args...)
	return out, err
}

const getText = `SELECT ` + columns + ` FROM tasks WHERE tenant = $1 AND origin = $2 AND action = $3`

// Get implements tasks.Desk.
func (p *postgres) Get(ctx context.Context, k tasks.Key) (tasks.Task, error) {
	found, err := p.tasks(ctx, "read", k.Tenant, getText, k.Tenant, k.Origin, k.Action)
	if err == nil && len(found) == 0 {
		err = tasks.ErrUnknown
	}
	if err != nil {
		return tasks.Task{}, err
	}
	return found[0], nil
}

// List implements tasks.Desk.
func (p *postgres) List(ctx context.Context, l tasks.List) ([]tasks.Task, error) {
	text, args := listText(&l)
	return p.tasks(ctx, "list", l.Tenant, text, args...)
}

const countsText = `SELECT queue, most, queued, running, completed, failed, cancelled, next_at FROM task_queues WHERE tenant = $1 ORDER BY queue`

// Counts implements tasks.Desk.
func (p *postgres) Counts(ctx context.Context, tenant string) (out []tasks.Counts, err error) {
	err = p.ask(ctx, "count", tenant, func(rows pgx.Rows) error {
		c, err := scanCounts(rows)
		out = append(out, c)
		return err
	}, countsText, tenant)
	return out, err
}

// tallyText adds up in the order of the key, so that nobody waits in a circle.
const tallyText = `INSERT INTO task_minutes (tenant, queue, minute, completed, retried, failed)
	SELECT g.tenant, g.queue, g.minute, g.completed, g.retried, g.failed
	FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS g (tenant, queue, minute, completed, retried, failed)
	ORDER BY g.tenant, g.minute, g.queue
	ON CONFLICT (tenant, minute, queue) DO UPDATE SET completed = task_minutes.completed + excluded.completed,
		retried = task_minutes.retried + excluded.retried, failed = task_minutes.failed + excluded.failed`

// Tally implements tasks.Work.
func (p *postgres) Tally(ctx context.Context, list []tasks.Tally, before time.Time) error {
	var tenant, queue []string
	var minute, completed, retried, failed []int64
	for i := range list {
		t := &list[i]
		tenant, queue, minute = append(tenant, t.Tenant), append(queue, t.Queue), append(minute, minuteOf(t.Minute))
		completed, retried, failed = append(completed, t.Completed), append(retried, t.Retried), append(failed, t.Failed)
	}
	if err := p.ask(ctx, "tally", everybody, none, tallyText, tenant, queue, minute, completed, retried, failed); err != nil {
		return err
	}
	return p.ask(ctx, "forget tallies", everybody, none, `DELETE FROM task_minutes WHERE minute < $1`, minuteOf(before))
}

// Recent implements tasks.Desk.
func (p *postgres) Recent(ctx context.Context, tenant string, since time.Time) (out []tasks.Tally, err error) {
	err = p.ask(ctx, "read tallies", tenant, func(rows pgx.Rows) error {
		t, err := scanTally(tenant, rows)
		out = append(out, t)
		return err
	}, recentText, tenant, minuteOf(since))
	return out, err
}

// Backlog implements tasks.Desk.
func (p *postgres) Backlog(ctx context.Context, tenant string) (changes int64, oldest time.Time, err error) {
	var at *int64
	_, err = p.one(ctx, "count events", tenant, []any{&changes, &at}, backlogText, tenant)
	if at != nil {
		oldest = moment(*at)
	}
	return changes, oldest, err
}

// held locks the queue of one task before it is changed.
const heldText = `WITH held AS MATERIALIZED (
		SELECT q.queue FROM task_queues q WHERE q.tenant = $1
			AND q.queue = (SELECT t.queue FROM tasks t WHERE t.tenant = $1 AND t.origin = $2 AND t.action = $3) FOR UPDATE
	), `

const notedText = `, noted AS (
		INSERT INTO task_events (tenant, origin, action, caused, step, what, attempt, at, run_at, code, error, taken_until)
		SELECT tenant, origin, action, seq IS NOT NULL, step, CASE state WHEN 0 THEN 'queued' ELSE 'cancelled' END, attempt, $4,
			CASE state WHEN 0 THEN run_at END, '', '', 0 FROM changed WHERE state IN (0, 4)
	)
	SELECT count(*) FROM changed`

const cancelText = heldText + `changed AS (
		UPDATE tasks t SET state = CASE t.state WHEN 0 THEN 4 ELSE 1 END, step = t.step + CASE t.state WHEN 0 THEN 1 ELSE 0 END,
			cancelling = t.state = 1, changed_at = $4
		FROM (SELECT count(*) FROM held) h
		WHERE t.tenant = $1 AND t.origin = $2 AND t.action = $3 AND t.state IN (0, 1) RETURNING t.*
	), counted AS (
		UPDATE task_queues q SET queued = q.queued - 1, cancelled = q.cancelled + 1 FROM changed c
		WHERE q.tenant = c.tenant AND q.queue = c.queue AND c.state = 4
	)` + notedText

// Cancel implements tasks.Desk.
func (p *postgres) Cancel(ctx context.Context, now time.Time, k tasks.Key) (tasks.Task, error) {
	return p.change(ctx, k, tasks.ErrEnded, "cancel", cancelText, k.Tenant, k.Origin, k.Action, now.UnixMilli())
}

const requeueText = heldText + `changed AS (
		UPDATE tasks t SET state = 0, step = t.step + 1, attempts = t.attempt + $5, run_at = $4, changed_at = $4
		FROM (SELECT count(*) FROM held) h, (SELECT state FROM tasks WHERE tenant = $1 AND origin = $2 AND action = $3) was
		WHERE t.tenant = $1 AND t.origin = $2 AND t.action = $3 AND t.state IN (3, 4) AND t.state = was.state RETURNING t.*, was.state AS was
	), counted AS (
		UPDATE task_queues q SET queued = q.queued + 1, failed = q.failed - CASE c.was WHEN 3 THEN 1 ELSE 0 END,
			cancelled = q.cancelled - CASE c.was WHEN 4 THEN 1 ELSE 0 END, next_at = least(q.next_at, c.run_at) FROM changed c
		WHERE q.tenant = c.tenant AND q.queue = c.queue
	)` + notedText

// Requeue implements tasks.Desk.
func (p *postgres) Requeue(ctx context.Context, now time.Time, k tasks.Key, more int) (tasks.Task, error) {
	return p.change(ctx, k, tasks.ErrNotEnded, "requeue", requeueText, k.Tenant, k.Origin, k.Action, now.UnixMilli(), more)
}

// change changes one task and reads it; unfit where it was not to be changed.
func (p *postgres) change(ctx context.Context, k tasks.Key, unfit error, operation, text string, args ...any) (tasks.Task, error) {
	var changed int
	if _, err := p.one(ctx, operation, k.Tenant, []any{&changed}, text, args...); err != nil {
		return tasks.Task{}, err
	}
	t, err := p.Get(ctx, k)
	if err == nil && changed == 0 && !(errors.Is(unfit, tasks.ErrEnded) && t.State == tasks.Cancelled) {
		err = unfit
	}
	return t, err
}

// untoldText takes up to $3 events, of each tenant its share. They are locked, and
// so stay where they are until they are marked.
const untoldText = openText + `, share (n) AS (SELECT greatest(1, $3 / greatest(1, count(*))) FROM open), taken AS (
		SELECT s.place FROM open o CROSS JOIN LATERAL (
			SELECT e.ctid AS place FROM task_events e WHERE e.tenant = o.tenant AND e.taken_until <= $1
			ORDER BY e.at, e.origin, e.action, e.step LIMIT (SELECT n FROM share) FOR UPDATE SKIP LOCKED) s LIMIT $3
	)
	UPDATE task_events e SET taken_until = $2 WHERE e.ctid = ANY (ARRAY(SELECT place FROM taken))
	RETURNING e.tenant, e.origin, e.action, e.caused, e.step, e.what, e.attempt, e.at, e.run_at, e.code, e.error, e.result, (SELECT n FROM share)`

// Untold implements tasks.Journal.
func (p *postgres) Untold(ctx context.Context, now, until time.Time, limit int) (out []tasks.Event, err error) {
	for more := true; more && len(out) < limit; {
		counts := map[string]int64{}
		more = false
		if err := p.ask(ctx, "read events", everybody, func(rows pgx.Rows) error {
			var share int64
			e, err := scanEvent(rows, &share)
			counts[e.Tenant]++
			out, more = append(out, e), more || counts[e.Tenant] == share // it may have more than its share
			return err
		}, untoldText, now.UnixMilli(), until.UnixMilli(), int64(limit-len(out))); err != nil {
			return nil, err
		}
	}
	return inOrder(out), nil
}

const toldText = `DELETE FROM task_events e USING unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::bigint[]) AS g (tenant, origin, action, step, at)
	WHERE e.at = g.at AND e.tenant = g.tenant AND e.origin = g.origin AND e.action = g.action AND e.step = g.step`

// Told implements tasks.Journal.
func (p *postgres) Told(ctx context.Context, events []tasks.Event) error {
	var tenant, origin []string
	var action, step []int32
	var at []int64
	for i := range events {
		e := &events[i]
		tenant, origin = append(tenant, e.Tenant), append(origin, e.Origin)
		action, step, at = append(action, int32(e.Action)), append(step, int32(e.Step)), append(at, e.At.UnixMilli())
	}
	return p.ask(ctx, "forget events", everybody, none, toldText, tenant, origin, action, step, at)
}

const forgetText = `WITH old AS (
		SELECT origin, action FROM tasks WHERE tenant = $1 AND origin < $2 AND state IN (2, 4) ORDER BY origin, action LIMIT $3
	), gone AS (
		DELETE FROM tasks t USING old o WHERE t.tenant = $1 AND t.origin = o.origin AND t.action = o.action AND t.state IN (2, 4) RETURNING 1
	) SELECT count(*) FROM gone`

// Forget implements tasks.Journal.
func (p *postgres) Forget(ctx context.Context, tenant string, before time.Time, limit int) (n int, err error) {
	_, err = p.one(ctx, "forget tasks", tenant, []any{&n}, forgetText, tenant, span.NewID(before, [10]byte{}), limit)
	return n, err
}
