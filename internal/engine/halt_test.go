package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// TestHaltsHoldInEveryProcess: once a tenant is suspended, no process records a span
// of anybody, however many were on their way; what was recorded stands before it.
func TestHaltsHoldInEveryProcess(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		var mu sync.Mutex
		var heard []string
		s.cfg.Halted = func(_ context.Context, _, halted string) { mu.Lock(); defer mu.Unlock(); heard = append(heard, halted) }
		a := newWorld(t, s)
		b := a.process()
		member := a.member("member")

		var senders sync.WaitGroup
		begun := make(chan struct{}, 8)
		var suspended atomic.Bool
		for i := range 4 {
			p := []*world{a, b}[i%2]
			senders.Go(func() {
				for n := 0; ; n++ {
					over := suspended.Load()
					r := p.submit(p.note(member, n))
					if n == 3 {
						begun <- struct{}{}
					}
					switch {
					case r.Err != nil:
						requireHalted(t, standing.CodeSuspended, r.Err)
						return
					case over:
						t.Error("recorded after the suspension was answered")
						return
					}
				}
			})
		}
		for range 4 {
			<-begun
		}
		receipt, err := b.Halt(context.Background(), "acme", span.ActionSuspend, "abuse-7")
		require.NoError(t, err)
		suspended.Store(true)
		senders.Wait() // each was refused in the end
		require.Equal(t, receipt.Index+1, a.size(), "nothing stands behind it")
		for _, p := range []*world{a, b} {
			requireCode(t, standing.CodeSuspended, p.submit(p.note(a.owner, 1)).Err)
			r := p.Submit(context.Background(), "acme", p.note(a.owner, 1), engine.Options{DryRun: true})
			requireCode(t, standing.CodeSuspended, r.Err)
		}
		_, err = a.Halt(context.Background(), "acme", span.ActionSuspend, "")
		requireCode(t, "tenant_suspended_already", err)
		_, err = a.Halt(context.Background(), "nowhere", span.ActionSuspend, "")
		requireCode(t, "tenant_unknown", err)
		_, err = a.Halt(context.Background(), "acme", "forget", "")
		requireCode(t, "tenant_action_invalid", err)

		_, err = a.Halt(context.Background(), "acme", span.ActionResume, "")
		require.NoError(t, err)
		for _, p := range []*world{b, a} {
			require.NoError(t, p.submit(p.note(member, 9)).Err)
		}
		closing, err := span.Canonical(span.Tenant{Action: span.ActionClose})
		require.NoError(t, err)
		asTenant := func(h *span.Header) { h.Type = span.TypeTenant }
		requireCode(t, "role_forbidden", a.submit(a.seal(member, closing, asTenant)).Err)
		require.NoError(t, a.submit(a.seal(a.owner, closing, asTenant)).Err)
		for _, p := range []*world{b, a} {
			requireCode(t, standing.CodeClosed, p.submit(p.note(member, 9)).Err)
		}
		// A key event still gets there, and what the verifier reads is whole.
		event, err := member.Rotate(a.clock.now(), a.random)
		require.NoError(t, err)
		_, pending, err := b.EmbedEvent(context.Background(), member.ID(), event.Raw)
		require.NoError(t, err)
		require.Empty(t, pending)
		a.verify()
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []string{"", standing.Closed}, heard, "of what this process did")
	})
}

func requireHalted(t *testing.T, code string, err error) {
	t.Helper()
	if got := fault.CodeOf(err); got != code {
		t.Errorf("%s, not %s", got, code)
	}
}

// TestVerifierRefusesWhatFollowsClosing: a node that went on after an owner has
// closed the tenant is found out offline.
func TestVerifierRefusesWhatFollowsClosing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	closing, err := span.Canonical(span.Tenant{Action: span.ActionClose})
	require.NoError(t, err)
	require.NoError(t, w.submit(w.note(w.owner, 1)).Err)
	require.NoError(t, w.submit(w.seal(w.owner, closing, func(h *span.Header) { h.Type = span.TypeTenant })).Err)
	w.verify()
	var out bytes.Buffer
	require.NoError(t, w.log.Export(context.Background(), &out, w.tenant.ID, 0, 0, standing.Everything()))
	// The note stands where it stood, and the closing before it.
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	n := len(lines)
	lines[n-2], lines[n-1] = renumber(lines[n-1], n-3), renumber(lines[n-2], n-2)
	report, err := bundle.Verify(context.Background(), bytes.NewReader(bytes.Join(lines, []byte("\n"))), bundle.Options{Node: w.node.ID()})
	require.NoError(t, err)
	require.False(t, report.OK)
	require.True(t, slices.ContainsFunc(report.Problems, func(p bundle.Problem) bool {
		return p.Code == standing.CodeClosed
	}), "%+v", report.Problems)
}

// renumber is a line of a bundle at another position.
func renumber(line []byte, seq int) []byte {
	return regexp.MustCompile(`"seq":\d+,"span":`).ReplaceAll(line, fmt.Appendf(nil, `"seq":%d,"span":`, seq))
}
