package account

import (
	"context"
	"crypto/rand"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

const passphrase = "correct horse battery staple"

var cheap = argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// scene is a service on a real database, under a clock that stands still.
type scene struct {
	*Service
	t     *testing.T
	db    *storage.DB
	dir   *id.Directory
	clock *atomic.Int64
	cfg   Config
}

func (s *scene) now() time.Time          { return time.UnixMilli(s.clock.Load()).UTC() }
func (s *scene) advance(d time.Duration) { s.clock.Add(d.Milliseconds()) }

// each runs a test on both databases.
func each(t *testing.T, test func(s *scene)) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) { test(newScene(t, url)) }, backend.SQLite, backend.Postgres)
}

func newScene(t *testing.T, url string) *scene {
	t.Helper()
	db, _ := backend.Open(t, url)
	s := &scene{t: t, db: db, clock: new(atomic.Int64), cfg: Config{Hash: cheap}}
	s.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	s.cfg.Now = s.now
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	master, err := id.ParseMasterKey(text)
	require.NoError(t, err)
	s.dir = id.NewDirectory(db, id.DefaultVerifier(), s.now)
	node, err := id.NewKeys(id.SubjectNode, s.now(), rand.Reader)
	require.NoError(t, err)
	masters := id.Masters{master}
	s.Service = New(db, s.dir, id.NewCustody(db, masters, s.dir, node.ID(), s.now, rand.Reader), id.NewSecrets(db, masters, rand.Reader), s.cfg)
	return s
}

// held is an identity in custody with an account.
func (s *scene) held(handle string) string {
	s.t.Helper()
	info, err := s.CreateHeld(s.t.Context(), NewAccount{Handle: handle, Email: handle + "@Example.com", Password: passphrase}, Where{})
	require.NoError(s.t, err)
	return info.ID
}

func (s *scene) keys() *id.Keys {
	s.t.Helper()
	k, err := id.NewKeys(id.SubjectPerson, s.now(), rand.Reader)
	require.NoError(s.t, err)
	_, _, err = s.dir.Register(s.t.Context(), k.Events(), "", "")
	require.NoError(s.t, err)
	return k
}

func from(address string) Where {
	return Where{Address: netip.MustParseAddr(address), Agent: "A browser"}
}

func (s *scene) signIn(name string) string {
	s.t.Helper()
	_, token, err := s.SignIn(s.t.Context(), name, passphrase, "", from("192.0.2.1"))
	require.NoError(s.t, err)
	return token
}

// good says who a token signs in.
func (s *scene) good(token string) id.Credential {
	s.t.Helper()
	who, err := s.Authenticate(s.t.Context(), token)
	require.NoError(s.t, err)
	require.Equal(s.t, id.BySession, who.How)
	return who
}

func (s *scene) bad(token, code string) {
	s.t.Helper()
	_, err := s.Authenticate(s.t.Context(), token)
	require.Equal(s.t, fault.Unauthenticated, fault.KindOf(err), "%v", err)
	require.Equal(s.t, code, fault.CodeOf(err))
}

func TestSignInByEachName(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		for _, name := range []string{"ana", "@ana", " Ana ", "ana@example.com", "ANA@example.com", ana} {
			n, token, err := s.SignIn(t.Context(), name, passphrase, "", from("2001:db8::1"))
			require.NoError(t, err, name)
			who := s.good(token)
			require.Equal(t, ana, who.Identity)
			require.Equal(t, id.Session{ID: n.ID, Fresh: true, Held: true}, *who.Session)
			require.True(t, strings.HasPrefix(token, "lls_"+n.ID))
		}
		all, err := s.Sessions(t.Context(), ana)
		require.NoError(t, err)
		require.Len(t, all, 6)
		require.Equal(t, []string{"password", "2001:db8::1", "A browser", "2026-03-01T12:00:00.000Z"}, []string{all[0].How, all[0].Address, all[0].Agent, all[0].SeenAt})
	})
}

