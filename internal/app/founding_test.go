package app

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// dying is a store whose process dies at an append: whoever makes one never comes
// back from it.
type dying struct {
	timeline.Store
	before bool // nothing is written then
}

func (d dying) Append(ctx context.Context, b *timeline.Batch) error {
	if !d.before {
		if err := d.Store.Append(ctx, b); err != nil {
			return err
		}
	}
	runtime.Goexit()
	return nil
}

// founder is a node's process that makes tenants of one owner.
type founder struct {
	t     *testing.T
	a     *App
	owner string
	at    atomic.Int64 // the clock
}

func (f *founder) now() time.Time { return time.UnixMilli(f.at.Load()).UTC() }

func newFounder(t *testing.T, cfg Config) *founder {
	t.Helper()
	f := &founder{t: t}
	f.at.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	cfg.Modules = "id,timeline,rules"
	var err error
	f.a, err = New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler), Now: f.now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.a.Close()) })
	keys, err := id.NewKeys(id.SubjectPerson, f.now(), strings.NewReader(strings.Repeat("0123456789abcdef", 16)))
	require.NoError(t, err)
	_, _, err = id.NewDirectory(f.a.db, id.DefaultVerifier(), f.now).Register(t.Context(), keys.Events(), "", "")
	require.NoError(t, err)
	f.owner = keys.ID()
	return f
}

// makes a tenant by a process whose store is changed; it says whether it lived on.
func (f *founder) makes(slug string, change func(timeline.Store) timeline.Store) (lived bool, err error) {
	f.t.Helper()
	verify := id.DefaultVerifier()
	store, _, err := f.a.openLog(f.t.Context(), verify)
	require.NoError(f.t, err)
	log := timeline.NewLog(change(store), f.a.node, verify, timeline.Config{Now: f.now, Folder: engine.Folder{}})
	eng := f.a.newEngine(log, id.NewDirectory(f.a.db, verify, f.now), verify, bus.New(), nil, nil)
	maker := told{eng, f.a.newAdmin(eng, log), f.a.log}
	var process sync.WaitGroup
	process.Go(func() {
		_, err = maker.CreateTenant(f.t.Context(), slug, "A tenant", f.owner, true)
		lived = true
	})
	process.Wait()
	return lived, err
}

func (f *founder) waiting() int64 {
	f.t.Helper()
	n, err := f.a.db.Count(f.t.Context(), "node_acts")
	require.NoError(f.t, err)
	return int64(n)
}

// heard is an Author that says when something was told.
type heard struct {
	admin.Author
	told chan string // types
}

func (h heard) SubmitOwn(ctx context.Context, tenant, typ string, payload []byte, opt engine.OwnOptions) engine.Result {
	r := h.Author.SubmitOwn(ctx, tenant, typ, payload, opt)
	h.told <- typ
	return r
}

