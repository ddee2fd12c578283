package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/fsck"
)

// rowsOf are the keys of decision rows that begin with a prefix.
func (w *world) rowsOf(prefix string) (keys []string) {
	w.t.Helper()
	for {
		after := ""
		if len(keys) > 0 {
			after = keys[len(keys)-1]
		}
		rows, err := w.log.Committed(w.tenant.ID).Range(context.Background(), prefix, after, 100)
		require.NoError(w.t, err)
		for _, r := range rows {
			keys = append(keys, r.Key)
		}
		if len(rows) < 100 {
			return keys
		}
	}
}

// sound has the store's rows held against a fold of its lines.
func (w *world) sound() {
	w.t.Helper()
	require.NoError(w.t, w.store.(timeline.Keeper).Snapshot(context.Background(), func(snap timeline.Snapshot) error {
		res, err := fsck.Check(context.Background(), snap, w.tenant, fsck.Options{Verifier: id.FastVerifier(), Folder: w.folder, Node: w.node.ID()})
		if err == nil {
			require.Empty(w.t, res.Findings)
		}
		return err
	}))
}

// What no window reaches any more goes, in every store, at whatever positions its
// batches ended; the lines alone give the same rows.
func TestTotalsGo(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		require.NoError(t, w.activate(`contract often version "1.0.0" {
  rule often { on: "trade.*" when: spans("trade.*").by(actor.id).within(1h).count() >= 60.0 then { reject "too often" } }
}`).Err)
		other := w.process()
		for n := range 30 {
			var lines [][]byte
			for range n % 11 {
				lines = append(lines, w.seal(w.owner, []byte(`{}`), typed("trade.made")))
			}
			for _, r := range []*world{w, other}[n%2].SubmitMany(context.Background(), w.tenant.ID, lines) {
				require.NoError(t, r.Err)
			}
			w.clock.advance(10 * time.Minute)
		}
		// 135 spans, of which the last hour has about 30.
		kept := w.rowsOf("sum/trade.* by author count/")
		require.LessOrEqual(t, len(kept), 100)
		w.sound()
		w.verify()
	})
}

// parcels is a version of a contract with a workflow.
func parcels(n int) string {
	return fmt.Sprintf(`contract parcels version "1.%d.0" {
  workflow parcel {
    key: data.id
    initial: new
    state new
    state sent
    state there { final: true }
    transition new  -> sent  on "parcel.sent"
    transition sent -> there on "parcel.came"
  }
}`, n)
}

// Of 200 versions a process that comes new reads those that decide.
func TestManyVersionsAreNotRead(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		step := func(w *world, typ, id string) engine.Result {
			return w.submit(w.seal(w.owner, fmt.Appendf(nil, `{"id":%q}`, id), typed(typ)))
		}
		var lines [][]byte
		for n := range 200 {
			lines = append(lines, w.seal(w.owner, contractOf(t, parcels(n), span.ActionActivate), typed(span.TypeContract)))
			if n == 3 || n == 5 { // begun by these versions
				lines = append(lines, w.seal(w.owner, fmt.Appendf(nil, `{"id":"by%d"}`, n), typed("parcel.sent")))
			}
		}
		for _, r := range w.SubmitMany(context.Background(), w.tenant.ID, lines) {
			require.NoError(t, r.Err)
		}
		require.NoError(t, step(w, "parcel.came", "by3").Err)
		sources, err := rules.Sources(t.Context(), w.log.Committed(w.tenant.ID))
		require.NoError(t, err)
		require.Len(t, sources, 2, "the one in force, and the one whose parcel is on its way")
		all, err := rules.Versions(t.Context(), w.log.Committed(w.tenant.ID))
		require.NoError(t, err)
		require.Len(t, all, 200)

		p := w.process()
		require.NoError(t, step(p, "parcel.came", "by5").Err)
		requireCode(t, rules.CodeRefused, step(p, "parcel.came", "by3").Err)
		require.NoError(t, step(p, "parcel.sent", "new").Err)
		sources, err = rules.Sources(t.Context(), p.log.Committed(w.tenant.ID))
		require.NoError(t, err)
		require.Len(t, sources, 1)
		w.sound()
		w.verify()
	})
}
