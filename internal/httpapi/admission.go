package httpapi

import (
	"cmp"
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/onboarding/mailcode"
)

// Who may register an identity that the node does not know: anybody, whoever is
// invited to a tenant, whoever has an address of certain domains too, nobody. The first owner always may, with the bootstrap token.
const (
	RegistrationOpen   = string(api.NodeRegistrationOpen)
	RegistrationInvite = string(api.NodeRegistrationInvite)
	RegistrationDomain = string(api.NodeRegistrationDomain)
	RegistrationClosed = string(api.NodeRegistrationClosed)
)

// Codes mail codes that let identities register, and by which they prove their
// addresses. *mailcode.Service implements it.
type Codes interface {
	// Ask judges the address's form alone, and takes the same time for all.
	Ask(address string) error
	Admit(ctx context.Context, code, identity string) error
	// AskProof is Ask for the address of an identity's account.
	AskProof(address, identity string) error
	Prove(ctx context.Context, code, address, identity string) error
}

// Of all these one code: to whoever comes without what admits, the node is closed.
const codeRegistration = "registration_closed"

var (
	errRegistration = fault.New(fault.Forbidden, codeRegistration,
		"this node registers no new identities over HTTP but the first owner's, with the bootstrap token; ask whoever runs it to set registration (LOGLINE_REGISTRATION) to invite or open")
	errInvitedOnly = fault.New(fault.Forbidden, codeRegistration,
		"this node registers whoever is invited to one of its tenants; open the link of your invitation, or send its token as admission")
	errByDomain = fault.New(fault.Forbidden, codeRegistration,
		"this node registers whoever is invited to one of its tenants, and whoever has an address of certain domains; have a code mailed (POST /v1/registrations/code), or open the link of your invitation, and send the one or the other as admission")
	errNoMail    = fault.New(fault.Conflict, "mail_off", "this node mails nothing, so that no address can be proven; ask whoever runs it to set smtp.host and smtp.from")
	errNoCodes   = fault.New(fault.Forbidden, "codes_off", "this node mails no codes: it does not register by address")
	errAdmission = fault.New(fault.Invalid, "admission_malformed",
		"this admits nobody here; an invitation's token begins with lli_, a mailed code, where the node mails them, with llc_").At("/admission", "is of no kind that this node takes")
)

// registration is who may register.
func (s *Server) registration() string {
	if s.deps.OpenRegistration {
		return RegistrationOpen
	}
	return cmp.Or(s.deps.Registration, RegistrationClosed)
}

// notOpen is why an identity may not come in that brings nothing with it.
func (s *Server) notOpen() error {
	switch s.registration() {
	case RegistrationInvite:
		return errInvitedOnly
	case RegistrationDomain:
		return errByDomain
	}
	return errRegistration
}

// opensFor says whether new identities may come in, or the one with these events
// may, by what it brings.
func (s *Server) opensFor(c echo.Context, events [][]byte, admission string) (bool, error) {
	if s.deps.OpenRegistration || admission == "" {
		return s.deps.OpenRegistration, nil
	}
	inception, err := founding(events)
	if err == nil {
		err = s.letIn(c, admission, invite.Founded(inception))
	}
	return err == nil, err
}

// letIn says whether what somebody brings lets an identity in that is not known yet.
func (s *Server) letIn(c echo.Context, admission string, who invite.Newcomer) error {
	switch mode := s.registration(); {
	case mode == RegistrationOpen:
		return nil
	case admission == "" || mode == RegistrationClosed:
		return s.notOpen()
	case mailcode.Is(admission) && mode == RegistrationDomain:
		if err := s.countTry(c); err != nil {
			return err
		}
		return s.deps.Codes.Admit(c.Request().Context(), admission, who.Identity)
	case !invite.IsToken(admission):
		return errAdmission
	}
	token, err := s.invitationToken(c, admission)
	if err != nil {
		return err
	}
	return s.deps.Invitations.Admit(c.Request().Context(), token, who)
}

// RequestCode has a code mailed, if there is anything to mail.
func (s *Server) RequestCode(c echo.Context) error {
	var body api.CodeRequest
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if s.registration() != RegistrationDomain {
		return errNoCodes
	}
	if err := s.countTry(c); err != nil {
		return err
	}
	if err := s.deps.Codes.Ask(body.Email); err != nil {
		return err
	}
	return answer(c, http.StatusAccepted, api.Health{Status: "accepted"})
}
