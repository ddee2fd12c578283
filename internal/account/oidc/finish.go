package oidc

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"log/slog"
	"net/mail"
	"net/url"
	"strings"
	"time"

	oidclib "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	mostLinks   = 20  // of one account
	mostSubject = 255 // bytes (OpenID Connect Core 1.0 §2)
	mostEmail   = 254
)

var (
	errRefused = fault.New(fault.Unauthenticated, "oidc_refused", "what the provider says does not fit what was asked for, or is not its word; begin again, or sign in another way. The server's log has the reason under this request id")
	errNobody  = fault.New(fault.Forbidden, "oidc_not_linked",
		"no account here is linked to this login, and it opens none; sign in another way, and link it there")
	errTaken   = fault.New(fault.Conflict, "oidc_taken", "this login is linked to another account here; sign in by it, and end the link there first")
	errFullUp  = fault.Newf(fault.Conflict, "oidc_links_full", "an account has at most %d links; end one first", mostLinks)
	errSession = fault.New(fault.Unauthenticated, "oidc_signed_out", "you are not signed in any more as you were when you began to link; sign in, and begin again")
)

// Done is what came of a way to a provider.
type Done struct {
	Page    string
	Linked  bool            // an account was linked, and nobody signed in
	Session account.Session // that began, unless Linked
	Token   string
}

// Finish takes the provider's answer, which the browser brings with the secret that
// it kept. Codes: oidc_unknown, oidc_state, oidc_denied, oidc_refused,
// oidc_unavailable, oidc_not_linked, oidc_taken, oidc_links_full, oidc_signed_out,
// those of account.Service.Begin and CreateHeld. With an error Page says where the way
// was to lead, where it is known.
func (s *Service) Finish(ctx context.Context, provider string, answer url.Values, browser string, where account.Where) (Done, error) {
	p, err := s.party(provider)
	if err != nil {
		return Done{}, err
	}
	w, err := s.take(ctx, p.Name, answer.Get("state"), browser)
	if err != nil {
		return Done{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, allTime)
	defer cancel()
	who, err := s.prove(ctx, p, w, answer)
	if err != nil {
		return Done{Page: w.Page}, err
	}
	if w.Identity != "" {
		return Done{Page: w.Page, Linked: true}, s.link(ctx, w, who)
	}
	n, token, err := s.signIn(ctx, p, who, where)
	return Done{Page: w.Page, Session: n, Token: token}, err
}

// person is who a provider says somebody is.
type person struct {
	issuer, subject string
	email           string // "" for none
	proven          bool   // the provider has seen that they read it
}

// prove exchanges the code for the provider's word, and judges it.
func (s *Service) prove(ctx context.Context, p *party, w way, answer url.Values) (person, error) {
	d, err := p.find(ctx)
	if err != nil {
		return person{}, err
	}
	// RFC 9207: an answer of another provider than the one that was asked.
	if iss := answer.Get("iss"); iss != p.Issuer && (iss != "" || d.saysWho) {
		return person{}, errRefused.Because(errors.New("the answer is another issuer's"))
	}
	if said := answer.Get("error"); said != "" {
		return person{}, fault.Newf(fault.Forbidden, "oidc_denied", "%s signed nobody in: %.60q; begin again, or sign in another way", p.Label, said)
	}
	if answer.Get("code") == "" {
		return person{}, errRefused.Because(errors.New("the answer has no code"))
	}
	ctx = p.asks(ctx)
	token, err := s.oauth(p, d).Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(w.verifier))
	if err != nil {
		return person{}, p.judged(err)
	}
	raw, _ := token.Extra("id_token").(string)
	word, err := d.provider.VerifierContext(ctx, &oidclib.Config{ClientID: p.ClientID, Now: s.cfg.Now}).Verify(ctx, raw)
	if err != nil {
		return person{}, errRefused.Because(brief{err})
	}
	return s.read(ctx, p, d, w, word, token)
}

// judged tells a refusal of the provider's from one that did not answer.
func (p *party) judged(err error) error {
	if answered := (*oauth2.RetrieveError)(nil); errors.As(err, &answered) && answered.Response.StatusCode < 500 {
		return errRefused.Because(brief{err})
	}
	return p.unusable(err)
}

// claims are those of an ID token that the library leaves alone.
type claims struct {
	Party         string `json:"azp"`
	Email         string `json:"email"`
	EmailVerified any    `json:"email_verified"` // true; of some providers "true"
}

func (c claims) proven() bool { return c.EmailVerified == true || c.EmailVerified == "true" }

