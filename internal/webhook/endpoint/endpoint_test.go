package endpoint_test

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/webhook"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
	sending "github.com/danvoulez/logline/internal/webhook"
	"github.com/danvoulez/logline/internal/webhook/endpoint"
)

const (
	tenantA = "0a000000-0000-8000-8000-000000000000"
	tenantB = "0b000000-0000-8000-8000-000000000000"
	alice   = "did:logline:alice"
	bob     = "did:logline:bob"
	there   = "https://example.org/hook?key=hunter2"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// desk is a book, the database it is in, and its clock.
type desk struct {
	*endpoint.Book
	t   *testing.T
	db  *storage.DB
	mu  sync.Mutex // guards now
	now time.Time
}

func each(t *testing.T, test func(d *desk)) {
	t.Helper()
	t.Parallel()
	backend.Each(t, func(t *testing.T, url string) {
		db, err := storage.Open(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		d := &desk{t: t, db: db, now: t0}
		d.Book = d.with(sealer(t))
		test(d)
	}, backend.SQLite, backend.Postgres)
}

func sealer(t *testing.T) *id.MasterKey {
	text, err := id.NewMasterKey(rand.Reader)
	require.NoError(t, err)
	key, err := id.ParseMasterKey(text)
	require.NoError(t, err)
	return key
}

func (d *desk) with(s endpoint.Sealer) *endpoint.Book {
	return endpoint.New(d.db, s, sending.New(sending.Config{}), func() time.Time {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.now
	}, rand.Reader)
}

func (d *desk) set(tenant, name string) string {
	d.t.Helper()
	_, secret, err := d.Set(d.t.Context(), tenant, name, there, alice)
	require.NoError(d.t, err)
	return secret
}

// signs says whether a webhook's messages are signed with each of the secrets.
func (d *desk) signs(tenant, name string, secrets ...string) (out []bool) {
	d.t.Helper()
	to, err := d.Endpoint(d.t.Context(), tenant, name)
	require.NoError(d.t, err)
	require.Equal(d.t, there, to.URL)
	list := ""
	for _, s := range to.Secrets {
		list += s.Sign("m", d.now, nil) + " "
	}
	h := http.Header{}
	h.Set(webhook.HeaderID, "m")
	h.Set(webhook.HeaderTimestamp, strconv.FormatInt(d.now.Unix(), 10))
	h.Set(webhook.HeaderSignature, list)
	for _, secret := range secrets {
		_, err := webhook.Receiver{Secrets: []string{secret}, Now: func() time.Time { return d.now }}.Verify(h, nil)
		out = append(out, err == nil)
	}
	return out
}

func TestSettings(t *testing.T) {
	each(t, func(d *desk) {
		ctx := d.t.Context()
		_, err := d.Endpoint(ctx, tenantA, "inbox")
		require.ErrorIs(d.t, err, endpoint.ErrUnknown)
		list, err := d.List(ctx, tenantA)
		require.NoError(d.t, err)
		require.Empty(d.t, list)

		w, secret, err := d.Set(ctx, tenantA, "inbox", there, alice)
		require.NoError(d.t, err)
		require.Equal(d.t, endpoint.Webhook{
			Name: "inbox", URL: there, Secrets: []endpoint.Secret{{Since: "2026-03-01T12:00:00.000Z"}},
			CreatedBy: alice, CreatedAt: "2026-03-01T12:00:00.000Z", ChangedBy: alice, ChangedAt: "2026-03-01T12:00:00.000Z",
		}, w)
		require.Equal(d.t, []bool{true}, d.signs(tenantA, "inbox", secret))

		d.now = d.now.Add(time.Hour)
		w, again, err := d.Set(ctx, tenantA, "inbox", "https://example.org/other", bob)
		require.NoError(d.t, err)
		require.Empty(d.t, again, "the secret is shown once")
		require.Equal(d.t, "https://example.org/other", w.URL)
		require.Equal(d.t, []string{alice, "2026-03-01T12:00:00.000Z", bob, "2026-03-01T13:00:00.000Z"}, []string{w.CreatedBy, w.CreatedAt, w.ChangedBy, w.ChangedAt})
		require.Empty(d.t, d.set(tenantA, "inbox"))
		require.Equal(d.t, []bool{true}, d.signs(tenantA, "inbox", secret), "and stays")

		other := d.set(tenantB, "inbox")
		require.NotEqual(d.t, secret, other)
		d.set(tenantA, "archive")
		list, err = d.List(ctx, tenantA)
		require.NoError(d.t, err)
		require.Len(d.t, list, 2)
		require.Equal(d.t, []string{"archive", "inbox"}, []string{list[0].Name, list[1].Name})
		require.NotContains(d.t, fmt.Sprintf("%+v", list), "whsec_")

		gone, err := d.Delete(ctx, tenantA, "inbox")
		require.NoError(d.t, err)
		require.Equal(d.t, list[1], gone)
		_, err = d.Delete(ctx, tenantA, "inbox")
		require.ErrorIs(d.t, err, endpoint.ErrUnknown)
		require.Equal(d.t, []bool{true}, d.signs(tenantB, "inbox", other), "another tenant's is another one")
		_, _, err = d.Rotate(ctx, tenantA, "inbox", 0, alice)
		require.ErrorIs(d.t, err, endpoint.ErrUnknown)
		require.NotEqual(d.t, secret, d.set(tenantA, "inbox"), "made anew")
	})
}

func TestRotate(t *testing.T) {
	each(t, func(d *desk) {
		ctx := d.t.Context()
		first := d.set(tenantA, "inbox")
		w, second, err := d.Rotate(ctx, tenantA, "inbox", time.Hour, bob)
		require.NoError(d.t, err)
		require.Equal(d.t, []endpoint.Secret{{Since: "2026-03-01T12:00:00.000Z"}, {"2026-03-01T12:00:00.000Z", "2026-03-01T13:00:00.000Z"}}, w.Secrets)
		require.Equal(d.t, bob, w.ChangedBy)
		require.Equal(d.t, []bool{true, true}, d.signs(tenantA, "inbox", first, second))

		d.now = t0.Add(30 * time.Minute)
		_, third, err := d.Rotate(ctx, tenantA, "inbox", 2*time.Hour, bob)
		require.NoError(d.t, err)
		require.Equal(d.t, []bool{true, true, true}, d.signs(tenantA, "inbox", first, second, third))
		d.now = t0.Add(time.Hour)
		require.Equal(d.t, []bool{false, true, true}, d.signs(tenantA, "inbox", first, second, third), "the first ends when it was to")
		d.now = t0.Add(150 * time.Minute)
		require.Equal(d.t, []bool{false, false, true}, d.signs(tenantA, "inbox", first, second, third))

		for range endpoint.MaxSecrets - 1 {
			_, _, err = d.Rotate(ctx, tenantA, "inbox", time.Hour, bob)
			require.NoError(d.t, err)
		}
		_, _, err = d.Rotate(ctx, tenantA, "inbox", time.Hour, bob)
		require.Equal(d.t, "webhook_secrets_too_many", fault.CodeOf(err))
		w, last, err := d.Rotate(ctx, tenantA, "inbox", 0, bob)
		require.NoError(d.t, err, "at once there is room")
		require.Len(d.t, w.Secrets, 1)
		require.Equal(d.t, []bool{false, true}, d.signs(tenantA, "inbox", third, last))
		for _, grace := range []time.Duration{-1, endpoint.MaxGrace + 1} {
			_, _, err = d.Rotate(ctx, tenantA, "inbox", grace, bob)
			require.Equal(d.t, "webhook_grace", fault.CodeOf(err))
		}
	})
}

func TestRefusals(t *testing.T) {
	each(t, func(d *desk) {
		ctx := d.t.Context()
		for _, name := range []string{"", "-a", "a b", "a/b", "é", "a\n", string(make([]byte, 65))} {
			_, _, err := d.Set(ctx, tenantA, name, there, alice)
			require.Equal(d.t, "webhook_name", fault.CodeOf(err), "%q", name)
		}
		_, _, err := d.Set(ctx, tenantA, "inbox", "https://127.0.0.1/", alice)
		require.Equal(d.t, "webhook_url", fault.CodeOf(err))
		for i := range endpoint.MaxWebhooks {
			d.set(tenantA, "w"+strconv.Itoa(i))
		}
		_, _, err = d.Set(ctx, tenantA, "one.more", there, alice)
		require.Equal(d.t, "webhooks_too_many", fault.CodeOf(err))
		d.set(tenantA, "w0")
		d.set(tenantB, "one.more")
	})
}

// A receiver that wants no more gets no more, until somebody sets its address.
func TestGone(t *testing.T) {
	each(t, func(d *desk) {
		ctx := d.t.Context()
		secret := d.set(tenantA, "inbox")
		require.NoError(d.t, d.Gone(ctx, tenantA, "inbox", "https://example.org/earlier"))
		require.NoError(d.t, d.Gone(ctx, tenantA, "unknown", there))
		require.Equal(d.t, []bool{true}, d.signs(tenantA, "inbox", secret))
		require.NoError(d.t, d.Gone(ctx, tenantA, "inbox", there))
		d.now = d.now.Add(time.Hour)
		require.NoError(d.t, d.Gone(ctx, tenantA, "inbox", there))
		_, err := d.Endpoint(ctx, tenantA, "inbox")
		require.Equal(d.t, sending.CodeGone, fault.CodeOf(err))
		require.Equal(d.t, fault.Gone, fault.KindOf(err))
		list, err := d.List(ctx, tenantA)
		require.NoError(d.t, err)
		require.Equal(d.t, "2026-03-01T12:00:00.000Z", list[0].GoneAt, "since the first time")
		d.set(tenantA, "inbox")
		require.Equal(d.t, []bool{true}, d.signs(tenantA, "inbox", secret))
	})
}

// TestSealed: whoever reads the database learns neither an address nor a secret,
// and whoever writes to it cannot put one setting in another's place.
func TestSealed(t *testing.T) {
	each(t, func(d *desk) {
		ctx := d.t.Context()
		secret := d.set(tenantA, "inbox")
		d.set(tenantA, "other")
		d.set(tenantB, "inbox")
		exec := func(text string, args ...any) {
			require.NoError(d.t, d.db.InTx(ctx, func(tx *sql.Tx) error {
				if d.db.Dialect == storage.Postgres {
					_, err := tx.ExecContext(ctx, storage.SetTasks, "*")
					require.NoError(d.t, err)
				}
				_, err := tx.ExecContext(ctx, text, args...)
				return err
			}))
		}
		var blob []byte
		require.NoError(d.t, d.db.InTx(ctx, func(tx *sql.Tx) error {
			if d.db.Dialect == storage.Postgres {
				_, err := tx.ExecContext(ctx, storage.SetTasks, "*")
				require.NoError(d.t, err)
			}
			return tx.QueryRowContext(ctx, `SELECT sealed FROM webhooks WHERE tenant = $1 AND name = 'inbox'`, tenantA).Scan(&blob)
		}))
		for _, hidden := range []string{"hunter2", "example.org", secret, secret[6:]} {
			require.NotContains(d.t, string(blob), hidden)
		}
		for _, place := range [][2]string{{tenantA, "other"}, {tenantB, "inbox"}} {
			exec(`UPDATE webhooks SET sealed = $3 WHERE tenant = $1 AND name = $2`, place[0], place[1], blob)
			_, err := d.Endpoint(ctx, place[0], place[1])
			require.Equal(d.t, "webhook_unreadable", fault.CodeOf(err))
		}
		list, err := d.List(ctx, tenantA)
		require.NoError(d.t, err, "the others are there")
		require.Equal(d.t, []string{there, ""}, []string{list[0].URL, list[1].URL})
		_, _, err = d.Set(ctx, tenantA, "other", there, alice)
		require.Equal(d.t, "webhook_unreadable", fault.CodeOf(err))
		_, err = d.Delete(ctx, tenantA, "other")
		require.NoError(d.t, err)
		require.NotEmpty(d.t, d.set(tenantA, "other"))

		_, err = d.with(sealer(d.t)).Endpoint(ctx, tenantA, "inbox")
		require.Equal(d.t, "webhook_unreadable", fault.CodeOf(err), "with another node's key")
		require.NotContains(d.t, err.Error(), "hunter2")
	})
}

// TestTenantsAreApart: PostgreSQL shows a tenant's settings to no transaction
// that is another's, whatever the statement says.
func TestTenantsAreApart(t *testing.T) {
	each(t, func(d *desk) {
		if d.db.Dialect != storage.Postgres {
			d.t.Skip("SQLite has no row-level security")
		}
		d.set(tenantA, "inbox")
		for scope, want := range map[string]int{"": 0, tenantB: 0, tenantA: 1} {
			require.NoError(d.t, d.db.InTx(d.t.Context(), func(tx *sql.Tx) error {
				_, err := tx.ExecContext(d.t.Context(), storage.SetTasks, scope)
				require.NoError(d.t, err)
				var n int
				require.NoError(d.t, tx.QueryRowContext(d.t.Context(), `SELECT count(*) FROM webhooks`).Scan(&n))
				require.Equal(d.t, want, n, "%q", scope)
				return nil
			}))
		}
	})
}

// Two who rotate at once both get a secret that signs.
func TestRotatedAtOnce(t *testing.T) {
	each(t, func(d *desk) {
		first := d.set(tenantA, "inbox")
		secrets := make([]string, endpoint.MaxSecrets-1)
		var all sync.WaitGroup
		for i := range secrets {
			all.Go(func() {
				_, secret, err := d.Rotate(d.t.Context(), tenantA, "inbox", time.Hour, bob)
				if err == nil {
					secrets[i] = secret
				}
			})
		}
		all.Wait()
		require.Equal(d.t, []bool{true, true, true, true}, d.signs(tenantA, "inbox", append(secrets, first)...))
	})
}
