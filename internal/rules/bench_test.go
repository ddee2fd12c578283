package rules_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/expr"
)

// many is a contract of n rules, five of which are asked about pay.asked: by
// this pattern.
func many(n int, pattern string) string {
	lines := make([]string, 0, n)
	for i := range n {
		on := pattern
		if i >= 5 {
			on = fmt.Sprintf("other%d.*", i)
		}
		lines = append(lines, fmt.Sprintf(`rule r%03d { on: "%s"  when: data.amount > %d.0 && data.currency == "EUR"  then { reject "no" } }`, i, on, 1000+i))
	}
	return inContract("c", lines...)
}

func BenchmarkDecide(b *testing.B) {
	for _, c := range []struct {
		rules   int
		pattern string
	}{{5, "pay.asked"}, {10, "pay.asked"}, {100, "pay.asked"}, {10, "pay.*"}, {100, "pay.*"}} {
		b.Run(fmt.Sprintf("rules=%d/%s", c.rules, c.pattern), func(b *testing.B) {
			l := newTimeline(b)
			l.activate(many(c.rules, c.pattern))
			sp := l.span(l.member("member"), "pay.asked", object{"amount": 12.5, "currency": "EUR", "id": "x"})
			w, at := l.world(), l.at()
			b.ReportAllocs()
			for b.Loop() {
				o, err := rules.Decide(context.Background(), w, sp, at)
				if err != nil || o.Verdict != rules.Allow {
					b.Fatal(o, err)
				}
			}
		})
	}
	b.Run("expressions=5", func(b *testing.B) {
		l := newTimeline(b)
		l.activate(many(5, "pay.asked"))
		sp := l.span(l.member("member"), "pay.asked", object{"amount": 12.5, "currency": "EUR", "id": "x"})
		list := l.set.Contracts()[0].Rules
		data, err := expr.ParseData(sp.Payload)
		if err != nil {
			b.Fatal(err)
		}
		in := expr.Bind(expr.Facts{Span: &sp.Header, Data: data, Now: l.now})
		b.ReportAllocs()
		for b.Loop() {
			for _, r := range list {
				if holds, err := r.When.Bool(in); holds || err != nil {
					b.Fatal(holds, err)
				}
			}
		}
	})
}
