package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

func spentText(places int) string {
	return `SELECT id, seq, spent FROM timeline_ids WHERE tenant = ? AND id IN (?` + strings.Repeat(", ?", places-1) + `)`
}

// Hashes implements timeline.TreeReader.
func (s *Store) Hashes(ctx context.Context, id string, level int, from, to uint64) ([]span.Hash, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	if from > to || to >= 1<<seqBits {
		return nil, timeline.ErrHashesMissing(level, from, to)
	}
	var rows *sql.Rows
	if level == 0 {
		rows, err = s.read.query(ctx, `SELECT leaf FROM timeline_entries WHERE position >= ? AND position < ? ORDER BY position`,
			key.position(from), key.position(to))
	} else {
		rows, err = s.read.query(ctx, `SELECT hash FROM timeline_hashes WHERE tenant = ? AND level = ? AND idx >= ? AND idx < ? ORDER BY idx`,
			int64(key), level, from, to)
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]span.Hash, 0, to-from)
	var raw sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&raw); err != nil {
			return nil, readError("read hashes", err)
		}
		h, err := timeline.HashOf(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	if err := ended("read hashes", rows); err != nil {
		return nil, err
	}
	if uint64(len(out)) != to-from {
		return nil, timeline.ErrHashesMissing(level, from, to)
	}
	return out, nil
}

// Checkpoint implements timeline.TreeReader.
func (s *Store) Checkpoint(ctx context.Context, id string, seq uint64) (uint64, []byte, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	row, err := s.read.queryRow(ctx, `SELECT size, note FROM timeline_checkpoints WHERE tenant = ? AND size > ? ORDER BY size LIMIT 1`,
		int64(key), int64(min(seq, 1<<seqBits)))
	if err != nil {
		return 0, nil, err
	}
	var size uint64
	var note []byte
	if err := row.Scan(&size, &note); errors.Is(err, sql.ErrNoRows) {
		return 0, nil, timeline.ErrCheckpointUnknown
	} else if err != nil {
		return 0, nil, readError("read checkpoint", err)
	}
	return size, note, nil
}

// Linked implements timeline.LinkReader.
func (s *Store) Linked(ctx context.Context, id string, kind timeline.LinkKind, ids []string, limit int) ([]timeline.Link, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []timeline.Link
	for _, spanID := range ids {
		if len(out) >= limit {
			break
		}
		if out, err = s.linked(ctx, key, kind, spanID, limit, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *Store) linked(ctx context.Context, key tenantKey, kind timeline.LinkKind, spanID string, limit int, out []timeline.Link) ([]timeline.Link, error) {
	rows, err := s.read.query(ctx, `SELECT seq FROM timeline_links WHERE tenant = ? AND kind = ? AND id = ? ORDER BY seq LIMIT ?`,
		int64(key), int(kind), timeline.IDBytes(spanID), limit-len(out))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		l := timeline.Link{ID: spanID}
		if err := rows.Scan(&l.From); err != nil {
			return nil, readError("read links", err)
		}
		out = append(out, l)
	}
	return out, ended("read links", rows)
}

// Holding implements timeline.LinkReader.
func (s *Store) Holding(ctx context.Context, identity string) ([]string, error) {
	rows, err := s.read.query(ctx, `SELECT t.id FROM timeline_identities i JOIN timeline_tenants t ON t.tenant = i.tenant
		WHERE i.identity = ? ORDER BY t.id`, identity)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, readError("find timelines of identity", err)
		}
		out = append(out, id)
	}
	return out, ended("find timelines of identity", rows)
}