// TestATenantIsToldOfWhoeverDies: a process that dies right after a tenant is made,
// before it has said so, leaves what the others need to say it, once.
func TestATenantIsToldOfWhoeverDies(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFounder(t, kinds[name](t))
			lived, _ := f.makes("acme", func(s timeline.Store) timeline.Store { return dying{Store: s} })
			require.False(t, lived)
			one := another(t, f.a)
			made, err := one.log.Tenant(t.Context(), "acme")
			require.NoError(t, err, "the tenant stands")
			_, err = one.own.Find(t.Context())
			require.Equal(t, "admin_timeline_missing", fault.CodeOf(err), "and nobody has told of it")

			// Two others start, at the same moment.
			var both sync.WaitGroup
			for _, p := range []process{one, another(t, f.a)} {
				both.Go(func() { _ = p.own.Tell(context.WithoutCancel(t.Context())) })
			}
			both.Wait()
			require.NoError(t, one.own.Tell(t.Context()))
			types, payloads, _ := one.acts(t)
			require.Equal(t, []string{admin.TenantCreated}, types)
			require.JSONEq(t, `{"by":"`+f.owner+`","facts":{"public_reading":true,"slug":"acme"}}`, payloads[0])
			require.Zero(t, f.waiting())
			own, err := one.own.Find(t.Context())
			require.NoError(t, err)
			found, err := one.log.Query(t.Context(), own.ID, timeline.Query{Subject: made.ID, Limit: 10}, standing.Everything())
			require.NoError(t, err)
			require.Len(t, found.Records, 1, "it is what the act was done to")

			// Another one, and what every start begins, without anybody's asking.
			lived, _ = f.makes("globex", func(s timeline.Store) timeline.Store { return dying{Store: s} })
			require.False(t, lived)
			verify := id.DefaultVerifier()
			eng := f.a.newEngine(one.log, id.NewDirectory(f.a.db, verify, f.now), verify, bus.New(), nil, nil)
			ctx, end := context.WithCancel(t.Context())
			h := heard{eng, make(chan string, 10)}
			var running sync.WaitGroup
			running.Go(func() {
				admin.New(admin.NewBook(f.a.db, f.now), h, one.log, admin.Config{Node: f.a.NodeID(), Logger: f.a.log, Poll: time.Hour}).Run(ctx)
			})
			require.Equal(t, admin.TenantCreated, <-h.told)
			end()
			running.Wait()
			require.NoError(t, one.own.Tell(t.Context()))
			types, _, _ = one.acts(t)
			require.Equal(t, []string{admin.TenantCreated, admin.TenantCreated}, types)
		})
	}
}

// TestATenantThatWasNotMadeIsNotToldOf: not while it may still be made, and not after.
func TestATenantThatWasNotMadeIsNotToldOf(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFounder(t, kinds[name](t))
			plain := func(s timeline.Store) timeline.Store { return s }
			lived, _ := f.makes("acme", func(s timeline.Store) timeline.Store { return dying{s, true} })
			require.False(t, lived)
			p := another(t, f.a)
			require.NoError(t, p.own.Tell(t.Context()))
			_, err := p.own.Find(t.Context())
			require.Equal(t, "admin_timeline_missing", fault.CodeOf(err))
			require.EqualValues(t, 1, f.waiting(), "another process may be making it")

			// What waits keeps nothing else waiting.
			lived, err = f.makes("globex", plain)
			require.True(t, lived)
			require.NoError(t, err)
			require.EqualValues(t, 1, f.waiting())
			types, payloads, _ := p.acts(t)
			require.Len(t, types, 1)
			require.Contains(t, payloads[0], "globex")

			// Who comes too late to a slug makes nothing, which is certain at once.
			lived, err = f.makes("globex", plain)
			require.True(t, lived)
			require.Equal(t, timeline.ErrTenantTaken.Code, fault.CodeOf(err))
			require.EqualValues(t, 2, f.waiting())
			require.NoError(t, p.own.Tell(t.Context()))
			require.EqualValues(t, 1, f.waiting())

			f.at.Add((24*time.Hour + time.Minute).Milliseconds())
			require.NoError(t, p.own.Tell(t.Context()))
			require.Zero(t, f.waiting(), "nobody makes it any more")
			types, _, _ = p.acts(t)
			require.Len(t, types, 1)
		})
	}
}

// TestATenantIsMadeWithANoteOrNot: where it cannot be noted, it is not made.
func TestATenantIsMadeWithANoteOrNot(t *testing.T) {
	t.Parallel()
	f := newFounder(t, kinds["sqlite"](t))
	_, err := f.a.db.Write.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE INSERT ON node_acts BEGIN SELECT RAISE(ABORT, 'no room'); END`)
	require.NoError(t, err)
	lived, err := f.makes("acme", func(s timeline.Store) timeline.Store { return s })
	require.True(t, lived)
	require.Error(t, err)
	_, err = another(t, f.a).log.Tenant(t.Context(), "acme")
	require.Equal(t, fault.NotFound, fault.KindOf(err))
}