// Whoever names an address first has it to sign in by, until somebody proves to read it.
func TestAddressIsWhoseProvesIt(t *testing.T) {
	each(t, func(s *scene) {
		first := s.held("first")
		s.advance(time.Second)
		second := s.held("second")
		require.NoError(t, s.SetEmail(t.Context(), second, "first@example.com"))
		require.Equal(t, first, s.good(s.signIn("first@example.com")).Identity)
		require.NoError(t, s.ProveEmail(t.Context(), second, "first@example.com"))
		require.Equal(t, second, s.good(s.signIn("first@example.com")).Identity)
		require.Equal(t, "email_taken", fault.CodeOf(s.ProveEmail(t.Context(), first, "First@example.com")))
		require.NoError(t, s.SetEmail(t.Context(), second, "other@example.com"))
		a, err := s.Get(t.Context(), second)
		require.NoError(t, err)
		require.Empty(t, a.EmailProven)
		require.Equal(t, first, s.good(s.signIn("first@example.com")).Identity)
		require.Equal(t, "email_malformed", fault.CodeOf(s.SetEmail(t.Context(), first, "A <a@example.com>")))
	})
}

// A name that there is not, a wrong password, an account without one and one that
// was deactivated: one look, one hash, one count, one answer.
func TestRefusalsAreAlike(t *testing.T) {
	each(t, func(s *scene) {
		s.held("ana")
		left := s.held("left")
		require.NoError(t, s.Deactivate(t.Context(), left, "an operator"))
		none := s.keys()
		require.NoError(t, s.Create(t.Context(), none.ID(), NewAccount{}))
		looks, hashes := 0, 0
		find, check := s.find, s.hasher.check
		s.find = func(ctx context.Context, name string) (login, error) { looks++; return find(ctx, name) }
		s.hasher.check = func(password, hash string) (bool, error) {
			p, _, _, err := argon2id.DecodeHash(hash)
			require.NoError(t, err)
			require.Equal(t, cheap.Memory, p.Memory, "at the same cost")
			hashes++
			return check(password, hash)
		}
		for i, c := range []struct{ name, password string }{
			{"ana", "not it at all, no"}, {"nobody", passphrase}, {"left", passphrase}, {none.ID(), passphrase}, {"nobody@example.com", passphrase},
		} {
			_, token, err := s.SignIn(t.Context(), c.name, c.password, "", from("192.0.2.1"))
			require.Equal(t, errSignIn.Error(), err.Error(), c.name)
			require.Empty(t, token)
			require.Equal(t, [2]int{i + 1, i + 1}, [2]int{looks, hashes}, c.name)
		}
	})
}

func TestTriesAreBounded(t *testing.T) {
	each(t, func(s *scene) {
		s.held("ana")
		try := func(name, password, address string) error {
			_, _, err := s.SignIn(t.Context(), name, password, "", from(address))
			return err
		}
		for _, name := range []string{"ana", "nobody"} { // as many for a name that there is not
			for range ofBoth.most {
				require.Equal(t, "sign_in_refused", fault.CodeOf(try(name, "wrong", "192.0.2.1")))
			}
			err := try(name, passphrase, "192.0.2.1")
			require.Equal(t, "sign_in_limited", fault.CodeOf(err), "%s: not even with the right one", name)
			require.Positive(t, fault.From(err).RetryAfter)
		}
		require.NoError(t, try("ana", passphrase, "192.0.2.2"), "from elsewhere the person gets in")
		s.advance(ofBoth.again)
		require.NoError(t, try("ana", passphrase, "192.0.2.1"))
		require.NoError(t, try("ana", passphrase, "192.0.2.1"), "what succeeds costs no try")
		// Many names from one address; of IPv6 a network is one.
		for range ofAddress.most {
			require.Equal(t, "sign_in_refused", fault.CodeOf(try(rand.Text(), "wrong", "2001:db8::1")))
		}
		require.Equal(t, "sign_in_limited", fault.CodeOf(try("ana", passphrase, "2001:db8::2")))
	})
}

