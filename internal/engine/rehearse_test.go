package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
)

// allRows are all rows of all tables, as texts.
func allRows(t *testing.T, w *world) string {
	t.Helper()
	tx, err := w.db.BeginSnapshot(t.Context())
	require.NoError(t, err)
	defer tx.Rollback() //nolint:errcheck // it only read
	all := func(query string) (out [][]any) {
		rows, err := tx.QueryContext(t.Context(), query)
		require.NoError(t, err)
		defer rows.Close() //nolint:errcheck // read to the end
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			row, into := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			require.NoError(t, rows.Scan(into...))
			out = append(out, row)
		}
		require.NoError(t, rows.Err())
		return out
	}
	tables := `SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`
	if w.db.Dialect == storage.Postgres {
		all(`SELECT set_config('logline.tenant', '1', true), set_config('logline.tasks', '*', true)`)
		tables = `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
			AND has_table_privilege(format('%I.%I', schemaname, tablename), 'SELECT') ORDER BY 1`
	}
	var b strings.Builder
	for _, table := range all(tables) {
		name := fmt.Sprint(table[0])
		fmt.Fprintf(&b, "%s\n", name)
		for _, row := range all(`SELECT * FROM ` + name) {
			fmt.Fprintf(&b, "  %q\n", row)
		}
	}
	require.Contains(t, b.String(), w.tenant.ID)
	require.Contains(t, b.String(), "order.made")
	return b.String()
}

func simulated(h *span.Header) { h.Status = span.StatusSimulated }

// kinds are the kinds of a result's effects, with names.
func effectsOf(t *testing.T, o *rules.Outcome) (out []string) {
	list, err := o.Effects()
	require.NoError(t, err)
	for _, e := range list {
		word := e.Kind + " " + e.Name + e.Identity + e.Span
		if e.Waits {
			word += " waits"
		}
		out = append(out, word)
	}
	return out
}

// A simulation sees itself, says all that would happen, and changes nothing.
func TestSimulationSaysAllAndDoesNothing(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := newWorld(t, s)
		require.NoError(t, w.activate(shop).Err)
		ana, rui := w.member(span.RoleMember), w.member("boss", span.RoleMember)
		made := func(by *id.Keys, name string, amount int, change ...func(*span.Header)) []byte {
			return w.seal(by, fmt.Appendf(nil, `{"amount":%d,"id":%q}`, amount, name), append(change, typed("order.made"))...)
		}
		require.NoError(t, w.submit(made(ana, "before", 5)).Err)

		small, large, tooMuch := made(ana, "a", 10, simulated), made(ana, "b", 500, simulated), made(ana, "c", 9000, simulated)
		vote := w.vote(rui, large, span.VoteApprove)
		paid := w.seal(ana, []byte(`{"id":"a"}`), typed("order.paid"), simulated)
		lines := [][]byte{small, large, tooMuch, vote, paid, []byte(`{`), w.seal(w.identity(), []byte(`{}`), simulated)}
		before := allRows(t, w) // the identity is registered
		sim, err := w.Simulate(t.Context(), w.tenant.ID, lines)
		require.NoError(t, err)
		require.Equal(t, before, allRows(t, w), "not a row")

		require.Equal(t, w.size(), sim.Size)
		require.Len(t, sim.Spans, len(lines))
		require.Equal(t, "allow", sim.Spans[0].Decision.Outcome)
		me, trust := "", "trust "+ana.ID()
		require.Equal(t, []string{"transition shop/order" + me, "timeout shop/order", trust, "quota shop/orders", "emit order.noted"},
			without(effectsOf(t, sim.Spans[0].Foresight), "count "))
		require.Equal(t, "pending", sim.Spans[1].Decision.Outcome)
		require.Equal(t, []string{"approval ", "transition shop/order waits", trust + " waits", "quota shop/orders waits"},
			without(effectsOf(t, sim.Spans[1].Foresight), "count "))
		requireCode(t, rules.CodeRefused, sim.Spans[2].Err)
		require.Equal(t, "9000 is more than this shop sells", sim.Spans[2].Foresight.Refusal.Reason)

		// The vote settles what waits in the same simulation.
		require.NoError(t, sim.Spans[3].Err)
		require.Len(t, sim.Follows[3], 1)
		require.Equal(t, span.TypeResolution, sim.Follows[3][0].Type)
		require.Contains(t, effectsOf(t, sim.Follows[3][0].Outcome), "transition shop/order")
		require.NoError(t, sim.Spans[4].Err, "it moves what the first began")
		requireCode(t, "json_syntax", sim.Spans[5].Err)
		require.Error(t, sim.Spans[6].Err, "a stranger may not even simulate")

		// Time would bring the thanks, and forget what nobody paid.
		later := ""
		for _, f := range sim.Later {
			later += f.Type + " " + strings.Join(effectsOf(t, f.Outcome), ",") + "\n"
		}
		require.Contains(t, later, "logline.task.fired "+trust)
		require.Contains(t, later, "logline.task.fired transition shop/order")
		require.False(t, sim.More)

		// The same spans signed as executed are tried alike, and then recorded as tried.
		real := made(ana, "z", 7)
		sim, err = w.Simulate(t.Context(), w.tenant.ID, [][]byte{real})
		require.NoError(t, err)
		require.Equal(t, before, allRows(t, w))
		r := w.submit(real)
		require.NoError(t, r.Err)
		sim.Spans[0].Decision.DetailHash, r.Decision.DetailHash = "", ""
		require.Equal(t, sim.Spans[0].Decision, r.Decision)
		sim, err = w.Simulate(t.Context(), w.tenant.ID, [][]byte{real})
		require.NoError(t, err)
		requireCode(t, "id_conflict", sim.Spans[0].Err)
		_, err = w.Simulate(t.Context(), w.tenant.ID, make([][]byte, engine.MaxRehearsed+1))
		requireCode(t, "simulation_size", err)
		w.verify()
	})
}

func without(list []string, prefix string) (out []string) {
	for _, s := range list {
		if !strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}

// A guest's spans that are tried cost what spans cost that are appended.
func TestGuestsSimulateWithinTheirQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{cfg: engine.Config{GuestQuota: 3}})
	guest := w.member(span.RoleGuest)
	var lines [][]byte
	for n := range 4 {
		lines = append(lines, w.note(guest, n))
	}
	tried, err := w.Simulate(t.Context(), w.tenant.ID, lines)
	require.NoError(t, err)
	for _, r := range tried.Spans[:3] {
		require.NoError(t, r.Err)
	}
	requireCode(t, "guest_quota", tried.Spans[3].Err)
	requireCode(t, "guest_quota", w.submit(lines[0]).Err)
}
