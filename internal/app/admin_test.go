package app

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// process is another process of a node, as far as its admin timeline goes: all
// that it shares with the first is the database and the keys.
type process struct {
	own *admin.Timeline
	log *timeline.Log
}

func another(t *testing.T, a *App) process {
	t.Helper()
	verify := id.DefaultVerifier()
	_, log, err := a.openLog(t.Context(), verify)
	require.NoError(t, err)
	eng := a.newEngine(log, id.NewDirectory(a.db, verify, a.opt.Now), verify, bus.New(), nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = eng.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return process{a.newAdmin(eng, log), log}
}

// acts are what the admin timeline tells of: type and payload, in order.
func (p process) acts(t *testing.T) (types []string, payloads []string, authors map[string]bool) {
	t.Helper()
	own, err := p.own.Find(t.Context())
	require.NoError(t, err)
	page, err := p.log.Query(t.Context(), own.ID, timeline.Query{Types: []string{"node.**"}, Limit: timeline.MaxLimit}, standing.Everything())
	require.NoError(t, err)
	authors = map[string]bool{}
	for _, r := range page.Records {
		types = append(types, r.Entry.Span.Type)
		payloads = append(payloads, string(r.Payload))
		authors[r.Entry.Span.Author] = true
	}
	return types, payloads, authors
}

// TestAdminTimeline: what is done to a node stands on a timeline of its own, once,
// whoever tells of it.
func TestAdminTimeline(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := kind(t)
			n := start(t, cfg, nil)
			token, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
			require.NoError(t, err)
			keys := makeTenant(t, n, strings.TrimSpace(string(token)))
			first := process{n.own, nil}
			yes, err := n.own.IsOperator(t.Context(), keys.ID())
			require.NoError(t, err)
			require.True(t, yes, "whoever has spent the bootstrap token is the first operator")
			yes, err = n.own.IsOperator(t.Context(), n.NodeID())
			require.NoError(t, err)
			require.True(t, yes)

			// It is nobody's tenant: no list has it, and it spends no token.
			own, err := n.own.Find(t.Context())
			require.NoError(t, err)
			require.True(t, own.OfNode())
			bearer, err := id.SignToken(keys.Signer(), keys.ID(), n.NodeID(), time.Now(), time.Minute)
			require.NoError(t, err)
			status, body := n.ask(t, "GET", "/v1/tenants", bearer, "")
			require.Equal(t, 200, status, body)
			require.NotContains(t, body, own.ID)
			status, body = n.ask(t, "GET", "/v1/tenants/node-admin/spans", bearer, "")
			require.Equal(t, 200, status, body)
			require.Contains(t, body, admin.TenantCreated)
			status, body = n.ask(t, "GET", "/v1/tenants/node-admin/spans", "", "")
			require.Equal(t, 401, status, body)

			if cfg.timelineDir() != "" {
				require.NoError(t, n.stop())
				return // files have one process
			}
			// Two more processes tell at once of what neither they nor a command could.
			book := admin.NewBook(n.db, time.Now)
			for range 5 {
				require.NoError(t, book.Add(t.Context(), admin.Act{Type: admin.Compacted, Reason: "asked for", OSUser: "root"}))
			}
			second, third := another(t, n.App), another(t, n.App)
			var both sync.WaitGroup
			for _, p := range []process{first, second, third} {
				both.Go(func() {
					for range 3 {
						_ = p.own.Tell(context.WithoutCancel(t.Context()))
					}
				})
			}
			both.Wait()
			require.NoError(t, third.own.Tell(t.Context()))
			types, payloads, authors := third.acts(t)
			require.Equal(t, append([]string{admin.TenantCreated}, strings.Fields(strings.Repeat(admin.Compacted+" ", 5))...), types)
			require.JSONEq(t, `{"os_user":"root","reason":"asked for"}`, payloads[1])
			require.Equal(t, map[string]bool{n.NodeID(): true}, authors)
			require.NoError(t, n.stop())
		})
	}
}

