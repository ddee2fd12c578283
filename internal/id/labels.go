package id

import (
	"context"
	"database/sql"

	"github.com/danvoulez/logline/internal/storage"
)

// Labels changes what the directory calls an identity: nil leaves a handle or
// name as it is, "" erases it.
type Labels struct{ Handle, Name *string }

// SetLabels changes or erases an identity's handle and name. What is replaced is
// gone from the database when it returns, the copies in SQLite's log included,
// or as soon as the last read that began before it ends. A handle that is given
// up is free at once: nothing that lasts refers to one, only to LogLine IDs. Of
// two identities that take one handle at once one gets it. Codes:
// handle_malformed, name_malformed, handle_taken, identity_unknown.
func (d *Directory) SetLabels(ctx context.Context, id string, l Labels) (info Info, err error) {
	erased := false
	err = d.db.InTx(ctx, func(tx *sql.Tx) error {
		if info, err = load(ctx, tx, "id", id); err != nil {
			return err
		}
		before := info
		if l.Handle != nil {
			info.Handle = *l.Handle
		}
		if l.Name != nil {
			info.Name = *l.Name
		}
		if err := checkLabels(info.Handle, info.Name); err != nil {
			return err
		}
		if info.Handle == before.Handle && info.Name == before.Name {
			return nil
		}
		if info.Handle != before.Handle {
			if err := d.handleFree(ctx, tx, info.Handle); err != nil {
				return err
			}
		}
		erased = before.Handle != "" || before.Name != ""
		_, err := tx.ExecContext(ctx, `UPDATE identities SET handle = $1, name = $2 WHERE id = $3`, storage.Optional(info.Handle), info.Name, id)
		if err != nil {
			return storage.Failed("set handle and name", err)
		}
		return nil
	})
	if err != nil {
		return Info{}, err
	}
	if erased {
		_ = d.db.TruncateWAL(ctx) // the change stands either way, and what is owed is done after the next commit
	}
	return info, nil
}

// handleFree says whether a handle may be taken.
func (d *Directory) handleFree(ctx context.Context, tx *sql.Tx, handle string) error {
	if handle == "" {
		return nil
	}
	var taken bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM identities WHERE handle = $1)`, handle).Scan(&taken); err != nil {
		return storage.Failed("look for handle", err)
	}
	if taken {
		return handleTaken(handle)
	}
	return nil
}
