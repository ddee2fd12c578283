package id

import (
	"context"
	"database/sql"
	"io"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// Custody holds the keys of identities that cannot keep their own, sealed under
// the master key, and signs for them. Their inception says so (custody). It is
// safe for concurrent use, also by several processes of the node.
type Custody struct {
	vault *Vault
	dir   *Directory
	node  string // this node's LogLine ID
	now   func() time.Time
	rand  io.Reader
}

// NewCustody works on a migrated database. Without a master key it makes no
// identities and signs for none (master_key_required).
func NewCustody(db *storage.DB, masters Masters, dir *Directory, node string, now func() time.Time, rand io.Reader) *Custody {
	return &Custody{vault: NewVault(db, masters, rand), dir: dir, node: node, now: now, rand: rand}
}

// Create makes an identity of a subject (person, organization, service or
// agent) in this node's custody for maker, and registers it; handle and name
// may be "". Both its keys are sealed in the transaction that registers it.
func (c *Custody) Create(ctx context.Context, subject, handle, name, maker string) (Info, error) {
	return c.CreateWith(ctx, subject, handle, name, maker, func(string) error { return nil }, func(*sql.Tx, Info) error { return nil })
}

// CreateWith is Create together with what else begins with the identity, in one
// transaction, and asks before it, by its LogLine ID, whether it may come in.
// Whoever makes itself is the maker ""; its maker is then itself.
func (c *Custody) CreateWith(ctx context.Context, subject, handle, name, maker string, may func(identity string) error, with func(*sql.Tx, Info) error) (Info, error) {
	if len(c.vault.masters) == 0 {
		return Info{}, fault.New(fault.Unavailable, "master_key_required",
			"this node holds no keys for others: it has no master key. Whoever runs it makes one with `logline config master-key` and sets LOGLINE_MASTER_KEY")
	}
	if subject == SubjectNode {
		return Info{}, fault.New(fault.Invalid, "subject_unknown", "a node's keys are its own; use person, organization, service or agent").At("/subject", "is node")
	}
	if err := checkLabels(handle, name); err != nil {
		return Info{}, err
	}
	keys, err := newKeysIn(subject, c.node, c.now(), c.rand)
	if err != nil {
		return Info{}, err
	}
	if err := may(keys.ID()); err != nil {
		return Info{}, err
	}
	info := Info{ID: keys.ID(), Subject: subject, Handle: handle, Name: name, Status: StatusActive, Events: keys.Events(), Chain: keys.Chain()}
	err = c.dir.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := c.dir.insert(ctx, tx, info); err != nil {
			return err
		}
		if maker == "" {
			maker = info.ID
		}
		if err := c.vault.insert(ctx, tx, keys, maker); err != nil {
			return err
		}
		return with(tx, info)
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// Maker is who had an identity in custody made; not_found not_in_custody for
// any other identity, this node's own among them.
func (c *Custody) Maker(ctx context.Context, identity string) (string, error) {
	r, err := c.held(ctx, identity)
	return r.maker, err
}

func (c *Custody) held(ctx context.Context, identity string) (sealedRow, error) {
	r, found, err := c.vault.row(ctx, c.vault.db.Read, identity)
	if err == nil && (!found || identity == c.node) {
		err = fault.Newf(fault.NotFound, "not_in_custody", "this node does not hold the keys of %s; whoever does signs with them", identity)
	}
	return r, err
}

// keys unseals a held identity's keys.
func (c *Custody) keys(ctx context.Context, identity string) (*Keys, error) {
	r, err := c.held(ctx, identity)
	if err != nil {
		return nil, err
	}
	return c.vault.open(identity, r)
}

// Held signs for an identity in custody.
type Held struct {
	Signer        // with its primary
	Secret []byte `json:"-"` // 32 bytes that only this node knows, from which salts are derived
}

// Held unseals what signs for an identity.
func (c *Custody) Held(ctx context.Context, identity string) (Held, error) {
	k, err := c.keys(ctx, identity)
	if err != nil {
		return Held{}, err
	}
	return Held{Signer: k.Signer(), Secret: k.Secret()}, nil
}

// Change is a signed key event of an identity in custody that nothing holds yet.
type Change struct {
	Identity string
	Event    []byte // sealed, JCS
	keys     *Keys
}

// Rotation signs a rotation to the next key.
func (c *Custody) Rotation(ctx context.Context, identity string) (*Change, error) {
	return c.change(ctx, identity, func(k *Keys) (*Event, error) { return k.Rotate(c.now(), c.rand) })
}

// Revocation signs the end of the identity; reason may be "".
func (c *Custody) Revocation(ctx context.Context, identity, reason string) (*Change, error) {
	return c.change(ctx, identity, func(k *Keys) (*Event, error) { return k.Revoke(reason, c.now()) })
}

func (c *Custody) change(ctx context.Context, identity string, do func(*Keys) (*Event, error)) (*Change, error) {
	k, err := c.keys(ctx, identity)
	if err != nil {
		return nil, err
	}
	e, err := do(k)
	if err != nil {
		return nil, err
	}
	return &Change{Identity: identity, Event: e.Raw, keys: k}, nil
}

// Keep takes the event into the directory and seals the keys that it leaves, in
// one transaction; conflict keys_changed when another change came first.
func (c *Custody) Keep(ctx context.Context, ch *Change) (info Info, err error) {
	e, err := ParseEvent(ch.Event)
	if err != nil {
		return Info{}, err
	}
	err = c.dir.db.InTx(ctx, func(tx *sql.Tx) error {
		if info, err = c.dir.add(ctx, tx, ch.Identity, e); err != nil {
			return err
		}
		return c.vault.replace(ctx, tx, ch.keys, len(ch.keys.events)-1)
	})
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

// Destroy removes the sealed keys of an identity in custody, for good: nobody can
// sign as it any more, and the row's bytes are gone as those of an erasure are. Where
// there are none it changes nothing.
func (c *Custody) Destroy(ctx context.Context, identity string) error {
	if identity == c.node {
		return fault.New(fault.Invalid, "not_in_custody", "the node's own keys are not in custody")
	}
	err := c.vault.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM sealed_keys WHERE identity = $1`, identity)
		return err
	})
	if err != nil {
		return storage.Failed("destroy sealed keys", err)
	}
	_ = c.vault.db.TruncateWAL(ctx) // they are gone either way, and what is owed is done after the next commit
	return nil
}
