package quota

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// The quotas that a tenant has.
const (
	Spans   = "spans"   // recorded in a second, on the average of ten
	Storage = "storage" // bytes of lines, payloads and details
	Feeds   = "feeds"   // open at once
	Tasks   = "tasks"   // that wait to be run
	Members = "members" // identities that hold a role
)

// Names are all quotas, in the order they are shown.
var Names = []string{Spans, Storage, Feeds, Tasks, Members}

// None is the value of a quota that bounds nothing.
const None int64 = -1

// Values are quotas by name; one that is not in it bounds nothing.
type Values map[string]int64

// of is the value of a quota, None where there is none.
func (v Values) of(name string) int64 {
	if n, ok := v[name]; ok {
		return n
	}
	return None
}

// Check says whether a quota may have a value; invalid quota_unknown, quota_value.
func Check(name string, value int64) error {
	if !slices.Contains(Names, name) {
		return fault.Newf(fault.Invalid, "quota_unknown", "%.40q is no quota; there are spans, storage, feeds, tasks and members", name)
	}
	if value < None || name == Spans && value > 1_000_000 {
		return fault.Newf(fault.Invalid, "quota_value", "the quota %s is a whole number from 0, or off; spans at most 1,000,000 a second", name)
	}
	return nil
}

// fresh is how long a process goes by what it read of a tenant's quotas.
const fresh = 2 * time.Second

// Book keeps which tenants have quotas of their own. It is safe for concurrent
// use, also by several processes: a change counts in all of them within two
// seconds.
type Book struct {
	db       *storage.DB
	defaults Values
	now      func() time.Time

	mu   sync.Mutex // guards read
	read map[string]own
}

// own are the quotas that a tenant has of its own, as of a time.
type own struct {
	values Values
	at     time.Time
}

// maxRead bounds how many tenants' quotas are remembered.
const maxRead = 10_000

// NewBook works on a migrated database; defaults are those of every tenant.
func NewBook(db *storage.DB, defaults Values, now func() time.Time) *Book {
	return &Book{db: db, defaults: defaults, now: now, read: make(map[string]own)}
}

// Of are the quotas of a tenant, by id: its own, and the node's for the rest.
func (b *Book) Of(ctx context.Context, tenant string) (Values, error) {
	mine, err := b.own(ctx, tenant)
	if err != nil {
		return nil, err
	}
	if len(mine) == 0 {
		return b.defaults, nil
	}
	all := maps.Clone(b.defaults)
	if all == nil {
		all = make(Values, len(mine))
	}
	maps.Copy(all, mine)
	return all, nil
}

// own are the quotas of the tenant's own, as they were at most fresh ago.
func (b *Book) own(ctx context.Context, tenant string) (Values, error) {
	now := time.Now()
	b.mu.Lock()
	known, ok := b.read[tenant]
	b.mu.Unlock()
	if ok && now.Sub(known.at) < fresh {
		return known.values, nil
	}
	values, err := b.Own(ctx, tenant)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.read) >= maxRead {
		clear(b.read)
	}
	b.read[tenant] = own{values, now}
	return values, nil
}

// Own are the quotas that a tenant has of its own, now.
func (b *Book) Own(ctx context.Context, tenant string) (Values, error) {
	var values Values
	err := view(ctx, b.db, tenant, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, `SELECT name, value FROM tenant_quotas WHERE tenant = $1`, tenant)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var value int64
			if err := rows.Scan(&name, &value); err != nil {
				return err
			}
			if values == nil {
				values = make(Values)
			}
			values[name] = value
		}
		return rows.Err()
	})
	return values, err
}

// Change is what shall be set: a value, or nil for the node's own default.
type Change map[string]*int64

// Set changes quotas of a tenant in the transaction that notes it elsewhere too.
func (b *Book) Set(ctx context.Context, tx *sql.Tx, tenant string, change Change, by string) error {
	if err := open(ctx, b.db, tx, tenant); err != nil {
		return storage.Classify(err)
	}
	for name, value := range change {
		var err error
		if value == nil {
			err = Check(name, 0)
		} else {
			err = Check(name, *value)
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM tenant_quotas WHERE tenant = $1 AND name = $2`, tenant, name); err != nil {
			return storage.Classify(err)
		}
		if value == nil {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO tenant_quotas (tenant, name, value, set_at, set_by) VALUES ($1, $2, $3, $4, $5)`,
			tenant, name, *value, span.FormatTime(b.now()), by); err != nil {
			return storage.Classify(err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.read, tenant)
	return nil
}
