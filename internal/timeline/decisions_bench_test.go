package timeline_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// counted counts the questions about decision rows.
type counted struct {
	timeline.Store
	asked atomic.Int64
}

func (c *counted) Rows(ctx context.Context, tenant string, asks []timeline.Ask) (timeline.Asked, error) {
	c.asked.Add(1)
	return c.Store.Rows(ctx, tenant, asks)
}

// BenchmarkDecisionRows appends spans of 1,000 subjects by sessions, without
// decision rows and with those of storetest.Folder, which asks five questions for
// each span and writes two or three rows.
func BenchmarkDecisionRows(b *testing.B) {
	for _, kind := range []string{backend.Memory, backend.SQLite, backend.Postgres} {
		for _, size := range []int{1, 100} {
			for _, folder := range []timeline.Folder{nil, storetest.Folder{}} {
				b.Run(fmt.Sprintf("%s/batch=%d/folded=%v", kind, size, folder != nil), func(b *testing.B) {
					_, s := backend.Open(b, backend.URL(b, kind))
					store := &counted{Store: s}
					w := newWorldWith(b, store, timeline.Config{Folder: folder, Contention: time.Hour})
					w.append(w.plain(1)...)
					drafts := make([]timeline.Draft, b.N*size)
					for i := range drafts {
						drafts[i] = w.by("note.taken", `{}`, func(h *span.Header) { h.Subject = fmt.Sprint("subject-", i*7919%1000) })
					}
					b.ResetTimer()
					for n := range b.N {
						session, err := w.log.Guess(b.Context(), w.tenant)
						require.NoError(b, err)
						for i := range size {
							_, err := session.Admit(&drafts[n*size+i], span.FormatTime(w.now))
							require.NoError(b, err)
						}
						_, err = session.Commit(b.Context())
						require.NoError(b, err)
						session.Close()
					}
					b.StopTimer()
					b.ReportMetric(float64(store.asked.Load())/float64(len(drafts)), "questions/span")
					b.ReportMetric(float64(len(drafts))/b.Elapsed().Seconds(), "spans/s")
				})
			}
		}
	}
}
