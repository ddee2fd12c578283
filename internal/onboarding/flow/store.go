package flow

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// querier is what reads: the database, or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// load reads a session; errToken where there is none that still lives.
func load(ctx context.Context, q querier, id string, now time.Time) (*row, error) {
	r := &row{id: id}
	var text []byte
	var begun, expires int64
	err := q.QueryRowContext(ctx, `SELECT token, road, begun_at, expires_at, memory FROM onboarding_sessions WHERE id = $1`, id).
		Scan(&r.token, &r.road, &begun, &expires, &text)
	if errors.Is(err, sql.ErrNoRows) || err == nil && expires <= now.UnixMilli() {
		return nil, errToken
	}
	if err != nil {
		return nil, storage.Classify(err)
	}
	r.begun, r.expires = time.UnixMilli(begun).UTC(), time.UnixMilli(expires).UTC()
	if err := json.Unmarshal(text, &r.memory); err != nil {
		return nil, fault.New(fault.Internal, "onboarding_session_damaged", "the onboarding session cannot be read").Because(err)
	}
	return r, nil
}

// text is the memory as it is stored: payloads of drafts stay as they are, byte by byte.
func (m *memory) text() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(m)
	return b.Bytes(), err
}

func insert(ctx context.Context, tx *sql.Tx, r *row, origin []byte) error {
	text, err := r.memory.text()
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO onboarding_sessions (id, token, road, origin, begun_at, expires_at, unfinished, identity, memory)
		VALUES ($1, $2, $3, $4, $5, $6, 1, '', $7)`, r.id, r.token, r.road, origin, r.begun.UnixMilli(), r.expires.UnixMilli(), text)
	return storage.Classify(err)
}

func update(ctx context.Context, tx *sql.Tx, r *row) error {
	text, err := r.memory.text()
	if err != nil {
		return err
	}
	unfinished := 1
	if r.memory.complete() {
		unfinished = 0
	}
	_, err = tx.ExecContext(ctx, `UPDATE onboarding_sessions SET unfinished = $2, identity = $3, memory = $4 WHERE id = $1`, r.id, unfinished, r.memory.Identity, text)
	return storage.Classify(err)
}

// prune removes what has expired.
func prune(ctx context.Context, tx *sql.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM onboarding_sessions WHERE expires_at <= $1`, now.UnixMilli())
	return storage.Classify(err)
}

// makeRoom holds the bounds on sessions that are not finished. Where all places are
// taken, the oldest that has done nothing for a while makes room: it is of somebody
// who went away, or of somebody who takes places.
func makeRoom(ctx context.Context, tx *sql.Tx, origin []byte, c Config, now time.Time) error {
	var open, theirs int
	err := tx.QueryRowContext(ctx, `SELECT count(*) FROM onboarding_sessions WHERE unfinished = 1`).Scan(&open)
	if err == nil && len(origin) > 0 {
		err = tx.QueryRowContext(ctx, `SELECT count(*) FROM onboarding_sessions WHERE unfinished = 1 AND origin = $1`, origin).Scan(&theirs)
	}
	switch {
	case err != nil:
		return storage.Classify(err)
	case theirs >= c.PerAddress:
		return errMany
	case open < c.Max:
		return nil
	}
	gone, err := tx.ExecContext(ctx, `DELETE FROM onboarding_sessions WHERE id IN (
		SELECT id FROM onboarding_sessions WHERE unfinished = 1 AND identity = '' AND begun_at <= $1 ORDER BY begun_at, id LIMIT 1)`, now.Add(-idle).UnixMilli())
	if err != nil {
		return storage.Classify(err)
	}
	if n, err := gone.RowsAffected(); err != nil || n == 0 {
		return errFull
	}
	return nil
}

// Forget removes the sessions of an identity, and says how many there were. With dry
// it only counts.
func (s *Sessions) Forget(ctx context.Context, identity string, dry bool) (n int, err error) {
	if identity == "" {
		return 0, nil
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM onboarding_sessions WHERE identity = $1`, identity).Scan(&n); err != nil || dry {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM onboarding_sessions WHERE identity = $1`, identity)
		return err
	})
	return n, storage.Classify(err)
}
