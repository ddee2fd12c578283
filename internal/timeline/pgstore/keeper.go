package pgstore

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var _ timeline.Keeper = (*Store)(nil)

// Snapshot implements timeline.Keeper: one transaction, which no append waits
// for.
func (s *Store) Snapshot(ctx context.Context, fn func(timeline.Snapshot) error) error {
	tx, err := s.db.BeginSnapshot(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() // it only read
	return fn(s.SnapshotOf(tx))
}

// SnapshotOf reads the timelines as a transaction sees them.
func (s *Store) SnapshotOf(tx *sql.Tx) timeline.Snapshot {
	return &snapshot{tx: tx, keys: map[string]tenantKey{}}
}

type snapshot struct {
	tx   *sql.Tx
	keys map[string]tenantKey
}

type scanner interface{ Scan(...any) error }

// about opens one tenant's rows to the statements that follow.
func (p *snapshot) about(ctx context.Context, key tenantKey) error {
	_, err := p.tx.ExecContext(ctx, storage.SetTenant, strconv.FormatInt(int64(key), 10))
	return readError("examine", err)
}

// open finds a tenant and opens its rows.
func (p *snapshot) open(ctx context.Context, id string) (key tenantKey, err error) {
	key, ok := p.keys[id]
	if !ok {
		if err := p.about(ctx, directory); err != nil {
			return 0, err
		}
		if err := p.each(ctx, `SELECT tenant FROM timeline_tenants WHERE id = $1`, func(row scanner) error { return row.Scan(&key) }, id); err != nil {
			return 0, err
		}
		if key == 0 {
			return 0, timeline.ErrTenantUnknown
		}
		p.keys[id] = key
	}
	return key, p.about(ctx, key)
}

// each runs a query and gives its rows to fn, whose errors it passes on.
func (p *snapshot) each(ctx context.Context, text string, fn func(scanner) error, args ...any) error {
	rows, err := p.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return readError("examine", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return readError("examine", err)
		}
	}
	return readError("examine", rows.Err())
}

// Tenants implements timeline.Snapshot. A tenant without a head has size 0.
func (p *snapshot) Tenants(ctx context.Context) (out []timeline.Tenant, err error) {
	if err := p.about(ctx, directory); err != nil {
		return nil, err
	}
	err = p.each(ctx, `SELECT t.id, t.slug, t.name, t.node, t.owner, t.origin, t.log_key, t.public_reading, t.created_at, coalesce(h.size, 0)
		FROM timeline_tenants t LEFT JOIN timeline_heads h ON h.tenant = t.tenant ORDER BY t.id`, func(row scanner) error {
		var t timeline.Tenant
		err := row.Scan(tenantFields(&t)...)
		out = append(out, t)
		return err
	})
	return out, err
}

// State implements timeline.Snapshot. A missing head is an empty one.
func (p *snapshot) State(ctx context.Context, id string) (head timeline.Head, state []standing.Row, err error) {
	key, err := p.open(ctx, id)
	if err != nil {
		return head, nil, err
	}
	var root, edge []byte
	if err := p.each(ctx, headText, func(row scanner) error {
		return row.Scan(&head.Size, &root, &head.RecordedAt, &head.Checkpoint, &edge)
	}, int64(key)); err != nil {
		return head, nil, err
	}
	head.Root = timeline.HashOrZero(root)
	for ; len(edge) > 0; edge = edge[min(len(edge), len(span.Hash{})):] {
		head.Edge = append(head.Edge, timeline.HashOrZero(edge[:min(len(edge), len(span.Hash{}))]))
	}
	err = p.each(ctx, `SELECT key, value FROM timeline_state WHERE tenant = $1 ORDER BY key`, func(row scanner) error {
		var r standing.Row
		err := row.Scan(&r.Key, &r.Value)
		state = append(state, r)
		return err
	}, int64(key))
	return head, state, err
}

// Entries implements timeline.Snapshot.
func (p *snapshot) Entries(ctx context.Context, id string, from uint64) (out []timeline.Record, err error) {
	key, err := p.open(ctx, id)
	if err != nil || from >= maxSeq {
		return nil, err
	}
	budget, full := timeline.NewBudget(timeline.MaxPageBytes), false
	err = p.each(ctx, `SELECT `+recordColumns+` FROM timeline_entries WHERE tenant = $1 AND seq >= $2 ORDER BY seq LIMIT $3`, func(row scanner) error {
		if full {
			return nil
		}
		var r timeline.Record
		var leaf []byte
		var salt sql.NullString
		if err := row.Scan(&r.Seq, &r.Line, &leaf, &r.Status, &r.Redacted, &salt, &r.Detail, &r.Payload); err != nil {
			return err
		}
		r.Salt, r.Leaf = salt.String, timeline.HashOrZero(leaf)
		if full = !budget.Takes(&r); !full {
			out = append(out, r)
		}
		return nil
	}, int64(key), int64(from), maxRange)
	return out, err
}

