package invite

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const heldDomain = "logline.invitation.held.v1\n"

// tellCreated signs what tells of a new invitation for an inviter in custody. All
// of it follows from the terms, so that the same terms again make the same span.
func (s *Service) tellCreated(ctx context.Context, tenant, by string, t *Terms) error {
	held, err := s.keys.Held(ctx, by)
	if err != nil {
		return err
	}
	return s.tellHeld(ctx, held, span.Header{ID: t.ID, Tenant: tenant, Author: by, Type: TypeCreated, Time: span.FormatTime(timeOf(t.ID))},
		t.told())
}

// tellRevoked signs what tells that an invitation is withdrawn, for whoever did so
// and is in custody.
func (s *Service) tellRevoked(ctx context.Context, i *Invitation) error {
	held, err := s.keys.Held(ctx, i.RevokedBy)
	if err != nil {
		return err
	}
	at, err := span.ParseTime(i.RevokedAt)
	if err != nil {
		return err
	}
	h := span.Header{ID: span.NewID(at, [10]byte(derived(held, TypeRevoked+i.ID))), Tenant: i.Tenant, Author: i.RevokedBy, Type: TypeRevoked, Time: i.RevokedAt, Causes: []string{i.ID}}
	return s.tellHeld(ctx, held, h, Withdrawn{i.ID})
}

func (s *Service) tellHeld(ctx context.Context, held id.Held, h span.Header, told any) error {
	payload, err := span.Canonical(told)
	if err != nil {
		return err
	}
	h.Status, h.Visibility = span.StatusExecuted, span.VisibilityOrganization
	sp, err := id.SealSpan(held, h, payload, derived(held, h.ID))
	if err != nil {
		return err
	}
	_, err = s.log.Append(ctx, h.Tenant, sp.Canonical())
	return err
}

// derived is 16 bytes that only the node can know, and always the same.
func derived(held id.Held, of string) []byte {
	mac := hmac.New(sha256.New, held.Secret)
	mac.Write([]byte(heldDomain + of))
	return mac.Sum(nil)[:16]
}

// timeOf is the time in a UUIDv7.
func timeOf(uuid string) time.Time {
	ms, err := strconv.ParseInt(strings.ReplaceAll(uuid, "-", "")[:12], 16, 64)
	if err != nil {
		return time.Time{} // it is a UUID, says Terms.check
	}
	return time.UnixMilli(ms)
}
