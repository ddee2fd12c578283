package id

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

// here is the node that tokens of the tests are for.
const here = "logline-id://5hjpakgtwztk3a74oqwg2r6x3wa3ddxuf2lkpnq52s2gh3tqwtwa"

func chainsOf(keys ...*Keys) func(string) (*Chain, error) {
	return func(id string) (*Chain, error) {
		for _, k := range keys {
			if k.ID() == id {
				return k.Chain(), nil
			}
		}
		return nil, unknown(id)
	}
}

// verifyToken asks twice: a token whose signature held before is answered alike.
func verifyToken(t testing.TB, tok, audience string, now time.Time, chain func(string) (*Chain, error)) (identity, key string, err error) {
	t.Helper()
	tokens := NewTokens(DefaultVerifier())
	who, err := tokens.Verify(tok, audience, now, chain)
	again, againErr := tokens.Verify(tok, audience, now, chain)
	require.Equal(t, who, again)
	require.Equal(t, fault.CodeOf(err), fault.CodeOf(againErr))
	return who.Identity, who.Key, err
}

// forgeToken signs any header and claims.
func forgeToken(t testing.TB, by Signer, header, claims object) string {
	t.Helper()
	part := func(o object) string {
		b, err := json.Marshal(o)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(header) + "." + part(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(by.Sign([]byte(text)))
}

func TestToken(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	_, device, err := k.Delegate("api", []string{TypeAPI}, "", testTime, source(2))
	require.NoError(t, err)
	for _, s := range []Signer{k.Signer(), device} {
		tok, err := SignToken(s, k.ID(), here, testTime, MaxTokenLife)
		require.NoError(t, err)
		identity, key, err := verifyToken(t, tok, here, testTime, chainsOf(k))
		require.NoError(t, err)
		require.Equal(t, k.ID(), identity)
		require.Equal(t, s.Public(), key)
	}
	for _, ttl := range []time.Duration{0, -time.Second, time.Millisecond, MaxTokenLife + 1} {
		_, err := SignToken(k.Signer(), k.ID(), here, testTime, ttl)
		requireCode(t, "token_lifetime", err)
	}
}

func TestTokenTimes(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	start := testTime.Truncate(time.Second)
	tok, err := SignToken(k.Signer(), k.ID(), here, start, time.Minute)
	require.NoError(t, err)
	for _, c := range []struct {
		at   time.Duration
		code string
	}{
		{0, ""}, {-TokenLeeway, ""}, {-TokenLeeway - time.Millisecond, "token_not_yet_valid"}, {-time.Hour, "token_not_yet_valid"},
		{time.Minute, ""}, {time.Minute + TokenLeeway - time.Millisecond, ""}, {time.Minute + TokenLeeway, "token_expired"}, {24 * time.Hour, "token_expired"},
	} {
		_, _, err := verifyToken(t, tok, here, start.Add(c.at), chainsOf(k))
		require.Equal(t, c.code, fault.CodeOf(err), "%v", c.at)
	}
}

func TestTokenRefused(t *testing.T) {
	t.Parallel()
	k, other := newKeys(t, SubjectPerson, 1), newKeys(t, SubjectPerson, 2)
	now := testTime.Unix()
	header := func(pairs ...any) object {
		return with(object{"alg": "EdDSA", "typ": "logline-auth+jwt", "kid": k.Signer().Public()}, pairs...)
	}
	claims := func(pairs ...any) object {
		return with(object{"sub": k.ID(), "aud": here, "iat": now, "exp": now + 60}, pairs...)
	}
	without := func(o object, name string) object { delete(o, name); return o }
	good := forgeToken(t, k.Signer(), header(), claims())
	parts := strings.Split(good, ".")
	type forged struct {
		header, claims object
		code           string
	}
	for name, c := range map[string]forged{
		"good":                   {header(), claims(), ""},
		"other claims":           {header("x", 1), claims("nbf", now+9999, "iss", "x", "jti", 5, "scope", "all"), ""},
		"audience among others":  {header(), claims("aud", []any{"x", here}), ""},
		"algorithm none":         {header("alg", "none"), claims(), "token_algorithm"},
		"algorithm HS256":        {header("alg", "HS256"), claims(), "token_algorithm"},
		"algorithm in lower":     {header("alg", "eddsa"), claims(), "token_algorithm"},
		"no algorithm":           {without(header(), "alg"), claims(), "token_algorithm"},
		"typ JWT":                {header("typ", "JWT"), claims(), "token_type"},
		"typ absent":             {without(header(), "typ"), claims(), "token_type"},
		"crit":                   {header("crit", []any{"exp"}), claims(), "token_malformed"},
		"kid absent":             {without(header(), "kid"), claims(), "token_malformed"},
		"kid no key":             {header("kid", "key-1"), claims(), "token_malformed"},
		"kid of another key":     {header("kid", other.Signer().Public()), claims(), "key_unknown"},
		"sub absent":             {header(), without(claims(), "sub"), "token_malformed"},
		"sub in upper case":      {header(), claims("sub", nil, "SUB", k.ID()), "token_malformed"},
		"sub without scheme":     {header(), claims("sub", strings.TrimPrefix(k.ID(), "logline-id://")), "token_malformed"},
		"sub unknown":            {header(), claims("sub", newKeys(t, SubjectPerson, 3).ID()), "token_identity_unknown"},
		"sub of another":         {header(), claims("sub", other.ID()), "key_unknown"},
		"an origin":              {header(), claims("origin", "https://log.example.com"), ""},
		"origin no string":       {header(), claims("origin", 5), "token_malformed"},
		"origin empty":           {header(), claims("origin", ""), "token_malformed"},
		"origin without end":     {header(), claims("origin", "https://"+strings.Repeat("a", 300)), "token_malformed"},
		"aud absent":             {header(), without(claims(), "aud"), "token_audience"},
		"aud of another node":    {header(), claims("aud", other.ID()), "token_audience"},
		"aud a prefix":           {header(), claims("aud", here[:40]), "token_audience"},
		"aud no string":          {header(), claims("aud", 5), "token_audience"},
		"aud empty list":         {header(), claims("aud", []any{}), "token_audience"},
		"iat absent":             {header(), without(claims(), "iat"), "token_malformed"},
		"exp absent":             {header(), without(claims(), "exp"), "token_malformed"},
		"exp a string":           {header(), claims("exp", "2026"), "token_malformed"},
		"exp enormous":           {header(), claims("exp", 1e300), "token_malformed"},
		"life over five minutes": {header(), claims("exp", now+301), "token_lifetime"},
		"life of fractions":      {header(), claims("exp", float64(now)+300.5), "token_lifetime"},
		"life zero":              {header(), claims("exp", now), "token_lifetime"},
		"life negative":          {header(), claims("exp", now-10), "token_lifetime"},
		"expired":                {header(), claims("iat", now-100, "exp", now-40), "token_expired"},
		"from the future":        {header(), claims("iat", now+100, "exp", now+140), "token_not_yet_valid"},
	} {
		_, _, err := verifyToken(t, forgeToken(t, k.Signer(), c.header, c.claims), here, testTime, chainsOf(k, other))
		require.Equal(t, c.code, fault.CodeOf(err), name)
		if c.code != "" {
			require.Equal(t, fault.Unauthenticated, fault.KindOf(err), name)
		}
	}
	for name, c := range map[string][2]string{
		"empty":                 {"", "token_malformed"},
		"two parts":             {parts[0] + "." + parts[1], "token_malformed"},
		"four parts":            {good + ".x", "token_malformed"},
		"padding":               {good + "==", "token_malformed"},
		"spare bits":            {good[:len(good)-1] + "_", "token_malformed"},
		"no signature":          {parts[0] + "." + parts[1] + ".", "token_signature"},
		"other text":            {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(mustJSON(t, claims("exp", now+61)))) + "." + parts[2], "token_signature"},
		"header no JSON":        {"eA." + parts[1] + "." + parts[2], "token_malformed"},
		"signed by another key": {forgeToken(t, other.Signer(), header(), claims()), "token_signature"},
		"too large":             {good + strings.Repeat("A", MaxTokenBytes), "token_too_large"},
	} {
		_, _, err := verifyToken(t, c[0], here, testTime, chainsOf(k, other))
		require.Equal(t, c[1], fault.CodeOf(err), name)
		require.Equal(t, fault.Unauthenticated, fault.KindOf(err), name)
	}
}

func mustJSON(t testing.TB, o object) string {
	t.Helper()
	b, err := json.Marshal(o)
	require.NoError(t, err)
	return string(b)
}

func TestTokenKeyMustBeCurrent(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	_, narrow, err := k.Delegate("narrow", []string{"a.*"}, "", testTime, source(2))
	require.NoError(t, err)
	_, short, err := k.Delegate("short", []string{TypeAPI}, "2026-01-02T03:04:06.000Z", testTime, source(3))
	require.NoError(t, err)
	_, gone, err := k.Delegate("gone", []string{TypeAPI}, "", testTime, source(4))
	require.NoError(t, err)
	token := func(s Signer) string {
		tok, err := SignToken(s, k.ID(), here, testTime, time.Minute)
		require.NoError(t, err)
		return tok
	}
	verify := func(tok string, at time.Time) string {
		_, _, err := verifyToken(t, tok, here, at, chainsOf(k))
		return fault.CodeOf(err)
	}
	require.Equal(t, "key_type_not_delegated", verify(token(narrow), testTime))
	require.Empty(t, verify(token(short), testTime))
	require.Equal(t, "key_expired", verify(token(short), testTime.Add(time.Second)))
	primary, undelegated := token(k.Signer()), token(gone)
	require.Empty(t, verify(undelegated, testTime))
	_, err = k.Undelegate(gone.Public(), testTime)
	require.NoError(t, err)
	require.Equal(t, "key_revoked", verify(undelegated, testTime))
	require.Empty(t, verify(primary, testTime))
	_, err = k.Rotate(testTime, source(5))
	require.NoError(t, err)
	require.Equal(t, "key_rotated", verify(primary, testTime))
	primary = token(k.Signer())
	_, err = k.Revoke("", testTime)
	require.NoError(t, err)
	require.Equal(t, "key_revoked", verify(primary, testTime))
}

// counting counts signatures that are checked.
type counting struct {
	Verifier
	checked *int
}

func (c counting) Verify(pub, message, sig []byte) bool {
	*c.checked++
	return c.Verifier.Verify(pub, message, sig)
}

// TestTokenRemembered: the signature of a token is checked once, and everything
// else every time.
func TestTokenRemembered(t *testing.T) {
	t.Parallel()
	checked := 0
	tokens := NewTokens(counting{StdVerifier(), &checked})
	k := newKeys(t, SubjectPerson, 1)
	tok, err := SignToken(k.Signer(), k.ID(), here, testTime, time.Minute)
	require.NoError(t, err)
	verify := func(tok, audience string, at time.Time) string {
		_, err := tokens.Verify(tok, audience, at, chainsOf(k))
		return fault.CodeOf(err)
	}
	bad := tok[:len(tok)-4] + "AAAA"
	for range 3 {
		require.Equal(t, "token_signature", verify(bad, here, testTime))
	}
	require.Equal(t, 3, checked, "what did not hold is not remembered")
	for range 3 {
		require.Empty(t, verify(tok, here, testTime))
	}
	require.Equal(t, 4, checked)
	require.Equal(t, "token_signature", verify(bad, here, testTime))
	require.Equal(t, "token_expired", verify(tok, here, testTime.Add(time.Hour)))
	require.Equal(t, "token_not_yet_valid", verify(tok, here, testTime.Add(-time.Hour)))
	require.Equal(t, "token_audience", verify(tok, k.ID(), testTime))
	_, err = k.Rotate(testTime, source(5))
	require.NoError(t, err)
	require.Equal(t, "key_rotated", verify(tok, here, testTime))
	require.Equal(t, 5, checked)
}

// TestTokensForgotten: memory is bounded, and a token in use is kept.
func TestTokensForgotten(t *testing.T) {
	t.Parallel()
	checked := 0
	tokens := NewTokens(counting{everything{}, &checked})
	k := newKeys(t, SubjectPerson, 1)
	token := func(n int) string {
		claims := object{"sub": k.ID(), "aud": here, "iat": testTime.Unix(), "exp": testTime.Unix() + 60, "jti": n}
		return forgeToken(t, unsigned{k.Signer()}, object{"alg": "EdDSA", "typ": tokenType, "kid": k.Signer().Public()}, claims)
	}
	for n := range 3 * maxProven {
		for _, tok := range []string{token(n), token(0)} {
			_, err := tokens.Verify(tok, here, testTime, chainsOf(k))
			require.NoError(t, err)
		}
	}
	require.Equal(t, 3*maxProven, checked, "the one in use was checked once")
	require.LessOrEqual(t, len(tokens.young)+len(tokens.old), 2*maxProven)
	_, err := tokens.Verify(token(1), here, testTime, chainsOf(k))
	require.NoError(t, err)
	require.Equal(t, 3*maxProven+1, checked, "one that was not used is checked again")
}

// everything holds every signature to be good, and unsigned makes none.
type everything struct{}

func (everything) Verify(_, _, _ []byte) bool { return true }

type unsigned struct{ Signer }

func (unsigned) Sign([]byte) []byte { return make([]byte, 64) }

func TestTokenPassesOnTrouble(t *testing.T) {
	t.Parallel()
	k := newKeys(t, SubjectPerson, 1)
	tok, err := SignToken(k.Signer(), k.ID(), here, testTime, time.Minute)
	require.NoError(t, err)
	trouble := fault.New(fault.Unavailable, "database_busy", "busy")
	_, _, err = verifyToken(t, tok, here, testTime, func(string) (*Chain, error) { return nil, trouble })
	require.ErrorIs(t, err, trouble)
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	plain := errors.New("x")
	_, _, err = verifyToken(t, tok, here, testTime, func(string) (*Chain, error) { return nil, plain })
	require.ErrorIs(t, err, plain)
}

func FuzzVerifyToken(f *testing.F) {
	k := newKeys(f, SubjectPerson, 1)
	good, err := SignToken(k.Signer(), k.ID(), here, testTime, time.Minute)
	require.NoError(f, err)
	f.Add(good)
	f.Add("a.b.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, tok string) {
		identity, key, err := verifyToken(t, tok, here, testTime, chainsOf(k))
		if err != nil {
			require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
			require.Empty(t, identity+key)
			return
		}
		require.Equal(t, k.ID(), identity)
		require.Equal(t, k.Signer().Public(), key)
	})
}
