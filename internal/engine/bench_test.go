package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bench/decide"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/span"
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

// BenchmarkSubjects is four callers with spans of subjects that the process has
// met, and with spans of new ones, of which a contract asks the store.
func BenchmarkSubjects(b *testing.B) {
	for _, kind := range []string{backend.SQLite, backend.Postgres} {
		for _, subjects := range []int{100, 1 << 30} {
			b.Run(fmt.Sprintf("%s/of=%d", kind, subjects), func(b *testing.B) {
				w := newWorld(b, setup{url: backend.URL(b, kind)})
				require.NoError(b, w.activate(decide.PerSubject).Err)
				const callers, lines = 4, 500
				calls := make([][][]byte, max(b.N/lines, callers))
				for i := range calls {
					for n := range lines {
						subject := fmt.Sprint("s-", (i*lines+n)%subjects)
						calls[i] = append(calls[i], w.seal(w.owner, []byte(`{"n":1}`), typed("payment.requested"), func(h *span.Header) { h.Subject = subject }))
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
}
