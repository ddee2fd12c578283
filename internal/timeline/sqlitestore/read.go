package sqlitestore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// maxRange is the number of entries one Range returns.
const maxRange = 1000

const (
	tenantColumns = `t.id, t.slug, t.name, t.node, t.owner, t.origin, t.log_key, t.public_reading, t.created_at, h.size`
	tenantFrom    = ` FROM timeline_tenants t JOIN timeline_heads h ON h.tenant = t.tenant `
	recordColumns = `e.position, e.line, e.leaf, e.status, e.redacted, e.salt, e.detail, e.payload`
	headerColumns = `e.position, e.line, e.leaf, e.status, e.redacted, NULL, NULL, NULL`
)

type scanner interface{ Scan(...any) error }

// TenantByID implements timeline.HeadReader.
func (s *Store) TenantByID(ctx context.Context, id string) (timeline.Tenant, error) {
	return s.tenant(ctx, `SELECT `+tenantColumns+tenantFrom+`WHERE t.id = ?`, id)
}

// TenantBySlug implements timeline.HeadReader.
func (s *Store) TenantBySlug(ctx context.Context, slug string) (timeline.Tenant, error) {
	return s.tenant(ctx, `SELECT `+tenantColumns+tenantFrom+`WHERE t.slug = ?`, slug)
}

func (s *Store) tenant(ctx context.Context, text, name string) (timeline.Tenant, error) {
	row, err := s.read.queryRow(ctx, text, name)
	if err != nil {
		return timeline.Tenant{}, err
	}
	t, err := scanTenant(row)
	if errors.Is(err, sql.ErrNoRows) {
		return timeline.Tenant{}, timeline.ErrTenantUnknown
	} else if err != nil {
		return timeline.Tenant{}, readError("read tenant", err)
	}
	return t, nil
}

// Tenants implements timeline.HeadReader.
func (s *Store) Tenants(ctx context.Context, after string, limit int) ([]timeline.Tenant, error) {
	rows, err := s.read.query(ctx, `SELECT `+tenantColumns+tenantFrom+`WHERE t.id > ? ORDER BY t.id LIMIT ?`, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []timeline.Tenant
	for rows.Next() {
		t, err := scanTenant(rows)
		if err != nil {
			return nil, readError("read tenants", err)
		}
		out = append(out, t)
	}
	return out, ended("read tenants", rows)
}

func scanTenant(row scanner) (t timeline.Tenant, err error) {
	err = row.Scan(&t.ID, &t.Slug, &t.Name, &t.Node, &t.Owner, &t.Origin, &t.LogKey, &t.PublicReading, &t.CreatedAt, &t.Size)
	return t, err
}

const headText = `SELECT size, root, recorded_at, checkpoint, edge FROM timeline_heads WHERE tenant = ?`

// ownRowsText leaves out the rows of timeline.DecisionRows.
const ownRowsText = `SELECT key, value FROM timeline_state WHERE tenant = ? AND key < '~' ORDER BY key`

// Head implements timeline.HeadReader.
func (s *Store) Head(ctx context.Context, id string) (timeline.Head, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return timeline.Head{}, err
	}
	row, err := s.read.queryRow(ctx, headText, int64(key))
	if err != nil {
		return timeline.Head{}, err
	}
	return scanHead(row)
}

// State implements timeline.HeadReader; one transaction, so that the rows are
// those of the head.
func (s *Store) State(ctx context.Context, id string) (timeline.Head, []standing.Row, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return timeline.Head{}, nil, err
	}
	tx, err := s.db.Read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return timeline.Head{}, nil, readError("read state", err)
	}
	defer tx.Rollback() // it only read
	head, err := scanHead(tx.QueryRowContext(ctx, headText, int64(key)))
	if err != nil {
		return timeline.Head{}, nil, err
	}
	rows, err := tx.QueryContext(ctx, ownRowsText, int64(key))
	if err != nil {
		return timeline.Head{}, nil, readError("read state", err)
	}
	defer rows.Close()
	var out []standing.Row
	for rows.Next() {
		var r standing.Row
		if err := rows.Scan(&r.Key, &r.Value); err != nil {
			return timeline.Head{}, nil, readError("read state", err)
		}
		out = append(out, r)
	}
	return head, out, ended("read state", rows)
}

