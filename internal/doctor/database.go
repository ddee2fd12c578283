package doctor

import (
	"context"
	"database/sql"
	"os"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
)

// largeLog is the size of a write-ahead log from which something keeps SQLite from
// folding it away, in bytes.
const largeLog = 256 << 20

// Database checks the server or the file, the role, and the schema.
func (r *Report) Database(ctx context.Context, db *storage.DB, file string) {
	current, known, err := db.SchemaVersion(ctx)
	switch {
	case err != nil:
		r.broken("schema", err)
	case current > known:
		r.Fail("schema", "use the newer logline that wrote it", "the schema has version %d, and this program knows only %d", current, known)
	case current < known:
		r.Warn("schema", "run logline migrate up, or start the server, which does it too", "migrations are pending: the schema has version %d of %d", current, known)
	default:
		r.OK("schema", "version %d, as this program needs it", current)
	}
	if db.Dialect == storage.Postgres {
		r.postgres(ctx, db)
	} else {
		r.sqlite(ctx, db, file)
	}
}

func (r *Report) broken(check string, err error) {
	r.Fail(check, "see what the message says", "cannot find out: %s", fault.From(err).Detail)
}

func (r *Report) sqlite(ctx context.Context, db *storage.DB, file string) {
	var text string
	if err := db.Read.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&text); err != nil {
		r.broken("database", err)
	} else if text != "ok" {
		r.Fail("database", "stop the server and restore a backup; logline fsck says what of the timelines is whole", "SQLite's quick_check: %s", text)
	} else {
		r.OK("database", "SQLite's quick_check finds nothing")
	}
	var sync int
	var mode string
	err := db.Write.QueryRowContext(ctx, `SELECT s.synchronous, j.journal_mode FROM pragma_synchronous s, pragma_journal_mode j`).Scan(&sync, &mode)
	r.durability(sync, mode, err)
	if info, err := os.Stat(file + "-wal"); err == nil {
		r.writeAheadLog(file+"-wal", info.Size())
	}
}

func (r *Report) durability(sync int, mode string, err error) {
	switch {
	case err != nil:
		r.broken("durability", err)
	case sync < 2 || mode != "wal":
		r.Fail("durability", "remove such parameters from database_url", "SQLite works with synchronous=%d and journal_mode=%s, where acknowledged means on the disk only with 2 and wal", sync, mode)
	default:
		r.OK("durability", "a commit is on the disk when it is acknowledged")
	}
}

func (r *Report) writeAheadLog(path string, size int64) {
	if size > largeLog {
		r.Warn("write-ahead log", "end what reads for so long (a backup, another program), or restart the server, which folds the log into the database", "%s has %d MiB: a read that does not end keeps it from being folded away", path, size>>20)
		return
	}
	r.OK("write-ahead log", "%d MiB", size>>20)
}

// serverFacts is what a PostgreSQL server says of itself and of the connection.
type serverFacts struct {
	version           int
	fsync, syncCommit string
	user, works       string // who connects, and as whom statements run
	super             bool   // user
	owns              bool   // works owns the tables
	encrypted, local  bool   // the connection
	open              []string
}

// openToAll are the tables with a tenant in them that row-level security leaves
// alone: cosignatures are public like checkpoints, API keys are the node's.
const openToAll = `'timeline_cosignatures', 'api_keys'`

func (r *Report) postgres(ctx context.Context, db *storage.DB) {
	var f serverFacts
	var open sql.NullString
	err := db.Read.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('synchronous_commit'),
		session_user::text, current_user::text, (SELECT rolsuper FROM pg_roles WHERE rolname = session_user),
		EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('settings') AND pg_get_userbyid(relowner) = current_user),
		coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), coalesce(inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1', true),
		(SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped
			WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname NOT IN (`+openToAll+`)
			AND NOT (c.relrowsecurity AND row_security_active(c.oid)))`).
		Scan(&f.version, &f.fsync, &f.syncCommit, &f.user, &f.works, &f.super, &f.owns, &f.encrypted, &f.local, &open)
	if err != nil {
		r.broken("database", storage.Classify(err))
		return
	}
	if open.String != "" {
		f.open = strings.Split(open.String, ", ")
	}
	r.server(f)
}

func (r *Report) server(f serverFacts) {
	if f.version < 150000 {
		r.Fail("database", "upgrade the server", "PostgreSQL %d; 15 or newer is needed", f.version/10000)
	} else {
		r.OK("database", "PostgreSQL %d", f.version/10000)
	}
	switch {
	case f.fsync == "off":
		r.Fail("durability", "set fsync = on in postgresql.conf and restart the server", "the database server runs with fsync off: a loss of power loses what was acknowledged, or all of it")
	case f.syncCommit == "off":
		r.Warn("durability", "set synchronous_commit = on for the database, so that other programs have it too", "synchronous_commit is off; LogLine's own connections switch it on")
	default:
		r.OK("durability", "fsync is on, synchronous_commit is %s", f.syncCommit)
	}
	switch {
	case f.super:
		r.Warn("database role", "make a role that may log in and owns the database alone, and connect as it (docs/postgresql.md)", "the server connects as %s, a superuser: whoever takes over the process has the whole cluster", f.user)
	case f.owns:
		r.Warn("database role", "as a superuser make the role that owns nothing, and grant it: docs/postgresql.md has the statements", "the server works as %s, who owns the tables, because it may not make a role that owns nothing", f.works)
	default:
		r.OK("database role", "connects as %s and works as %s, who owns nothing", f.user, f.works)
	}
	if len(f.open) > 0 {
		r.Fail("row-level security", "start the server once, which switches it on; where it does not, nothing keeps tenants apart in these tables", "it does not bind on %s", strings.Join(f.open, ", "))
	} else {
		r.OK("row-level security", "it binds on every table of tenants")
	}
	if !f.encrypted && !f.local {
		r.Warn("database connection", "add sslmode=verify-full to the database URL", "it is not encrypted and goes to another machine: passwords and payloads can be read on the way")
	}
}

// Work checks what followers and tasks are left with.
func (r *Report) Work(ctx context.Context, db *storage.DB) {
	tx, err := db.Read.BeginTx(ctx, nil)
	if err != nil {
		r.broken("work", storage.Classify(err))
		return
	}
	defer tx.Rollback() // it only read
	if db.Dialect == storage.Postgres {
		if _, err := tx.ExecContext(ctx, storage.SetTasks, "*"); err != nil {
			r.broken("work", storage.Classify(err))
			return
		}
	}
	var parked, failed int
	if err := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM followers WHERE state = 2), (SELECT count(*) FROM tasks WHERE state = 3)`).Scan(&parked, &failed); err != nil {
		r.broken("work", storage.Classify(err))
		return
	}
	if parked > 0 {
		r.Fail("followers", "logline followers list shows them and why; logline followers requeue or skip goes on", "%d are parked: they failed at one entry as often as they may, and wait for somebody", parked)
	} else {
		r.OK("followers", "none is parked")
	}
	if failed > 0 {
		r.Warn("tasks", "logline tasks list --state failed shows them; logline tasks requeue runs one again", "%d have failed for good", failed)
	} else {
		r.OK("tasks", "none has failed for good")
	}
}
