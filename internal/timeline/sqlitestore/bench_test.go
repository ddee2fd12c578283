package sqlitestore_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// BenchmarkAppend appends durable batches.
func BenchmarkAppend(b *testing.B) {
	for _, size := range storetest.BatchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, s := open(b, "sqlite:"+filepath.Join(b.TempDir(), "logline.db"))
			storetest.Bench(b, size, func(batch *timeline.Batch) error { return s.Append(b.Context(), batch) })
		})
	}
}

// BenchmarkBareInserts puts the same rows into one table without any index, a
// prepared statement a row and a durable transaction a batch: what SQLite can
// do at most.
func BenchmarkBareInserts(b *testing.B) {
	for _, size := range storetest.BatchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			db, _ := open(b, "sqlite:"+filepath.Join(b.TempDir(), "logline.db"))
			ctx := b.Context()
			_, err := db.Write.ExecContext(ctx, `CREATE TABLE bare (position INTEGER PRIMARY KEY, tenant INTEGER, id BLOB, leaf BLOB,
				recorded_at TEXT, type TEXT, author TEXT, subject TEXT, visibility INTEGER, status TEXT, line BLOB, salt TEXT, payload BLOB) STRICT`)
			require.NoError(b, err)
			insert, err := db.Write.PrepareContext(ctx, `INSERT INTO bare VALUES (?, 1, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?)`)
			require.NoError(b, err)
			defer insert.Close()
			storetest.Bench(b, size, func(batch *timeline.Batch) error {
				return db.InTx(ctx, func(tx *sql.Tx) error {
					st := tx.Stmt(insert)
					for i := range batch.Rows {
						r := &batch.Rows[i]
						if _, err := st.Exec(r.Seq, []byte(r.ID), r.Leaf[:], r.RecordedAt, r.Type, r.Author, r.Subject, r.Status, r.Line, r.Salt, r.Payload); err != nil {
							return err
						}
					}
					return nil
				})
			})
		})
	}
}
