package id

// How a caller proved who it is.
const (
	ByToken  = "token"   // a JWT signed by a key of the identity
	ByAPIKey = "api_key" // an API key of the identity
)

// Credential is who a caller proved to be, by what, and how far that goes: a
// token signed by a key of the identity, or one of its API keys. The zero value
// is nobody.
type Credential struct {
	How      string  // ByToken …; "" for nobody
	Identity string  // LogLine ID
	Key      Grant   // of the key that signed the token, as it is now
	APIKey   *APIKey // nil for a token
	Origin   string  // that the token is for, as it stands there; "" where it names none
	Expires  string  // first instant at which it no longer holds, whatever else happens; "" for none
}

// Name is what the caller proved itself with, by a name that is no secret: the
// public key, or the API key's id; "" for nobody.
func (c Credential) Name() string {
	if c.APIKey != nil {
		return c.APIKey.ID
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
// logline.identity; an API key must count in every tenant as well.
func (c Credential) Manages() bool {
	switch {
	case c.Identity == "":
		return false
	case c.APIKey != nil:
		return c.APIKey.Tenant == "" && c.APIKey.grant().Covers(TypeIdentity)
	}
	return c.Key.Covers(TypeIdentity)
}

// Covers says whether the credential may speak for its identity in what goes
// with spans of this type: the identity's own key always, a delegated key and an
// API key by their patterns. Whether an API key counts in a tenant, Reaches says.
func (c Credential) Covers(typ string) bool {
	switch {
	case c.Identity == "":
		return false
	case c.APIKey != nil:
		return c.APIKey.grant().Covers(typ)
	}
	return c.Key.Covers(typ)
}
