package span_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// benchSpan is a span of about 700 bytes as an SDK sends it: canonical.
func benchSpan(tb testing.TB, indent bool) []byte {
	var v spanVectors
	load(tb, "spans.json", &v)
	for _, c := range v.Spans {
		sp, err := span.Parse(c.Span, span.Limits{})
		require.NoError(tb, err)
		if b := sp.Canonical(); len(b) > 650 && len(b) < 900 && strings.Contains(string(b), "payment.requested") {
			if indent {
				return c.Span
			}
			return b
		}
	}
	tb.Skip("no vector span of about 700 bytes")
	return nil
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name   string
		indent bool
	}{{"canonical", false}, {"as-sent", true}} {
		b.Run(c.name, func(b *testing.B) {
			src := benchSpan(b, c.indent)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := span.Parse(src, span.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSubmit is everything this package does for one appended span:
// parse, the signed message, the header hash, the line and its leaf.
func BenchmarkSubmit(b *testing.B) {
	src := benchSpan(b, false)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	line := make([]byte, 0, 2048)
	for b.Loop() {
		sp, err := span.Parse(src, span.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		_ = sp.Message()
		_ = sp.Hash()
		e := span.Entry{Seq: 42, RecordedAt: sp.Time, Span: sp.Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}
		line = e.AppendLine(line[:0])
		_ = span.LeafHash(line)
	}
}

func BenchmarkParseLine(b *testing.B) {
	sp, err := span.Parse(benchSpan(b, false), span.Limits{})
	require.NoError(b, err)
	e := span.Entry{Seq: 42, RecordedAt: sp.Time, Span: sp.Header, Decision: span.Decision{Outcome: span.OutcomeAllow}}
	line := e.AppendLine(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := span.ParseLine(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCanonicalize(b *testing.B) {
	src := benchSpan(b, true)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := span.Canonicalize(src); err != nil {
			b.Fatal(err)
		}
	}
}
