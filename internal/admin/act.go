package admin

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// The types of acts. They are no reserved types: nothing is decided by them.
const (
	TenantCreated    = "node.tenant.created"
	TenantImported   = "node.tenant.imported"
	TenantSuspended  = "node.tenant.suspended"
	TenantResumed    = "node.tenant.resumed"
	TenantClosed     = "node.tenant.closed"
	QuotaChanged     = "node.quota.changed"
	SettingsChanged  = "node.settings.changed"
	SchemaMigrated   = "node.schema.migrated"
	NodeKeyRotated   = "node.key.rotated"
	MasterKeyRotated = "node.master_key.rotated"
	EpochOpened      = "node.epoch.opened"
	Restored         = "node.restored"
	Compacted        = "node.compacted"
	OperatorAdded    = "node.operator.added"
	OperatorRemoved  = "node.operator.removed"
	PersonExported   = "node.person.exported"
	PersonErased     = "node.person.erased"
	OnboardingStep   = "node.onboarding.step"

	AccountDeactivated = "node.account.deactivated"
	AccountActivated   = "node.account.activated"
)

// Act is one thing that was done to the node. What may not stay for ever, names
// above all, is in none of its fields but Reason and Facts, which are a payload and
// can be redacted.
type Act struct {
	Type    string         `json:"type"`
	Subject string         `json:"subject,omitempty"` // what it was done to: the id of a tenant, a LogLine ID
	By      string         `json:"by,omitempty"`      // LogLine ID of who did it; "" where nobody showed one
	OSUser  string         `json:"os_user,omitempty"` // who ran the command, where it was a command on the node's data
	Reason  string         `json:"reason,omitempty"`
	Facts   map[string]any `json:"facts,omitempty"` // numbers and ids, as JSON
	At      time.Time      `json:"at"`              // now, where it is zero

	// Intended says that it was noted before it was done: that a tenant, Subject, of
	// the slug in Facts is to be made. It is told of once that tenant is there, by
	// whichever process finds it, and forgotten where it never will be.
	Intended bool `json:"intended,omitempty"`
}

// FactSlug is the fact that a tenant is called so.
const FactSlug = "slug"

// maxReason bounds what people write, in bytes.
const maxReason = 256

// CheckReason refuses what cannot be recorded as a reason.
func CheckReason(reason string) error {
	if len(reason) > maxReason || !utf8.ValidString(reason) {
		return fault.Newf(fault.Invalid, "reason_invalid", "a reason is text of at most %d bytes", maxReason).At("/reason", "is too long, or is not UTF-8")
	}
	return nil
}

// payload is what the timeline says of the act, as JCS.
func (a *Act) payload() ([]byte, error) {
	body := map[string]any{}
	for name, text := range map[string]string{"by": a.By, "os_user": a.OSUser, "reason": a.Reason} {
		if text != "" {
			body[name] = text
		}
	}
	if len(a.Facts) > 0 {
		body["facts"] = a.Facts
	}
	return span.Canonical(body)
}

// check refuses an act that no span could tell of: it would be tried for ever.
func (a *Act) check() error {
	if err := CheckReason(a.Reason); err != nil {
		return err
	}
	_, err := a.payload()
	if err != nil || !span.ValidType(a.Type) || span.IsReserved(a.Type) || len(a.Subject) > 256 || !utf8.ValidString(a.Subject) ||
		a.By != "" && !span.IsIdentity(a.By) {
		return fault.Newf(fault.Internal, "act_invalid", "an act of type %.40q is of no form that a span has", a.Type).Because(err)
	}
	return nil
}

// Book keeps acts in the database until the admin timeline tells of them. It works
// on any migrated database, also where there are no keys to sign with.
type Book struct {
	db  *storage.DB
	now func() time.Time
}

// NewBook keeps acts in db.
func NewBook(db *storage.DB, now func() time.Time) *Book { return &Book{db, now} }

// Add notes an act durably: the node tells of it, once, as soon as one of its
// processes can.
func (b *Book) Add(ctx context.Context, a Act) error {
	return b.db.InTx(ctx, func(tx *sql.Tx) error { return b.AddIn(ctx, tx, a) })
}

// AddIn is Add in the transaction that does the act.
func (b *Book) AddIn(ctx context.Context, tx *sql.Tx, a Act) error {
	if a.At.IsZero() {
		a.At = b.now()
	}
	if err := a.check(); err != nil {
		return err
	}
	id, err := span.RandomID(a.At, rand.Reader)
	if err != nil {
		return err
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO node_acts (id, act) VALUES ($1, $2)`, id, text)
	return storage.Classify(err)
}

// noted is an act that waits.
type noted struct {
	id  string
	act Act
}

// waiting are the oldest acts that wait behind one, "" for the first of all.
func (b *Book) waiting(ctx context.Context, after string) (list []noted, err error) {
	rows, err := b.db.Read.QueryContext(ctx, `SELECT id, act FROM node_acts WHERE id > $1 ORDER BY id LIMIT 100`, after)
	if err != nil {
		return nil, storage.Classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n noted
		var text []byte
		if err := rows.Scan(&n.id, &text); err != nil {
			return nil, storage.Classify(err)
		}
		if err := json.Unmarshal(text, &n.act); err != nil {
			return nil, fault.Newf(fault.Internal, "act_damaged", "the noted act %s cannot be read", n.id).Because(err)
		}
		list = append(list, n)
	}
	return list, storage.Classify(rows.Err())
}

func (b *Book) forget(ctx context.Context, id string) error {
	return b.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM node_acts WHERE id = $1`, id)
		return err
	})
}
