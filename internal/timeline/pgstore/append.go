package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// appendTimeout bounds one append, whose outcome is unknown after it.
const appendTimeout = 60 * time.Second

// Append implements timeline.Appender. Once begun it runs to its end whatever
// becomes of ctx, so that a caller who goes away leaves no doubtful commit.
func (s *Store) Append(ctx context.Context, b *timeline.Batch) error { return s.append(ctx, b, s.send) }

// append is Append by a way of sending a message so that it is all or nothing.
func (s *Store) append(ctx context.Context, b *timeline.Batch, send func(context.Context, *pgx.Batch) error) error {
	if err := ctx.Err(); err != nil {
		return storage.Classify(err)
	}
	if err := b.Check(); err != nil {
		return err
	}
	if b.Head.Size >= maxSeq {
		return timeline.ErrTimelineFull
	}
	if b.Create != nil && b.ExpectedRoot != tree.EmptyRoot() {
		return timeline.ErrHeadMoved
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	message, key, err := s.message(ctx, b)
	if err != nil {
		return err
	}
	if err := send(ctx, message); err != nil {
		return appendError(err)
	}
	if b.Create != nil {
		s.remember(b.Tenant, *key)
	}
	return nil
}

// appendError tells what a contract knows by name from what it does not.
func appendError(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch {
		case e.Code == "LL001":
			return timeline.ErrHeadMoved
		case e.Code != "23505":
		case e.ConstraintName == "timeline_ids_spent":
			return timeline.ErrSpent
		case e.ConstraintName == "timeline_tenants_id", e.ConstraintName == "timeline_tenants_slug":
			return timeline.ErrTenantTaken
		}
	}
	return storage.Classify(fmt.Errorf("timeline: append: %w", err))
}

// message is the transaction of a batch. key is the tenant's, which a batch
// that creates it only has once it is sent.
func (s *Store) message(ctx context.Context, b *timeline.Batch) (message *pgx.Batch, key *tenantKey, err error) {
	key = new(tenantKey)
	if b.Create != nil {
		message = create(b, key)
	} else {
		if *key, err = s.key(ctx, b.Tenant); err != nil {
			return nil, nil, err
		}
		message = about(*key)
		message.Queue(`SELECT logline_move_head($1, $2, $3, $4, $5, $6, $7)`, b.ExpectedSize, b.ExpectedRoot[:],
			b.Head.Size, b.Head.Root[:], b.Head.RecordedAt, b.Head.Checkpoint, b.Head.EdgeBytes())
		if b.Epoch != nil {
			message.Queue(`UPDATE timeline_tenants SET origin = $1, log_key = $2 WHERE tenant = logline_tenant()`, b.Epoch.Origin, b.Epoch.LogKey)
		}
	}
	if err := put(message, b); err != nil {
		return nil, nil, err
	}
	change(message, b)
	return message, key, nil
}

// create makes the tenant under a number that nobody has.
func create(b *timeline.Batch, key *tenantKey) *pgx.Batch {
	t := b.Create
	message := &pgx.Batch{}
	message.Queue(`SELECT set_config('logline.tenant', nextval(pg_get_serial_sequence('timeline_tenants', 'tenant'))::text, true)`)
	message.Queue(`INSERT INTO timeline_tenants (tenant, id, slug, name, node, owner, origin, log_key, public_reading, created_at)
		VALUES (logline_tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING tenant`,
		t.ID, t.Slug, t.Name, t.Node, t.Owner, t.Origin, t.LogKey, t.PublicReading, t.CreatedAt).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(key); err != nil {
			return err
		}
		if *key > maxTenants {
			return timeline.ErrTenantsFull
		}
		return nil
	})
	message.Queue(`INSERT INTO timeline_heads (tenant, size, root, recorded_at, checkpoint, edge) VALUES (logline_tenant(), $1, $2, $3, $4, $5)`,
		b.Head.Size, b.Head.Root[:], b.Head.RecordedAt, b.Head.Checkpoint, b.Head.EdgeBytes())
	return message
}

// putSpent queues the ids that a batch spends.
func putSpent(message *pgx.Batch, b *timeline.Batch) error {
	n := len(b.Spent)
	ids, spentAt, spentBy := make([][16]byte, 0, n), make([]int64, 0, n), make([]int16, 0, n)
	for _, spent := range b.Spent {
		raw := timeline.IDBytes(spent.ID)
		if raw == nil {
			return badID(b, spent.ID)
		}
		ids = append(ids, [16]byte(raw))
		spentAt, spentBy = append(spentAt, int64(spent.Seq)), append(spentBy, int16(timeline.SpentNumber(spent.By)))
	}
	if n == 1 {
		message.Queue(`INSERT INTO timeline_ids (tenant, id, seq, spent) VALUES (logline_tenant(), $1, $2, $3)`, ids[0], spentAt[0], spentBy[0])
		return nil
	}
	message.Queue(`INSERT INTO timeline_ids (tenant, id, seq, spent)
		SELECT logline_tenant(), * FROM unnest($1::uuid[], $2::bigint[], $3::smallint[])`, ids, spentAt, spentBy)
	return nil
}

