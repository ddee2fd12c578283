// Package mirror writes timelines to NDJSON files as they grow, in the layout
// of package ndjsonstore: lines, the newest checkpoint beside them, and
// payloads only where that is asked for. It follows a store by cursor, which is
// the number of lines in the files, so that no line is doubled or missing
// whenever it ends; wake-ups only make it faster.
//
// It never rewrites a line. A timeline that does not extend what its mirror
// holds, because the database was replaced by an older copy, is not mirrored
// any further. With payloads, what a redaction erases in the timeline is erased
// in the mirror before the redaction's own line is written.
package mirror

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/followers"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/segment"
)

// Source is what is mirrored: a timeline.Store.
type Source interface {
	timeline.HeadReader
	timeline.EntryReader
	timeline.TreeReader
}

// Config of a Mirror.
type Config struct {
	Dir      string         // made with mode 0700 where it is missing
	Payloads bool           // payloads too
	Poll     time.Duration  // between looks that no wake-up asked for: 5 s when 0
	Limits   segment.Limits // of each file
	Log      *slog.Logger   // slog.Default()
	FS       segment.FS     // segment.Disk{}

	Watch *followers.Watch // of followers.Mirror; may be nil
}

// Mirror follows every timeline of a store. Make one with New.
type Mirror struct {
	source Source
	bus    *bus.Bus
	cfg    Config
	own    bool // the file system is the machine's, and the folder is to be locked

	copies  map[string]*copied // by tenant; of the one goroutine that works
	stopped map[string]bool    // tenants that are not mirrored any further
	missing map[string]int64   // entries, by tenant
	behind  atomic.Int64       // their sum
}

// New makes a mirror of source, woken by wakes.
func New(source Source, wakes *bus.Bus, cfg Config) *Mirror {
	cfg.Poll = cmp.Or(cfg.Poll, 5*time.Second)
	cfg.Log = cmp.Or(cfg.Log, slog.Default())
	m := &Mirror{source: source, bus: wakes, cfg: cfg, copies: map[string]*copied{}, stopped: map[string]bool{}, missing: map[string]int64{}}
	if cfg.FS == nil {
		m.cfg.FS, m.own = segment.Disk{}, true
	}
	return m
}

// Lag is how many entries of all timelines are known to be missing in the
// mirror.
func (m *Mirror) Lag() int64 { return m.behind.Load() }

// finish bounds the last look when the mirror is told to end.
const finish = 3 * time.Second

// Run takes the folder, holds it against the store (mirror_diverged,
// mirror_payloads_kept), calls ready and follows until ctx ends; then it looks
// a last time and returns nil. What goes wrong in between is logged, and tried
// again unless it concerns what the mirror holds.
func (m *Mirror) Run(ctx context.Context, ready func()) (err error) {
	if m.own {
		lock, err := ndjsonstore.Lock(m.cfg.Dir)
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	defer m.close()
	if err := m.Check(ctx); err != nil {
		return err
	}
	wakes := m.bus.Subscribe()
	defer wakes.Close()
	ready()
	poll := time.NewTimer(m.cfg.Poll)
	defer poll.Stop()
	m.look(ctx, "")
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finish)
			defer cancel()
			m.look(last, "")
			return nil
		case <-wakes.C:
			for _, w := range wakes.Take() {
				m.look(ctx, w.Tenant)
			}
		case <-poll.C:
			m.look(ctx, "")
			poll.Reset(m.cfg.Poll) // here alone, so that wake-ups never put it off
		}
	}
}

// look brings one timeline, or all, up to date and logs what is in the way.
func (m *Mirror) look(ctx context.Context, tenant string) {
	err := m.Round(ctx, tenant)
	if err != nil && ctx.Err() == nil {
		m.cfg.Log.WarnContext(ctx, "timelines not mirrored yet; the next look tries again", slog.Any("error", err))
	}
}

