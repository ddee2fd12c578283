package pgtest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// ask is one boolean that the database answers.
func ask(t *testing.T, url, question string, args ...any) (yes bool) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	require.NoError(t, conn.QueryRow(t.Context(), question, args...).Scan(&yes))
	return yes
}

func TestOwners(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options           []pgtest.Option
		super, createRole bool
	}{
		"plain":          {createRole: true},
		"no create role": {options: []pgtest.Option{pgtest.NoCreateRole}},
		"superuser":      {options: []pgtest.Option{pgtest.Superuser}, super: true, createRole: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t, c.options...)
			me := " FROM pg_roles WHERE rolname = current_user"
			require.Equal(t, c.super, ask(t, d.URL, "SELECT rolsuper"+me))
			require.Equal(t, c.createRole, ask(t, d.URL, "SELECT rolcreaterole"+me))
			require.True(t, ask(t, d.AdminURL, "SELECT rolsuper"+me))
		})
	}
}

func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t)
	var d *pgtest.Database
	t.Run("used", func(t *testing.T) {
		d = pgtest.New(t)
		d.Exec(t, "CREATE ROLE logline_app_"+d.Name)
	})
	require.False(t, ask(t, cluster, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", d.Name))
	require.False(t, ask(t, cluster, "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname LIKE '%' || $1)", d.Name))
}
