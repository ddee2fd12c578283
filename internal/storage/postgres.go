package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/danvoulez/logline/internal/fault"
)

// Dialects of DB.Dialect, which are the folders of the migrations.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// roleParameter is the URL parameter that names the role to work under.
const roleParameter = "logline_role"

// serverSettings are what every connection asks the server for unless the URL
// says otherwise; a parameter of the URL that pgx does not know is a setting.
var serverSettings = map[string]string{
	"application_name":                    "logline",
	"statement_timeout":                   "30s",
	"lock_timeout":                        "15s",
	"idle_in_transaction_session_timeout": "30s", // a stopped process does not hold a head's lock for longer
	"jit":                                 "off", // compiling costs more than our statements
}

// poolSettings are the pool's parameters where the URL does not say otherwise.
var poolSettings = map[string]string{
	"connect_timeout":               "5",
	"pool_max_conns":                "16",
	"pool_min_idle_conns":           "2",
	"pool_max_conn_lifetime":        "1h",
	"pool_max_conn_lifetime_jitter": "6m",
	"pool_max_conn_idle_time":       "5m",
	"pool_health_check_period":      "15s",
	"pool_ping_timeout":             "3s",
}

var errPostgresURL = fault.New(fault.Invalid, "database_url_invalid",
	"the PostgreSQL URL cannot be read; it is postgres://user:password@host:5432/database?parameters, with special characters "+
		"of user and password percent-encoded, numbers and durations in the pool's parameters, and certificate files that exist")

// hostPattern is a name, an IPv4 address or the directory of a socket.
var hostPattern = regexp.MustCompile(`^(/[^\x00-\x1f]*|[A-Za-z0-9._-]+)$`)

func isHost(host string) bool {
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return hostPattern.MatchString(host)
}

// parsePostgres reads a PostgreSQL URL. Nothing in it, which may be a password
// in the wrong place, comes back in the error.
func parsePostgres(raw string) (Target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Fragment != "" || !strings.Contains(raw, "://") {
		return Target{}, errPostgresURL
	}
	config, _, err := poolConfig(raw)
	if err != nil || !isHost(config.ConnConfig.Host) {
		return Target{}, errPostgresURL
	}
	c := config.ConnConfig
	shown := url.URL{Scheme: "postgres", Path: "/" + c.Database}
	if c.User != "" {
		shown.User = url.User(c.User)
	}
	if strings.HasPrefix(c.Host, "/") { // the directory of a socket
		shown.RawQuery = url.Values{"host": {c.Host}, "port": {strconv.Itoa(int(c.Port))}}.Encode()
	} else {
		shown.Host = c.Host + ":" + strconv.Itoa(int(c.Port))
		if strings.Contains(c.Host, ":") {
			shown.Host = "[" + c.Host + "]:" + strconv.Itoa(int(c.Port))
		}
	}
	return Target{Server: shown.String(), raw: raw}, nil
}

