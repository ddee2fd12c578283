package storage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/danvoulez/logline/internal/fault"
)

// statisticsTable is where the planner's statistics are. They held values of
// columns of which none are kept any more (migration 0011).
const statisticsTable = "pg_statistic"

// walPart names the write-ahead log among the parts of a compaction.
const walPart = "pg_wal"

// compacting is a compaction of a PostgreSQL database, on a connection of its
// own, as the user of the URL.
type compacting struct {
	conn *pgx.Conn
	out  Compaction

	ownsDatabase bool // may rewrite catalogs
	mayFlush     bool // may run CHECKPOINT and switch WAL segments
}

// compactor connects as who owns the tables.
func (p *postgres) compactor(ctx context.Context, tables []string) (*compacting, error) {
	config := p.admin.Copy()
	config.RuntimeParams["statement_timeout"] = "0" // ctx is the limit, and its end ends the statement
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: closeTimeout}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, Classify(fmt.Errorf("connect: %w", err))
	}
	c := &compacting{conn: conn}
	err = conn.QueryRow(ctx, `
		SELECT u.rolsuper OR pg_has_role(u.oid, d.datdba, 'USAGE'),
			u.rolsuper OR pg_has_role(u.oid, 'pg_checkpoint', 'USAGE') AND has_function_privilege(u.oid, 'pg_switch_wal()', 'EXECUTE')
				AND has_function_privilege(u.oid, 'pg_ls_waldir()', 'EXECUTE')
		FROM pg_roles u, pg_database d WHERE u.rolname = current_user AND d.datname = current_database()`).Scan(&c.ownsDatabase, &c.mayFlush)
	if err != nil {
		c.close()
		return nil, Classify(fmt.Errorf("look at the server: %w", err))
	}
	if err := c.owns(ctx, tables); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *compacting) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.conn.Close(ctx) // whatever was done is committed
}

func (p *postgres) compactable(ctx context.Context, tables []string) (Compaction, error) {
	c, err := p.compactor(ctx, tables)
	if err != nil {
		return Compaction{}, err
	}
	defer c.close()
	for _, table := range c.rewritten(tables) {
		size, _, err := c.size(ctx, table)
		if err != nil {
			return Compaction{}, err
		}
		c.out.Parts = append(c.out.Parts, Part{table, size, size})
	}
	return c.out, c.beyond(ctx)
}

func (p *postgres) compact(ctx context.Context, tables []string, tell func(string)) (Compaction, error) {
	c, err := p.compactor(ctx, tables)
	if err != nil {
		return Compaction{}, err
	}
	defer c.close()
	for _, table := range c.rewritten(tables) {
		tell(table)
		if err := c.rewrite(ctx, table); err != nil {
			return c.out, err
		}
	}
	if c.mayFlush {
		tell(walPart)
		if err := c.flush(ctx); err != nil {
			return c.out, err
		}
	}
	return c.out, c.beyond(ctx)
}

// rewritten is what is rewritten, in this order.
func (c *compacting) rewritten(tables []string) []string {
	out := slices.Clone(tables)
	if c.ownsDatabase {
		out = append(out, statisticsTable)
	}
	return out
}

// owns makes sure that the tables may be rewritten: the server would leave one
// that may not be out with a warning.
func (c *compacting) owns(ctx context.Context, tables []string) error {
	var user, owner string
	err := c.conn.QueryRow(ctx, `SELECT current_user::text, coalesce((SELECT pg_get_userbyid(relowner)::text FROM pg_class
		WHERE oid = ANY($1::text[]::regclass[]) AND NOT pg_has_role(relowner, 'USAGE') LIMIT 1), '')`, tables).Scan(&user, &owner)
	if err != nil {
		return Classify(fmt.Errorf("look at the tables: %w", err))
	}
	if owner != "" {
		return fault.Newf(fault.Unavailable, "database_role_weak",
			"the role %s does not own the tables, and only their owner %s may rewrite them; run this with the URL of %s", user, owner, owner)
	}
	return nil
}

