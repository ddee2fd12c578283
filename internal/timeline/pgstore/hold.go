package pgstore

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
)

var _ timeline.Holder = (*Store)(nil)

// Hold implements timeline.Holder: it locks the head's row in a transaction that
// stays open. The server lets waiters in in the order in which they came, and
// takes the head from a process that does nothing with it for maxIdle. Every head
// that is held or waited for takes a connection; as those who hold one read
// through others, at most half of the pool may be spent so.
func (s *Store) Hold(ctx context.Context, tenant string) (timeline.Held, error) {
	key, err := s.key(ctx, tenant)
	if err != nil {
		return nil, err
	}
	select {
	case s.holds <- struct{}{}:
	default:
		return nil, nil
	}
	h := &held{store: s}
	if h.conn, err = s.db.Acquire(ctx); err != nil {
		<-s.holds
		return nil, err
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("SELECT set_config('idle_in_transaction_session_timeout', $1, true)", maxIdle)
	b.Queue(storage.SetTenant, strconv.FormatInt(int64(key), 10))
	b.Queue("SELECT FROM timeline_heads WHERE tenant = logline_tenant() FOR UPDATE")
	if err := h.conn.SendBatch(ctx, b).Close(); err != nil {
		h.Close()
		return nil, readError("hold the head", err)
	}
	return h, nil
}

// maxIdle is shorter than others wait for a lock (lock_timeout), so that they
// get their turn after a process that was stopped with a head in its hands.
const maxIdle = "5s"

// maxHolds is how many heads may be held at once with a pool of n connections.
func maxHolds(n int32) int32 {
	if n < 4 {
		return 0
	}
	return n / 2
}

type held struct {
	store *Store
	conn  *pgxpool.Conn // nil when it has been given back
}

// Append implements timeline.Held.
func (h *held) Append(ctx context.Context, b *timeline.Batch) error {
	defer h.Close()
	return h.store.append(ctx, b, h.commit)
}

// commit sends a batch's message in the transaction that holds the head.
func (h *held) commit(ctx context.Context, message *pgx.Batch) error {
	message.Queue("COMMIT")
	return h.conn.SendBatch(ctx, message).Close()
}

// rollbackTimeout bounds the giving back of a head that nothing was done with;
// a connection that does not answer is closed, which ends its transaction too.
const rollbackTimeout = 2 * time.Second

// Close implements timeline.Held.
func (h *held) Close() {
	if h.conn == nil {
		return
	}
	if h.conn.Conn().PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		_, _ = h.conn.Exec(ctx, "ROLLBACK") // the pool drops a connection that is still in a transaction
	}
	h.conn.Release()
	h.conn = nil
	<-h.store.holds
}
