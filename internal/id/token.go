package id

import (
	"crypto/ed25519"
	"errors"
	"math"
	"slices"
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

// VerifyToken says who signed a bearer token meant for audience, and with which
// of their keys. chain answers with the identity's chain as it is now, so that
// a key that was rotated or revoked since does not count. Every failure is of
// kind Unauthenticated, save what chain returns other than NotFound. Codes:
// token_too_large, token_malformed, token_algorithm, token_type,
// token_audience, token_lifetime, token_expired, token_not_yet_valid,
// token_identity_unknown, token_signature and those of MayAuthenticate.
func VerifyToken(tok, audience string, now time.Time, chain func(id string) (*Chain, error)) (identity, key string, err error) {
	if len(tok) > MaxTokenBytes {
		return "", "", refuse("token_too_large", "a bearer token has at most 4096 bytes")
	}
	var refusal error // why the key was not given out
	claims := jwt.MapClaims{}
	// Claims are judged here rather than by the library, which would also judge
	// those that the protocol ignores (nbf, iss) and knows no bound on exp - iat.
	parser := jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())
	_, err = parser.ParseWithClaims(tok, claims, func(t *jwt.Token) (any, error) {
		if identity, key, refusal = checkToken(t, claims, audience, now); refusal != nil {
			return nil, refusal
		}
		var raw []byte
		raw, refusal = tokenKey(identity, key, now, chain)
		return ed25519.PublicKey(raw), refusal
	})
	switch {
	case refusal != nil:
		return "", "", refusal
	case err == nil:
		return identity, key, nil
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return "", "", because(err, "token_signature", "the token's signature does not verify")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		return "", "", because(err, "token_algorithm", "the token's algorithm must be EdDSA")
	}
	return "", "", because(err, "token_malformed", "the bearer token is not a JWT")
}

// checkToken judges header and claims, before any look-up.
func checkToken(t *jwt.Token, claims jwt.MapClaims, audience string, now time.Time) (identity, key string, err error) {
	if t.Method != jwt.SigningMethodEdDSA {
		return "", "", refuse("token_algorithm", "the token's algorithm must be EdDSA")
	}
	if t.Header["typ"] != tokenType {
		return "", "", refuse("token_type", "the token's typ must be "+tokenType)
	}
	if _, critical := t.Header["crit"]; critical { // RFC 7515 §4.1.11: no extension is understood here
		return "", "", refuse("token_malformed", "the token demands extensions (crit) that do not exist here")
	}
	key, _ = t.Header["kid"].(string)
	if _, err := span.ParseB64(key, ed25519.PublicKeySize); err != nil {
		return "", "", refuse("token_malformed", "the token's kid must be the signing public key, base64url")
	}
	identity, _ = claims["sub"].(string)
	if !span.IsIdentity(identity) {
		return "", "", refuse("token_malformed", "the token's sub must be a LogLine ID")
	}
	aud, err := claims.GetAudience()
	if err != nil || !slices.Contains(aud, audience) {
		return "", "", refuse("token_audience", "the token is not for this node; its aud must be "+audience)
	}
	return identity, key, checkTokenTimes(claims, now)
}

func checkTokenTimes(claims jwt.MapClaims, now time.Time) error {
	iat, ok1 := seconds(claims["iat"])
	exp, ok2 := seconds(claims["exp"])
	if !ok1 || !ok2 {
		return refuse("token_malformed", "the token needs iat and exp, in seconds since 1970")
	}
	if exp <= iat || exp-iat > MaxTokenLife.Seconds() {
		return refuse("token_lifetime", "the token's exp must lie at most 5 minutes after its iat")
	}
	at := float64(now.UnixMilli()) / 1000
	if at >= exp+TokenLeeway.Seconds() {
		return refuse("token_expired", "the token has expired; sign a new one")
	}
	if at < iat-TokenLeeway.Seconds() {
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