// size is a table's bytes with everything that belongs to it, and the file it
// stands in.
func (c *compacting) size(ctx context.Context, table string) (size int64, file uint32, err error) {
	err = c.conn.QueryRow(ctx, `SELECT pg_total_relation_size($1::text::regclass), pg_relation_filenode($1::text::regclass)`, table).Scan(&size, &file)
	if err != nil {
		err = Classify(fmt.Errorf("look at table %s: %w", table, err))
	}
	return size, file, err
}

// A rewrite asks for the table to itself, and while it waits in the queue
// everybody else waits behind it: so it gives up soon and tries again.
const (
	rewriteWait  = "2s"
	rewriteAgain = 3 * time.Second
	rewriteFor   = 5 * time.Minute
)

// rewrite makes a table, its indexes and its long values anew, in other files,
// and then its statistics and visibility map, which reads are fast by. The old
// files are emptied at once when that commits.
func (c *compacting) rewrite(ctx context.Context, table string) error {
	before, old, err := c.size(ctx, table)
	if err != nil {
		return err
	}
	if _, err := c.conn.Exec(ctx, "SET lock_timeout = '"+rewriteWait+"'"); err != nil {
		return Classify(err)
	}
	quoted := pgx.Identifier{table}.Sanitize()
	for begun := time.Now(); ; {
		_, err := c.conn.Exec(ctx, "VACUUM FULL "+quoted)
		if err == nil {
			break
		}
		if !hasCode(err, "55P03") || time.Since(begun) > rewriteFor { // lock_not_available
			return Classify(fmt.Errorf("rewrite table %s: %w", table, err))
		}
		select {
		case <-time.After(rewriteAgain):
		case <-ctx.Done():
			return Classify(ctx.Err())
		}
	}
	after, file, err := c.size(ctx, table)
	if err == nil && file == old {
		err = fault.Newf(fault.Unavailable, "database_role_weak", "the server did not rewrite table %s; look in its log, and run this as the table's owner", table)
	}
	if err != nil {
		return err
	}
	c.out.Parts = append(c.out.Parts, Part{table, before, after})
	if table == statisticsTable {
		return nil
	}
	for _, s := range []string{"SET lock_timeout = 0", "VACUUM (ANALYZE) " + quoted} {
		if _, err := c.conn.Exec(ctx, s); err != nil {
			return Classify(fmt.Errorf("vacuum table %s: %w", table, err))
		}
	}
	return nil
}

// flush brings the rewritten files to the disk, lets the server give up the
// segments of the write-ahead log that are older, and writes over those that it
// has kept for use again, with what they held in them: to begin a segment
// fills the one before with zeros.
func (c *compacting) flush(ctx context.Context) error {
	const mark = `SELECT pg_logical_emit_message(false, 'logline', 'compacted')` // a segment without a record is not ended
	const next = `SELECT pg_switch_wal()`
	for _, s := range []string{mark, next, "CHECKPOINT"} {
		if _, err := c.conn.Exec(ctx, s); err != nil {
			return Classify(fmt.Errorf("flush: %w", err))
		}
	}
	before, ahead, _, err := c.segments(ctx)
	if err != nil {
		return err
	}
	for range ahead + 1 {
		for _, s := range []string{mark, next} {
			if _, err := c.conn.Exec(ctx, s); err != nil {
				return Classify(fmt.Errorf("overwrite the write-ahead log: %w", err))
			}
		}
	}
	if _, err := c.conn.Exec(ctx, "CHECKPOINT"); err != nil {
		return Classify(fmt.Errorf("flush: %w", err))
	}
	after, _, kept, err := c.segments(ctx)
	if err != nil {
		return err
	}
	if kept <= 1 { // but the one that was current a moment ago
		c.out.Parts = append(c.out.Parts, Part{walPart, before, after})
	} else {
		c.out.Unreached = append(c.out.Unreached, fmt.Sprintf("%d older segments of the write-ahead log that the server keeps (wal_keep_size, replication slots, "+
			"or an archive that does not take them): they go when nothing needs them any more; then run this again", kept))
	}
	return nil
}

