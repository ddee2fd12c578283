package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const (
	maxTickets    = 10_000 // that wait to be used
	maxTicketsOne = 64     // of one identity
	ticketBytes   = 32
	ticketPrefix  = "llt_" // for whoever looks for secrets where they should not be
)

var (
	errTicket  = fault.New(fault.Unauthenticated, "ticket_invalid", "the ticket is unknown, used already, expired or for another tenant; get a new one")
	errTickets = fault.New(fault.Limited, "tickets_limited", "too many tickets wait to be used; use those you have").After(5 * time.Second)
)

// ticket is a credential that may stand in an address, because it is good for
// one feed and a short time.
type ticket struct {
	token    string // the credential it was made with
	identity string
	tenant   string // id
	expires  time.Time
}

// tickets are those not used yet, in this process alone. What is kept of one is
// its hash.
type tickets struct {
	mu    sync.Mutex // guards waiting
	waits map[[sha256.Size]byte]ticket
}

func newTickets() *tickets { return &tickets{waits: make(map[[sha256.Size]byte]ticket)} }

func (t *tickets) add(k ticket, now time.Time) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	mine := 0
	for hash, other := range t.waits {
		switch {
		case !now.Before(other.expires):
			delete(t.waits, hash)
		case other.identity == k.identity:
			mine++
		}
	}
	if len(t.waits) >= maxTickets || mine >= maxTicketsOne {
		return "", errTickets
	}
	var secret [ticketBytes]byte
	_, _ = rand.Read(secret[:]) // never fails (crypto/rand)
	text := ticketPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	t.waits[sha256.Sum256([]byte(text))] = k
	return text, nil
}

// spend takes a ticket, which then is good no more.
func (t *tickets) spend(text string, now time.Time) (ticket, error) {
	hash := sha256.Sum256([]byte(text))
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.waits[hash]
	delete(t.waits, hash)
	if !ok || !now.Before(k.expires) {
		return ticket{}, errTicket
	}
	return k, nil
}

// ticketAuthenticator takes a ticket, in the one place where a ticket may stand,
// and spends it. It is of one request; the caller is whoever the ticket was made
// for, if the credential that it was made with is still good.
type ticketAuthenticator struct {
	server *Server
	spent  ticket // what was taken
}

func (*ticketAuthenticator) Takes(credential string) bool {
	return strings.HasPrefix(credential, ticketPrefix)
}

func (a *ticketAuthenticator) Authenticate(ctx context.Context, credential string) (who id.Credential, err error) {
	if a.spent, err = a.server.tickets.spend(credential, a.server.now()); err != nil {
		return who, err
	}
	return authenticate(ctx, a.server.bearers, a.spent.token)
}

// CreateFeedTicket makes a ticket for one feed of the tenant.
func (s *Server) CreateFeedTicket(c echo.Context, tenant api.TenantParameter) error {
	if err := s.ownOrigin(c.Request()); err != nil {
		return err
	}
	seen, err := s.lookKnown(c, tenant)
	if err != nil {
		return err
	}
	token, err := s.credentialOf(c)
	if err != nil {
		return err
	}
	now := s.now()
	k := ticket{token: token, identity: seen.who.Identity, tenant: seen.ID, expires: now.Add(s.limits.Ticket)}
	text, err := s.tickets.add(k, now)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, api.FeedTicket{Ticket: text, Expires: span.FormatTime(k.expires)})
}
