package passkey

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	lasts           = 5 * time.Minute // from the challenge to its answer, as WebAuthn §15.1 recommends
	mostOpen        = 10_000          // challenges without an answer, so that strangers fill no disk
	challengeBytes  = 32
	challengeDomain = "logline.passkey.challenge.v1\n"
	handleDomain    = "logline.passkey.handle.v1\n"
)

// ceremony is one challenge, given to a page.
type ceremony struct {
	challenge string // as the page sends it back: base64url
	identity  string // who registers; "" for signing in, where nobody is named
	origin    string
	party     string
}

var errFull = fault.New(fault.Unavailable, "passkeys_busy", "too many people are signing in by passkeys at once; wait a minute, or sign in by another way").After(time.Minute)

// begin makes a challenge for a page, and keeps it. What nobody answered in time goes.
func (s *Service) begin(ctx context.Context, identity, origin string) (ceremony, []byte, error) {
	party, err := s.cfg.Pages.party(origin)
	if err != nil {
		return ceremony{}, nil, err
	}
	raw := make([]byte, challengeBytes)
	if _, err := io.ReadFull(s.cfg.Rand, raw); err != nil {
		return ceremony{}, nil, fault.New(fault.Unavailable, "randomness_unavailable", "cannot make a challenge").Because(err)
	}
	c := ceremony{challenge: base64.RawURLEncoding.EncodeToString(raw), identity: identity, origin: origin, party: party}
	now, hash := s.cfg.Now(), challengeHash(c.challenge)
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM account_challenges WHERE expires_at <= $1`, span.FormatTime(now)); err != nil {
			return storage.Failed("remove old challenges", err)
		}
		open := 0
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM account_challenges`).Scan(&open); err != nil {
			return storage.Failed("count challenges", err)
		}
		if open >= mostOpen {
			return errFull
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO account_challenges (hash, identity, origin, expires_at) VALUES ($1, $2, $3, $4)`,
			hash[:], storage.Optional(identity), origin, span.FormatTime(now.Add(lasts)))
		if err != nil {
			return storage.Failed("insert challenge", err)
		}
		return nil
	})
	return c, raw, err
}

// take ends a ceremony, however its answer turns out: a challenge is good once. ok is
// false where there is none such, or none any more.
func (s *Service) take(ctx context.Context, challenge string) (c ceremony, ok bool, err error) {
	hash := challengeHash(challenge)
	c.challenge = challenge
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		var identity sql.NullString
		var expires string
		err := tx.QueryRowContext(ctx, `DELETE FROM account_challenges WHERE hash = $1 RETURNING identity, origin, expires_at`, hash[:]).Scan(&identity, &c.origin, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return storage.Failed("take challenge", err)
		}
		c.identity, ok = identity.String, span.FormatTime(s.cfg.Now()) < expires
		return nil
	})
	if err != nil || !ok {
		return c, false, err
	}
	if c.party, err = s.cfg.Pages.party(c.origin); err != nil {
		return c, false, nil // the node was given another name meanwhile
	}
	return c, true, nil
}

// challengeHash is what is stored of a challenge, padding or not.
func challengeHash(challenge string) span.Hash {
	return span.Sum([]byte(challengeDomain + strings.TrimRight(challenge, "=")))
}

// handle is what an authenticator keeps of an identity: it tells no name.
func handle(identity string) []byte {
	h := span.Sum([]byte(handleDomain + identity))
	return h[:]
}

// library judges the answers for one page; its name in the browser's window is this
// node's.
func (s *Service) library(c ceremony) (*webauthn.WebAuthn, error) {
	timeout := webauthn.TimeoutConfig{Timeout: lasts, TimeoutUVD: lasts}
	return webauthn.New(&webauthn.Config{
		RPID: c.party, RPDisplayName: s.cfg.Name, RPOrigins: []string{c.origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationPreferred,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout},
		// Some password managers answer more than they are asked; none of it is used.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}

// session is a ceremony as the library knows it.
func (c ceremony) session() webauthn.SessionData {
	n := webauthn.SessionData{Challenge: c.challenge, RelyingPartyID: c.party, UserVerification: protocol.VerificationPreferred}
	if c.identity != "" {
		n.UserID, n.CredParams = handle(c.identity), webauthn.CredentialParametersDefault()
	}
	return n
}

// user is an account as the library knows it.
type user struct {
	identity, name, shown string
	credentials           []webauthn.Credential
}

var _ webauthn.User = user{}

func (u user) WebAuthnID() []byte                         { return handle(u.identity) }
func (u user) WebAuthnName() string                       { return u.name }
func (u user) WebAuthnDisplayName() string                { return u.shown }
func (u user) WebAuthnCredentials() []webauthn.Credential { return u.credentials }
