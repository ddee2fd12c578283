package id

import (
	"time"

	"github.com/danvoulez/logline/internal/span"
)

// Statuses of an identity.
const (
	StatusActive  = "active"
	StatusRevoked = "revoked"
	StatusClaimed = "claimed"
)

// Chain is an identity folded from its key events, in order: which keys are
// valid after the last of them. It knows no clock: the caller says at which
// time it asks. The JSON form is deterministic and reads back equal. Not safe
// for concurrent changes; reading concurrently is safe.
type Chain struct {
	s chainState
}

// Grant is what a key may do now.
type Grant struct {
	Key     string   // b64u public key
	Label   string   // of the delegation
	Types   []string // patterns named by the delegation; none: any but logline.*
	Expires string   // first instant at which it no longer holds, "" for never
	Custody string   // node that holds the private key, "" for the owner
	Primary bool
}

// Begin starts a chain with its inception, whose signature it checks.
func Begin(inception *Event, v Verifier) (*Chain, error) { return begin(inception, v) }

// Apply takes the next event. claimer is the chain of the identity that a
// claim names in `by`, nil when it is unknown (the claim is then refused); it
// is not used for other kinds. An identical repeat of a standing delegation is
// no error and changes nothing. After an error the chain is as before.
func (c *Chain) Apply(e *Event, v Verifier, claimer *Chain) (changed bool, err error) {
	return c.apply(e, v, claimer)
}

// ID is the LogLine ID, which never changes.
func (c *Chain) ID() string { return c.s.ID }

// Subject is what kind of actor it is.
func (c *Chain) Subject() string { return c.s.Subject }

// Status is "active", "revoked" or "claimed".
func (c *Chain) Status() string { return c.s.Status }

// Primary is the b64u public key of the last inception or rotation.
func (c *Chain) Primary() string { return c.s.Primary }

// Head is the hash of the last inception, rotation, revocation or claim: what
// the next event names in `prev`, and delegations in `under`.
func (c *Chain) Head() span.Hash { return c.s.Head.Hash }

// Len counts all events taken, delegations included.
func (c *Chain) Len() int { return c.s.Len }

// Custody is the node that holds the primary's private key, "" for none.
func (c *Chain) Custody() string { return c.s.Custody }

// Expires is the first instant at which a ghost can no longer sign; "" for all
// other identities.
func (c *Chain) Expires() string { return c.s.Expires }

// ClaimedBy is the identity that a claimed ghost became part of, or "".
func (c *Chain) ClaimedBy() string { return c.s.ClaimedBy }

// MayAuthenticate says whether key may sign bearer tokens at now: the primary,
// or a delegated key with logline.api named exactly.
func (c *Chain) MayAuthenticate(key string, now time.Time) error { return c.mayAuthenticate(key, now) }