func TestSessionsEnd(t *testing.T) {
	each(t, func(s *scene) {
		ana, ben := s.held("ana"), s.held("ben")
		one, two, three := s.signIn("ana"), s.signIn("ana"), s.signIn("ana")
		bens := s.signIn("ben")
		require.NoError(t, s.End(t.Context(), ana, s.good(one).Session.ID))
		s.bad(one, "session_unknown")
		require.Equal(t, "session_unknown", fault.CodeOf(s.End(t.Context(), ana, s.good(bens).Session.ID)), "another's")
		n, err := s.EndOthers(t.Context(), ana, s.good(two).Session.ID)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		s.bad(three, "session_unknown")
		s.good(two)
		require.Equal(t, ben, s.good(bens).Identity)

		// At once in every process: another service on the same database.
		other := *s
		other.Service = New(s.db, s.dir, s.custody, s.secrets, s.cfg)
		require.NoError(t, other.Deactivate(t.Context(), ana, "an operator"))
		s.bad(two, "session_unknown")
		require.NoError(t, s.Activate(t.Context(), ana))
		s.bad(two, "session_unknown")
		s.good(s.signIn("ana"))

		s.advance(s.Service.cfg.Idle)
		s.bad(bens, "session_expired")
		all, err := s.Sessions(t.Context(), ben)
		require.NoError(t, err)
		require.Empty(t, all)
		long := s.signIn("ana")
		for range 4 { // used every week but one day
			s.good(long)
			s.advance(s.Service.cfg.Idle - 24*time.Hour)
		}
		s.good(long)
		s.advance(s.Service.cfg.Idle - 24*time.Hour)
		s.bad(long, "session_expired")
		s.bad(long[:40]+"a"+long[41:], "session_malformed")
		s.bad("lls_", "session_malformed")
	})
}

func TestFreshness(t *testing.T) {
	each(t, func(s *scene) {
		s.held("ana")
		token := s.signIn("ana")
		who := s.good(token)
		require.True(t, who.Manages())
		require.True(t, who.Covers("logline.member"))
		s.advance(freshFor)
		who = s.good(token)
		require.False(t, who.Manages())
		require.True(t, who.Covers("shop.sold"))
		require.False(t, who.Covers("logline.member"))
		require.Equal(t, "session_not_fresh", fault.CodeOf(who.MaySign("logline.member")))

		k := s.keys() // whose keys the node has not
		_, token, err := s.Begin(t.Context(), k.ID(), ByPassword, Where{})
		require.NoError(t, err)
		who = s.good(token)
		require.False(t, who.Manages())
		require.False(t, who.Covers("shop.sold"))
		require.Equal(t, "session_cannot_sign", fault.CodeOf(who.MaySign("shop.sold")))
	})
}

// A session ends with the key that it began with.
func TestSessionOfAKey(t *testing.T) {
	each(t, func(s *scene) {
		k := s.keys()
		chain, err := s.dir.Chain(t.Context(), k.ID())
		require.NoError(t, err)
		_, token, err := s.BeginByKey(t.Context(), id.Credential{Identity: k.ID(), Key: chain.Keys()[0]}, Where{})
		require.NoError(t, err)
		s.good(token)
		event, err := k.Rotate(s.now(), rand.Reader)
		require.NoError(t, err)
		_, err = s.dir.Add(t.Context(), k.ID(), event.Raw)
		require.NoError(t, err)
		s.bad(token, "key_rotated")
		event, err = k.Revoke("", s.now())
		require.NoError(t, err)
		_, err = s.dir.Add(t.Context(), k.ID(), event.Raw)
		require.NoError(t, err)
		_, _, err = s.Begin(t.Context(), k.ID(), ByPassword, Where{})
		require.Equal(t, "identity_not_active", fault.CodeOf(err))
	})
}

