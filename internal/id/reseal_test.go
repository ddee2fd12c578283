package id

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

func testNow() time.Time { return testTime }

// sealedNode is a database with a node and identities in its custody, all sealed
// under master; secrets are those that must come out of it after every exchange.
func sealedNode(t *testing.T, db *storage.DB, master *MasterKey, identities int) (node string, secrets map[string][]byte) {
	t.Helper()
	home := NodeHome{Dir: t.TempDir(), DB: db, Masters: Masters{master}}
	node = home.mustOpen(t, 1).Node.ID()
	c := custody(db, node, master)
	secrets = map[string][]byte{}
	for i := range identities {
		info, err := c.Create(t.Context(), SubjectAgent, "", fmt.Sprint("agent ", i), "")
		require.NoError(t, err)
		held, err := c.Held(t.Context(), info.ID)
		require.NoError(t, err)
		secrets[info.ID] = held.Secret
	}
	return node, secrets
}

var seeds atomic.Int32 // so that no two processes of a test make the same keys

func custody(db *storage.DB, node string, masters ...*MasterKey) *Custody {
	return NewCustody(db, masters, NewDirectory(db, StdVerifier(), testNow), node, testNow, source(byte(100+seeds.Add(1))))
}

// opens says that a process with these master keys has everything.
func opens(t *testing.T, db *storage.DB, node string, secrets map[string][]byte, masters ...*MasterKey) {
	t.Helper()
	o, err := NodeHome{Dir: t.TempDir(), DB: db, Masters: masters}.Open(t.Context(), testTime, source(2))
	require.NoError(t, err)
	require.Equal(t, node, o.Node.ID())
	c := custody(db, node, masters...)
	for identity, secret := range secrets {
		held, err := c.Held(t.Context(), identity)
		require.NoError(t, err)
		require.Equal(t, secret, held.Secret)
	}
}

func reseal(db *storage.DB, to *MasterKey, from ...*MasterKey) Reseal {
	return Reseal{DB: db, Masters: from, To: to, Now: testNow, Rand: source(50), Batch: 2}
}

// blobs is every sealed blob there is, by identity.
func blobs(t *testing.T, db *storage.DB) map[string][]byte {
	t.Helper()
	rows, err := db.Read.Query(`SELECT identity, sealed FROM sealed_keys`)
	require.NoError(t, err)
	defer rows.Close()
	out := map[string][]byte{}
	for rows.Next() {
		var identity string
		var sealed []byte
		require.NoError(t, rows.Scan(&identity, &sealed))
		out[identity] = sealed
	}
	require.NoError(t, rows.Err())
	return out
}

// TestMasterKeyIsExchanged: after it the new key opens everything, and the old
// one nothing, neither by the program nor by itself.
func TestMasterKeyIsExchanged(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, was, is := database(t), masterOf(t, 1), masterOf(t, 2)
		db := open()
		node, secrets := sealedNode(t, db, was, 5)
		before := blobs(t, db)

		var steps []int
		r := reseal(db, is, was)
		r.Progress = func(done, total int) { require.Equal(t, 6, total); steps = append(steps, done) }
		finished := 0
		r.Finish = func(_ context.Context, _ *sql.Tx, by SealedBy) error {
			finished++
			require.Equal(t, SealedBy{ID: is.ID(), Since: testStamp, From: was.ID(), Done: testStamp}, by)
			return nil
		}
		out, err := r.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, Resealed{To: is.ID(), From: []string{was.ID()}, Node: 1, Custody: 5, Unopenable: []string{}, Done: true}, out)
		require.Equal(t, []int{2, 4, 6}, steps)
		opens(t, db, node, secrets, is)

		_, err = NodeHome{Dir: t.TempDir(), DB: open(), Masters: Masters{was}}.Open(t.Context(), testTime, source(3))
		requireCode(t, "master_key_wrong", err)
		old := custody(db, node, was)
		_, err = old.Create(t.Context(), SubjectAgent, "", "", "")
		requireCode(t, "master_key_wrong", err)
		after := blobs(t, db)
		require.Len(t, after, 6)
		for identity, sealed := range after {
			require.NotEqual(t, before[identity], sealed)
			_, err := was.Open(purposeKeys, identity, sealed)
			requireCode(t, "sealed_unopenable", err)
			if identity != node {
				_, err = old.Held(t.Context(), identity)
				requireCode(t, "master_key_wrong", err)
			}
		}

		s, err := ReadSealing(t.Context(), db)
		require.NoError(t, err)
		require.Equal(t, Sealing{By: SealedBy{ID: is.ID(), Since: testStamp, From: was.ID(), Done: testStamp}, Under: map[string]int{is.ID(): 6}}, s)

		// Once more does nothing, and needs the old key no more.
		r = reseal(db, is)
		r.Finish = func(context.Context, *sql.Tx, SealedBy) error { finished++; return nil }
		out, err = r.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, finished)
		require.Equal(t, Resealed{To: is.ID(), From: []string{}, Already: 6, Unopenable: []string{}, Done: true}, out)
		require.Equal(t, after, blobs(t, db))
	})
}

