package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// Part is one file or table that a compaction rewrites.
type Part struct {
	Name   string `json:"name"`
	Before int64  `json:"bytes_before"`
	After  int64  `json:"bytes_after"`
}

// Compaction is what became of one.
type Compaction struct {
	Parts []Part
	// Unreached is where erased content may still be afterwards, a sentence each
	// that says what to do.
	Unreached []string
}

// Compactable is what Compact would rewrite, as large as it is now, and what it
// would not reach. It changes nothing.
func (d *DB) Compactable(ctx context.Context, tables []string) (Compaction, error) {
	switch {
	case d.memory:
		return Compaction{}, nil
	case d.pg != nil:
		return d.pg.compactable(ctx, tables)
	}
	path, size, err := d.file(ctx)
	return Compaction{Parts: []Part{{Name: path, Before: size, After: size}}}, err
}

// Compact rewrites what may hold bytes of deleted content although no row does:
// on SQLite the whole file and its log, on PostgreSQL the tables named, with
// their indexes, and the planner's statistics. Servers may work on the database
// meanwhile: on SQLite those who write wait until it is done, on PostgreSQL
// everybody waits who needs the table that is being rewritten. A process that
// ends in the middle leaves the database as it was; run it again. tell, unless
// nil, hears the name of each part as it begins.
//
// On PostgreSQL it works as the user of the URL, who must own the tables
// (database_role_weak). While a long read is in the way it waits, for some
// minutes, and then fails as database_busy.
func (d *DB) Compact(ctx context.Context, tables []string, tell func(part string)) (Compaction, error) {
	if tell == nil {
		tell = func(string) {}
	}
	switch {
	case d.memory:
		return Compaction{}, nil
	case d.pg != nil:
		return d.pg.compact(ctx, tables, tell)
	}
	path, before, err := d.file(ctx)
	if err != nil {
		return Compaction{}, err
	}
	tell(path)
	if err := d.vacuum(ctx, filepath.Dir(path), compactWait); err != nil {
		return Compaction{}, err
	}
	_, after, err := d.file(ctx)
	return Compaction{Parts: []Part{{path, before, after}}}, err
}

// file is the path of a SQLite database, and the bytes of it and its log.
func (d *DB) file(ctx context.Context) (path string, size int64, err error) {
	if err := d.Read.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		return "", 0, Classify(fmt.Errorf("find the database file: %w", err))
	}
	for _, name := range []string{path, path + "-wal"} {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	return path, size, nil
}

// compactWait is how long SQLite waits for writers, and then for readers, in
// milliseconds.
const compactWait = "120000"

// vacuum rewrites a SQLite database: page by page into a temporary file without
// a name in dir, and from there over the pages that there were, by way of the
// write-ahead log, which is emptied at the end. secure_delete zeroes what is
// deleted, but not the copies that cells leave where they stood when a page was
// split; no page is left as it was. It waits that many milliseconds for others.
func (d *DB) vacuum(ctx context.Context, dir, wait string) (err error) {
	conn, err := d.Write.Conn(ctx)
	if err != nil {
		return Classify(fmt.Errorf("compact: %w", err))
	}
	run := func(ctx context.Context, statements ...string) error {
		for _, s := range statements {
			if _, err := conn.ExecContext(ctx, s); err != nil {
				return Classify(fmt.Errorf("compact: %w", err))
			}
		}
		return nil
	}
	defer func() {
		restored := run(context.WithoutCancel(ctx), "PRAGMA temp_store = MEMORY", "PRAGMA busy_timeout = "+busyTimeout)
		if closed := conn.Close(); restored == nil {
			restored = Classify(closed)
		}
		if err == nil {
			err = restored
		}
	}()
	// The copy would be held in memory otherwise; nothing else ever goes there.
	if err := run(ctx, "PRAGMA busy_timeout = "+wait,
		"PRAGMA temp_store_directory = '"+strings.ReplaceAll(dir, "'", "''")+"'", "PRAGMA temp_store = FILE", "VACUUM"); err != nil {
		return err
	}
	d.owed.Store(true)
	var busy, log, moved int
	if err := conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &moved); err != nil {
		return Classify(fmt.Errorf("compact: empty write-ahead log: %w", err))
	}
	if busy != 0 {
		return fault.New(fault.Unavailable, "database_busy",
			"a long read keeps the write-ahead log open, and what was rewritten does not yet stand in the file; run it again when that read has ended").After(time.Second)
	}
	d.owed.Store(false)
	return nil
}
