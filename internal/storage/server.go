package storage

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/danvoulez/logline/internal/fault"
)

// postgres is what a DB on PostgreSQL holds besides its pools.
type postgres struct {
	pool  *pgxpool.Pool
	admin *pgx.ConnConfig        // connects as the URL's user, unconfined
	asked string                 // role named by the URL
	role  atomic.Pointer[string] // what new connections work under; nil: as they connect
	found server                 // when it was opened
}

// server is what a database server is and lets the connecting user do.
type server struct {
	version                       int // 150004 for 15.4
	encoding                      string
	readonly                      bool // a standby, or set so
	fsync, syncCommit             string
	database, schema, user        string
	super, bypasses, mayMakeRoles bool // of the user
	mayMakeTables                 bool

	role                                string // that servers work under
	roleExists, roleUsable, roleTooMuch bool
}

const minVersion = 150000

// look asks the server about itself. The statements run on every version that
// a server may have, so that an old one is told apart from a broken one.
func look(ctx context.Context, conn *pgx.Conn, role string) (s server, err error) {
	err = conn.QueryRow(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
			current_setting('transaction_read_only') = 'on', current_setting('fsync'), current_setting('synchronous_commit'),
			current_database()::text, coalesce(current_schema()::text, ''), r.rolname::text, r.rolsuper, r.rolbypassrls, r.rolcreaterole OR r.rolsuper,
			coalesce(has_schema_privilege(r.oid, n.oid, 'CREATE'), false)
		FROM pg_roles r LEFT JOIN pg_namespace n ON n.nspname = current_schema()
		WHERE r.rolname = session_user`).Scan(&s.version, &s.encoding, &s.readonly, &s.fsync, &s.syncCommit,
		&s.database, &s.schema, &s.user, &s.super, &s.bypasses, &s.mayMakeRoles, &s.mayMakeTables)
	if err != nil {
		return s, fmt.Errorf("look at the server: %w", err)
	}
	if s.role = role; role == "" {
		s.role = roleName(s.database)
	}
	return s, s.lookAtRole(ctx, conn)
}

func (s *server) lookAtRole(ctx context.Context, conn *pgx.Conn) error {
	privilege := "MEMBER"
	if s.version >= 160000 { // where membership and SET ROLE are two things
		privilege = "SET"
	}
	err := conn.QueryRow(ctx, `
		SELECT count(*) > 0, coalesce(bool_or(pg_has_role(session_user, oid, $2)), false), coalesce(bool_or(rolsuper OR rolbypassrls), false)
		FROM pg_roles WHERE rolname = $1`, s.role, privilege).Scan(&s.roleExists, &s.roleUsable, &s.roleTooMuch)
	if err != nil {
		return fmt.Errorf("look at the role %s: %w", s.role, err)
	}
	return nil
}

// check says why this program cannot work on the server, nil when it can.
func (s *server) check() error {
	quoted := pgx.Identifier{s.user}.Sanitize()
	switch {
	case s.version < minVersion:
		return fault.Newf(fault.Unavailable, "database_too_old",
			"the database server is PostgreSQL %d and this program needs %d or newer; upgrade it, or unset DATABASE_URL to use SQLite",
			s.version/10000, minVersion/10000)
	case s.encoding != "UTF8":
		return fault.Newf(fault.Unavailable, "database_encoding",
			"the database %s is encoded as %s and must be UTF8; make one with CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'", s.database, s.encoding)
	case s.readonly:
		return errReadonlyServer
	case s.schema == "":
		return fault.Newf(fault.Unavailable, "database_role_weak",
			"the role %s may use no schema of the database %s; as its owner run: GRANT USAGE, CREATE ON SCHEMA public TO %s", s.user, s.database, quoted)
	case s.roleExists && s.roleTooMuch:
		return fault.Newf(fault.Unavailable, "database_role_strong",
			"the role %s, under which the server works, must not pass by row-level security; as a superuser run: ALTER ROLE %s NOSUPERUSER NOBYPASSRLS",
			s.role, pgx.Identifier{s.role}.Sanitize())
	}
	return nil
}

// Warnings is what an operator should know about the database although the
// server works with it, a sentence each.
func (d *DB) Warnings() []string {
	if d.pg == nil {
		return nil
	}
	var out []string
	s := &d.pg.found
	if s.fsync == "off" {
		out = append(out, "the database server runs with fsync off: a loss of power loses what was acknowledged")
	}
	if d.pg.role.Load() == nil {
		out = append(out, fmt.Sprintf("the server works as the owner of its tables, under forced row-level security, because the role %s may not create one that owns nothing; "+
			"as a superuser run: CREATE ROLE %s NOLOGIN; GRANT %[2]s TO %s", s.user, pgx.Identifier{s.role}.Sanitize(), pgx.Identifier{s.user}.Sanitize()))
	}
	return out
}

// tables is a list of names for a message.
func tables(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
