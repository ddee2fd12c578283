package id

// Credential is what a caller proved itself with: a token signed by a key of
// the identity, or one of its API keys. The zero value is nobody.
type Credential struct {
	Identity string  // LogLine ID
	APIKey   *APIKey // nil for a token
}

// Reaches says whether the credential counts in a tenant (by id).
func (c Credential) Reaches(tenant string) bool {
	return c.APIKey == nil || c.APIKey.Tenant == "" || c.APIKey.Tenant == tenant
}

// Manages says whether the credential may change its own identity: rotate or
// revoke it where the node holds its keys, give it API keys, name it, or make
// identities. A token may; an API key only if it names logline.identity and
// counts in every tenant.
func (c Credential) Manages() bool {
	return c.Identity != "" && (c.APIKey == nil || c.APIKey.Tenant == "" && c.APIKey.grant().Covers(TypeIdentity))
}
