// Package endpoint keeps where a tenant's webhooks go: an address and the
// secrets that sign, under a name that contracts use. Both are sealed in the
// node's database (migration 0013), for their own row; a secret is given out
// once, when it is made. Of messages it makes those that test a webhook; all are
// delivered by internal/webhook.
package endpoint

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"time"

	"github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	sending "github.com/danvoulez/logline/internal/webhook"
)

// Limits of settings.
const (
	MaxWebhooks = 64 // of a tenant
	MaxSecrets  = 4  // of one that sign at once
	MaxTests    = 8  // deliveries of test messages at once
	// MaxGrace is the longest that an old secret goes on signing.
	MaxGrace = 30 * 24 * time.Hour
	// DefaultGrace is how long it does if nobody says.
	DefaultGrace = 24 * time.Hour
)

// purpose is what settings are sealed for.
const purpose = "webhook"

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// ErrUnknown is the answer for a name that is not set.
var ErrUnknown = fault.New(fault.NotFound, "webhook_unknown", "the tenant has no webhook of this name; an owner or an admin sets it: logline webhooks set NAME URL")

// Webhook is one setting, without its secrets.
type Webhook struct {
	Name, URL            string
	Secrets              []Secret // that sign, the newest first
	CreatedBy, CreatedAt string   // LogLine ID; time in the form of recorded_at
	ChangedBy, ChangedAt string
	GoneAt               string // since when the receiver wants no more; "": it does
}

// Secret is when a secret was made, and when it ends, "" for the newest.
type Secret struct{ Since, Until string }

// Sealer seals and opens for one purpose and row. *id.MasterKey implements it.
type Sealer interface {
	ID() string
	Seal(purpose, row string, plain []byte, rand io.Reader) ([]byte, error)
	Open(purpose, row string, sealed []byte) ([]byte, error)
}

// Sender judges addresses and delivers. *webhook.Sender of ours implements it.
type Sender interface {
	CheckURL(text string) (*url.URL, error)
	Send(ctx context.Context, to sending.Endpoint, m sending.Message) sending.Result
}

// Book holds the settings of all tenants, which it takes by id. It is safe for
// concurrent use, also by several processes.
type Book struct {
	db     *storage.DB
	sealer Sealer
	sender Sender
	tests  chan struct{} // that are under way
	now    func() time.Time
	rand   io.Reader
}

// New works on a migrated database.
func New(db *storage.DB, sealer Sealer, sender Sender, now func() time.Time, rand io.Reader) *Book {
	return &Book{db: db, sealer: sealer, sender: sender, tests: make(chan struct{}, MaxTests), now: now, rand: rand}
}

// content is what is sealed.
type content struct {
	URL     string   `json:"url"`
	Secrets []sealed `json:"secrets"` // the newest first
}

type sealed struct {
	Secret string `json:"secret"`
	Since  string `json:"since"`
	Until  string `json:"until,omitempty"`
}

// row is a setting as it is stored, opened.
type row struct {
	Webhook
	content
}

// Set makes a webhook, whose secret it gives, or gives one that there is another
// address, and then the secret is "" and stays the same. It clears that the
// receiver wants no more. Codes: webhook_url, webhook_name, webhooks_too_many.
func (b *Book) Set(ctx context.Context, tenant, name, address, by string) (w Webhook, secret string, err error) {
	if !nameForm.MatchString(name) {
		return Webhook{}, "", fault.New(fault.Invalid, "webhook_name", "a webhook's name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or a digit")
	}
	if _, err := b.sender.CheckURL(address); err != nil {
		return Webhook{}, "", err
	}
	now := span.FormatTime(b.now())
	err = b.change(ctx, tenant, func(tx *sql.Tx) error {
		r, err := b.read(ctx, tx, tenant, name)
		switch {
		case fault.CodeOf(err) == ErrUnknown.Code:
			r = row{Webhook: Webhook{Name: name, CreatedBy: by, CreatedAt: now}}
			if secret, err = b.add(&r, now); err == nil {
				err = room(ctx, tx, tenant)
			}
		case err != nil:
			return err
		}
		if err != nil {
			return err
		}
		r.content.URL, r.ChangedBy, r.ChangedAt, r.GoneAt = address, by, now, ""
		w, err = b.write(ctx, tx, tenant, &r)
		return err
	})
	return w, secret, err
}

