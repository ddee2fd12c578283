package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/systemtest/linear"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/ndjsonstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

var everything = standing.Everything()

// TestLinearizable has clients append, repeat, redact, read and follow at once
// through one process, or three, on each store, while acknowledgements of commits
// are lost and processes are replaced by new ones; and has it checked that a list
// which only grows would answer all of it the same. LOGLINE_TEST_SEED repeats the
// choices of a run, not its schedule.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("LOGLINE_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("LOGLINE_TEST_SEED=%d", seed)
	histories := uint64(4)
	if testing.Short() {
		histories = 1
	}
	for _, processes := range []int{1, 3} {
		t.Run(fmt.Sprintf("processes=%d", processes), func(t *testing.T) {
			t.Parallel()
			stores(t, func(t *testing.T, s setup) {
				for n := range histories {
					linearizable(t, s, processes, seed+n)
				}
			})
			t.Run("ndjson", func(t *testing.T) {
				t.Parallel()
				for n := range histories {
					linearizable(t, setup{wrap: inFiles(t)}, processes, seed+n)
				}
			})
		})
	}
}

// inFiles keeps timelines in NDJSON files, one set each time it is asked.
func inFiles(t *testing.T) func(timeline.Store) timeline.Store {
	return func(timeline.Store) timeline.Store {
		s, err := ndjsonstore.Open(t.Context(), filepath.Join(t.TempDir(), "timelines"), ndjsonstore.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	}
}

func linearizable(t *testing.T, s setup, processes int, seed uint64) {
	t.Helper()
	if s.url != "" && s.url != "memory:" {
		s.url = backend.URL(t, kindOf(s.url)) // a database for each history
	}
	w := newWorld(t, s)
	shared := s.url == "" || s.url == "memory:" // by goroutines of one process alone
	var doors []linear.Door
	for n := range processes {
		p := w
		if n > 0 && !shared {
			p = w.process()
		}
		doors = append(doors, newDoor(p))
	}
	outcome, err := linear.Run(t.Context(), linear.Plan{Seed: seed, Clients: 6, Each: 45, Followers: 2, Patience: time.Minute, Lossy: true}, doors, sealer{w},
		func(ctx context.Context) { trouble(ctx, rand.New(rand.NewPCG(seed, 9)), doors) })
	require.NoError(t, err, "LOGLINE_TEST_SEED=%d", seed)
	t.Logf("seed %d: %v", seed, outcome)
	require.EqualValues(t, 5+outcome.Entries, w.verify().Size)
}

func kindOf(url string) string {
	if url[:6] == "sqlite" {
		return backend.SQLite
	}
	return backend.Postgres
}

// trouble loses acknowledgements, fails appends and reads, and starts processes anew.
func trouble(ctx context.Context, random *rand.Rand, doors []linear.Door) {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, d := range doors {
				d.(*door).calm()
			}
			return
		case <-tick.C:
		}
		d := doors[random.IntN(len(doors))].(*door)
		switch random.IntN(8) {
		case 0, 1:
			d.faulty.FailAfter(1)
		case 2:
			d.faulty.FailBefore(1)
		case 3:
			d.faulty.FailReads(1)
		case 4:
			d.renew()
		}
	}
}

// sealer makes spans of the owner's.
type sealer struct{ w *world }

func (s sealer) Note(spanID string) linear.Span {
	return s.made(s.w.seal(s.w.owner, []byte(`{"a":1}`), func(h *span.Header) {
		if spanID != "" {
			h.ID = spanID
		}
	}))
}

func (s sealer) Redaction(of linear.Span) linear.Span {
	target, err := span.Parse(of.Raw, span.Limits{})
	require.NoError(s.w.t, err)
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: of.ID, HeaderHash: target.Hash().String()}}, Reason: "asked"})
	require.NoError(s.w.t, err)
	return s.made(s.w.seal(s.w.owner, payload, func(h *span.Header) { h.Type = span.TypeRedaction }))
}

func (s sealer) made(raw []byte) linear.Span {
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(s.w.t, err)
	return linear.Span{ID: sp.ID, Hash: sp.PayloadHash, Raw: raw}
}

// door is one process.
type door struct {
	w      *world
	faulty *storetest.Faulty
	now    atomic.Pointer[process]
	calls  atomic.Int64
}

// process is what a process holds in memory.
type process struct {
	*engine.Engine
	log *timeline.Log
	hub *feed.Hub
}

