package passkey

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

const (
	passphrase = "correct horse battery staple"
	page       = "https://log.example.com"
)

var cheap = argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// scene is a service on a real database, under a clock that stands still.
type scene struct {
	*Service
	t        testing.TB
	accounts *account.Service
	clock    *atomic.Int64
}

func (s *scene) now() time.Time          { return time.UnixMilli(s.clock.Load()).UTC() }
func (s *scene) advance(d time.Duration) { s.clock.Add(d.Milliseconds()) }

func each(t *testing.T, test func(s *scene)) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		db, _ := backend.Open(t, url)
		test(newScene(t, db))
	}, backend.SQLite, backend.Postgres)
}

func newScene(t testing.TB, db *storage.DB) *scene {
	t.Helper()
	s := &scene{t: t, clock: new(atomic.Int64)}
	s.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	master, err := id.ParseMasterKey(text)
	require.NoError(t, err)
	node, err := id.NewKeys(id.SubjectNode, s.now(), rand.Reader)
	require.NoError(t, err)
	dir, masters := id.NewDirectory(db, id.DefaultVerifier(), s.now), id.Masters{master}
	s.accounts = account.New(db, dir, id.NewCustody(db, masters, dir, node.ID(), s.now, rand.Reader), id.NewSecrets(db, masters, rand.Reader), account.Config{Hash: cheap, Now: s.now})
	s.Service = New(db, dir, s.accounts, Config{Pages: Pages{Own: page}, Now: s.now})
	return s
}

// held is an identity in custody with an account.
func (s *scene) held(handle string) string {
	s.t.Helper()
	info, err := s.accounts.CreateHeld(s.t.Context(), account.NewAccount{Handle: handle, Name: strings.ToUpper(handle), Password: passphrase}, account.Where{})
	require.NoError(s.t, err)
	return info.ID
}

// own is an account of an identity with keys of its own.
func (s *scene) own() string {
	s.t.Helper()
	k, err := id.NewKeys(id.SubjectPerson, s.now(), rand.Reader)
	require.NoError(s.t, err)
	_, _, err = s.dir.Register(s.t.Context(), k.Events(), "", "")
	require.NoError(s.t, err)
	require.NoError(s.t, s.accounts.Create(s.t.Context(), k.ID(), account.NewAccount{}))
	return k.ID()
}

func (s *scene) ask(identity string) options {
	s.t.Helper()
	raw, err := s.BeginRegistration(s.t.Context(), identity, page)
	require.NoError(s.t, err)
	return asked(s.t, raw)
}

// registered is a device with a passkey of an identity.
func (s *scene) registered(identity string) (*device, Passkey) {
	s.t.Helper()
	d := newDevice(s.t)
	d.count = 1
	p, err := s.FinishRegistration(s.t.Context(), identity, "Phone", d.make(s.ask(identity), page))
	require.NoError(s.t, err)
	return d, p
}

func (s *scene) challenge() options {
	s.t.Helper()
	raw, err := s.BeginSignIn(s.t.Context(), page)
	require.NoError(s.t, err)
	return asked(s.t, raw)
}

// signs uses a device once more.
func (s *scene) signs(d *device) (account.Session, string, error) {
	s.t.Helper()
	d.count++
	return s.FinishSignIn(s.t.Context(), d.sign(s.challenge(), page), account.Where{})
}

func refused(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	require.Equal(t, code, fault.CodeOf(err), "%v", err)
	require.Equal(t, kind, fault.KindOf(err))
}

func TestRegisterAndSignIn(t *testing.T) {
	each(t, func(s *scene) {
		ana, bob := s.held("ana"), s.held("bob")
		o := s.ask(ana)
		require.Equal(t, "log.example.com", o.RP.ID)
		require.Equal(t, "ana", o.User.Name)
		require.Equal(t, "required", o.Selection.ResidentKey)
		require.Equal(t, "preferred", o.Selection.UserVerification)
		require.NotContains(t, o.User.ID, "ana")
		d, p := s.registered(ana)
		require.Len(t, s.ask(ana).ExcludeCredentials, 1, "what is registered is not made again")
		require.Empty(t, s.ask(bob).ExcludeCredentials)
		other, _ := s.registered(bob)

		require.Empty(t, s.challenge().AllowCredentials, "nobody is named")
		s.advance(time.Second)
		n, token, err := s.signs(d)
		require.NoError(t, err)
		require.Equal(t, ana, n.Identity)
		require.Equal(t, account.ByPasskey, n.How)
		who, err := s.accounts.Authenticate(t.Context(), token)
		require.NoError(t, err)
		require.True(t, who.Session.Fresh)
		n, _, err = s.signs(other)
		require.NoError(t, err)
		require.Equal(t, bob, n.Identity)

		all, err := s.List(t.Context(), ana)
		require.NoError(t, err)
		p.UsedAt = all[0].UsedAt
		require.Equal(t, []Passkey{p}, all)
		require.Equal(t, Passkey{ID: p.ID, Identity: ana, Party: "log.example.com", Name: "Phone", Verified: true, CreatedAt: "2026-03-01T12:00:00.000Z", UsedAt: "2026-03-01T12:00:01.000Z"}, p)

		_, err = s.FinishRegistration(t.Context(), bob, "", d.make(s.ask(bob), page))
		refused(t, err, fault.Conflict, "passkey_exists")
	})
}

