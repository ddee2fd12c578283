package span

import (
	"strings"
	"unicode/utf8"
)

// The payloads of reserved types are read strictly: unknown members are
// refused, formats checked. Codes are those of Canonicalize, the structural
// member_* codes, and `<kind>_<member>_invalid`.

// field is one member of a payload: a text that satisfies ok, or whatever
// read makes of it.
type field struct {
	name string
	opt  bool
	into *string
	ok   func(string) bool
	want string
	read func(s *scanner, sh *shape, i int) error
}

func parseFields(kind string, payload []byte, fields ...field) error {
	sh := shape{kind: kind}
	for i, f := range fields {
		if !f.opt {
			sh.required |= 1 << i
		}
		sh.names = append(sh.names, f.name)
	}
	s := scanner{src: payload}
	_, err := s.top(&sh, 1<<len(fields)-1, func(i int) error { return fields[i].take(&s, &sh, i) })
	return err
}

func (f *field) take(s *scanner, sh *shape, i int) error {
	if f.read != nil {
		return f.read(s, sh, i)
	}
	t, err := s.text()
	if err != nil {
		return err
	}
	if !f.ok(t) {
		return sh.wrong(i, f.want)
	}
	*f.into = t
	return nil
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

// Personal data has no place in a reason that can never be erased: 64 bytes
// leave room for a code, not for a story.
const maxReason = 64

func shortReason(s string) bool { return len(s) <= maxReason && !strings.ContainsAny(s, "\r\n") }

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

func bounded(limit int) func(string) bool {
	return func(s string) bool { return utf8.RuneCountInString(s) <= limit }
}

// printable words without the separators of name@version#hash and name/rule.
func isContractWord(s string) bool {
	return len(s) <= maxType && !strings.ContainsAny(s, "@#/ \t\r\n")
}

// ParseIdentity reads {event}; the event itself is read by internal/id.
func ParseIdentity(payload []byte) (*Identity, error) {
	p := &Identity{}
	err := parseFields("identity", payload, field{name: "event", read: func(s *scanner, _ *shape, _ int) (err error) {
		p.Event, err = s.embedded(false)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// maxRoles bounds the roles that one span grants or withdraws.
const maxRoles = 64

// ParseMember reads a grant or a withdrawal of at least one role.
func ParseMember(payload []byte) (*Member, error) {
	p := &Member{}
	roles := func(s *scanner, sh *shape, i int) (err error) {
		seen := map[string]bool{}
		p.Roles, err = s.texts(maxRoles, func(r string) bool {
			fresh := !seen[r]
			seen[r] = true
			return fresh && ValidRole(r)
		}, sh, i, "a list of different role names, lower-case letters, digits, '_' and '-'")
		return err
	}
	err := parseFields("member", payload,
		identityField("identity", &p.Identity),
		choice("action", &p.Action, ActionGrant, ActionWithdraw),
		field{name: "roles", read: roles},
	)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseContract reads the activation, the shadowing or the retirement of a
// contract version. The
// hash must be that of the source, where it stands.
func ParseContract(payload []byte) (*Contract, error) {
	p := &Contract{}
	source := textField("source", &p.Source, anyText, "text")
	source.opt = true
	err := parseFields("contract", payload,
		textField("name", &p.Name, isContractWord, "at most 128 bytes without spaces, '@', '#' or '/'"),
		textField("version", &p.Version, isContractWord, "at most 128 bytes without spaces, '@', '#' or '/'"),
		textField("hash", &p.Hash, isHash, "b64u of a SHA-256 digest"),
		source,
		choice("action", &p.Action, ActionActivate, ActionShadow, ActionRetire),
	)
	if err != nil {
		return nil, err
	}
	if p.Source == "" && p.Action != ActionRetire {
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
		choice("vote", &p.Vote, VoteApprove, VoteReject), reasonField(&p.Reason, true))...)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseResolution reads how a pending span was settled.
func ParseResolution(payload []byte) (*Resolution, error) {
	p := &Resolution{}
	err := parseFields("resolution", payload, append(refFields(&p.Span, &p.HeaderHash),
		choice("outcome", &p.Outcome, ResolutionExecuted, ResolutionRejected, ResolutionExpired))...)
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
		textField("rule", &p.Rule, short, "at most 256 code points"))...)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// ParseRevert reads the undoing of a span, with its reason.
func ParseRevert(payload []byte) (*Revert, error) {
	p := &Revert{}
	err := parseFields("revert", payload, append(refFields(&p.Span, &p.HeaderHash), reasonField(&p.Reason, false))...)
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
	spans := func(s *scanner, sh *shape, member int) error {
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
	}
	if err := parseFields("redaction", payload, field{name: "spans", read: spans}, reasonField(&p.Reason, false)); err != nil {
		return nil, err
	}
	return p, nil
}

var spanRefShape = shape{kind: "ref", names: []string{"span", "header_hash"}, required: 3}

func (s *scanner) spanRef(r *SpanRef) error {
	fields := refFields(&r.Span, &r.HeaderHash)
	_, err := s.shaped(&spanRefShape, 3, func(i int) error { return fields[i].take(s, &spanRefShape, i) })
	return err
}

// ParseHandover reads {to}.
func ParseHandover(payload []byte) (*Handover, error) {
	p := &Handover{}
	if err := parseFields("handover", payload, identityField("to", &p.To)); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseTenant reads {action, reason?}.
func ParseTenant(payload []byte) (*Tenant, error) {
	p := &Tenant{}
	if err := parseFields("tenant", payload, choice("action", &p.Action, ActionSuspend, ActionResume, ActionClose), reasonField(&p.Reason, true)); err != nil {
		return nil, err
	}
	return p, nil
}

// ParseEpoch reads the start of a new epoch. The authorisation, which another
// node needs, is kept as JCS for whoever judges it.
func ParseEpoch(payload []byte) (*Epoch, error) {
	p := &Epoch{}
	err := parseFields("epoch", payload,
		textField("prev_origin", &p.PrevOrigin, bounded(256), "a log origin"),
		field{name: "prev_size", read: func(s *scanner, sh *shape, i int) (err error) {
			p.PrevSize, err = s.count(sh, i)
			return err
		}},
		textField("prev_root", &p.PrevRoot, isHash, "b64u of a SHA-256 digest"),
		textField("log_key", &p.LogKey, isLogKey, "b64u of 0x01 and a 32-byte public key"),
		field{name: "authorisation", opt: true, read: func(s *scanner, _ *shape, _ int) (err error) {
			p.Authorisation, err = s.embedded(true)
			return err
		}},
	)
	if err != nil {
		return nil, err
	}
	return p, nil
}
