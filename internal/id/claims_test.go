package id

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/migrations"
)

// Who claimed what is found, of ghosts that were claimed before the directory kept
// it too, along an index.
func TestClaimed(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, database func(*testing.T) func() *storage.DB) {
		ctx, db := t.Context(), database(t)()
		d := NewDirectory(db, StdVerifier(), func() time.Time { return testTime })
		person := newKeys(t, SubjectPerson, 1)
		_, _, err := d.Register(ctx, person.Events(), "", "")
		require.NoError(t, err)
		ghost, whole := newGhost(t, "a"), newGhost(t, "b")
		_, _, err = d.Register(ctx, ghost.Events(), "", "")
		require.NoError(t, err)
		event, err := ghost.ClaimBy(person, testTime)
		require.NoError(t, err)
		_, err = d.Add(ctx, ghost.ID(), event.Raw)
		require.NoError(t, err)
		_, err = whole.ClaimBy(person, testTime)
		require.NoError(t, err)
		_, _, err = d.Register(ctx, whole.Events(), "", "") // claimed when it comes
		require.NoError(t, err)
		want := []string{ghost.ID(), whole.ID()}

		claimed, more, err := d.Claimed(ctx, person.ID())
		require.NoError(t, err)
		require.False(t, more)
		require.ElementsMatch(t, want, claimed)

		dialect := map[bool]string{true: "postgres", false: "sqlite"}[db.Dialect == storage.Postgres]
		text, err := migrations.FS.ReadFile(dialect + "/0027_ghosts.sql")
		require.NoError(t, err)
		var fill string
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "UPDATE identities") {
				fill = line
			}
		}
		require.NotEmpty(t, fill)
		require.NoError(t, db.InTx(ctx, func(tx *sql.Tx) error {
			if _, err := tx.Exec(`UPDATE identities SET claimed_by = NULL`); err != nil {
				return err
			}
			_, err := tx.Exec(fill)
			return err
		}))
		claimed, _, err = d.Claimed(ctx, person.ID())
		require.NoError(t, err)
		require.ElementsMatch(t, want, claimed)

		explain := map[string]string{"postgres": "EXPLAIN ", "sqlite": "EXPLAIN QUERY PLAN "}[dialect]
		var plan strings.Builder
		require.NoError(t, db.InTx(ctx, func(tx *sql.Tx) error {
			if dialect == "postgres" { // of three rows no index is worth it
				if _, err := tx.Exec(`SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off`); err != nil {
					return err
				}
			}
			rows, err := tx.Query(explain+claimedText, person.ID(), MaxClaims+1)
			if err != nil {
				return err
			}
			defer rows.Close()
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			for rows.Next() {
				cells, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
				for i := range cells {
					into[i] = &cells[i]
				}
				if err := rows.Scan(into...); err != nil {
					return err
				}
				plan.WriteString(cells[len(cells)-1].String + "\n")
			}
			return rows.Err()
		}))
		require.Contains(t, plan.String(), "identities_claimed_by")
		require.NotContains(t, strings.ToUpper(plan.String()), "SORT")
		require.NotContains(t, plan.String(), "TEMP B-TREE")
	})
}

// offered is what a ghost in a browser has signed.
func offered(t testing.TB, ghost, by *Keys) []byte {
	t.Helper()
	event, err := ghost.ClaimBy(by, testTime)
	require.NoError(t, err)
	var claim map[string]any
	require.NoError(t, json.Unmarshal(event.Raw, &claim))
	delete(claim, "counter")
	out, err := json.Marshal(map[string]any{"ghost": ghost.ID(), "claim": claim})
	require.NoError(t, err)
	return out
}

// A ghost offers itself to one identity, which makes the offer the claim that it would
// have been; others sign nothing, and what is no offer is none.
func TestOffers(t *testing.T) {
	t.Parallel()
	person, other, ghost := newKeys(t, SubjectPerson, 1), newKeys(t, SubjectPerson, 4), newGhost(t, "a")
	begun, err := Begin(ghost.events[0], StdVerifier())
	require.NoError(t, err)
	raw := offered(t, ghost, person)
	o, err := ParseOffer(raw)
	require.NoError(t, err)
	require.Equal(t, ghost.ID(), o.Ghost)
	_, err = other.CounterSign(o)
	require.Equal(t, "offer_not_yours", fault.CodeOf(err))
	event, err := person.CounterSign(o)
	require.NoError(t, err)
	require.Equal(t, string(ghost.Events()[1]), string(event.Raw))
	_, err = begun.Apply(event, StdVerifier(), person.chain)
	require.NoError(t, err)
	for _, bad := range []string{"", "{}", string(raw) + "x", strings.Replace(string(raw), `"claim"`, `"rotation"`, 2), strings.Replace(string(raw), `"v":1`, `"v":2`, 1), strings.Replace(string(raw), `"seq":1`, `"seq":1,"counter":{}`, 1), strings.Repeat(" ", maxOffer) + string(raw)} {
		_, err := ParseOffer([]byte(bad))
		require.Equal(t, "offer_malformed", fault.CodeOf(err), bad)
	}
}

func FuzzParseOffer(f *testing.F) {
	person, ghost := newKeys(f, SubjectPerson, 1), newGhost(f, "a")
	f.Add(offered(f, ghost, person))
	f.Fuzz(func(t *testing.T, src []byte) {
		o, err := ParseOffer(src)
		if err != nil {
			require.Equal(t, "offer_malformed", fault.CodeOf(err))
			return
		}
		event, err := person.CounterSign(o)
		if err != nil {
			require.Equal(t, "offer_not_yours", fault.CodeOf(err))
			return
		}
		require.Equal(t, KindClaim, event.Kind)
		require.Equal(t, person.ID(), event.By)
		require.Equal(t, o.claim.Signature, event.Signature)
		require.NoError(t, verifySignature(StdVerifier(), event.Message(), event.Counter, "counter"))
	})
}
