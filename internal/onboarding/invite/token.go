package invite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"io"
	"net/url"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// The bytes of invitations, version 1; docs/invitations.md has them for other
// implementations, with a test vector.
const (
	Prefix     = "lli_"                       // of a token, for secret scanners
	SecretSize = 32                           // bytes of a token
	SeedSize   = 32                           // bytes of what is sealed: an Ed25519 seed
	SealedSize = nonceSize + SeedSize + 16    // bytes of it sealed
	tokenLen   = len(Prefix) + 43             // of its text
	hashDomain = "logline.invitation.v1\n"    // before what is hashed
	sealInfo   = "logline.invitation.v1 seal" // HKDF's info
	nonceSize  = 12

	linkPath     = "/onboard"
	linkFragment = "invite="
)

var (
	errToken = fault.New(fault.Invalid, "invitation_malformed",
		`this is no invitation: it begins with lli_ and has 43 letters, digits, - and _ behind that; open the link as it was sent, whole`)
	errSealed = fault.New(fault.Invalid, "invitation_sealed",
		"the sealed key does not open with this token; ask for a new invitation")
)

// Token is the secret of one invitation, which its link alone holds. It prints as
// a mask.
type Token struct{ secret [SecretSize]byte }

// NewToken makes one of 32 bytes of rand.
func NewToken(rand io.Reader) (t Token, err error) {
	if _, err := io.ReadFull(rand, t.secret[:]); err != nil {
		return Token{}, fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for an invitation").Because(err)
	}
	return t, nil
}

// ParseToken reads a token's text; invalid invitation_malformed, which repeats
// nothing of it.
func ParseToken(text string) (t Token, err error) {
	body, ok := strings.CutPrefix(text, Prefix)
	if !ok || len(text) != tokenLen {
		return Token{}, errToken
	}
	secret, err := span.ParseB64(body, SecretSize)
	if err != nil {
		return Token{}, errToken
	}
	copy(t.secret[:], secret)
	return t, nil
}

// IsToken says whether a text is meant to be one.
func IsToken(text string) bool { return strings.HasPrefix(text, Prefix) }

// Reveal is the token's text.
func (t Token) Reveal() string { return Prefix + span.B64(t.secret[:]) }

// String is a mask.
func (Token) String() string { return Prefix + "(not shown)" }

// GoString is String.
func (t Token) GoString() string { return t.String() }

// Hash is what a node keeps of a token: H("logline.invitation.v1\n" || secret).
func (t Token) Hash() span.Hash {
	return span.Sum(append([]byte(hashDomain), t.secret[:]...))
}

// aead is AES-256-GCM under HKDF-SHA256 of the secret, without salt.
func (t Token) aead() (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, t.secret[:], nil, sealInfo, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal seals a key's seed for one invitation of one tenant (both by id): nonce ||
// AES-256-GCM(seed), the names being the additional data, so that it opens nowhere
// else.
func (t Token) Seal(tenant, id string, seed [SeedSize]byte, rand io.Reader) ([]byte, error) {
	aead, err := t.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, nonceSize, SealedSize)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for an invitation").Because(err)
	}
	return aead.Seal(nonce, nonce, seed[:], sealedFor(tenant, id)), nil
}

// Open is the seed that Seal sealed; invalid invitation_sealed.
func (t Token) Open(tenant, id string, sealed []byte) (seed [SeedSize]byte, err error) {
	if len(sealed) != SealedSize {
		return seed, errSealed
	}
	aead, err := t.aead()
	if err != nil {
		return seed, err
	}
	plain, err := aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], sealedFor(tenant, id))
	if err != nil {
		return seed, errSealed.Because(err)
	}
	copy(seed[:], plain)
	return seed, nil
}

func sealedFor(tenant, id string) []byte { return []byte(tenant + "\n" + id) }

// Link is where an invitation is opened. The token stands behind #, which browsers
// send to nobody.
func Link(page string, t Token) string {
	return strings.TrimRight(page, "/") + linkPath + "#" + linkFragment + t.Reveal()
}

// ParseLink reads a link, or a bare token, whose node is "" then.
func ParseLink(text string) (node string, t Token, err error) {
	text = strings.TrimSpace(text)
	if IsToken(text) {
		t, err = ParseToken(text)
		return "", t, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return "", Token{}, errToken
	}
	path, ok := strings.CutSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), linkPath)
	token, named := strings.CutPrefix(u.EscapedFragment(), linkFragment)
	if !ok || !named {
		return "", Token{}, errToken
	}
	t, err = ParseToken(token)
	return u.Scheme + "://" + u.Host + strings.TrimRight(path, "/"), t, err
}
