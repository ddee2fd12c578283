package app

import (
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

// What a command does to an account counts at once at the server beside it, and the
// admin timeline tells of it.
func TestAccountIsDeactivated(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cfg := t.Context(), kinds[name](t)
			p := withPeople(t, cfg)
			directory := id.NewDirectory(p.db, id.DefaultVerifier(), time.Now)
			accounts, err := p.newAccounts(directory, id.NewCustody(p.db, p.keeping, directory, p.NodeID(), time.Now, rand.Reader), nil)
			require.NoError(t, err)
			begin := func() (string, error) {
				_, token, err := accounts.Begin(ctx, p.bo.ID(), account.ByPasskey, account.Where{})
				return token, err
			}
			_, err = ActivateAccount(ctx, cfg, quiet(), "@bo", "", false)
			require.Equal(t, "account_unknown", fault.CodeOf(err))
			token, err := begin()
			require.NoError(t, err)
			list := func() (all []AccountShown) {
				require.NoError(t, ListAccounts(ctx, cfg, quiet(), func(a AccountShown) error { all = append(all, a); return nil }))
				return all
			}
			require.Len(t, list(), 1)
			require.Equal(t, "bo", list()[0].Handle)
			require.Equal(t, 1, list()[0].Sessions)
			out, err := ActivateAccount(ctx, cfg, quiet(), "@bo", "left", false)
			require.NoError(t, err)
			require.Equal(t, ChangedAccount{Identity: p.bo.ID(), APIKeys: 1}, out)
			_, err = accounts.Authenticate(ctx, token)
			require.Equal(t, "session_unknown", fault.CodeOf(err))
			_, err = begin()
			require.Equal(t, "account_deactivated", fault.CodeOf(err))
			require.NotEmpty(t, list()[0].DeactivatedAt)
			_, err = ActivateAccount(ctx, cfg, quiet(), p.bo.ID(), "", true)
			require.NoError(t, err)
			_, err = begin()
			require.NoError(t, err)
			p.settle()
			require.NoError(t, p.stop())
			w, err := openWork(ctx, cfg, quiet())
			require.NoError(t, err)
			types, payloads, _ := process{w.own, w.person.Log}.acts(t)
			require.NoError(t, w.Close())
			require.Equal(t, []string{admin.AccountDeactivated, admin.AccountActivated}, types[len(types)-2:])
			require.Contains(t, payloads[len(payloads)-2], `"left"`)
		})
	}
}

// A node without a master key that is set makes one for what it keeps for others,
// once, beside a database that is a file; its own keys stay in theirs.
func TestOwnMasterKey(t *testing.T) {
	t.Parallel()
	cfg := kinds["sqlite"](t)
	held := func(cfg Config) id.Info {
		p := start(t, cfg, nil)
		defer func() { require.NoError(t, p.stop()) }()
		directory := id.NewDirectory(p.db, id.DefaultVerifier(), time.Now)
		custody := id.NewCustody(p.db, p.keeping, directory, p.NodeID(), time.Now, rand.Reader)
		info, err := custody.Create(t.Context(), id.SubjectPerson, "", "", "")
		require.NoError(t, err)
		return info
	}
	held(cfg)
	info, err := os.Stat(cfg.ownMasterPath())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	before, err := os.ReadFile(cfg.ownMasterPath())
	require.NoError(t, err)
	first := held(cfg)
	after, err := os.ReadFile(cfg.ownMasterPath())
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.FileExists(t, cfg.DataDir+"/"+id.NodeKeyFile)

	// One that is set takes over by an exchange; until then both open.
	set := cfg
	set.MasterKeyFile = cfg.DataDir + "/mine.key"
	require.NoError(t, MakeMasterKeyFile(set.MasterKeyFile, rand.Reader))
	held(set)
	opens := func() error {
		p := start(t, set, nil)
		defer func() { require.NoError(t, p.stop()) }()
		directory := id.NewDirectory(p.db, id.DefaultVerifier(), time.Now)
		_, err := id.NewCustody(p.db, p.keeping, directory, p.NodeID(), time.Now, rand.Reader).Held(t.Context(), first.ID)
		return err
	}
	require.NoError(t, opens())
	out, err := RotateMaster(t.Context(), set, quiet(), RotateMasterOptions{})
	require.NoError(t, err)
	require.Equal(t, 2, out.Custody)
	require.NoError(t, os.Remove(cfg.ownMasterPath()))
	require.NoError(t, opens())
	require.NoFileExists(t, cfg.ownMasterPath())
}