// A challenge is good once, for the one it was made for, and not for long; also where
// the answer was bad.
func TestChallenges(t *testing.T) {
	each(t, func(s *scene) {
		ana, bob := s.held("ana"), s.held("bob")
		d, _ := s.registered(ana)
		sign := func(o options) error {
			d.count++
			_, _, err := s.FinishSignIn(t.Context(), d.sign(o, page), account.Where{})
			return err
		}
		o := s.challenge()
		require.NoError(t, sign(o))
		refused(t, sign(o), fault.Unauthenticated, "passkey_refused")

		o = s.challenge()
		d.origin = "https://evil.example"
		refused(t, sign(o), fault.Unauthenticated, "passkey_refused")
		d.origin = ""
		refused(t, sign(o), fault.Unauthenticated, "passkey_refused")

		o = s.challenge()
		s.advance(lasts)
		refused(t, sign(o), fault.Unauthenticated, "passkey_refused")
		o = s.challenge()
		s.advance(lasts - time.Millisecond)
		require.NoError(t, sign(o))

		o = s.ask(ana)
		o.RPID = o.RP.ID
		refused(t, sign(o), fault.Unauthenticated, "passkey_refused")
		refused(t, sign(options{Challenge: b64(make([]byte, 32)), RPID: "log.example.com"}), fault.Unauthenticated, "passkey_refused")

		for _, o := range []options{s.ask(ana), s.challenge()} {
			o.RP.ID, o.User.ID = "log.example.com", b64(handle(bob))
			_, err := s.FinishRegistration(t.Context(), bob, "", newDevice(t).make(o, page))
			refused(t, err, fault.Invalid, "passkey_challenge")
		}
	})
}

// What an answer must say and be signed by.
func TestAnswersThatDoNotFit(t *testing.T) {
	each(t, func(s *scene) {
		ana, bob := s.held("ana"), s.held("bob")
		d, p := s.registered(ana)
		for what, spoil := range map[string]func(*device){
			"another page":           func(d *device) { d.origin = "https://log.example.com.evil.example" },
			"another port":           func(d *device) { d.origin = page + ":8443" },
			"without TLS":            func(d *device) { d.origin = "http://log.example.com" },
			"another host's passkey": func(d *device) { d.party = "example.com" },
			"another ceremony":       func(d *device) { d.kind = "webauthn.create" },
			"nobody was there":       func(d *device) { d.flags = verified },
			"another key":            func(d *device) { d.key = newDevice(t).key },
			"another passkey":        func(d *device) { d.id = newDevice(t).id },
			"somebody else's":        func(d *device) { d.handle = handle(bob) },
			"nobody's":               func(d *device) { d.handle = nil },
			"synced all at once":     func(d *device) { d.flags |= 0x08 | 0x10 },
		} {
			bad := *d
			bad.count++
			spoil(&bad)
			_, _, err := s.FinishSignIn(t.Context(), bad.sign(s.challenge(), page), account.Where{})
			require.Equal(t, "passkey_refused", fault.CodeOf(err), what)
		}
		for what, spoil := range map[string]func(*device){
			"another page":           func(d *device) { d.origin = "https://evil.example" },
			"another host's passkey": func(d *device) { d.party = "evil.example" },
			"another ceremony":       func(d *device) { d.kind = "webauthn.get" },
			"nobody was there":       func(d *device) { d.flags = verified },
		} {
			bad := newDevice(t)
			spoil(bad)
			_, err := s.FinishRegistration(t.Context(), bob, "", bad.make(s.ask(bob), page))
			require.Equal(t, "passkey_invalid", fault.CodeOf(err), what)
		}
		_, err := s.FinishRegistration(t.Context(), bob, "a\x00b", newDevice(t).make(s.ask(bob), page))
		refused(t, err, fault.Invalid, "passkey_name")
		_, err = s.FinishRegistration(t.Context(), bob, "", []byte(`{}`))
		refused(t, err, fault.Invalid, "passkey_malformed")
		_, _, err = s.FinishSignIn(t.Context(), []byte(`[]`), account.Where{})
		refused(t, err, fault.Invalid, "passkey_malformed")

		all, err := s.List(t.Context(), bob)
		require.NoError(t, err)
		require.Empty(t, all)
		_, _, err = s.signs(d)
		require.NoError(t, err, "none of it changed anything")
		all, err = s.List(t.Context(), ana)
		require.NoError(t, err)
		require.Equal(t, p.ID, all[0].ID)
	})
}

