package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

const (
	sizeText    = `SELECT size FROM timeline_heads WHERE tenant = $1`
	firstText   = `SELECT recorded_at FROM timeline_entries WHERE tenant = $1 AND seq = 0`
	authorsText = `SELECT count(*) FROM (SELECT author FROM timeline_entries WHERE tenant = $1 GROUP BY author) a`
	erasedText  = `SELECT count(*) FROM timeline_entries WHERE tenant = $1 AND redacted`
	typesText   = `SELECT type, count(*) FROM timeline_entries WHERE tenant = $1 GROUP BY type ORDER BY type`
	privateText = `SELECT type, count(*) FROM timeline_entries WHERE tenant = $1 AND visibility = 0 GROUP BY type ORDER BY type`
	// Only what is not executed stands in the index.
	statusText = `SELECT status, count(*) FROM timeline_entries WHERE tenant = $1 AND status <> 'executed' GROUP BY status`
	// indexesOnly keeps a transaction from reading whole entries to count them.
	indexesOnly = `SELECT set_config('enable_seqscan', 'off', true)`
)

// Count implements timeline.EntryReader; every tally reads an index alone, all
// of them one snapshot.
func (s *Store) Count(ctx context.Context, id string) (c timeline.Counts, err error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return c, err
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return c, err
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return c, readError("count", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // it only read
	var all, private []timeline.Tally
	b := about(key)
	b.Queue(indexesOnly)
	for text, to := range map[string]any{sizeText: &c.Size, authorsText: &c.Authors, erasedText: &c.Redacted, firstText: &c.FirstAt} {
		b.Queue(text, key).QueryRow(func(row pgx.Row) error { return row.Scan(to) })
	}
	for text, to := range map[string]*[]timeline.Tally{typesText: &all, privateText: &private, statusText: &c.Statuses} {
		b.Queue(text, key).Query(each(func(rows pgx.Rows) error {
			var t timeline.Tally
			err := rows.Scan(&t.Value, &t.Count)
			*to = append(*to, t)
			return err
		}))
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return timeline.Counts{}, storage.Classify(readError("count", noRow(err)))
	}
	c.Types = timeline.Less(all, private)
	c.Executed()
	return c, nil
}
