package taskstore

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// queueOf is a queue that may give tasks out.
type queueOf struct {
	tenant, queue string
	room          int
}

// Claim implements tasks.Work.
func (s *sqlite) Claim(ctx context.Context, c tasks.Claim) (out []tasks.Task, err error) {
	if due, ok, err := s.due(ctx, c.Queues); err != nil || !ok || due.After(c.Now) {
		return nil, err // without the write lock
	}
	err = s.write(ctx, "claim", func(w *writing) error {
		out, err = w.claim(&c)
		return err
	})
	return out, err
}

func (w *writing) claim(c *tasks.Claim) (out []tasks.Task, err error) {
	turns, queues, err := w.turns(c)
	if err != nil || len(turns) == 0 {
		return nil, err
	}
	for rest := c.Most; rest > 0; {
		share, before := max(1, rest/len(turns)), rest
		for _, tenant := range turns {
			some, err := w.claimOf(c, queues[tenant], min(share, rest))
			if err != nil {
				return nil, err
			}
			out = append(out, some...)
			if rest -= len(some); rest == 0 {
				break
			}
		}
		if rest == before {
			break
		}
	}
	for _, tenant := range turns {
		for _, q := range queues[tenant] {
			if _, err := w.exec(nextText, q.tenant, q.queue); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

const (
	// levelText finds the first tasks of a queue in one priority.
	levelText = `SELECT origin, action, run_at FROM tasks WHERE tenant = $1 AND queue = $2 AND state = 0 AND priority = $3 AND run_at <= $4
		ORDER BY run_at, origin, action LIMIT $5`
	// nextText sets when the first queued task of a queue is due.
	nextText = `UPDATE task_queues SET next_at = (SELECT min(run_at) FROM (
			SELECT (SELECT min(t.run_at) FROM tasks t WHERE t.tenant = $1 AND t.queue = $2 AND t.state = 0 AND t.priority = p.column1) AS run_at
			FROM (VALUES (0), (1), (2), (3)) p))
		WHERE tenant = $1 AND queue = $2`
	turnText = `SELECT tenant, queue, most - running FROM task_queues
		WHERE next_at IS NOT NULL AND next_at <= $1 AND running < most AND queue IN (SELECT value FROM json_each($2)) AND tenant `
)

// turns are the tenants in the order of their turns and their queues.
func (w *writing) turns(c *tasks.Claim) (turns []string, queues map[string][]*queueOf, err error) {
	queues = map[string][]*queueOf{}
	for _, side := range []string{`> $3`, `<= $3`} {
		err := w.query(func(row scanner) error {
			q := &queueOf{}
			if err := row.Scan(&q.tenant, &q.queue, &q.room); err != nil {
				return err
			}
			if queues[q.tenant] == nil {
				if len(turns) == c.Most {
					return nil
				}
				turns = append(turns, q.tenant)
			}
			queues[q.tenant] = append(queues[q.tenant], q)
			return nil
		}, turnText+side+` ORDER BY tenant, queue LIMIT $4`, c.Now.UnixMilli(), list(c.Queues), c.After, c.Most*len(c.Queues))
		if err != nil {
			return nil, nil, err
		}
	}
	return turns, queues, nil
}

// claimOf begins runs of at most n tasks of one tenant.
func (w *writing) claimOf(c *tasks.Claim, queues []*queueOf, n int) (begun []tasks.Task, err error) {
	var found []tasks.Task // as far as the index has them
	for _, q := range queues {
		for level, left := tasks.Urgent, min(q.room, n); level <= tasks.Idle && left > 0; level++ {
			if err := w.query(func(row scanner) error {
				t := tasks.Task{Queue: q.queue, Priority: level}
				var runAt int64
				err := row.Scan(&t.Origin, &t.Action, &runAt)
				t.RunAt = moment(runAt)
				found, left = append(found, t), left-1
				return err
			}, levelText, q.tenant, q.queue, level, c.Now.UnixMilli(), left); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(found, inTurn)
	found = found[:min(n, len(found))]
	if len(found) == 0 {
		return nil, nil
	}
	tenant := queues[0].tenant
	keys, taken := make([][3]any, len(found)), map[string]int{}
	for i := range found {
		keys[i] = [3]any{tenant, found[i].Origin, found[i].Action}
		taken[found[i].Queue]++
	}
	named := list(keys)
	if err := w.query(func(row scanner) error {
		t, err := scanTask(row)
		begun = append(begun, t)
		return err
	}, beginText, named, c.Until.UnixMilli(), c.Worker, c.Now.UnixMilli()); err != nil {
		return nil, err
	}
	if _, err := w.exec(startedText, named, c.Now.UnixMilli()); err != nil {
		return nil, err
	}
	for _, q := range queues {
		q.room -= taken[q.queue]
		if n := taken[q.queue]; n > 0 {
			if _, err := w.exec(`UPDATE task_queues SET queued = queued - $3, running = running + $3 WHERE tenant = $1 AND queue = $2`, q.tenant, q.queue, n); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(begun, inTurn)
	return begun, nil
}

// inTurn is the order in which a tenant's tasks are taken.
func inTurn(a, b tasks.Task) int {
	return cmp.Or(a.Priority-b.Priority, a.RunAt.Compare(b.RunAt), strings.Compare(a.Origin, b.Origin), a.Action-b.Action)
}

const (
	// beginText begins the runs of tasks, by their keys. The tenant stands in each
	// of them: were it given once, the planner would go through all the tenant's
	// tasks, and hold each against the keys.
	beginText = `UPDATE tasks SET state = 1, step = step + 1, attempt = attempt + 1, lease_until = $2, worker = $3, cancelling = 0, changed_at = $4
		FROM (SELECT value ->> 0 AS t, value ->> 1 AS o, value ->> 2 AS a FROM json_each($1)) g
		WHERE tenant = g.t AND origin = g.o AND action = g.a RETURNING ` + columns
	// startedText keeps for the timeline that they began.
	startedText = `INSERT INTO task_events (` + eventColumns + `, taken_until)
		SELECT t.tenant, t.origin, t.action, t.seq IS NOT NULL, t.step, 'started', t.attempt, $2, NULL, '', '', NULL, 0
		FROM json_each($1) k JOIN tasks t ON t.tenant = k.value ->> 0 AND t.origin = k.value ->> 1 AND t.action = k.value ->> 2`
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

const dueText = `SELECT min(next_at) FROM task_queues WHERE next_at IS NOT NULL AND running < most AND queue IN (SELECT value FROM json_each($1))`

// due is when the first queued task of these queues is due; false where there is
// none. Workers that have nothing to do ask it all the time.
func (s *sqlite) due(ctx context.Context, queues []string) (due time.Time, ok bool, err error) {
	asks, err := s.ask(ctx)
	var next *int64
	if err == nil {
		err = asks.QueryRowContext(ctx, list(queues)).Scan(&next)
	}
	if err != nil {
		return due, false, storage.Classify(fmt.Errorf("tasks: look for the next: %w", err))
	}
	if next == nil {
		return due, false, nil
	}
	return moment(*next), true, nil
}

// ask prepares dueText, once. Nobody waits meanwhile who writes.
func (s *sqlite) ask(ctx context.Context) (*sql.Stmt, error) {
	s.mu.Lock()
	asks := s.asks
	s.mu.Unlock()
	if asks != nil {
		return asks, nil
	}
	asks, err := s.db.Read.PrepareContext(ctx, dueText)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asks != nil {
		_ = asks.Close() // another one was faster
	} else {
		s.asks = asks
	}
	return s.asks, nil
}

// list is items as a JSON array.
func list[T any](items []T) string {
	b, err := json.Marshal(items)
	if err != nil {
		return "[]" // unreachable: texts and numbers have a form
	}
	return string(b)
}
