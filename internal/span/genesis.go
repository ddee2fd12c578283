package span

// ParseGenesis reads the payload of entry 0 and checks that its tenant id is
// the one that derives from the rest.
func ParseGenesis(payload []byte) (*Genesis, error) {
	g := &Genesis{}
	err := parseFields("genesis", payload,
		textField("slug", &g.Slug, isForeignSlug, "at most 256 code points, not of UUID form"),
		textField("name", &g.Name, bounded(256), "at most 256 code points"),
		identityField("node", &g.Node),
		textField("log_key", &g.LogKey, isLogKey, "b64u of 0x01 and a 32-byte public key"),
		identityField("owner", &g.Owner),
		textField("nonce", &g.Nonce, isNonce, "b64u of random bytes"),
		textField("tenant", &g.Tenant, IsUUID, "a UUID in lower case"),
	)
	if err != nil {
		return nil, err
	}
	if g.Tenant != g.TenantID() {
		return nil, within(refuse("genesis_tenant_mismatch", "the tenant id does not derive from the rest of genesis"), "tenant")
	}
	return g, nil
}

const tenantDomain = "logline.tenant.v1\n"

// TenantID derives the tenant id from genesis: a UUIDv8 whose 122 free bits
// are the first of H("logline.tenant.v1\n" || JCS(genesis without tenant)).
// Tenant itself plays no part.
func (g *Genesis) TenantID() string {
	h := Sum([]byte(tenantDomain), g.append(""))
	// 48 bits, version, 12 bits, variant, 62 bits (RFC 9562 §5.8).
	var b [16]byte
	bit := 0
	for i := range 128 {
		switch i {
		case 48, 49, 50, 51, 64, 65:
			continue
		}
		b[i/8] |= (h[bit/8] >> (7 - bit%8) & 1) << (7 - i%8)
		bit++
	}
	b[6] |= 0x80
	b[8] |= 0x80
	return formatUUID(b)
}

// Canonical is JCS of the payload.
func (g *Genesis) Canonical() []byte { return g.append(g.Tenant) }

func (g *Genesis) append(tenant string) []byte {
	dst := appendMember(nil, `{"log_key":`, g.LogKey)
	dst = appendMember(dst, `,"name":`, g.Name)
	dst = appendMember(dst, `,"node":`, g.Node)
	dst = appendMember(dst, `,"nonce":`, g.Nonce)
	dst = appendMember(dst, `,"owner":`, g.Owner)
	dst = appendMember(dst, `,"slug":`, g.Slug)
	dst = appendOptional(dst, `,"tenant":`, tenant)
	return append(dst, '}')
}

// isLogKey: 0x01, the note verifier's mark of Ed25519, and the raw key.
func isLogKey(s string) bool {
	b, err := ParseB64(s, 33)
	return err == nil && b[0] == 1
}

func isNonce(s string) bool {
	_, err := ParseB64(s, -1)
	return err == nil
}

// isForeignSlug is what the protocol asks of a slug, which is local to its
// node; ValidSlug is what our nodes give.
func isForeignSlug(s string) bool { return !IsUUID(s) && bounded(256)(s) }

// ValidSlug reports whether s may name a tenant at its node: lower-case
// letters, digits and dashes, at most 63, never of UUID form.
func ValidSlug(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' || IsUUID(s) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}