func TestRotation(t *testing.T) {
	each(t, func(s *scene) {
		s.held("ana")
		first := s.signIn("ana")
		require.False(t, s.good(first).Session.Due)
		s.advance(s.Service.cfg.Rotate)
		require.True(t, s.good(first).Session.Due)
		lost, err := s.Rotate(t.Context(), first)
		require.NoError(t, err)
		again, err := s.Rotate(t.Context(), first)
		require.NoError(t, err)
		require.Empty(t, again, "of requests at once, one gets it")
		require.False(t, s.good(first).Session.Due)

		s.advance(24 * time.Hour) // the answer with it was lost: the old one goes on
		require.True(t, s.good(first).Session.Due)
		second, err := s.Rotate(t.Context(), first)
		require.NoError(t, err)
		require.NotEmpty(t, second)
		s.bad(lost, "session_unknown")
		require.Equal(t, s.good(first).Session.ID, s.good(second).Session.ID)
		s.good(first)
		require.False(t, s.good(first).Session.Due, "it was replaced")
		s.advance(overlap)
		s.good(second)
		s.bad(first, "session_replaced") // and who has it may have stolen it
		s.bad(second, "session_unknown")
	})
}

func TestSecondFactor(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		token, elsewhere := s.signIn("ana"), s.signIn("ana")
		session := s.good(token).Session.ID
		_, _, err := s.ConfirmSecond(t.Context(), ana, session, "000000")
		require.Equal(t, "second_factor_not_offered", fault.CodeOf(err))
		offer, err := s.OfferSecond(t.Context(), ana, "ana")
		require.NoError(t, err)
		require.Contains(t, offer.URI, "otpauth://totp/LogLine:ana?")
		code := func() string {
			c, err := totp.GenerateCode(offer.Secret, s.now())
			require.NoError(t, err)
			return c
		}
		_, _, err = s.ConfirmSecond(t.Context(), ana, session, "no")
		require.Equal(t, "second_factor_wrong", fault.CodeOf(err))
		codes, renewed, err := s.ConfirmSecond(t.Context(), ana, session, code())
		require.NoError(t, err)
		require.Len(t, codes, recoveryCodes)
		s.bad(token, "session_unknown")
		s.bad(elsewhere, "session_unknown")
		require.Equal(t, session, s.good(renewed).Session.ID)

		n, half, err := s.SignIn(t.Context(), "ana", passphrase, "", from("192.0.2.1"))
		require.NoError(t, err)
		require.Equal(t, NeedsTOTP, n.Needs)
		s.bad(half, "second_factor_required")
		_, _, err = s.Complete(t.Context(), half, code())
		require.Equal(t, "second_factor_wrong", fault.CodeOf(err), "the code was used to confirm it")
		s.advance(stepSeconds * time.Second)
		_, whole, err := s.Complete(t.Context(), half, code())
		require.NoError(t, err)
		s.bad(half, "session_unknown")
		require.Equal(t, n.ID, s.good(whole).Session.ID)
		_, _, err = s.Complete(t.Context(), whole, code())
		require.Equal(t, "second_factor_missing", fault.CodeOf(err))

		// At once, by a recovery code however it is written, which is good once.
		_, token, err = s.SignIn(t.Context(), "ana", passphrase, strings.ToUpper(strings.ReplaceAll(codes[3], "-", " ")), from("192.0.2.1"))
		require.NoError(t, err)
		s.good(token)
		before, err := s.Sessions(t.Context(), ana)
		require.NoError(t, err)
		_, _, err = s.SignIn(t.Context(), "ana", passphrase, codes[3], from("192.0.2.1"))
		require.Equal(t, "second_factor_wrong", fault.CodeOf(err))
		after, err := s.Sessions(t.Context(), ana)
		require.NoError(t, err)
		require.Len(t, after, len(before), "nothing is left of it")
		a, err := s.Get(t.Context(), ana)
		require.NoError(t, err)
		require.Equal(t, recoveryCodes-1, a.CodesLeft)

		// A key is two factors by itself, another provider's word is one.
		_, token, err = s.Begin(t.Context(), ana, ByPasskey, Where{})
		require.NoError(t, err)
		s.good(token)
		n, _, err = s.Begin(t.Context(), ana, ByOIDC, Where{})
		require.NoError(t, err)
		require.Equal(t, NeedsTOTP, n.Needs)

		// A half session does not wait for ever, nor is a code tried for ever.
		n, half, err = s.SignIn(t.Context(), "ana", passphrase, "", from("192.0.2.1"))
		require.NoError(t, err)
		for range ofSecond.most - 3 { // three were wrong already
			_, _, err = s.Complete(t.Context(), half, "000000")
			require.Equal(t, "second_factor_wrong", fault.CodeOf(err))
		}
		_, _, err = s.Complete(t.Context(), half, code())
		require.Equal(t, "sign_in_limited", fault.CodeOf(err))
		s.advance(halfFor)
		_, _, err = s.Complete(t.Context(), half, code())
		require.Equal(t, "session_expired", fault.CodeOf(err))

		s.advance(time.Hour)
		fresh, err := s.RenewCodes(t.Context(), ana, codes[4])
		require.NoError(t, err)
		require.Equal(t, "second_factor_wrong", fault.CodeOf(s.RemoveSecond(t.Context(), ana, codes[5])), "replaced")
		require.NoError(t, s.RemoveSecond(t.Context(), ana, fresh[0]))
		s.good(s.signIn("ana"))
		var left int
		require.NoError(t, s.db.Read.QueryRow(`SELECT (SELECT count(*) FROM account_codes) + (SELECT count(*) FROM sealed_secrets)`).Scan(&left))
		require.Zero(t, left)
	})
}

