package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// connect opens a database until the test ends, without migrating it.
func connect(t *testing.T, url string) *DB {
	t.Helper()
	db, err := Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// with is a URL with one more parameter.
func with(t *testing.T, raw, name, value string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// as is a URL with another user, whom the cluster lets in with any password.
func as(t *testing.T, raw, user string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	u.User = url.UserPassword(user, "secret")
	return u.String()
}

// ask is one text that the pool's connections get.
func ask(t *testing.T, db *DB, question string) (text string) {
	t.Helper()
	require.NoError(t, db.Read.QueryRowContext(t.Context(), question).Scan(&text))
	return text
}

func TestPostgresURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"postgres://ana:secret@h:7/d?sslmode=disable&password=secret": "postgres://ana@h:7/d",
		"postgresql://ana:secret@h/d":                                 "postgres://ana@h:5432/d",
		"postgres://ana:secret@[::1]/d":                               "postgres://ana@[::1]:5432/d",
		"postgres://ana:secret@a:1,b:2/d":                             "postgres://ana@a:1/d",
		"postgres://ana:secret@/d?host=/run/pg":                       "postgres://ana@/d?host=%2Frun%2Fpg&port=5432",
		"postgres://ana:secret@h/d?logline_role=r":                    "postgres://ana@h:5432/d",
	} {
		got, err := Parse(raw)
		require.NoError(t, err, raw)
		require.Equal(t, want, got.String(), raw)
		require.NotContains(t, fmt.Sprintf("%s %v", got, got), "secret")
	}
}

// What the URL does not say is set; what it says holds.
func TestPostgresSettings(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db := connect(t, d.URL)
	require.Equal(t, "30s", ask(t, db, "SHOW statement_timeout"))
	require.Equal(t, "logline", ask(t, db, "SHOW application_name"))
	require.EqualValues(t, 16, db.Pool().Config().MaxConns)

	u := with(t, d.URL, "statement_timeout", "7s")
	u = with(t, with(t, u, "pool_max_conns", "5"), "synchronous_commit", "off")
	db = connect(t, u)
	require.Equal(t, "7s", ask(t, db, "SHOW statement_timeout"))
	require.EqualValues(t, 5, db.Pool().Config().MaxConns)
	require.Equal(t, "on", ask(t, db, "SHOW synchronous_commit"), "a commit is on the disk when it returns")

	for _, mode := range []string{"exec", "simple_protocol"} { // which leave the types of arguments to guesses
		_, err := Open(t.Context(), with(t, d.URL, "default_query_exec_mode", mode))
		require.Equal(t, "database_url_invalid", fault.CodeOf(err))
	}
	for _, mode := range []string{"describe_exec", "cache_describe"} {
		db = connect(t, with(t, d.URL, "default_query_exec_mode", mode))
		require.NoError(t, db.Migrate(t.Context()), mode)
		require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO settings (key, value) VALUES ($1, $2)", mode, []byte{1})
			return err
		}), mode)
	}
}

// Whoever connects, the pool works under a role that owns nothing, where there
// can be one, and is bound by row-level security.
func TestPostgresRoles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []pgtest.Option
		prepare func(t *testing.T, d *pgtest.Database)
		role    func(d *pgtest.Database) string
		forced  bool
	}{
		"may create roles": {role: func(d *pgtest.Database) string { return "logline_app_" + d.Name }},
		"superuser":        {options: []pgtest.Option{pgtest.Superuser}, role: func(d *pgtest.Database) string { return "logline_app_" + d.Name }},
		"may not create roles": {options: []pgtest.Option{pgtest.NoCreateRole},
			role: func(d *pgtest.Database) string { return d.Owner }, forced: true},
		"was given the role": {options: []pgtest.Option{pgtest.NoCreateRole}, prepare: func(t *testing.T, d *pgtest.Database) {
			d.Exec(t, "CREATE ROLE logline_app_"+d.Name, "GRANT logline_app_"+d.Name+" TO "+d.Owner)
		}, role: func(d *pgtest.Database) string { return "logline_app_" + d.Name }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t, c.options...)
			if c.prepare != nil {
				c.prepare(t, d)
			}
			for range 2 { // the second finds all that the first made
				db := connect(t, d.URL)
				require.NoError(t, db.Migrate(t.Context()))
				require.Equal(t, c.role(d), ask(t, db, "SELECT current_user"))
				require.Equal(t, "0", ask(t, db, "SELECT count(*) FROM pg_class WHERE relrowsecurity AND NOT row_security_active(oid)"))
				require.NotEqual(t, "0", ask(t, db, "SELECT count(*) FROM pg_class WHERE relrowsecurity"))
				forced := ask(t, db, "SELECT bool_or(relforcerowsecurity)::text FROM pg_class WHERE relrowsecurity")
				require.Equal(t, fmt.Sprint(c.forced), forced)
				if !c.forced {
					_, err := db.Write.ExecContext(t.Context(), "ALTER TABLE settings ADD COLUMN x int")
					require.Equal(t, "database_role_weak", fault.CodeOf(Classify(err)), "it owns nothing")
				}
				require.Equal(t, c.forced, strings.Contains(strings.Join(db.Warnings(), "\n"), "CREATE ROLE"))
				require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
					_, err := tx.Exec("INSERT INTO settings (key, value) VALUES ('x', '') ON CONFLICT (key) DO UPDATE SET value = excluded.value")
					return err
				}))
			}
		})
	}
}

