package storage

import (
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	for name, url := range urls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, err := Open(t.Context(), url(t))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			require.NoError(t, db.Migrate(t.Context()))
			require.NoError(t, db.Migrate(t.Context()), "again changes nothing")
			_, err = db.Write.Exec("INSERT INTO settings VALUES ('a', $1)", []byte{0})
			require.NoError(t, err)
		})
	}
}

func file(sql string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql + "\n")}
}

func TestMigrateRefusesNewerSchema(t *testing.T) {
	t.Parallel()
	db := open(t, "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
	older := fstest.MapFS{"0001_a.sql": file("CREATE TABLE a (x);")}
	newer := fstest.MapFS{"0001_a.sql": file("CREATE TABLE a (x);"), "0002_b.sql": file("CREATE TABLE b (x);")}
	require.NoError(t, db.migrate(t.Context(), newer))
	err := db.migrate(t.Context(), older)
	require.Equal(t, "schema_newer", fault.CodeOf(err))
	require.ErrorContains(t, err, "schema version 2")
	require.ErrorContains(t, err, "knows only 1")
}

// A step that was finished after one with a higher number is made up for.
func TestMigrationThatCameLate(t *testing.T) {
	t.Parallel()
	for name, url := range urls() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, url(t))
			early := fstest.MapFS{"0001_a.sql": file("CREATE TABLE a (x int);"), "0003_c.sql": file("CREATE TABLE c (x int);")}
			require.NoError(t, db.migrate(t.Context(), early))
			early["0002_b.sql"] = file("CREATE TABLE b (x int);")
			require.NoError(t, db.migrate(t.Context(), early))
			_, err := db.Write.Exec("INSERT INTO b VALUES (1)")
			require.NoError(t, err)
		})
	}
}

func TestFailedMigrationIsUndone(t *testing.T) {
	t.Parallel()
	db := open(t, "memory:")
	bad := fstest.MapFS{
		"0001_a.sql": file("CREATE TABLE a (x);"),
		"0002_b.sql": file("CREATE TABLE b (x);\nCREATE TABLE a (x);"),
	}
	require.Equal(t, "migration_failed", fault.CodeOf(db.migrate(t.Context(), bad)))
	_, err := db.Write.Exec("INSERT INTO a VALUES (1)")
	require.NoError(t, err, "the first step stands")
	_, err = db.Write.Exec("INSERT INTO b VALUES (1)")
	require.Error(t, err, "the second left nothing")
	bad["0002_b.sql"] = file("CREATE TABLE b (x);")
	require.NoError(t, db.migrate(t.Context(), bad))
}
