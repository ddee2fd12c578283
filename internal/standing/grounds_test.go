package standing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// TestGrounds follows grants, withdrawals and keys, and asks at each place what
// the rights there rest on.
func TestGrounds(t *testing.T) {
	t.Parallel()
	w := founded(t)
	g := standing.NewGrounds()
	took := 0
	catchUp := func() {
		for ; took < len(w.log); took++ {
			g.Take(w.log[took].entry, w.log[took].payload)
		}
	}
	last := func() standing.Ground {
		e := w.log[len(w.log)-1].entry
		return standing.Ground{Seq: e.Seq, Span: e.Span.ID, By: e.Span.Author}
	}
	catchUp()
	owner := g.Roles(w.owner.ID())
	require.Len(t, owner, 1)
	require.Equal(t, w.node.ID(), owner[0].By, "the node grants the first owner")

	bo := w.keys(id.SubjectPerson)
	w.embed(bo)
	catchUp()
	key, ok := g.Key(bo.ID(), bo.Signer().Public())
	require.True(t, ok)
	require.Equal(t, last(), key)

	w.must(w.grant(w.owner, bo, "member"))
	catchUp()
	first := last()
	w.must(w.grant(w.owner, bo, "member", "finance"))
	catchUp()
	require.Equal(t, []standing.RoleGround{{Role: "finance", Ground: last()}, {Role: "member", Ground: first}}, g.Roles(bo.ID()), "a role rests on the grant that gave it, not on a repeat")
	w.must(w.withdraw(w.owner, bo, "member"))
	catchUp()
	require.Len(t, g.Roles(bo.ID()), 1, "a role that is withdrawn rests on nothing")

	// A grant that waits for votes gives nothing until it is resolved.
	asked := w.grant(w.owner, bo, "agent")
	w.pending(asked)
	catchUp()
	require.Len(t, g.Roles(bo.ID()), 1)
	ground := last()
	w.must(w.resolve(asked, span.ResolutionExecuted))
	catchUp()
	require.Equal(t, standing.RoleGround{Role: "agent", Ground: ground}, g.Roles(bo.ID())[0])
	refused := w.grant(w.owner, bo, "admin")
	w.pending(refused)
	w.must(w.resolve(refused, span.ResolutionRejected))
	catchUp()
	require.Len(t, g.Roles(bo.ID()), 2)

	// A delegation gives a key, an undelegation and a rotation end it.
	event, device, err := bo.Delegate("device", nil, "", epochStart, w.rand)
	require.NoError(t, err)
	w.must(w.event(event.Raw))
	catchUp()
	delegated := last()
	key, ok = g.Key(bo.ID(), device.Public())
	require.True(t, ok)
	require.Equal(t, delegated, key)
	event, err = bo.Rotate(epochStart, w.rand)
	require.NoError(t, err)
	w.must(w.event(event.Raw))
	catchUp()
	_, ok = g.Key(bo.ID(), device.Public())
	require.False(t, ok, "a rotation ends what was delegated before")
	key, ok = g.Key(bo.ID(), bo.Signer().Public())
	require.True(t, ok)
	require.Equal(t, last(), key)
}
