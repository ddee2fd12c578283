package id

import "github.com/danvoulez/logline/internal/fault"

// How a caller proved who it is.
const (
	ByToken   = "token"   // a JWT signed by a key of the identity
	ByAPIKey  = "api_key" // an API key of the identity
	BySession = "session" // a session of the person who signed in
)

// Session is what a session of a person who signed in at this node may do: read
// what its identity may, and, where the node holds that identity's keys, have
// things signed as a delegated key without types could; all that the identity may,
// while it is fresh.
type Session struct {
	ID    string // no secret
	Fresh bool   // the person proved who they are within the last minutes
	Held  bool   // the node holds the keys of the identity
	Due   bool   // the token is old enough to be replaced
}

// Covers says whether the node signs a span of typ for the session.
func (s Session) Covers(typ string) bool { return s.Held && (s.Fresh || Grant{}.Covers(typ)) }

var (
	// ErrSessionStale is for a session that is not fresh.
	ErrSessionStale = fault.New(fault.Forbidden, "session_not_fresh",
		"this session proved itself too long ago for what changes much; sign in again and repeat it within 10 minutes")
	errSessionKeys = fault.New(fault.Forbidden, "session_cannot_sign",
		"the keys of this identity are its own: a session reads; sign with the key, or send a token signed by it")
	// ErrUnsigned is for whoever signs for itself.
	ErrUnsigned = fault.New(fault.Forbidden, "events_unsigned",
		"events are signed here for identities in this node's custody, by their API keys and sessions; you hold your own keys, so sign a span and send it to …/spans")
)

// Credential is who a caller proved to be, by what, and how far that goes: a
// token signed by a key of the identity, one of its API keys, or a session. The
// zero value is nobody.
type Credential struct {
	How      string   // ByToken …; "" for nobody
	Identity string   // LogLine ID
	Key      Grant    // of the key that signed the token, as it is now
	APIKey   *APIKey  // nil for anything else
	Session  *Session // nil for anything else
	Origin   string   // that the token is for, as it stands there; "" where it names none
	Expires  string   // first instant at which it no longer holds, whatever else happens; "" for none
}

// Name is what the caller proved itself with, by a name that is no secret: the
// public key, or the id of the API key or the session; "" for nobody.
func (c Credential) Name() string {
	switch {
	case c.APIKey != nil:
		return c.APIKey.ID
	case c.Session != nil:
		return c.Session.ID
	}
	return c.Key.Key
}

// Has says whether the credential goes as far as a right of API keys; only
// those can lack one.
func (c Credential) Has(right string) bool { return c.APIKey == nil || c.APIKey.Has(right) }

// Reaches says whether the credential counts in a tenant (by id).
func (c Credential) Reaches(tenant string) bool {
	return c.APIKey == nil || c.APIKey.Tenant == "" || c.APIKey.Tenant == tenant
}

// Manages says whether the credential may change its own identity: rotate or
// revoke it where the node holds its keys, give it API keys, name it, or make
// identities, tenants and imports in its name. Much of that outlives the
// credential, so a delegated key and an API key may only if they name
// logline.identity; an API key must count in every tenant as well, and a session
// must be fresh and of an identity whose keys the node holds.
func (c Credential) Manages() bool {
	switch {
	case c.Identity == "":
		return false
	case c.APIKey != nil:
		return c.APIKey.Tenant == "" && c.APIKey.grant().Covers(TypeIdentity)
	case c.Session != nil:
		return c.Session.Covers(TypeIdentity)
	}
	return c.Key.Covers(TypeIdentity)
}

// Covers says whether the credential may speak for its identity in what goes
// with spans of this type: the identity's own key always, a delegated key and an
// API key by their patterns, a session as its own comment says. Whether an API key
// counts in a tenant, Reaches says.
func (c Credential) Covers(typ string) bool {
	switch {
	case c.Identity == "":
		return false
	case c.APIKey != nil:
		return c.APIKey.grant().Covers(typ)
	case c.Session != nil:
		return c.Session.Covers(typ)
	}
	return c.Key.Covers(typ)
}

// MaySign says whether the node may sign a span of typ for the credential, if it
// holds the identity's keys: for an API key of that type, and for a session.
// Forbidden: events_unsigned for whoever signs for itself, those of
// APIKey.MaySign, session_cannot_sign, session_not_fresh.
func (c Credential) MaySign(typ string) error {
	switch {
	case c.APIKey != nil:
		return c.APIKey.MaySign(typ)
	case c.Session != nil:
		return c.Session.refusal(typ)
	}
	return ErrUnsigned
}

// refusal is why a session may not do what a span of typ does, nil where it may.
func (s Session) refusal(typ string) error {
	switch {
	case s.Covers(typ):
		return nil
	case !s.Held:
		return errSessionKeys
	}
	return ErrSessionStale
}

// Refusal is why a session may not change its identity, nil where it may.
func (s Session) Refusal() error { return s.refusal(TypeIdentity) }
