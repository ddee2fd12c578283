package id

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// masterSetting is the settings row that says which master key seals.
const masterSetting = "master"

// Masters are the master keys that a process holds: none, one, or two while one
// takes over from the other. Each opens what is sealed under it; what seals is
// the one that the database names, so that processes agree on it whatever the
// order of their keys. Where the database names none yet, the first does.
type Masters []*MasterKey

// SealedBy is what the database says of the master key that seals in it.
type SealedBy struct {
	ID    string `json:"id"`
	Since string `json:"since"`          // when it took over, or was first noted
	From  string `json:"from,omitempty"` // the one that it takes or took over from
	Done  string `json:"done,omitempty"` // when nothing was sealed under an earlier one any more; "" with From: not yet
}

// find is the master key of an id, nil for one that is not held.
func (m Masters) find(id string) *MasterKey {
	for _, k := range m {
		if k.ID() == id {
			return k
		}
	}
	return nil
}

// named is the master key of an id, which what is sealed under.
func (m Masters) named(id, what string) (*MasterKey, error) {
	if k := m.find(id); k != nil {
		return k, nil
	}
	if len(m) == 0 {
		return nil, errMasterRequired(what)
	}
	return nil, fault.Newf(fault.Unavailable, "master_key_wrong",
		"%s are sealed under the master key %s, and LOGLINE_MASTER_KEY is another (%s); set the one they were sealed with, beside a newer one as LOGLINE_MASTER_KEY_PREVIOUS",
		what, id, m.ids())
}

// ids names the keys for messages.
func (m Masters) ids() string {
	out := make([]string, len(m))
	for i, k := range m {
		out[i] = k.ID()
	}
	return strings.Join(out, " and ")
}

// sealing is the master key that seals the keys of an identity now.
func (m Masters) sealing(ctx context.Context, q querier, identity string) (*MasterKey, error) {
	if len(m) == 0 {
		return nil, errMasterRequired("the keys of " + identity)
	}
	by, found, err := readSealedBy(ctx, q)
	if err != nil {
		return nil, err
	}
	if !found {
		return m[0], nil
	}
	return m.named(by.ID, "keys")
}

// begin notes which master key seals from the start: the one that the node's
// keys are under, or the first where there are none. One that is noted stays.
func (m Masters) begin(ctx context.Context, tx *sql.Tx, kept string, now time.Time) error {
	if kept == "" {
		kept = m[0].ID()
	}
	value, err := json.Marshal(SealedBy{ID: kept, Since: span.FormatTime(now)})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING`, masterSetting, value); err != nil {
		return storage.Failed("note the master key", err)
	}
	return nil
}

// noteMaster is begin for keys that were sealed before anything was noted.
func (h NodeHome) noteMaster(ctx context.Context, kept string, now time.Time) error {
	if _, found, err := readSealedBy(ctx, h.DB.Read); err != nil || found {
		return err
	}
	return h.DB.InTx(ctx, func(tx *sql.Tx) error { return h.Masters.begin(ctx, tx, kept, now) })
}

func readSealedBy(ctx context.Context, q querier) (by SealedBy, found bool, err error) {
	var value []byte
	err = q.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = $1`, masterSetting).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return by, false, nil
	}
	if err != nil {
		return by, false, storage.Failed("read which master key seals", err)
	}
	if err := json.Unmarshal(value, &by); err != nil || by.ID == "" {
		return by, false, fault.New(fault.Unavailable, "settings_damaged",
			"the database's note of its master key cannot be read; restore the database from a backup").Because(err)
	}
	return by, true, nil
}

func errMasterRequired(what string) error {
	return fault.Newf(fault.Unavailable, "master_key_required",
		"%s are sealed in the database; set LOGLINE_MASTER_KEY or LOGLINE_MASTER_KEY_FILE to the master key they were sealed with", what)
}
