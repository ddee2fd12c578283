package engine_test

import (
	"context"
	"sync"
	"testing"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// BenchmarkSubmitMany is the pipeline without HTTP: four callers, 500 spans a call.
func BenchmarkSubmitMany(b *testing.B) {
	for _, kind := range []string{backend.Memory, backend.SQLite, backend.Postgres} {
		b.Run(kind, func(b *testing.B) {
			s := setup{url: backend.URL(b, kind)}
			const callers, lines = 4, 500
			w := newWorld(b, s)
			calls := make([][][]byte, max(b.N/lines, callers))
			for i := range calls {
				for n := range lines {
					calls[i] = append(calls[i], w.note(w.owner, n))
				}
			}
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := c; i < len(calls); i += callers {
						for _, r := range w.SubmitMany(context.Background(), w.tenant.ID, calls[i]) {
							if r.Err != nil {
								b.Error(r.Err)
							}
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(len(calls)*lines)/b.Elapsed().Seconds(), "spans/s")
		})
	}
}

// BenchmarkSubmit is one caller, one span at a time.
func BenchmarkSubmit(b *testing.B) {
	for _, kind := range []string{backend.Memory, backend.SQLite, backend.Postgres} {
		b.Run(kind, func(b *testing.B) {
			s := setup{url: backend.URL(b, kind)}
			w := newWorld(b, s)
			raws := make([][]byte, b.N)
			for i := range raws {
				raws[i] = w.note(w.owner, i)
			}
			b.ResetTimer()
			for _, raw := range raws {
				if r := w.Submit(context.Background(), w.tenant.ID, raw, engine.Options{}); r.Err != nil {
					b.Fatal(r.Err)
				}
			}
		})
	}
}
