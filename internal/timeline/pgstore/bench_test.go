package pgstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// BenchmarkAppend appends batches; as durable as the cluster is.
func BenchmarkAppend(b *testing.B) {
	for _, size := range storetest.BatchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, s := open(b, pgtest.New(b).URL)
			storetest.Bench(b, size, func(batch *timeline.Batch) error { return s.Append(b.Context(), batch) })
		})
	}
}

// BenchmarkBareInserts puts the same rows into one table without any index or
// policy, a prepared unnest a batch: what the server can do at most.
func BenchmarkBareInserts(b *testing.B) {
	for _, size := range storetest.BatchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			db, _ := open(b, pgtest.New(b, pgtest.NoCreateRole).URL)
			_, err := db.Pool().Exec(b.Context(), `CREATE TABLE bare (seq bigint PRIMARY KEY, leaf bytea, recorded_at text, type text, author text, subject text, status text, line bytea, salt text, payload bytea)`)
			require.NoError(b, err)
			storetest.Bench(b, size, func(batch *timeline.Batch) error {
				n := len(batch.Rows)
				seqs, times, types, authors, subjects, statuses, salts := make([]int64, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
				leaves, lines, payloads := make([][]byte, n), make([][]byte, n), make([][]byte, n)
				for i := range batch.Rows {
					r := &batch.Rows[i]
					seqs[i], times[i], types[i], authors[i], subjects[i], statuses[i], salts[i] = int64(r.Seq), r.RecordedAt, r.Type, r.Author, r.Subject, r.Status, r.Salt
					leaves[i], lines[i], payloads[i] = r.Leaf[:], r.Line, r.Payload
				}
				_, err := db.Pool().Exec(b.Context(), `INSERT INTO bare SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::bytea[])`,
					seqs, leaves, times, types, authors, subjects, statuses, lines, salts, payloads)
				return err
			})
		})
	}
}
