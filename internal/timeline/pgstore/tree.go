package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

const (
	leavesText = `SELECT leaf FROM timeline_entries WHERE tenant = $1 AND seq >= $2 AND seq < $3 ORDER BY seq`
	hashesText = `SELECT hash FROM timeline_hashes WHERE tenant = $1 AND level = $2 AND idx >= $3 AND idx < $4 ORDER BY idx`
)

// Hashes implements timeline.TreeReader.
func (s *Store) Hashes(ctx context.Context, id string, level int, from, to uint64) ([]span.Hash, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	if from > to || to >= maxSeq {
		return nil, timeline.ErrHashesMissing(level, from, to)
	}
	text, args := leavesText, []any{key, from, to}
	if level != 0 {
		text, args = hashesText, []any{key, level, from, to}
	}
	var out []span.Hash
	var raw pgtype.DriverBytes
	err = s.all(ctx, "read hashes", key, func(rows pgx.Rows) error {
		if err := rows.Scan(&raw); err != nil {
			return err
		}
		h, err := timeline.HashOf(raw)
		out = append(out, h)
		return err
	}, text, args...)
	if err != nil {
		return nil, err
	}
	if uint64(len(out)) != to-from {
		return nil, timeline.ErrHashesMissing(level, from, to)
	}
	return out, nil
}

const checkpointText = `SELECT size, note FROM timeline_checkpoints WHERE tenant = $1 AND size > $2 ORDER BY size LIMIT 1`

// Checkpoint implements timeline.TreeReader.
func (s *Store) Checkpoint(ctx context.Context, id string, seq uint64) (size uint64, note []byte, err error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return 0, nil, err
	}
	err = s.one(ctx, "read checkpoint", key, []any{&size, &note}, checkpointText, key, min(seq, maxSeq))
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, timeline.ErrCheckpointUnknown
	}
	return size, note, err
}

const linkedText = `SELECT a.id, d.seq FROM unnest($3::uuid[]) WITH ORDINALITY a (id, n)
	CROSS JOIN LATERAL (SELECT seq FROM timeline_links WHERE tenant = $1 AND kind = $2 AND id = a.id ORDER BY seq LIMIT $4) d
	ORDER BY a.n, d.seq LIMIT $4`

// Linked implements timeline.LinkReader.
func (s *Store) Linked(ctx context.Context, id string, kind timeline.LinkKind, ids []string, limit int) (out []timeline.Link, err error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return nil, err
	}
	err = s.all(ctx, "read links", key, func(rows pgx.Rows) error {
		var raw [16]byte
		var l timeline.Link
		err := rows.Scan(&raw, &l.From)
		l.ID = timeline.IDString(raw[:])
		out = append(out, l)
		return err
	}, linkedText, key, int16(kind), uuids(ids), limit)
	return out, err
}

// Holding implements timeline.LinkReader.
func (s *Store) Holding(ctx context.Context, identity string) (out []string, err error) {
	err = s.all(ctx, "find timelines of identity", directory, func(rows pgx.Rows) error {
		var id string
		err := rows.Scan(&id)
		out = append(out, id)
		return err
	}, `SELECT t.id FROM timeline_identities i JOIN timeline_tenants t ON t.tenant = i.tenant WHERE i.identity = $1 ORDER BY t.id`, identity)
	return out, err
}
