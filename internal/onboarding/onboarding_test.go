package onboarding

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// maker keeps tenants in memory, as durable as the test that owns it.
type maker struct {
	mu    sync.Mutex // guards made
	made  []timeline.Tenant
	after func() error // runs when a tenant is committed and not yet answered
	owner string       // who owns every tenant
}

func (m *maker) Standing(context.Context, string) (standing.View, error) {
	return owned{owner: m.owner}, nil
}

// owned is a tenant with an owner.
type owned struct {
	standing.View
	owner string
}

func (o owned) Roles(identity string) []string {
	if identity == o.owner {
		return []string{"owner"}
	}
	return []string{"admin"}
}

func (o owned) Can(identity string, r standing.Right) bool {
	return slices.ContainsFunc(o.Roles(identity), func(role string) bool { return standing.Allows(role, r) })
}

func (m *maker) CreateTenant(_ context.Context, slug, name, owner string, public bool) (timeline.Tenant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slug == "" {
		return timeline.Tenant{}, fault.New(fault.Invalid, "slug_invalid", "a slug is needed")
	}
	t := timeline.Tenant{ID: "id-of-" + slug, Slug: slug, Name: name, Owner: owner, PublicReading: public}
	m.made = append(m.made, t)
	if m.after != nil {
		return t, m.after()
	}
	return t, nil
}

func (m *maker) Tenants(_ context.Context, _ string, limit int) ([]timeline.Tenant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made[:min(limit, len(m.made))], nil
}

func (m *maker) Tenant(_ context.Context, id string) (timeline.Tenant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.made {
		if t.ID == id {
			return t, nil
		}
	}
	return timeline.Tenant{}, fault.New(fault.NotFound, "tenant_unknown", "no such tenant")
}

type fixture struct {
	db    *storage.DB
	maker *maker
	dir   string
}

func setUp(t *testing.T) fixture {
	t.Helper()
	db, err := storage.Open(t.Context(), "memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	return fixture{db: db, maker: &maker{}, dir: t.TempDir()}
}

// start is a process's start on the fixture's database and directory.
func (f fixture) start(t *testing.T, change func(*Config)) *Service {
	t.Helper()
	cfg := Config{DataDir: f.dir}
	if change != nil {
		change(&cfg)
	}
	s := New(f.db, f.maker, cfg)
	_, _, err := s.FirstRun(t.Context())
	require.NoError(t, err)
	return s
}

func (f fixture) token(t *testing.T) string {
	t.Helper()
	token, err := readToken(f.dir)
	require.NoError(t, err)
	return token
}

func TestFirstRunMakesAPrivateToken(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := New(f.db, f.maker, Config{DataDir: f.dir, Rand: bytes.NewReader(make([]byte, 32))})
	created, path, err := s.FirstRun(t.Context())
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, TokenPath(f.dir), path)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, "llb_"+strings.Repeat("A", 43), f.token(t))

	created, _, err = New(f.db, f.maker, Config{DataDir: f.dir}).FirstRun(t.Context())
	require.NoError(t, err)
	require.False(t, created, "a second start keeps the token")
	require.Equal(t, "llb_"+strings.Repeat("A", 43), f.token(t))
}