// read takes from the provider's word who it is about, once it is for this node and
// for this way.
func (s *Service) read(ctx context.Context, p *party, d *parts, w way, word *oidclib.IDToken, token *oauth2.Token) (person, error) {
	var said claims
	if err := word.Claims(&said); err != nil {
		return person{}, errRefused.Because(brief{err})
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(word.Nonce), []byte(w.nonce)) != 1:
		return person{}, errRefused.Because(errors.New("the nonce is another's"))
	case said.Party != "" && said.Party != p.ClientID, said.Party == "" && len(word.Audience) != 1:
		return person{}, errRefused.Because(errors.New("the token was given to another party"))
	case word.Subject == "" || len(word.Subject) > mostSubject || strings.ContainsFunc(word.Subject, func(r rune) bool { return r < ' ' || r > '~' }):
		return person{}, errRefused.Because(errors.New("the subject is none"))
	}
	who := person{issuer: p.Issuer, subject: word.Subject, email: said.Email, proven: said.proven()}
	if who.email == "" && d.provider.UserInfoEndpoint() != "" {
		// Many providers give claims there alone. Whoever signs in by a link needs none.
		info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
		switch {
		case err != nil:
			s.cfg.Logger.WarnContext(ctx, "a provider does not tell of its people", slog.String("provider", p.Name), slog.Any("error", brief{err}))
		case info.Subject != word.Subject:
			return person{}, errRefused.Because(errors.New("the provider tells of somebody else"))
		default:
			who.email, who.proven = info.Email, info.EmailVerified
		}
	}
	if parsed, err := mail.ParseAddress(who.email); err != nil || parsed.Address != who.email || len(who.email) > mostEmail || strings.ContainsAny(who.email, "\"\x00 ") {
		who.email, who.proven = "", false
	}
	return who, nil
}

// signIn begins a session of the account that is linked, or of one that is opened.
func (s *Service) signIn(ctx context.Context, p *party, who person, where account.Where) (account.Session, string, error) {
	identity, err := s.linked(ctx, who)
	if err == nil && identity == "" {
		identity, err = s.open(ctx, p, who, where)
	}
	if err != nil {
		return account.Session{}, "", err
	}
	return s.accounts.Begin(ctx, identity, account.ByOIDC, where)
}

// linked is the account that a person is linked to, "" for none, and notes the use.
func (s *Service) linked(ctx context.Context, who person) (identity string, err error) {
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE account_oidc_links SET used_at = $1 WHERE issuer = $2 AND subject = $3 RETURNING identity`,
			span.FormatTime(s.cfg.Now()), who.issuer, who.subject).Scan(&identity)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return storage.Failed("use a link", err)
		}
		return nil
	})
	return identity, err
}

// open makes an identity in custody with an account, where somebody's proven address
// lets them in. An account that names the same address is another's: an address
// links nothing.
func (s *Service) open(ctx context.Context, p *party, who person, where account.Where) (string, error) {
	domain := p.opensFor(who.email)
	if !who.proven || domain == "" || !s.cfg.Opens(domain) {
		return "", errNobody
	}
	info, err := s.accounts.CreateHeld(ctx, account.NewAccount{With: func(ctx context.Context, tx *sql.Tx, identity string) error {
		return s.insert(ctx, tx, identity, who, s.cfg.Now())
	}}, where)
	if fault.CodeOf(err) == errTaken.Code { // opened at the same moment, by the same person
		return s.linked(ctx, who)
	}
	return info.ID, err
}

// link keeps who the person of an account is at a provider, as long as they are
// signed in as when they began.
func (s *Service) link(ctx context.Context, w way, who person) error {
	if w.Session != "" {
		if now, err := s.accounts.Again(ctx, w.Session); err != nil || now.Identity != w.Identity {
			return errSession.Because(err)
		}
	}
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		var holder string
		err := tx.QueryRowContext(ctx, `SELECT identity FROM account_oidc_links WHERE issuer = $1 AND subject = $2`, who.issuer, who.subject).Scan(&holder)
		switch {
		case err == nil && holder == w.Identity:
			return nil // it is linked already
		case err == nil:
			return errTaken
		case !errors.Is(err, sql.ErrNoRows):
			return storage.Failed("look for a link", err)
		}
		return s.insert(ctx, tx, w.Identity, who, s.cfg.Now())
	})
}

// insert keeps a link; errTaken where the person is linked.
func (s *Service) insert(ctx context.Context, tx *sql.Tx, identity string, who person, now time.Time) error {
	count := 0
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM account_oidc_links WHERE identity = $1`, identity).Scan(&count); err != nil {
		return storage.Failed("count links", err)
	}
	if count >= mostLinks {
		return errFullUp
	}
	raw, err := s.random(10)
	if err != nil {
		return err
	}
	n, err := storage.Changed(ctx, tx, "change links", `INSERT INTO account_oidc_links (id, identity, issuer, subject, email, created_at) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (issuer, subject) DO NOTHING`,
		idEncoding.EncodeToString(raw), identity, who.issuer, who.subject, storage.Optional(who.email), span.FormatTime(now))
	if err == nil && n == 0 {
		err = errTaken
	}
	return err
}
