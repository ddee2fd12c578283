// Package pgtest gives a test a PostgreSQL database of its own, owned by a role
// of its own, in the cluster that LOGLINE_TEST_POSTGRES names, and removes both
// when the test ends. It creates no table; internal/storage does.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Variable is the environment variable that holds the URL of a superuser on a
// PostgreSQL cluster for tests, as scripts/services.sh sets it.
const Variable = "LOGLINE_TEST_POSTGRES"

// Database is an empty database that lives as long as the test.
type Database struct {
	URL      string // as its owner, or as the superuser where that was asked for
	AdminURL string // the same database as the superuser
	Name     string
	Owner    string // the role that owns it: no superuser, may log in
}

type config struct {
	superuser, noCreateRole bool
	encoding                string
}

// Option changes what New makes.
type Option func(*config)

// Superuser makes URL connect as the cluster's superuser.
func Superuser(c *config) { c.superuser = true }

// NoCreateRole makes an owner that may not create roles.
func NoCreateRole(c *config) { c.noCreateRole = true }

// Encoding makes a database of another encoding than UTF8.
func Encoding(name string) Option { return func(c *config) { c.encoding = name } }

// New creates a database and the role that owns it. Without a cluster to do it
// in, the test is skipped.
func New(t testing.TB, options ...Option) *Database {
	t.Helper()
	return NewIn(t, Cluster(t), options...)
}

// NewIn is New in the cluster that a superuser's URL names.
func NewIn(t testing.TB, in string, options ...Option) *Database {
	t.Helper()
	c := config{encoding: "UTF8"}
	for _, o := range options {
		o(&c)
	}
	cluster, err := url.Parse(in)
	require.NoError(t, err)

	name := "logline_test_" + strings.ToLower(rand.Text()[:12])
	password := rand.Text()
	admin := *cluster
	admin.Path = "/" + name
	owner := admin
	owner.User = url.UserPassword(name, password)
	d := &Database{URL: owner.String(), AdminURL: admin.String(), Name: name, Owner: name}
	if c.superuser {
		d.URL = d.AdminURL
	}

	createRole := "CREATEROLE"
	if c.noCreateRole {
		createRole = "NOCREATEROLE"
	}
	t.Cleanup(func() { drop(t, cluster.String(), name) })
	run(t, cluster.String(),
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' NOSUPERUSER NOBYPASSRLS %s", name, password, createRole),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE template0 ENCODING '%s' LC_COLLATE 'C' LC_CTYPE 'C'", name, name, c.encoding))
	return d
}

// Cluster is the superuser's URL of the cluster; without one, the test is
// skipped.
func Cluster(t testing.TB) string {
	t.Helper()
	text := os.Getenv(Variable)
	if text == "" {
		t.Skip("needs PostgreSQL: run make test, which starts one, or set " + Variable + " to the URL of a superuser")
	}
	return text
}

// Exec runs statements in the database as the superuser.
func (d *Database) Exec(t testing.TB, statements ...string) {
	t.Helper()
	run(t, d.AdminURL, statements...)
}

// drop removes the database, whoever is connected, and the roles that were made
// for it: its owner and the role that the server works under.
func drop(t testing.TB, cluster, name string) {
	t.Helper()
	run(t, cluster,
		"DROP DATABASE IF EXISTS "+name+" WITH (FORCE)",
		"DROP ROLE IF EXISTS logline_app_"+name,
		"DROP ROLE IF EXISTS "+name)
}

func run(t testing.TB, to string, statements ...string) {
	t.Helper()
	// Not the test's context, which has ended when its cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, to)
	require.NoError(t, err)
	defer conn.Close(ctx)
	for _, s := range statements {
		_, err := conn.Exec(ctx, s)
		require.NoError(t, err, s)
	}
}
