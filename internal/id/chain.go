package id

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
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

// chainState is the folded identity, exported for JSON alone.
type chainState struct {
	ID        string       `json:"id"`
	Subject   string       `json:"subject"`
	Status    string       `json:"status"`
	Primary   string       `json:"primary"`
	Next      string       `json:"next,omitempty"` // commitment to the next primary
	Seq       uint64       `json:"seq"`            // of Head
	Head      hashText     `json:"head"`
	Under     hashText     `json:"under"` // last inception or rotation
	Len       int          `json:"len"`
	Custody   string       `json:"custody,omitempty"`
	Expires   string       `json:"expires,omitempty"`
	ClaimedBy string       `json:"claimed_by,omitempty"`
	Delegated []delegation `json:"delegated,omitempty"` // under Under, in order
	Former    []string     `json:"former,omitempty"`    // keys that a rotation ended, in order, for a better answer
}

// delegation is one key delegated under the current event.
type delegation struct {
	Key     string   `json:"key"`
	Event   hashText `json:"event"` // sealed hash: tells an identical repeat
	Label   string   `json:"label,omitempty"`
	Types   []string `json:"types,omitempty"`
	Expires string   `json:"expires,omitempty"`
	Custody string   `json:"custody,omitempty"`
	Ended   bool     `json:"ended,omitempty"` // undelegated, for good under this event
}

// hashText is a hash that is b64u in JSON.
type hashText struct{ span.Hash }

// MarshalText is the b64u form.
func (h hashText) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads the b64u form, strictly.
func (h *hashText) UnmarshalText(text []byte) (err error) {
	h.Hash, err = span.ParseHash(string(text))
	return err
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

// MarshalJSON is a form that UnmarshalJSON reads back to an equal chain; equal
// chains give equal bytes. It is for a node's own storage, not for exchange.
func (c *Chain) MarshalJSON() ([]byte, error) { return json.Marshal(&c.s) }

// UnmarshalJSON reads what MarshalJSON wrote. It does not judge: a chain from
// outside is folded from its events with Begin and Apply, never read.
func (c *Chain) UnmarshalJSON(src []byte) error {
	var s chainState
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("read a stored chain: %w", err)
	}
	if s.ID == "" || s.Status == "" || s.Primary == "" {
		return fault.New(fault.Internal, "chain_malformed", "a stored chain lacks its identity, status or key")
	}
	c.s = s
	return nil
}

// Clone is an independent copy.
func (c *Chain) Clone() *Chain {
	n := *c
	n.s.Delegated = slices.Clone(c.s.Delegated) // Types are never changed in place
	n.s.Former = slices.Clone(c.s.Former)
	return &n
}
