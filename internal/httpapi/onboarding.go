package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/flow"
	"github.com/danvoulez/logline/internal/onboarding/invite"
	"github.com/danvoulez/logline/internal/span"
)

var (
	errStep = fault.New(fault.NotFound, "onboarding_step_unknown",
		"there is no such step; the steps are identity, tenant, recovery, template, invitations, first_span and proof")
	errProve = fault.New(fault.Invalid, "onboarding_token_missing",
		"key events are public: show that they are yours with a token signed by the identity's own key").At("/token", "is missing")
	errProofOther = fault.New(fault.Forbidden, "onboarding_proof_other",
		"the token is of another identity than the key events").At("/token", "is another's")
	errNoLogin = fault.New(fault.Unauthenticated, "onboarding_login_missing",
		"no login came with this request; log in first, or bring key events of your own")
)

// CreateOnboardingSession begins to bring somebody in; its address was counted.
func (s *Server) CreateOnboardingSession(c echo.Context) error {
	var body api.NewOnboardingSession
	if err := s.bind(c, &body); err != nil {
		return err
	}
	road := string(body.Road)
	if road == "" {
		road = flow.RoadAPI
	}
	session, token, err := s.deps.Flow.Begin(c.Request().Context(), road, s.clientAddress(c.Request()))
	if err != nil {
		return err
	}
	out := s.onboardingSession(&session)
	out.Token = token
	c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
	return answer(c, http.StatusCreated, out)
}

// GetOnboardingSession shows how far a session is.
func (s *Server) GetOnboardingSession(c echo.Context, session api.OnboardingSessionParameter) error {
	token, err := bearer(c)
	if err != nil {
		return err
	}
	found, err := s.deps.Flow.Get(c.Request().Context(), session, token)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, s.onboardingSession(&found))
}

// PutOnboardingStep does a step.
func (s *Server) PutOnboardingStep(c echo.Context, session api.OnboardingSessionParameter, step string) error {
	token, err := bearer(c)
	if err != nil {
		return err
	}
	if !slices.Contains(flow.Steps(), step) {
		return errStep
	}
	in, err := s.onboardingInput(c, step)
	if err != nil {
		return err
	}
	done, err := s.deps.Flow.Do(c.Request().Context(), session, token, in)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, onboardingStep(&done))
}

// onboardingInput reads what is asked of a step.
func (s *Server) onboardingInput(c echo.Context, step string) (flow.Input, error) {
	switch step {
	case flow.StepIdentity:
		var body api.OnboardingIdentity
		err := s.bind(c, &body)
		return &flow.Identity{Events: body.Events, Login: body.Session, Handle: body.Handle, Name: body.Name,
			Prove: func(context.Context) (flow.Proven, error) { return s.onboarded(c, &body) }}, err
	case flow.StepTenant:
		var body api.OnboardingTenant
		err := s.bind(c, &body)
		return &flow.Tenant{Slug: body.Slug, Name: body.Name, PublicReading: body.PublicReading, RetentionDays: body.RetentionDays, Admission: body.Admission,
			Invitation: body.Invitation, As: s.loginOf(c), Join: s.joinBy(c, body.Invitation)}, err
	case flow.StepRecovery:
		var body api.OnboardingRecovery
		err := s.bind(c, &body)
		return &flow.Recovery{Method: string(body.Method)}, err
	case flow.StepTemplate:
		var body api.OnboardingTemplate
		err := s.bind(c, &body)
		return &flow.Template{Template: body.Template, Version: body.Version, Examples: body.Examples, Skip: body.Skip, As: s.loginOf(c)}, err
	case flow.StepInvitations:
		var body api.OnboardingInvitations
		err := s.bind(c, &body)
		return &flow.Invitations{Skip: body.Skip, Done: body.Done}, err
	case flow.StepFirstSpan:
		var body api.OnboardingFirstSpan
		err := s.bind(c, &body)
		return &flow.FirstSpan{Span: body.Span}, err
	}
	var body api.OnboardingProof
	err := s.bind(c, &body)
	return &flow.Proof{Seq: body.Seq, LeafHash: body.LeafHash, Root: body.Root, Size: body.Size}, err
}

