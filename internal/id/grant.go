package id

import (
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// Grant is what a key may do now.
type Grant struct {
	Key     string   // b64u public key
	Label   string   // of the delegation
	Types   []string // patterns named by the delegation; none: any but logline.*
	Expires string   // first instant at which it no longer holds, "" for never
	Custody string   // node that holds the private key, "" for the owner
	Primary bool
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

// MayAuthenticate says whether key may sign bearer tokens at now: the primary,
// or a delegated key with logline.api named exactly. Codes as MaySign, kind
// Unauthenticated.
func (c *Chain) MayAuthenticate(key string, now time.Time) error {
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
