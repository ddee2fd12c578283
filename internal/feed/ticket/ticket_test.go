package ticket

import (
	"crypto/rand"
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// scene is two processes on one database, and the clock of both, which a test moves.
type scene struct {
	t        *testing.T
	one, two *Tickets
	db       *storage.DB
	at       atomic.Int64
}

func (s *scene) now() time.Time { return time.UnixMilli(s.at.Load()).UTC() }

// each runs a test on both databases.
func each(t *testing.T, test func(s *scene)) {
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		s := &scene{t: t}
		s.at.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
		s.db, _ = backend.Open(t, url)
		other, _ := backend.Open(t, url)
		s.one, s.two = New(s.db, s.now, nil), New(other, s.now, rand.Reader)
		test(s)
	}, backend.SQLite, backend.Postgres)
}

func (s *scene) ticket(identity string) Ticket {
	return Ticket{Credential: "the credential of " + identity, Identity: identity, Tenant: "a tenant", Expires: s.now().Add(30 * time.Second)}
}

func (s *scene) make(at *Tickets, k Ticket) string {
	s.t.Helper()
	text, err := at.Make(s.t.Context(), k)
	require.NoError(s.t, err)
	require.True(s.t, Is(text))
	return text
}

func (s *scene) refuses(at *Tickets, text string) {
	s.t.Helper()
	k, err := at.Spend(s.t.Context(), text)
	require.Equal(s.t, ErrInvalid.Code, fault.CodeOf(err), "%v", err)
	require.Zero(s.t, k)
}

func (s *scene) rows() (n int) {
	s.t.Helper()
	require.NoError(s.t, s.db.Read.QueryRow(`SELECT count(*) FROM feed_tickets`).Scan(&n))
	return n
}

// TestAnyProcessOnce: a ticket is good at the process that did not make it, once, and
// gives what it was made with.
func TestAnyProcessOnce(t *testing.T) {
	each(t, func(s *scene) {
		want := s.ticket("ana")
		text := s.make(s.one, want)
		got, err := s.two.Spend(s.t.Context(), text)
		require.NoError(s.t, err)
		require.Equal(s.t, want, got)
		s.refuses(s.two, text)
		s.refuses(s.one, text)
		require.Zero(s.t, s.rows(), "it is gone, and not only marked")
	})
}

// TestOfManyAtOnceOneSpends: at two processes.
func TestOfManyAtOnceOneSpends(t *testing.T) {
	each(t, func(s *scene) {
		for range 5 {
			text := s.make(s.one, s.ticket("ana"))
			var all sync.WaitGroup
			var spent atomic.Int64
			for n := range 8 {
				at := s.one
				if n%2 == 1 {
					at = s.two
				}
				all.Go(func() {
					if _, err := at.Spend(s.t.Context(), text); err == nil {
						spent.Add(1)
					}
				})
			}
			all.Wait()
			require.EqualValues(s.t, 1, spent.Load())
		}
	})
}

func TestWhatIsNoTicket(t *testing.T) {
	each(t, func(s *scene) {
		text := s.make(s.one, s.ticket("ana"))
		s.at.Add(29_999)
		other, err := New(s.db, s.now, nil).Make(s.t.Context(), s.ticket("bo"))
		require.NoError(s.t, err)
		for _, wrong := range []string{"", prefix, "llt_made-up", text[:len(text)-1], text + "a", strings.ToUpper(text), "lls_" + text[4:], text[:30] + other[30:]} {
			s.refuses(s.two, wrong)
		}
		require.Equal(s.t, 2, s.rows(), "none of them spends anything")
		s.at.Add(1)
		s.refuses(s.two, text)
		_, err = s.two.Spend(s.t.Context(), other)
		require.NoError(s.t, err)
	})
}

// TestTicketsAreBounded: of one identity and in all, however many processes make them
// at once; those that expired make room.
func TestTicketsAreBounded(t *testing.T) {
	each(t, func(s *scene) {
		var all sync.WaitGroup
		var made, limited atomic.Int64
		for n := range 80 {
			at := s.one
			if n%2 == 1 {
				at = s.two
			}
			all.Go(func() {
				switch _, err := at.Make(s.t.Context(), s.ticket("ana")); fault.CodeOf(err) {
				case "":
					made.Add(1)
				case ErrLimited.Code:
					limited.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(s.t, mostOne, made.Load())
		require.EqualValues(s.t, 80-mostOne, limited.Load())
		bos := s.make(s.two, s.ticket("bo"))

		require.NoError(s.t, s.db.InTx(s.t.Context(), func(tx *sql.Tx) error {
			for n := s.rows(); n < most; n++ {
				hash := span.Sum([]byte{byte(n), byte(n >> 8)})
				if _, err := tx.Exec(`INSERT INTO feed_tickets (hash, identity, sealed, expires_at) VALUES ($1, $2, $1, $3)`, hash[:], "others", span.FormatTime(s.now().Add(time.Minute))); err != nil {
					return err
				}
			}
			return nil
		}))
		_, err := s.one.Make(s.t.Context(), s.ticket("cy"))
		require.Equal(s.t, ErrLimited.Code, fault.CodeOf(err))
		_, err = s.one.Spend(s.t.Context(), bos)
		require.NoError(s.t, err)
		s.make(s.one, s.ticket("cy"))
		s.at.Add(30_000)
		s.make(s.two, s.ticket("ana"))
		require.Equal(s.t, most-mostOne-1+1, s.rows(), "the expired ones are gone")
	})
}

// TestTheDatabaseTellsNothing: who reads it has neither ticket nor credential, and who
// changes it makes nobody somebody else.
func TestTheDatabaseTellsNothing(t *testing.T) {
	each(t, func(s *scene) {
		text := s.make(s.one, s.ticket("ana"))
		var hash, sealed []byte
		require.NoError(s.t, s.db.Read.QueryRow(`SELECT hash, sealed FROM feed_tickets`).Scan(&hash, &sealed))
		for _, secret := range []string{text, text[4:], "the credential", "a tenant"} {
			require.NotContains(s.t, string(hash)+string(sealed), secret)
		}
		require.NoError(s.t, s.db.InTx(s.t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE feed_tickets SET identity = 'bo'`)
			return err
		}))
		s.refuses(s.two, text)
	})
}

func TestForget(t *testing.T) {
	each(t, func(s *scene) {
		anas, bos := s.make(s.one, s.ticket("ana")), s.make(s.one, s.ticket("bo"))
		require.NoError(s.t, s.two.Forget(s.t.Context(), "ana"))
		s.refuses(s.one, anas)
		_, err := s.one.Spend(s.t.Context(), bos)
		require.NoError(s.t, err)
	})
}

// What nobody used does not stay, though no other ticket is made.
func TestOldTicketsGo(t *testing.T) {
	each(t, func(s *scene) {
		count := func() (n int) {
			require.NoError(s.t, s.db.Read.QueryRowContext(s.t.Context(), `SELECT count(*) FROM feed_tickets`).Scan(&n))
			return n
		}
		s.make(s.one, s.ticket("ana"))
		require.NoError(s.t, s.two.Prune(s.t.Context()))
		require.Equal(s.t, 1, count())
		s.at.Add(30_000)
		require.NoError(s.t, s.two.Prune(s.t.Context()))
		require.Zero(s.t, count())
	})
}
