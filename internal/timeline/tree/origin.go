package tree

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const originPrefix = "logline/v1/"

// keyEd25519 is the note algorithm byte before an Ed25519 key.
const keyEd25519 = 1

// Origin names one epoch of a timeline: the checkpoint's first line and the
// name of the key that signs it.
type Origin struct {
	Tenant string // tenant id
	Node   string // LogLine ID of the node, with its scheme
	Epoch  uint64
}

// String is logline/v1/<tenant id>/<node id without scheme>/<epoch>.
func (o Origin) String() string {
	return originPrefix + o.Tenant + "/" + strings.TrimPrefix(o.Node, span.IdentityScheme) + "/" + strconv.FormatUint(o.Epoch, 10)
}

// ParseOrigin is the strict inverse of String; the error's code is
// origin_invalid.
func ParseOrigin(s string) (Origin, error) {
	rest, ok := strings.CutPrefix(s, originPrefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return Origin{}, originInvalid(s)
	}
	epoch, err := parseDecimal(parts[2])
	o := Origin{Tenant: parts[0], Node: span.IdentityScheme + parts[1], Epoch: epoch}
	if err != nil || !span.IsUUID(o.Tenant) || !span.IsIdentity(o.Node) {
		return Origin{}, originInvalid(s)
	}
	return o, nil
}

func originInvalid(s string) error {
	return fault.Newf(fault.Invalid, "origin_invalid",
		"%.200q is not an origin; it reads logline/v1/<tenant id>/<node id without scheme>/<epoch>", s)
}

// EncodeLogKey is the form of a log key in genesis and epoch payloads:
// b64u(0x01 || public key).
func EncodeLogKey(key ed25519.PublicKey) string {
	return span.B64(append([]byte{keyEd25519}, key...))
}

// ParseLogKey is the strict inverse of EncodeLogKey; the error's code is
// log_key_invalid.
func ParseLogKey(s string) (ed25519.PublicKey, error) {
	raw, err := span.ParseB64(s, 1+ed25519.PublicKeySize)
	if err != nil || raw[0] != keyEd25519 {
		return nil, fault.New(fault.Invalid, "log_key_invalid", "a log key is b64u of 0x01 and an Ed25519 public key")
	}
	return raw[1:], nil
}

// VerifierKey is the note verifier key (x/mod/sumdb/note vkey) of a log key
// under its origin.
func VerifierKey(origin Origin, key ed25519.PublicKey) (string, error) {
	vkey, err := note.NewEd25519VerifierKey(origin.String(), key)
	if err != nil {
		return "", fault.New(fault.Invalid, "log_key_invalid", "a log key is an Ed25519 public key of 32 bytes").Because(err)
	}
	return vkey, nil
}

// ParseVerifierKey takes apart what VerifierKey made. Only the one spelling is
// accepted; the error's code is verifier_key_invalid.
func ParseVerifierKey(vkey string) (Origin, ed25519.PublicKey, error) {
	bad := func(why string) (Origin, ed25519.PublicKey, error) {
		return Origin{}, nil, fault.Newf(fault.Invalid, "verifier_key_invalid", "%.300q is not a log's verifier key: %s", vkey, why)
	}
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return bad("it reads <origin>+<key hash>+<key>")
	}
	origin, err := ParseOrigin(parts[0])
	if err != nil {
		return bad("its name is not an origin")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != keyEd25519 {
		return bad("its key is not base64 of 0x01 and an Ed25519 public key")
	}
	// The one spelling: key hash in lower case, base64 without line breaks.
	if again, err := VerifierKey(origin, raw[1:]); err != nil || again != vkey {
		return bad("its key hash does not fit, or it is spelled another way")
	}
	return origin, raw[1:], nil
}

// parseDecimal reads an unsigned decimal number of at most MaxSize without sign
// or leading zeros.
func parseDecimal(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > MaxSize || strconv.FormatUint(n, 10) != s {
		return 0, fault.Newf(fault.Invalid, "number_invalid", "%.40q is not a decimal number up to %d", s, uint64(MaxSize))
	}
	return n, nil
}

// decodeHash reads the standard base64 (padded, spare bits zero) of a hash.
func decodeHash(s string) (span.Hash, bool) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != len(span.Hash{}) || bytes.ContainsAny([]byte(s), "\r\n") {
		return span.Hash{}, false
	}
	return span.Hash(raw), true
}
