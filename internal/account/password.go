package account

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/danvoulez/logline/internal/fault"
)

// DefaultHash is argon2id (RFC 9106) with 46 MiB, 2 passes and 1 lane, which is
// twice the work of what OWASP's Password Storage Cheat Sheet asks for at least,
// and about a tenth of a second. A hash carries its own parameters.
var DefaultHash = argon2id.Params{Memory: 46 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

const (
	// DefaultMinPassword is what NIST SP 800-63B-4 §3.1.1.2 asks of a password that
	// may be the only factor.
	DefaultMinPassword = 15
	maxPassword        = 256 // characters
	maxPasswordBytes   = 4 * maxPassword
	fewest             = 5  // different characters of a password
	mostWaiting        = 64 // that wait for their turn to be hashed
)

// Breached knows passwords that thieves have.
type Breached interface {
	Has(password string) (bool, error)
}

var (
	errPasswordMissing = fault.New(fault.Invalid, "password_missing", "an identity that the node holds needs a password: it is the way in").At("/password", "is missing")
	errHashing         = fault.New(fault.Unavailable, "sign_in_busy", "too many passwords are being checked at once; nothing was done, try again in a moment").After(time.Second)
)

// judgePassword holds a new password to the rules of NIST SP 800-63B: long enough,
// not one that is known or made of what everybody knows of its owner, and nothing
// else: no classes of characters, no end. about is what is known of the owner.
func (s *Service) judgePassword(at, password string, about ...string) error {
	if !utf8.ValidString(password) || len(password) > maxPasswordBytes || strings.ContainsRune(password, 0) {
		return fault.Newf(fault.Invalid, "password_malformed", "a password is UTF-8 of at most %d characters", maxPassword).At(at, "is no password")
	}
	password = normal(password)
	switch n := utf8.RuneCountInString(password); {
	case n < s.cfg.MinPassword:
		return fault.Newf(fault.Invalid, "password_short", "a password has at least %d characters; a few words that do not belong together are good", s.cfg.MinPassword).At(at, "is too short")
	case n > maxPassword:
		return fault.Newf(fault.Invalid, "password_malformed", "a password has at most %d characters", maxPassword).At(at, "is too long")
	case guessable(password, append(about, "logline", "password")):
		return fault.New(fault.Invalid, "password_guessable", "this password is made of your own names, or of few characters again and again; choose one that nobody would try").At(at, "is easily guessed")
	}
	if s.cfg.Breached == nil {
		return nil
	}
	known, err := s.cfg.Breached.Has(password)
	if err == nil && known {
		err = fault.New(fault.Invalid, "password_breached", "this password stands in a list of stolen ones, which are tried first; choose another").At(at, "is known to thieves")
	}
	return err
}

// normal makes one of the ways to write a character (SP 800-63B-4 §3.1.1.2: NFC).
func normal(password string) string { return norm.NFC.String(password) }

// guessable says whether little is left of a password without what is known.
func guessable(password string, known []string) bool {
	rest := strings.ToLower(password)
	different := map[rune]bool{}
	for _, r := range rest {
		different[r] = true
	}
	for _, word := range known {
		for part := range strings.FieldsFuncSeq(strings.ToLower(word), func(r rune) bool { return strings.ContainsRune("@. -_", r) }) {
			if utf8.RuneCountInString(part) >= 3 {
				rest = strings.ReplaceAll(rest, part, "")
			}
		}
	}
	return len(different) < fewest || utf8.RuneCountInString(rest) < 8
}

// hasher hashes a few passwords at a time: each takes its memory.
type hasher struct {
	params  argon2id.Params
	slots   chan struct{}
	waiting atomic.Int64
	dummy   string                                              // a hash of nothing anybody knows, at the same cost
	check   func(password, hash string) (match bool, err error) // of tests, which count its calls
}

func newHasher(p argon2id.Params) *hasher {
	h := &hasher{params: p, slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0))), check: argon2id.ComparePasswordAndHash}
	zero := func(n uint32) string { return base64.RawStdEncoding.EncodeToString(make([]byte, n)) }
	h.dummy = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.Memory, p.Iterations, p.Parallelism, zero(p.SaltLength), zero(p.KeyLength))
	return h
}

// turn waits for a slot; done gives it back.
func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	if h.waiting.Add(1) > mostWaiting {
		h.waiting.Add(-1)
		return nil, errHashing
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, errHashing.Because(ctx.Err())
	}
}

func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	return h.make(password)
}

// make is hash for whoever has a turn.
func (h *hasher) make(password string) (string, error) {
	return argon2id.CreateHash(normal(password), &h.params)
}

// match says whether a password is the one of a hash. Without a hash it works as
// hard, and says no.
func (h *hasher) match(password, hash string) (bool, error) {
	real := hash != ""
	if !real {
		hash = h.dummy
	}
	match, err := h.check(normal(password), hash)
	if err != nil {
		return false, errors.Join(fault.New(fault.Internal, "password_hash_damaged", "the stored hash of a password cannot be read"), err)
	}
	return match && real, nil
}

// stale says whether a hash was made at another cost than hashes are made at now.
func (h *hasher) stale(hash string) bool {
	p, _, _, err := argon2id.DecodeHash(hash)
	return err != nil || p.Memory != h.params.Memory || p.Iterations != h.params.Iterations || p.Parallelism != h.params.Parallelism
}
