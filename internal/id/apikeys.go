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
	// MaxAPIKeys bounds an identity's keys, the revoked and expired ones not counted.
	MaxAPIKeys     = 64
	maxAPIKeyTypes = 32
	// useGrain is how coarse the time of last use is: it bounds the writes that
	// reading callers cost, and what an operator learns about them.
	useGrain = time.Hour
)

// APIKeys holds the API keys of this node's identities in SQL, as hashes. It is
// safe for concurrent use, also by several processes: a revocation counts at
// once in all of them.
type APIKeys struct {
	db   *storage.DB
	now  func() time.Time
	rand io.Reader
}

// NewAPIKeys works on a migrated database; it starts nothing.
func NewAPIKeys(db *storage.DB, now func() time.Time, rand io.Reader) *APIKeys {
	return &APIKeys{db: db, now: now, rand: rand}
}

// Create makes an API key of the terms in k (Identity, Label, Types, Tenant,
// ExpiresAt, CreatedBy) and returns it with its text, which is nowhere else.
// Codes: types_malformed, types_too_many, types_reserved_pattern,
// label_malformed, expires_malformed, identity_unknown, identity_not_active,
// api_keys_too_many.
func (a *APIKeys) Create(ctx context.Context, k APIKey) (APIKey, string, error) {
	now := span.FormatTime(a.now())
	if err := checkTypes(k.Types); err != nil {
		return APIKey{}, "", err
	}
	if len(k.Label) > MaxTextBytes || !utf8.ValidString(k.Label) || strings.ContainsFunc(k.Label, unicode.IsControl) {
		return APIKey{}, "", fault.Newf(fault.Invalid, "label_malformed", "a label has at most %d bytes, no control character and no personal data", MaxTextBytes).At("/label", "is no label")
	}
	if k.ExpiresAt != "" {
		if _, err := span.ParseTime(k.ExpiresAt); err != nil || k.ExpiresAt <= now {
			return APIKey{}, "", fault.New(fault.Invalid, "expires_malformed", "expires is a time to come, of the form YYYY-MM-DDTHH:MM:SS.mmmZ").At("/expires", "is no time to come")
		}
	}
	text, err := newAPIKey(a.rand)
	if err != nil {
		return APIKey{}, "", err
	}
	if k.ID, err = apiKeyID(text); err != nil {
		return APIKey{}, "", err
	}
	k.CreatedAt, k.UsedAt, k.RevokedAt = now, "", ""
	types, err := json.Marshal(k.Types)
	if err != nil {
		return APIKey{}, "", fmt.Errorf("encode types: %w", err)
	}
	hash := apiKeyHash(text)
	err = a.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := a.room(ctx, tx, k.Identity, now); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO api_keys (id, identity, hash, label, types, tenant, created_by, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			k.ID, k.Identity, hash[:], k.Label, string(types), optional(k.Tenant), k.CreatedBy, k.CreatedAt, optional(k.ExpiresAt))
		return storage.Classify(err)
	})
	if err != nil {
		return APIKey{}, "", err
	}
	return k, text, nil
}

// room says whether the identity may have one more key.
func (a *APIKeys) room(ctx context.Context, tx *sql.Tx, identity, now string) error {
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
		return failed("count API keys", err)
	}
	if n >= MaxAPIKeys {
		return fault.Newf(fault.Conflict, "api_keys_too_many", "the identity has %d API keys; revoke one that is no longer used", n)
	}
	return nil
}

const apiKeyColumns = `id, identity, label, types, tenant, created_by, created_at, expires_at, used_at, revoked_at`

// List is at most limit of an identity's keys after the key with the id after,
// by id, the revoked and expired ones too.
func (a *APIKeys) List(ctx context.Context, identity, after string, limit int) ([]APIKey, error) {
	rows, err := a.db.Read.QueryContext(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE identity = $1 AND id > $2 ORDER BY id LIMIT $3`, identity, after, limit)
	if err != nil {
		return nil, failed("list API keys", err)
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
		return nil, failed("list API keys", err)
	}
	return all, nil
}

// Revoke ends an identity's key for good; revoking it again changes nothing.
// not_found api_key_unknown.
func (a *APIKeys) Revoke(ctx context.Context, identity, key string) (k APIKey, err error) {
	now := span.FormatTime(a.now())
	err = a.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $1 WHERE id = $2 AND identity = $3 AND revoked_at IS NULL`, now, key, identity); err != nil {
			return failed("revoke API key", err)
		}
		k, err = scanAPIKey(tx.QueryRowContext(ctx, `SELECT `+apiKeyColumns+` FROM api_keys WHERE id = $1 AND identity = $2`, key, identity).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return fault.New(fault.NotFound, "api_key_unknown", "the identity has no such API key")
		}
		return err
	})
	return k, err
}

// Authenticate says whose API key it is, and notes the use. Every failure but
// the database's is of kind Unauthenticated: api_key_malformed (found without
// looking it up), api_key_unknown, api_key_revoked, api_key_expired,
// identity_not_active.
func (a *APIKeys) Authenticate(ctx context.Context, text string) (Credential, error) {
	key, err := apiKeyID(text)
	if err != nil {
		return Credential{}, err
	}
	var hash []byte
	var status string
	k, err := scanAPIKey(func(dest ...any) error {
		return a.db.Read.QueryRowContext(ctx, `
			SELECT k.id, k.identity, k.label, k.types, k.tenant, k.created_by, k.created_at, k.expires_at, k.used_at, k.revoked_at, k.hash, i.status
			FROM api_keys k JOIN identities i ON i.id = k.identity WHERE k.id = $1`, key).Scan(append(dest, &hash, &status)...)
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
	}
	a.noteUse(ctx, k, now)
	return Credential{Identity: k.Identity, APIKey: &k}, nil
}

// noteUse keeps the hour of the last use. That it cannot be written keeps
// nobody from reading.
func (a *APIKeys) noteUse(ctx context.Context, k APIKey, now time.Time) {
	hour := span.FormatTime(now.Truncate(useGrain))
	if k.UsedAt >= hour {
		return
	}
	_ = a.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE api_keys SET used_at = $1 WHERE id = $2 AND (used_at IS NULL OR used_at < $1)`, hour, k.ID)
		return err
	})
}

// scanAPIKey reads a row of apiKeyColumns; sql.ErrNoRows as it is.
func scanAPIKey(scan func(dest ...any) error) (APIKey, error) {
	var k APIKey
	var types string
	var tenant, expires, used, revoked sql.NullString
	err := scan(&k.ID, &k.Identity, &k.Label, &types, &tenant, &k.CreatedBy, &k.CreatedAt, &expires, &used, &revoked)
	if errors.Is(err, sql.ErrNoRows) {
		return APIKey{}, err
	}
	if err != nil {
		return APIKey{}, failed("read API key", err)
	}
	k.Tenant, k.ExpiresAt, k.UsedAt, k.RevokedAt = tenant.String, expires.String, used.String, revoked.String
	if err := json.Unmarshal([]byte(types), &k.Types); err != nil {
		return APIKey{}, fmt.Errorf("read API key's types: %w", err)
	}
	return k, nil
}

func optional(text string) sql.NullString { return sql.NullString{String: text, Valid: text != ""} }

func pointerAt(member string, i int) string { return member + "/" + strconv.Itoa(i) }
