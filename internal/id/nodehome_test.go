package id

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// eachDatabase runs a test on SQLite and on PostgreSQL. database makes one that
// several processes open: each call of the function it returns is another
// process's handle.
func eachDatabase(t *testing.T, test func(t *testing.T, database func(*testing.T) func() *storage.DB)) {
	t.Helper()
	for name, newURL := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "logline.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(t *testing.T) func() *storage.DB {
				t.Helper()
				url := newURL(t)
				return func() *storage.DB {
					t.Helper()
					db, err := storage.Open(t.Context(), url)
					require.NoError(t, err)
					t.Cleanup(func() { require.NoError(t, db.Close()) })
					require.NoError(t, db.Migrate(t.Context()))
					return db
				}
			})
		})
	}
}

func (h NodeHome) mustOpen(t *testing.T, seed byte) Opening {
	t.Helper()
	o, err := h.Open(t.Context(), testTime, source(seed))
	require.NoError(t, err)
	return o
}

// held is what a database says of node keys, to see that nothing changed.
func held(t *testing.T, db *storage.DB) (owner string, rows int, sealed []byte) {
	t.Helper()
	owner, err := NodeHome{DB: db}.owner(t.Context())
	require.NoError(t, err)
	require.NoError(t, db.Read.QueryRow(`SELECT count(*) FROM sealed_keys`).Scan(&rows))
	if rows > 0 {
		require.NoError(t, db.Read.QueryRow(`SELECT sealed FROM sealed_keys`).Scan(&sealed))
	}
	return owner, rows, sealed
}

// TestNodeWithoutADisk: with a master key every process on the database is the
// same node, whatever its data directory, and no key touches the disk.
func TestNodeWithoutADisk(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, master := database(t), masterOf(t, 1)
		first := NodeHome{Dir: t.TempDir(), DB: open(), Masters: Masters{master}}
		a := first.mustOpen(t, 1)
		require.True(t, a.Created)
		require.True(t, a.Stored)
		second := NodeHome{Dir: filepath.Join(t.TempDir(), "none"), DB: open(), Masters: Masters{masterOf(t, 1)}}
		b := second.mustOpen(t, 2)
		require.False(t, b.Created)
		require.Equal(t, a.Node.Events(), b.Node.Events())
		require.Equal(t, a.Node.LogKey(), b.Node.LogKey())
		require.Equal(t, a.Node.Signer().Sign([]byte("m")), b.Node.Signer().Sign([]byte("m")))
		require.NoFileExists(t, a.Path)
		require.NoDirExists(t, second.Dir)
		_, rows, sealed := held(t, first.DB)
		require.Equal(t, 1, rows)
		for _, seed := range [][]byte{a.Node.keys.primary.seed(), a.Node.keys.next.seed(), a.Node.log.seed()} {
			require.False(t, bytes.Contains(sealed, seed) || bytes.Contains(sealed, []byte(span.B64(seed))), "in the clear")
		}
	})
}

func TestNodeFirstStartsAtOnce(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, master := database(t), masterOf(t, 1)
		const processes = 6
		homes := make([]NodeHome, processes)
		for i := range homes {
			homes[i] = NodeHome{Dir: t.TempDir(), DB: open(), Masters: Masters{master}}
		}
		opened, failures := make([]Opening, processes), make([]error, processes)
		var wg sync.WaitGroup
		for i, h := range homes {
			wg.Go(func() { opened[i], failures[i] = h.Open(context.Background(), testTime, source(byte(i))) })
		}
		wg.Wait()
		created := 0
		for i, o := range opened {
			require.NoError(t, failures[i])
			require.Equal(t, opened[0].Node.Events(), o.Node.Events())
			if o.Created {
				created++
			}
		}
		require.Equal(t, 1, created)

		// Without a master key each makes a file of its own, and one of them wins.
		open = database(t)
		for i := range homes {
			homes[i] = NodeHome{Dir: t.TempDir(), DB: open()}
		}
		for i, h := range homes {
			wg.Go(func() { opened[i], failures[i] = h.Open(context.Background(), testTime, source(byte(i))) })
		}
		wg.Wait()
		won := 0
		for _, err := range failures {
			if err == nil {
				won++
				continue
			}
			// The later they come, the more they see before they make a file.
			require.Contains(t, []string{"node_mismatch", "node_keys_missing"}, fault.CodeOf(err))
		}
		require.Equal(t, 1, won)
	})
}

