package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// ticketAuthenticator takes a ticket, in the one place where a ticket may stand,
// and spends it. It is of one request; the caller is whoever the ticket was made
// for, if the credential that it was made with is still good.
type ticketAuthenticator struct {
	server *Server
	spent  ticket.Ticket // what was taken
}

func (*ticketAuthenticator) Takes(credential string) bool { return ticket.Is(credential) }

func (a *ticketAuthenticator) Authenticate(ctx context.Context, credential string) (who id.Credential, err error) {
	if a.spent, err = a.server.deps.Tickets.Spend(ctx, credential); err != nil {
		return who, err
	}
	return authenticate(ctx, a.server.bearers, a.spent.Credential)
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
	expires := s.now().Add(s.limits.Ticket)
	text, err := s.deps.Tickets.Make(c.Request().Context(), ticket.Ticket{Credential: token, Identity: seen.who.Identity, Tenant: seen.ID, Expires: expires})
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, api.FeedTicket{Ticket: text, Expires: span.FormatTime(expires)})
}