// Roles that cannot serve are refused in one line that says what to run.
func TestPostgresRefusesRoles(t *testing.T) {
	t.Parallel()
	refuse := func(t *testing.T, url, code string, says ...string) {
		t.Helper()
		db, err := Open(t.Context(), url)
		if err == nil {
			defer db.Close()
			err = db.Migrate(t.Context())
		}
		require.Equal(t, code, fault.CodeOf(err), "%v", err)
		for _, text := range says {
			require.Contains(t, fault.From(err).Detail, text)
		}
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, fault.From(err).Detail, "\n")
	}
	t.Run("no schema", func(t *testing.T) {
		t.Parallel()
		d := pgtest.New(t)
		d.Exec(t, "REVOKE ALL ON SCHEMA public FROM PUBLIC", "ALTER SCHEMA public OWNER TO CURRENT_USER")
		refuse(t, d.URL, "database_role_weak", "GRANT USAGE, CREATE ON SCHEMA public TO \""+d.Owner)
	})
	t.Run("no tables may be made", func(t *testing.T) {
		t.Parallel()
		d := pgtest.New(t)
		d.Exec(t, "ALTER SCHEMA public OWNER TO CURRENT_USER")
		refuse(t, d.URL, "database_role_weak", "may not create tables", "GRANT USAGE, CREATE ON SCHEMA \"public\" TO \""+d.Owner)
	})
	t.Run("may not connect", func(t *testing.T) {
		t.Parallel()
		other, d := pgtest.New(t), pgtest.New(t) // in this order: d goes first, with what it grants
		d.Exec(t, "REVOKE CONNECT ON DATABASE "+d.Name+" FROM PUBLIC")
		refuse(t, as(t, d.URL, other.Owner), "database_role_weak", "GRANT")
	})
	t.Run("another's tables", func(t *testing.T) {
		t.Parallel()
		other, d := pgtest.New(t), pgtest.New(t) // in this order: d goes first, with what it grants
		require.NoError(t, connect(t, d.URL).Migrate(t.Context()))
		guest := as(t, d.URL, other.Owner)
		refuse(t, guest, "database_role_weak", "may not read the tables", "GRANT \"logline_app_"+d.Name+"\" TO \""+other.Owner)
		d.Exec(t, "GRANT SELECT ON goose_db_version TO "+other.Owner)
		refuse(t, guest, "database_role_weak", "may not read and write account_challenges", "as "+d.Owner+" run: GRANT SELECT, INSERT, UPDATE, DELETE")
		d.Exec(t, "GRANT logline_app_"+d.Name+" TO "+other.Owner)
		db := connect(t, guest)
		require.NoError(t, db.Migrate(t.Context()), "what the messages said is enough")
		require.Equal(t, "logline_app_"+d.Name, ask(t, db, "SELECT current_user"))

		older := fstest.MapFS{"9999_x.sql": file("CREATE TABLE x (x int);")}
		err := db.migrate(t.Context(), older)
		require.Equal(t, "schema_older", fault.CodeOf(err), "%v", err)
	})
	t.Run("passes by row-level security", func(t *testing.T) {
		t.Parallel()
		d := pgtest.New(t, pgtest.NoCreateRole)
		d.Exec(t, "ALTER ROLE "+d.Owner+" BYPASSRLS")
		refuse(t, d.URL, "database_role_strong", "CREATE ROLE \"logline_app_"+d.Name)
		d.Exec(t, "CREATE ROLE logline_app_"+d.Name, "GRANT logline_app_"+d.Name+" TO "+d.Owner)
		require.NoError(t, connect(t, d.URL).Migrate(t.Context()), "what the message said is enough")
		d.Exec(t, "ALTER ROLE logline_app_"+d.Name+" BYPASSRLS")
		refuse(t, d.URL, "database_role_strong", "ALTER ROLE \"logline_app_"+d.Name+"\" NOSUPERUSER NOBYPASSRLS")
	})
	t.Run("not UTF-8", func(t *testing.T) {
		t.Parallel()
		refuse(t, pgtest.New(t, pgtest.Encoding("LATIN1")).URL, "database_encoding", "LATIN1", "ENCODING 'UTF8'")
	})
	t.Run("reads only", func(t *testing.T) {
		t.Parallel()
		refuse(t, with(t, pgtest.New(t).URL, "default_transaction_read_only", "on"), "database_readonly")
	})
	t.Run("no such database", func(t *testing.T) {
		t.Parallel()
		d := pgtest.New(t)
		refuse(t, strings.Replace(d.URL, "/"+d.Name+"?", "/nowhere?", 1), "database_missing", "CREATE DATABASE")
	})
	t.Run("no such user", func(t *testing.T) {
		t.Parallel()
		refuse(t, as(t, pgtest.New(t).URL, "nobody_"+strings.ToLower(t.Name()[:4])), "database_login_failed", "user or password")
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		refuse(t, "postgres://ana:secret@127.0.0.1:1/d", "database_unavailable")
	})
	t.Run("too old", func(t *testing.T) { // there is none to try
		t.Parallel()
		err := (&server{version: 140012, encoding: "UTF8", schema: "public"}).check()
		require.Equal(t, "database_too_old", fault.CodeOf(err))
		require.ErrorContains(t, err, "PostgreSQL 14 and this program needs 15")
		require.NoError(t, (&server{version: 150000, encoding: "UTF8", schema: "public"}).check())
	})
}