// cut is randomness that ends after so many reads.
type cut struct {
	io.Reader
	left int
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left--; c.left < 0 {
		return 0, errors.New("cut")
	}
	return c.Reader.Read(p)
}

// TestExchangeThatEndsAnywhere: an exchange that ends at any row, by a failure or
// because it is told to, leaves a database that processes with both keys work on,
// and the next run goes on.
func TestExchangeThatEndsAnywhere(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		was, is := masterOf(t, 1), masterOf(t, 2)
		const identities = 5
		db := database(t)()
		node, secrets := sealedNode(t, db, was, identities)
		for end := range identities + 2 {
			for _, told := range []bool{false, true} {
				ctx, cancel := context.WithCancel(t.Context())
				r := reseal(db, is, was)
				r.Batch = 1 + end%3
				if told {
					r.Progress = func(done, _ int) {
						if done >= end {
							cancel()
						}
					}
				} else {
					r.Rand = &cut{r.Rand, end}
				}
				out, err := r.Run(ctx)
				cancel()
				if end <= identities {
					require.Error(t, err, "end %d, told %v", end, told)
					require.False(t, out.Done)
				}
				s, err := ReadSealing(t.Context(), db)
				require.NoError(t, err)
				require.Equal(t, is.ID(), s.By.ID)
				require.Equal(t, out.Node+out.Custody, s.Under[is.ID()], "the report says what is done")
				opens(t, db, node, secrets, is, was)
				opens(t, db, node, secrets, was, is)
				made, err := custody(db, node, was, is).Create(t.Context(), SubjectAgent, "", "", "")
				require.NoError(t, err)
				_, err = custody(db, node, is).Held(t.Context(), made.ID)
				require.NoError(t, err, "sealed under the new key, whichever comes first")
				out, err = reseal(db, is, was).Run(t.Context())
				require.NoError(t, err)
				require.True(t, out.Done)
				opens(t, db, node, secrets, is)
				_, err = db.Write.Exec(`DELETE FROM sealed_keys WHERE identity = $1`, made.ID)
				require.NoError(t, err)
				was, is = is, was // and back
			}
		}
	})
}

// TestExchangeWhileProcessesWork: processes with both keys make identities, sign
// for them and rotate the node's key meanwhile; nothing fails, and nothing is left
// under the old key.
func TestExchangeWhileProcessesWork(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		open, was, is := database(t), masterOf(t, 1), masterOf(t, 2)
		db := open()
		node, secrets := sealedNode(t, db, was, 20)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		var wg sync.WaitGroup
		var mu sync.Mutex // guards failed and secrets
		var failed []error
		made := make(chan struct{}, 1000)
		known := slices.Collect(func(yield func(string) bool) {
			for identity := range secrets {
				if !yield(identity) {
					return
				}
			}
		})
		for p, masters := range [][]*MasterKey{{was, is}, {is, was}} {
			process := open()
			c := custody(process, node, masters...)
			n := NodeHome{Dir: t.TempDir(), DB: process, Masters: masters}.mustOpen(t, byte(10+p)).Node
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					info, err := c.Create(context.WithoutCancel(ctx), SubjectAgent, "", "", "")
					var held Held
					if err == nil {
						held, err = c.Held(context.WithoutCancel(ctx), info.ID)
					}
					if err == nil {
						_, err = c.Held(context.WithoutCancel(ctx), known[i%len(known)])
					}
					if err == nil && i%5 == 0 {
						err = n.Rotate(context.WithoutCancel(ctx), testTime, source(byte(150+p*40+i%40)))
					}
					mu.Lock()
					if err != nil {
						failed = append(failed, err)
					} else {
						secrets[info.ID] = held.Secret
					}
					mu.Unlock()
					if err != nil {
						return
					}
					made <- struct{}{}
				}
			})
		}
		for range 4 { // both have begun
			<-made
		}
		for range 3 {
			r := reseal(db, is, was)
			r.Rand = source(byte(60 + seeds.Add(1)))
			out, err := r.Run(t.Context())
			require.NoError(t, err)
			require.True(t, out.Done)
			s, err := ReadSealing(t.Context(), db)
			require.NoError(t, err)
			require.Zero(t, s.Under[was.ID()], "while they work on")
			was, is = is, was
		}
		stop()
		wg.Wait()
		require.Empty(t, failed)
		opens(t, db, node, secrets, was) // what is was, by now
	})
}