// segments is the bytes of the write-ahead log's segments, how many are made
// ahead of the current one, and how many stand behind it.
func (c *compacting) segments(ctx context.Context) (bytes int64, ahead, behind int, err error) {
	err = c.conn.QueryRow(ctx, `SELECT coalesce(sum(size), 0)::bigint, count(*) FILTER (WHERE name > here), count(*) FILTER (WHERE name < here)
		FROM pg_ls_waldir(), pg_walfile_name(pg_current_wal_insert_lsn()) AS here WHERE name ~ '^[0-9A-F]{24}$'`).Scan(&bytes, &ahead, &behind)
	if err != nil {
		err = Classify(fmt.Errorf("look at the write-ahead log: %w", err))
	}
	return bytes, ahead, behind, err
}

// beyond adds what the server is seen to have beyond the database's own files.
func (c *compacting) beyond(ctx context.Context) error {
	var archive, slots, replicas string
	var logged bool
	err := c.conn.QueryRow(ctx, `SELECT current_setting('archive_mode'),
		(SELECT coalesce(string_agg(slot_name::text, ', '), '') FROM pg_replication_slots),
		(SELECT coalesce(string_agg(DISTINCT coalesce(nullif(application_name, ''), 'unnamed'), ', '), '') FROM pg_stat_replication),
		current_setting('log_parameter_max_length_on_error') <> '0' OR current_setting('log_parameter_max_length') <> '0'
			AND (current_setting('log_statement') IN ('mod', 'all') OR current_setting('log_min_duration_statement') <> '-1'
				OR current_setting('log_min_duration_sample') <> '-1')`).Scan(&archive, &slots, &replicas, &logged)
	if err != nil {
		return Classify(fmt.Errorf("look at the server: %w", err))
	}
	add := func(format string, args ...any) {
		c.out.Unreached = append(c.out.Unreached, fmt.Sprintf(format, args...))
	}
	if !c.ownsDatabase {
		add("the planner's statistics of before this release (pg_statistic): as the database's owner or a superuser run VACUUM FULL pg_statistic, once")
	}
	if !c.mayFlush {
		add("the server's write-ahead log (pg_wal), until its segments are written over: as a superuser run this again, or " +
			"SELECT pg_switch_wal() and CHECKPOINT, and wait until the server has written as much as max_wal_size")
	}
	if archive != "off" {
		add("the archive of the write-ahead log (archive_mode is %s): let what is older expire", archive)
	}
	if slots != "" {
		add("write-ahead log kept for the replication slots %s, until they have read it", slots)
	}
	if replicas != "" {
		add("the write-ahead log of the replicas %s; their tables are rewritten as this one's", replicas)
	}
	if orphans, err := c.orphans(ctx); err != nil {
		return err
	} else if orphans != "" {
		add("files of the server that belong to no table (%s), left where it crashed while it rewrote one: if they are still there in an hour, stop the server and remove them", orphans)
	}
	if logged {
		add("the server's own log files: as it is set, it logs the parameters of statements, and so payloads. As a superuser run " +
			"ALTER SYSTEM SET log_parameter_max_length = 0; ALTER SYSTEM SET log_parameter_max_length_on_error = 0; SELECT pg_reload_conf(), and remove the old files")
	}
	return nil
}

// orphans are the files of the database that hold something and belong to no
// table, as far as the user may look: a server that crashes while it rewrites a
// table never removes what it had written.
func (c *compacting) orphans(ctx context.Context) (files string, err error) {
	const may = `SELECT has_function_privilege('pg_ls_dir(text)', 'EXECUTE') AND has_function_privilege('pg_stat_file(text,boolean)', 'EXECUTE')`
	var look bool
	if err := c.conn.QueryRow(ctx, may).Scan(&look); err != nil || !look {
		return "", Classify(err)
	}
	err = c.conn.QueryRow(ctx, `SELECT coalesce(string_agg(path, ', ' ORDER BY path), '') FROM (
			SELECT 'base/' || d.oid || '/' || f AS path, f FROM pg_database d, pg_ls_dir('base/' || d.oid) f
			WHERE d.datname = current_database() AND f ~ '^[0-9]+(\.[0-9]+)?$') found
		WHERE pg_filenode_relation(0, split_part(f, '.', 1)::oid) IS NULL AND coalesce((pg_stat_file(path, true)).size, 0) > 0`).Scan(&files)
	if err != nil {
		return "", Classify(fmt.Errorf("look for files of no table: %w", err))
	}
	return files, nil
}