// Rotate makes a new secret, which it gives. The others go on signing beside it
// for grace, those that are to end earlier until then. Codes: webhook_unknown,
// webhook_grace, webhook_secrets_too_many.
func (b *Book) Rotate(ctx context.Context, tenant, name string, grace time.Duration, by string) (w Webhook, secret string, err error) {
	if grace < 0 || grace > MaxGrace {
		return Webhook{}, "", fault.New(fault.Invalid, "webhook_grace", "an old secret signs for 0s to 720h more (30 days)")
	}
	now := b.now()
	err = b.change(ctx, tenant, func(tx *sql.Tx) error {
		r, err := b.read(ctx, tx, tenant, name)
		if err != nil {
			return err
		}
		until := span.FormatTime(now.Add(grace))
		kept := r.content.Secrets[:0]
		for _, s := range r.content.Secrets {
			if s.Until == "" || s.Until > until {
				s.Until = until
			}
			if s.Until > span.FormatTime(now) {
				kept = append(kept, s)
			}
		}
		if r.content.Secrets = kept; len(kept) >= MaxSecrets {
			return fault.Newf(fault.Conflict, "webhook_secrets_too_many", "%d secrets of this webhook sign already; wait for one to end, or end them all now with a grace of 0s", len(kept))
		}
		if secret, err = b.add(&r, span.FormatTime(now)); err != nil {
			return err
		}
		r.ChangedBy, r.ChangedAt = by, span.FormatTime(now)
		w, err = b.write(ctx, tx, tenant, &r)
		return err
	})
	return w, secret, err
}

// add makes a secret and puts it before the others.
func (b *Book) add(r *row, now string) (string, error) {
	s, err := webhook.NewSecret(b.rand)
	if err != nil {
		return "", fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for a secret").Because(err)
	}
	r.content.Secrets = append([]sealed{{Secret: s.Reveal(), Since: now}}, r.content.Secrets...)
	return s.Reveal(), nil
}

// Delete forgets a webhook and its secrets, and gives what it was; ErrUnknown if
// there is none. One that cannot be opened is deleted too.
func (b *Book) Delete(ctx context.Context, tenant, name string) (w Webhook, err error) {
	err = b.change(ctx, tenant, func(tx *sql.Tx) error {
		r, err := b.read(ctx, tx, tenant, name)
		if err != nil && fault.CodeOf(err) != codeUnreadable {
			return err
		}
		w = r.Webhook
		_, err = tx.ExecContext(ctx, `DELETE FROM webhooks WHERE tenant = $1 AND name = $2`, tenant, name)
		return err
	})
	return w, err
}

