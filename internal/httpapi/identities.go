package httpapi

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

var (
	errName = fault.New(fault.Forbidden, "name_not_proven",
		"a handle or a name needs a token signed by the identity that takes it")
	errIdentity = fault.New(fault.NotFound, "identity_unknown", "no such identity is registered at this node")
)

// RegisterIdentity takes a new identity; the same again changes nothing.
func (s *Server) RegisterIdentity(c echo.Context) error {
	var body api.Registration
	if err := s.bind(c, &body); err != nil {
		return err
	}
	if body.Custody {
		return s.makeHeld(c, body)
	}
	if body.Subject != "" {
		return errSubject
	}
	info, created, err := s.register(c, body)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return answer(c, status, identityOf(info))
}

// register takes an identity by its events, where it may come in.
func (s *Server) register(c echo.Context, body api.Registration) (info id.Info, created bool, err error) {
	events := make([][]byte, len(body.Events))
	for i, e := range body.Events {
		events[i] = e
	}
	if err := s.mayRegister(c, events, body.Handle+body.Name != "", body.Admission); err != nil {
		return id.Info{}, false, err
	}
	return s.deps.Directory.Register(c.Request().Context(), events, body.Handle, body.Name)
}

// mayRegister asks for the identity's own token where its signatures are not
// enough. A node that is closed to new identities still answers one it knows, and
// takes the one that comes with the bootstrap token: the first owner. What admits
// an identity opens the node to that one.
func (s *Server) mayRegister(c echo.Context, events [][]byte, named bool, admission string) error {
	open, err := s.opensFor(c, events, admission)
	if err != nil {
		return err
	}
	token, err := bearer(c)
	if err != nil {
		return err
	}
	switch {
	case open && !(named && s.deps.ProtectNames):
		return nil
	case token == "" && open:
		return errName
	case token == "":
		return s.notOpen()
	}
	ctx := c.Request().Context()
	if begins, err := s.deps.Onboarding.Begins(ctx, token); begins || err != nil {
		return err
	}
	identity, err := foundedBy(events)
	if err != nil {
		return err
	}
	signer, err := s.signerOf(c.Request(), token, func(who string) (*id.Chain, error) {
		if who != identity {
			return nil, errName
		}
		known, err := s.deps.Directory.Chain(ctx, who)
		switch {
		case fault.KindOf(err) == fault.NotFound && open:
			return foldEvents(events, s.verify)
		case fault.KindOf(err) == fault.NotFound:
			return nil, s.notOpen()
		}
		return known, err
	})
	if !open && strings.Count(token, ".") != 2 {
		return s.notOpen() // a bootstrap token, mistyped or spent
	}
	if err == nil && named {
		err = manages(signer)
	}
	return uniform(err)
}

var errNoEvents = fault.New(fault.Invalid, "events_missing", "registering an identity takes its key events, the inception first").
	At("/events", "is empty")

// foundedBy is the LogLine ID that the first of some events gives, no signature
// checked.
func foundedBy(events [][]byte) (string, error) {
	event, err := founding(events)
	if err != nil {
		return "", err
	}
	return event.IdentityID(), nil
}

// founding is the first of some events, no signature checked.
func founding(events [][]byte) (*id.Event, error) {
	if len(events) == 0 {
		return nil, errNoEvents
	}
	return id.ParseEvent(events[0])
}

// foldEvents judges the events of a registration far enough to know whose
// token may accompany them; the directory judges them in full.
func foldEvents(events [][]byte, verifier id.Verifier) (*id.Chain, error) {
	if len(events) > id.MaxRegisterEvents {
		return nil, fault.Newf(fault.Invalid, "events_too_many", "at most %d events register an identity; send the later ones one by one", id.MaxRegisterEvents).At("/events", "is too long")
	}
	var chain *id.Chain
	for i, raw := range events {
		event, err := id.ParseEvent(raw)
		switch {
		case err != nil:
		case i == 0:
			chain, err = id.Begin(event, verifier)
		default:
			_, err = chain.Apply(event, verifier, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// GetIdentity looks an identity up by id or @handle.
func (s *Server) GetIdentity(c echo.Context, identity api.IdentityParameter) error {
	if _, err := s.known(c); err != nil {
		return err
	}
	info, err := s.find(c, identity)
	if err != nil {
		return err
	}
	out := identityOf(info)
	if out.Claimed, out.ClaimedMore, err = s.deps.Directory.Claimed(c.Request().Context(), info.ID); err != nil {
		return err
	}
	return answer(c, http.StatusOK, out)
}

// ListKeyEvents is open to all by id, since anybody may check signatures; which
// identity a handle leads to is the directory's to tell.
func (s *Server) ListKeyEvents(c echo.Context, identity api.IdentityParameter) error {
	if strings.HasPrefix(identity, "@") {
		if _, err := s.known(c); err != nil {
			return err
		}
	}
	info, err := s.find(c, identity)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, api.KeyEvents{Id: info.ID, Status: info.Status, Events: rawEvents(info.Events)})
}

// AddKeyEvent takes one key event, proven by its own signature.
func (s *Server) AddKeyEvent(c echo.Context, identity api.IdentityParameter) error {
	if mediaType(c.Request()) != typeJSON {
		return errMediaType
	}
	event, err := s.readBody(c, s.limits.Body)
	if err != nil {
		return err
	}
	full := withScheme(identity)
	if !span.IsIdentity(full) {
		return errIdentity
	}
	before, err := s.deps.Directory.Chain(c.Request().Context(), full)
	if err != nil {
		return err
	}
	info, pending, err := s.deps.Engine.EmbedEvent(c.Request().Context(), full, event)
	if err != nil {
		return err
	}
	if len(info.Events) == before.Len() {
		// Events are open, so anybody can send one again; which tenants hold the
		// identity is told to itself.
		if who, err := s.caller(c); err != nil || who.Identity != full {
			pending = nil
		}
	}
	return answer(c, http.StatusCreated, api.KeyEventAdded{Id: info.ID, Status: info.Status, Pending: pending})
}

// find looks an identity up as a path names it.
func (s *Server) find(c echo.Context, identity string) (id.Info, error) {
	ctx := c.Request().Context()
	if handle, ok := strings.CutPrefix(identity, "@"); ok {
		return s.deps.Directory.ByHandle(ctx, handle)
	}
	full := withScheme(identity)
	if !span.IsIdentity(full) {
		return id.Info{}, errIdentity
	}
	return s.deps.Directory.Get(ctx, full)
}

// withScheme is a LogLine ID from a path, where it stands without its scheme.
func withScheme(identity string) string {
	if strings.HasPrefix(identity, span.IdentityScheme) {
		return identity
	}
	return span.IdentityScheme + identity
}

func identityOf(info id.Info) api.Identity {
	return api.Identity{
		Id: info.ID, Subject: api.IdentitySubject(info.Subject), Handle: info.Handle, Name: info.Name,
		Status: api.IdentityStatus(info.Status), Events: rawEvents(info.Events),
		ClaimedBy: info.Chain.ClaimedBy(), Expires: info.Chain.Expires(),
	}
}