// Checkpoints implements timeline.Snapshot.
func (p *snapshot) Checkpoints(ctx context.Context, id string, after uint64, limit int) (out []timeline.Note, err error) {
	key, err := p.open(ctx, id)
	if err != nil {
		return nil, err
	}
	err = p.each(ctx, `SELECT size, note FROM timeline_checkpoints WHERE tenant = $1 AND size > $2 ORDER BY size LIMIT $3`, func(row scanner) error {
		var n timeline.Note
		err := row.Scan(&n.Size, &n.Text)
		out = append(out, n)
		return err
	}, int64(key), int64(min(after, maxSeq)), limit)
	return out, err
}

// Postings implements timeline.Snapshot.
func (p *snapshot) Postings(ctx context.Context, id string, post func(timeline.Posting) error) error {
	key, err := p.open(ctx, id)
	if err != nil {
		return err
	}
	if err := p.each(ctx, `SELECT seq, leaf, recorded_at, type, author, coalesce(on_behalf_of, ''), coalesce(subject, ''), visibility, status, redacted
		FROM timeline_entries WHERE tenant = $1`, func(row scanner) error { return postEntry(row, post) }, int64(key)); err != nil {
		return err
	}
	for _, q := range []struct {
		text   string
		fields [2]timeline.Field // of kind 0 and 1
	}{
		{`SELECT seq, 0, tag FROM timeline_tags WHERE tenant = $1`, [2]timeline.Field{timeline.FieldTag}},
		{`SELECT seq, kind, id::text FROM timeline_links WHERE tenant = $1`, [2]timeline.Field{timeline.FieldCause, timeline.FieldTarget}},
		{`SELECT seq, spent, id::text FROM timeline_ids WHERE tenant = $1`, [2]timeline.Field{timeline.FieldSpan, timeline.FieldRefused}},
	} {
		if err := p.each(ctx, q.text, func(row scanner) error {
			var seq uint64
			var kind int
			var value string
			if err := row.Scan(&seq, &kind, &value); err != nil {
				return err
			}
			return post(timeline.Posting{Seq: seq, Field: q.fields[min(max(kind, 0), 1)], Value: value})
		}, int64(key)); err != nil {
			return err
		}
	}
	return nil
}

// postEntry gives what stands in an entry's own columns.
func postEntry(row scanner, post func(timeline.Posting) error) (err error) {
	var r timeline.Row
	var leaf []byte
	var visibility int
	var redacted bool
	if err := row.Scan(&r.Seq, &leaf, &r.RecordedAt, &r.Type, &r.Author, &r.OnBehalfOf, &r.Subject, &visibility, &r.Status, &redacted); err != nil {
		return err
	}
	r.Visibility = timeline.VisibilityText(visibility)
	r.Postings(nil, redacted, func(each timeline.Posting) {
		if each.Field == timeline.FieldLeaf {
			each.Value = span.B64(leaf) // whatever its length
		}
		if err == nil {
			err = post(each)
		}
	})
	return err
}

// Subtrees implements timeline.Snapshot.
func (p *snapshot) Subtrees(ctx context.Context, id string, each func(tree.Subtree) error) error {
	key, err := p.open(ctx, id)
	if err != nil {
		return err
	}
	return p.each(ctx, `SELECT level, idx, hash FROM timeline_hashes WHERE tenant = $1`, func(row scanner) error {
		var h tree.Subtree
		var raw []byte
		if err := row.Scan(&h.Level, &h.Index, &raw); err != nil {
			return err
		}
		h.Hash = timeline.HashOrZero(raw)
		return each(h)
	}, int64(key))
}

// Embedded implements timeline.Snapshot.
func (p *snapshot) Embedded(ctx context.Context, id string) (out []string, err error) {
	key, err := p.open(ctx, id)
	if err != nil {
		return nil, err
	}
	err = p.each(ctx, `SELECT identity FROM timeline_identities WHERE tenant = $1 ORDER BY identity`, func(row scanner) error {
		var identity string
		err := row.Scan(&identity)
		out = append(out, identity)
		return err
	}, int64(key))
	return out, err
}
