package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
)

// TruncateWAL copies the write-ahead log into the database file and empties
// it, so that content deleted before is in neither. Call it after an erasure,
// outside any transaction. A read that began earlier can be in its way: then
// the error is database_busy, and InTx does it after the first commit that
// follows that read's end. It is nothing in a memory: database, and nothing on
// PostgreSQL, whose copies go by its own rules (docs/postgresql.md).
func (d *DB) TruncateWAL(ctx context.Context) error {
	if d.memory || d.pg != nil {
		return nil
	}
	d.owed.Store(true)
	return d.truncateWAL(ctx, "50")
}

// truncateWAL waits at most that many milliseconds for readers, and holds up
// every writer meanwhile.
func (d *DB) truncateWAL(ctx context.Context, wait string) (err error) {
	conn, err := d.Write.Conn(ctx)
	if err != nil {
		return Classify(fmt.Errorf("truncate write-ahead log: %w", err))
	}
	defer func() {
		_, restore := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA busy_timeout = "+busyTimeout)
		if restore = errors.Join(restore, conn.Close()); err == nil && restore != nil {
			err = Classify(fmt.Errorf("truncate write-ahead log: %w", restore))
		}
	}()
	var busy, log, moved int
	if _, err = conn.ExecContext(ctx, "PRAGMA busy_timeout = "+wait); err == nil {
		err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved)
	}
	if err != nil {
		return Classify(fmt.Errorf("truncate write-ahead log: %w", err))
	}
	if busy != 0 {
		return fault.New(fault.Unavailable, "database_busy",
			"a long read keeps the write-ahead log open; erased content leaves it when that read ends")
	}
	d.owed.Store(false)
	return nil
}
