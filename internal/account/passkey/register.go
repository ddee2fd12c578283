package passkey

import (
	"context"
	"database/sql"
	"encoding/base32"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// most is how many passkeys an account has.
const most = 20

var (
	errMost      = fault.Newf(fault.Conflict, "passkeys_full", "an account has at most %d passkeys; remove one first", most)
	errExists    = fault.New(fault.Conflict, "passkey_exists", "this passkey is registered already")
	errChallenge = fault.New(fault.Invalid, "passkey_challenge", "this answers no challenge that is open for you: each is good once, and for 5 minutes. Begin again").At("/credential", "answers no open challenge")
	errAnswer    = fault.New(fault.Invalid, "passkey_malformed", "the answer is none that a browser gives to navigator.credentials").At("/credential", "is no credential")
	errRejected  = fault.New(fault.Invalid, "passkey_invalid", "the passkey was not made for this account on this page; begin again").At("/credential", "does not fit what was asked for")
)

// BeginRegistration asks a page to make a passkey for an account: the options for
// navigator.credentials.create (PublicKeyCredentialCreationOptionsJSON). Codes:
// account_unknown, passkeys_full, passkeys_elsewhere, passkeys_nowhere.
func (s *Service) BeginRegistration(ctx context.Context, identity, origin string) (json.RawMessage, error) {
	u, err := s.user(ctx, identity)
	if err != nil {
		return nil, err
	}
	rows, err := s.rows(ctx, `identity = $1`, identity)
	switch {
	case err != nil:
		return nil, err
	case len(rows) >= most:
		return nil, errMost
	}
	c, raw, err := s.begin(ctx, identity, origin)
	if err != nil {
		return nil, err
	}
	lib, err := s.library(c)
	if err != nil {
		return nil, err
	}
	var have webauthn.Credentials
	for _, r := range rows {
		if r.Party == c.party {
			have = append(have, r.credential())
		}
	}
	creation, _, err := lib.BeginRegistration(u, webauthn.WithExclusions(have.CredentialDescriptors()), func(o *protocol.PublicKeyCredentialCreationOptions) error {
		o.Challenge = raw
		return nil
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(creation.Response)
}

// user is an account by the names that a browser shows of it.
func (s *Service) user(ctx context.Context, identity string) (user, error) {
	a, err := s.accounts.Get(ctx, identity)
	if err != nil {
		return user{}, err
	}
	info, err := s.dir.Get(ctx, identity)
	if err != nil {
		return user{}, err
	}
	u := user{identity: identity, name: identity}
	for _, name := range []string{a.Email, info.Handle} {
		if name != "" {
			u.name = name
		}
	}
	if u.shown = info.Name; u.shown == "" {
		u.shown = u.name
	}
	return u, nil
}

// FinishRegistration keeps the passkey that a page made (RegistrationResponseJSON),
// under a name by which its person knows it, "" for none. Codes: passkey_malformed,
// passkey_challenge, passkey_invalid, passkey_exists, passkeys_full.
func (s *Service) FinishRegistration(ctx context.Context, identity, name string, answer []byte) (Passkey, error) {
	if err := checkName(name); err != nil {
		return Passkey{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Passkey{}, errAnswer.Because(err)
	}
	c, ok, err := s.take(ctx, parsed.Response.CollectedClientData.Challenge)
	switch {
	case err != nil:
		return Passkey{}, err
	case !ok || c.identity == "" || c.identity != identity:
		return Passkey{}, errChallenge
	}
	u, err := s.user(ctx, identity)
	if err != nil {
		return Passkey{}, err
	}
	lib, err := s.library(c)
	if err != nil {
		return Passkey{}, err
	}
	made, err := lib.CreateCredential(u, c.session(), parsed)
	if err != nil {
		return Passkey{}, errRejected.Because(err)
	}
	return s.keep(ctx, c, name, made)
}

func (s *Service) keep(ctx context.Context, c ceremony, name string, made *webauthn.Credential) (Passkey, error) {
	if name == "" {
		name = "Passkey"
	}
	p := Passkey{
		ID: idOf(made.ID), Identity: c.identity, Party: c.party, Name: name, CreatedAt: span.FormatTime(s.cfg.Now()),
		Verified: made.Flags.UserVerified, Synced: made.Flags.BackupState,
	}
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		count := 0
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM account_passkeys WHERE identity = $1`, c.identity).Scan(&count); err != nil {
			return storage.Failed("count passkeys", err)
		}
		if count >= most {
			return errMost
		}
		res, err := tx.ExecContext(ctx, `
			INSERT INTO account_passkeys (id, identity, party, credential, public_key, sign_count, flags, transports, name, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
			p.ID, p.Identity, p.Party, made.ID, made.PublicKey, int64(made.Authenticator.SignCount), int64(made.Flags.ProtocolValue()), transports(made.Transport), p.Name, p.CreatedAt)
		if err != nil {
			return storage.Failed("insert passkey", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return orElse(err, errExists)
		}
		return nil
	})
	return p, err
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// idOf names a passkey shortly by what its authenticator calls it.
func idOf(credential []byte) string {
	h := span.Sum(append([]byte("logline.passkey.id.v1\n"), credential...))
	return idEncoding.EncodeToString(h[:10])
}

// known are the ways to reach an authenticator (WebAuthn §5.8.4), which browsers are
// told again when another passkey is made.
var known = []protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal}

func transports(said []protocol.AuthenticatorTransport) string {
	var out []string
	for _, t := range known {
		if slices.Contains(said, t) {
			out = append(out, string(t))
		}
	}
	return strings.Join(out, ",")
}

// checkName judges what a person calls a passkey.
func checkName(name string) error {
	if len([]rune(name)) > 64 || strings.ContainsFunc(name, unicode.IsControl) || strings.ContainsRune(name, unicode.ReplacementChar) {
		return fault.New(fault.Invalid, "passkey_name", "a passkey's name has at most 64 characters, and no control characters").At("/name", "is no name")
	}
	return nil
}
