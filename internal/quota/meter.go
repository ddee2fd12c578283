package quota

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

// Entries is what a Meter reads. timeline.Store implements it.
type Entries interface {
	// Range returns entries from <= seq < to, a page of them.
	Range(ctx context.Context, tenant string, from, to uint64) ([]timeline.Record, error)
}

const (
	// aside is how many entries are read, at most, before a span is decided. A
	// timeline with more that were not counted is counted over several commits.
	aside = 5000
	// again is how many entries are read, at most, for a count from the start in one commit, and
	// recountAfter how long after the beginning of one the next may begin: whoever
	// erases all the time has no more read than that.
	again        = 1000
	recountAfter = 10 * time.Minute
	// saveAfter is how far a count may be ahead of what is saved of it, in time.
	saveAfter = 10 * time.Second
)

// Meter counts the bytes that tenants' entries take: lines, payloads and details,
// without indexes. It reads each entry once, and none that this process wrote; how
// far it is it saves now and then, for the next start. Once something was erased
// it counts anew beside what it has, which holds until then. It is safe for
// concurrent use.
type Meter struct {
	db  *storage.DB
	log *slog.Logger

	mu  sync.Mutex // guards by
	by  map[string]*count
	src Entries
	now func() time.Time
}

// tallied is what a timeline's first size entries take.
type tallied struct {
	size  uint64
	bytes int64
}

// count is what is known of a timeline.
type count struct {
	turn chan struct{} // holds one while nobody counts
	tallied
	saved uint64 // size that is saved
	at    time.Time

	erased bool     // something was, since the last count from the start began
	anew   *tallied // as far as a count from the start is; nil: there is none
	began  time.Time
}

// redaction stands in the line of every entry that erases, and in no other: within
// strings its quotes are escaped.
var redaction = []byte(`"type":"` + span.TypeRedaction + `"`)

// Erases says whether an entry, by its line, erases others' content.
func Erases(line []byte) bool { return bytes.Contains(line, redaction) }

// NewMeter works on a migrated database; now tells when a count from the start may
// begin again. It starts nothing.
func NewMeter(db *storage.DB, src Entries, log *slog.Logger, now func() time.Time) *Meter {
	return &Meter{db: db, src: src, log: log, by: make(map[string]*count), now: now}
}

func (m *Meter) of(tenant string) *count {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.by[tenant]
	if c == nil {
		c = &count{turn: make(chan struct{}, 1), at: time.Now()}
		c.turn <- struct{}{}
		m.by[tenant] = c
	}
	return c
}

func (c *count) take(ctx context.Context) error {
	select {
	case <-c.turn:
		return nil
	case <-ctx.Done():
		return storage.Classify(ctx.Err())
	}
}

func (c *count) release() { c.turn <- struct{}{} }

// Bytes are those of a tenant's first size entries. Where more than most of them
// were not counted yet, it counts so many and known is false; most 0 is no bound.
func (m *Meter) Bytes(ctx context.Context, tenant string, size, most uint64) (bytes int64, known bool, err error) {
	c := m.of(tenant)
	if err := c.take(ctx); err != nil {
		return 0, false, err
	}
	defer c.release()
	if c.size == 0 {
		if err := m.load(ctx, tenant, c); err != nil {
			return 0, false, err
		}
	}
	if c.size > size { // a restored timeline is shorter than the one that was counted
		c.tallied, c.anew, c.saved = tallied{}, nil, 0
	}
	if err := m.read(ctx, tenant, c, &c.tallied, size, most); err != nil {
		return 0, false, err
	}
	if c.size == size {
		if err := m.recount(ctx, tenant, c); err != nil {
			return 0, false, err
		}
	}
	m.save(ctx, tenant, c)
	return c.bytes, c.size == size, nil
}

// read counts on, by at most most entries, up to size; most 0 is no bound.
func (m *Meter) read(ctx context.Context, tenant string, c *count, t *tallied, size, most uint64) error {
	to := size
	if most > 0 {
		to = min(size, t.size+most)
	}
	for t.size < to {
		records, err := m.src.Range(ctx, tenant, t.size, to)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			break
		}
		for i := range records {
			r := &records[i]
			t.bytes += int64(len(r.Line) + len(r.Payload) + len(r.Detail))
			c.erased = c.erased || t == &c.tallied && Erases(r.Line)
		}
		t.size += uint64(len(records))
	}
	return nil
}

// recount counts from the start what something was erased from, some entries at a
// time. What holds until all are counted is more than there is.
func (m *Meter) recount(ctx context.Context, tenant string, c *count) error {
	if c.anew == nil {
		if !c.erased || !c.began.IsZero() && m.now().Sub(c.began) < recountAfter {
			return nil
		}
		c.erased, c.anew, c.began = false, &tallied{}, m.now()
	}
	if err := m.read(ctx, tenant, c, c.anew, c.size, again); err != nil {
		return err
	}
	if c.anew.size == c.size {
		c.tallied, c.anew, c.saved = *c.anew, nil, 0 // to be saved now
	}
	return nil
}

// Add counts entries that this process wrote: those from from on, up to size;
// erased says that some of them erase.
func (m *Meter) Add(ctx context.Context, tenant string, from, size uint64, bytes int64, erased bool) {
	c := m.of(tenant)
	if c.take(ctx) != nil {
		return // the next who asks reads them
	}
	defer c.release()
	if c.size == from && from > 0 {
		c.size, c.bytes, c.erased = size, c.bytes+bytes, c.erased || erased
	}
	m.save(ctx, tenant, c)
}

// load reads what was saved.
func (m *Meter) load(ctx context.Context, tenant string, c *count) error {
	err := view(ctx, m.db, tenant, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT entries, bytes FROM tenant_storage WHERE tenant = $1`, tenant).Scan(&c.size, &c.bytes)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	c.saved = c.size
	return err
}

// save keeps what is counted, now and then. A failure costs the next start some
// reading, and nothing else.
func (m *Meter) save(ctx context.Context, tenant string, c *count) {
	if c.size == c.saved || c.saved > 0 && time.Since(c.at) < saveAfter {
		return
	}
	err := change(ctx, m.db, tenant, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO tenant_storage (tenant, entries, bytes) VALUES ($1, $2, $3)
			ON CONFLICT (tenant) DO UPDATE SET entries = excluded.entries, bytes = excluded.bytes`, tenant, int64(c.size), c.bytes)
		return err
	})
	if err != nil {
		m.log.WarnContext(ctx, "how much a tenant stores could not be noted", slog.String("tenant", tenant), slog.Any("error", err))
		return
	}
	c.saved, c.at = c.size, time.Now()
}