func TestTokenMakesOneTenant(t *testing.T) {
	t.Parallel()
	f, ctx := setUp(t), t.Context()
	s := f.start(t, nil)
	token := f.token(t)

	_, err := s.CreateTenant(ctx, "", "acme", "Acme", "me", false)
	require.ErrorIs(t, err, ErrTenantsClosed)
	_, err = s.CreateTenant(ctx, "llb_wrong", "acme", "Acme", "me", false)
	require.ErrorIs(t, err, ErrTokenWrong)
	_, err = s.CreateTenant(ctx, token, "", "Acme", "me", false)
	require.Equal(t, "slug_invalid", fault.CodeOf(err))
	require.FileExists(t, TokenPath(f.dir), "a refused tenant spends nothing")

	made, err := s.CreateTenant(ctx, token, "acme", "Acme", "me", true)
	require.NoError(t, err)
	require.Equal(t, "acme", made.Slug)
	require.NoFileExists(t, TokenPath(f.dir))

	again, err := s.CreateTenant(ctx, token, "acme", "Acme", "me", true)
	require.NoError(t, err, "a client that lost the answer asks again")
	require.Equal(t, made, again)
	_, err = s.CreateTenant(ctx, token, "other", "Acme", "me", true)
	require.ErrorIs(t, err, ErrTokenSpent)
	_, err = s.CreateTenant(ctx, "llb_wrong", "acme", "Acme", "me", true)
	require.ErrorIs(t, err, ErrTokenWrong)
	require.Len(t, f.maker.made, 1)

	s = f.start(t, nil)
	require.NoFileExists(t, TokenPath(f.dir), "a node with a tenant makes no token")
	_, err = s.CreateTenant(ctx, token, "other", "Acme", "me", true)
	require.ErrorIs(t, err, ErrTokenSpent)
}

func TestConfiguredToken(t *testing.T) {
	t.Parallel()
	f, ctx := setUp(t), t.Context()
	configured := func(c *Config) { c.Token = "chosen-by-the-operator" }
	s := f.start(t, configured)
	require.NoFileExists(t, TokenPath(f.dir))
	_, err := s.CreateTenant(ctx, "chosen-by-the-operator", "acme", "Acme", "me", false)
	require.NoError(t, err)
	s = f.start(t, configured)
	_, err = s.CreateTenant(ctx, "chosen-by-the-operator", "other", "Acme", "me", false)
	require.ErrorIs(t, err, ErrTokenSpent)
}

func TestBeginsUntilThereIsATenant(t *testing.T) {
	t.Parallel()
	f, ctx := setUp(t), t.Context()
	begins := func(s *Service, token string, want bool) {
		t.Helper()
		got, err := s.Begins(ctx, token)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	begins(New(f.db, f.maker, Config{DataDir: f.dir, Token: "chosen-by-the-operator"}), "chosen-by-the-operator", false)
	s := f.start(t, func(c *Config) { c.Token = "chosen-by-the-operator" })
	begins(s, "chosen-by-the-operator", true)
	begins(s, "chosen-by-the-operator", true) // it spends nothing
	begins(s, "another", false)
	begins(s, "", false)
	_, err := s.CreateTenant(ctx, "chosen-by-the-operator", "acme", "Acme", "me", false)
	require.NoError(t, err)
	begins(s, "chosen-by-the-operator", false)
}

// A crash between the tenant's transaction and the spending of the token: the
// next start finds the tenant, and the token makes no second one.
func TestCrashBeforeSpending(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"file": nil, "configured": func(c *Config) { c.Token = "chosen-by-the-operator" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setUp(t)
			s := f.start(t, change)
			token := "chosen-by-the-operator"
			if change == nil {
				token = f.token(t)
			}
			type crash struct{}
			f.maker.after = func() error { panic(crash{}) }
			require.Panics(t, func() { _, _ = s.CreateTenant(t.Context(), token, "acme", "Acme", "me", false) })
			f.maker.after = nil
			if change == nil {
				require.FileExists(t, TokenPath(f.dir), "the crash left the token")
			}

			s = f.start(t, change)
			require.NoFileExists(t, TokenPath(f.dir))
			_, err := s.CreateTenant(t.Context(), token, "second", "Acme", "me", false)
			require.ErrorIs(t, err, ErrTokenSpent)
			again, err := s.CreateTenant(t.Context(), token, "acme", "Acme", "me", false)
			require.NoError(t, err)
			require.Equal(t, "id-of-acme", again.ID)
			require.Len(t, f.maker.made, 1)
		})
	}
}

