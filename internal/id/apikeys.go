package id

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	// MaxAPIKeys bounds an identity's keys, the revoked and expired ones not
	// counted. While keys are being replaced there may be twice as many.
	MaxAPIKeys     = 64
	maxAPIKeyTypes = 32
	// useGrain is how coarse the time of last use is: it bounds the writes that
	// reading callers cost, and what an operator learns about them.
	useGrain = time.Minute

	// DefaultOverlap is how long a replaced API key is good beside the new one,
	// where nobody says otherwise.
	DefaultOverlap = 24 * time.Hour
	defaultLongest = 30 * 24 * time.Hour
)

// APIKeyConfig is how long API keys may last.
type APIKeyConfig struct {
	Life    time.Duration // of a key for which nobody asks an end; 0: for ever
	MaxLife time.Duration // the longest that may be asked for; 0: no bound
	Overlap time.Duration // the longest that a replaced key may stay good; 0: 30 days
}

// APIKeys holds the API keys of this node's identities in SQL, as hashes. It is
// safe for concurrent use, also by several processes: a revocation counts at
// once in all of them.
type APIKeys struct {
	db   *storage.DB
	now  func() time.Time
	rand io.Reader
	cfg  APIKeyConfig
}

// NewAPIKeys works on a migrated database; it starts nothing.
func NewAPIKeys(db *storage.DB, now func() time.Time, rand io.Reader, cfg APIKeyConfig) *APIKeys {
	if cfg.Overlap == 0 {
		cfg.Overlap = defaultLongest
	}
	return &APIKeys{db: db, now: now, rand: rand, cfg: cfg}
}

// Create makes an API key of the terms in k (Identity, Label, Rights, Types,
// Tenant, ExpiresAt, CreatedBy) and returns it with its text, which is nowhere
// else. Codes: rights_unknown, types_malformed, types_too_many,
// types_reserved_pattern, label_malformed, expires_malformed, expires_too_late,
// identity_unknown, identity_not_active, api_keys_too_many.
func (a *APIKeys) Create(ctx context.Context, k APIKey) (APIKey, string, error) {
	k, text, err := a.make(k)
	if err != nil {
		return APIKey{}, "", err
	}
	err = a.db.InTx(ctx, func(tx *sql.Tx) error { return a.insert(ctx, tx, k, text, MaxAPIKeys) })
	if err != nil {
		return APIKey{}, "", err
	}
	return k, text, nil
}

// make judges the terms of a key and makes its id and its secret.
func (a *APIKeys) make(k APIKey) (APIKey, string, error) {
	now := a.now()
	if err := checkTypes(k.Types); err != nil {
		return APIKey{}, "", err
	}
	if len(k.Label) > MaxTextBytes || !utf8.ValidString(k.Label) || strings.ContainsFunc(k.Label, unicode.IsControl) {
		return APIKey{}, "", fault.Newf(fault.Invalid, "label_malformed", "a label has at most %d bytes, no control character and no personal data", MaxTextBytes).At("/label", "is no label")
	}
	var err error
	if k.Rights, err = rightsOf(k); err != nil {
		return APIKey{}, "", err
	}
	if k.ExpiresAt, err = a.end(k.ExpiresAt, now); err != nil {
		return APIKey{}, "", err
	}
	text, err := newAPIKey(a.rand)
	if err != nil {
		return APIKey{}, "", err
	}
	if k.ID, err = apiKeyID(text); err != nil {
		return APIKey{}, "", err
	}
	k.CreatedAt, k.UsedAt, k.RevokedAt, k.RevokedBy, k.ReplacedBy = span.FormatTime(now), "", "", "", ""
	return k, text, nil
}