// A copy is found out when the second of the two is used, and then neither goes on.
func TestClone(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		d, p := s.registered(ana)
		thief := *d
		_, _, err := s.signs(&thief)
		require.NoError(t, err)
		_, _, err = s.signs(d)
		refused(t, err, fault.Unauthenticated, "passkey_cloned")
		_, _, err = s.signs(&thief)
		refused(t, err, fault.Unauthenticated, "passkey_cloned")
		all, err := s.List(t.Context(), ana)
		require.NoError(t, err)
		require.NotEmpty(t, all[0].ClonedAt)
		require.NoError(t, s.Remove(t.Context(), ana, p.ID, false))
		_, _, err = s.signs(d)
		refused(t, err, fault.Unauthenticated, "passkey_refused")

		// One that does not count never counts backwards.
		still := newDevice(t)
		_, err = s.FinishRegistration(t.Context(), ana, "", still.make(s.ask(ana), page))
		require.NoError(t, err)
		for range 2 {
			_, _, err = s.FinishSignIn(t.Context(), still.sign(s.challenge(), page), account.Where{})
			require.NoError(t, err)
		}
	})
}

// A passkey that only was touched is one factor.
func TestSecondFactorAfterATouch(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		d, _ := s.registered(ana)
		d.flags = present
		n, _, err := s.signs(d)
		require.NoError(t, err)
		require.Equal(t, account.ByPresence, n.How)
		require.Empty(t, n.Needs, "the account has no second")

		offer, err := s.accounts.OfferSecond(t.Context(), ana, "ana")
		require.NoError(t, err)
		code, err := totp.GenerateCode(offer.Secret, s.now())
		require.NoError(t, err)
		_, _, err = s.accounts.ConfirmSecond(t.Context(), ana, "", code)
		require.NoError(t, err)
		n, token, err := s.signs(d)
		require.NoError(t, err)
		require.Equal(t, account.NeedsTOTP, n.Needs)
		_, err = s.accounts.Authenticate(t.Context(), token)
		refused(t, err, fault.Unauthenticated, "second_factor_required")

		d.flags = present | verified
		n, _, err = s.signs(d)
		require.NoError(t, err)
		require.Empty(t, n.Needs, "what it has and what it knows are two")
	})
}

func TestRenameAndRemove(t *testing.T) {
	each(t, func(s *scene) {
		ana, bob := s.held("ana"), s.held("bob")
		d, p := s.registered(ana)
		named, err := s.Rename(t.Context(), ana, p.ID, "Key on my ring")
		require.NoError(t, err)
		require.Equal(t, "Key on my ring", named.Name)
		for _, name := range []string{"", strings.Repeat("a", 65), "\n"} {
			_, err = s.Rename(t.Context(), ana, p.ID, name)
			refused(t, err, fault.Invalid, "passkey_name")
		}
		_, err = s.Rename(t.Context(), bob, p.ID, "Mine")
		refused(t, err, fault.NotFound, "passkey_unknown")
		refused(t, s.Remove(t.Context(), bob, p.ID, true), fault.NotFound, "passkey_unknown")
		require.NoError(t, s.Remove(t.Context(), ana, p.ID, false), "the password is left")
		refused(t, s.Remove(t.Context(), ana, p.ID, false), fault.NotFound, "passkey_unknown")
		_, _, err = s.signs(d)
		refused(t, err, fault.Unauthenticated, "passkey_refused")
	})
}