// List is a tenant's webhooks by name. One that cannot be opened with this
// node's keys is there without address and secrets.
func (b *Book) List(ctx context.Context, tenant string) (list []Webhook, err error) {
	err = b.view(ctx, tenant, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT `+columns+` FROM webhooks WHERE tenant = $1 ORDER BY name`, tenant)
		if err != nil {
			return fmt.Errorf("list webhooks: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			r, err := b.scan(tenant, rows)
			if err != nil && fault.CodeOf(err) != codeUnreadable {
				return err
			}
			list = append(list, r.Webhook)
		}
		return rows.Err()
	})
	return list, err
}

// Endpoint is where messages to a webhook go, and what signs them now; ErrUnknown,
// or gone webhook_gone after Gone.
func (b *Book) Endpoint(ctx context.Context, tenant, name string) (out sending.Endpoint, err error) {
	var r row
	err = b.view(ctx, tenant, func(tx *sql.Tx) error {
		r, err = b.read(ctx, tx, tenant, name)
		return err
	})
	if err != nil {
		return sending.Endpoint{}, err
	}
	if r.GoneAt != "" {
		return sending.Endpoint{}, fault.New(fault.Gone, sending.CodeGone, "the receiver of this webhook said that it wants no more (410), at "+r.GoneAt+"; set its address again when it does")
	}
	out.URL = r.content.URL
	for _, s := range r.content.Secrets {
		secret, err := webhook.ParseSecret(s.Secret)
		if err != nil {
			return sending.Endpoint{}, unreadable(err)
		}
		out.Secrets = append(out.Secrets, secret)
	}
	return out, nil
}

// Gone notes that the receiver at this address wants no more. It does nothing
// where the address is another by now.
func (b *Book) Gone(ctx context.Context, tenant, name, address string) error {
	return b.change(ctx, tenant, func(tx *sql.Tx) error {
		r, err := b.read(ctx, tx, tenant, name)
		if fault.CodeOf(err) == ErrUnknown.Code || err == nil && r.content.URL != address {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE webhooks SET gone_at = $3 WHERE tenant = $1 AND name = $2 AND gone_at IS NULL`, tenant, name, span.FormatTime(b.now()))
		return err
	})
}

// test is a test message's body.
type test struct {
	Type      string   `json:"type"`
	Timestamp string   `json:"timestamp"`
	Tenant    string   `json:"tenant"`
	Data      struct{} `json:"data"`
}

// TypeTest is the type of a test message.
const TypeTest = "logline.webhook.test"

// Test delivers a test message, once, and gives its id and what came of it. It
// changes no setting, not even where the receiver wants no more. Codes: those of
// Endpoint, limited webhook_tests_busy.
func (b *Book) Test(ctx context.Context, tenant, name string) (messageID string, r sending.Result, err error) {
	select {
	case b.tests <- struct{}{}:
		defer func() { <-b.tests }()
	default:
		return "", r, fault.Newf(fault.Limited, "webhook_tests_busy", "%d webhooks are being tested now; try again in a moment", MaxTests).After(time.Second)
	}
	to, err := b.Endpoint(ctx, tenant, name)
	if err != nil {
		return "", r, err
	}
	now := b.now()
	if messageID, err = span.RandomID(now, b.rand); err != nil {
		return "", r, err
	}
	body, err := span.Canonical(test{Type: TypeTest, Timestamp: span.FormatTime(now), Tenant: tenant})
	if err != nil {
		return "", r, err
	}
	messageID = "test_" + messageID
	return messageID, b.sender.Send(ctx, to, sending.Message{ID: messageID, Body: body}), nil
}

