// Package mailcode admits people by the address that they have: it mails a code to
// an address of an allowed domain, and whoever has the code registers one identity.
// And it has people prove that they read the address of their account, by a code that
// is good for that account and address alone.
//
// Who asks for a code is told nothing, whatever becomes of it: not whether the domain
// is allowed, nor whether it was mailed. Of codes and addresses the database has
// hashes under a key of the node's. Nothing is tried again: whoever gets no code asks
// for another.
package mailcode

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	// Life is how long a code is good.
	Life = 30 * time.Minute
	// MaxTries is how often the wrong secret of one code is tried before it is void.
	MaxTries = 5
	// MaxCodes bounds the codes mailed in an hour: of registrations to one mailbox, of
	// proofs for one account.
	MaxCodes = 3
	// kept is how long a code's record stays, so that an hour's can be counted.
	kept = 24 * time.Hour
	// waiting bounds the codes that are asked for and not mailed yet.
	waiting = 256
)

// ErrInvalid is the one answer for a code that is good for nothing: unknown, of another
// secret, used, ended, or tried too often.
var ErrInvalid = fault.New(fault.NotFound, "code_invalid", "this code is good for nothing here: there is no such one, or it was used, has ended or was tried too often; ask for another")

// Postman hands over a message, once. *mail.Sender implements it.
type Postman interface {
	Send(ctx context.Context, m mail.Message) error
}

// Directory knows identities. *id.Directory implements it.
type Directory interface {
	Chain(ctx context.Context, identity string) (*id.Chain, error)
}

// Config of a Service.
type Config struct {
	Domains []string // whose addresses may register, in lower case
	Page    string   // where the node is reached, for the text; "" leaves it out
	Secret  []byte   // of the node alone, for hashes
	Now     func() time.Time
	Rand    io.Reader
	Logger  *slog.Logger
}

// Service is safe for concurrent use, also by several processes.
type Service struct {
	db    *storage.DB
	dir   Directory
	post  Postman
	cfg   Config
	asked chan request
}

// request is a code to be mailed.
type request struct {
	address string
	prover  string // LogLine ID of whose address it is to prove; "" for a registration
}

// New works on a migrated database; it starts nothing.
func New(db *storage.DB, dir Directory, post Postman, cfg Config) *Service {
	return &Service{db: db, dir: dir, post: post, cfg: cfg, asked: make(chan request, waiting)}
}

// Ask has a code mailed to an address that lets an identity register, if there is
// anything for it. It says nothing of that, and takes the same time: all but the
// address's form (invalid mail_address) is looked at by Run.
func (s *Service) Ask(address string) error { return s.ask(address, "") }

// AskProof is Ask for a code by which an identity proves to read an address, of any
// domain.
func (s *Service) AskProof(address, identity string) error { return s.ask(address, identity) }

func (s *Service) ask(address, prover string) error {
	address, err := mail.ParseAddress(address)
	if err != nil {
		return fault.From(err).At("/email", "is no address")
	}
	select {
	case s.asked <- request{address, prover}:
	default:
		s.cfg.Logger.Warn("a code was not mailed: too many are waiting")
	}
	return nil
}

// Run mails codes until ctx ends; what waits then is not mailed.
func (s *Service) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-s.asked:
			switch err := s.send(ctx, r); {
			case errors.Is(err, errNothing):
				s.cfg.Logger.InfoContext(ctx, "no code was mailed", slog.Any("reason", err))
			case err != nil && ctx.Err() == nil:
				s.cfg.Logger.WarnContext(ctx, "a code could not be mailed", slog.String("code", fault.CodeOf(err)))
			}
		}
	}
}

var (
	errNothing = fault.New(fault.Forbidden, "code_not_due", "no code is due")
	errDomain  = errNothing.Because(errors.New("its domain is none of registration_domains"))
	errOften   = errNothing.Because(errors.New("the mailbox has had its codes of this hour"))
)

func (s *Service) send(ctx context.Context, r request) error {
	if r.prover == "" && !slices.Contains(s.cfg.Domains, mail.DomainOf(r.address)) {
		return errDomain
	}
	code, err := makeCode(s.cfg.Rand)
	if err != nil {
		return err
	}
	if err := s.keep(ctx, code, r); err != nil {
		return err
	}
	at, wish, use := "", "wants to register", "one registration"
	if r.prover != "" {
		wish, use = "has named this address for an account", "this account"
	}
	if s.cfg.Page != "" {
		at = " at " + s.cfg.Page
	}
	return s.post.Send(ctx, mail.Message{To: r.address, Subject: "Your code for LogLine", Text: fmt.Sprintf(`Somebody, probably you, %s%s.

The code, good for %s within 30 minutes:

    %s

If it was not you, do nothing.
`, wish, at, use, code)})
}

