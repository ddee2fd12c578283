package account

import (
	"context"
	"database/sql"
	"encoding/base32"
	"errors"
	"io"
	"strings"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/qrcode"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	purposeTOTP  = "totp"       // secrets that count
	purposeOffer = "totp.offer" // secrets that no code has confirmed yet

	stepSeconds = 30 // RFC 6238 §5.2
	skew        = 1  // steps by which a clock may be wrong, each way
	secretBytes = 20 // RFC 4226 §4, R6

	recoveryCodes = 10
	codeBytes     = 10 // random ones of a recovery code
	codeDomain    = "logline.recovery-code.v1\n"
)

var (
	errSecondWrong = fault.New(fault.Forbidden, "second_factor_wrong", "the code is wrong, too old, or was used before; wait for the next one, or use a recovery code")
	errSecondOn    = fault.New(fault.Conflict, "second_factor_exists", "the account has a second factor; remove it first, with a code of it")
	errSecondOff   = fault.New(fault.Conflict, "second_factor_missing", "the account has no second factor")
	errNoOffer     = fault.New(fault.Conflict, "second_factor_not_offered", "ask for a secret first (POST /v1/account/totp), and send a code of it")
)

// Offer is the secret of a second factor that is shown once.
type Offer struct {
	Secret  string   // base32
	URI     string   // otpauth://…, as apps read it from a picture
	Picture []string // the URI as a QR code: rows of modules, 1 for a dark one
}

// OfferSecond makes a secret for codes by time (RFC 6238: SHA-1, 6 digits, 30 s),
// which counts once ConfirmSecond has seen a code of it. name is what the app calls
// the account. conflict second_factor_exists; unavailable master_key_required.
func (s *Service) OfferSecond(ctx context.Context, identity, name string) (Offer, error) {
	if err := s.secrets.Ready(); err != nil {
		return Offer{}, err
	}
	key, err := totp.Generate(totp.GenerateOpts{
		Issuer: s.cfg.Issuer, AccountName: name, Period: stepSeconds, SecretSize: secretBytes, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1, Rand: s.cfg.Rand,
	})
	if err != nil {
		return Offer{}, fault.New(fault.Unavailable, "randomness_unavailable", "cannot make a secret").Because(err)
	}
	code, err := qrcode.Modules(key.URL())
	if err != nil {
		return Offer{}, err
	}
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		on, _, err := secondOf(ctx, tx, identity)
		switch {
		case err != nil:
			return err
		case on:
			return errSecondOn
		}
		return s.secrets.Put(ctx, tx, purposeOffer, identity, []byte(key.Secret()))
	})
	return Offer{key.Secret(), key.URL(), code}, err
}