// end is when a key that is made now shall end, "" for never.
func (a *APIKeys) end(asked string, now time.Time) (string, error) {
	last := ""
	if a.cfg.MaxLife > 0 {
		last = span.FormatTime(now.Add(a.cfg.MaxLife))
	}
	switch {
	case asked == "" && a.cfg.Life > 0 && (last == "" || a.cfg.Life < a.cfg.MaxLife):
		return span.FormatTime(now.Add(a.cfg.Life)), nil
	case asked == "":
		return last, nil
	}
	if _, err := span.ParseTime(asked); err != nil || asked <= span.FormatTime(now) {
		return "", fault.New(fault.Invalid, "expires_malformed", "expires is a time to come, of the form YYYY-MM-DDTHH:MM:SS.mmmZ").At("/expires", "is no time to come")
	}
	if last != "" && asked > last {
		return "", fault.Newf(fault.Invalid, "expires_too_late", "API keys of this node last until %s at most; ask for an earlier end, and replace the key in time", last).At("/expires", "is too late")
	}
	return asked, nil
}

// insert keeps a key of make's where the identity has room for it.
func (a *APIKeys) insert(ctx context.Context, tx *sql.Tx, k APIKey, text string, most int) error {
	if err := a.room(ctx, tx, k.Identity, k.CreatedAt, most); err != nil {
		return err
	}
	types, err := json.Marshal(k.Types)
	if err != nil {
		return fmt.Errorf("encode types: %w", err)
	}
	rights, err := json.Marshal(k.Rights)
	if err != nil {
		return fmt.Errorf("encode rights: %w", err)
	}
	hash := apiKeyHash(text)
	_, err = tx.ExecContext(ctx, `
		INSERT INTO api_keys (id, identity, hash, label, rights, types, tenant, created_by, created_at, expires_at, replaces)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		k.ID, k.Identity, hash[:], k.Label, string(rights), string(types), storage.Optional(k.Tenant), k.CreatedBy, k.CreatedAt, storage.Optional(k.ExpiresAt), storage.Optional(k.Replaces))
	return storage.Classify(err)
}

// room says whether the identity may have one more key.
func (a *APIKeys) room(ctx context.Context, tx *sql.Tx, identity, now string, most int) error {
	chain, err := loadChain(ctx, tx, identity)
	if err != nil {
		return err
	}
	if chain.Status() != StatusActive {
		return fault.Newf(fault.Conflict, "identity_not_active", "the identity is %s; it gets no keys any more", chain.Status())
	}
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM api_keys WHERE identity = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)`,
		identity, now).Scan(&n); err != nil {
		return storage.Failed("count API keys", err)
	}
	if n >= most {
		return fault.Newf(fault.Conflict, "api_keys_too_many", "the identity has %d API keys; revoke one that is no longer used", n)
	}
	return nil
}

const apiKeyColumns = `id, identity, label, rights, types, tenant, created_by, created_at, expires_at, used_at, revoked_at, revoked_by, replaces, replaced_by`

// List is at most limit of an identity's keys after the key with the id after,
// by id, the revoked and expired ones too.
func (a *APIKeys) List(ctx context.Context, identity, after string, limit int) ([]APIKey, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE identity = $1 AND id > $2 ORDER BY id LIMIT $3`, identity, after, limit)
	if err != nil {
		return nil, storage.Failed("list API keys", err)
	}
	defer rows.Close()
	var all []APIKey
	for rows.Next() {
		k, err := scanAPIKey(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	if err := rows.Err(); err != nil {
		return nil, storage.Failed("list API keys", err)
	}
	return all, nil
}

// Get is one of an identity's keys; not_found api_key_unknown.
func (a *APIKeys) Get(ctx context.Context, identity, key string) (APIKey, error) {
	return getAPIKey(ctx, a.db.Read, identity, key)
}

// rower is a database or a transaction.
type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func getAPIKey(ctx context.Context, from rower, identity, key string) (APIKey, error) {
	k, err := scanAPIKey(from.QueryRowContext(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE id = $1 AND identity = $2`, key, identity).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return APIKey{}, fault.New(fault.NotFound, "api_key_unknown", "the identity has no such API key")
	}
	return k, err
}

