package client

import (
	"context"

	"github.com/danvoulez/logline/client/openapi"
)

// What invitations are made of.
type (
	NewInvitation        = openapi.NewInvitation
	Invitation           = openapi.Invitation
	InvitationMail       = openapi.InvitationMail
	InvitationToken      = openapi.InvitationToken
	InvitationPreview    = openapi.InvitationPreview
	InvitationAcceptance = openapi.InvitationAcceptance
	InvitationGrant      = openapi.InvitationGrant
)

// Invite makes an invitation to a tenant, which the caller has signed.
func (c *Client) Invite(ctx context.Context, tenant string, i NewInvitation) (*Invitation, error) {
	return value[Invitation](c.api.CreateInvitation(ctx, tenant, i, c.edit))
}

// Invitations are all of a tenant's, the oldest first, those that are over too.
func (c *Client) Invitations(ctx context.Context, tenant string) ([]Invitation, error) {
	var all []Invitation
	for cursor := ""; ; {
		page, err := value[openapi.InvitationPage](c.api.ListInvitations(ctx, tenant, &openapi.ListInvitationsParams{Cursor: optional(cursor)}, c.edit))
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == nil {
			return all, nil
		}
		cursor = *page.Next
	}
}

// RevokeInvitation withdraws an invitation.
func (c *Client) RevokeInvitation(ctx context.Context, tenant, invitation string) (*Invitation, error) {
	return value[Invitation](c.api.RevokeInvitation(ctx, tenant, invitation, c.edit))
}

// RequestCode has a code mailed that lets one identity register, if there is anything
// to mail: the node does not say.
func (c *Client) RequestCode(ctx context.Context, email string) error {
	_, err := value[openapi.Health](c.api.RequestCode(ctx, openapi.CodeRequest{Email: email}, c.plain))
	return err
}

// LookAtInvitation says what the invitation of a token would give.
func (c *Client) LookAtInvitation(ctx context.Context, token string) (*InvitationPreview, error) {
	return value[InvitationPreview](c.api.LookAtInvitation(ctx, InvitationToken{Token: token}, c.plain))
}

// AcceptInvitation takes the role of an invitation: for the identity whose events
// are in it, or else for the caller.
func (c *Client) AcceptInvitation(ctx context.Context, a InvitationAcceptance) (*InvitationGrant, error) {
	return value[InvitationGrant](c.api.AcceptInvitation(ctx, a, c.edit))
}
