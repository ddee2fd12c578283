package id

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

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

func begin(e *Event, v Verifier) (*Chain, error) {
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

func (c *Chain) apply(e *Event, v Verifier, claimer *Chain) (changed bool, err error) {
	switch c.s.Status {
	case StatusRevoked:
		return false, fault.New(fault.Conflict, "identity_revoked", "the identity is revoked; nothing follows a revocation")
	case StatusClaimed:
		return false, fault.Newf(fault.Conflict, "identity_claimed", "the identity was claimed by %s; nothing follows a claim", c.s.ClaimedBy)
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

// Covers says whether the grant lets its key sign spans of typ (PROTOCOL §2):
// a primary any; a delegated key the types it names, where a reserved type is
// named exactly; without named types any but logline.*.
func (g Grant) Covers(typ string) bool {
	if g.Primary {
		return true
	}
	if span.IsReserved(typ) {
		return slices.Contains(g.Types, typ)
	}
	if len(g.Types) == 0 {
		return true
	}
	return slices.ContainsFunc(g.Types, func(p string) bool { return span.MatchType(p, typ) })
}

// Key is what a key may do if it is valid after the last event: the primary or
// a standing delegation of an active identity. Expiry is the caller's to judge.
func (c *Chain) Key(key string) (Grant, bool) {
	if c.s.Status != StatusActive {
		return Grant{}, false
	}
	if key == c.s.Primary {
		return Grant{Key: key, Expires: c.s.Expires, Custody: c.s.Custody, Primary: true}, true
	}
	d := c.delegation(key)
	if d == nil || d.Ended {
		return Grant{}, false
	}
	expires := d.Expires
	if c.s.Expires != "" && (expires == "" || c.s.Expires < expires) {
		expires = c.s.Expires // a ghost's delegations end with the ghost
	}
	return Grant{Key: key, Label: d.Label, Types: slices.Clone(d.Types), Expires: expires, Custody: d.Custody}, true
}

// Keys are all keys valid after the last event, the primary first.
func (c *Chain) Keys() []Grant {
	var all []Grant
	if g, ok := c.Key(c.s.Primary); ok {
		all = append(all, g)
	}
	for _, d := range c.s.Delegated {
		if g, ok := c.Key(d.Key); ok && !g.Primary {
			all = append(all, g)
		}
	}
	return all
}

// MaySign says whether key may sign a span of typ that is recorded at
// recordedAt (the protocol's time form). Codes: key_unknown, key_rotated,
// key_revoked, key_expired, key_type_not_delegated.
func (c *Chain) MaySign(key, typ, recordedAt string) error {
	g, err := c.current(key, recordedAt)
	if err != nil {
		return err
	}
	if !g.Covers(typ) {
		return fault.Newf(fault.Forbidden, "key_type_not_delegated", "the delegation of this key does not cover type %q; delegate it or sign with another key", typ)
	}
	return nil
}

// current is the grant of a key that is valid at the time, or why it is not.
func (c *Chain) current(key, at string) (Grant, error) {
	g, ok := c.Key(key)
	if !ok {
		return Grant{}, c.whyNot(key)
	}
	if g.Expires != "" && at >= g.Expires {
		return Grant{}, fault.Newf(fault.Forbidden, "key_expired", "the key expired at %s", g.Expires)
	}
	return g, nil
}

func (c *Chain) whyNot(key string) error {
	d := c.delegation(key)
	known := key == c.s.Primary || d != nil && !d.Ended
	switch {
	case known && c.s.Status == StatusRevoked:
		return fault.New(fault.Forbidden, "key_revoked", "the identity is revoked; none of its keys is valid any more")
	case known:
		return fault.Newf(fault.Forbidden, "key_revoked", "the identity was claimed by %s; sign with that identity's key", c.s.ClaimedBy)
	case d != nil:
		return fault.New(fault.Forbidden, "key_revoked", "the delegation of this key was withdrawn")
	case slices.Contains(c.s.Former, key):
		return fault.New(fault.Forbidden, "key_rotated", "the key was valid once; a rotation replaced it. Sign with the current key")
	}
	return fault.New(fault.Forbidden, "key_unknown", "the key is none of this identity's keys")
}

func (c *Chain) mayAuthenticate(key string, now time.Time) error {
	g, err := c.current(key, span.FormatTime(now))
	if err != nil {
		return unauthenticated(err)
	}
	if !g.Primary && !slices.Contains(g.Types, TypeAPI) {
		return fault.Newf(fault.Unauthenticated, "key_type_not_delegated", "this key may not sign tokens; its delegation would have to name %s", TypeAPI)
	}
	return nil
}

// unauthenticated is err as an answer to a credential.
func unauthenticated(err error) error {
	f := fault.From(err)
	return fault.New(fault.Unauthenticated, f.Code, f.Detail).Because(err)
}
