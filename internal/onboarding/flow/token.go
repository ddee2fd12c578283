package flow

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"io"
	"net/netip"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// A session's token is "llo_" and 256 random bits in base64url: the prefix is for
// secret scanners. The node keeps its hash.
const (
	tokenPrefix = "llo_"
	tokenLen    = len(tokenPrefix) + 43
)

// Is says by its form whether a text is the token of a session.
func Is(text string) bool {
	return len(text) == tokenLen && strings.HasPrefix(text, tokenPrefix)
}

func newToken(rand io.Reader) (string, error) {
	var secret [32]byte
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return "", fault.New(fault.Unavailable, "randomness_unavailable", "cannot read random bytes for a token").Because(err)
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:]), nil
}

func hashOf(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// opens says whether a token is that of a row.
func opens(token string, r *row) bool {
	return Is(token) && subtle.ConstantTimeCompare(hashOf(token), r.token) == 1
}

// said is what of a request tells it from another one.
func said(token string, in Input) (string, error) {
	text, err := span.Canonical(in)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(in.step() + "\n"))
	mac.Write(text)
	return span.B64(mac.Sum(nil)), nil
}

// origin stands for an address by which sessions are counted: of IPv6 a /64, which is
// what one customer gets at least. This machine's own have none.
func origin(secret []byte, from netip.Addr) []byte {
	if from = from.Unmap(); !from.IsValid() || from.IsLoopback() {
		return []byte{}
	}
	if from.Is6() {
		if p, err := from.WithZone("").Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("logline.onboarding.origin.v1\n" + from.String()))
	return mac.Sum(nil)[:16]
}
