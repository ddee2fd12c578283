package span

import (
	"strings"
	"unicode/utf8"
)

// The payloads of reserved types are read strictly: unknown members are
// refused, formats checked. Codes are those of Canonicalize, the structural
// member_* codes, and `<kind>_<member>_invalid`.

type field struct {
	name string
	opt  bool
	into *string
	ok   func(string) bool
	want string
}

func parseFields(kind string, payload []byte, fields []field, other map[string]func(*scanner, *shape, int) error, optional ...string) error {
	sh := shape{kind: kind}
	for _, f := range fields {
		if !f.opt {
			sh.required |= 1 << len(sh.names)
		}
		sh.names = append(sh.names, f.name)
	}
	for name := range other {
		req := true
		for _, o := range optional {
			req = req && o != name
		}
		if req {
			sh.required |= 1 << len(sh.names)
		}
		sh.names = append(sh.names, name)
	}
	s := scanner{src: payload}
	_, err := s.top(&sh, 1<<len(sh.names)-1, func(i int) error {
		if i >= len(fields) {
			return other[sh.names[i]](&s, &sh, i)
		}
		t, err := s.text()
		if err != nil {
			return err
		}
		if !fields[i].ok(t) {
			return sh.wrong(i, fields[i].want)
		}
		*fields[i].into = t
		return nil
	})
	return err
}

func textField(name string, into *string, ok func(string) bool, want string) field {
	return field{name: name, into: into, ok: ok, want: want}
}

func identityField(name string, into *string) field {
	return textField(name, into, IsIdentity, "a LogLine ID")
}

func refFields(id, hash *string) []field {
	return []field{
		textField("span", id, IsUUIDv7, "a span id (lower-case UUIDv7)"),
		textField("header_hash", hash, isHash, "b64u of a SHA-256 digest"),
	}
}

func reasonField(into *string, optional bool) field {
	f := textField("reason", into, shortReason, "one line of at most 64 bytes, without personal data")
	f.opt = optional
	return f
}

func oneOf(words ...string) (func(string) bool, string) {
	return func(s string) bool {
		for _, w := range words {
			if s == w {
				return true
			}
		}
		return false
	}, strings.Join(words, " or ")
}

func choice(name string, into *string, words ...string) field {
	ok, want := oneOf(words...)
	return textField(name, into, ok, want)
}

func isHash(s string) bool { return isB64Of(s, 32) }

// isLogKey: 0x01, the note verifier's mark of Ed25519, and the raw key.
func isLogKey(s string) bool {
	b, err := ParseB64(s, 33)
	return err == nil && b[0] == 1
}

func isNonce(s string) bool {
	b, err := ParseB64(s, -1)
	return err == nil && len(b) >= 16 && len(b) <= 64
}

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

func bounded(limit int) func(string) bool {
	return func(s string) bool { return utf8.RuneCountInString(s) <= limit }
}

// printable words without the separators of name@version#hash and name/rule.
func isContractWord(s string) bool {
	return len(s) <= maxType && !strings.ContainsAny(s, "@#/ \t\r\n")
}

