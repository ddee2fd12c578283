package attack

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// forge makes a token of any header and claims, signed in any way.
func forge(t testing.TB, header, claims map[string]any, sign func([]byte) []byte) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	text := part(header) + "." + part(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(text)))
}

func with(m map[string]any, name string, value any) map[string]any {
	out := map[string]any{name: value}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}

// Gained would be: to be taken for somebody else, or for longer than one is.
func TestOWASPAPI2BrokenAuthentication(t *testing.T) {
	s := alone(t)
	now := time.Now().Unix()
	victim, mine := s.owner.Signer(), s.mallory.Signer()
	header := map[string]any{"alg": "EdDSA", "typ": "logline-auth+jwt", "kid": victim.Public()}
	claims := map[string]any{"sub": s.owner.ID(), "aud": s.node, "iat": now, "exp": now + 200}
	// The victim's own is taken, so that whatever follows is refused for what differs.
	s.get(forge(t, header, claims, victim.Sign), s.at("")).want(t, http.StatusOK)
	public, err := base64.RawURLEncoding.DecodeString(victim.Public())
	require.NoError(t, err)
	byPublicKey := func(text []byte) []byte {
		mac := hmac.New(sha256.New, public)
		mac.Write(text)
		return mac.Sum(nil)
	}
	nothing := func([]byte) []byte { return nil }
	zero := func([]byte) []byte { return make([]byte, ed25519.SignatureSize) }
	tokens := map[string]string{
		"alg none":                       forge(t, with(header, "alg", "none"), claims, nothing),
		"alg None":                       forge(t, with(header, "alg", "None"), claims, nothing),
		"HMAC by the public key":         forge(t, with(header, "alg", "HS256"), claims, byPublicKey),
		"no signature":                   forge(t, header, claims, nothing),
		"a signature of zeros":           forge(t, header, claims, zero),
		"one's own signature":            forge(t, header, claims, mine.Sign),
		"one's own key":                  forge(t, with(header, "kid", mine.Public()), claims, mine.Sign),
		"a key brought along":            forge(t, with(with(header, "kid", mine.Public()), "jwk", map[string]any{"kty": "OKP", "crv": "Ed25519", "x": mine.Public()}), claims, mine.Sign),
		"a key to be fetched":            forge(t, with(with(header, "kid", mine.Public()), "jku", "https://example.org/keys"), claims, mine.Sign),
		"a key by a path":                forge(t, with(header, "kid", "../../node.key"), claims, mine.Sign),
		"a key by SQL":                   forge(t, with(header, "kid", "' OR '1'='1"), claims, mine.Sign),
		"for another node":               forge(t, header, with(claims, "aud", s.mallory.ID()), victim.Sign),
		"for nobody":                     forge(t, header, with(claims, "aud", ""), victim.Sign),
		"of another type":                forge(t, with(header, "typ", "JWT"), claims, victim.Sign),
		"expired":                        forge(t, header, with(with(claims, "iat", now-400), "exp", now-200), victim.Sign),
		"of tomorrow":                    forge(t, header, with(with(claims, "iat", now+86400), "exp", now+86600), victim.Sign),
		"for a year":                     forge(t, header, with(claims, "exp", now+31536000), victim.Sign),
		"for ever":                       forge(t, header, with(claims, "exp", 1e300), victim.Sign),
		"without an end":                 forge(t, header, map[string]any{"sub": s.owner.ID(), "aud": s.node, "iat": now}, victim.Sign),
		"with an extension":              forge(t, with(header, "crit", []string{"b64"}), claims, victim.Sign),
		"with another subject than key":  forge(t, with(header, "kid", mine.Public()), with(claims, "sub", s.owner.ID()), mine.Sign),
		"the node's, by another":         forge(t, with(header, "kid", mine.Public()), with(claims, "sub", s.node), mine.Sign),
		"cut":                            strings.TrimSuffix(s.token(s.owner), "x")[:100],
		"a span's signature":             forge(t, header, claims, func([]byte) []byte { return signatureOf(t, s.seal(s.owner, "{}")) }),
		"of one who is not here":         s.token(keys(t)),
		"an API key that was made up":    "llk_" + strings.Repeat("a", 75),
		"a session that was made up":     "lls_" + strings.Repeat("a", 75),
		"the bootstrap token once spent": "llb_" + strings.Repeat("a", 40),
	}
	for name, token := range tokens {
		require.Equal(t, http.StatusUnauthorized, s.get(token, s.at("")).status, name)
	}
	good := s.token(s.owner)
	for name, header := range map[string]http.Header{
		"two credentials":       {"Authorization": {"Bearer " + s.token(s.mallory), "Bearer " + good}},
		"another scheme":        {"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:admin"))}},
		"a cookie":              {"Cookie": {"session=" + good + "; token=" + good}},
		"a header of a proxy":   {"X-Forwarded-User": {s.owner.ID()}, "X-Remote-User": {s.owner.ID()}, "Remote-User": {s.owner.ID()}},
		"a header of a gateway": {"X-Original-Url": {"/livez"}, "X-Rewrite-Url": {"/livez"}},
	} {
		require.Equal(t, http.StatusUnauthorized, s.ask(http.MethodGet, s.at(""), header).status, name)
	}
	for _, name := range []string{"token", "access_token", "authorization", "api_key", "jwt"} {
		r := s.get("", s.at("/spans?"+name+"="+good))
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized}, r.status, "a token in the address was taken as %s", name)
	}

	// A key that was replaced, withdrawn or is not for tokens.
	rotated := s.identity()
	s.append(s.role(s.owner, rotated, span.ActionGrant, "member")).want(t, http.StatusCreated)
	old := s.token(rotated)
	s.get(old, s.at("")).want(t, http.StatusOK)
	oldKey, oldSigner := s.apiKey(rotated, nil), rotated.Signer()
	event, device, err := rotated.Delegate("device", []string{"note.*"}, "", time.Now(), rand.Reader)
	require.NoError(t, err)
	s.post("", "/v1/identities/"+bare(rotated)+"/events", []byte(event.Raw)).want(t, http.StatusCreated)
	byDevice, err := id.SignToken(device, rotated.ID(), s.node, time.Now(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, s.get(byDevice, s.at("")).status, "a device for notes reads")
	event, err = rotated.Rotate(time.Now(), rand.Reader)
	require.NoError(t, err)
	s.post("", "/v1/identities/"+bare(rotated)+"/events", []byte(event.Raw)).want(t, http.StatusCreated)
	require.Equal(t, http.StatusUnauthorized, s.get(old, s.at("")).status, "a token outlived the key that signed it")
	again, err := id.SignToken(oldSigner, rotated.ID(), s.node, time.Now(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, s.get(again, s.at("")).status, "a former key signs tokens")
	s.get(oldKey, s.at("")).want(t, http.StatusOK) // of the identity and not of its key
	event, err = rotated.Revoke("stolen", time.Now())
	require.NoError(t, err)
	s.post("", "/v1/identities/"+bare(rotated)+"/events", []byte(event.Raw)).want(t, http.StatusCreated)
	require.Equal(t, http.StatusUnauthorized, s.get(oldKey, s.at("")).status, "an API key outlived its identity")

	// An API key: altered, with another's secret, revoked.
	key, mineToo := s.apiKey(s.member, nil), s.apiKey(s.mallory, nil)
	s.get(key, s.at("")).want(t, http.StatusOK)
	for name, text := range map[string]string{
		"upper case": "llk_" + strings.ToUpper(key[4:]), "cut": key[:len(key)-1], "longer": key + "a", "with a space": key + " x",
		"another's id with one's own secret": key[:20] + mineToo[20:],
	} {
		require.Equal(t, http.StatusUnauthorized, s.get(text, s.at("")).status, name)
	}
	s.do(http.MethodDelete, s.token(s.member), "/v1/identities/"+bare(s.member)+"/keys/"+key[4:20], "", nil).want(t, http.StatusOK)
	require.Equal(t, http.StatusUnauthorized, s.get(key, s.at("")).status, "a revoked API key reads")
}

// signatureOf is the raw signature of a span.
func signatureOf(t testing.TB, raw []byte) []byte {
	t.Helper()
	var sp struct {
		Signature struct{ Value string } `json:"signature"`
	}
	require.NoError(t, json.Unmarshal(raw, &sp))
	value, err := base64.RawURLEncoding.DecodeString(sp.Signature.Value)
	require.NoError(t, err)
	return value
}

// ask sends a request of any header.
func (s *scene) ask(method, path string, header http.Header) reply {
	s.t.Helper()
	req, err := http.NewRequest(method, s.URL+path, nil)
	require.NoError(s.t, err)
	req.Header = header
	resp, err := browser().Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	require.NoError(s.t, err)
	return reply{resp.StatusCode, resp.Header, body.Bytes()}
}

// Gained would be: a node of one's own, by being quicker than its operator with
// the bootstrap token, or a name that another asked for at the same moment.
func TestOWASPAPI6UnrestrictedAccessToSensitiveBusinessFlows(t *testing.T) {
	t.Parallel()
	s := newNode(t, "sqlite")
	raw, err := os.ReadFile(filepath.Join(s.Dir, "bootstrap-token"))
	require.NoError(t, err)
	token := strings.TrimSpace(string(raw))
	s.owner, s.mallory = s.identity(), s.identity()

	// Before there is a tenant nothing but the token makes one, also where tenants are open.
	for _, k := range []string{"", s.token(s.mallory), "llb_guessed", strings.ToUpper(token), token + "x", token[:len(token)-1]} {
		r := s.post(k, "/v1/tenants", client.NewTenant{Slug: "first", Name: "x", Owner: s.mallory.ID()})
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, r.status, "%s", r.body)
	}
	// Who has seen the token and is as quick as the operator: one of all wins, once.
	const racers = 16
	slugs := make([]string, racers)
	answers := make([]reply, racers)
	var race sync.WaitGroup
	for i := range racers {
		slugs[i] = "slug-" + string(rune('a'+i))
		body, err := json.Marshal(client.NewTenant{Slug: slugs[i], Name: "x", Owner: s.owner.ID()})
		require.NoError(t, err)
		race.Go(func() {
			answers[i], _ = s.try(context.Background(), http.MethodPost, token, "/v1/tenants", "application/json", bytes.NewReader(body))
		})
	}
	race.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusCreated {
			won++
			continue
		}
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, a.status, "%s", a.body)
	}
	require.Equal(t, 1, won, "tenants were made with one token")
	require.NoFileExists(t, filepath.Join(s.Dir, "bootstrap-token"))
	s.post(token, "/v1/tenants", client.NewTenant{Slug: "second", Name: "x", Owner: s.mallory.ID()}).want(t, http.StatusForbidden)
	s.post(token, "/v1/identities", program.Registration(keys(t))).want(t, http.StatusCreated) // open here, the token does nothing

	// One handle, asked for by many at once, is one identity's.
	for i := range racers {
		registration := program.Registration(keys(t))
		registration.Handle = "ana"
		body, err := json.Marshal(registration)
		require.NoError(t, err)
		race.Go(func() {
			answers[i], _ = s.try(context.Background(), http.MethodPost, "", "/v1/identities", "application/json", bytes.NewReader(body))
		})
	}
	race.Wait()
	won = 0
	for _, a := range answers {
		if a.status == http.StatusCreated {
			won++
			continue
		}
		require.Equal(t, "handle_taken", a.code(), "%s", a.body)
	}
	require.Equal(t, 1, won, "identities with one handle")

	// Where registration and tenants are closed, nobody comes in by any of these.
	closed := newNode(t, "sqlite", "--registration", "closed", "--tenants", "closed")
	for _, k := range []string{"", s.token(s.mallory), "llb_guessed"} {
		r := closed.post(k, "/v1/identities", program.Registration(keys(t)))
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, r.status, "%s", r.body)
		r = closed.post(k, "/v1/identities", map[string]any{"custody": true, "subject": "person"})
		require.Equal(t, http.StatusUnauthorized, r.status, "%s", r.body)
	}
}