// TestAdminTimelineIsMadeOnce: of several processes that have the first act to tell
// of, at the same moment, one makes the timeline, under a name that no tenant has.
func TestAdminTimelineIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := kinds[name](t)
			cfg.Modules = "id,timeline,rules"
			a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, a.Close()) })
			processes := []process{another(t, a), another(t, a), another(t, a), another(t, a)}
			keys, err := id.NewKeys(id.SubjectPerson, time.Now(), strings.NewReader(strings.Repeat("0123456789abcdef", 16)))
			require.NoError(t, err)
			_, _, err = id.NewDirectory(a.db, id.DefaultVerifier(), time.Now).Register(t.Context(), keys.Events(), "", "")
			require.NoError(t, err)
			eng := a.newEngine(processes[0].log, id.NewDirectory(a.db, id.DefaultVerifier(), time.Now), id.DefaultVerifier(), bus.New(), nil, nil)
			_, err = eng.CreateTenant(t.Context(), admin.Slug, "Somebody's", keys.ID(), false)
			require.NoError(t, err)

			var all sync.WaitGroup
			for _, p := range processes {
				all.Go(func() { _ = p.own.Record(context.WithoutCancel(t.Context()), admin.Act{Type: admin.Compacted}) })
			}
			all.Wait()
			require.NoError(t, processes[0].own.Tell(t.Context()))
			tenants, err := processes[0].log.Tenants(t.Context(), "", 100)
			require.NoError(t, err)
			require.Len(t, tenants, 2)
			own, err := processes[1].own.Find(t.Context())
			require.NoError(t, err)
			require.Equal(t, "node-admin-2", own.Slug)
			types, _, _ := processes[2].acts(t)
			require.Len(t, types, len(processes)+1, "and that the tenant was made")
			operators, err := processes[3].own.Operators(t.Context())
			require.NoError(t, err)
			require.Equal(t, []standing.Member{{Identity: keys.ID(), Roles: []string{"owner"}}}, operators)

			// Who is removed is not made one again, by no process and no later act.
			changed, err := processes[0].own.RemoveOperator(t.Context(), keys.ID(), admin.Act{OSUser: "root"})
			require.NoError(t, err)
			require.True(t, changed)
			changed, err = processes[0].own.RemoveOperator(t.Context(), keys.ID(), admin.Act{})
			require.NoError(t, err)
			require.False(t, changed)
			later := another(t, a)
			require.NoError(t, later.own.Record(t.Context(), admin.Act{Type: admin.Compacted}))
			yes, err := later.own.IsOperator(t.Context(), keys.ID())
			require.NoError(t, err)
			require.False(t, yes)
			_, err = later.own.AddOperator(t.Context(), keys.ID(), "guest", admin.Act{})
			require.Equal(t, "operator_role", fault.CodeOf(err))
			_, err = later.own.AddOperator(t.Context(), a.NodeID(), "admin", admin.Act{})
			require.Equal(t, "operator_is_node", fault.CodeOf(err))
			changed, err = later.own.AddOperator(t.Context(), keys.ID(), "admin", admin.Act{})
			require.NoError(t, err)
			require.True(t, changed)
			yes, err = later.own.IsOperator(t.Context(), keys.ID())
			require.NoError(t, err)
			require.True(t, yes)
		})
	}
}

// TestStartsAreCompared: what is other than at the last start is told of once.
func TestStartsAreCompared(t *testing.T) {
	t.Parallel()
	cfg := kinds["sqlite"](t)
	require.NoError(t, start(t, cfg, nil).stop())
	cfg.Tenants = Open
	n := start(t, cfg, nil)
	p := another(t, n.App)
	require.NoError(t, p.own.Tell(t.Context()))
	types, payloads, _ := p.acts(t)
	require.Equal(t, []string{admin.SettingsChanged}, types)
	require.JSONEq(t, `{"facts":{"tenants":{"from":"closed","to":"open"}}}`, payloads[0])
	require.NoError(t, n.stop())

	a, err := New(t.Context(), cfg, Options{Log: slog.New(slog.DiscardHandler), RotateKey: true})
	require.NoError(t, err)
	n = run(t, a, &logs{})
	p = another(t, n.App)
	require.NoError(t, p.own.Tell(t.Context()))
	types, _, _ = p.acts(t)
	require.Equal(t, []string{admin.SettingsChanged, admin.NodeKeyRotated}, types)
	require.NoError(t, n.stop())
}

// TestActsAreChecked: what no span could tell of is refused where it is noted.
func TestActsAreChecked(t *testing.T) {
	t.Parallel()
	a, err := New(t.Context(), kinds["sqlite"](t), Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	book := admin.NewBook(a.db, time.Now)
	for code, act := range map[string]admin.Act{
		"reason_invalid": {Type: admin.Compacted, Reason: strings.Repeat("x", 257)},
		"act_invalid":    {Type: "logline.genesis"},
	} {
		require.Equal(t, code, fault.CodeOf(book.Add(t.Context(), act)))
	}
	for _, act := range []admin.Act{{Type: "No Type"}, {Type: admin.Compacted, By: "ana"}, {Type: admin.Compacted, Subject: strings.Repeat("x", 257)}, {Type: admin.Compacted, Facts: map[string]any{"n": 1 << 60}}} {
		require.Equal(t, "act_invalid", fault.CodeOf(book.Add(t.Context(), act)))
	}
	var n int
	require.NoError(t, a.db.Read.QueryRowContext(t.Context(), "SELECT count(*) FROM node_acts").Scan(&n))
	require.Zero(t, n)
}
