package backup

import (
	"bytes"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// Tasks are in a backup and come back from it, although row-level security
// shows a tenant's to nobody who does not say so.
func TestTasksAreInABackup(t *testing.T) {
	t.Parallel()
	open := func() *storage.DB {
		db, err := storage.Open(t.Context(), pgtest.New(t).URL)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		return db
	}
	from, to := open(), open()
	require.NoError(t, from.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), storage.SetTasks, "tenant")
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), `INSERT INTO task_cursors VALUES ('tenant', 5)`)
		return err
	}))
	var out bytes.Buffer
	tx, err := from.BeginSnapshot(t.Context())
	require.NoError(t, err)
	_, err = writePlain(t.Context(), &out, Source{Header: header(), Tables: SQLTables{Tx: tx, Dialect: from.Dialect}, Timelines: nothing{}})
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	require.Contains(t, out.String(), `["tenant",5]`)
	require.NoError(t, to.InTx(t.Context(), func(tx *sql.Tx) error {
		_, err := readPlain(t.Context(), bytes.NewReader(out.Bytes()), &Load{Context: t.Context(), Tables: &SQLTables{Tx: tx, Dialect: to.Dialect}})
		require.NoError(t, err)
		var next int
		require.NoError(t, tx.QueryRowContext(t.Context(), `SELECT next FROM task_cursors WHERE tenant = 'tenant'`).Scan(&next))
		require.Equal(t, 5, next)
		return nil
	}))
}
