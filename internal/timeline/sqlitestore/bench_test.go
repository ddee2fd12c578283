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

var batchSizes = []int{1, 16, 256, 1000}

// benchSpecs are entries as real ones: a subject, a tag, a cause, 200 bytes of
// payload.
func benchSpecs(first, n int) []storetest.Spec {
	out := make([]storetest.Spec, n)
	for i := range out {
		out[i] = storetest.Spec{
			N: first + i, Subject: fmt.Sprint("subject-", i%50), Tags: []string{"bench"}, NoDetail: true,
			Payload: fmt.Sprintf(`{"n":%d,"text":"%0190d"}`, first+i, i),
		}
		if first+i > 0 {
			out[i].Causes = []string{storetest.ID(first + i - 1)}
		}
	}
	return out
}

// batches makes what a benchmark appends, outside its time.
func batches(b *testing.B, size int) []*timeline.Batch {
	tl := storetest.NewTimeline("bench")
	out := make([]*timeline.Batch, b.N)
	for i := range out {
		out[i] = tl.Batch(benchSpecs(i*size, size)...)
		tl.Done(out[i])
	}
	return out
}

func report(b *testing.B, size int) {
	b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkAppend appends durable batches.
func BenchmarkAppend(b *testing.B) {
	for _, size := range batchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, s := open(b, "sqlite:"+filepath.Join(b.TempDir(), "logline.db"))
			all := batches(b, size)
			b.ResetTimer()
			for _, batch := range all {
				require.NoError(b, s.Append(b.Context(), batch))
			}
			report(b, size)
		})
	}
}

// BenchmarkBareInserts puts the same rows into one table without any index, a
// prepared statement a row and a durable transaction a batch: what SQLite can
// do at most.
func BenchmarkBareInserts(b *testing.B) {
	for _, size := range batchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			db, _ := open(b, "sqlite:"+filepath.Join(b.TempDir(), "logline.db"))
			ctx := b.Context()
			_, err := db.Write.ExecContext(ctx, `CREATE TABLE bare (position INTEGER PRIMARY KEY, tenant INTEGER, id BLOB, leaf BLOB,
				recorded_at TEXT, type TEXT, author TEXT, subject TEXT, visibility INTEGER, status TEXT, line BLOB, salt TEXT, payload BLOB) STRICT`)
			require.NoError(b, err)
			insert, err := db.Write.PrepareContext(ctx, `INSERT INTO bare VALUES (?, 1, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?)`)
			require.NoError(b, err)
			defer insert.Close()
			all := batches(b, size)
			b.ResetTimer()
			for _, batch := range all {
				require.NoError(b, db.InTx(ctx, func(tx *sql.Tx) error {
					st := tx.Stmt(insert)
					for i := range batch.Rows {
						r := &batch.Rows[i]
						if _, err := st.Exec(r.Seq, []byte(r.ID), r.Leaf[:], r.RecordedAt, r.Type, r.Author, r.Subject, r.Status, r.Line, r.Salt, r.Payload); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			report(b, size)
		})
	}
}
