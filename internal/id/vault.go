package id

import (
	"context"
	"database/sql"
	"errors"
	"io"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// purposeKeys is what the blobs of sealed_keys are sealed for.
const purposeKeys = "keys"

// Vault holds the secret keys that this node keeps in its database, each
// identity's sealed for its own row: the node's own, and those of identities in
// its custody. A write takes effect only where the row is as the writer knew it.
// It is safe for concurrent use, also by several processes.
type Vault struct {
	db      *storage.DB
	masters Masters // none: nothing can be sealed or opened
	rand    io.Reader
}

// NewVault works on a migrated database. Without a master key it can only say
// what there is.
func NewVault(db *storage.DB, masters Masters, rand io.Reader) *Vault {
	return &Vault{db: db, masters: masters, rand: rand}
}

// sealedRow is a row of sealed_keys.
type sealedRow struct {
	master string
	size   int // key events in it
	sealed []byte
	maker  string
}

func (v *Vault) row(ctx context.Context, q querier, identity string) (r sealedRow, found bool, err error) {
	var maker sql.NullString
	err = q.QueryRowContext(ctx, `SELECT master, size, sealed, maker FROM sealed_keys WHERE identity = $1`, identity).
		Scan(&r.master, &r.size, &r.sealed, &maker)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, storage.Failed("read sealed keys", err)
	}
	r.maker = maker.String
	return r, true, nil
}

// open unseals a row.
func (v *Vault) open(identity string, r sealedRow) (*Keys, error) {
	master, err := v.masters.named(r.master, "the keys of "+identity)
	if err != nil {
		return nil, err
	}
	plain, err := master.Open(purposeKeys, identity, r.sealed)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeyFile(plain)
	if err != nil {
		return nil, unopenable(identity, err)
	}
	if keys.ID() != identity || keys.IsDevice() {
		return nil, unopenable(identity, errors.New("they are another identity's, or a device's"))
	}
	return keys, nil
}

// seal seals keys under the master key that the database is sealed with now,
// which is read in the transaction that writes them: a rotation of the master
// key, whose transaction it comes before or after, misses none.
func (v *Vault) seal(ctx context.Context, tx *sql.Tx, k *Keys) (master string, sealed []byte, err error) {
	with, err := v.masters.sealing(ctx, tx, k.ID())
	if err != nil {
		return "", nil, err
	}
	plain, err := formatKeyFile(k)
	if err != nil {
		return "", nil, err
	}
	sealed, err = with.Seal(purposeKeys, k.ID(), plain, v.rand)
	return with.ID(), sealed, err
}

// load is an identity's keys; not_found sealed_keys_missing without any.
func (v *Vault) load(ctx context.Context, identity string) (*Keys, error) {
	r, found, err := v.row(ctx, v.db.Read, identity)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fault.Newf(fault.NotFound, "sealed_keys_missing", "this node's database holds no keys of %s", identity)
	}
	return v.open(identity, r)
}

// insert stores keys that have no row yet; raced when they have one by now.
func (v *Vault) insert(ctx context.Context, tx *sql.Tx, k *Keys, maker string) error {
	master, sealed, err := v.seal(ctx, tx, k)
	if err != nil {
		return err
	}
	return took(tx.ExecContext(ctx, `
		INSERT INTO sealed_keys (identity, master, size, sealed, maker) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (identity) DO NOTHING`,
		k.ID(), master, len(k.events), sealed, sql.NullString{String: maker, Valid: maker != ""}))
}

// replace stores a later state of keys over the one with size events; raced
// when that one is there no more.
func (v *Vault) replace(ctx context.Context, tx *sql.Tx, k *Keys, size int) error {
	master, sealed, err := v.seal(ctx, tx, k)
	if err != nil {
		return err
	}
	return took(tx.ExecContext(ctx, `
		UPDATE sealed_keys SET master = $1, size = $2, sealed = $3 WHERE identity = $4 AND size = $5`,
		master, len(k.events), sealed, k.ID(), size))
}

// errRaced says that another process, or another caller, was first: read again.
var errRaced = fault.New(fault.Conflict, "keys_changed", "the sealed keys changed meanwhile; try again")

// took is nil for a statement that changed one row, and errRaced for none.
func took(res sql.Result, err error) error {
	if err != nil {
		return storage.Failed("write sealed keys", err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return storage.Failed("write sealed keys", err)
	}
	if n == 0 {
		return errRaced
	}
	return nil
}
