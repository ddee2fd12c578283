package id

import (
	"context"
	"database/sql"
	"errors"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// querier is what reads need: the pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// load reads an identity by one of its unique columns, "id" or "handle".
func load(ctx context.Context, q querier, column, value string) (Info, error) {
	// One statement, so that fold and events are of one moment.
	rows, err := q.QueryContext(ctx, `
		SELECT i.id, i.subject, coalesce(i.handle, ''), i.name, i.status, i.chain, e.event
		FROM identities i JOIN identity_events e ON e.identity = i.id
		WHERE i.`+column+` = $1 ORDER BY e.position`, value)
	if err != nil {
		return Info{}, storage.Failed("read identity", err)
	}
	defer rows.Close()
	var info Info
	var chain []byte
	for rows.Next() {
		var event []byte
		if err := rows.Scan(&info.ID, &info.Subject, &info.Handle, &info.Name, &info.Status, &chain, &event); err != nil {
			return Info{}, storage.Failed("read identity", err)
		}
		info.Events = append(info.Events, event)
	}
	if err := rows.Err(); err != nil {
		return Info{}, storage.Failed("read identity", err)
	}
	if info.ID == "" {
		return Info{}, unknown(value)
	}
	info.Chain, err = decodeChain(chain)
	return info, err
}

func loadChain(ctx context.Context, q querier, id string) (*Chain, error) {
	var chain []byte
	err := q.QueryRowContext(ctx, `SELECT chain FROM identities WHERE id = $1`, id).Scan(&chain)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, unknown(id)
	}
	if err != nil {
		return nil, storage.Failed("read chain", err)
	}
	return decodeChain(chain)
}

func hasEvent(ctx context.Context, q querier, id string, hash span.Hash) (bool, error) {
	var found bool
	err := q.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM identity_events WHERE identity = $1 AND hash = $2)`, id, hash[:]).Scan(&found)
	if err != nil {
		return false, storage.Failed("find event", err)
	}
	return found, nil
}

// insert stores a new identity with all its events.
func (d *Directory) insert(ctx context.Context, tx *sql.Tx, info Info) error {
	if err := d.handleFree(ctx, tx, info.Handle); err != nil {
		return err
	}
	chain, err := encodeChain(info.Chain)
	if err != nil {
		return err
	}
	handle := sql.NullString{String: info.Handle, Valid: info.Handle != ""}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO identities (id, subject, handle, name, status, chain, size, claimed_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		info.ID, info.Subject, handle, info.Name, info.Status, chain, len(info.Events), storage.Optional(info.Chain.ClaimedBy())); err != nil {
		return storage.Failed("insert identity", err)
	}
	for i, raw := range info.Events {
		if err := d.insertEvent(ctx, tx, info.ID, i, raw); err != nil {
			return err
		}
	}
	return nil
}

// update stores the last of info's events and what it made of the identity.
func (d *Directory) update(ctx context.Context, tx *sql.Tx, info Info) error {
	chain, err := encodeChain(info.Chain)
	if err != nil {
		return err
	}
	last := len(info.Events) - 1
	// The size is compared too: it holds on databases whose transactions do
	// not exclude each other from the start.
	res, err := tx.ExecContext(ctx, `UPDATE identities SET status = $1, chain = $2, size = $3, claimed_by = $4 WHERE id = $5 AND size = $6`,
		info.Status, chain, last+1, storage.Optional(info.Chain.ClaimedBy()), info.ID, last)
	if err != nil {
		return storage.Failed("update identity", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return errors.Join(identityChanged(info.ID), err)
	}
	return d.insertEvent(ctx, tx, info.ID, last, info.Events[last])
}

func (d *Directory) insertEvent(ctx context.Context, tx *sql.Tx, id string, position int, raw []byte) error {
	hash := span.Sum(raw)
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO identity_events (identity, position, event, hash, taken_at) VALUES ($1, $2, $3, $4, $5)`,
		id, position, raw, hash[:], span.FormatTime(d.now())); err != nil {
		return storage.Failed("insert event", err)
	}
	return nil
}