// poolConfig is the configuration of the pool and the role that the URL asks
// for, "" for the usual one.
func poolConfig(raw string) (config *pgxpool.Config, role string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "", err
	}
	q := u.Query()
	role = q.Get(roleParameter)
	q.Del(roleParameter)
	for name, value := range poolSettings {
		if !q.Has(name) {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	if config, err = pgxpool.ParseConfig(u.String()); err != nil {
		return nil, "", err
	}
	for name, value := range serverSettings {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	// What a client says is never shown to others, nor logged by the driver.
	config.ConnConfig.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	return config, role, nil
}

// openPostgres opens the pool and makes sure that the server is one that this
// program can work with.
func openPostgres(ctx context.Context, target Target) (*DB, error) {
	config, role, err := poolConfig(target.raw)
	if err != nil {
		return nil, errPostgresURL
	}
	if mode := config.ConnConfig.DefaultQueryExecMode; mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol {
		return nil, fault.New(fault.Invalid, "database_url_invalid",
			"default_query_exec_mode in the database URL must be cache_statement, cache_describe or describe_exec; a pooler in between has to pool sessions")
	}
	db := &DB{Dialect: Postgres, pg: &postgres{admin: config.ConnConfig.Copy(), asked: role}}
	config.AfterConnect = db.pg.confine
	if err := db.pg.greet(ctx, config); err != nil {
		return nil, openError(target, err)
	}
	if db.pg.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, openError(target, err)
	}
	// Two views of one pool. InTx takes its turn in this process before it
	// takes a connection, so that callers who wait for the writers' lock never
	// hold the connections that its holder reads with.
	db.Write, db.Read = stdlib.OpenDBFromPool(db.pg.pool), stdlib.OpenDBFromPool(db.pg.pool)
	db.Write.SetMaxOpenConns(1)
	if err := db.Read.PingContext(ctx); err != nil {
		return nil, errors.Join(openError(target, err), db.Close())
	}
	return db, nil
}

// closeTimeout bounds Close: it comes after the drain, when what is still under
// way has had its time.
const closeTimeout = 3 * time.Second

// close closes the pool. Taking leave of a server that does not answer takes the
// driver up to 15 s, and a statement under way up to a minute; the goroutine
// that waits for both ends with the process, which is about to end.
func (p *postgres) close() {
	closed := make(chan struct{})
	go func() {
		p.pool.Close()
		close(closed)
	}()
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	select {
	case <-closed:
	case <-timeout.C:
	}
}

// greet connects once, before the pool does, and looks at the server.
func (p *postgres) greet(ctx context.Context, config *pgxpool.Config) error {
	conn, err := pgx.ConnectConfig(ctx, p.admin)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s, err := look(ctx, conn, p.asked)
	if err != nil {
		return err
	}
	if err := s.check(); err != nil {
		return err
	}
	if s.syncCommit == "off" { // a commit that was acknowledged is never lost
		config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	}
	p.found = s
	if s.roleUsable {
		p.role.Store(&s.role)
	}
	return nil
}

// confine makes a new connection work under the role that owns nothing.
func (p *postgres) confine(ctx context.Context, conn *pgx.Conn) error {
	role := p.role.Load()
	if role == nil {
		return nil
	}
	_, err := conn.Exec(ctx, "SET ROLE "+pgx.Identifier{*role}.Sanitize())
	return err
}

// roleName is the role that servers on this database work under: roles belong
// to the whole cluster, so each database has its own.
func roleName(database string) string {
	const prefix, longest = "logline_app_", 63
	if len(prefix)+len(database) <= longest {
		return prefix + database
	}
	sum := sha256.Sum256([]byte(database))
	return prefix + hex.EncodeToString(sum[:16])
}

// writersLock is the advisory lock that InTx holds, and migrationLock the one
// of Migrate; the numbers are "LogLine" and "migrate" in ASCII.
const (
	writersLock   int64 = 0x4c6f674c696e65
	migrationLock int64 = 0x6d696772617465
)

// Pool is the pool of connections to PostgreSQL, nil on SQLite. Every
// connection works under the confined role; row-level security shows a
// transaction only the rows of the tenant that it has set (see SetTenant).
// Close waits until every connection taken from it is given back.
func (d *DB) Pool() *pgxpool.Pool {
	if d.pg == nil {
		return nil
	}
	return d.pg.pool
}

// acquireTimeout bounds how long a caller waits for a connection of the pool.
const acquireTimeout = 10 * time.Second

// Acquire takes a connection of the pool: database_busy when none becomes free
// in acquireTimeout, database_unavailable when none can be made.
func (d *DB) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	conn, err := d.pg.pool.Acquire(limited)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) && !isConnectError(err) {
		return nil, fault.New(fault.Unavailable, "database_busy",
			"every connection to the database is in use; try again in a moment").After(time.Second).Because(err)
	}
	return nil, Classify(fmt.Errorf("connect: %w", err))
}

// SetTenant is the statement that, with a tenant's number as text, opens that
// tenant's rows to the rest of the transaction; DirectoryScope instead of a
// number opens the list of tenants for reading.
const (
	SetTenant      = `SELECT set_config('logline.tenant', $1, true)`
	DirectoryScope = "0"
)

// SetTasks is the statement that opens the tasks of a tenant, named by id, to
// the rest of the transaction, and with "*" those of all tenants (migration 0012).
const SetTasks = `SELECT set_config('logline.tasks', $1, true)`