func room(ctx context.Context, tx *sql.Tx, tenant string) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM webhooks WHERE tenant = $1`, tenant).Scan(&n); err != nil {
		return fmt.Errorf("count webhooks: %w", err)
	}
	if n >= MaxWebhooks {
		return fault.Newf(fault.Conflict, "webhooks_too_many", "the tenant has %d webhooks; delete one that is no longer used", n)
	}
	return nil
}

const columns = `name, master, sealed, created_by, created_at, changed_by, changed_at, gone_at`

type scanner interface{ Scan(into ...any) error }

// read is one setting, opened.
func (b *Book) read(ctx context.Context, tx *sql.Tx, tenant, name string) (row, error) {
	r, err := b.scan(tenant, tx.QueryRowContext(ctx, `SELECT `+columns+` FROM webhooks WHERE tenant = $1 AND name = $2`, tenant, name))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrUnknown
	}
	return r, err
}

// scan opens a row. Secrets that have ended are left out.
func (b *Book) scan(tenant string, from scanner) (r row, err error) {
	var master string
	var blob []byte
	var gone sql.NullString
	if err := from.Scan(&r.Name, &master, &blob, &r.CreatedBy, &r.CreatedAt, &r.ChangedBy, &r.ChangedAt, &gone); err != nil {
		return row{}, fmt.Errorf("read a webhook: %w", err)
	}
	r.GoneAt = gone.String
	if master != b.sealer.ID() {
		return r, unreadable(errors.New("sealed under another key: " + master))
	}
	plain, err := b.sealer.Open(purpose, place(tenant, r.Name), blob)
	if err == nil {
		err = json.Unmarshal(plain, &r.content)
	}
	if err != nil {
		return r, unreadable(err)
	}
	r.outline(span.FormatTime(b.now()))
	return r, nil
}

// outline leaves out secrets that have ended, and tells what may be told.
func (r *row) outline(now string) {
	kept := r.content.Secrets[:0]
	r.Webhook.Secrets = nil
	for _, s := range r.content.Secrets {
		if s.Until == "" || s.Until > now {
			kept = append(kept, s)
			r.Webhook.Secrets = append(r.Webhook.Secrets, Secret{s.Since, s.Until})
		}
	}
	r.content.Secrets, r.Webhook.URL = kept, r.content.URL
}

// write seals a row and puts it in place of the one of that name.
func (b *Book) write(ctx context.Context, tx *sql.Tx, tenant string, r *row) (Webhook, error) {
	plain, err := json.Marshal(r.content)
	if err != nil {
		return Webhook{}, fmt.Errorf("encode a webhook: %w", err)
	}
	blob, err := b.sealer.Seal(purpose, place(tenant, r.Name), plain, b.rand)
	if err != nil {
		return Webhook{}, err
	}
	gone := sql.NullString{String: r.GoneAt, Valid: r.GoneAt != ""}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO webhooks (tenant, name, master, sealed, created_by, created_at, changed_by, changed_at, gone_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (tenant, name) DO UPDATE SET master = excluded.master, sealed = excluded.sealed,
			changed_by = excluded.changed_by, changed_at = excluded.changed_at, gone_at = excluded.gone_at`,
		tenant, r.Name, b.sealer.ID(), blob, r.CreatedBy, r.CreatedAt, r.ChangedBy, r.ChangedAt, gone); err != nil {
		return Webhook{}, fmt.Errorf("write a webhook: %w", err)
	}
	r.outline(span.FormatTime(b.now()))
	return r.Webhook, nil
}

// place is what a setting is sealed for, so that it opens nowhere else.
func place(tenant, name string) string { return tenant + " " + name }

const codeUnreadable = "webhook_unreadable"

func unreadable(err error) error {
	return fault.New(fault.Unavailable, codeUnreadable,
		"the webhook's setting cannot be opened with this node's keys; restore the database it belongs to, or delete the webhook and set it again").Because(err)
}

// change runs a write transaction on a tenant's settings.
func (b *Book) change(ctx context.Context, tenant string, fn func(*sql.Tx) error) error {
	return b.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := b.open(ctx, tx, tenant); err != nil {
			return err
		}
		return fn(tx)
	})
}

// view runs a transaction that reads them.
func (b *Book) view(ctx context.Context, tenant string, fn func(*sql.Tx) error) error {
	tx, err := b.db.Read.BeginTx(ctx, nil)
	if err != nil {
		return storage.Classify(fmt.Errorf("begin: %w", err))
	}
	defer tx.Rollback()
	if err := b.open(ctx, tx, tenant); err != nil {
		return storage.Classify(err)
	}
	return storage.Classify(fn(tx))
}

// open lets a transaction see a tenant's rows, where the database keeps others' from it.
func (b *Book) open(ctx context.Context, tx *sql.Tx, tenant string) error {
	if b.db.Dialect != storage.Postgres {
		return nil
	}
	if _, err := tx.ExecContext(ctx, storage.SetTasks, tenant); err != nil {
		return fmt.Errorf("open a tenant's webhooks: %w", err)
	}
	return nil
}
