package oidc

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"time"

	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	// Lasts is how long a way to a provider and back may take.
	Lasts         = 10 * time.Minute
	mostOpen      = 10_000 // ways that nobody came back from, so that strangers fill no disk
	secretBytes   = 32
	stateDomain   = "logline.oidc.state.v1\n"
	browserDomain = "logline.oidc.browser.v1\n"
)

// Purpose is what somebody goes to a provider for: to sign in, or, where Identity
// says who they are here, to link their account.
type Purpose struct {
	Identity string // LogLine ID, proved now; "" to sign in
	Session  string // in which they do; "" for whoever came by their own key
	Page     string // of the node's own, to come back to; what it means is the caller's
}

// Begun is a way to a provider.
type Begun struct {
	Location string // where the browser goes
	Browser  string // secret that the browser keeps until it is back
}

var errFull = fault.New(fault.Unavailable, "oidc_busy", "too many people are signing in by other providers at once; wait a minute, or sign in another way").After(time.Minute)

// Begin leads a browser to a provider. Codes: account_unknown, oidc_unknown, oidc_unavailable, oidc_busy.
func (s *Service) Begin(ctx context.Context, provider string, why Purpose) (Begun, error) {
	p, err := s.party(provider)
	if err != nil {
		return Begun{}, err
	}
	if why.Identity != "" {
		if _, err := s.accounts.Get(ctx, why.Identity); err != nil {
			return Begun{}, err // there is nothing to link
		}
	}
	d, err := p.find(ctx)
	if err != nil {
		return Begun{}, err
	}
	raw, err := s.random(2 * secretBytes)
	if err != nil {
		return Begun{}, err
	}
	state, browser := b64(raw[:secretBytes]), b64(raw[secretBytes:])
	nonce, verifier, err := derived(state, browser)
	if err != nil {
		return Begun{}, err
	}
	if err := s.keep(ctx, p.Name, state, browser, why); err != nil {
		return Begun{}, err
	}
	return Begun{Location: s.oauth(p, d).AuthCodeURL(state, oidclib.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), Browser: browser}, nil
}

func (s *Service) oauth(p *party, d *parts) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.Secret.Reveal(), Endpoint: d.endpoint, RedirectURL: s.redirect(p), Scopes: []string{oidclib.ScopeOpenID, "email"},
	}
}

// keep notes a way that began. Those that took too long go.
func (s *Service) keep(ctx context.Context, provider, state, browser string, why Purpose) error {
	now, hash, holder := s.cfg.Now(), span.Sum([]byte(stateDomain+state)), span.Sum([]byte(browserDomain+browser))
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := storage.Changed(ctx, tx, "change links", `DELETE FROM account_oidc_flows WHERE expires_at <= $1`, span.FormatTime(now)); err != nil {
			return err
		}
		open := 0
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM account_oidc_flows`).Scan(&open); err != nil {
			return storage.Failed("count ways to providers", err)
		}
		if open >= mostOpen {
			return errFull
		}
		_, err := storage.Changed(ctx, tx, "change links", `INSERT INTO account_oidc_flows (hash, browser, provider, identity, session, page, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			hash[:], holder[:], provider, storage.Optional(why.Identity), storage.Optional(why.Session), why.Page, span.FormatTime(now.Add(Lasts)))
		return err
	})
}

// way is one that somebody came back from.
type way struct {
	Purpose
	nonce, verifier string
}

var errState = fault.New(fault.Unauthenticated, "oidc_state",
	"nothing is open that this answers: each way to a provider is good once, for 10 minutes, in the browser that began it. Begin again")

// take ends a way to a provider, however it turns out: it is good once, and in the
// browser alone that began it. Another browser does not end it.
func (s *Service) take(ctx context.Context, provider, state, browser string) (w way, err error) {
	hash, holder := span.Sum([]byte(stateDomain+state)), span.Sum([]byte(browserDomain+browser))
	open := false
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		var identity, session sql.NullString
		var expires string
		err := tx.QueryRowContext(ctx, `DELETE FROM account_oidc_flows WHERE hash = $1 AND browser = $2 AND provider = $3 RETURNING identity, session, page, expires_at`,
			hash[:], holder[:], provider).Scan(&identity, &session, &w.Page, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return storage.Failed("take a way to a provider", err)
		}
		w.Identity, w.Session = identity.String, session.String
		open = span.FormatTime(s.cfg.Now()) < expires
		return nil
	})
	if err == nil && !open {
		err = errState
	}
	if err != nil {
		return way{}, err
	}
	w.nonce, w.verifier, err = derived(state, browser)
	return w, err
}

// derived are the nonce and the verifier of a way to a provider. They follow from
// what only the browser holds, so that whoever reads the database has neither.
func derived(state, browser string) (nonce, verifier string, err error) {
	raw, err := hkdf.Key(sha256.New, []byte(browser), []byte(state), "logline.oidc.flow.v1", 2*secretBytes)
	if err != nil {
		return "", "", err
	}
	return b64(raw[:secretBytes]), b64(raw[secretBytes:]), nil
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