func TestPasswordChange(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		token, other := s.signIn("ana"), s.signIn("ana")
		session := s.good(token).Session.ID
		const next = "a new one, just as long"
		_, err := s.ChangePassword(t.Context(), ana, session, "wrong", next, true)
		require.Equal(t, "password_wrong", fault.CodeOf(err))
		s.good(other)
		fresh, err := s.ChangePassword(t.Context(), ana, session, passphrase, next, true)
		require.NoError(t, err)
		s.bad(token, "session_unknown")
		s.bad(other, "session_unknown")
		s.good(fresh)
		_, _, err = s.SignIn(t.Context(), "ana", passphrase, "", from("192.0.2.1"))
		require.Equal(t, "sign_in_refused", fault.CodeOf(err))
		_, _, err = s.SignIn(t.Context(), "ana", next, "", from("192.0.2.1"))
		require.NoError(t, err)
	})
}

func TestPasswordRules(t *testing.T) {
	t.Parallel()
	s := &Service{cfg: Config{}.withDefaults()}
	for password, code := range map[string]string{
		passphrase: "", "short, but fine": "", "fourteen chars": "password_short", "": "password_short",
		strings.Repeat("ab", 20): "password_guessable", strings.Repeat("x", 300): "password_malformed", "with\x00nul, long enough": "password_malformed",
		"Ana.Silva@example.com": "password_guessable", "logline-ana-silva-12": "password_guessable", "şifre uzun ve güzel bir söz": "", "\xff\xfe is no UTF-8 at all": "password_malformed",
	} {
		require.Equal(t, code, fault.CodeOf(s.judgePassword("/password", password, "ana", "Ana Silva", "ana.silva@example.com")), "%q", password)
	}
	// A character written in one way is the same written in another (NFC).
	h := newHasher(cheap)
	hash, err := h.hash(t.Context(), "caf\u00e9 au lait, s'il vous pla\u00eet")
	require.NoError(t, err)
	match, err := h.match("cafe\u0301 au lait, s'il vous plai\u0302t", hash)
	require.NoError(t, err)
	require.True(t, match)
}

// What a password costs by default, as documented.
func TestDefaultHash(t *testing.T) {
	t.Parallel()
	h := newHasher(DefaultHash)
	hash, err := h.hash(t.Context(), passphrase)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=47104,t=2,p=1$"), hash)
	match, err := h.match(passphrase, hash)
	require.NoError(t, err)
	require.True(t, match)
	require.False(t, h.stale(hash))
	require.True(t, newHasher(cheap).stale(hash))
	match, err = newHasher(cheap).match(passphrase, "")
	require.NoError(t, err)
	require.False(t, match)
}

