package invite

import (
	"context"
	"crypto/sha256"
	"io"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/mail"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// What tells of invitations in a timeline.
const (
	TypeCreated = "invitation.created" // payload: Told; its id is the invitation's
	TypeRevoked = "invitation.revoked" // payload: Withdrawn; its cause is the above
	Label       = "invitation"         // of the delegation to the key that signs the grant
)

const (
	// MaxOpen bounds the invitations of a tenant that can still be accepted.
	MaxOpen = 1000
	// MaxLife is the longest that an invitation may last.
	MaxLife = 30 * 24 * time.Hour
	// kept is how long after its end an invitation is listed.
	kept = 90 * 24 * time.Hour
)

// States of an invitation.
const (
	Open     = "open"
	Accepted = "accepted"
	Revoked  = "revoked"
	Expired  = "expired"
)

var (
	// ErrInvalid is the one answer for a token that gives nothing: unknown, used by
	// somebody else, withdrawn, ended, or of an inviter who may not grant the role
	// any more. Which of them it is would tell whoever tries.
	ErrInvalid = fault.New(fault.NotFound, "invitation_invalid",
		"this invitation gives nothing: there is no such one, or it was used, withdrawn or has ended; ask whoever invited you for another")
	// ErrUnknown is the answer to the tenant's own people.
	ErrUnknown = fault.New(fault.NotFound, "invitation_unknown", "the tenant has no such invitation")
	errUsed    = fault.New(fault.Conflict, "invitation_accepted",
		"the invitation was accepted already; withdraw the role instead: logline member withdraw")
	errRole = fault.New(fault.Forbidden, "role_forbidden", "invitations are for the tenant's owners and admins, those to be an owner for owners alone")
)

// Timeline is what invitations ask of the timelines. Its methods are safe for
// concurrent use.
type Timeline interface {
	// Tenant finds one by id.
	Tenant(ctx context.Context, tenant string) (timeline.Tenant, error)
	// Standing says who holds which keys and roles in one now.
	Standing(ctx context.Context, tenant string) (standing.View, error)
	// Append records a signed span; the same again is answered as the first time.
	// pending says that contracts want more than the signature.
	Append(ctx context.Context, tenant string, raw []byte) (pending bool, err error)
	// Embed takes a key event into the directory and into all timelines that hold
	// the identity; the same again changes nothing.
	Embed(ctx context.Context, identity string, event []byte) error
}

// Directory knows identities. *id.Directory implements it.
type Directory interface {
	Chain(ctx context.Context, identity string) (*id.Chain, error)
}

// Keys unseals what signs for an identity in this node's custody; not_found
// not_in_custody for any other. *id.Custody implements it.
type Keys interface {
	Held(ctx context.Context, identity string) (id.Held, error)
}

// Invitation is one, without its secrets.
type Invitation struct {
	ID, Tenant, Role        string
	Inviter                 string // LogLine ID
	Signer                  string // public key that signs the grant; "": the inviter's own, in custody
	CreatedAt, ExpiresAt    string
	State                   string // Open …
	Uses, Used              int    // by how many visitors, and by how many it was; 0: it is for one person
	AcceptedBy, AcceptedAt  string
	RevokedBy, RevokedAt    string
	MailedAt, MailProblem   string // "" where this node mailed nothing, or had no problem
	GrantID                 string // of the span that grants the role
	hash, sealed, grantSpan []byte
	admitted                string
}

// Postman hands over a message, once; its errors are for whoever asked. *mail.Sender
// implements it.
type Postman interface {
	Send(ctx context.Context, m mail.Message) error
}

// Config of a Service.
type Config struct {
	Mail Postman // nil: the node sends no mail
	Page string  // where links begin (Link); "": nobody has said, and nothing is mailed
	Now  func() time.Time
	Rand io.Reader
}

// Service is safe for concurrent use, also by several processes: of those who use
// one token exactly one gets the role.
type Service struct {
	db   *storage.DB
	log  Timeline
	dir  Directory
	keys Keys
	cfg  Config
}

// New works on a migrated database; it starts nothing.
func New(db *storage.DB, log Timeline, dir Directory, keys Keys, cfg Config) *Service {
	return &Service{db: db, log: log, dir: dir, keys: keys, cfg: cfg}
}

// Terms are what an inviter asks for. Span, Delegation and Sealed are the
// inviter's own signatures; without them the node signs, for an inviter in its
// custody.
type Terms struct {
	ID         string // UUIDv7, of the span
	Role       string
	ExpiresAt  string
	Uses       int    // visitors that it lets in; 0: it is for one person
	Hash       []byte // of the token
	Sealed     []byte // seed of the delegated key
	Span       []byte // invitation.created, sealed
	Delegation []byte // key event, sealed
}

// Told is the payload of invitation.created: no address and no name.
type Told struct {
	Invitation string `json:"invitation"`
	Role       string `json:"role"`
	Expires    string `json:"expires"`
	Uses       int    `json:"uses,omitzero"`
}

func (t *Terms) told() Told { return Told{t.ID, t.Role, t.ExpiresAt, t.Uses} }

// Withdrawn is the payload of invitation.revoked.
type Withdrawn struct {
	Invitation string `json:"invitation"`
}

// Create takes an invitation by somebody who is proven. The same again is
// answered as the first time. Codes: role_forbidden, invitation_conflict,
// invitation_mismatch, role_malformed, expires_malformed, expires_too_late,
// invitation_uses, invitation_uses_role, invitations_too_many, not_in_custody, and what the timeline says to the span
// and the key event.
func (s *Service) Create(ctx context.Context, tenant timeline.Tenant, by string, t Terms) (Invitation, error) {
	now := s.cfg.Now()
	if err := t.check(now); err != nil {
		return Invitation{}, err
	}
	known, err := s.get(ctx, tenant.ID, t.ID)
	switch {
	case err == nil:
		return known, known.same(by, &t)
	case fault.KindOf(err) != fault.NotFound:
		return Invitation{}, err
	}
	view, err := s.log.Standing(ctx, tenant.ID)
	if err != nil {
		return Invitation{}, err
	}
	if !mayGrant(view, by, t.Role) {
		return Invitation{}, errRole
	}
	signer, err := s.tell(ctx, tenant.ID, by, &t)
	if err != nil {
		return Invitation{}, err
	}
	return s.insert(ctx, Invitation{
		ID: t.ID, Tenant: tenant.ID, Role: t.Role, Inviter: by, Signer: signer, CreatedAt: span.FormatTime(now), ExpiresAt: t.ExpiresAt,
		State: Open, Uses: t.Uses, hash: t.Hash, sealed: t.Sealed,
	}, &t)
}

// mayGrant says whether somebody may grant a role now.
func mayGrant(view standing.View, who, role string) bool {
	if role == span.RoleOwner {
		return view.Can(who, standing.RightOwn)
	}
	return view.Can(who, standing.RightAdminister)
}

func (t *Terms) check(now time.Time) error {
	switch {
	case !span.IsUUIDv7(t.ID):
		return fault.New(fault.Invalid, "invitation_id", "an invitation's id is that of its span, a UUIDv7 in lower case").At("/id", "is no UUIDv7")
	case !span.ValidRole(t.Role):
		return fault.New(fault.Invalid, "role_malformed", "a role has 1 to 64 of a-z, 0-9, - and _, and begins with a letter").At("/role", "is no role")
	case t.Uses < 0 || t.Uses > MaxUses:
		return fault.Newf(fault.Invalid, "invitation_uses", "a door lets 1 to %d visitors in; leave uses out for an invitation of one person", MaxUses).At("/uses", "is out of bounds")
	case t.Uses > 0 && t.Role != span.RoleGuest:
		return fault.New(fault.Invalid, "invitation_uses_role", "visitors are guests; an invitation to another role is for one person").At("/role", "must be guest where uses are given")
	case len(t.Hash) != sha256.Size:
		return fault.New(fault.Invalid, "invitation_hash", "the hash of a token has 32 bytes").At("/token_hash", "is no hash")
	}
	if _, err := span.ParseTime(t.ExpiresAt); err != nil || t.ExpiresAt <= span.FormatTime(now) {
		return fault.New(fault.Invalid, "expires_malformed", "expires is a time to come, of the form YYYY-MM-DDTHH:MM:SS.mmmZ").At("/expires", "is no time to come")
	}
	if t.ExpiresAt > span.FormatTime(now.Add(MaxLife)) {
		return fault.New(fault.Invalid, "expires_too_late", "an invitation lasts 30 days at most; ask for an earlier end").At("/expires", "is too late")
	}
	return nil
}

func (i *Invitation) same(by string, t *Terms) error {
	if i.Inviter != by || i.Role != t.Role || i.ExpiresAt != t.ExpiresAt || i.Uses != t.Uses || !slices.Equal(i.hash, t.Hash) {
		return fault.New(fault.Conflict, "invitation_conflict", "another invitation has this id; make a new one").At("/id", "is taken")
	}
	return nil
}

// tell has the timeline tell of the invitation, and says which key will sign the
// grant, "" for the inviter's own.
func (s *Service) tell(ctx context.Context, tenant, by string, t *Terms) (signer string, err error) {
	if len(t.Span)+len(t.Delegation)+len(t.Sealed) == 0 {
		return "", s.tellCreated(ctx, tenant, by, t)
	}
	if err := t.checkSpan(tenant, by); err != nil {
		return "", err
	}
	if signer, err = t.checkDelegation(); err != nil {
		return "", err
	}
	if err := s.log.Embed(ctx, by, t.Delegation); err != nil {
		return "", err
	}
	_, err = s.log.Append(ctx, tenant, t.Span)
	return signer, err
}

func mismatch(pointer, detail string) error {
	return fault.New(fault.Invalid, "invitation_mismatch", "what was signed is not what is asked for; sign again").At(pointer, detail)
}

// checkSpan holds the span against the terms; its signature is the timeline's to judge.
func (t *Terms) checkSpan(tenant, by string) error {
	sp, err := span.Parse(t.Span, span.Limits{})
	if err != nil {
		return err
	}
	want, err := span.Canonical(t.told())
	switch {
	case err != nil:
		return err
	case sp.ID != t.ID:
		return mismatch("/span/id", "is not the invitation's id")
	case sp.Type != TypeCreated:
		return mismatch("/span/type", "must be "+TypeCreated)
	case sp.Author != by:
		return mismatch("/span/author", "is not who asks")
	case sp.Tenant != tenant:
		return mismatch("/span/tenant", "is another tenant")
	case sp.Status != span.StatusExecuted:
		return mismatch("/span/status", "must be executed")
	case string(sp.Payload) != string(want):
		return mismatch("/span/payload", `must be {"invitation", "role", "expires"}, with "uses" for a door, as asked for, and nothing else`)
	}
	return nil
}

// checkDelegation holds the key event against the terms; its signature is the
// directory's to judge.
func (t *Terms) checkDelegation() (signer string, err error) {
	e, err := id.ParseEvent(t.Delegation)
	switch {
	case err != nil:
		return "", err
	case e.Kind != id.KindDelegate:
		return "", mismatch("/delegation/kind", "must be delegate")
	case !slices.Equal(e.Types, []string{span.TypeMember}):
		return "", mismatch("/delegation/types", "must be logline.member alone")
	case e.Label != Label:
		return "", mismatch("/delegation/label", "must be "+Label)
	case e.Expires != t.ExpiresAt:
		return "", mismatch("/delegation/expires", "is not when the invitation ends")
	case e.Custody != "":
		return "", mismatch("/delegation/custody", "must be left out")
	case len(t.Sealed) != SealedSize:
		return "", mismatch("/sealed", "must be 60 bytes")
	}
	return e.Key, nil
}

// List is at most limit of a tenant's invitations after the one with the id after,
// the oldest first, those that are over too.
func (s *Service) List(ctx context.Context, tenant, after string, limit int) ([]Invitation, error) {
	return s.list(ctx, tenant, after, limit)
}

// Revoke ends an invitation for good and destroys its key; again changes nothing.
// by may be anybody whose right was checked. Codes: invitation_unknown,
// invitation_accepted.
func (s *Service) Revoke(ctx context.Context, tenant, invitation, by string) (Invitation, error) {
	i, err := s.revoke(ctx, tenant, invitation, by)
	if err != nil || i.RevokedBy != by {
		return i, err
	}
	// For whom the node holds keys it signs what tells of it; everybody else does so
	// beside this. That it is withdrawn stands either way.
	err = s.tellRevoked(ctx, &i)
	if fault.CodeOf(err) == "not_in_custody" {
		err = nil
	}
	return i, err
}
