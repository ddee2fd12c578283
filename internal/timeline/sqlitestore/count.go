package sqlitestore

import (
	"context"
	"database/sql"

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
	c.Executed()
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
	c.Types = timeline.Less(all, private)
	// Only what is not executed stands in the index.
	c.Statuses, err = tallies(ctx, tx, `SELECT status, count(*)`+from+`status WHERE tenant = ? AND status <> 'executed' GROUP BY status`, key)
	return err
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
