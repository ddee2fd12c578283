package app

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

var _ httpapi.Admin = admin.Office{}

// newAdmin is the node's admin timeline.
func (a *App) newAdmin(eng *engine.Engine, log *timeline.Log) *admin.Timeline {
	return admin.New(admin.NewBook(a.db, a.opt.Now), eng, log, admin.Config{
		Node: a.node.ID(), Logger: a.log,
		Home: func(ctx context.Context) (string, error) { return onboarding.First(ctx, a.db) },
	})
}

// startAdmin begins to tell of what is noted, by whom ever, and of what is other
// than at the last start; it returns what ends it.
func (a *App) startAdmin(ctx context.Context, own *admin.Timeline) (stop func(), err error) {
	if err := a.noteChanges(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { own.Run(ctx) })
	return func() { cancel(); running.Wait() }, nil
}

// founding notes that a tenant is to be made, before it is: whatever happens to this
// process then, the admin timeline tells of the tenant, if it is there.
func (a *App) founding(ctx context.Context, t timeline.Tenant) error {
	return admin.NewBook(a.db, a.opt.Now).Add(ctx, admin.Act{
		Type: admin.TenantCreated, Subject: t.ID, By: t.Owner, Intended: true,
		Facts: map[string]any{admin.FactSlug: t.Slug, "public_reading": t.PublicReading},
	})
}

// told makes tenants and imports, and has the admin timeline tell of them.
type told struct {
	*engine.Engine
	own *admin.Timeline
	log *slog.Logger
}

// CreateTenant implements onboarding.TenantMaker.
func (t told) CreateTenant(ctx context.Context, slug, name, owner string, publicReading bool) (timeline.Tenant, error) {
	made, err := t.Engine.CreateTenant(ctx, slug, name, owner, publicReading)
	if err == nil {
		if err := t.own.Tell(context.WithoutCancel(ctx)); err != nil {
			t.log.WarnContext(ctx, "a tenant is made, which is noted and not in the admin timeline yet", slog.String("tenant", made.ID), slog.Any("error", err))
		}
	}
	return made, err
}

// Import implements httpapi.Engine.
func (t told) Import(ctx context.Context, bundle io.Reader, opt timeline.ImportOptions) (timeline.Imported, error) {
	out, err := t.Engine.Import(ctx, bundle, opt)
	if err == nil && out.To > out.From {
		t.record(ctx, admin.Act{Type: admin.TenantImported, Subject: out.Tenant.ID, Facts: map[string]any{
			admin.FactSlug: out.Tenant.Slug, "from": out.From, "to": out.To, "node": out.Tenant.Node,
		}})
	}
	return out, err
}

// record tells of what is done already: where that fails it is logged, and the
// answer is that it is done.
func (t told) record(ctx context.Context, act admin.Act) {
	if err := t.own.Record(context.WithoutCancel(ctx), act); err != nil {
		t.log.ErrorContext(ctx, "an act could not be noted for the admin timeline", slog.String("act", act.Type), slog.String("subject", act.Subject), slog.Any("error", err))
	}
}

// startSetting is the settings row with what held at the last start.
const startSetting = "admin_start"

// held is what of a start matters to whoever reviews the node.
type held struct {
	Settings map[string]string `json:"settings"`
	Schema   int64             `json:"schema"`
	NodeKey  string            `json:"node_key"` // public
}

// holds is what holds at this start.
func (a *App) holds(ctx context.Context) (held, error) {
	names := make([]string, len(a.modules))
	for i, m := range a.modules {
		names[i] = m.Name
	}
	schema, _, err := a.db.SchemaVersion(ctx)
	return held{
		Settings: map[string]string{"modules": strings.Join(names, ","), "registration": a.cfg.Registers(), "tenants": a.cfg.Tenants},
		Schema:   schema, NodeKey: a.node.Signer().Public(),
	}, err
}

// noteChanges compares with the last start, whichever process that was, and notes
// what changed. The first start of all has nothing to compare with.
func (a *App) noteChanges(ctx context.Context) error {
	now, err := a.holds(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	book := admin.NewBook(a.db, a.opt.Now)
	return a.db.InTx(ctx, func(tx *sql.Tx) error {
		var was []byte
		err := tx.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = $1`, startSetting).Scan(&was)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return storage.Classify(err)
		}
		if bytes.Equal(was, text) {
			return nil
		}
		var before held
		if was != nil {
			if err := json.Unmarshal(was, &before); err != nil {
				return fault.New(fault.Internal, "start_unreadable", "the record of the last start cannot be read").Because(err)
			}
		}
		for _, act := range changes(before, now, was == nil) {
			if err := book.AddIn(ctx, tx, act); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, startSetting, text)
		return err
	})
}

// changes are the acts that lead from one start to another.
func changes(before, now held, first bool) (acts []admin.Act) {
	if first {
		return nil
	}
	facts := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(now.Settings)) {
		if from, to := before.Settings[key], now.Settings[key]; from != to {
			facts[key] = map[string]any{"from": from, "to": to}
		}
	}
	if len(facts) > 0 {
		acts = append(acts, admin.Act{Type: admin.SettingsChanged, Facts: facts})
	}
	if before.Schema != now.Schema {
		acts = append(acts, admin.Act{Type: admin.SchemaMigrated, Facts: map[string]any{"from": before.Schema, "to": now.Schema}})
	}
	if before.NodeKey != now.NodeKey {
		acts = append(acts, admin.Act{Type: admin.NodeKeyRotated, Facts: map[string]any{"from": before.NodeKey, "to": now.NodeKey}})
	}
	return acts
}