// put queues the rows that a batch adds. Where a table gets one row its values
// stand in the statement: arrays cost the server about 7 µs more for each table,
// which is much of what an append of one span takes.
func put(message *pgx.Batch, b *timeline.Batch) error {
	if err := putSpent(message, b); err != nil {
		return err
	}
	if len(b.Rows) == 1 {
		putEntry(message, &b.Rows[0])
	} else {
		putEntries(message, b.Rows)
	}
	if err := putReferences(message, b); err != nil {
		return err
	}
	putCheckpoints(message, b)
	putSubtrees(message, b.Subtrees)
	putEmbedded(message, b.Embedded)
	return nil
}

func putCheckpoints(message *pgx.Batch, b *timeline.Batch) {
	if len(b.Earlier) == 0 {
		message.Queue(`INSERT INTO timeline_checkpoints (tenant, size, note) VALUES (logline_tenant(), $1, $2)`, int64(b.Head.Size), b.Head.Checkpoint)
		return
	}
	sizes, notes := make([]int64, 0, 1+len(b.Earlier)), make([][]byte, 0, 1+len(b.Earlier))
	for _, n := range append(b.Earlier[:len(b.Earlier):len(b.Earlier)], timeline.Note{Size: b.Head.Size, Text: b.Head.Checkpoint}) {
		sizes, notes = append(sizes, int64(n.Size)), append(notes, n.Text)
	}
	message.Queue(`INSERT INTO timeline_checkpoints (tenant, size, note) SELECT logline_tenant(), * FROM unnest($1::bigint[], $2::bytea[])`, sizes, notes)
}

func putSubtrees(message *pgx.Batch, subtrees []tree.Subtree) {
	n := len(subtrees)
	if n == 0 {
		return
	}
	levels, indexes, hashes := make([]int16, n), make([]int64, n), make([][]byte, n)
	for i := range subtrees {
		h := &subtrees[i]
		levels[i], indexes[i], hashes[i] = int16(h.Level), int64(h.Index), h.Hash[:]
	}
	message.Queue(`INSERT INTO timeline_hashes (tenant, level, idx, hash)
		SELECT logline_tenant(), * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])`, levels, indexes, hashes)
}

func putEmbedded(message *pgx.Batch, identities []string) {
	if len(identities) > 0 {
		message.Queue(`INSERT INTO timeline_identities (identity, tenant)
			SELECT i, logline_tenant() FROM unnest($1::text[]) i ON CONFLICT DO NOTHING`, identities)
	}
}

