package standing

import (
	"errors"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// judge is Check with its result: what the span does once executed.
func (t *Tx) judge(h *span.Header, payload []byte, at Position, look Lookup) (*effect, error) {
	if look == nil {
		look = func(string) (Ref, bool) { return Ref{}, false }
	}
	if span.IsReserved(h.Type) {
		if err := checkReserved(h, payload, at); err != nil {
			return nil, err
		}
	}
	if at.Seq < 3 {
		return t.judgeFounding(h, payload, at)
	}
	if t.genesis == nil {
		return nil, errNoGenesis()
	}
	if err := t.checkTenant(h); err != nil {
		return nil, err
	}
	if t.handedTo != "" && h.Type != span.TypeEpoch {
		return nil, fault.Newf(fault.Conflict, "timeline_handed_over", "this timeline was handed over to %s; append there", t.handedTo)
	}
	if err := t.checkKey(h, at); err != nil {
		return nil, err
	}
	if h.Type == span.TypeEpoch { // another node's, too: it judges its author itself
		return t.judgeEpoch(h, payload, at)
	}
	if err := t.checkAuthor(h); err != nil {
		return nil, err
	}
	if t.halted != "" {
		if err := t.mayPass(h); err != nil {
			return nil, err
		}
	}
	return t.effectOf(h.Type, h.Author, payload, at, look)
}

// ErrAuthorUnknown refuses a span of somebody whom the timeline does not hold.
var ErrAuthorUnknown = fault.New(fault.Forbidden, "author_unknown", "the author's key events are not in this timeline; a member must first be granted a role here").
	At("/author", "is not known in this timeline")

func errNoGenesis() error {
	return fault.New(fault.Conflict, "genesis_missing", "a timeline begins with logline.genesis at position 0, then the node's inception and its log key")
}

// checkReserved holds the form that does not depend on the state: a known
// type, a payload where the fold needs it, no forbidden visibility.
func checkReserved(h *span.Header, payload []byte, at Position) error {
	switch {
	case !span.KnownReserved(h.Type):
		return fault.Newf(fault.Invalid, "reserved_type_unknown", "%q is not a type of the protocol; types that begin with logline. are reserved", h.Type).
			At("/type", "choose a type that does not begin with logline.")
	case h.Type == span.TypeGenesis && at.Seq != 0:
		return fault.New(fault.Conflict, "genesis_repeated", "logline.genesis is entry 0 and no other").At("/type", "is for entry 0 only")
	case span.MustBePublic(h.Type) && h.Visibility != span.VisibilityPublic:
		return fault.Newf(fault.Invalid, "public_required", "a %s span is public", h.Type).At("/visibility", "must be public")
	case !span.MayBePrivate(h.Type) && h.Visibility == span.VisibilityPrivate:
		return fault.Newf(fault.Invalid, "private_not_allowed", "a %s span cannot be private", h.Type).At("/visibility", "must be organization or public")
	case !span.Redactable(h.Type) && payload == nil:
		return fault.Newf(fault.Invalid, "payload_missing", "the payload of a %s span is never withheld: what follows depends on it", h.Type).At("/payload", "is missing")
	}
	return nil
}

func (t *Tx) checkTenant(h *span.Header) error {
	if h.Tenant != t.genesis.Tenant {
		return fault.New(fault.Invalid, "tenant_mismatch", "the span was signed for another tenant").At("/tenant", "must be "+t.genesis.Tenant)
	}
	return nil
}

// checkKey says whether the span's key is current in the author's chain here,
// before this entry, and covers the type.
func (t *Tx) checkKey(h *span.Header, at Position) error {
	chain, ok := t.Identity(h.Author)
	if !ok {
		return ErrAuthorUnknown
	}
	return chain.MaySign(h.Signature.Key, h.Type, at.RecordedAt)
}

// checkAuthor says whether the author may append a span of this type at all.
// What depends on the payload comes after, in effectOf.
func (t *Tx) checkAuthor(h *span.Header) error {
	if h.Author == t.node && (!span.IsReserved(h.Type) || t.nodeMayAuthor(h.Type)) {
		return nil
	}
	if span.NodeOnly(h.Type) {
		return fault.Newf(fault.Forbidden, "reserved_author", "only the timeline's node authors %s spans", h.Type).At("/author", "must be "+t.node)
	}
	roles := t.Roles(h.Author)
	if len(roles) == 0 {
		return fault.New(fault.Forbidden, "not_a_member", "the author holds no role in this tenant; ask an owner or admin for one").At("/author", "holds no role")
	}
	if !rolesAllow(roles, RightAppend) {
		return fault.New(fault.Forbidden, "append_forbidden", "none of the author's roles may append").At("/author", "may not append")
	}
	if h.OnBehalfOf != "" && h.OnBehalfOf != h.Author && !rolesAllow(roles, RightOnBehalf) {
		return fault.New(fault.Forbidden, "guest_on_behalf", "a guest appends on its own behalf only").At("/on_behalf_of", "must be left out")
	}
	switch h.Type {
	case span.TypeMember, span.TypeContract, span.TypeRedaction:
		if !rolesAllow(roles, RightAdminister) {
			return forbidden(h.Type, "an owner or an admin")
		}
	case span.TypeTenant:
		if !rolesAllow(roles, RightOwn) {
			return forbidden(h.Type, "an owner")
		}
	case span.TypeRevert:
		if !rolesAllow(roles, RightRevertOwn) {
			return forbidden(h.Type, "an owner, an admin, or a member for its own spans")
		}
	}
	return nil
}

// nodeMayAuthor: beside its own types, the node grants the first owner,
// activates `*` contracts, erases for `retain` and where a person's data is to go, and
// suspends, resumes and closes the tenant. For the rest of the
// reserved types it would need a role like everybody.
func (t *Tx) nodeMayAuthor(typ string) bool {
	switch typ {
	case span.TypeMember, span.TypeContract, span.TypeRedaction, span.TypeTenant:
		return true
	}
	return span.NodeOnly(typ)
}

func forbidden(typ, who string) error {
	return fault.Newf(fault.Forbidden, "role_forbidden", "a %s span takes %s", typ, who).At("/author", "lacks the role")
}

// effectOf judges the payload of a span whose author may append its type, and
// says what it does. It is asked again when a pending span is resolved.
func (t *Tx) effectOf(typ, author string, payload []byte, at Position, look Lookup) (*effect, error) {
	if !span.IsReserved(typ) {
		return nil, nil
	}
	var e *effect
	var err error
	switch typ {
	case span.TypeIdentity:
		e, err = t.embed(payload)
	case span.TypeMember:
		e, err = t.member(author, payload)
	case span.TypeContract:
		_, err = span.ParseContract(payload)
	case span.TypeApproval:
		err = t.approval(author, payload, look)
	case span.TypeResolution:
		e, err = t.resolution(payload, at, look)
	case span.TypeDecision:
		err = t.refusal(payload, look)
	case span.TypeRevert:
		e, err = t.revert(author, payload, look)
	case span.TypeRedaction:
		e, err = t.redaction(author, payload, look)
	case span.TypeHandover:
		e, err = t.handover(payload)
	case span.TypeTenant:
		e, err = t.tenant(author, payload)
	}
	if err != nil {
		return nil, beneath("/payload", err)
	}
	return e, nil
}

// beneath puts a prefix before every pointer of a refusal.
func beneath(prefix string, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	c := *f
	c.Fields = make([]fault.Field, len(f.Fields))
	for i, field := range f.Fields {
		c.Fields[i] = fault.Field{Pointer: prefix + field.Pointer, Detail: field.Detail}
	}
	return &c
}