func TestMasterKeyOverKeyFile(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open := database(t)
		plain := NodeHome{Dir: t.TempDir(), DB: open()}
		before := plain.mustOpen(t, 1)
		require.True(t, before.Created)
		require.False(t, before.Stored)
		file, err := os.ReadFile(before.Path)
		require.NoError(t, err)

		withMaster := plain
		withMaster.Masters = Masters{masterOf(t, 1)}
		sealed := withMaster.mustOpen(t, 2)
		require.True(t, sealed.Sealed)
		require.Equal(t, before.Node.Events(), sealed.Node.Events())
		require.False(t, withMaster.mustOpen(t, 3).Sealed, "once")
		elsewhere := NodeHome{Dir: t.TempDir(), DB: open(), Masters: withMaster.Masters}
		require.Equal(t, before.Node.ID(), elsewhere.mustOpen(t, 4).Node.ID())
		kept, err := os.ReadFile(before.Path)
		require.NoError(t, err)
		require.Equal(t, file, kept, "the file stays")

		// Without the master key the file still serves, but cannot get ahead.
		spare := plain.mustOpen(t, 5)
		require.True(t, spare.Spare)
		requireCode(t, "master_key_required", spare.Node.Rotate(t.Context(), testTime, source(6)))
		_, err = NodeHome{Dir: t.TempDir(), DB: open()}.Open(t.Context(), testTime, source(7))
		requireCode(t, "master_key_required", err)
		require.NoError(t, sealed.Node.Rotate(t.Context(), testTime, source(8)))
		_, err = plain.Open(t.Context(), testTime, source(9))
		requireCode(t, "node_keys_behind", err)
		require.Equal(t, sealed.Node.Events(), withMaster.mustOpen(t, 10).Node.Events(), "the database wins over an older file")
	})
}

// TestFileAheadOfSealedKeys: a file that was rotated by a binary that knew no
// sealed keys brings them up to date; one that does not continue them is refused.
func TestFileAheadOfSealedKeys(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		home := NodeHome{Dir: t.TempDir(), DB: database(t)()}
		home.mustOpen(t, 1)
		older, _, err := OpenNode(home.Dir, testTime, source(2))
		require.NoError(t, err)
		home.Masters = Masters{masterOf(t, 1)}
		sealed := home.mustOpen(t, 3)
		require.NoError(t, older.Rotate(t.Context(), testTime, source(4)))
		ahead := home.mustOpen(t, 5)
		require.True(t, ahead.Sealed)
		require.Equal(t, older.Events(), ahead.Node.Events())
		require.NoError(t, sealed.Node.Refresh(t.Context()))
		require.Equal(t, older.Events(), sealed.Node.Events())

		require.NoError(t, ahead.Node.Rotate(t.Context(), testTime, source(6)))
		for i := range 2 { // two rotations that are not the sealed one
			require.NoError(t, older.Rotate(t.Context(), testTime, source(byte(7+i))))
		}
		owner, rows, before := held(t, home.DB)
		_, err = home.Open(t.Context(), testTime, source(9))
		requireCode(t, "key_file_malformed", err)
		nowOwner, nowRows, after := held(t, home.DB)
		require.Equal(t, []any{owner, rows, before}, []any{nowOwner, nowRows, after})
	})
}

