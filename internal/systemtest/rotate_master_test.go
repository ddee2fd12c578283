package systemtest

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
)

// sealedHome is a node's database with keys sealed in it, and what must come out.
type sealedHome struct {
	dir, node string
	was       *id.MasterKey
	text      string // of was
	secrets   map[string][]byte
}

func (s *sealedHome) open(t *testing.T, file string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), "sqlite:"+file)
	require.NoError(t, err)
	return db
}

func (s *sealedHome) custody(db *storage.DB, masters id.Masters) *id.Custody {
	return id.NewCustody(db, masters, id.NewDirectory(db, id.StdVerifier(), time.Now), s.node, time.Now, rand.Reader)
}

func newSealedHome(t *testing.T, identities int) *sealedHome {
	t.Helper()
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	s := &sealedHome{dir: t.TempDir(), text: text, secrets: map[string][]byte{}}
	s.was, err = id.ParseMasterKey(text)
	require.NoError(t, err)
	db := s.open(t, filepath.Join(s.dir, "logline.db"))
	require.NoError(t, db.Migrate(t.Context()))
	o, err := id.NodeHome{Dir: s.dir, DB: db, Masters: id.Masters{s.was}}.Open(t.Context(), time.Now(), rand.Reader)
	require.NoError(t, err)
	s.node = o.Node.ID()
	c := s.custody(db, id.Masters{s.was})
	for range identities {
		info, err := c.Create(t.Context(), id.SubjectAgent, "", "", "")
		require.NoError(t, err)
		held, err := c.Held(t.Context(), info.ID)
		require.NoError(t, err)
		s.secrets[info.ID] = held.Secret
	}
	require.NoError(t, db.Close())
	return s
}

// check looks at what an exchange left: everything opens with the old key beside
// the new one, which is in its file before anything is sealed under it; and where
// it said that it is done, with the new one alone.
func (s *sealedHome) check(t *testing.T, root, said string) {
	db := s.open(t, filepath.Join(root, "data", "logline.db"))
	defer func() { require.NoError(t, db.Close()) }()
	masters := id.Masters{s.was}
	text, err := os.ReadFile(filepath.Join(root, "new.key"))
	if err == nil {
		is, err := id.ParseMasterKey(string(text))
		require.NoError(t, err, "the file of the new key is whole, or is not there")
		masters = id.Masters{is, s.was}
	} else {
		require.True(t, errors.Is(err, os.ErrNotExist), err)
	}
	if strings.Contains(said, `"done":true`) {
		masters = masters[:1]
		require.NotEqual(t, s.was.ID(), masters[0].ID())
	}
	o, err := id.NodeHome{Dir: root, DB: db, Masters: masters}.Open(t.Context(), time.Now(), rand.Reader)
	require.NoError(t, err)
	require.Equal(t, s.node, o.Node.ID())
	c := s.custody(db, masters)
	for identity, secret := range s.secrets {
		held, err := c.Held(t.Context(), identity)
		require.NoError(t, err)
		require.Equal(t, secret, held.Secret)
	}
}

// TestMasterKeyUnderFaults cuts the power, kills the program, or makes a call fail,
// at the system calls by which a master key takes over from another: no key is
// lost, and the same command goes on.
func TestMasterKeyUnderFaults(t *testing.T) {
	t.Parallel()
	traceable(t)
	home := newSealedHome(t, 250) // three transactions
	some := 25
	if testing.Short() {
		some = 5
	}
	s := &scene{
		name: "master key", some: some, again: true,
		prepare: func(t *testing.T, root string) {
			require.NoError(t, os.CopyFS(filepath.Join(root, "data"), os.DirFS(home.dir)))
		},
		command: func(root string) ([]string, []string) {
			return []string{binary, "keys", "rotate-master", "--data-dir", filepath.Join(root, "data"), "--new-key-file", filepath.Join(root, "new.key"), "--generate", "--json"},
				[]string{"LOGLINE_MASTER_KEY=" + home.text}
		},
		check: home.check,
	}
	t.Run("cut", func(t *testing.T) { s.cutPower(t) })
	t.Run("fail", func(t *testing.T) { s.failCalls(t) })
}
