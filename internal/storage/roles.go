package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/danvoulez/logline/internal/fault"
)

// ensureRole makes the role that owns nothing, if it may, and lets the
// connecting user work under it. That it may not is no error here.
func (s *server) ensureRole(ctx context.Context, conn *pgx.Conn) error {
	role := pgx.Identifier{s.role}.Sanitize()
	if !s.roleExists && s.mayMakeRoles {
		_, err := conn.Exec(ctx, "CREATE ROLE "+role+" NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS")
		if err != nil && !hasCode(err, "42710", "42501") { // exists; may not after all
			return fmt.Errorf("create role: %w", err)
		}
	}
	if err := s.lookAtRole(ctx, conn); err != nil {
		return err
	}
	if s.roleExists && !s.roleUsable {
		_, err := conn.Exec(ctx, "GRANT "+role+" TO "+pgx.Identifier{s.user}.Sanitize())
		if err != nil && !hasCode(err, "42501", "0LP01") {
			return fmt.Errorf("grant role: %w", err)
		}
	}
	return s.lookAtRole(ctx, conn)
}

// owned is the tables that this program made: those of the owner of its table
// of versions, in the same schema.
const owned = `FROM pg_class c JOIN pg_class v ON v.relnamespace = c.relnamespace AND v.relowner = c.relowner
	WHERE v.oid = to_regclass('goose_db_version') AND c.relkind IN ('r', 'p') AND c.oid <> v.oid`

const allMay = `has_table_privilege($1, c.oid, 'SELECT') AND has_table_privilege($1, c.oid, 'INSERT')
	AND has_table_privilege($1, c.oid, 'UPDATE') AND has_table_privilege($1, c.oid, 'DELETE')`

// grant gives the role what it needs of the tables, and sees to it that
// row-level security binds whoever works on them: an owner only where FORCE
// says so, and pg_dump, which runs as the owner, only works where it does not.
func (s *server) grant(ctx context.Context, conn *pgx.Conn) error {
	if s.roleUsable {
		role := pgx.Identifier{s.role}.Sanitize()
		if _, err := conn.Exec(ctx, "GRANT USAGE ON SCHEMA "+pgx.Identifier{s.schema}.Sanitize()+" TO "+role); err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		if err := forEach(ctx, conn, "GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO "+role,
			"SELECT c.oid::regclass::text "+owned+" AND NOT ("+allMay+")", s.role); err != nil {
			return err
		}
		if err := forEach(ctx, conn, "GRANT USAGE, SELECT ON SEQUENCE %s TO "+role,
			"SELECT q.oid::regclass::text FROM pg_class q JOIN pg_class v ON v.relnamespace = q.relnamespace AND v.relowner = q.relowner "+
				"WHERE v.oid = to_regclass('goose_db_version') AND CASE q.relkind WHEN 'S' THEN NOT has_sequence_privilege($1, q.oid, 'USAGE') ELSE false END", s.role); err != nil {
			return err
		}
	}
	change := "ALTER TABLE %s FORCE ROW LEVEL SECURITY"
	if s.roleUsable {
		change = "ALTER TABLE %s NO FORCE ROW LEVEL SECURITY"
	}
	return forEach(ctx, conn, change, "SELECT c.oid::regclass::text "+owned+" AND c.relrowsecurity AND c.relforcerowsecurity = $1", s.roleUsable)
}

// forEach runs a statement for every name that a query finds.
func forEach(ctx context.Context, conn *pgx.Conn, statement, query string, args ...any) error {
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	for _, name := range names {
		if _, err := conn.Exec(ctx, fmt.Sprintf(statement, name)); err != nil { // regclass quotes what needs quotes
			return fmt.Errorf("table %s: %w", name, err)
		}
	}
	return nil
}

// verify makes sure, as the connections of the pool are now, that they can work
// and that row-level security binds them.
func (p *postgres) verify(ctx context.Context) error {
	var user, owner string
	var open, lacking []string
	err := p.pool.QueryRow(ctx, `SELECT current_user::text,
		coalesce((SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = to_regclass('goose_db_version')), ''),
		ARRAY(SELECT c.relname::text `+owned+` AND c.relrowsecurity AND NOT row_security_active(c.oid) ORDER BY 1),
		ARRAY(SELECT c.relname::text `+owned+` AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
			AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) ORDER BY 1)`).Scan(&user, &owner, &open, &lacking)
	if err != nil {
		return Classify(fmt.Errorf("check privileges: %w", err))
	}
	quoted := pgx.Identifier{user}.Sanitize()
	switch {
	case len(open) > 0:
		return fault.Newf(fault.Unavailable, "database_role_strong",
			"row-level security does not bind the role %s on %s, so that nothing keeps tenants apart in the database; "+
				"as a superuser run: CREATE ROLE %s NOLOGIN; GRANT %[3]s TO %s", user, tables(open), pgx.Identifier{p.found.role}.Sanitize(), quoted)
	case len(lacking) > 0:
		return fault.Newf(fault.Unavailable, "database_role_weak",
			"the role %s may not read and write %s; as %s run: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s",
			user, tables(lacking), owner, pgx.Identifier{p.found.schema}.Sanitize(), quoted)
	}
	return nil
}

// hasCode says whether the server refused with one of these SQLSTATEs.
func hasCode(err error, codes ...string) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code == c {
			return true
		}
	}
	return false
}