// onboarded is who is brought in, shown by a token of their own or by a login, and
// whether this node may register them.
func (s *Server) onboarded(c echo.Context, body *api.OnboardingIdentity) (flow.Proven, error) {
	if body.Session {
		who, err := s.loginOf(c)(c.Request().Context())
		return flow.Proven{Identity: who}, err
	}
	if body.Token == "" {
		return flow.Proven{}, errProve
	}
	ctx := c.Request().Context()
	events := make([][]byte, len(body.Events))
	for i, e := range body.Events {
		events[i] = e
	}
	inception, err := founding(events)
	if err != nil {
		return flow.Proven{}, err
	}
	identity := inception.IdentityID()
	registered := false
	signer, err := s.signerOf(c.Request(), body.Token, func(who string) (*id.Chain, error) {
		if who != identity {
			return nil, errProofOther
		}
		known, err := s.deps.Directory.Chain(ctx, who)
		if fault.KindOf(err) == fault.NotFound {
			return foldEvents(events, s.verify)
		}
		registered = err == nil
		return known, err
	})
	if err == nil {
		err = manages(signer)
	}
	if err == nil && !registered {
		err = s.admitted(c, invite.Founded(inception), body.Admission)
	}
	if err == nil {
		err = s.countCaller(c, signer, 1)
	}
	return flow.Proven{Identity: identity, Key: signer.Key.Key}, uniform(err)
}

// loginOf is the login whose cookie comes with a request, beside the session's own
// token: it has to be fresh, of an identity whose keys the node holds.
func (s *Server) loginOf(c echo.Context) flow.Login {
	return func(context.Context) (string, error) {
		token, err := s.cookie(c)
		if err != nil {
			return "", err
		}
		if token == "" {
			return "", errNoLogin
		}
		who, err := s.callerOf(c, token)
		if err == nil {
			err = manages(who)
		}
		if err == nil {
			err = s.countCaller(c, who, 1)
		}
		return who.Identity, err
	}
}

// joinBy joins a tenant by an invitation.
func (s *Server) joinBy(c echo.Context, invitation string) func(context.Context, string) (flow.Joined, error) {
	return func(ctx context.Context, identity string) (flow.Joined, error) {
		token, err := s.invitationToken(c, invitation)
		if err != nil {
			return flow.Joined{}, err
		}
		grant, err := s.deps.Invitations.Accept(ctx, token, identity)
		return flow.Joined{Tenant: grant.Tenant, Role: grant.Role}, err
	}
}

// admitted says whether an identity that the node does not know may be registered.
func (s *Server) admitted(c echo.Context, who invite.Newcomer, admission string) error {
	if s.deps.OpenRegistration {
		return nil
	}
	if begins, err := s.deps.Onboarding.Begins(c.Request().Context(), admission); begins || err != nil {
		return err
	}
	return s.letIn(c, admission, who)
}

func (s *Server) onboardingSession(in *flow.Session) api.OnboardingSession {
	out := api.OnboardingSession{
		Id: in.ID, Road: api.OnboardingSessionRoad(in.Road), Expires: span.FormatTime(in.Expires), Node: s.deps.Node.ID(), Registration: s.registration(),
		Identity: in.Identity, Tenant: in.Tenant, Complete: in.Complete, Steps: make([]api.OnboardingStep, len(in.Steps)),
	}
	for i := range in.Steps {
		out.Steps[i] = onboardingStep(&in.Steps[i])
	}
	return out
}

func onboardingStep(in *flow.Step) api.OnboardingStep {
	out := api.OnboardingStep{
		Step: api.OnboardingStepStep(in.Name), Status: api.OnboardingStepStatus(in.Status), Identity: in.Identity, Held: in.Held, Joined: in.Joined, Role: in.Role,
		Method: in.Method, Template: in.Template, Version: in.Version, Span: in.Span, LeafHash: in.Leaf, Root: in.Root, Size: in.Size,
	}
	if in.Leaf != "" {
		out.Seq = &in.Seq
	}
	if in.Tenant != nil {
		t := tenantOf(*in.Tenant)
		out.Tenant = &t
	}
	for _, d := range in.Drafts {
		out.Drafts = append(out.Drafts, api.OnboardingDraft{
			Id: d.ID, Type: d.Type, Visibility: api.OnboardingDraftVisibility(d.Visibility), Title: d.Title, Subject: d.Subject, Tags: d.Tags, Payload: d.Payload,
			Missing: slices.Contains(in.Missing, d.ID),
		})
	}
	return out
}