// ConfirmSecond makes the offered secret count, and gives recovery codes, which
// are nowhere else, and the new token of the session that it is done in, "" for
// none. All other sessions of the account end. Codes: second_factor_not_offered,
// second_factor_exists, second_factor_wrong, sign_in_limited.
func (s *Service) ConfirmSecond(ctx context.Context, identity, session, code string) (codes []string, token string, err error) {
	err = s.trySecond(ctx, identity, func(tx *sql.Tx) error {
		on, _, err := secondOf(ctx, tx, identity)
		switch {
		case err != nil:
			return err
		case on:
			return errSecondOn
		}
		secret, found, err := s.secrets.Get(ctx, tx, purposeOffer, identity)
		switch {
		case err != nil:
			return err
		case !found:
			return errNoOffer
		}
		step, ok := s.step(string(secret), code, 0)
		if !ok {
			return errSecondWrong
		}
		if err := s.secrets.Put(ctx, tx, purposeTOTP, identity, secret); err != nil {
			return err
		}
		if err := s.secrets.Delete(ctx, tx, purposeOffer, identity); err != nil {
			return err
		}
		if err := s.change(ctx, tx, `UPDATE accounts SET totp_at = $1, totp_step = $2 WHERE identity = $3`, span.FormatTime(s.cfg.Now()), step, identity); err != nil {
			return err
		}
		if codes, err = s.newCodes(ctx, tx, identity); err != nil {
			return err
		}
		token, err = s.alone(ctx, tx, identity, session)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return codes, token, nil
}

// RemoveSecond ends the second factor, which takes a code of it, or a recovery code.
func (s *Service) RemoveSecond(ctx context.Context, identity, code string) error {
	return s.trySecond(ctx, identity, func(tx *sql.Tx) error {
		if err := s.prove(ctx, tx, identity, code); err != nil {
			return err
		}
		return s.forgetSecond(ctx, tx, identity)
	})
}

func (s *Service) forgetSecond(ctx context.Context, tx *sql.Tx, identity string) error {
	for _, purpose := range []string{purposeTOTP, purposeOffer} {
		if err := s.secrets.Delete(ctx, tx, purpose, identity); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM account_codes WHERE identity = $1`, identity); err != nil {
		return storage.Failed("remove recovery codes", err)
	}
	return s.change(ctx, tx, `UPDATE accounts SET totp_at = NULL, totp_step = 0 WHERE identity = $1`, identity)
}

// RenewCodes gives recovery codes in the place of those that there are, which takes
// a code of the second factor.
func (s *Service) RenewCodes(ctx context.Context, identity, code string) (codes []string, err error) {
	err = s.trySecond(ctx, identity, func(tx *sql.Tx) error {
		if err := s.prove(ctx, tx, identity, code); err != nil {
			return err
		}
		codes, err = s.newCodes(ctx, tx, identity)
		return err
	})
	return codes, err
}

// Complete signs in a session that waits for its second factor, by a code of it
// or a recovery code, and gives it a new token. Codes: those of Authenticate,
// second_factor_missing, second_factor_wrong, sign_in_limited.
func (s *Service) Complete(ctx context.Context, token, code string) (n Session, fresh string, err error) {
	row, err := s.open(ctx, token)
	if err != nil {
		return n, "", err
	}
	now := s.cfg.Now()
	if row.Needs == "" {
		return n, "", errSecondOff
	}
	row.Needs = ""
	if _, err := s.credential(ctx, row); err != nil { // is all the rest of it good?
		return n, "", err
	}
	created, err := span.ParseTime(row.CreatedAt)
	if err != nil {
		return n, "", err
	}
	expires := created.Add(s.cfg.Life)
	err = s.trySecond(ctx, row.Identity, func(tx *sql.Tx) error {
		if err := s.prove(ctx, tx, row.Identity, code); err != nil {
			return err
		}
		fresh, err = s.renew(ctx, tx, row.ID, expires)
		return err
	})
	if err != nil {
		return n, "", err
	}
	n = row.Session
	n.ProvedAt, n.ExpiresAt = span.FormatTime(now), span.FormatTime(expires)
	s.tell(ctx, "signed in", &n)
	return n, fresh, nil
}

// trySecond does what a code allows, and counts codes that were wrong.
func (s *Service) trySecond(ctx context.Context, identity string, do func(*sql.Tx) error) error {
	t := tries{{"sign:2:" + identity, ofSecond}}
	if err := s.mayTry(ctx, t); err != nil {
		return err
	}
	err := s.db.InTx(ctx, do)
	if fault.CodeOf(err) == errSecondWrong.Code {
		s.failedTry(ctx, t)
	}
	return err
}

// secondOf says whether an account has a second factor, and the step of the last
// code that was taken.
func secondOf(ctx context.Context, tx *sql.Tx, identity string) (on bool, last int64, err error) {
	var at sql.NullString
	err = tx.QueryRowContext(ctx, `SELECT totp_at, totp_step FROM accounts WHERE identity = $1`, identity).Scan(&at, &last)
	if errors.Is(err, sql.ErrNoRows) {
		return false, 0, errUnknown
	}
	if err != nil {
		return false, 0, storage.Failed("read account", err)
	}
	return at.Valid, last, nil
}

// prove takes a code of the second factor, or a recovery code; each is good once.
func (s *Service) prove(ctx context.Context, tx *sql.Tx, identity, code string) error {
	on, last, err := secondOf(ctx, tx, identity)
	switch {
	case err != nil:
		return err
	case !on:
		return errSecondOff
	}
	if hash, ok := codeHash(identity, code); ok {
		n, err := deleted(ctx, tx, `DELETE FROM account_codes WHERE identity = $1 AND hash = $2`, identity, hash[:])
		if err == nil && n == 0 {
			err = errSecondWrong
		}
		return err
	}
	secret, found, err := s.secrets.Get(ctx, tx, purposeTOTP, identity)
	if err != nil {
		return err
	}
	step, ok := s.step(string(secret), code, last)
	if !found || !ok {
		return errSecondWrong
	}
	return s.change(ctx, tx, `UPDATE accounts SET totp_step = $1 WHERE identity = $2`, step, identity)
}

// step is the time step that a code is of, if it is one around now and after last:
// a code that was taken once is not taken again (RFC 6238 §5.2).
func (s *Service) step(secret, code string, last int64) (int64, bool) {
	now := s.cfg.Now().Unix() / stepSeconds
	for at := now - skew; at <= now+skew; at++ {
		ok, err := hotp.ValidateCustom(code, uint64(at), secret, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && ok && at > last {
			return at, true
		}
	}
	return 0, false
}

var codeEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newCodes replaces an account's recovery codes.
func (s *Service) newCodes(ctx context.Context, tx *sql.Tx, identity string) ([]string, error) {
	if _, err := tx.ExecContext(ctx, `DELETE FROM account_codes WHERE identity = $1`, identity); err != nil {
		return nil, storage.Failed("remove recovery codes", err)
	}
	codes := make([]string, recoveryCodes)
	for i := range codes {
		var raw [codeBytes]byte
		if _, err := io.ReadFull(s.cfg.Rand, raw[:]); err != nil {
			return nil, fault.New(fault.Unavailable, "randomness_unavailable", "cannot make recovery codes").Because(err)
		}
		text := codeEncoding.EncodeToString(raw[:])
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
		hash, _ := codeHash(identity, codes[i])
		if _, err := tx.ExecContext(ctx, `INSERT INTO account_codes (identity, hash) VALUES ($1, $2)`, identity, hash[:]); err != nil {
			return nil, storage.Failed("insert a recovery code", err)
		}
	}
	return codes, nil
}

// codeHash is what is stored of a recovery code, however it is written; false for
// what is none. It has 80 random bits, of one account.
func codeHash(identity, code string) (span.Hash, bool) {
	code = strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code))
	if raw, err := codeEncoding.DecodeString(code); err != nil || len(raw) != codeBytes {
		return span.Hash{}, false
	}
	return span.Sum([]byte(codeDomain + identity + "\n" + code)), true
}

// alone ends all sessions of an account but one, which gets a new token; "" for none.
func (s *Service) alone(ctx context.Context, tx *sql.Tx, identity, session string) (string, error) {
	if _, err := deleted(ctx, tx, `DELETE FROM account_sessions WHERE identity = $1 AND id <> $2`, identity, session); err != nil || session == "" {
		return "", err
	}
	var expires string
	err := tx.QueryRowContext(ctx, `SELECT expires_at FROM account_sessions WHERE id = $1 AND identity = $2`, session, identity).Scan(&expires)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil // it ended meanwhile
	}
	if err != nil {
		return "", storage.Failed("read session", err)
	}
	until, err := span.ParseTime(expires)
	if err != nil {
		return "", err
	}
	return s.renew(ctx, tx, session, until)
}
