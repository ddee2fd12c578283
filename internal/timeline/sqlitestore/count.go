package sqlitestore

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/timeline"
)

// Count implements timeline.EntryReader; in one transaction, and every tally
// reads an index alone.
func (s *Store) Count(ctx context.Context, id string) (c timeline.Counts, err error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return c, err
	}
	tx, err := s.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return c, readError("count", err)
	}
	defer tx.Rollback() // it only read
	if err := count(ctx, tx, key, &c); err != nil {
		return timeline.Counts{}, readError("count", err)
	}
	executed := c.Size
	for _, t := range c.Statuses {
		executed -= t.Count
	}
	if executed > 0 {
		c.Statuses = append(c.Statuses, timeline.Tally{Value: timeline.StatusExecuted, Count: executed})
		slices.SortFunc(c.Statuses, func(a, b timeline.Tally) int { return strings.Compare(a.Value, b.Value) })
	}
	return c, nil
}

func count(ctx context.Context, tx *sql.Tx, key tenantKey, c *timeline.Counts) (err error) {
	const from = ` FROM timeline_entries INDEXED BY timeline_entries_`
	for _, q := range []struct {
		to   any
		text string
		arg  int64
	}{
		{&c.Size, `SELECT size FROM timeline_heads WHERE tenant = ?`, int64(key)},
		{&c.Authors, `SELECT count(DISTINCT author)` + from + `author WHERE tenant = ?`, int64(key)},
		{&c.Redacted, `SELECT count(*)` + from + `redacted WHERE tenant = ? AND redacted = 1`, int64(key)},
		{&c.FirstAt, timeText, key.position(0)},
	} {
		if err := tx.QueryRowContext(ctx, q.text, q.arg).Scan(q.to); err != nil {
			return err
		}
	}
	all, err := tallies(ctx, tx, `SELECT type, count(*)`+from+`type WHERE tenant = ? GROUP BY type ORDER BY type`, key)
	if err != nil {
		return err
	}
	private, err := tallies(ctx, tx, `SELECT type, count(*)`+from+`private WHERE tenant = ? AND visibility = 0 GROUP BY type ORDER BY type`, key)
	if err != nil {
		return err
	}
	c.Types = less(all, private)
	// Only what is not executed stands in the index.
	c.Statuses, err = tallies(ctx, tx, `SELECT status, count(*)`+from+`status WHERE tenant = ? AND status <> 'executed' GROUP BY status`, key)
	return err
}

// less takes tallies away from others, both in order of value.
func less(all, some []timeline.Tally) (out []timeline.Tally) {
	for _, t := range all {
		if len(some) > 0 && some[0].Value == t.Value {
			t.Count -= some[0].Count
			some = some[1:]
		}
		if t.Count > 0 {
			out = append(out, t)
		}
	}
	return out
}

func tallies(ctx context.Context, tx *sql.Tx, text string, key tenantKey) ([]timeline.Tally, error) {
	rows, err := tx.QueryContext(ctx, text, int64(key))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []timeline.Tally
	for rows.Next() {
		var t timeline.Tally
		if err := rows.Scan(&t.Value, &t.Count); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, rows.Err()
}
