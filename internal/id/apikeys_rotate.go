package id

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// Rotate makes a key that takes the place of another, with the same terms, and
// returns it with its text, which is nowhere else. The old one stays good beside
// it for overlap, but never longer than it would have been; expires is the new
// one's end, "" for a life as long as the old one's, counted from now. Codes:
// api_key_unknown, api_key_ended, api_key_replaced, overlap_too_long, and those of
// Create.
func (a *APIKeys) Rotate(ctx context.Context, identity, key string, overlap time.Duration, expires, by string) (APIKey, string, error) {
	if overlap < 0 || overlap > a.cfg.Overlap {
		return APIKey{}, "", fault.Newf(fault.Invalid, "overlap_too_long", "an API key that is replaced stays good for 0s to %s, not %s", a.cfg.Overlap, overlap).At("/overlap", "is out of bounds")
	}
	old, err := a.Get(ctx, identity, key)
	if err != nil {
		return APIKey{}, "", err
	}
	fresh := old
	fresh.CreatedBy, fresh.Replaces, fresh.ExpiresAt = by, old.ID, expires
	if expires == "" {
		fresh.ExpiresAt = a.again(old)
	}
	fresh, text, err := a.make(fresh)
	if err != nil {
		return APIKey{}, "", err
	}
	end := span.FormatTime(a.now().Add(overlap))
	err = a.db.InTx(ctx, func(tx *sql.Tx) error {
		// What this changes nobody else changes: the row is this transaction's.
		done, err := tx.ExecContext(ctx, `
			UPDATE api_keys SET replaced_by = $1, expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END
			WHERE id = $3 AND identity = $4 AND replaced_by IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $5)`,
			fresh.ID, end, old.ID, identity, fresh.CreatedAt)
		if err != nil {
			return storage.Failed("replace API key", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, a.notReplaced(ctx, tx, identity, key))
		}
		return a.insert(ctx, tx, fresh, text, 2*MaxAPIKeys)
	})
	if err != nil {
		return APIKey{}, "", err
	}
	return fresh, text, nil
}

// again is when a key made now ends that lasts as long as k was made for.
func (a *APIKeys) again(k APIKey) string {
	from, err := span.ParseTime(k.CreatedAt)
	to, err2 := span.ParseTime(k.ExpiresAt)
	if err != nil || err2 != nil { // it has no end: the node's own rule counts
		return ""
	}
	life := to.Sub(from)
	if a.cfg.MaxLife > 0 {
		life = min(life, a.cfg.MaxLife)
	}
	return span.FormatTime(a.now().Add(life))
}

// notReplaced says why a key cannot be replaced.
func (a *APIKeys) notReplaced(ctx context.Context, tx *sql.Tx, identity, key string) error {
	k, err := getAPIKey(ctx, tx, identity, key)
	switch {
	case err != nil:
		return err
	case k.ReplacedBy != "":
		return fault.Newf(fault.Conflict, "api_key_replaced", "the API key was replaced already, by %s; replace or revoke that one", k.ReplacedBy)
	}
	return fault.New(fault.Conflict, "api_key_ended", "the API key was revoked or has expired; make a new one")
}
