package client

import (
	"context"
	"time"

	"github.com/danvoulez/logline/client/openapi"
)

// Models of identities in a node's custody, API keys and signatures.
type (
	APIKey         = openapi.APIKey
	NewAPIKey      = openapi.NewAPIKey
	Labels         = openapi.Labels
	SignatureCheck = openapi.SignatureCheck
	Verdict        = openapi.Verdict
)

// MakeHeld has the node make an identity and hold its keys for the caller. It is
// not repeatable: each call makes another identity.
func (c *Client) MakeHeld(ctx context.Context, subject, handle, name string) (*Identity, error) {
	return value[Identity](c.api.RegisterIdentity(ctx, Registration{
		Custody: true, Subject: openapi.RegistrationSubject(subject), Handle: handle, Name: name,
	}, c.edit))
}

// RotateHeld has the node rotate the key of an identity in its custody.
func (c *Client) RotateHeld(ctx context.Context, identity string) (*KeyEventAdded, error) {
	return value[KeyEventAdded](c.api.RotateIdentity(ctx, path(identity), c.edit))
}

// RevokeHeld has the node end an identity in its custody for good.
func (c *Client) RevokeHeld(ctx context.Context, identity, reason string) (*KeyEventAdded, error) {
	return value[KeyEventAdded](c.api.RevokeIdentity(ctx, path(identity), openapi.Revocation{Reason: reason}, c.edit))
}

// SetLabels changes or erases an identity's handle and name.
func (c *Client) SetLabels(ctx context.Context, identity string, labels Labels) (*Identity, error) {
	return value[Identity](c.api.SetIdentity(ctx, path(identity), labels, c.edit))
}

// Erase erases an identity's handle and name.
func (c *Client) Erase(ctx context.Context, identity string) (*Identity, error) {
	return value[Identity](c.api.EraseIdentity(ctx, path(identity), c.edit))
}

// CreateAPIKey makes an API key of an identity; its Key is in this answer alone.
func (c *Client) CreateAPIKey(ctx context.Context, identity string, terms NewAPIKey) (*APIKey, error) {
	return value[APIKey](c.api.CreateAPIKey(ctx, path(identity), terms, c.edit))
}

// APIKeys lists every API key of an identity, the revoked and expired ones too.
func (c *Client) APIKeys(ctx context.Context, identity string) ([]APIKey, error) {
	var all []APIKey
	for cursor := ""; ; {
		page, err := value[openapi.APIKeyPage](c.api.ListAPIKeys(ctx, path(identity), &openapi.ListAPIKeysParams{Cursor: optional(cursor)}, c.edit))
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

// APIKey shows one API key of an identity.
func (c *Client) APIKey(ctx context.Context, identity, key string) (*APIKey, error) {
	return value[APIKey](c.api.GetAPIKey(ctx, path(identity), path(key), c.edit))
}

// RotateAPIKey makes an API key that takes the place of another, which stays good
// for overlap; expires is the new one's end, "" for a life as long as the old
// one's. Its Key is in this answer alone.
func (c *Client) RotateAPIKey(ctx context.Context, identity, key string, overlap time.Duration, expires string) (*APIKey, error) {
	return value[APIKey](c.api.RotateAPIKey(ctx, path(identity), path(key), openapi.APIKeyRotation{Overlap: overlap.String(), Expires: expires}, c.edit))
}

// RevokeAPIKey ends an API key at once and for good.
func (c *Client) RevokeAPIKey(ctx context.Context, identity, key string) (*APIKey, error) {
	return value[APIKey](c.api.RevokeAPIKey(ctx, path(identity), key, c.edit))
}

// VerifySignature asks the node who signed a message, as it knows them now.
func (c *Client) VerifySignature(ctx context.Context, check SignatureCheck) (*Verdict, error) {
	return value[Verdict](c.api.VerifySignatures(ctx, openapi.SignatureChecks{
		Identity: check.Identity, Key: check.Key, Message: check.Message, MessageB64u: check.MessageB64u, Signature: check.Signature,
	}, c.plain))
}