// A hash of another cost is made anew when its password is there.
func TestRehash(t *testing.T) {
	each(t, func(s *scene) {
		s.held("ana")
		dear := s.cfg
		dear.Hash.Iterations = 2
		other := New(s.db, s.dir, s.custody, s.secrets, dear)
		_, _, err := other.SignIn(t.Context(), "ana", passphrase, "", Where{})
		require.NoError(t, err)
		found, err := s.findLogin(t.Context(), "ana")
		require.NoError(t, err)
		require.Contains(t, found.hash, ",t=2,")
		s.good(s.signIn("ana"))
	})
}

func TestErase(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		token := s.signIn("ana")
		_, err := s.OfferSecond(t.Context(), ana, "ana")
		require.NoError(t, err)
		found, err := s.Erase(t.Context(), ana)
		require.NoError(t, err)
		require.True(t, found)
		s.bad(token, "session_unknown")
		found, err = s.Erase(t.Context(), ana)
		require.NoError(t, err)
		require.False(t, found)
		for _, table := range []string{"accounts", "account_codes", "account_sessions", "sealed_secrets"} {
			var n int
			require.NoError(t, s.db.Read.QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
			require.Zero(t, n, table)
		}
	})
}

// One of an account and its identity is never there without the other.
func TestCreateHeldIsWhole(t *testing.T) {
	each(t, func(s *scene) {
		s.held("ana")
		for _, n := range []NewAccount{
			{Handle: "ana", Password: passphrase}, {Handle: "ben"}, {Handle: "ben", Password: "short"}, {Handle: "ben", Password: passphrase, Email: "no"},
		} {
			_, err := s.CreateHeld(t.Context(), n, Where{})
			require.Error(t, err)
		}
		var identities, accounts int
		require.NoError(t, s.db.Read.QueryRow(`SELECT (SELECT count(*) FROM identities), (SELECT count(*) FROM accounts)`).Scan(&identities, &accounts))
		require.Equal(t, [2]int{1, 1}, [2]int{identities, accounts})
		k := s.keys()
		require.NoError(t, s.Create(t.Context(), k.ID(), NewAccount{Password: passphrase}))
		require.Equal(t, "account_exists", fault.CodeOf(s.Create(t.Context(), k.ID(), NewAccount{})))
	})
}

// No more than a hundred are open, and the one not used for longest makes room.
func TestMostSessions(t *testing.T) {
	each(t, func(s *scene) {
		k := s.keys()
		var tokens []string
		for range mostOpen + 1 {
			s.advance(time.Minute)
			_, token, err := s.Begin(t.Context(), k.ID(), ByPasskey, Where{})
			require.NoError(t, err)
			tokens = append(tokens, token)
		}
		s.bad(tokens[0], "session_unknown")
		s.good(tokens[1])
	})
}

// Of many at once, whichever process they ask, one gets the new token, and one has
// the code taken.
func TestOnceAmongMany(t *testing.T) {
	each(t, func(s *scene) {
		ana := s.held("ana")
		token := s.signIn("ana")
		s.advance(s.Service.cfg.Rotate)
		other := New(s.db, s.dir, s.custody, s.secrets, s.cfg)
		at := func(i int) *Service { return []*Service{s.Service, other}[i%2] }
		var wg sync.WaitGroup
		var got, taken atomic.Int32
		for i := range 8 {
			wg.Go(func() {
				fresh, err := at(i).Rotate(context.Background(), token)
				if err == nil && fresh != "" {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, got.Load())

		offer, err := s.OfferSecond(t.Context(), ana, "ana")
		require.NoError(t, err)
		code, err := totp.GenerateCode(offer.Secret, s.now())
		require.NoError(t, err)
		_, _, err = s.ConfirmSecond(t.Context(), ana, "", code)
		require.NoError(t, err)
		s.advance(stepSeconds * time.Second)
		code, err = totp.GenerateCode(offer.Secret, s.now())
		require.NoError(t, err)
		for i := range 8 {
			wg.Go(func() {
				if _, err := at(i).RenewCodes(context.Background(), ana, code); err == nil {
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, taken.Load())
	})
}
