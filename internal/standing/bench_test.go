package standing_test

import (
	"testing"

	"github.com/danvoulez/logline/internal/span"
)

// BenchmarkCheck is what the rules cost for one ordinary span.
func BenchmarkCheck(b *testing.B) {
	w := founded(b)
	sp := w.span(w.owner, "payment.requested", object{"amount": 1})
	e := w.entry(sp, span.OutcomeAllow)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.check(sp); err != nil {
			b.Fatal(err)
		}
		if _, err := w.tx.Apply(e, sp.Payload, w.look); err != nil {
			b.Fatal(err)
		}
	}
}
