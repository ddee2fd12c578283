package id

// Credential is what a caller proved itself with: a token signed by a key of
// the identity, or one of its API keys. The zero value is nobody.
type Credential struct {
	Identity string  // LogLine ID
	Key      Grant   // of the key that signed the token, as it is now
	APIKey   *APIKey // nil for a token
}

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