func scanHead(row scanner) (h timeline.Head, err error) {
	var root, edge []byte
	if err := row.Scan(&h.Size, &root, &h.RecordedAt, &h.Checkpoint, &edge); err != nil {
		return timeline.Head{}, readError("read head", err)
	}
	if err := h.SetHashes(root, edge); err != nil {
		return timeline.Head{}, err
	}
	return h, nil
}

// Range implements timeline.EntryReader.
func (s *Store) Range(ctx context.Context, id string, from, to uint64) ([]timeline.Record, error) {
	key, err := s.key(ctx, id)
	if err != nil || from >= to || from >= 1<<seqBits {
		return nil, err
	}
	to = min(to, 1<<seqBits)
	rows, err := s.read.query(ctx, `SELECT `+recordColumns+` FROM timeline_entries e
		WHERE e.position >= ? AND e.position < ? ORDER BY e.position LIMIT ?`, key.position(from), int64(key)<<seqBits+int64(to), maxRange)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]timeline.Record, 0, min(to-from, maxRange))
	for budget := timeline.NewBudget(timeline.MaxPageBytes); rows.Next(); {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, err
		}
		if !budget.Takes(&r) {
			return out, nil
		}
		out = append(out, r)
	}
	return out, ended("read entries", rows)
}

// At implements timeline.EntryReader.
func (s *Store) At(ctx context.Context, id string, seqs []uint64, full bool) ([]timeline.Record, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	columns := headerColumns
	if full {
		columns = recordColumns
	}
	st, err := s.read.get(ctx, `SELECT `+columns+` FROM timeline_entries e WHERE e.position = ?`)
	if err != nil {
		return nil, err
	}
	out := make([]timeline.Record, 0, len(seqs))
	for _, seq := range seqs {
		if seq >= 1<<seqBits {
			continue
		}
		r, err := scanRecord(st.QueryRowContext(ctx, key.position(seq)))
		if errors.Is(err, sql.ErrNoRows) {
			continue
		} else if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func scanRecord(row scanner) (r timeline.Record, err error) {
	var position int64
	var leaf []byte
	var salt sql.NullString
	if err := row.Scan(&position, &r.Line, &leaf, &r.Status, &r.Redacted, &salt, &r.Detail, &r.Payload); err != nil {
		return timeline.Record{}, readError("read entry", err)
	}
	r.Seq, r.Salt = seqOf(position), salt.String
	r.Leaf, err = timeline.HashOf(leaf)
	return r, err
}

// idsAtOnce is how many ids one statement looks up.
const idsAtOnce = 64

// Spent implements timeline.EntryReader.
func (s *Store) Spent(ctx context.Context, id string, ids []string) (map[string]timeline.Spent, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	out := make(map[string]timeline.Spent)
	for len(ids) > 0 {
		n := min(len(ids), idsAtOnce)
		if err := s.spent(ctx, key, ids[:n], out); err != nil {
			return nil, err
		}
		ids = ids[n:]
	}
	return out, nil
}

func (s *Store) spent(ctx context.Context, key tenantKey, ids []string, out map[string]timeline.Spent) error {
	places := 1 // one statement for single ids, one for many, padded with nulls
	if len(ids) > 1 {
		places = idsAtOnce
	}
	args := make([]any, 1, 1+places)
	args[0] = int64(key)
	for i := range places {
		if i < len(ids) {
			args = append(args, timeline.IDBytes(ids[i]))
		} else {
			args = append(args, nil)
		}
	}
	rows, err := s.read.query(ctx, spentText(places), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		var seq uint64
		var by int
		if err := rows.Scan(&raw, &seq, &by); err != nil {
			return readError("look up ids", err)
		}
		out[timeline.IDString(raw)] = timeline.Spent{Seq: seq, By: timeline.SpentBy(by)}
	}
	return ended("look up ids", rows)
}

func ended(operation string, rows *sql.Rows) error {
	if err := rows.Err(); err != nil {
		return readError(operation, err)
	}
	return nil
}