// Round brings one timeline up to date, or all where tenant is "".
func (m *Mirror) Round(ctx context.Context, tenant string) error {
	var errs []error
	for after := ""; ; {
		page, err := m.tenants(ctx, tenant, after)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for i := range page {
			left, err := m.follow(ctx, &page[i])
			m.behind.Add(left - m.missing[page[i].ID])
			m.missing[page[i].ID] = left
			if err != nil {
				errs = append(errs, err)
			}
		}
		if tenant != "" || len(page) < tenantsPage {
			break
		}
		after = page[len(page)-1].ID
	}
	return errors.Join(errs...)
}

const tenantsPage = 100

func (m *Mirror) tenants(ctx context.Context, tenant, after string) ([]timeline.Tenant, error) {
	if tenant == "" {
		return m.source.Tenants(ctx, after, tenantsPage)
	}
	t, err := m.source.TenantByID(ctx, tenant)
	return []timeline.Tenant{t}, err
}

// follow brings one timeline up to date and says how many entries are left. A
// copy that failed is opened again the next time: its files say where it is.
func (m *Mirror) follow(ctx context.Context, t *timeline.Tenant) (left int64, err error) {
	if !m.cfg.Watch.May(t.ID, t.Size) || m.stopped[t.ID] && m.cfg.Watch == nil {
		return m.lacks(t), nil
	}
	delete(m.stopped, t.ID) // somebody lets it try again
	c := m.copies[t.ID]
	if c == nil {
		if c, err = m.open(ctx, t); err != nil {
			return int64(t.Size), m.judge(ctx, t, err)
		}
		m.copies[t.ID] = c
	}
	err = c.follow(ctx)
	left = max(0, int64(t.Size)-int64(c.lines.Len()))
	if err != nil {
		delete(m.copies, t.ID)
		return left, m.judge(ctx, t, errors.Join(err, c.close()))
	}
	m.cfg.Watch.At(t.ID, uint64(c.lines.Len()), t.Size)
	return left, nil
}

// lacks is how many entries the mirror of a timeline that is held lacks.
func (m *Mirror) lacks(t *timeline.Tenant) int64 {
	c := m.copies[t.ID]
	if c == nil {
		return int64(t.Size)
	}
	return max(0, int64(t.Size)-int64(c.lines.Len()))
}

// judge tells trouble that passes from a copy that cannot go on, which is
// logged once and left alone.
func (m *Mirror) judge(ctx context.Context, t *timeline.Tenant, err error) error {
	var damage *segment.Damage
	if errors.As(err, &damage) {
		err = damaged(damage.Path, damage.Reason)
	}
	switch fault.CodeOf(err) {
	case codeDiverged, codeDamaged:
		m.stopped[t.ID] = true
		m.cfg.Log.ErrorContext(ctx, "a timeline is not mirrored any further", slog.String("tenant", t.ID), slog.Any("error", err))
		m.cfg.Watch.Park(ctx, t.ID, followers.Nowhere, err)
		return nil
	}
	m.cfg.Watch.Failed(ctx, t.ID, followers.Nowhere, err)
	return err
}

// Check holds every copy's checkpoint against the store, before anything is
// written.
func (m *Mirror) Check(ctx context.Context) error {
	names, err := m.cfg.FS.List(m.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !span.IsUUID(name) {
			continue
		}
		dir := filepath.Join(m.cfg.Dir, name)
		payloads, err := m.cfg.FS.List(filepath.Join(dir, ndjsonstore.PayloadsDir))
		if err != nil {
			return err
		}
		if len(payloads) > 0 && !m.cfg.Payloads {
			return fault.Newf(fault.Unavailable, "mirror_payloads_kept",
				"the mirror in %s holds payloads, which redactions must reach; set mirror_payloads=true, or remove its payloads folders", m.cfg.Dir)
		}
		note, err := m.readCheckpoint(dir)
		if err != nil {
			return err
		}
		if note == nil {
			continue
		}
		if err := m.extends(ctx, name, note.Size, note.Root); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) close() {
	for _, c := range m.copies {
		if err := c.close(); err != nil {
			m.cfg.Log.Warn("a mirror's files were not closed", slog.Any("error", err))
		}
	}
	clear(m.copies)
}