// ParseGenesis reads the payload of entry 0 and checks that its tenant id is
// the one that derives from the rest.
func ParseGenesis(payload []byte) (*Genesis, error) {
	g := &Genesis{}
	err := parseFields("genesis", payload, []field{
		textField("slug", &g.Slug, ValidSlug, "lower-case letters, digits and dashes, at most 63, not of UUID form"),
		textField("name", &g.Name, bounded(256), "at most 256 code points"),
		identityField("node", &g.Node),
		textField("log_key", &g.LogKey, isLogKey, "b64u of 0x01 and a 32-byte public key"),
		identityField("owner", &g.Owner),
		textField("nonce", &g.Nonce, isNonce, "b64u of 16 to 64 random bytes"),
		textField("tenant", &g.Tenant, IsUUID, "a UUID in lower case"),
	}, nil)
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

// ParseIdentity reads {event}; the event itself is read by internal/id.
func ParseIdentity(payload []byte) (*Identity, error) {
	p := &Identity{}
	err := parseFields("identity", payload, nil, map[string]func(*scanner, *shape, int) error{
		"event": func(s *scanner, _ *shape, _ int) (err error) {
			p.Event, err = s.embedded(false)
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseMember reads a grant or a withdrawal of at least one role.
func ParseMember(payload []byte) (*Member, error) {
	p := &Member{}
	err := parseFields("member", payload, []field{
		identityField("identity", &p.Identity),
		choice("action", &p.Action, ActionGrant, ActionWithdraw),
	}, map[string]func(*scanner, *shape, int) error{
		"roles": func(s *scanner, sh *shape, i int) (err error) {
			seen := map[string]bool{}
			p.Roles, err = s.texts(64, func(r string) bool {
				fresh := !seen[r]
				seen[r] = true
				return fresh && ValidRole(r)
			}, sh, i, "a list of different role names, lower-case letters, digits, '_' and '-'")
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseContract reads the activation or retirement of a contract version. The
// hash must be that of the source, where it stands.
func ParseContract(payload []byte) (*Contract, error) {
	p := &Contract{}
	source := textField("source", &p.Source, anyText, "text")
	source.opt = true
	err := parseFields("contract", payload, []field{
		textField("name", &p.Name, isContractWord, "at most 128 bytes without spaces, '@', '#' or '/'"),
		textField("version", &p.Version, isContractWord, "at most 128 bytes without spaces, '@', '#' or '/'"),
		textField("hash", &p.Hash, isHash, "b64u of a SHA-256 digest"),
		source,
		choice("action", &p.Action, ActionActivate, ActionRetire),
	}, nil)
	if err != nil {
		return nil, err
	}
	if p.Source == "" && p.Action == ActionActivate {
		return nil, errMissing("source")
	}
	if p.Source != "" && Sum([]byte(p.Source)).String() != p.Hash {
		return nil, within(refuse("contract_hash_mismatch", "the hash is not that of the source"), "hash")
	}
	return p, nil
}

// ParseApproval reads a vote, approve or reject.
func ParseApproval(payload []byte) (*Approval, error) {
	p := &Approval{}
	err := parseFields("approval", payload, append(refFields(&p.Span, &p.HeaderHash),
		choice("vote", &p.Vote, VoteApprove, VoteReject), reasonField(&p.Reason, true)), nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseResolution reads how a pending span was settled.
func ParseResolution(payload []byte) (*Resolution, error) {
	p := &Resolution{}
	err := parseFields("resolution", payload, append(refFields(&p.Span, &p.HeaderHash),
		choice("outcome", &p.Outcome, ResolutionExecuted, ResolutionRejected, ResolutionExpired)), nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseRefusal reads the payload of logline.decision.
func ParseRefusal(payload []byte) (*Refusal, error) {
	p := &Refusal{}
	short := bounded(256)
	err := parseFields("refusal", payload, append(refFields(&p.Span, &p.HeaderHash),
		textField("type", &p.Type, ValidType, "a span type"),
		identityField("author", &p.Author),
		textField("contract", &p.Contract, short, "at most 256 code points"),
		textField("rule", &p.Rule, short, "at most 256 code points")), nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseRevert reads the undoing of a span, with its reason.
func ParseRevert(payload []byte) (*Revert, error) {
	p := &Revert{}
	err := parseFields("revert", payload, append(refFields(&p.Span, &p.HeaderHash), reasonField(&p.Reason, false)), nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// maxRedacted bounds the spans one redaction names.
const maxRedacted = 1000

// ParseRedaction reads the erasure of 1 to 1,000 different spans.
func ParseRedaction(payload []byte) (*Redaction, error) {
	p := &Redaction{}
	err := parseFields("redaction", payload, []field{reasonField(&p.Reason, false)}, map[string]func(*scanner, *shape, int) error{
		"spans": func(s *scanner, sh *shape, member int) error {
			seen := map[string]bool{}
			return s.list(maxRedacted, func(int) error {
				var r SpanRef
				if err := s.spanRef(&r); err != nil {
					return err
				}
				if seen[r.Span] {
					return sh.wrong(member, "a list of different spans")
				}
				seen[r.Span] = true
				p.Spans = append(p.Spans, r)
				return nil
			})
		},
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

var spanRefShape = shape{kind: "ref", names: []string{"span", "header_hash"}, required: 3}

func (s *scanner) spanRef(r *SpanRef) error {
	fields := refFields(&r.Span, &r.HeaderHash)
	_, err := s.shaped(&spanRefShape, 3, func(i int) error {
		t, err := s.text()
		if err != nil {
			return err
		}
		if !fields[i].ok(t) {
			return spanRefShape.wrong(i, fields[i].want)
		}
		*fields[i].into = t
		return nil
	})
	return err
}

// ParseHandover reads {to}.
func ParseHandover(payload []byte) (*Handover, error) {
	p := &Handover{}
	if err := parseFields("handover", payload, []field{identityField("to", &p.To)}, nil); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseEpoch reads the start of a new epoch. The authorisation, which another
// node needs, is kept as JCS for whoever judges it.
func ParseEpoch(payload []byte) (*Epoch, error) {
	p := &Epoch{}
	err := parseFields("epoch", payload, []field{
		textField("prev_origin", &p.PrevOrigin, bounded(256), "a log origin"),
		textField("prev_root", &p.PrevRoot, isHash, "b64u of a SHA-256 digest"),
		textField("log_key", &p.LogKey, isLogKey, "b64u of 0x01 and a 32-byte public key"),
	}, map[string]func(*scanner, *shape, int) error{
		"prev_size": func(s *scanner, sh *shape, i int) (err error) {
			p.PrevSize, err = s.count(sh, i)
			return err
		},
		"authorisation": func(s *scanner, _ *shape, _ int) (err error) {
			p.Authorisation, err = s.embedded(true)
			return err
		},
	}, "authorisation")
	if err != nil {
		return nil, err
	}
	return p, nil
}