// Revoke ends an identity's key for good; revoking it again changes nothing.
// not_found api_key_unknown.
func (a *APIKeys) Revoke(ctx context.Context, identity, key, by string) (k APIKey, err error) {
	now := span.FormatTime(a.now())
	err = a.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $1, revoked_by = $2 WHERE id = $3 AND identity = $4 AND revoked_at IS NULL`, now, by, key, identity); err != nil {
			return storage.Failed("revoke API key", err)
		}
		k, err = getAPIKey(ctx, tx, identity, key)
		return err
	})
	return k, err
}

// Authenticate says whose API key it is, and notes the use. Every failure but
// the database's is of kind Unauthenticated: api_key_malformed (found without
// looking it up), api_key_unknown, api_key_revoked, api_key_expired,
// identity_not_active, account_deactivated.
func (a *APIKeys) Authenticate(ctx context.Context, text string) (Credential, error) {
	key, err := apiKeyID(text)
	if err != nil {
		return Credential{}, err
	}
	var hash []byte
	var status, deactivated string
	k, err := scanAPIKey(func(dest ...any) error {
		return a.db.Read.QueryRowContext(ctx, `
			SELECT k.id, k.identity, k.label, k.rights, k.types, k.tenant, k.created_by, k.created_at, k.expires_at, k.used_at, k.revoked_at, k.revoked_by,
				k.replaces, k.replaced_by, k.hash, i.status, coalesce(p.deactivated_at, '')
			FROM api_keys k JOIN identities i ON i.id = k.identity LEFT JOIN accounts p ON p.identity = k.identity WHERE k.id = $1`, key).
			Scan(append(dest, &hash, &status, &deactivated)...)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Credential{}, err
	}
	want := apiKeyHash(text)
	now := a.now()
	switch at := span.FormatTime(now); {
	case err != nil || subtle.ConstantTimeCompare(hash, want[:]) != 1:
		return Credential{}, refuse("api_key_unknown", "there is no such API key at this node")
	case k.RevokedAt != "":
		return Credential{}, refuse("api_key_revoked", "the API key was revoked; ask for another")
	case k.ExpiresAt != "" && at >= k.ExpiresAt:
		return Credential{}, refuse("api_key_expired", "the API key expired at "+k.ExpiresAt+"; ask for another")
	case status != StatusActive:
		return Credential{}, refuse("identity_not_active", "the identity of this API key is "+status)
	case deactivated != "": // whoever is kept out does not come in by another door
		return Credential{}, refuse("account_deactivated", "the account of this API key's identity was deactivated by whoever runs the node")
	}
	a.noteUse(ctx, k, now)
	return Credential{How: ByAPIKey, Identity: k.Identity, APIKey: &k, Expires: k.ExpiresAt}, nil
}

// noteUse keeps the minute of the last use. That it cannot be written keeps
// nobody from reading.
func (a *APIKeys) noteUse(ctx context.Context, k APIKey, now time.Time) {
	minute := span.FormatTime(now.Truncate(useGrain))
	if k.UsedAt >= minute {
		return
	}
	_ = a.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE api_keys SET used_at = $1 WHERE id = $2 AND (used_at IS NULL OR used_at < $1)`, minute, k.ID)
		return err
	})
}

// scanAPIKey reads a row of apiKeyColumns; sql.ErrNoRows as it is.
func scanAPIKey(scan func(dest ...any) error) (APIKey, error) {
	var k APIKey
	var rights, types string
	var tenant, expires, used, revoked, revoker, replaces, replacedBy sql.NullString
	err := scan(&k.ID, &k.Identity, &k.Label, &rights, &types, &tenant, &k.CreatedBy, &k.CreatedAt, &expires, &used, &revoked, &revoker, &replaces, &replacedBy)
	if errors.Is(err, sql.ErrNoRows) {
		return APIKey{}, err
	}
	if err != nil {
		return APIKey{}, storage.Failed("read API key", err)
	}
	k.Tenant, k.ExpiresAt, k.UsedAt, k.RevokedAt = tenant.String, expires.String, used.String, revoked.String
	k.RevokedBy, k.Replaces, k.ReplacedBy = revoker.String, replaces.String, replacedBy.String
	if err := json.Unmarshal([]byte(rights), &k.Rights); err != nil {
		return APIKey{}, fmt.Errorf("read API key's rights: %w", err)
	}
	if err := json.Unmarshal([]byte(types), &k.Types); err != nil {
		return APIKey{}, fmt.Errorf("read API key's types: %w", err)
	}
	return k, nil
}

func pointerAt(member string, i int) string { return member + "/" + strconv.Itoa(i) }
