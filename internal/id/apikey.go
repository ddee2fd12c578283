package id

import (
	"io"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// TypeIdentity in an API key's types lets the key change its own identity.
const TypeIdentity = span.TypeIdentity

// The prefix of API keys is for secret scanners.
const (
	apiKeyPrefix = "llk_"
	apiKeyDomain = "logline.apikey.v1\n"
)

// APIKey is what a node keeps of an API key; the key itself it does not have.
type APIKey struct {
	ID        string
	Identity  string   // whom it speaks for
	Label     string   // may be ""
	Rights    []string // what it may do (RightRead …), sorted
	Types     []string // patterns of the types that the node signs for it; none: any but logline.*
	Tenant    string   // the one tenant where it counts, "" for every
	CreatedBy string   // LogLine ID
	CreatedAt string
	ExpiresAt string // first instant at which it no longer holds, "" for never
	UsedAt    string // last use, to the minute; "" for never
	RevokedAt string // "" while it is valid
	RevokedBy string // LogLine ID

	Replaces   string // id of the key whose place it took, "" for none
	ReplacedBy string // id of the key that took its place, "" for none
}

// What an API key may do. What changes its own identity, or says where webhooks
// go, takes a reserved type in Types instead (Credential.Manages, Covers).
const (
	RightRead   = "read"   // whatever its identity may read
	RightAppend = "append" // have events signed, of its types
	RightTasks  = "tasks"  // make, cancel and run tasks, hold followers and schedules, where its identity may
)

// Has says whether the key has a right.
func (k APIKey) Has(right string) bool { return slices.Contains(k.Rights, right) }

// rightsOf are the rights that a key is made with: those asked for, sorted, or
// else the least that make sense of its terms.
func rightsOf(k APIKey) ([]string, error) {
	if len(k.Rights) == 0 {
		if len(k.Types) > 0 {
			return []string{RightAppend, RightRead}, nil
		}
		return []string{RightRead}, nil
	}
	rights := slices.Sorted(slices.Values(k.Rights))
	for i, r := range rights {
		if r != RightRead && r != RightAppend && r != RightTasks || i > 0 && rights[i-1] == r {
			return nil, fault.New(fault.Invalid, "rights_unknown", "the rights of an API key are read, append and tasks, each named once").At("/rights", "are not rights")
		}
	}
	return rights, nil
}

var errNoAppend = fault.New(fault.Forbidden, "api_key_right_missing", "this API key has no right to append; make one with the right append")

func (k APIKey) grant() Grant { return Grant{Types: k.Types} }

// MaySign says whether the node may sign a span of typ for the key; forbidden
// api_key_type_not_allowed or api_key_right_missing.
func (k APIKey) MaySign(typ string) error {
	if !k.Has(RightAppend) {
		return errNoAppend
	}
	if k.grant().Covers(typ) {
		return nil
	}
	allowed := "any but logline.*"
	if len(k.Types) > 0 {
		allowed = strings.Join(k.Types, ", ")
	}
	return fault.Newf(fault.Forbidden, "api_key_type_not_allowed", "this API key does not cover the type %q; it covers %s", typ, allowed)
}

// IsAPIKey says whether a credential is meant to be an API key.
func IsAPIKey(text string) bool { return strings.HasPrefix(text, apiKeyPrefix) }

// apiKeyID is the id in an API key, whose form and checksum it judges;
// unauthenticated api_key_malformed, which repeats nothing of it.
func apiKeyID(text string) (string, error) {
	name, ok := ParseOpaque(apiKeyPrefix, text)
	if !ok {
		return "", refuse("api_key_malformed", "the API key is mistyped or cut short: its checksum does not fit")
	}
	return name, nil
}

// newAPIKey makes the text of an API key with 42 random bytes.
func newAPIKey(rand io.Reader) (text string, err error) { return NewOpaque(apiKeyPrefix, rand) }

// apiKeyHash is what is stored. The secret has 256 random bits, so a plain hash
// is enough: there is nothing to guess.
func apiKeyHash(text string) span.Hash { return span.Sum([]byte(apiKeyDomain + text)) }

// checkTypes says whether patterns may stand in an API key, as in a delegation.
func checkTypes(types []string) error {
	if len(types) > maxAPIKeyTypes {
		return fault.Newf(fault.Invalid, "types_too_many", "an API key names at most %d types", maxAPIKeyTypes).At("/types", "is too long")
	}
	for i, p := range types {
		switch {
		case !span.ValidPattern(p):
			return fault.New(fault.Invalid, "types_malformed", "types are patterns such as orders.*: whole segments may be *, the last one **").
				At(pointerAt("/types", i), "is no type pattern")
		case span.IsReserved(p) && strings.Contains(p, "*"):
			return fault.New(fault.Invalid, "types_reserved_pattern", "a reserved type is named exactly").
				At(pointerAt("/types", i), "must name a reserved type exactly, without *")
		case slices.Contains(types[:i], p):
			return fault.New(fault.Invalid, "types_malformed", "each type is named once").At(pointerAt("/types", i), "is given twice")
		}
	}
	return nil
}