// The mark cannot be written once the tenant stands: the same call again gives
// the tenant, and no other call makes a second.
func TestFailedSpendingIsMadeUpFor(t *testing.T) {
	t.Parallel()
	f, ctx := setUp(t), t.Context()
	s := f.start(t, func(c *Config) { c.OpenTenants = true })
	token := f.token(t)
	f.maker.after = func() error { _, err := f.db.Write.Exec("ALTER TABLE settings RENAME TO away"); return err }
	_, err := s.CreateTenant(ctx, token, "zeta", "Z", "me", false)
	require.Error(t, err)
	f.maker.after = nil
	_, err = f.db.Write.Exec("ALTER TABLE away RENAME TO settings")
	require.NoError(t, err)
	f.maker.made = append([]timeline.Tenant{{ID: "id-of-alpha"}}, f.maker.made...) // somebody's, meanwhile

	_, err = s.CreateTenant(ctx, token, "other", "Z", "me", false)
	require.ErrorIs(t, err, ErrTokenSpent)
	again, err := s.CreateTenant(ctx, token, "zeta", "Z", "me", false)
	require.NoError(t, err)
	require.Equal(t, "id-of-zeta", again.ID)
}

func TestOneTenantForManyCallersAtOnce(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := f.start(t, nil)
	token := f.token(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			_, _ = s.CreateTenant(t.Context(), token, strings.Repeat("x", i+1), "X", "me", false)
		})
	}
	wg.Wait()
	require.Len(t, f.maker.made, 1)
}

func TestOpenTenants(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	s := f.start(t, func(c *Config) { c.OpenTenants = true })
	_, err := s.CreateTenant(t.Context(), "", "acme", "Acme", "me", false)
	require.ErrorIs(t, err, ErrTenantsClosed, "the first one takes the token")
	_, err = s.CreateTenant(t.Context(), f.token(t), "acme", "Acme", "me", false)
	require.NoError(t, err)
	_, err = s.CreateTenant(t.Context(), "", "other", "Other", "me", false)
	require.NoError(t, err)
}

func TestDamagedTokenFile(t *testing.T) {
	t.Parallel()
	f := setUp(t)
	require.NoError(t, os.WriteFile(TokenPath(f.dir), []byte("llb_"), 0o600))
	_, _, err := New(f.db, f.maker, Config{DataDir: f.dir}).FirstRun(t.Context())
	require.Equal(t, "bootstrap_token_unreadable", fault.CodeOf(err))
}

func TestWhoMayImport(t *testing.T) {
	t.Parallel()
	const token = "a-token-of-the-operator"
	f := setUp(t)
	f.maker.owner = "ana"
	s := f.start(t, func(c *Config) { c.Token = token })
	require.NoError(t, s.MayImport(t.Context(), token, ""))
	require.ErrorIs(t, s.MayImport(t.Context(), "another", ""), ErrTokenWrong)
	require.ErrorIs(t, s.MayImport(t.Context(), "", "ana"), ErrImportClosed)

	// What is imported is not the first tenant.
	f.maker.made = append(f.maker.made, timeline.Tenant{ID: "imported", Slug: "imported", ReadOnly: true})
	s = f.start(t, func(c *Config) { c.Token = token })
	require.NoError(t, s.MayImport(t.Context(), token, ""))
	_, err := s.CreateTenant(t.Context(), token, "acme", "Acme", "ana", false)
	require.NoError(t, err)

	require.ErrorIs(t, s.MayImport(t.Context(), token, ""), ErrTokenSpent)
	require.NoError(t, s.MayImport(t.Context(), "", "ana"))
	require.ErrorIs(t, s.MayImport(t.Context(), "", "bob"), ErrImportClosed)
	open := f.start(t, func(c *Config) { c.OpenTenants = true })
	require.NoError(t, open.MayImport(t.Context(), "", "bob"))
}

// TestTheNodesOwnTimelineSpendsNoToken: a node that has told of an act before its
// first tenant was made still takes the token for that.
func TestTheNodesOwnTimelineSpendsNoToken(t *testing.T) {
	t.Parallel()
	f, ctx := setUp(t), t.Context()
	f.maker.made = []timeline.Tenant{{ID: "own", Slug: "node-admin", Node: "logline-id://node", Owner: "logline-id://node"}}
	s := f.start(t, nil)
	made, err := s.CreateTenant(ctx, f.token(t), "acme", "Acme", "me", false)
	require.NoError(t, err)
	require.Equal(t, "acme", made.Slug)
}