// putEntry is putEntries for one row.
func putEntry(message *pgx.Batch, r *timeline.Row) {
	message.Queue(`INSERT INTO timeline_entries
		(tenant, redacted, seq, visibility, leaf, recorded_at, type, author, on_behalf_of, subject, status, line, salt, detail, payload)
		VALUES (logline_tenant(), false, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
		int64(r.Seq), int16(timeline.VisibilityNumber(r.Visibility)), r.Leaf[:], r.RecordedAt, r.Type, r.Author,
		orNull(r.OnBehalfOf), orNull(r.Subject), r.Status, r.Line, orNull(r.Salt), r.Detail, r.Payload)
}

// entries are rows of timeline_entries, column by column.
type entries struct {
	seqs                             []int64
	visibilities                     []int16
	leaves, lines, details, payloads [][]byte
	times, types, authors, statuses  []string
	onBehalfOf, subjects, salts      []*string
	bytes                            int
}

// maxStatement is about how many bytes of entries one statement carries: the
// server takes a gigabyte at most.
const maxStatement = 32 << 20

func putEntries(message *pgx.Batch, rows []timeline.Row) {
	var e entries
	for i := range rows {
		r := &rows[i]
		e.seqs, e.visibilities = append(e.seqs, int64(r.Seq)), append(e.visibilities, int16(timeline.VisibilityNumber(r.Visibility)))
		e.leaves, e.lines = append(e.leaves, r.Leaf[:]), append(e.lines, r.Line)
		e.details, e.payloads = append(e.details, r.Detail), append(e.payloads, r.Payload)
		e.times, e.types = append(e.times, r.RecordedAt), append(e.types, r.Type)
		e.authors, e.statuses = append(e.authors, r.Author), append(e.statuses, r.Status)
		e.onBehalfOf, e.subjects, e.salts = append(e.onBehalfOf, orNull(r.OnBehalfOf)), append(e.subjects, orNull(r.Subject)), append(e.salts, orNull(r.Salt))
		e.bytes += len(r.Line) + len(r.Payload) + len(r.Detail)
		if e.bytes >= maxStatement || i == len(rows)-1 {
			message.Queue(`INSERT INTO timeline_entries
				(tenant, redacted, seq, visibility, leaf, recorded_at, type, author, on_behalf_of, subject, status, line, salt, detail, payload)
				SELECT logline_tenant(), false, * FROM unnest($1::bigint[], $2::smallint[], $3::bytea[], $4::text[], $5::text[], $6::text[],
					$7::text[], $8::text[], $9::text[], $10::bytea[], $11::text[], $12::bytea[], $13::bytea[])`,
				e.seqs, e.visibilities, e.leaves, e.times, e.types, e.authors, e.onBehalfOf, e.subjects, e.statuses, e.lines, e.salts, e.details, e.payloads)
			e = entries{}
		}
	}
}

// putReferences queues tags and links.
func putReferences(message *pgx.Batch, b *timeline.Batch) error {
	var tags []string
	var tagged, linked []int64
	var kinds []int16
	var targets [][16]byte
	for i := range b.Rows {
		r := &b.Rows[i]
		for _, tag := range r.Tags {
			tags, tagged = append(tags, tag), append(tagged, int64(r.Seq))
		}
		for _, l := range r.Links {
			raw := timeline.IDBytes(l.ID)
			if raw == nil {
				return badID(b, l.ID)
			}
			kinds, targets, linked = append(kinds, int16(l.Kind)), append(targets, [16]byte(raw)), append(linked, int64(r.Seq))
		}
	}
	switch len(tags) {
	case 0:
	case 1:
		message.Queue(`INSERT INTO timeline_tags (tenant, tag, seq) VALUES (logline_tenant(), $1, $2)`, tags[0], tagged[0])
	default:
		message.Queue(`INSERT INTO timeline_tags (tenant, tag, seq) SELECT logline_tenant(), * FROM unnest($1::text[], $2::bigint[])`, tags, tagged)
	}
	if len(kinds) > 0 {
		message.Queue(`INSERT INTO timeline_links (tenant, kind, id, seq)
			SELECT logline_tenant(), * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[])`, kinds, targets, linked)
	}
	return nil
}

// change queues what a batch alters of rows that are there, and the state.
func change(message *pgx.Batch, b *timeline.Batch) {
	var keys, dropped []string
	var values [][]byte
	for _, row := range b.State {
		if row.Value == nil {
			dropped = append(dropped, row.Key)
		} else {
			keys, values = append(keys, row.Key), append(values, row.Value)
		}
	}
	if len(keys) > 0 {
		message.Queue(`INSERT INTO timeline_state (tenant, key, value) SELECT logline_tenant(), * FROM unnest($1::text[], $2::bytea[])
			ON CONFLICT (tenant, key) DO UPDATE SET value = excluded.value`, keys, values)
	}
	if len(dropped) > 0 {
		message.Queue(`DELETE FROM timeline_state WHERE tenant = logline_tenant() AND key = ANY($1::text[])`, dropped)
	}
	if len(b.Statuses) > 0 {
		last := make(map[uint64]string, len(b.Statuses)) // one UPDATE takes one of several values, any of them
		for _, c := range b.Statuses {
			last[c.Seq] = c.Status
		}
		seqs, statuses := make([]int64, 0, len(last)), make([]string, 0, len(last))
		for seq, status := range last {
			seqs, statuses = append(seqs, int64(seq)), append(statuses, status)
		}
		message.Queue(`UPDATE timeline_entries e SET status = c.status FROM unnest($1::bigint[], $2::text[]) c (seq, status)
			WHERE e.tenant = logline_tenant() AND e.seq = c.seq`, seqs, statuses)
	}
	if len(b.Redacted) > 0 {
		seqs := make([]int64, len(b.Redacted))
		for i, seq := range b.Redacted {
			seqs[i] = int64(seq)
		}
		message.Queue(`UPDATE timeline_entries SET payload = NULL, salt = NULL, detail = NULL, redacted = true
			WHERE tenant = logline_tenant() AND seq = ANY($1::bigint[])`, seqs)
		dropWords(message, b.Redacted)
	}
}

func badID(b *timeline.Batch, id string) error {
	return fault.Newf(fault.Internal, "batch_invalid", "a batch for %s is inconsistent: %q is no span id", b.Tenant, id)
}
