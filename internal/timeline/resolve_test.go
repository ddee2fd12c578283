package timeline_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// TestPendingRevertIsFoldedAsOfItsPosition: a revert that waited acts on its
// target at the resolution; another process and a look back fold it the same.
func TestPendingRevertIsFoldedAsOfItsPosition(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		other := *w
		other.restart(s)
		_, err := other.log.Standing(t.Context(), w.tenant)
		require.NoError(t, err)

		ref := func(d timeline.Draft, more string) string {
			return `{"header_hash":"` + hashOf(d) + `",` + more + `,"span":"` + d.Span.ID + `"}`
		}
		target := w.by("note.taken", `{}`, nil)
		revert := w.by(span.TypeRevert, ref(target, `"reason":"r"`), nil)
		revert.Decision.Outcome = span.OutcomePending
		w.append(target, revert)
		resolution := w.own(span.TypeResolution, []byte(ref(revert, `"outcome":"executed"`)))
		w.append(resolution)
		keys, err := id.NewKeys(id.SubjectPerson, w.now, w.random)
		require.NoError(t, err)
		w.append(w.embed(keys.Events()[0]), w.grant(keys.ID(), "member"))

		rec, err := w.log.Get(t.Context(), w.tenant, target.Span.ID)
		require.NoError(t, err)
		require.Equal(t, timeline.StatusReverted, rec.Status)
		view, err := w.log.StandingAt(t.Context(), w.tenant, 9)
		require.NoError(t, err)
		require.Empty(t, view.Roles(keys.ID()))
		_, err = w.log.Why(t.Context(), w.tenant, resolution.Span.ID, all)
		require.NoError(t, err)
		other.append(other.plain(1)...)
		w.verifyBundle(other.export(0, 0, all))
	})
}