func TestNodeHomeRefusals(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open := database(t)
		home := NodeHome{Dir: t.TempDir(), DB: open(), Masters: Masters{masterOf(t, 1)}}
		node := home.mustOpen(t, 1).Node
		owner, rows, sealed := held(t, home.DB)
		unchanged := func(what string) {
			t.Helper()
			nowOwner, nowRows, nowSealed := held(t, home.DB)
			require.Equal(t, []any{owner, rows, sealed}, []any{nowOwner, nowRows, nowSealed}, what)
		}

		wrong := NodeHome{Dir: t.TempDir(), DB: open(), Masters: Masters{masterOf(t, 2)}}
		_, err := wrong.Open(t.Context(), testTime, source(2))
		requireCode(t, "master_key_wrong", err)
		require.NoFileExists(t, filepath.Join(wrong.Dir, NodeKeyFile))
		unchanged("wrong master key")

		stranger := NodeHome{Dir: t.TempDir(), DB: open(), Masters: home.Masters}
		_, _, err = OpenNode(stranger.Dir, testTime, source(3))
		require.NoError(t, err)
		_, err = stranger.Open(t.Context(), testTime, source(4))
		requireCode(t, "node_mismatch", err)
		unchanged("another node's file")

		// A blob from another row, and a damaged one, are never taken for keys.
		custody := newKeys(t, SubjectNode, 5)
		vault := NewVault(home.DB, home.Masters, source(6))
		var moved []byte
		require.NoError(t, home.DB.InTx(t.Context(), func(tx *sql.Tx) (err error) {
			_, moved, err = vault.seal(t.Context(), tx, custody)
			return err
		}))
		for what, blob := range map[string][]byte{"moved": moved, "cut": sealed[:len(sealed)-1], "empty": {}} {
			require.NoError(t, home.DB.InTx(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec(`UPDATE sealed_keys SET sealed = $1`, blob)
				return err
			}))
			_, err = home.Open(t.Context(), testTime, source(7))
			requireCode(t, "sealed_unopenable", err)
			require.Error(t, node.Refresh(t.Context()), what)
		}
		require.NoError(t, home.DB.InTx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`DELETE FROM sealed_keys`)
			return err
		}))
		_, err = home.Open(t.Context(), testTime, source(8))
		requireCode(t, "node_keys_missing", err)
	})
}

// TestSealedNodeRotates: every process of the node ends with the same rotation,
// also when two make one at once.
func TestSealedNodeRotates(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, master := database(t), masterOf(t, 1)
		process := func(seed byte) (NodeHome, *Node) {
			h := NodeHome{Dir: t.TempDir(), DB: open(), Masters: Masters{master}}
			return h, h.mustOpen(t, seed).Node
		}
		home, a := process(1)
		_, b := process(2)
		former := a.Signer()
		require.NoError(t, a.Rotate(t.Context(), testTime, source(3)))
		require.NotEqual(t, former.Public(), a.Signer().Public())
		require.Nil(t, b.SignerFor(a.Signer().Public()))
		require.NoError(t, b.Refresh(t.Context()))
		require.Equal(t, a.Events(), b.Events())
		require.Equal(t, a.LogKey(), b.LogKey())
		require.NotNil(t, b.SignerFor(former.Public()))
		require.Equal(t, a.Events(), home.mustOpen(t, 4).Node.Events())

		var wg sync.WaitGroup
		failures := make([]error, 2)
		for i, n := range []*Node{a, b} {
			wg.Go(func() { failures[i] = n.Rotate(context.Background(), testTime, source(byte(5+i))) })
		}
		wg.Wait()
		require.Equal(t, []error{nil, nil}, failures)
		// Each may have come after the other, but never beside it.
		require.NoError(t, a.Refresh(t.Context()))
		require.NoError(t, b.Refresh(t.Context()))
		require.Equal(t, a.Events(), b.Events())
		require.Len(t, a.Events(), 6)

		require.Error(t, a.Rotate(t.Context(), testTime, bytes.NewReader(nil)))
		require.Equal(t, b.Events(), a.Events())
	})
}
