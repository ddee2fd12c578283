package span

import "strings"

// The reserved types of PROTOCOL §4. Two more families are known by prefix:
// logline.task.* and logline.peer.*.
const (
	TypeGenesis    = "logline.genesis"
	TypeIdentity   = "logline.identity"
	TypeMember     = "logline.member"
	TypeContract   = "logline.contract"
	TypeApproval   = "logline.approval"
	TypeResolution = "logline.resolution"
	TypeDecision   = "logline.decision"
	TypeRevert     = "logline.revert"
	TypeRedaction  = "logline.redaction"
	TypeHandover   = "logline.handover"
	TypeEpoch      = "logline.epoch"
	TypeTenant     = "logline.tenant"
	TypeEvidence   = "logline.evidence"
)

const (
	reservedPrefix = "logline."
	taskPrefix     = "logline.task."
	peerPrefix     = "logline.peer."
)

// IsReserved reports whether typ belongs to the protocol.
func IsReserved(typ string) bool { return strings.HasPrefix(typ, reservedPrefix) }

// KnownReserved reports whether typ is a reserved type a span may have. The
// names of key grants (logline.api, logline.log, logline.witness) are not.
func KnownReserved(typ string) bool {
	switch typ {
	case TypeEvidence:
		return true
	}
	return foldedType(typ) || strings.HasPrefix(typ, taskPrefix) || strings.HasPrefix(typ, peerPrefix)
}

// foldedType reports whether later decisions depend on spans of this type, so
// that their payloads must stay.
func foldedType(typ string) bool {
	switch typ {
	case TypeGenesis, TypeIdentity, TypeMember, TypeContract, TypeApproval, TypeResolution,
		TypeDecision, TypeRevert, TypeRedaction, TypeHandover, TypeEpoch, TypeTenant:
		return true
	}
	return false
}

// Redactable reports whether payload, salt and detail of such a span may be
// erased.
func Redactable(typ string) bool { return !foldedType(typ) }

// MayBePrivate reports whether such a span may have private visibility.
func MayBePrivate(typ string) bool { return !foldedType(typ) }

// MustBePublic reports whether such a span has no other visibility.
func MustBePublic(typ string) bool { return typ == TypeGenesis || typ == TypeIdentity }

// NodeOnly reports whether only the timeline's node may author such a span.
func NodeOnly(typ string) bool {
	switch typ {
	case TypeGenesis, TypeIdentity, TypeResolution, TypeDecision, TypeEvidence, TypeHandover, TypeEpoch:
		return true
	}
	return strings.HasPrefix(typ, taskPrefix) || strings.HasPrefix(typ, peerPrefix)
}

// The built-in roles of PROTOCOL §7.
const (
	RoleOwner   = "owner"
	RoleAdmin   = "admin"
	RoleMember  = "member"
	RoleAgent   = "agent"
	RoleAuditor = "auditor"
	RoleGuest   = "guest"
)

// ValidRole reports whether role is a role name, `^[a-z][a-z0-9_-]{0,63}$`,
// built in or declared by a contract.
func ValidRole(role string) bool {
	return len(role) <= 64 && ValidType(role) && !strings.Contains(role, ".")
}

// Values of Member.Action, Contract.Action, Tenant.Action, Approval.Vote and
// Resolution.Outcome.
const (
	ActionGrant    = "grant"
	ActionWithdraw = "withdraw"

	ActionActivate = "activate" // it decides
	ActionShadow   = "shadow"   // it is evaluated and noted, and decides nothing
	ActionRetire   = "retire"

	ActionSuspend = "suspend" // nothing is appended, and few read, until it is resumed
	ActionResume  = "resume"
	ActionClose   = "close" // nothing is appended any more

	VoteApprove = "approve"
	VoteReject  = "reject"

	ResolutionExecuted = "executed"
	ResolutionRejected = "rejected"
	ResolutionExpired  = "expired"
)

// Genesis is the payload of entry 0: who keeps the timeline and whose it is.
type Genesis struct {
	Slug   string `json:"slug"`
	Name   string `json:"name"`
	Node   string `json:"node"`    // LogLine ID of the first node
	LogKey string `json:"log_key"` // b64u(0x01 || Ed25519 public key), as in a note verifier key
	Owner  string `json:"owner"`   // LogLine ID
	Nonce  string `json:"nonce"`   // b64u of random bytes
	Tenant string `json:"tenant"`  // UUIDv8 derived from the rest
}

// Identity is the payload that embeds one sealed key event, JCS.
type Identity struct{ Event []byte }

// Member grants roles to an identity or withdraws them.
type Member struct {
	Identity string   `json:"identity"`
	Roles    []string `json:"roles"`
	Action   string   `json:"action"`
}

// Contract activates one version of a contract, puts it beside as a shadow, or
// retires it. Hash is b64u
// H(source). Source may be absent when retiring.
type Contract struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Hash    string `json:"hash"`
	Source  string `json:"source,omitempty"`
	Action  string `json:"action"`
}

// SpanRef names a span by id and header hash.
type SpanRef struct {
	Span       string `json:"span"`
	HeaderHash string `json:"header_hash"`
}

// Approval is a vote on a pending span.
type Approval struct {
	Span       string `json:"span"`
	HeaderHash string `json:"header_hash"`
	Vote       string `json:"vote"`
	Reason     string `json:"reason,omitempty"` // ≤ 64 bytes
}

// Resolution settles a pending span.
type Resolution struct {
	Span       string `json:"span"`
	HeaderHash string `json:"header_hash"`
	Outcome    string `json:"outcome"`
}

// Refusal is the payload of logline.decision: the evidence of an attempt that
// a contract refused.
type Refusal struct {
	Span       string `json:"span"`
	HeaderHash string `json:"header_hash"`
	Type       string `json:"type"`
	Author     string `json:"author"`
	Contract   string `json:"contract"`
	Rule       string `json:"rule"`
}

// Revert undoes a span in effect; the span stays.
type Revert struct {
	Span       string `json:"span"`
	HeaderHash string `json:"header_hash"`
	Reason     string `json:"reason"` // ≤ 64 bytes
}

// Redaction erases payload, salt and detail of the spans it names.
type Redaction struct {
	Spans  []SpanRef `json:"spans"`
	Reason string    `json:"reason"` // ≤ 64 bytes
}

// Handover ends this node's writing; To continues under the next epoch.
type Handover struct {
	To string `json:"to"` // LogLine ID of a node
}

// Tenant suspends the tenant, lets it go on, or closes it for good.
type Tenant struct {
	Action string `json:"action"`
	Reason string `json:"reason,omitempty"` // ≤ 64 bytes
}

// Epoch continues the same tree under a new origin (PROTOCOL §5).
type Epoch struct {
	PrevOrigin    string `json:"prev_origin"`
	PrevSize      uint64 `json:"prev_size"`
	PrevRoot      string `json:"prev_root"` // b64u
	LogKey        string `json:"log_key"`   // as in Genesis
	Authorisation []byte `json:"-"`         // JCS object or nil
}