// The last way in is not removed by accident. A passkey that is blocked is no way in.
func TestLastWayIn(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		_, err := s.db.Write.ExecContext(t.Context(), `UPDATE accounts SET password = NULL WHERE identity = $1`, ana)
		require.NoError(t, err)
		_, first := s.registered(ana)
		d, second := s.registered(ana)
		thief := *d
		_, _, err = s.signs(&thief)
		require.NoError(t, err)
		_, _, err = s.signs(d)
		refused(t, err, fault.Unauthenticated, "passkey_cloned")
		refused(t, s.Remove(t.Context(), ana, first.ID, false), fault.Conflict, "passkey_last")
		all, err := s.List(t.Context(), ana)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.NoError(t, s.Remove(t.Context(), ana, second.ID, false))
		_, err = s.db.Write.ExecContext(t.Context(), `INSERT INTO account_oidc_links (id, identity, issuer, subject, created_at) VALUES ('a', $1, 'https://login.example', 'a', '2026-03-01T12:00:00.000Z')`, ana)
		require.NoError(t, err)
		require.NoError(t, s.Remove(t.Context(), ana, first.ID, false), "so is another provider's word")
		_, err = s.db.Write.ExecContext(t.Context(), `DELETE FROM account_oidc_links`)
		require.NoError(t, err)
		_, third := s.registered(ana)
		refused(t, s.Remove(t.Context(), ana, third.ID, false), fault.Conflict, "passkey_last")
		require.NoError(t, s.Remove(t.Context(), ana, third.ID, true))

		eve := s.own()
		_, p := s.registered(eve)
		require.NoError(t, s.Remove(t.Context(), eve, p.ID, false), "an identity's own key is a way in")
	})
}

func TestPasskeysHaveAnEnd(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		waiting := s.ask(ana)
		for range most {
			s.registered(ana)
		}
		_, err := s.BeginRegistration(t.Context(), ana, page)
		refused(t, err, fault.Conflict, "passkeys_full")
		_, err = s.FinishRegistration(t.Context(), ana, "", newDevice(t).make(waiting, page))
		refused(t, err, fault.Conflict, "passkeys_full")
	})
}

// What a person has goes with the account.
func TestEraseTakesPasskeys(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		d, _ := s.registered(ana)
		waiting := s.ask(ana)
		found, err := s.accounts.Erase(t.Context(), ana)
		require.NoError(t, err)
		require.True(t, found)
		_, _, err = s.signs(d)
		refused(t, err, fault.Unauthenticated, "passkey_refused")
		_, err = s.FinishRegistration(t.Context(), ana, "", newDevice(t).make(waiting, page))
		refused(t, err, fault.Invalid, "passkey_challenge")
		_, err = s.BeginRegistration(t.Context(), ana, page)
		refused(t, err, fault.NotFound, "account_unknown")
		all, err := s.List(t.Context(), ana)
		require.NoError(t, err)
		require.Empty(t, all)
	})
}

func TestDeactivatedAccount(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		d, _ := s.registered(ana)
		require.NoError(t, s.accounts.Deactivate(t.Context(), ana, ana))
		_, _, err := s.signs(d)
		require.Equal(t, "account_deactivated", fault.CodeOf(err))
	})
}

// Challenges that nobody answers fill no disk, and go when their time is over.
func TestOpenChallengesAreBounded(t *testing.T) {
	each(t, func(s *scene) {
		s.challenge()
		var open int
		_, err := s.db.Write.ExecContext(t.Context(), `
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
			INSERT INTO account_challenges (hash, origin, expires_at) SELECT CAST(CAST(i AS TEXT) AS `+bytesOf(s.db)+`), 'x', '2026-03-01T12:04:00.000Z' FROM n`)
		require.NoError(t, err)
		_, err = s.BeginSignIn(t.Context(), page)
		refused(t, err, fault.Unavailable, "passkeys_busy")
		s.advance(lasts)
		s.challenge()
		require.NoError(t, s.db.Read.QueryRowContext(t.Context(), `SELECT count(*) FROM account_challenges`).Scan(&open))
		require.Equal(t, 1, open)
	})
}

// bytesOf is what a database calls bytes.
func bytesOf(db *storage.DB) string {
	if db.Pool() != nil {
		return "BYTEA"
	}
	return "BLOB"
}