// keep notes a code that is to be mailed, unless the mailbox has had enough.
func (s *Service) keep(ctx context.Context, code string, r request) error {
	now, box := s.cfg.Now(), s.hash(r.counted())
	return s.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM registration_codes WHERE made_at < $1`, span.FormatTime(now.Add(-kept))); err != nil {
			return fmt.Errorf("forget codes: %w", err)
		}
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM registration_codes WHERE mailbox = $1 AND made_at > $2`, box, span.FormatTime(now.Add(-time.Hour))).Scan(&n); err != nil {
			return fmt.Errorf("count codes: %w", err)
		}
		if n >= MaxCodes {
			return errOften
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO registration_codes (selector, hash, mailbox, made_at, expires_at, tries) VALUES ($1, $2, $3, $4, $5, 0)`,
			selectorOf(code), s.hash(r.use(), code), box, span.FormatTime(now), span.FormatTime(now.Add(Life)))
		return storage.Classify(err)
	})
}

// counted is what an hour's codes are counted by: the mailbox; or, so that nobody keeps
// a mailbox from its owner, nor mails to many, who proves.
func (r request) counted() (of, text string) {
	if r.prover == "" {
		return "mailbox", strings.ToLower(r.address)
	}
	return "prover", r.prover
}

// use is what a code is hashed with, so that it is good for nothing else.
func (r request) use() string {
	if r.prover == "" {
		return "code"
	}
	return "proof\n" + r.prover + "\n" + strings.ToLower(r.address)
}

// member is where a request over HTTP has the code.
func (r request) member() string {
	if r.prover == "" {
		return "/admission"
	}
	return "/code"
}

// hash is what is kept of a text.
func (s *Service) hash(of, text string) []byte {
	mac := hmac.New(sha256.New, s.cfg.Secret)
	mac.Write([]byte("logline.mailcode.v1\n" + of + "\n" + text))
	return mac.Sum(nil)
}

// Admit says whether a code lets an identity register that is not known yet: the
// first that comes with it, and that one again; another one only where the first was
// never registered. ErrMalformed, ErrInvalid.
func (s *Service) Admit(ctx context.Context, text, identity string) error {
	return s.tried(ctx, text, request{}, func(tx *sql.Tx, code string) (bool, error) { return s.admit(ctx, tx, code, identity) })
}

// Prove says whether a code was mailed to an address for an identity to prove that it
// reads it; as often as it is asked, since what it proves stays the same. ErrMalformed,
// ErrInvalid.
func (s *Service) Prove(ctx context.Context, text, address, identity string) error {
	return s.tried(ctx, text, request{address, identity}, func(tx *sql.Tx, code string) (bool, error) {
		return forgive(ctx, tx, code, sql.NullString{})
	})
}

// tried spends a try on a code, and has it used where it is the one that was mailed.
func (s *Service) tried(ctx context.Context, text string, r request, use func(tx *sql.Tx, code string) (bool, error)) error {
	code, err := parse(text)
	if err != nil {
		return ErrMalformed.At(r.member(), "is no code")
	}
	good := false
	err = s.db.InTx(ctx, func(tx *sql.Tx) error {
		if good, err = s.try(ctx, tx, code, r); err == nil && good {
			good, err = use(tx, code)
		}
		return err // what was counted is committed where the code was wrong, too
	})
	if err == nil && !good {
		err = ErrInvalid
	}
	return err
}

// try counts a try of a code, and says whether it is the one that was mailed.
func (s *Service) try(ctx context.Context, tx *sql.Tx, code string, r request) (good bool, err error) {
	var hash []byte
	var expires string
	// The update first: it holds the row, so that tries at once are counted one by one.
	res, err := tx.ExecContext(ctx, `UPDATE registration_codes SET tries = tries + 1 WHERE selector = $1 AND tries < $2`, selectorOf(code), MaxTries)
	if err != nil {
		return false, fmt.Errorf("try a code: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	err = tx.QueryRowContext(ctx, `SELECT hash, expires_at FROM registration_codes WHERE selector = $1`, selectorOf(code)).Scan(&hash, &expires)
	if err != nil {
		return false, fmt.Errorf("read a code: %w", err)
	}
	return subtle.ConstantTimeCompare(hash, s.hash(r.use(), code)) == 1 && expires > span.FormatTime(s.cfg.Now()), nil
}

func (s *Service) admit(ctx context.Context, tx *sql.Tx, code, identity string) (good bool, err error) {
	var admitted sql.NullString
	if err := tx.QueryRowContext(ctx, `SELECT admitted FROM registration_codes WHERE selector = $1`, selectorOf(code)).Scan(&admitted); err != nil {
		return false, fmt.Errorf("read a code: %w", err)
	}
	if admitted.Valid && admitted.String != identity {
		_, err := s.dir.Chain(ctx, admitted.String)
		if err == nil || fault.KindOf(err) != fault.NotFound {
			return false, err
		}
	}
	return forgive(ctx, tx, code, sql.NullString{String: identity, Valid: true})
}

// forgive takes a try back: a right one is none that counts.
func forgive(ctx context.Context, tx *sql.Tx, code string, admitted sql.NullString) (bool, error) {
	_, err := tx.ExecContext(ctx, `UPDATE registration_codes SET admitted = $2, tries = tries - 1 WHERE selector = $1`, selectorOf(code), admitted)
	return err == nil, err
}
