package account

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// errSignIn is the one answer to a name and a password that do not fit, whatever
// there is of them.
var errSignIn = fault.New(fault.Unauthenticated, "sign_in_refused",
	"the name and the password do not belong together here, or the account is not active")

// login is what signing in needs of an account; the zero login of none.
type login struct {
	identity, hash, handle string
	active                 bool
}

// SignIn signs in by a name (a handle, with @ or without, an address, or a LogLine
// ID), the password and, where the account has a second factor and second is not
// "", its code. unauthenticated sign_in_refused tells nobody which names there
// are: every name costs the same work. limited sign_in_limited after too many
// tries that failed.
func (s *Service) SignIn(ctx context.Context, name, password, second string, where Where) (Session, string, error) {
	name = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(name), "@"))
	if len(name) > maxEmail || len(password) > maxPasswordBytes {
		return Session{}, "", errSignIn
	}
	tries := triesOf(name, where.Address)
	who, err := s.check(ctx, name, password, tries)
	if err != nil {
		return Session{}, "", err
	}
	n, token, err := s.Begin(ctx, who, ByPassword, where)
	if err != nil || n.Needs == "" || second == "" {
		return n, token, err
	}
	done, fresh, err := s.Complete(ctx, token, second)
	if err != nil {
		return Session{}, "", errors.Join(err, s.drop(ctx, n))
	}
	return done, fresh, nil
}

// drop ends a session that nobody was told of.
func (s *Service) drop(ctx context.Context, n Session) error {
	_, err := s.end(ctx, `DELETE FROM account_sessions WHERE identity = $1 AND id = $2`, n.Identity, n.ID)
	return err
}

// check is the identity that a name and a password prove. It looks once and
// hashes once, whatever there is.
func (s *Service) check(ctx context.Context, name, password string, t tries) (string, error) {
	done, err := s.hasher.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	// Within a turn: as many can try at once as there are turns, and no more.
	if err := s.mayTry(ctx, t); err != nil {
		return "", err
	}
	who, err := s.find(ctx, name)
	if err != nil {
		return "", err
	}
	match, err := s.hasher.match(password, who.hash)
	if err != nil {
		return "", err
	}
	if !match || !who.active {
		s.failedTry(ctx, t)
		return "", errSignIn
	}
	if s.hasher.stale(who.hash) {
		s.rehash(ctx, who, password)
	}
	return who.identity, nil
}

// rehash brings a password to the cost that hashes have now. Where that fails, the
// old one is as good as before.
func (s *Service) rehash(ctx context.Context, who login, password string) {
	fresh, err := s.hasher.make(password)
	if err != nil {
		return
	}
	_ = s.db.InTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE accounts SET password = $1 WHERE identity = $2 AND password = $3`, fresh, who.identity, who.hash)
		return err
	})
}

// findLogin finds an account by a name in lower case. Of all who name an address
// it is whoever has proven it, else the first.
func (s *Service) findLogin(ctx context.Context, name string) (login, error) {
	where := `i.handle = $1`
	switch {
	case strings.HasPrefix(name, span.IdentityScheme):
		where = `a.identity = $1`
	case strings.Contains(name, "@"):
		where = `a.email_key = $1`
	}
	var l login
	var hash, handle, ended sql.NullString
	var status string
	err := s.db.Read.QueryRowContext(ctx, `
		SELECT a.identity, a.password, i.handle, a.deactivated_at, i.status FROM accounts a JOIN identities i ON i.id = a.identity
		WHERE `+where+` ORDER BY CASE WHEN a.email_proven IS NULL THEN 1 ELSE 0 END, a.created_at, a.identity LIMIT 1`, name).
		Scan(&l.identity, &hash, &handle, &ended, &status)
	if errors.Is(err, sql.ErrNoRows) {
		return login{}, nil
	}
	if err != nil {
		return login{}, storage.Failed("find account", err)
	}
	l.hash, l.handle, l.active = hash.String, handle.String, !ended.Valid && status == "active"
	return l, nil
}

// How many tries that failed are borne. NIST SP 800-63B-4 §3.2.2 allows 100 in a
// row on one account; who comes from one address has fewer, so that a stranger who
// tries does not lock out the person who comes from elsewhere.
var (
	ofBoth    = bounds{10, 3 * time.Minute}   // of one name from one address
	ofName    = bounds{100, 10 * time.Minute} // of one name
	ofAddress = bounds{50, time.Minute}       // from one address
	ofOpening = bounds{60, time.Minute}       // accounts that one address opens, each with an identity
	ofSecond  = bounds{10, 10 * time.Minute}  // of one account's second factor
)

// bounds are how many tries there are at once, and how long until one comes back.
type bounds struct {
	most  int
	again time.Duration
}

// limit is a bucket that a try costs again seconds of.
func (b bounds) limit() ratelimit.Limit {
	return ratelimit.Limit{Rate: 1, Burst: b.most * b.cost()}
}

func (b bounds) cost() int { return int(b.again / time.Second) }

// tries are the buckets that a try counts in.
type tries []try

type try struct {
	key string
	bounds
}

// triesOf counts names by their hash, also those that there are not: the store of
// rates may be shared, and a person's address is not its business.
func triesOf(name string, from netip.Addr) tries {
	h := span.Sum([]byte("logline.signin.v1\n" + name))
	who, place := "sign:n:"+hex.EncodeToString(h[:16]), placeOf(from)
	return tries{{who + ":" + place, ofBoth}, {who, ofName}, {"sign:a:" + place, ofAddress}}
}

// placeOf is an address as far as one customer has one: of IPv6 a /64.
func placeOf(a netip.Addr) string {
	if a = a.Unmap(); !a.IsValid() || a.Is4() {
		return a.String()
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.Addr().String()
}

// mayTry says whether there is a try left, and takes none.
func (s *Service) mayTry(ctx context.Context, t tries) error {
	asks, answers := make([]ratelimit.Ask, len(t)), make([]ratelimit.Answer, len(t))
	for i, b := range t {
		asks[i] = ratelimit.Ask{Key: b.key, Limit: b.limit()}
	}
	refused := s.cfg.Rates.Take(ctx, asks, answers)
	for i, b := range t {
		short := b.cost() - answers[i].Remaining
		if i == refused || short > 0 {
			return fault.New(fault.Limited, "sign_in_limited", "too many tries to sign in have failed; wait, or sign in by another way").After(time.Duration(max(1, short)) * time.Second)
		}
	}
	return nil
}

// failedTry counts one, also beyond what there was.
func (s *Service) failedTry(ctx context.Context, t tries) {
	asks := make([]ratelimit.Ask, len(t))
	for i, b := range t {
		asks[i] = ratelimit.Ask{Key: b.key, Limit: b.limit(), Cost: b.cost(), Owe: true}
	}
	s.cfg.Rates.Take(ctx, asks, make([]ratelimit.Answer, len(t)))
}

// mayOpen counts an account that is about to be made.
func (s *Service) mayOpen(ctx context.Context, where Where) error {
	ask := []ratelimit.Ask{{Key: "open:a:" + placeOf(where.Address), Limit: ofOpening.limit(), Cost: ofOpening.cost()}}
	answers := make([]ratelimit.Answer, 1)
	if s.cfg.Rates.Take(ctx, ask, answers) < 0 {
		return nil
	}
	return fault.New(fault.Limited, "accounts_limited", "too many accounts were opened from your address; wait, and try again").After(answers[0].Retry)
}