func TestExchangeRefusals(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		was, is, other := masterOf(t, 1), masterOf(t, 2), masterOf(t, 3)
		db := database(t)()
		_, err := reseal(db, is, was).Run(t.Context())
		requireCode(t, "nothing_sealed", err)
		node, secrets := sealedNode(t, db, was, 3)
		before, err := ReadSealing(t.Context(), db)
		require.NoError(t, err)
		for _, from := range [][]*MasterKey{{}, {other}} {
			_, err = reseal(db, is, from...).Run(t.Context())
			requireCode(t, "master_key_wrong", err)
			require.ErrorContains(t, err, was.ID())
		}
		after, err := ReadSealing(t.Context(), db)
		require.NoError(t, err)
		require.Equal(t, before, after)

		// A damaged row does not keep the others from being sealed anew, and is told.
		var hurt string
		for identity := range secrets {
			hurt = max(hurt, identity)
		}
		kept := blobs(t, db)[hurt]
		damaged := bytes.Clone(kept)
		damaged[40] ^= 1
		write := func(sealed []byte) {
			require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
				_, err := tx.Exec(`UPDATE sealed_keys SET sealed = $1 WHERE identity = $2`, sealed, hurt)
				return err
			}))
		}
		write(damaged)
		out, err := reseal(db, is, was).Run(t.Context())
		requireCode(t, "sealed_unopenable", err)
		require.ErrorContains(t, err, hurt)
		require.Equal(t, []string{hurt}, out.Unopenable)
		require.Equal(t, 3, out.Node+out.Custody)
		require.False(t, out.Done)
		s, err := ReadSealing(t.Context(), db)
		require.NoError(t, err)
		require.Empty(t, s.By.Done)
		require.Equal(t, map[string]int{was.ID(): 1, is.ID(): 3}, s.Under)
		require.Equal(t, damaged, blobs(t, db)[hurt], "left as it is")
		write(kept) // restored
		out, err = reseal(db, is, was).Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, out.Custody)
		opens(t, db, node, secrets, is)

		// Of two exchanges at once to different keys the later begun one wins.
		first := reseal(db, was, is)
		first.Batch = 1
		first.Progress = func(done, _ int) {
			if done == 1 {
				_, err := reseal(db, other, is, was).Run(t.Context())
				require.NoError(t, err)
			}
		}
		_, err = first.Run(t.Context())
		requireCode(t, "master_key_changed", err)
		opens(t, db, node, secrets, other)
		require.Equal(t, fault.Conflict, fault.KindOf(err))
	})
}

// TestEverythingSealedIsExchanged: a table that names the master key of its rows
// is one that an exchange knows of, or is sealed under the node's own key.
func TestEverythingSealedIsExchanged(t *testing.T) {
	t.Parallel()
	db, err := storage.Open(t.Context(), "memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	rows, err := db.Read.Query(`SELECT t.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
		WHERE t.schema = 'main' AND t.type = 'table' AND c.name IN ('master', 'sealed') GROUP BY t.name ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(t, rows.Err())
	// Tickets and invitations are sealed under their own tokens, which the node does not have.
	require.Equal(t, []string{"feed_tickets", "invitations", "sealed_keys", "sealed_secrets", "webhooks"}, tables, "a further table with sealed rows: Reseal has to go through it")
}

// Small secrets are exchanged with the keys, and open under the new master key alone.
func TestSecretsAreExchanged(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		db, was, is := database(t)(), masterOf(t, 1), masterOf(t, 2)
		get := func(under *MasterKey, purpose string) (plain string, err error) {
			err = db.InTx(t.Context(), func(tx *sql.Tx) error {
				got, _, err := NewSecrets(db, Masters{under}, source(7)).Get(t.Context(), tx, purpose, "a name")
				plain = string(got)
				return err
			})
			return plain, err
		}
		before := NewSecrets(db, Masters{was}, source(7))
		for _, purpose := range []string{"totp", "totp.offer"} {
			require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
				return before.Put(t.Context(), tx, purpose, "a name", []byte("of "+purpose))
			}))
		}
		r := reseal(db, is, was)
		r.Batch = 1
		out, err := r.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, [3]int{0, 0, 2}, [3]int{out.Node, out.Custody, out.Secrets})
		for _, purpose := range []string{"totp", "totp.offer"} {
			plain, err := get(is, purpose)
			require.NoError(t, err)
			require.Equal(t, "of "+purpose, plain)
			_, err = get(was, purpose)
			requireCode(t, "master_key_wrong", err)
		}
		out, err = reseal(db, is, was).Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, out.Already)
	})
}
