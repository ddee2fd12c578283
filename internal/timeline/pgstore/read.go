package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// maxRange is the number of entries one Range returns.
const maxRange = 1000

const (
	tenantText = `SELECT t.id, t.slug, t.name, t.node, t.owner, t.origin, t.log_key, t.public_reading, t.created_at, h.size
		FROM timeline_tenants t JOIN timeline_heads h ON h.tenant = t.tenant `
	recordColumns = `seq, line, leaf, status, redacted, salt, detail, payload`
	headColumns   = `size, root, recorded_at, checkpoint, edge`
)

// TenantByID implements timeline.HeadReader.
func (s *Store) TenantByID(ctx context.Context, id string) (timeline.Tenant, error) {
	return s.tenant(ctx, tenantText+`WHERE t.id = $1`, id)
}

// TenantBySlug implements timeline.HeadReader.
func (s *Store) TenantBySlug(ctx context.Context, slug string) (timeline.Tenant, error) {
	return s.tenant(ctx, tenantText+`WHERE t.slug = $1`, slug)
}

func (s *Store) tenant(ctx context.Context, text, name string) (t timeline.Tenant, err error) {
	err = s.one(ctx, "read tenant", directory, tenantFields(&t), text, name)
	if errors.Is(err, pgx.ErrNoRows) {
		return timeline.Tenant{}, timeline.ErrTenantUnknown
	}
	return t, err
}

// Tenants implements timeline.HeadReader.
func (s *Store) Tenants(ctx context.Context, after string, limit int) (out []timeline.Tenant, err error) {
	err = s.all(ctx, "read tenants", directory, func(rows pgx.Rows) error {
		var t timeline.Tenant
		err := rows.Scan(tenantFields(&t)...)
		out = append(out, t)
		return err
	}, tenantText+`WHERE t.id > $1 ORDER BY t.id LIMIT $2`, after, limit)
	return out, err
}

func tenantFields(t *timeline.Tenant) []any {
	return []any{&t.ID, &t.Slug, &t.Name, &t.Node, &t.Owner, &t.Origin, &t.LogKey, &t.PublicReading, &t.CreatedAt, &t.Size}
}

const headText = `SELECT ` + headColumns + ` FROM timeline_heads WHERE tenant = $1`

// Head implements timeline.HeadReader.
func (s *Store) Head(ctx context.Context, id string) (h timeline.Head, err error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return h, err
	}
	var root, edge []byte
	if err := s.one(ctx, "read head", key, []any{&h.Size, &root, &h.RecordedAt, &h.Checkpoint, &edge}, headText, key); err != nil {
		return timeline.Head{}, readError("read head", noRow(err))
	}
	return h, h.SetHashes(root, edge)
}

// stateText is the head and the state in one statement, so that the rows are
// those of the head, which comes first.
const stateText = `SELECT NULL AS key, NULL AS value, ` + headColumns + ` FROM timeline_heads WHERE tenant = $1
	UNION ALL SELECT key, value, NULL, NULL, NULL, NULL, NULL FROM timeline_state WHERE tenant = $1 AND key < '~'
	ORDER BY key NULLS FIRST`

// State implements timeline.HeadReader.
func (s *Store) State(ctx context.Context, id string) (h timeline.Head, out []standing.Row, err error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return h, nil, err
	}
	err = s.all(ctx, "read state", key, func(rows pgx.Rows) error {
		var name, at *string
		var size *uint64
		var value, root, checkpoint, edge []byte
		if err := rows.Scan(&name, &value, &size, &root, &at, &checkpoint, &edge); err != nil {
			return err
		}
		if size == nil {
			out = append(out, standing.Row{Key: *name, Value: value})
			return nil
		}
		h.Size, h.RecordedAt, h.Checkpoint = *size, *at, checkpoint
		return h.SetHashes(root, edge)
	}, stateText, key)
	if err == nil && h.Checkpoint == nil {
		err = readError("read state", errNoHead)
	}
	return h, out, err
}

// errNoHead is a tenant's record without a head, which no transaction leaves.
var errNoHead = errors.New("the tenant has no head")

func noRow(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoHead
	}
	return err
}