// Several processes that start at once on an empty database make one schema.
func TestPostgresMigratesOnce(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	var all sync.WaitGroup
	for range 5 {
		db := connect(t, d.URL)
		all.Go(func() {
			if err := db.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	db := connect(t, d.URL)
	require.NoError(t, db.Migrate(t.Context()))
	require.NotEqual(t, "", ask(t, db, "SELECT to_regclass('timeline_entries')::text"))
}

func TestPostgresRefusesNewerSchema(t *testing.T) {
	t.Parallel()
	db := connect(t, pgtest.New(t).URL)
	older := fstest.MapFS{"0001_a.sql": file("CREATE TABLE a (x int);")}
	newer := fstest.MapFS{"0001_a.sql": file("CREATE TABLE a (x int);"), "0002_b.sql": file("CREATE TABLE b (x int);")}
	require.NoError(t, db.migrate(t.Context(), newer))
	err := db.migrate(t.Context(), older)
	require.Equal(t, "schema_newer", fault.CodeOf(err))
	require.ErrorContains(t, err, "schema version 2")

	bad := fstest.MapFS{"0001_a.sql": newer["0001_a.sql"], "0002_b.sql": newer["0002_b.sql"],
		"0003_c.sql": file("CREATE TABLE c (x int);\nCREATE TABLE a (x int);")}
	require.Equal(t, "migration_failed", fault.CodeOf(db.migrate(t.Context(), bad)))
	require.Equal(t, "gone", ask(t, db, "SELECT coalesce(to_regclass('c')::text, 'gone')"), "the failed step was undone")
}

// InTx excludes other writers, also those of other processes, and leaves
// connections to read with.
func TestPostgresWritersTakeTurns(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	url := with(t, d.URL, "pool_max_conns", "3")
	var dbs []*DB
	for range 3 {
		db := connect(t, url)
		require.NoError(t, db.Migrate(t.Context()))
		dbs = append(dbs, db)
	}
	const each = 15
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // who waits without end holds what others wait for
	defer cancel()
	var all sync.WaitGroup
	for _, db := range dbs {
		for range each {
			all.Go(func() {
				err := db.InTx(ctx, func(tx *sql.Tx) error {
					var n int
					if err := tx.QueryRow("SELECT count(*) FROM settings").Scan(&n); err != nil {
						return err
					}
					var one int
					if err := db.Read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
						return err
					}
					_, err := tx.Exec("INSERT INTO settings (key, value) VALUES ($1, '')", fmt.Sprint(n)) // unique
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	require.Equal(t, fmt.Sprint(3*each), ask(t, dbs[0], "SELECT count(*) FROM settings"))
}

func TestPostgresPoolExhausted(t *testing.T) {
	t.Parallel()
	db := connect(t, with(t, pgtest.New(t).URL, "pool_max_conns", "1"))
	conn, err := db.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = db.Acquire(ctx)
	require.Equal(t, "interrupted", fault.CodeOf(err), "the caller's own deadline")
}

// A server that answers again is used again, without a restart.
func TestPostgresConnectionsAreCut(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db := connect(t, d.URL)
	require.NoError(t, db.Migrate(t.Context()))
	err := db.InTx(t.Context(), func(tx *sql.Tx) error {
		d.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+d.Name+"' AND pid <> pg_backend_pid()")
		_, err := tx.Exec("INSERT INTO settings (key, value) VALUES ('a', '')")
		return err
	})
	require.Equal(t, "database_unavailable", fault.CodeOf(err), "%v", err)
	require.Positive(t, fault.From(err).RetryAfter)
	require.Eventually(t, func() bool {
		return db.InTx(t.Context(), func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO settings (key, value) VALUES ('b', '')")
			return err
		}) == nil
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, "1", ask(t, db, "SELECT count(*) FROM settings"))
	require.True(t, strings.HasPrefix(ask(t, db, "SELECT current_user"), "logline_app_"), "new connections are confined")
}

func TestPostgresErrors(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db := connect(t, with(t, with(t, d.URL, "statement_timeout", "200ms"), "lock_timeout", "100ms"))
	require.NoError(t, db.Migrate(t.Context()))
	exec := func(text string) error {
		_, err := db.Write.ExecContext(t.Context(), text)
		return Classify(err)
	}
	require.Equal(t, "database_timeout", fault.CodeOf(exec("SELECT pg_sleep(60)")))
	require.Equal(t, "schema_missing", fault.CodeOf(exec("SELECT * FROM nowhere")))
	require.Equal(t, "internal", fault.CodeOf(exec("SELEKT")))
	require.Equal(t, "constraint_violation", fault.CodeOf(exec("INSERT INTO settings (key, value) VALUES ('x', NULL)")))
	require.NoError(t, exec("INSERT INTO settings (key, value) VALUES ('x', '')"))
	require.Equal(t, "unique_violation", fault.CodeOf(exec("INSERT INTO settings (key, value) VALUES ('x', '')")))
	require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
		other := connect(t, with(t, d.URL, "lock_timeout", "100ms"))
		require.Equal(t, "database_busy", fault.CodeOf(other.InTx(t.Context(), func(*sql.Tx) error { return nil })))
		return nil
	}))
}

// States that no test server gets into by itself, by the codes it would send.
func TestPostgresStates(t *testing.T) {
	t.Parallel()
	for state, code := range map[string]string{
		"53100": "disk_full", "53200": "out_of_memory", "53300": "database_connections", "40001": "database_busy", "40P01": "database_busy",
		"57P01": "database_unavailable", "57P03": "database_unavailable", "08006": "database_unavailable", "25P03": "database_unavailable",
		"25006": "database_readonly", "58030": "database_io", "XX001": "database_corrupt", "28P01": "database_login_failed",
		"23514": "constraint_violation", "42601": "internal", "": "internal",
	} {
		err := Classify(fmt.Errorf("x: %w", &pgconn.PgError{Code: state}))
		require.Equal(t, code, fault.CodeOf(err), state)
	}
	for _, err := range []error{net.ErrClosed, &net.OpError{Op: "read", Err: errors.New("reset")}} {
		require.Equal(t, "database_unavailable", fault.CodeOf(Classify(err)))
	}
	_, err := pgx.Connect(t.Context(), "postgres://ana:secret@127.0.0.1:1/d?connect_timeout=1")
	require.Equal(t, "database_unavailable", fault.CodeOf(Classify(err)))
	require.NotContains(t, Classify(err).Error(), "secret")
}
