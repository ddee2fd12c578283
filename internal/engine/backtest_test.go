package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/backtest"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// A timeline is decided again from its store as from its bundle, and by the
// contract that was in force as it was then.
func TestBacktestOfATimeline(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		member := w.member(span.RoleMember)
		var lines [][]byte
		for i := range 300 {
			lines = append(lines, w.seal(member, fmt.Appendf(nil, `{"amount":%d}`, i%90), typed("order.made"), func(h *span.Header) { h.Subject = fmt.Sprint("s-", i%70) }))
		}
		for _, r := range w.SubmitMany(context.Background(), w.tenant.ID, lines) {
			require.NoError(t, r.Err)
		}
		again := func(pages iter.Seq2[[]*span.Opened, error]) (report []byte, told []uint64) {
			c, err := rules.Compile(orders)
			require.NoError(t, err)
			b, err := backtest.New([]*contract.Contract{c}, backtest.Options{Keep: 1000, NextCron: cron.NextIn})
			require.NoError(t, err)
			require.NoError(t, b.Run(t.Context(), pages, func(done uint64) { told = append(told, done) }))
			report, err = json.Marshal(b.Report())
			require.NoError(t, err)
			return report, told
		}
		size := w.size()
		ofStore, told := again(w.log.Opened(t.Context(), w.tenant.ID, 0, size, standing.Everything()))
		require.Equal(t, size, told[len(told)-1])
		var out bytes.Buffer
		require.NoError(t, w.log.Export(t.Context(), &out, w.tenant.ID, 0, size, standing.Everything()))
		r, err := bundle.NewReader(&out, bundle.Options{})
		require.NoError(t, err)
		ofBundle, _ := again(r.Pages(t.Context()))
		require.Equal(t, string(ofBundle), string(ofStore))

		// What it says is what a node does to the same spans with the contract in force.
		var report backtest.Report
		require.NoError(t, json.Unmarshal(ofStore, &report))
		require.NotZero(t, report.Outcomes["reject"])
		b := newWorld(t, setup{cfg: s.cfg})
		require.NoError(t, b.activate(orders).Err)
		refused := 0
		for i := range lines {
			raw := b.seal(b.owner, fmt.Appendf(nil, `{"amount":%d}`, i%90), typed("order.made"), func(h *span.Header) { h.Subject = fmt.Sprint("s-", i%70) })
			if r := b.submit(raw); r.Err != nil {
				refused++
			}
		}
		require.Equal(t, refused, report.Outcomes["reject"])
	})
}