// On which pages passkeys work, and to which name they belong.
func TestPages(t *testing.T) {
	t.Parallel()
	named := func(hostname, port string) bool { return hostname == "log.example" && port == "443" }
	for _, c := range []struct {
		pages        Pages
		origin, want string // a name, or a code
	}{
		{Pages{Own: page}, page, "log.example.com"},
		{Pages{Own: "https://Log.Example.com:443/logline"}, page, "log.example.com"},
		{Pages{Own: page}, page + ":8443", "passkeys_elsewhere"},
		{Pages{Own: page, Named: named}, "https://log.example", "passkeys_elsewhere"},
		{Pages{Own: page}, "https://com", "passkeys_elsewhere"},
		{Pages{Own: page}, "https://evil.log.example.com", "passkeys_elsewhere"},
		{Pages{Own: page, Here: true}, "http://localhost:8080", "localhost"},
		{Pages{Own: page}, "http://localhost:8080", "passkeys_elsewhere"},
		{Pages{Own: "http://localhost:8080"}, "http://localhost:8080", "localhost"},
		{Pages{Own: "http://log.example.com"}, "http://log.example.com", "passkeys_elsewhere"},
		{Pages{Own: "https://192.0.2.1"}, "https://192.0.2.1", "passkeys_elsewhere"},
		{Pages{Named: named}, "https://log.example", "log.example"},
		{Pages{Named: named}, "http://log.example", "passkeys_nowhere"},
		{Pages{Named: named}, "https://log.example:8443", "passkeys_nowhere"},
		{Pages{Here: true}, "http://127.0.0.1:8080", "passkeys_elsewhere"},
		{Pages{Here: true}, "http://evil.localhost:8080", "passkeys_elsewhere"},
		{Pages{}, "http://localhost:8080", "passkeys_nowhere"},
		{Pages{}, "https://evil.example", "passkeys_nowhere"},
		{Pages{}, "null", "passkeys_nowhere"},
		{Pages{}, "https://%zz", "passkeys_nowhere"},
	} {
		got, err := c.pages.party(c.origin)
		if err != nil {
			got = fault.CodeOf(err)
		}
		require.Equal(t, c.want, got, "%s for %+v", c.origin, c.pages)
	}
	_, err := Pages{Here: true}.party("http://127.0.0.1:8080")
	require.ErrorContains(t, err, "open http://localhost:8080")
}

// FuzzAnswers: whatever a browser sends signs nobody in whose passkey did not sign the
// open challenge, and a registration either keeps one passkey or changes nothing.
func FuzzAnswers(f *testing.F) {
	db, _ := backend.Open(f, "memory:")
	s := newScene(f, db)
	ana := s.held("ana")
	d, p := s.registered(ana)
	type parts struct {
		Response struct{ ClientDataJSON, AuthenticatorData, Signature, UserHandle, AttestationObject string }
	}
	seed := func(answer []byte) {
		var a parts
		require.NoError(f, json.Unmarshal(answer, &a))
		raw := func(text string) []byte {
			b, err := base64.RawURLEncoding.DecodeString(text)
			require.NoError(f, err)
			return b
		}
		r := a.Response
		f.Add(raw(r.ClientDataJSON), raw(r.AuthenticatorData), raw(r.Signature), raw(r.UserHandle), raw(r.AttestationObject))
	}
	open := options{Challenge: "OPEN", RPID: "log.example.com", User: s.ask(ana).User}
	open.RP.ID = open.RPID
	d.count++
	seed(d.sign(open, page))
	seed(newDevice(f).make(open, page))
	f.Fuzz(func(t *testing.T, client, auth, signature, user, object []byte) {
		s.t, d.t = t, t
		s.advance(lasts)
		filled := func(o options) string { return b64(bytes.ReplaceAll(client, []byte("OPEN"), []byte(o.Challenge))) }
		answer := d.answer(map[string]any{"clientDataJSON": filled(s.challenge()), "authenticatorData": b64(auth), "signature": b64(signature), "userHandle": b64(user)})
		_, _, err := s.FinishSignIn(t.Context(), answer, account.Where{})
		require.Contains(t, []string{"passkey_refused", "passkey_malformed"}, fault.CodeOf(err), "%v", err)

		_, err = s.FinishRegistration(t.Context(), ana, "", d.answer(map[string]any{"clientDataJSON": filled(s.ask(ana)), "attestationObject": b64(object)}))
		all, failed := s.List(t.Context(), ana)
		require.NoError(t, failed)
		require.Equal(t, err == nil, len(all) == 2, "%v", err)
		for _, made := range all {
			if made.ID != p.ID {
				require.NoError(t, s.Remove(t.Context(), ana, made.ID, false))
			}
		}
		if err != nil {
			require.Contains(t, []string{"passkey_invalid", "passkey_malformed", "passkey_challenge", "passkey_exists"}, fault.CodeOf(err), "%v", err)
		}
	})
}
