package id

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
