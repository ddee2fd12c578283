package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/danvoulez/logline/internal/timeline"
)

// BatchSizes are the sizes of batches that benchmarks append.
var BatchSizes = []int{1, 16, 256, 1000}

// benchSpecs are entries as real ones: a subject, a tag, a cause, 200 bytes of
// payload.
func benchSpecs(first, n int) []Spec {
	out := make([]Spec, n)
	for i := range out {
		out[i] = Spec{
			N: first + i, Subject: fmt.Sprint("subject-", i%50), Tags: []string{"bench"}, NoDetail: true,
			Payload: fmt.Sprintf(`{"n":%d,"text":"%0190d"}`, first+i, i),
		}
		if first+i > 0 {
			out[i].Causes = []string{ID(first + i - 1)}
		}
	}
	return out
}

// Bench measures what write does with b.N batches of a size, which are made
// outside its time: entries a second, and the median time of one.
func Bench(b *testing.B, size int, write func(*timeline.Batch) error) {
	b.Helper()
	tl := NewTimeline("bench")
	all := make([]*timeline.Batch, b.N)
	for i := range all {
		all[i] = tl.Batch(benchSpecs(i*size, size)...)
		tl.Done(all[i])
	}
	took := make([]time.Duration, 0, len(all))
	b.ResetTimer()
	for _, batch := range all {
		begun := time.Now()
		if err := write(batch); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
	b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "entries/s")
}
