package id

import (
	"context"
	"database/sql"
	"errors"
	"io"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// Secrets are small secrets that this node keeps in its database beside keys, each
// sealed for one purpose and one name. It is safe for concurrent use, also by
// several processes.
type Secrets struct {
	db      *storage.DB
	masters Masters
	rand    io.Reader
}

// NewSecrets works on a migrated database. Without a master key nothing is sealed
// or opened (master_key_required).
func NewSecrets(db *storage.DB, masters Masters, rand io.Reader) *Secrets {
	return &Secrets{db: db, masters: masters, rand: rand}
}

// Ready is nil where something can be sealed, else unavailable master_key_required.
func (s *Secrets) Ready() error {
	if len(s.masters) == 0 {
		return fault.New(fault.Unavailable, "master_key_required",
			"this node keeps no secrets for others: it has no master key. Whoever runs it makes one with `logline config master-key` and sets LOGLINE_MASTER_KEY")
	}
	return nil
}

// Put seals a secret in the place of the one that was there.
func (s *Secrets) Put(ctx context.Context, tx *sql.Tx, purpose, name string, plain []byte) error {
	if err := s.Ready(); err != nil {
		return err
	}
	with, err := s.masters.sealing(ctx, tx, name)
	if err != nil {
		return err
	}
	sealed, err := with.Seal(purpose, name, plain, s.rand)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO sealed_secrets (purpose, name, master, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (purpose, name) DO UPDATE SET master = excluded.master, sealed = excluded.sealed`, purpose, name, with.ID(), sealed)
	if err != nil {
		return storage.Failed("seal a secret", err)
	}
	return nil
}

// Get opens a secret; found is false where there is none.
func (s *Secrets) Get(ctx context.Context, tx *sql.Tx, purpose, name string) (plain []byte, found bool, err error) {
	var master string
	var sealed []byte
	err = tx.QueryRowContext(ctx, `SELECT master, sealed FROM sealed_secrets WHERE purpose = $1 AND name = $2`, purpose, name).Scan(&master, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, storage.Failed("read a sealed secret", err)
	}
	with, err := s.masters.named(master, "the secrets of "+name)
	if err != nil {
		return nil, false, err
	}
	plain, err = with.Open(purpose, name, sealed)
	return plain, err == nil, err
}

// Delete removes a secret, if there is one.
func (s *Secrets) Delete(ctx context.Context, tx *sql.Tx, purpose, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM sealed_secrets WHERE purpose = $1 AND name = $2`, purpose, name); err != nil {
		return storage.Failed("delete a sealed secret", err)
	}
	return nil
}
