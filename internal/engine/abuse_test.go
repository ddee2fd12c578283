package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// costly counts what a span costs before anything is known of who sent it.
type costly struct {
	id.Verifier
	engine.Directory
	signatures, questions atomic.Int64
}

func (c *costly) Verify(pub, message, sig []byte) bool {
	c.signatures.Add(1)
	return c.Verifier.Verify(pub, message, sig)
}

func (c *costly) Chain(ctx context.Context, identity string) (*id.Chain, error) {
	c.questions.Add(1)
	return c.Directory.Chain(ctx, identity)
}

func (c *costly) Get(ctx context.Context, identity string) (id.Info, error) {
	c.questions.Add(1)
	return c.Directory.Get(ctx, identity)
}

// TestCheapChecksComeFirst: what is wrong with a span's form costs no signature,
// and what is wrong with its signature no question to the database.
func TestCheapChecksComeFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	c := &costly{Verifier: id.FastVerifier(), Directory: w.dir}
	e := engine.New(w.log, c, c, rules.Decide, w.node, w.bus, engine.Config{Now: w.clock.now})
	good := w.seal(w.owner, []byte(`{"n":1}`))
	submit := func(raw []byte) string {
		return fault.CodeOf(e.Submit(context.Background(), w.tenant.ID, raw, engine.Options{}).Err)
	}
	replace := func(old, other string) []byte {
		out := bytes.Replace(good, []byte(old), []byte(other), 1)
		require.NotEqual(t, good, out, old)
		return out
	}
	for code, raw := range map[string][]byte{
		"json_syntax":           good[:len(good)/2],
		"json_too_deep":         []byte(strings.Repeat(`{"payload":`, 1000) + "{}" + strings.Repeat("}", 1000)),
		"json_duplicate_member": replace(`"v":1`, `"v":1,"v":1`),
		"member_unknown":        replace(`"v":1`, `"v":1,"w":1`),
		"payload_hash_mismatch": replace(`{"n":1}`, `{"n":2}`),
		"tenant_mismatch":       replace(w.tenant.ID, "0190a000-0000-8000-8000-000000000000"),
	} {
		require.Equal(t, code, submit(raw))
	}
	require.Zero(t, c.signatures.Load(), "signatures were checked")
	require.Zero(t, c.questions.Load(), "the directory was asked")

	forged := w.seal(w.owner, []byte(`{"n":1}`), func(h *span.Header) { h.Title = "a" })
	require.Equal(t, "signature_invalid", submit(bytes.Replace(forged, []byte(`"title":"a"`), []byte(`"title":"b"`), 1)))
	require.EqualValues(t, 1, c.signatures.Load())
	require.Zero(t, c.questions.Load(), "the directory was asked")
	require.Empty(t, submit(good))
	require.EqualValues(t, 2, c.signatures.Load())
}

// TestNoContractIsReadForAnotherKey: in the name of the node's owner, with a key
// that is none of the owner's, no contract is compiled and no tenant asked what it
// is against: whoever is nobody would be told.
func TestNoContractIsReadForAnotherKey(t *testing.T) {
	t.Parallel()
	home := node(t, setup{})
	other := home.other("other")
	require.NoError(t, other.order("activate", strings.Replace(ceiling("1.0.0", 5), `tenant: "*"`, "", 1)).Err)
	raw := contractOf(t, ceiling("2.0.0", 5), "activate")
	forged := home.submit(home.sealBy(home.identity().Signer(), home.owner.ID(), raw, typed(span.TypeContract)))
	require.Equal(t, "key_unknown", fault.CodeOf(forged.Err), "%v", forged.Err)
	require.Equal(t, "contract_name_taken", fault.CodeOf(home.submit(home.seal(home.owner, raw, typed(span.TypeContract))).Err), "the owner is told")
}

// TestADecisionEndsInTime: contracts that take longer than they may decide
// nothing, and the span may be sent again.
func TestADecisionEndsInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{cfg: engine.Config{DecisionTimeout: time.Nanosecond}})
	var source strings.Builder
	for i := range 40 {
		fmt.Fprintf(&source, "rule r%d { on: \"a.b\" when: data.n == %d.0 then { reject \"no\" } }\n", i, i)
	}
	require.NoError(t, w.submit(w.seal(w.owner, contractOf(t, "contract many.rules version \"1.0.0\" {\n"+source.String()+"}", "activate"), typed(span.TypeContract))).Err)
	size := len(w.entries(w.tenant.ID))
	for range 2 {
		r := w.submit(w.seal(w.owner, []byte(`{"n":39}`), typed("a.b")))
		require.Equal(t, "decision_too_long", fault.CodeOf(r.Err), "%v", r.Err)
		require.Equal(t, fault.Limited, fault.KindOf(r.Err))
	}
	require.NoError(t, w.submit(w.seal(w.owner, []byte(`{"n":1}`), typed("a.c"))).Err, "what no contract looks at is not late")
	require.Len(t, w.entries(w.tenant.ID), size+1)
}

// TestStrangersKeepNobodyWaiting: simulations take turns, and those of authors who
// may append nothing take theirs among themselves.
func TestStrangersKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	stage := func(k *id.Keys) string { return w.StageOf(context.Background(), w.tenant.ID, k.ID()) }
	require.Equal(t, stage(w.owner), stage(w.member("guest")), "a guest appends")
	strangers := stage(w.identity())
	require.NotEqual(t, stage(w.owner), strangers)
	require.Equal(t, strangers, stage(w.member("auditor")))
}
