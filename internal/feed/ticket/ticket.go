// Package ticket keeps the tickets of live feeds: credentials that may stand in an
// address, because each opens one feed, within a short time. It owns them in the
// database, so that whichever process of a node a ticket comes to, it is good there,
// and of several that it comes to at once, at one.
//
// Of a ticket there is a hash, and the credential that it was made with, sealed
// under a key that only the ticket gives: who reads the database has neither. Whether
// that credential is still good, and what it may read, it does not know.
package ticket

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

const (
	most       = 10_000 // that wait to be used
	mostOne    = 64     // of one identity
	prefix     = "llt_" // for whoever looks for secrets where they should not be
	hashDomain = "logline.feed.ticket.v1\n"
	sealInfo   = "logline.feed.ticket.v1 seal" // HKDF's info
)

// Errors of Make and Spend.
var (
	ErrInvalid = fault.New(fault.Unauthenticated, "ticket_invalid", "the ticket is unknown, used already, expired or for another tenant; get a new one")
	ErrLimited = fault.New(fault.Limited, "tickets_limited", "too many tickets wait to be used; use those you have").After(5 * time.Second)
)

// Ticket is what a ticket stands for.
type Ticket struct {
	Credential string    // by which it was made, and by which the feed goes on being judged
	Identity   string    // LogLine ID of whose that is
	Tenant     string    // id
	Expires    time.Time // first instant at which it is not good any more
}

// Tickets are those that wait to be used, of all processes of a node. It is safe for
// concurrent use.
type Tickets struct {
	db   *storage.DB
	now  func() time.Time
	rand io.Reader
}

// New works on a migrated database; random nil is crypto/rand.
func New(db *storage.DB, now func() time.Time, random io.Reader) *Tickets {
	if random == nil {
		random = rand.Reader
	}
	return &Tickets{db, now, random}
}

// Is says by its form alone whether a text is meant to be a ticket.
func Is(text string) bool { return strings.HasPrefix(text, prefix) }

// Make makes a ticket and gives its text, which is nowhere else. Those that have
// expired go. limited tickets_limited.
func (t *Tickets) Make(ctx context.Context, k Ticket) (text string, err error) {
	if text, err = id.NewOpaque(prefix, t.rand); err != nil {
		return "", err
	}
	sealed, err := seal(text, &k)
	if err != nil {
		return "", err
	}
	hash := hashOf(text)
	err = t.db.InTx(ctx, func(tx *sql.Tx) error {
		if err := removeOld(ctx, tx, span.FormatTime(t.now())); err != nil {
			return err
		}
		var all, mine int
		err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(CASE WHEN identity = $1 THEN 1 ELSE 0 END), 0) FROM feed_tickets`, k.Identity).Scan(&all, &mine)
		if err != nil {
			return storage.Failed("count tickets", err)
		}
		if all >= most || mine >= mostOne {
			return ErrLimited
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO feed_tickets (hash, identity, sealed, expires_at) VALUES ($1, $2, $3, $4)`,
			hash[:], k.Identity, sealed, span.FormatTime(k.Expires))
		if err != nil {
			return storage.Failed("insert ticket", err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

// Spend takes a ticket, which then is good no more, however it turns out.
// unauthenticated ticket_invalid.
func (t *Tickets) Spend(ctx context.Context, text string) (Ticket, error) {
	if _, ok := id.ParseOpaque(prefix, text); !ok {
		return Ticket{}, ErrInvalid
	}
	hash := hashOf(text)
	// Before it writes it looks, so that a stranger who guesses keeps no writer waiting.
	waits := 0
	if err := t.db.Read.QueryRowContext(ctx, `SELECT count(*) FROM feed_tickets WHERE hash = $1`, hash[:]).Scan(&waits); err != nil {
		return Ticket{}, storage.Failed("look for a ticket", err)
	}
	if waits == 0 {
		return Ticket{}, ErrInvalid
	}
	var k Ticket
	var sealed []byte
	good := false
	err := t.db.InTx(ctx, func(tx *sql.Tx) error {
		var expires string
		err := tx.QueryRowContext(ctx, `DELETE FROM feed_tickets WHERE hash = $1 RETURNING identity, sealed, expires_at`, hash[:]).Scan(&k.Identity, &sealed, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another was faster
		}
		if err != nil {
			return storage.Failed("spend a ticket", err)
		}
		good = span.FormatTime(t.now()) < expires
		k.Expires, err = span.ParseTime(expires)
		return err
	})
	if err == nil && !good {
		err = ErrInvalid
	}
	if err == nil {
		err = open(text, sealed, &k)
	}
	if err != nil {
		return Ticket{}, err
	}
	return k, nil
}

// Prune removes tickets that have expired. It looks before it writes: mostly there is
// nothing.
func (t *Tickets) Prune(ctx context.Context) error {
	now, old := span.FormatTime(t.now()), 0
	if err := t.db.Read.QueryRowContext(ctx, `SELECT count(*) FROM feed_tickets WHERE expires_at <= $1`, now).Scan(&old); err != nil || old == 0 {
		return storage.Classify(err)
	}
	return t.db.InTx(ctx, func(tx *sql.Tx) error { return removeOld(ctx, tx, now) })
}

func removeOld(ctx context.Context, tx *sql.Tx, now string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM feed_tickets WHERE expires_at <= $1`, now); err != nil {
		return storage.Failed("remove old tickets", err)
	}
	return nil
}

// Forget removes what waits of an identity.
func (t *Tickets) Forget(ctx context.Context, identity string) error {
	return t.db.InTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM feed_tickets WHERE identity = $1`, identity); err != nil {
			return storage.Failed("forget tickets", err)
		}
		return nil
	})
}

// hashOf is what is stored of a ticket. It has 256 random bits, so a plain hash is
// enough: there is nothing to guess.
func hashOf(text string) span.Hash { return span.Sum([]byte(hashDomain + text)) }

// kept is what is sealed of a ticket.
type kept struct {
	Credential string `json:"credential"`
	Tenant     string `json:"tenant"`
}

// aead is what one ticket seals by. Its key is good for one message alone, which
// therefore needs no nonce of its own.
func aead(text string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(text), nil, sealInfo, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func seal(text string, k *Ticket) ([]byte, error) {
	box, err := aead(text)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(kept{k.Credential, k.Tenant})
	if err != nil {
		return nil, err
	}
	return box.Seal(nil, make([]byte, box.NonceSize()), plain, []byte(k.Identity)), nil
}

func open(text string, sealed []byte, k *Ticket) error {
	box, err := aead(text)
	if err != nil {
		return err
	}
	plain, err := box.Open(nil, make([]byte, box.NonceSize()), sealed, []byte(k.Identity))
	var was kept
	if err == nil {
		err = json.Unmarshal(plain, &was)
	}
	if err != nil {
		return ErrInvalid.Because(err) // somebody changed the row
	}
	k.Credential, k.Tenant = was.Credential, was.Tenant
	return nil
}
