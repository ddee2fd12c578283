package sqlitestore

import (
	"context"
	"database/sql"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var _ timeline.Keeper = (*Store)(nil)

// Snapshot implements timeline.Keeper.
func (s *Store) Snapshot(ctx context.Context, fn func(timeline.Snapshot) error) error {
	tx, err := s.db.BeginSnapshot(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback() // it only read
	return fn(s.SnapshotOf(tx))
}

// SnapshotOf reads the timelines as a transaction sees them.
func (s *Store) SnapshotOf(tx *sql.Tx) timeline.Snapshot { return &snapshot{store: s, tx: tx} }

type snapshot struct {
	store *Store
	tx    *sql.Tx
}

// Tenants implements timeline.Snapshot. A tenant without a head has size 0.
func (p *snapshot) Tenants(ctx context.Context) ([]timeline.Tenant, error) {
	rows, err := p.tx.QueryContext(ctx, `SELECT t.id, t.slug, t.name, t.node, t.owner, t.origin, t.log_key, t.public_reading, t.created_at,
		coalesce(h.size, 0) FROM timeline_tenants t LEFT JOIN timeline_heads h ON h.tenant = t.tenant ORDER BY t.id`)
	if err != nil {
		return nil, readError("read tenants", err)
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

// State implements timeline.Snapshot. A missing head is an empty one.
func (p *snapshot) State(ctx context.Context, id string) (timeline.Head, []standing.Row, error) {
	var head timeline.Head
	key, err := p.store.key(ctx, id)
	if err != nil {
		return head, nil, err
	}
	var root, edge []byte
	err = p.each(ctx, `SELECT size, root, recorded_at, checkpoint, edge FROM timeline_heads WHERE tenant = ?`, func(row scanner) error {
		return row.Scan(&head.Size, &root, &head.RecordedAt, &head.Checkpoint, &edge)
	}, int64(key))
	if err != nil {
		return head, nil, err
	}
	head.Root = timeline.HashOrZero(root)
	for ; len(edge) > 0; edge = edge[min(len(edge), len(span.Hash{})):] {
		head.Edge = append(head.Edge, timeline.HashOrZero(edge[:min(len(edge), len(span.Hash{}))]))
	}
	var state []standing.Row
	err = p.each(ctx, `SELECT key, value FROM timeline_state WHERE tenant = ? ORDER BY key`, func(row scanner) error {
		var r standing.Row
		defer func() { state = append(state, standing.Row{Key: r.Key, Value: orEmpty(r.Value)}) }()
		return row.Scan(&r.Key, &r.Value)
	}, int64(key))
	return head, state, err
}

// Entries implements timeline.Snapshot.
func (p *snapshot) Entries(ctx context.Context, id string, from uint64) ([]timeline.Record, error) {
	key, err := p.store.key(ctx, id)
	if err != nil || from >= 1<<seqBits {
		return nil, err
	}
	rows, err := p.tx.QueryContext(ctx, `SELECT `+recordColumns+` FROM timeline_entries e
		WHERE e.position >= ? AND e.position < ? ORDER BY e.position LIMIT ?`, key.position(from), int64(key+1)<<seqBits, maxRange)
	if err != nil {
		return nil, readError("read entries", err)
	}
	defer rows.Close()
	var out []timeline.Record
	for budget := timeline.NewBudget(timeline.MaxPageBytes); rows.Next(); {
		var r timeline.Record
		var position int64
		var leaf []byte
		var salt sql.NullString
		if err := rows.Scan(&position, &r.Line, &leaf, &r.Status, &r.Redacted, &salt, &r.Detail, &r.Payload); err != nil {
			return nil, readError("read entry", err)
		}
		r.Seq, r.Salt, r.Leaf = seqOf(position), salt.String, timeline.HashOrZero(leaf)
		if !budget.Takes(&r) {
			return out, nil
		}
		out = append(out, r)
	}
	return out, ended("read entries", rows)
}

// Checkpoints implements timeline.Snapshot.
func (p *snapshot) Checkpoints(ctx context.Context, id string, after uint64, limit int) ([]timeline.Note, error) {
	key, err := p.store.key(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []timeline.Note
	err = p.each(ctx, `SELECT size, note FROM timeline_checkpoints WHERE tenant = ? AND size > ? ORDER BY size LIMIT ?`, func(row scanner) error {
		var n timeline.Note
		defer func() { out = append(out, n) }()
		return row.Scan(&n.Size, &n.Text)
	}, int64(key), int64(min(after, 1<<seqBits)), limit)
	return out, err
}

// Postings implements timeline.Snapshot.
func (p *snapshot) Postings(ctx context.Context, id string, post func(timeline.Posting) error) error {
	key, err := p.store.key(ctx, id)
	if err != nil {
		return err
	}
	err = p.each(ctx, `SELECT position, leaf, recorded_at, type, author, on_behalf_of, subject, visibility, status, redacted
		FROM timeline_entries WHERE position >= ? AND position < ?`, func(row scanner) error {
		return postEntry(row, post)
	}, key.position(0), int64(key+1)<<seqBits)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		text  string
		field func(kind int) timeline.Field
		value func([]byte) string
	}{
		{`SELECT seq, 0, tag FROM timeline_tags WHERE tenant = ?`, func(int) timeline.Field { return timeline.FieldTag }, func(b []byte) string { return string(b) }},
		{`SELECT seq, kind, id FROM timeline_links WHERE tenant = ?`, linkField, idText},
		{`SELECT seq, spent, id FROM timeline_ids WHERE tenant = ?`, spentField, idText},
	} {
		if err := p.each(ctx, q.text, func(row scanner) error {
			var seq uint64
			var kind int
			var value []byte
			if err := row.Scan(&seq, &kind, &value); err != nil {
				return err
			}
			return post(timeline.Posting{Seq: seq, Field: q.field(kind), Value: q.value(value)})
		}, int64(key)); err != nil {
			return err
		}
	}
	return nil
}

// postEntry gives what stands in an entry's own columns.
func postEntry(row scanner, post func(timeline.Posting) error) error {
	var position int64
	var leaf []byte
	var recordedAt, typ, author, status string
	var onBehalfOf, subject sql.NullString
	var visibility int
	var redacted bool
	if err := row.Scan(&position, &leaf, &recordedAt, &typ, &author, &onBehalfOf, &subject, &visibility, &status, &redacted); err != nil {
		return err
	}
	stored := timeline.Row{
		Seq: seqOf(position), RecordedAt: recordedAt, Type: typ, Author: author, OnBehalfOf: onBehalfOf.String, Subject: subject.String,
		Visibility: timeline.VisibilityText(visibility), Status: status,
	}
	var failed error
	stored.Postings(nil, redacted, func(each timeline.Posting) {
		if each.Field == timeline.FieldLeaf {
			each.Value = span.B64(leaf) // whatever its length
		}
		if failed == nil {
			failed = post(each)
		}
	})
	return failed
}

func linkField(kind int) timeline.Field {
	if kind == int(timeline.LinkCause) {
		return timeline.FieldCause
	}
	return timeline.FieldTarget
}

func spentField(kind int) timeline.Field {
	if kind == 0 {
		return timeline.FieldSpan
	}
	return timeline.FieldRefused
}

// idText is a stored id; one that is no UUID is shown as it is.
func idText(b []byte) string {
	if len(b) != 16 {
		return span.B64(b)
	}
	return timeline.IDString(b)
}

// Subtrees implements timeline.Snapshot.
func (p *snapshot) Subtrees(ctx context.Context, id string, each func(tree.Subtree) error) error {
	key, err := p.store.key(ctx, id)
	if err != nil {
		return err
	}
	return p.each(ctx, `SELECT level, idx, hash FROM timeline_hashes WHERE tenant = ?`, func(row scanner) error {
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
func (p *snapshot) Embedded(ctx context.Context, id string) ([]string, error) {
	key, err := p.store.key(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []string
	err = p.each(ctx, `SELECT identity FROM timeline_identities WHERE tenant = ? ORDER BY identity`, func(row scanner) error {
		var identity string
		defer func() { out = append(out, identity) }()
		return row.Scan(&identity)
	}, int64(key))
	return out, err
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
	return ended("examine", rows)
}
