package id

import (
	"crypto/ed25519"
	"slices"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Begin starts a chain with its inception, whose signature it checks. Codes:
// inception_expected, signer_wrong, signature_invalid.
func Begin(e *Event, v Verifier) (*Chain, error) {
	if e.Kind != KindInception {
		return nil, fault.Newf(fault.Invalid, "inception_expected", "an identity begins with an inception, not with %q", e.Kind).
			At("/kind", "must be \"inception\"")
	}
	if err := e.signedBy(e.Key, v); err != nil {
		return nil, err
	}
	head := hashText{e.SealedHash()}
	return &Chain{chainState{
		ID: e.IdentityID(), Subject: e.Subject, Status: StatusActive, Primary: e.Key, Next: e.Next,
		Head: head, Under: head, Len: 1, Custody: e.Custody, Expires: e.Expires,
	}}, nil
}

// Apply takes the next event (PROTOCOL §2). claimer is the chain of the
// identity that a claim names in `by`, nil when it is unknown (the claim is
// then refused); it is not used for other kinds. An identical repeat of a
// standing delegation is no error and changes nothing. After an error the chain
// is as before.
func (c *Chain) Apply(e *Event, v Verifier, claimer *Chain) (changed bool, err error) {
	switch c.s.Status {
	case StatusRevoked:
		return false, fault.New(fault.Conflict, "identity_revoked", "the identity is revoked; nothing follows a revocation")
	case StatusClaimed:
		return false, errClaimed(c.s.ClaimedBy)
	}
	switch e.Kind {
	case KindDelegate:
		return c.applyDelegate(e, v)
	case KindUndelegate:
		err := c.applyUndelegate(e, v)
		return err == nil, err
	case KindRotation, KindRevocation, KindClaim:
		if err := c.follows(e); err != nil {
			return false, err
		}
	default:
		return false, fault.New(fault.Conflict, "inception_repeated", "an identity has one inception; this one follows another").
			At("/kind", "must not be \"inception\"")
	}
	switch e.Kind {
	case KindRotation:
		err = c.applyRotation(e, v)
	case KindRevocation:
		err = c.applyRevocation(e, v)
	case KindClaim:
		err = c.applyClaim(e, v, claimer)
	}
	if err != nil {
		return false, err
	}
	c.s.Seq, c.s.Head = e.Seq, hashText{e.SealedHash()}
	c.s.Len++
	return true, nil
}

// follows says whether e is the numbered event right after the head.
func (c *Chain) follows(e *Event) error {
	if e.Seq != c.s.Seq+1 {
		return fault.Newf(fault.Conflict, "event_seq", "the next event of this identity has seq %d, not %d; fetch its events and sign again", c.s.Seq+1, e.Seq).
			At("/seq", "is not the next")
	}
	if e.Prev != c.s.Head.String() {
		return fault.New(fault.Conflict, "event_prev", "prev does not name this identity's last event; fetch its events and sign again").
			At("/prev", "must be "+c.s.Head.String())
	}
	return nil
}

func (c *Chain) applyRotation(e *Event, v Verifier) error {
	if c.s.Next == "" {
		return fault.New(fault.Invalid, "rotation_of_ghost", "a ghost's key never rotates; claim it or revoke it")
	}
	if commitment(e.Key) != c.s.Next {
		return fault.New(fault.Invalid, "rotation_not_committed", "the new key is not the one that the previous event committed to").
			At("/key", "its hash must be "+c.s.Next)
	}
	if err := e.signedBy(e.Key, v); err != nil {
		return err
	}
	c.s.Former = append(c.s.Former, c.s.Primary)
	for _, d := range c.s.Delegated {
		c.s.Former = append(c.s.Former, d.Key)
	}
	c.s.Primary, c.s.Next, c.s.Under, c.s.Delegated = e.Key, e.Next, hashText{e.SealedHash()}, nil
	return nil
}

func (c *Chain) applyRevocation(e *Event, v Verifier) error {
	if c.s.Next != "" {
		if commitment(e.Signature.Key) != c.s.Next {
			return fault.New(fault.Invalid, "signer_wrong", "a revocation is signed by the next key, the one that the last event committed to").
				At("/signature/key", "its hash must be "+c.s.Next)
		}
		if err := e.signedBy(e.Signature.Key, v); err != nil {
			return err
		}
	} else if err := e.signedBy(c.s.Primary, v); err != nil {
		return err
	}
	c.s.Status = StatusRevoked
	return nil
}

func (c *Chain) applyClaim(e *Event, v Verifier, claimer *Chain) error {
	if c.s.Subject != SubjectGhost {
		return fault.Newf(fault.Invalid, "claim_not_ghost", "only a ghost can be claimed; this identity is of subject %q", c.s.Subject)
	}
	if e.By == c.s.ID {
		return fault.New(fault.Invalid, "claim_of_itself", "an identity cannot claim itself").At("/by", "names the ghost itself")
	}
	if claimer == nil || claimer.ID() != e.By {
		return fault.New(fault.Invalid, "claimer_unknown", "the claiming identity is not known here; register it first").At("/by", "is unknown")
	}
	if claimer.Status() != StatusActive {
		return fault.Newf(fault.Invalid, "claimer_not_active", "the claiming identity is %s", claimer.Status()).At("/by", "is not active")
	}
	if err := e.signedBy(c.s.Primary, v); err != nil {
		return err
	}
	if e.Counter.Key != claimer.Primary() {
		return fault.New(fault.Invalid, "counter_signer_wrong", "a claim is counter-signed by the claiming identity's primary key").
			At("/counter/key", "must be "+claimer.Primary())
	}
	if err := verifySignature(v, e.Message(), e.Counter, "counter"); err != nil {
		return err
	}
	c.s.Status, c.s.ClaimedBy = StatusClaimed, e.By
	return nil
}

func (c *Chain) applyDelegate(e *Event, v Verifier) (changed bool, err error) {
	if err := c.standsUnder(e, v); err != nil {
		return false, err
	}
	hash := e.SealedHash()
	if d := c.delegation(e.Key); d != nil {
		switch {
		case d.Ended:
			return false, fault.New(fault.Conflict, "delegation_ended", "this key's delegation was withdrawn for good; rotate the primary before delegating it again").At("/key", "was undelegated")
		case d.Event.Hash == hash:
			return false, nil
		}
		return false, fault.New(fault.Conflict, "delegation_exists", "this key is already delegated under this event, with other terms; undelegate it and delegate another key").At("/key", "is delegated")
	}
	c.s.Delegated = append(c.s.Delegated, delegation{
		Key: e.Key, Event: hashText{hash}, Label: e.Label, Types: slices.Clone(e.Types), Expires: e.Expires, Custody: e.Custody,
	})
	c.s.Len++
	return true, nil
}

func (c *Chain) applyUndelegate(e *Event, v Verifier) error {
	if err := c.standsUnder(e, v); err != nil {
		return err
	}
	d := c.delegation(e.Key)
	if d == nil || d.Ended {
		return fault.New(fault.Conflict, "delegation_unknown", "this key is not delegated now; there is nothing to withdraw").At("/key", "is not delegated")
	}
	c.s.Delegated = slices.Clone(c.s.Delegated)
	c.delegation(e.Key).Ended = true
	c.s.Len++
	return nil
}

// standsUnder says whether e names the last inception or rotation and is
// signed by the primary.
func (c *Chain) standsUnder(e *Event, v Verifier) error {
	if e.Under != c.s.Under.String() {
		return fault.New(fault.Conflict, "event_under", "under does not name this identity's last inception or rotation; fetch its events and sign again").
			At("/under", "must be "+c.s.Under.String())
	}
	return e.signedBy(c.s.Primary, v)
}

func (c *Chain) delegation(key string) *delegation {
	for i := range c.s.Delegated {
		if c.s.Delegated[i].Key == key {
			return &c.s.Delegated[i]
		}
	}
	return nil
}

// signedBy says whether e's signature is by key and verifies.
func (e *Event) signedBy(key string, v Verifier) error {
	if e.Signature.Key != key {
		return fault.Newf(fault.Invalid, "signer_wrong", "a key event of kind %q must be signed by another key", e.Kind).
			At("/signature/key", "must be "+key)
	}
	return verifySignature(v, e.Message(), e.Signature, "signature")
}

// commitment is b64u(H(raw key)) for a b64u public key, "" for a malformed one.
func commitment(key string) string {
	raw, err := span.ParseB64(key, ed25519.PublicKeySize)
	if err != nil {
		return ""
	}
	return span.Sum(raw).String()
}

func errClaimed(by string) error {
	return fault.Newf(fault.Conflict, "identity_claimed", "the identity was claimed by %s; nothing follows a claim", by)
}
