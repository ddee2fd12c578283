package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danvoulez/logline/client/openapi"
)

// Models of onboarding: how somebody is brought in, step by step.
type (
	OnboardingSession     = openapi.OnboardingSession
	OnboardingStep        = openapi.OnboardingStep
	OnboardingDraft       = openapi.OnboardingDraft
	OnboardingIdentity    = openapi.OnboardingIdentity
	OnboardingTenant      = openapi.OnboardingTenant
	OnboardingRecovery    = openapi.OnboardingRecovery
	OnboardingTemplate    = openapi.OnboardingTemplate
	OnboardingInvitations = openapi.OnboardingInvitations
	OnboardingFirstSpan   = openapi.OnboardingFirstSpan
	OnboardingProof       = openapi.OnboardingProof
)

// BeginOnboarding opens a session by a road (terminal, page or api). Its Token is in
// this answer alone, and opens this session and nothing else.
func (c *Client) BeginOnboarding(ctx context.Context, road string) (*OnboardingSession, error) {
	return value[OnboardingSession](c.api.CreateOnboardingSession(ctx, openapi.NewOnboardingSession{Road: openapi.NewOnboardingSessionRoad(road)}, c.plain))
}

// Onboarding shows how far a session is.
func (c *Client) Onboarding(ctx context.Context, session, token string) (*OnboardingSession, error) {
	return value[OnboardingSession](c.api.GetOnboardingSession(ctx, session, c.by(token)))
}

// PutOnboardingStep does a step of a session; body is one of the models above. The
// same again is harmless, and answered the same.
func (c *Client) PutOnboardingStep(ctx context.Context, session, token, step string, body any) (*OnboardingStep, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return value[OnboardingStep](c.api.PutOnboardingStepWithBody(ctx, session, step, "application/json", bytes.NewReader(raw), c.by(token)))
}

// by sends exactly this credential, and never the caller's own.
func (c *Client) by(token string) openapi.RequestEditorFn {
	return func(ctx context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+token)
		return c.plain(ctx, req)
	}
}

var errNoSigner = errors.New("this client has no key to sign a token with")

// Token is a short-lived token of the caller's own, as requests carry one; for bodies
// that ask for it.
func (c *Client) Token(ctx context.Context) (string, error) {
	if c.token.signer == nil {
		return "", errNoSigner
	}
	return c.token.get(ctx, c)
}
