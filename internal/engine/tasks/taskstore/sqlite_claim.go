package taskstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/engine/tasks"
	"github.com/danvoulez/logline/internal/storage"
)

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
