package id

import (
	"crypto/ed25519"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

const (
	tokenType = "logline-auth+jwt"

	// MaxTokenBytes bounds a bearer token, before anything of it is read.
	MaxTokenBytes = 4096
	// MaxTokenLife is the most that may lie between iat and exp.
	MaxTokenLife = 5 * time.Minute
	// maxOrigin bounds the origin in a token, in bytes.
	maxOrigin = 300
	// TokenLeeway is by how much the clocks of caller and node may differ.
	TokenLeeway = 30 * time.Second
)

// SignToken makes a bearer token (JWT, RFC 7519) with which an identity proves
// itself to one node (PROTOCOL §7(a)). audience is the node's id; times are
// rounded down to whole seconds; ttl is 1 s to 5 minutes.
func SignToken(s Signer, identity, audience string, now time.Time, ttl time.Duration) (string, error) {
	if ttl < time.Second || ttl > MaxTokenLife {
		return "", fault.Newf(fault.Invalid, "token_lifetime", "a token lives from 1 second to %s, not %s", MaxTokenLife, ttl)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"sub": identity, "aud": audience, "iat": now.Unix(), "exp": now.Unix() + int64(ttl/time.Second),
	})
	t.Header["typ"] = tokenType
	t.Header["kid"] = s.Public()
	text, err := t.SigningString()
	if err != nil {
		return "", fault.New(fault.Internal, "token_encoding", "the token cannot be encoded").Because(err)
	}
	return text + "." + t.EncodeSegment(s.Sign([]byte(text))), nil
}

// readToken is what a token meant for audience says, the bytes that were signed
// and the signature, which is not checked. Of times it judges the token's life alone.
func readToken(tok, audience string) (s said, signed, sig []byte, err error) {
	claims := jwt.MapClaims{}
	// Claims are judged here rather than by the library, which would also judge
	// those that the protocol ignores (nbf, iss) and knows no bound on exp - iat.
	t, _, err := jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(tok, claims)
	switch {
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return s, nil, nil, because(err, "token_algorithm", "the token's algorithm must be EdDSA")
	case err != nil:
		return s, nil, nil, because(err, "token_malformed", "the bearer token is not a JWT")
	}
	if s, err = judgeToken(t, claims, audience); err != nil {
		return s, nil, nil, err
	}
	return s, []byte(tok[:strings.LastIndexByte(tok, '.')]), t.Signature, nil
}

// judgeToken judges header and claims, before any look-up.
func judgeToken(t *jwt.Token, claims jwt.MapClaims, audience string) (s said, err error) {
	if t.Method != jwt.SigningMethodEdDSA {
		return s, refuse("token_algorithm", "the token's algorithm must be EdDSA")
	}
	if t.Header["typ"] != tokenType {
		return s, refuse("token_type", "the token's typ must be "+tokenType)
	}
	if _, critical := t.Header["crit"]; critical { // RFC 7515 §4.1.11: no extension is understood here
		return s, refuse("token_malformed", "the token demands extensions (crit) that do not exist here")
	}
	s.Key, _ = t.Header["kid"].(string)
	if _, err := span.ParseB64(s.Key, ed25519.PublicKeySize); err != nil {
		return s, refuse("token_malformed", "the token's kid must be the signing public key, base64url")
	}
	s.Identity, _ = claims["sub"].(string)
	if !span.IsIdentity(s.Identity) {
		return s, refuse("token_malformed", "the token's sub must be a LogLine ID")
	}
	aud, err := claims.GetAudience()
	if err != nil || !slices.Contains(aud, audience) {
		return s, refuse("token_audience", "the token is not for this node; its aud must be "+audience)
	}
	s.audience = audience
	if origin, named := claims["origin"]; named {
		s.Origin, _ = origin.(string)
		if s.Origin == "" || len(s.Origin) > maxOrigin {
			return s, refuse("token_malformed", "the token's origin must be the scheme://host[:port] that it is for")
		}
	}
	var ok1, ok2 bool
	s.iat, ok1 = seconds(claims["iat"])
	s.exp, ok2 = seconds(claims["exp"])
	if !ok1 || !ok2 {
		return s, refuse("token_malformed", "the token needs iat and exp, in seconds since 1970")
	}
	if s.exp <= s.iat || s.exp-s.iat > MaxTokenLife.Seconds() {
		return s, refuse("token_lifetime", "the token's exp must lie at most 5 minutes after its iat")
	}
	return s, nil
}

// holds says whether the token is one of now.
func (s *said) holds(now time.Time) error {
	at := float64(now.UnixMilli()) / 1000
	if at >= s.exp+TokenLeeway.Seconds() {
		return refuse("token_expired", "the token has expired; sign a new one")
	}
	if at < s.iat-TokenLeeway.Seconds() {
		return refuse("token_not_yet_valid", "the token's iat lies in the future; check this machine's clock")
	}
	return nil
}

// seconds is a NumericDate (RFC 7519 §2) of a magnitude that floats hold exactly.
func seconds(v any) (float64, bool) {
	f, ok := v.(float64)
	return f, ok && math.Abs(f) < 1<<53
}

// tokenKey is the raw public key, if it is the identity's to sign tokens with.
func tokenKey(identity, key string, now time.Time, chain func(id string) (*Chain, error)) ([]byte, error) {
	c, err := chain(identity)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return nil, because(err, "token_identity_unknown", "the token's sub is not registered at this node")
		}
		return nil, err
	}
	if err := c.MayAuthenticate(key, now); err != nil {
		return nil, err
	}
	return span.ParseB64(key, ed25519.PublicKeySize)
}

func refuse(code, detail string) error { return fault.New(fault.Unauthenticated, code, detail) }

func because(err error, code, detail string) error {
	return fault.New(fault.Unauthenticated, code, detail).Because(err)
}