// page wraps a statement that finds entries in order and carries recordColumns
// and the column "n" that it is ordered by, so that the server sends no more
// bytes than a page takes and the one entry beyond. A running total needs no
// content: lengths are known without it.
func page(found, order, limit string) string {
	const size = `(octet_length(line) + coalesce(octet_length(payload), 0) + coalesce(octet_length(detail), 0))`
	return `SELECT ` + recordColumns + ` FROM (SELECT *, sum(` + size + `) OVER (ORDER BY seq` + order + `) - ` + size + ` AS before
		FROM (` + found + `) f) p WHERE before <= ` + limit + ` ORDER BY seq` + order
}

var rangeText = page(`SELECT `+recordColumns+` FROM timeline_entries WHERE tenant = $1 AND seq >= $2 AND seq < $3 ORDER BY seq LIMIT $4`, "", "$5")

// Range implements timeline.EntryReader.
func (s *Store) Range(ctx context.Context, id string, from, to uint64) (out []timeline.Record, err error) {
	key, err := s.key(ctx, id)
	if err != nil || from >= to || from >= maxSeq {
		return nil, err
	}
	budget, full := timeline.NewBudget(timeline.MaxPageBytes), false
	out = make([]timeline.Record, 0, min(to-from, maxRange))
	err = s.all(ctx, "read entries", key, func(rows pgx.Rows) error {
		r, err := scanRecord(rows)
		if full = full || err == nil && !budget.Takes(&r); err == nil && !full {
			out = append(out, r)
		}
		return err
	}, rangeText, key, from, min(to, maxSeq), maxRange, timeline.MaxPageBytes)
	if err != nil {
		return nil, err
	}
	return out, nil
}

const (
	atText = `SELECT e.* FROM unnest($2::bigint[]) WITH ORDINALITY a (seq, n)
		CROSS JOIN LATERAL (SELECT ` + recordColumns + ` FROM timeline_entries WHERE tenant = $1 AND seq = a.seq) e ORDER BY a.n`
	headersAtText = `SELECT e.* FROM unnest($2::bigint[]) WITH ORDINALITY a (seq, n)
		CROSS JOIN LATERAL (SELECT seq, line, leaf, status, redacted, NULL::text, NULL::bytea, NULL::bytea
			FROM timeline_entries WHERE tenant = $1 AND seq = a.seq) e ORDER BY a.n`
)

// At implements timeline.EntryReader.
func (s *Store) At(ctx context.Context, id string, seqs []uint64, full bool) ([]timeline.Record, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	text := headersAtText
	if full {
		text = atText
	}
	asked := make([]int64, 0, len(seqs))
	for _, seq := range seqs {
		if seq < maxSeq {
			asked = append(asked, int64(seq))
		}
	}
	out := make([]timeline.Record, 0, len(seqs))
	err = s.all(ctx, "read entries", key, func(rows pgx.Rows) error {
		r, err := scanRecord(rows)
		out = append(out, r)
		return err
	}, text, key, asked)
	if err != nil {
		return nil, err
	}
	return out, nil
}

func scanRecord(rows pgx.Rows) (r timeline.Record, err error) {
	var leaf []byte
	var salt *string
	if err := rows.Scan(&r.Seq, &r.Line, &leaf, &r.Status, &r.Redacted, &salt, &r.Detail, &r.Payload); err != nil {
		return timeline.Record{}, err
	}
	if salt != nil {
		r.Salt = *salt
	}
	r.Leaf, err = timeline.HashOf(leaf)
	return r, err
}

const spentText = `SELECT d.id, d.seq, d.spent FROM unnest($2::uuid[]) a (id)
	CROSS JOIN LATERAL (SELECT id, seq, spent FROM timeline_ids WHERE tenant = $1 AND id = a.id) d`

// Spent implements timeline.EntryReader.
func (s *Store) Spent(ctx context.Context, id string, ids []string) (map[string]timeline.Spent, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	out := make(map[string]timeline.Spent)
	err = s.all(ctx, "look up ids", key, func(rows pgx.Rows) error {
		var raw [16]byte
		var seq uint64
		var by int
		err := rows.Scan(&raw, &seq, &by)
		out[timeline.IDString(raw[:])] = timeline.Spent{Seq: seq, By: timeline.SpentBy(by)}
		return err
	}, spentText, key, uuids(ids))
	if err != nil {
		return nil, err
	}
	return out, nil
}
