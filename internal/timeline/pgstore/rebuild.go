package pgstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// rebuildRows is how many entries are rewritten with one message.
const rebuildRows = 1000

// Rebuild implements timeline.Keeper. The tenant's rows in timeline_tenants and
// timeline_heads are locked meanwhile, so that appends wait.
func (s *Store) Rebuild(ctx context.Context, r *timeline.Rebuilt) error {
	key, err := s.key(ctx, r.Tenant.ID)
	if err != nil {
		return err
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return rebuild(ctx, tx, key, r) })
	var e *pgconn.PgError
	switch {
	case errors.As(err, &e) && e.Code == "23505" && e.ConstraintName == "timeline_tenants_slug":
		return timeline.ErrTenantTaken
	case errors.As(err, &e) && e.Code == "23505" && e.ConstraintName == "timeline_ids_spent":
		return timeline.ErrSpent
	}
	return storage.Classify(err)
}

func rebuild(ctx context.Context, tx pgx.Tx, key tenantKey, r *timeline.Rebuilt) error {
	begin := &pgx.Batch{}
	begin.Queue(`SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true),
		set_config('logline.tenant', $1, true)`, strconv.FormatInt(int64(key), 10))
	begin.Queue(`SELECT 1 FROM timeline_tenants WHERE tenant = logline_tenant() FOR UPDATE`)
	begin.Queue(`SELECT 1 FROM timeline_heads WHERE tenant = logline_tenant() FOR UPDATE`)
	if err := tx.SendBatch(ctx, begin).Close(); err != nil {
		return err
	}
	var count, last uint64
	if err := tx.QueryRow(ctx, `SELECT count(*), coalesce(max(seq), 0) FROM timeline_entries WHERE tenant = $1`, key).Scan(&count, &last); err != nil {
		return err
	}
	if count != r.Head.Size || count == 0 || last != count-1 {
		return timeline.ErrRebuildStale
	}
	t, fresh := &r.Tenant, &pgx.Batch{}
	fresh.Queue(beginIndexText, words.Version) // first, as an append does
	for _, table := range []string{"ids", "tags", "links", "hashes", "state", "identities", "heads", "words"} {
		fresh.Queue(`DELETE FROM timeline_` + table + ` WHERE tenant = logline_tenant()`)
	}
	fresh.Queue(`UPDATE timeline_tenants SET slug = $1, name = $2, node = $3, owner = $4, origin = $5, log_key = $6 WHERE tenant = logline_tenant()`,
		t.Slug, t.Name, t.Node, t.Owner, t.Origin, t.LogKey)
	fresh.Queue(`INSERT INTO timeline_heads (tenant, size, root, recorded_at, checkpoint, edge) VALUES (logline_tenant(), $1, $2, $3, $4, $5)`,
		r.Head.Size, r.Head.Root[:], r.Head.RecordedAt, r.Head.Checkpoint, r.Head.EdgeBytes())
	putSubtrees(fresh, r.Subtrees)
	putEmbedded(fresh, r.Embedded)
	change(fresh, &timeline.Batch{State: r.State})
	if err := tx.SendBatch(ctx, fresh).Close(); err != nil {
		return err
	}
	var rows []timeline.RebuiltRow
	if err := r.Rows(ctx, func(row timeline.RebuiltRow) error {
		if rows = append(rows, row); len(rows) < rebuildRows {
			return nil
		}
		err := rewrite(ctx, tx, r.Tenant.ID, rows)
		rows = rows[:0]
		return err
	}); err != nil {
		return err
	}
	return rewrite(ctx, tx, r.Tenant.ID, rows)
}

// rewrite puts the columns and rows derived from some entries in their places.
func rewrite(ctx context.Context, tx pgx.Tx, tenant string, rows []timeline.RebuiltRow) error {
	if len(rows) == 0 {
		return nil
	}
	b := &timeline.Batch{Tenant: tenant}
	var e entries
	var redacted []int64
	for i := range rows {
		r := &rows[i]
		b.Rows, b.Spent = append(b.Rows, r.Row), append(b.Spent, r.Spent...)
		e.seqs, e.visibilities = append(e.seqs, int64(r.Seq)), append(e.visibilities, int16(timeline.VisibilityNumber(r.Visibility)))
		e.leaves, e.times, e.types = append(e.leaves, r.Leaf[:]), append(e.times, r.RecordedAt), append(e.types, r.Type)
		e.authors, e.statuses = append(e.authors, r.Author), append(e.statuses, r.Status)
		e.onBehalfOf, e.subjects = append(e.onBehalfOf, orNull(r.OnBehalfOf)), append(e.subjects, orNull(r.Subject))
		if r.Redacted {
			redacted = append(redacted, int64(r.Seq))
		}
	}
	message := &pgx.Batch{}
	message.Queue(`UPDATE timeline_entries e SET redacted = false, visibility = c.visibility, leaf = c.leaf, recorded_at = c.recorded_at, type = c.type,
			author = c.author, on_behalf_of = c.on_behalf_of, subject = c.subject, status = c.status
		FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])
			c (seq, visibility, leaf, recorded_at, type, author, on_behalf_of, subject, status)
		WHERE e.tenant = logline_tenant() AND e.seq = c.seq`,
		e.seqs, e.visibilities, e.leaves, e.times, e.types, e.authors, e.onBehalfOf, e.subjects, e.statuses)
	if len(redacted) > 0 {
		message.Queue(`UPDATE timeline_entries SET payload = NULL, salt = NULL, detail = NULL, redacted = true
			WHERE tenant = logline_tenant() AND seq = ANY($1::bigint[])`, redacted)
	}
	if err := putSpent(message, b); err != nil {
		return err
	}
	if err := putReferences(message, b); err != nil {
		return err
	}
	return tx.SendBatch(ctx, message).Close()
}
