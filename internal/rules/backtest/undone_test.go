package backtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
)

// Of the spans that contracts know to undo, those are kept that may still be: not
// those that are undone, however long the timeline.
func TestUndoneSpansAreForgotten(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for range 50 {
		sale := h.add("sale.paid", ana, map[string]any{"amount": 10})
		h.add(span.TypeRevert, ana, map[string]any{"span": sale.Span.ID, "header_hash": (span.Hash{}).String(), "reason": "wrong"})
	}
	kept := h.add("sale.paid", ana, map[string]any{"amount": 10})
	b, err := New([]*contract.Contract{compiled(t, `contract till version "1.0.0" {
  compensate unpay { on: "sale.paid"  then { emit "receipt.withdrawn" { data: { of: span.id } } } }
}`)}, Options{})
	require.NoError(t, err)
	for _, e := range h.list {
		require.NoError(t, b.Add(context.Background(), e))
	}
	require.Contains(t, b.past, kept.Span.ID)
	require.Len(t, b.past, 1)
	require.Equal(t, 101, b.Report().Outcomes["allow"])
}