func newDoor(w *world) *door {
	d := &door{w: w, faulty: storetest.NewFaulty(w.store)}
	d.renew()
	return d
}

// renew puts a new process in place of the one there is, whose work under way
// goes on, as that of a process which froze for a moment.
func (d *door) renew() {
	p := *d.w
	p.store, p.bus = d.faulty, bus.New()
	p.dir = id.NewDirectory(p.db, id.FastVerifier(), p.clock.now)
	p.log = p.newLog()
	d.now.Store(&process{Engine: p.newEngine(setup{}, p.log), log: p.log, hub: feed.New(p.log, p.bus, feed.Config{Poll: 20 * time.Millisecond})})
}

func (d *door) calm() {
	d.faulty.FailAfter(0)
	d.faulty.FailBefore(0)
	d.faulty.FailReads(0)
}

func (d *door) Append(ctx context.Context, raw []byte) (uint64, bool, error) {
	if d.calls.Add(1)%12 == 0 { // as often on a quick store as on a slow one
		d.faulty.FailAfter(1)
	}
	r := d.now.Load().Submit(ctx, d.w.tenant.ID, raw, engine.Options{})
	if fault.CodeOf(r.Err) == "id_conflict" {
		return 0, false, linear.ErrConflict
	}
	if r.Err != nil {
		return 0, false, r.Err
	}
	return r.Receipt.Index, r.Outcome == engine.Repeat, nil
}

func entryOf(r *timeline.Record) linear.Entry {
	return linear.Entry{Seq: r.Seq, Hash: r.Entry.Span.PayloadHash, Erased: r.Redacted || r.Payload == nil}
}

func entriesOf(records []timeline.Record) []linear.Entry {
	var out []linear.Entry
	for i := range records {
		out = append(out, entryOf(&records[i]))
	}
	return out
}

func (d *door) Get(ctx context.Context, spanID string) (linear.Entry, bool, error) {
	r, err := d.now.Load().log.Get(ctx, d.w.tenant.ID, spanID)
	if fault.KindOf(err) == fault.NotFound {
		return linear.Entry{}, false, nil
	}
	if err != nil {
		return linear.Entry{}, false, err
	}
	return entryOf(&r), true, nil
}

func (d *door) List(ctx context.Context) ([]linear.Entry, error) {
	page, err := d.now.Load().log.Query(ctx, d.w.tenant.ID, timeline.Query{Limit: 1000}, everything)
	if err == nil && page.Next != "" {
		err = fmt.Errorf("more than a page")
	}
	return entriesOf(page.Records), err
}

func (d *door) Range(ctx context.Context, from, to uint64) ([]linear.Entry, error) {
	records, next, err := d.now.Load().log.Entries(ctx, d.w.tenant.ID, from, to, everything)
	if err == nil && next != to {
		err = fmt.Errorf("asked for the entries before %d, and got those before %d", to, next)
	}
	return entriesOf(records), err
}

func (d *door) Head(ctx context.Context) (uint64, string, error) {
	note, size, err := d.now.Load().log.Checkpoint(ctx, d.w.tenant.ID)
	if err != nil {
		return 0, "", err
	}
	c, err := tree.ParseNote(note)
	if err != nil {
		return 0, "", err
	}
	return size, c.Root.String(), nil
}

func (d *door) Count(ctx context.Context) (size, erased uint64, root string, err error) {
	s, err := d.now.Load().log.Stats(ctx, d.w.tenant.ID)
	return s.Size, s.Redacted, s.Root.String(), err
}

func (d *door) Follow(ctx context.Context, from uint64, each func(linear.Entry)) error {
	sub, err := d.now.Load().hub.Subscribe(ctx, feed.Request{Tenant: d.w.tenant.ID, From: from,
		Authorize: func(context.Context) (standing.Reader, error) { return everything, nil }})
	if err != nil {
		return err
	}
	defer sub.Close()
	for {
		m, err := sub.Next(ctx)
		if err != nil {
			return err
		}
		if m.Type != feed.TypeEntry {
			continue
		}
		var told struct {
			Entry struct {
				Seq  uint64
				Span struct {
					PayloadHash string `json:"payload_hash"`
					Payload     json.RawMessage
				}
			}
		}
		if err := json.Unmarshal(m.JSON, &told); err != nil {
			return err
		}
		each(linear.Entry{Seq: told.Entry.Seq, Hash: told.Entry.Span.PayloadHash, Erased: told.Entry.Span.Payload == nil})
	}
}
