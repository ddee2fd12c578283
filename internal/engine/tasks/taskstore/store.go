// Package taskstore keeps tasks in the node's database, PostgreSQL or SQLite
// (migrations 0012). It gives out and takes in what package tasks says and
// decides nothing.
package taskstore

import (
	"cmp"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/storage"
)

var (
	_ tasks.Store = (*postgres)(nil)
	_ tasks.Store = (*sqlite)(nil)
)

// New keeps tasks in db, whose migrations have run. There is nothing to close.
func New(db *storage.DB) tasks.Store {
	if db.Dialect == storage.Postgres {
		return &postgres{db: db}
	}
	return &sqlite{db: db, ready: map[string]*sql.Stmt{}}
}

// columns are those of a task, in the order in which they are read.
const columns = `tenant, origin, action, queue, kind, name, priority, state, step, attempt, attempts, run_at, lease_until, cancelling,
	worker, seq, asked_by, made_at, changed_at, code, error, input, output`

type scanner interface{ Scan(into ...any) error }

func scanTask(row scanner) (t tasks.Task, err error) {
	var runAt, madeAt, changedAt int64
	var lease, seq *int64
	err = row.Scan(&t.Tenant, &t.Origin, &t.Action, &t.Queue, &t.Kind, &t.Name, &t.Priority, &t.State, &t.Step, &t.Attempt, &t.Attempts,
		&runAt, &lease, &t.Cancelling, &t.Worker, &seq, &t.AskedBy, &madeAt, &changedAt, &t.Code, &t.Error, &t.Input, &t.Output)
	t.RunAt, t.MadeAt, t.ChangedAt = moment(runAt), moment(madeAt), moment(changedAt)
	if lease != nil {
		t.LeaseUntil = moment(*lease)
	}
	if seq != nil {
		n := uint64(*seq)
		t.Seq = &n
	}
	return t, err
}

// eventColumns are those of an event.
const eventColumns = `tenant, origin, action, caused, step, what, attempt, at, run_at, code, error, result`

// scanEvent reads an event, and what stands behind it.
func scanEvent(row scanner, more ...any) (e tasks.Event, err error) {
	var at int64
	var runAt *int64
	err = row.Scan(append([]any{&e.Tenant, &e.Origin, &e.Action, &e.Caused, &e.Step, &e.What, &e.Attempt, &at, &runAt, &e.Code, &e.Error, &e.Result}, more...)...)
	e.At = moment(at)
	if runAt != nil {
		e.RunAt = moment(*runAt)
	}
	return e, err
}

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func scanCounts(row scanner) (c tasks.Counts, err error) {
	var next *int64
	err = row.Scan(&c.Queue, &c.Most, &c.Queued, &c.Running, &c.Completed, &c.Failed, &c.Cancelled, &next)
	c.Most = max(c.Most, -c.Most)
	if next != nil {
		c.DueAt = moment(*next)
	}
	return c, err
}

const (
	recentText  = `SELECT queue, minute, completed, retried, failed FROM task_minutes WHERE tenant = $1 AND minute >= $2 ORDER BY minute, queue`
	backlogText = `SELECT count(*), min(at) FROM task_events WHERE tenant = $1`
	// openText names the tenants that are to be told of something ($1: now), but for
	// those where the teller is held and those that rest. It goes from one tenant to the next, however
	// much waits at each.
	openText = `WITH RECURSIVE each_of (tenant) AS (
			SELECT min(tenant) FROM task_events
			UNION ALL SELECT (SELECT min(e.tenant) FROM task_events e WHERE e.tenant > o.tenant) FROM each_of o WHERE o.tenant IS NOT NULL
		), open AS (
			SELECT o.tenant FROM each_of o WHERE o.tenant IS NOT NULL
				AND NOT EXISTS (SELECT 1 FROM followers f WHERE f.tenant = o.tenant AND f.name = 'teller' AND f.state <> 0)
				AND NOT EXISTS (SELECT 1 FROM tenant_rests r WHERE r.tenant = o.tenant)
				AND (SELECT 1 FROM task_events e WHERE e.tenant = o.tenant AND e.taken_until <= $1 ORDER BY e.at LIMIT 1) = 1
		)`
	// A limit below zero is that of a tenant that rests: nothing is given out.
	restText  = `INSERT INTO tenant_rests (tenant) VALUES ($1) ON CONFLICT DO NOTHING`
	riseText  = `DELETE FROM tenant_rests WHERE tenant = $1`
	limitText = `UPDATE task_queues SET most = CASE WHEN EXISTS (SELECT 1 FROM tenant_rests r WHERE r.tenant = $1) THEN -abs(most) ELSE abs(most) END WHERE tenant = $1`
	hushText  = `DELETE FROM task_events WHERE tenant = $1`
)

func scanTally(tenant string, row scanner) (tasks.Tally, error) {
	t := tasks.Tally{Tenant: tenant}
	var minute int64
	err := row.Scan(&t.Queue, &minute, &t.Completed, &t.Retried, &t.Failed)
	t.Minute = time.Unix(60*minute, 0).UTC()
	return t, err
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// told is what the timeline hears of the end of a run.
func told(s tasks.State) string {
	switch s {
	case tasks.Completed:
		return tasks.ToldCompleted
	case tasks.Failed:
		return tasks.ToldFailed
	case tasks.Cancelled:
		return tasks.ToldCancelled
	default:
		return tasks.ToldRetrying
	}
}

// result is the output as far as an event carries it.
func result(output []byte) []byte {
	if len(output) > tasks.MaxResult {
		return nil
	}
	return output
}

// inOrder sorts events as they happened.
func inOrder(events []tasks.Event) []tasks.Event {
	slices.SortFunc(events, func(a, b tasks.Event) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Origin, b.Origin), a.Action-b.Action, a.Step-b.Step)
	})
	return events
}

// listText is the statement of a list.
func listText(l *tasks.List) (text string, args []any) {
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	text = `SELECT ` + columns + ` FROM tasks WHERE tenant = ` + arg(l.Tenant)
	if l.State != nil {
		// The number stands in the text, so that it meets the index's condition.
		text += ` AND state = ` + strconv.Itoa(int(*l.State))
	}
	if l.Queue != "" {
		text += ` AND queue = ` + arg(l.Queue)
	}
	if l.Before != nil {
		text += ` AND (origin, action) < (` + arg(l.Before.Origin) + `, ` + arg(l.Before.Action) + `)`
	}
	return text + ` ORDER BY origin DESC, action DESC LIMIT ` + arg(l.Limit), args
}
