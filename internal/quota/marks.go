package quota

import (
	"context"
	"database/sql"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/danvoulez/logline/internal/storage"
)

// warnAt are the percents at which somebody is warned, once for each crossing.
var warnAt = [...]int{80, 95, 100}

// slack is by how many percent the use must fall below a mark before crossing it
// again is news.
const slack = 5

// marks remember which marks were crossed, in the database, so that of several
// processes one warns.
type marks struct {
	db     *storage.DB
	log    *slog.Logger
	warned [len(warnAt)]atomic.Int64

	mu    sync.Mutex // guards known
	known map[mark]int
}

type mark struct{ tenant, quota string }

func newMarks(db *storage.DB, log *slog.Logger) *marks {
	return &marks{db: db, log: log, known: make(map[mark]int)}
}

// mark notes how much of a quota is used, and warns where a mark is crossed.
func (t *Tenants) mark(ctx context.Context, tenant, name string, used, limit int64) {
	if limit < 0 {
		return
	}
	t.marks.note(ctx, tenant, Use{Quota: name, Used: used, Limit: limit})
}

func (m *marks) note(ctx context.Context, tenant string, u Use) {
	level, k := u.Level(), mark{tenant, u.Quota}
	m.mu.Lock()
	known, ok := m.known[k]
	same := ok && known == level || !ok && level == 0
	if same || ok && level < known && u.Percent() > int64(known-slack) {
		m.mu.Unlock()
		return
	}
	if len(m.known) >= maxRead {
		clear(m.known)
	}
	m.known[k] = level
	m.mu.Unlock()
	news, err := m.keep(ctx, k, level)
	if err != nil {
		m.log.WarnContext(ctx, "a warning about a quota could not be noted", slog.String("tenant", tenant), slog.Any("error", err))
		news = level > known
	}
	if !news {
		return
	}
	for i, at := range warnAt {
		if at == level {
			m.warned[i].Add(1)
		}
	}
	m.log.WarnContext(ctx, "a tenant nears its quota, or has reached it", slog.String("tenant", tenant), slog.String("quota", u.Quota),
		slog.Int("percent", level), slog.Int64("used", u.Used), slog.Int64("limit", u.Limit))
}

// keep keeps the level and says whether it is higher than what was kept.
func (m *marks) keep(ctx context.Context, k mark, level int) (higher bool, err error) {
	err = change(ctx, m.db, k.tenant, func(tx *sql.Tx) error {
		if level > 0 {
			done, err := tx.ExecContext(ctx, `
				INSERT INTO quota_marks (tenant, quota, level) VALUES ($1, $2, $3)
				ON CONFLICT (tenant, quota) DO UPDATE SET level = excluded.level WHERE quota_marks.level < excluded.level`, k.tenant, k.quota, level)
			if err != nil {
				return err
			}
			n, err := done.RowsAffected()
			higher = n > 0
			if higher || err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM quota_marks WHERE tenant = $1 AND quota = $2 AND level > $3`, k.tenant, k.quota, level)
		if err == nil && level > 0 {
			_, err = tx.ExecContext(ctx, `INSERT INTO quota_marks (tenant, quota, level) VALUES ($1, $2, $3) ON CONFLICT (tenant, quota) DO NOTHING`, k.tenant, k.quota, level)
		}
		return err
	})
	return higher, storage.Classify(err)
}

// Warned tells how often tenants crossed each mark, in this process.
func (t *Tenants) Warned(tell func(percent int, n int64)) {
	if t == nil {
		return
	}
	for i, at := range warnAt {
		tell(at, t.marks.warned[i].Load())
	}
}
