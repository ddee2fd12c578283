package passkey

import (
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

var (
	// errSignIn is the one answer to whatever does not fit, so that nobody learns
	// which passkeys there are.
	errSignIn = fault.New(fault.Unauthenticated, "passkey_refused", "this passkey signs nobody in here, or the challenge is not open any more; begin again, or sign in by another way")
	errCloned = fault.New(fault.Unauthenticated, "passkey_cloned",
		"the passkey counted backwards: there may be a copy of it. It signs nobody in any more; sign in by another way, remove it and register another")
)

// BeginSignIn asks a page for a passkey, whoever's it is: the options for
// navigator.credentials.get (PublicKeyCredentialRequestOptionsJSON). Codes:
// passkeys_elsewhere, passkeys_nowhere, passkeys_busy.
func (s *Service) BeginSignIn(ctx context.Context, origin string) (json.RawMessage, error) {
	c, raw, err := s.begin(ctx, "", origin)
	if err != nil {
		return nil, err
	}
	lib, err := s.library(c)
	if err != nil {
		return nil, err
	}
	assertion, _, err := lib.BeginDiscoverableLogin(webauthn.WithChallenge(raw), webauthn.WithUserVerification(protocol.VerificationPreferred))
	if err != nil {
		return nil, err
	}
	return json.Marshal(assertion.Response)
}

// FinishSignIn signs in whoever's passkey answers a challenge
// (AuthenticationResponseJSON). Where the authenticator did not verify the person, it
// is one factor, and the account's second is asked for. Codes: passkey_malformed,
// passkey_refused, passkey_cloned, those of account.Service.Begin.
func (s *Service) FinishSignIn(ctx context.Context, answer []byte, where account.Where) (account.Session, string, error) {
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return account.Session{}, "", errAnswer.Because(err)
	}
	c, ok, err := s.take(ctx, parsed.Response.CollectedClientData.Challenge)
	switch {
	case err != nil:
		return account.Session{}, "", err
	case !ok || c.identity != "":
		return account.Session{}, "", errSignIn
	}
	r, err := s.judge(ctx, c, parsed)
	if err != nil {
		return account.Session{}, "", err
	}
	flags := parsed.Response.AuthenticatorData.Flags
	if err := s.noteUse(ctx, r, int64(parsed.Response.AuthenticatorData.Counter), int64(webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(r.flags)).Update(flags).ProtocolValue())); err != nil {
		return account.Session{}, "", err
	}
	how := account.ByPresence
	if flags.HasUserVerified() {
		how = account.ByPasskey
	}
	return s.accounts.Begin(ctx, r.Identity, how, where)
}

// judge is the passkey that an answer is by, if it is good.
func (s *Service) judge(ctx context.Context, c ceremony, parsed *protocol.ParsedCredentialAssertionData) (row, error) {
	rows, err := s.rows(ctx, `credential = $1 AND party = $2`, parsed.RawID, c.party)
	switch {
	case err != nil:
		return row{}, err
	case len(rows) == 0:
		return row{}, errSignIn
	}
	r := rows[0]
	lib, err := s.library(c)
	if err != nil {
		return r, err
	}
	// That the handle in the answer is this user's, the library sees to.
	_, _, err = lib.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) {
		return user{identity: r.Identity, credentials: []webauthn.Credential{r.credential()}}, nil
	}, c.session(), parsed)
	if err != nil {
		return r, errSignIn.Because(err)
	}
	return r, nil
}

// noteUse takes what the authenticator counted. A count that does not grow is that of
// a copy (WebAuthn §6.1.1), or of the original after its copy was used: which, nobody
// can tell, so that neither signs in any more. Authenticators that do not count say 0.
func (s *Service) noteUse(ctx context.Context, r row, count, flags int64) error {
	now, cloned := span.FormatTime(s.cfg.Now()), false
	err := s.db.InTx(ctx, func(tx *sql.Tx) error {
		n, err := storage.Changed(ctx, tx, "change passkeys", `UPDATE account_passkeys SET sign_count = $1, flags = $2, used_at = $3
			WHERE id = $4 AND cloned_at IS NULL AND (sign_count < $1 OR (sign_count = 0 AND $1 = 0))`, count, flags, now, r.ID)
		if err != nil || n > 0 {
			return err
		}
		marked, err := storage.Changed(ctx, tx, "change passkeys", `UPDATE account_passkeys SET cloned_at = coalesce(cloned_at, $1) WHERE id = $2`, now, r.ID)
		cloned = marked > 0
		if err == nil && !cloned {
			err = errSignIn // it was removed meanwhile
		}
		return err
	})
	if err == nil && cloned {
		s.cfg.Logger.WarnContext(ctx, "a passkey counted backwards: it signs nobody in any more", slog.String("passkey", r.ID), slog.String("identity", r.Identity))
		err = errCloned
	}
	return err
}
