package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// The same contracts, spans, clock and randomness give the same lines, to the
// byte, whatever keeps them.
func TestLinesAreTheSameOnEveryStore(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards lines
	lines := map[string][]string{}
	t.Run("stores", func(t *testing.T) {
		for _, kind := range []string{backend.Memory, backend.SQLite, backend.Postgres, backend.Files} {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				told := tell(t, backend.URL(t, kind))
				mu.Lock()
				defer mu.Unlock()
				lines[kind] = told
			})
		}
	})
	for kind, told := range lines {
		require.Equal(t, lines[backend.Memory], told, kind)
	}
	require.Greater(t, len(lines[backend.Memory]), 60)
}

// tell is a story of decisions of every kind, and the lines that it leaves.
func tell(t *testing.T, url string) (lines []string) {
	w, payer, ana, rui := payments(t, setup{
		url: url, random: rand.NewChaCha8([32]byte{1}), cfg: engine.Config{Rand: rand.NewChaCha8([32]byte{2})},
	})
	ok := func(raw []byte) []byte {
		t.Helper()
		require.NoError(t, w.submit(raw).Err)
		return raw
	}
	own := func(source, action string) {
		t.Helper()
		ok(w.seal(w.owner, contractOf(t, source, action), typed(span.TypeContract)))
	}
	shop := func(version, limit string) string {
		return fmt.Sprintf(`contract shop version %q {
  role clerk
  quota "orders" { on: "order.*"  limit: %s  per: 1h  key: actor.id  warn_at: [50%%] }
  trust { add "order.placed" 1.5 }
  retain "order.*" 1d
  rule later { on: "order.placed"  then { schedule task "remind" { after: 2h  then { emit "order.late" { data: { id: data.id } } } }  annotate { id: data.id } } }
  workflow order {
    key: data.id
    initial: new
    state new
    state placed { after 12h -> gone }
    state gone { final: true }
    transition new -> placed on "order.placed"
  }
}`, version, limit)
	}
	order := func(by *id.Keys, n int) []byte {
		return w.seal(by, fmt.Appendf(nil, `{"id":"o%d","n":%d}`, n, n), typed("order.placed"))
	}

	own(shop("1.0.0", "3"), span.ActionActivate)
	own(shop("1.1.0", "2"), span.ActionShadow)
	for n := range 5 {
		w.submit(order(payer, n)) // two of them are refused
	}
	ok(w.payment(payer, "p1", 10))
	var many [][]byte
	large := w.payment(payer, "p2", 1500)
	many = append(many, large, w.vote(ana, large, span.VoteApprove), w.payment(payer, "p3", 99_000), w.vote(rui, large, span.VoteApprove))
	for n := range 20 {
		many = append(many, order(ana, 100+n), w.note(rui, n))
	}
	w.SubmitMany(context.Background(), w.tenant.ID, many)
	unheard := ok(w.payment(payer, "p4", 2500))
	own(shop("1.1.0", "2"), span.ActionActivate)
	w.clock.advance(time.Hour)
	ok(order(rui, 200))
	for n := range 3 {
		w.submit(order(payer, 300+n))
	}
	sp := spanOf(t, large)
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: sp.ID, HeaderHash: sp.Hash().String()}}, Reason: "asked"})
	require.NoError(t, err)
	ok(w.seal(w.owner, payload, typed(span.TypeRedaction)))

	w.clock.advance(31 * 24 * time.Hour)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	require.Eventually(t, func() bool {
		at, waits, err := rules.NextDue(ctx, w.log.Committed(w.tenant.ID))
		return err == nil && (!waits || at.After(w.clock.now()))
	}, 30*time.Second, 20*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
	require.Equal(t, "rejected", w.status(unheard))
	w.verify()

	for _, e := range w.entries(w.tenant.ID) {
		lines = append(lines, string(e.AppendLine(nil)))
	}
	return lines
}
