package standing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

func (w *world) halt(by *id.Keys, action string) *span.Span {
	w.t.Helper()
	return w.span(by, span.TypeTenant, object{"action": action, "reason": "ticket-117"})
}

// TestSuspension: between suspend and resume nothing is accepted but what keeps the
// log provable and what erases, and few read.
func TestSuspension(t *testing.T) {
	t.Parallel()
	w := founded(t)
	admin, member, auditor := w.member("admin"), w.member("member"), w.member("auditor")
	secret := w.span(member, "note.written", object{"n": 1}, private)
	w.must(secret)
	for _, by := range []*id.Keys{w.owner, admin, member, auditor} {
		w.refused(w.halt(by, "suspend"), map[bool]string{true: "role_forbidden", false: "append_forbidden"}[by != auditor])
	}
	w.refused(w.halt(w.node, "resume"), "tenant_not_suspended")
	w.must(w.halt(w.node, "suspend"))
	require.Equal(t, standing.Suspended, w.tx.Halted())
	w.refused(w.halt(w.node, "suspend"), "tenant_suspended_already")

	for name, sp := range map[string]*span.Span{
		"owner's span": w.span(w.owner, "note.written", object{}), "owner's grant": w.grant(w.owner, member, "admin"),
		"owner's contract": w.span(w.owner, span.TypeContract, object{"name": "x", "version": "1.0.0", "hash": span.Sum([]byte("x")).String(), "source": "x", "action": "activate"}),
		"node's task":      w.span(w.node, "logline.task.fired", object{}), "node's span": w.span(w.node, "emitted.this", object{}),
		"revert": w.revert(member, secret), "owner closes": w.halt(w.owner, "close"),
	} {
		t.Log(name)
		w.refused(sp, standing.CodeSuspended)
	}
	require.Equal(t, "not_a_member", w.refused(w.span(w.keysEmbedded(), "note.written", object{}), "not_a_member").Code, "a stranger hears nothing of it")
	w.must(w.redact(w.owner, secret))

	readers := func(v standing.View, who *id.Keys) bool {
		return standing.MayRead(standing.ReaderFor(v, who.ID(), true), span.VisibilityOrganization, w.owner.ID(), "")
	}
	require.True(t, readers(w.tx, w.owner))
	require.True(t, readers(w.tx, admin))
	require.True(t, readers(w.tx, auditor))
	require.False(t, readers(w.tx, member))
	require.False(t, standing.MayRead(standing.ReaderFor(w.tx, member.ID(), true), span.VisibilityPrivate, member.ID(), ""), "not one's own either")
	require.False(t, standing.MayRead(standing.ReaderFor(w.tx, "", true), span.VisibilityPublic, w.owner.ID(), ""), "nor what is public")

	// It is in the rows.
	loaded, err := standing.Load(id.StdVerifier(), commitRows(w))
	require.NoError(t, err)
	require.Equal(t, standing.Suspended, loaded.Halted())

	w.must(w.halt(w.node, "resume"))
	require.Empty(t, w.tx.Halted())
	w.must(w.span(member, "note.written", object{}))
	require.True(t, readers(w.tx, member))
}

// keysEmbedded is somebody whose key events are here and who holds no role.
func (w *world) keysEmbedded() *id.Keys {
	k := w.keys(id.SubjectPerson)
	w.embed(k)
	return k
}

func commitRows(w *world) []standing.Row {
	w.tx.Commit()
	return w.state.Rows()
}

// TestClosing: an owner or the node closes, for good; what erases, what keeps the log
// provable and who may read still changes.
func TestClosing(t *testing.T) {
	t.Parallel()
	for _, byNode := range []bool{false, true} {
		w := founded(t)
		admin, member, auditor := w.member("admin"), w.member("member"), w.keysEmbedded()
		note := w.span(member, "note.written", object{"n": 1})
		w.must(note)
		w.refused(w.halt(admin, "close"), "role_forbidden")
		w.refused(w.halt(member, "close"), "role_forbidden")
		by := w.owner
		if byNode {
			by = w.node
			w.must(w.halt(w.node, "suspend"))
		}
		w.must(w.halt(by, "close"))
		require.Equal(t, standing.Closed, w.tx.Halted())
		for _, action := range []string{"suspend", "resume", "close"} {
			w.refused(w.halt(w.node, action), standing.CodeClosed)
		}
		w.refused(w.halt(w.owner, "close"), standing.CodeClosed)
		w.refused(w.span(w.owner, "note.written", object{}), standing.CodeClosed)
		w.refused(w.span(w.node, "logline.task.fired", object{}), standing.CodeClosed)
		w.must(w.grant(w.owner, auditor, "auditor"))
		w.must(w.withdraw(w.owner, member, "member"))
		w.must(w.redact(w.node, note))
		w.embed(w.keys(id.SubjectPerson))
		require.True(t, standing.MayRead(standing.ReaderFor(w.tx, auditor.ID(), false), span.VisibilityPrivate, member.ID(), ""))
	}
}

// TestClosingWaits: where a contract lets closing wait for votes, it happens when it
// is resolved, and not if it was closed meanwhile.
func TestClosingWaits(t *testing.T) {
	t.Parallel()
	w := founded(t)
	first, second := w.halt(w.owner, "close"), w.halt(w.owner, "close")
	w.pending(first)
	w.pending(second)
	w.must(w.span(w.owner, "note.written", object{}))
	w.must(w.resolve(first, "executed"))
	require.Equal(t, standing.Closed, w.tx.Halted())
	w.refused(w.resolve(second, "executed"), standing.CodeClosed)
}
