package id

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// nodeSetting is the settings row that says whose database this is.
const nodeSetting = "node"

// NodeHome is where a node's keys are: in node.key in its data directory, or,
// under a master key, sealed in its database, where every process with that
// database and that master key is the same node and needs no disk of its own.
// Either way the database belongs to one node for good: with other keys the
// timelines in it could not be continued.
type NodeHome struct {
	Dir     string
	DB      *storage.DB // migrated
	Masters Masters     // none: the keys are in the file
}

// Opening is how a node's keys were found.
type Opening struct {
	Node    *Node
	Created bool   // they were made now
	Sealed  bool   // a sealed copy was made, or brought up to date, from the file now
	Stored  bool   // they are in the database
	Path    string // of the file, whether or not there is one
	Spare   bool   // the file is there too, and is not what is read (Stored), or a sealed copy is there and cannot be read (not Stored)
}

// Open reads the node's keys, makes them on the first start, and claims the
// database for them. Of several first starts at once on one empty database one
// makes the keys; with the same master key the others find them, without one
// they are refused (node_mismatch). Any error leaves keys and database as they
// were. Codes: node_keys_missing, node_mismatch, node_keys_behind,
// master_key_required, master_key_wrong, sealed_unopenable, those of LoadKeys.
func (h NodeHome) Open(ctx context.Context, now time.Time, rand io.Reader) (Opening, error) {
	for {
		o, err := h.open(ctx, now, rand)
		if errors.Is(err, errRaced) && ctx.Err() == nil {
			continue // another process was first; what it left is there to be read
		}
		o.Path = h.path()
		return o, err
	}
}

func (h NodeHome) path() string { return filepath.Join(h.Dir, NodeKeyFile) }

func (h NodeHome) open(ctx context.Context, now time.Time, rand io.Reader) (Opening, error) {
	owner, err := h.owner(ctx)
	if err != nil {
		return Opening{}, err
	}
	file, err := LoadKeys(h.path(), nil)
	if fault.CodeOf(err) == "key_file_missing" {
		file, err = nil, nil
	}
	if err != nil {
		return Opening{}, fmt.Errorf("open the node's keys: %w", err)
	}
	if file != nil && owner != "" && file.ID() != owner {
		return Opening{}, fault.Newf(fault.Unavailable, "node_mismatch",
			"the database belongs to the node %s, but %s holds the keys of %s; bring the two that belong together", owner, h.path(), file.ID())
	}
	if len(h.Masters) == 0 {
		return h.openFile(ctx, owner, file, now, rand)
	}
	return h.openSealed(ctx, owner, file, now, rand)
}

// openFile is for a node without a master key.
func (h NodeHome) openFile(ctx context.Context, owner string, file *Keys, now time.Time, rand io.Reader) (Opening, error) {
	vault := NewVault(h.DB, nil, rand)
	kept, spare, err := vault.row(ctx, h.DB.Read, owner)
	switch {
	case err != nil:
		return Opening{}, err
	case file == nil && spare:
		return Opening{}, errMasterRequired("the keys of this node (" + owner + ")")
	case file == nil && owner != "":
		return Opening{}, h.missing(owner)
	case spare && len(file.events) < kept.size:
		return Opening{}, fault.Newf(fault.Unavailable, "node_keys_behind",
			"%s is older than the keys sealed in the database; set LOGLINE_MASTER_KEY to the master key they were sealed with", h.path())
	}
	node, created, err := OpenNode(h.Dir, now, rand)
	if err != nil {
		return Opening{}, err
	}
	if spare { // only who can seal what follows may rotate
		node.home = unsealedCopy{keyFileAt(h.path())}
	}
	if owner == "" {
		err = h.DB.InTx(ctx, func(tx *sql.Tx) error { return claim(ctx, tx, node.ID()) })
	}
	return Opening{Node: node, Created: created, Spare: spare}, err
}

// openSealed is for a node with a master key: the file, where there is one, is
// taken over once, and whenever it is ahead.
func (h NodeHome) openSealed(ctx context.Context, owner string, file *Keys, now time.Time, rand io.Reader) (Opening, error) {
	vault := NewVault(h.DB, h.Masters, rand)
	o := Opening{Stored: true, Spare: file != nil}
	keys := file
	kept, found, err := vault.row(ctx, h.DB.Read, owner)
	switch {
	case err != nil:
		return o, err
	case owner != "" && !found && file == nil:
		return o, h.missing(owner)
	case found:
		if keys, err = vault.open(owner, kept); err != nil {
			return o, err
		}
		if file != nil && len(file.events) > len(keys.events) {
			if !file.continues(keys.Events()) {
				return o, malformed(h.path(), "holds keys that do not continue the sealed ones", nil)
			}
			keys, o.Sealed = file, true
		}
	case file == nil:
		o.Created = true
		if keys, err = makeNodeKeys(now, rand); err != nil {
			return o, err
		}
	default:
		o.Sealed = true
	}
	if o.Node, err = newNode(sealedAt{vault, keys.ID()}, keys); err != nil {
		return o, err
	}
	if !o.Created && !o.Sealed {
		return o, h.noteMaster(ctx, kept.master, now)
	}
	return o, h.DB.InTx(ctx, func(tx *sql.Tx) error {
		if err := h.Masters.begin(ctx, tx, kept.master, now); err != nil {
			return err
		}
		if owner == "" {
			if err := claim(ctx, tx, keys.ID()); err != nil {
				return err
			}
		}
		if found {
			return vault.replace(ctx, tx, keys, kept.size)
		}
		return vault.insert(ctx, tx, keys, "")
	})
}

func (h NodeHome) missing(owner string) error {
	return fault.Newf(fault.Unavailable, "node_keys_missing",
		"the database belongs to the node %s, whose keys are not in %s; restore that file from a backup, or use another database. Processes that share one database share its node by LOGLINE_MASTER_KEY", owner, h.path())
}

// owner is the node that the database belongs to, "" for none yet.
func (h NodeHome) owner(ctx context.Context) (string, error) {
	var value []byte
	err := h.DB.Read.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = $1`, nodeSetting).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return string(value), storage.Classify(err)
}

// claim makes the database a node's; errRaced when it is somebody's by now.
func claim(ctx context.Context, tx *sql.Tx, node string) error {
	return took(tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, nodeSetting, []byte(node)))
}

// keyFileAt keeps a node's keys in a file, for one process at a time.
type keyFileAt string

func (p keyFileAt) load(context.Context) (*Keys, error) { return LoadKeys(string(p), nil) }

func (p keyFileAt) replace(_ context.Context, k *Keys, _ int) error {
	return ReplaceKeys(string(p), k, "")
}

func (p keyFileAt) shared() bool  { return false }
func (p keyFileAt) place() string { return string(p) }

// unsealedCopy is a key file beside sealed keys that cannot be opened now: it
// must not get ahead of them.
type unsealedCopy struct{ keyFileAt }

func (u unsealedCopy) replace(_ context.Context, k *Keys, _ int) error {
	return errMasterRequired("the keys of " + k.ID())
}

// sealedAt keeps a node's keys in a vault, for every process of the node.
type sealedAt struct {
	vault *Vault
	node  string
}

func (s sealedAt) load(ctx context.Context) (*Keys, error) { return s.vault.load(ctx, s.node) }

func (s sealedAt) replace(ctx context.Context, k *Keys, size int) error {
	return s.vault.db.InTx(ctx, func(tx *sql.Tx) error { return s.vault.replace(ctx, tx, k, size) })
}

func (s sealedAt) shared() bool  { return true }
func (s sealedAt) place() string { return "the database" }
