package standing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// history draws a timeline in which anything may be tried; what the rules
// refuse is left out. It gives the world at the end.
func history(t *rapid.T, w *world) {
	people := []*id.Keys{w.owner}
	for range 3 {
		people = append(people, w.keys(id.SubjectPerson))
	}
	roles := []string{"owner", "admin", "member", "agent", "auditor", "guest", "finance"}
	someone := func(label string) *id.Keys { return rapid.SampledFrom(people).Draw(t, label) }
	var targets []*span.Span
	for range rapid.IntRange(5, 40).Draw(t, "spans") {
		by, other := someone("by"), someone("other")
		var target *span.Span
		if len(targets) > 0 {
			target = rapid.SampledFrom(targets).Draw(t, "target")
		} else {
			target = w.span(by, "a.b", object{})
		}
		var sp *span.Span
		switch rapid.IntRange(0, 11).Draw(t, "kind") {
		case 0, 1:
			for _, raw := range other.Events() {
				_, _ = w.add(w.event(raw), "allow")
			}
			continue
		case 2, 3:
			sp = w.grant(by, other, rapid.SliceOfNDistinct(rapid.SampledFrom(roles), 1, 3, rapid.ID[string]).Draw(t, "roles")...)
		case 4:
			sp = w.withdraw(by, other, rapid.SampledFrom(roles).Draw(t, "role"))
		case 5:
			if e, err := other.Rotate(epochStart, w.rand); err == nil {
				sp = w.event(e.Raw)
			}
		case 6:
			if e, _, err := other.Delegate("phone", nil, "", epochStart, w.rand); err == nil {
				sp = w.event(e.Raw)
			}
		case 7:
			sp = w.revert(by, target)
		case 8:
			sp = w.redact(by, target)
		case 9:
			sp = w.resolve(target, rapid.SampledFrom([]string{"executed", "rejected", "expired"}).Draw(t, "outcome"))
		case 10:
			sp = w.epoch(w.node, nil)
		default:
			sp = w.span(by, "a.b", object{"<n>": 1})
		}
		if sp == nil {
			continue
		}
		outcome := rapid.SampledFrom([]string{"allow", "allow", "pending"}).Draw(t, "decision")
		if _, err := w.add(sp, outcome); err == nil && sp.Author != w.node.ID() {
			targets = append(targets, sp)
		}
	}
}

// replay folds a log anew, in batches that end where cut says.
func (w *world) replay(cut func(i int) bool, each func(s *standing.State, tx *standing.Tx)) *standing.State {
	w.t.Helper()
	s := standing.New(id.StdVerifier())
	again := &world{t: w.t, refs: map[string]standing.Ref{}}
	tx := s.Begin()
	for i, a := range w.log {
		c, err := tx.Apply(a.entry, a.payload, again.look)
		require.NoError(w.t, err)
		again.note(a.entry, c)
		if cut(i) {
			each(s, tx)
			tx.Commit()
			tx = s.Begin()
		}
	}
	each(s, tx)
	tx.Commit()
	return s
}

func TestRowsAreTheStateHoweverBatchesAreCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := founded(t)
		history(rt, w)
		every := rapid.IntRange(1, 7).Draw(rt, "batch")
		store := map[string]string{}
		write := func(_ *standing.State, tx *standing.Tx) {
			rows := tx.Rows()
			if !slices.IsSortedFunc(rows, func(a, b standing.Row) int { return strings.Compare(a.Key, b.Key) }) {
				rt.Fatal("rows out of order")
			}
			for _, r := range rows {
				if r.Value == nil {
					if _, ok := store[r.Key]; !ok {
						rt.Fatalf("deletes %q, which is not there", r.Key)
					}
					delete(store, r.Key)
				} else {
					store[r.Key] = string(r.Value)
				}
			}
		}
		batched := w.replay(func(i int) bool { return i%every == every-1 }, write)
		single := w.replay(func(int) bool { return false }, func(*standing.State, *standing.Tx) {})
		w.tx.Commit()

		want := w.state.Rows()
		for name, s := range map[string]*standing.State{"batched": batched, "single": single} {
			if fmt.Sprint(s.Rows()) != fmt.Sprint(want) {
				rt.Fatalf("%s: other rows", name)
			}
		}
		kept := map[string]string{}
		for _, r := range want {
			kept[r.Key] = string(r.Value)
		}
		if fmt.Sprint(store) != fmt.Sprint(kept) {
			rt.Fatalf("what the batches wrote is not the state:\n%v\n%v", store, kept)
		}

		slices.Reverse(want)
		loaded, err := standing.Load(id.StdVerifier(), want)
		if err != nil {
			rt.Fatal(err)
		}
		if fmt.Sprint(loaded.Rows()) != fmt.Sprint(w.state.Rows()) {
			rt.Fatal("Load(Rows()) has other rows")
		}
		sameView(rt, w.state, loaded)

		// And it goes on alike: whatever comes next gets the same answer.
		w.tx = w.state.Begin()
		from := len(w.log)
		other := &world{t: t, refs: map[string]standing.Ref{}}
		for k, r := range w.refs {
			other.refs[k] = r
		}
		history(rt, w)
		tx := loaded.Begin()
		for _, a := range w.log[from:] {
			c, err := tx.Apply(a.entry, a.payload, other.look)
			if err != nil {
				rt.Fatalf("the loaded state refuses what the other took: %v", err)
			}
			other.note(a.entry, c)
		}
		if fmt.Sprint(tx.Rows()) != fmt.Sprint(w.tx.Rows()) {
			rt.Fatal("the loaded state went on otherwise")
		}
		sameView(rt, w.tx, tx)
	})
}

func sameView(t *rapid.T, a, b standing.View) {
	t.Helper()
	n, first := a.Epoch()
	m, second := b.Epoch()
	if fmt.Sprint(a.Members()) != fmt.Sprint(b.Members()) || a.Tenant() != b.Tenant() || a.Node() != b.Node() || a.Owner() != b.Owner() ||
		a.LogKey() != b.LogKey() || n != m || first != second || *a.Genesis() != *b.Genesis() {
		t.Fatal("the views differ")
	}
	for _, m := range a.Members() {
		c, ok := a.Identity(m.Identity)
		d, also := b.Identity(m.Identity)
		if !ok || !also || c.Head() != d.Head() || c.Len() != d.Len() || fmt.Sprint(c.Keys()) != fmt.Sprint(d.Keys()) {
			t.Fatalf("%s: the chains differ", m.Identity)
		}
	}
}

func TestOwnerRemains(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := founded(t)
		history(rt, w)
		owners := 0
		for _, m := range w.tx.Members() {
			if len(m.Roles) == 0 || !slices.IsSorted(m.Roles) {
				rt.Fatalf("roles of %s: %v", m.Identity, m.Roles)
			}
			if w.tx.Can(m.Identity, standing.RightOwn) {
				owners++
			}
			if _, ok := w.tx.Identity(m.Identity); !ok {
				rt.Fatal("a member without key events")
			}
		}
		if owners == 0 {
			rt.Fatal("no owner is left")
		}
	})
}

func TestTxIsIsolated(t *testing.T) {
	t.Parallel()
	w := founded(t)
	require.Empty(t, w.state.Rows())
	assert.Nil(t, w.state.Genesis())
	assert.Empty(t, w.state.Members())
	_, ok := w.state.Identity(w.owner.ID())
	assert.False(t, ok)
	w.tx.Commit()
	assert.Equal(t, w.tenant, w.state.Tenant())
	require.Empty(t, w.tx.Rows(), "a committed overlay starts empty")
	before := fmt.Sprint(w.state.Rows())

	ana := w.keys(id.SubjectPerson)
	kept := len(w.log)
	w.tx = w.state.Begin()
	w.embed(ana)
	w.must(w.grant(w.owner, ana, "owner", "member"))
	w.must(w.withdraw(ana, w.owner, "owner"))
	asked := w.grant(ana, w.owner, "guest")
	w.pending(asked)
	_, err := w.owner.Rotate(epochStart, w.rand)
	require.NoError(t, err)
	w.must(w.event(w.owner.Events()[1]))
	w.must(w.epoch(w.node, nil))
	assert.True(t, w.tx.Can(ana.ID(), standing.RightOwn))
	assert.False(t, w.state.Can(ana.ID(), standing.RightOwn))
	assert.True(t, w.state.Can(w.owner.ID(), standing.RightOwn))
	assert.Equal(t, before, fmt.Sprint(w.state.Rows()), "the state is as it was")

	// Dropping the overlay undoes it; the same things can happen again.
	w.log, w.tx = w.log[:kept], w.state.Begin()
	assert.Empty(t, w.tx.Rows())
	w.refused(w.grant(w.owner, ana, "member"), "key_unknown") // its rotation was undone as well
	w.embed(ana)
	w.tx.Commit()
	_, ok = w.state.Identity(ana.ID())
	assert.True(t, ok)

	// What is undone within one overlay leaves no trace in its rows.
	w.tx = w.state.Begin()
	_, err = w.tx.Apply(w.entry(w.event(w.owner.Events()[1]), "allow"), w.event(w.owner.Events()[1]).Payload, w.look)
	require.NoError(t, err)
	w.log = append(w.log, appended{})
	w.must(w.grant(w.owner, ana, "member"))
	w.must(w.withdraw(w.owner, ana, "member"))
	held := w.grant(w.owner, ana, "member")
	w.pending(held)
	w.must(w.resolve(held, "rejected"))
	require.Len(t, w.tx.Rows(), 1)
	assert.Contains(t, w.tx.Rows()[0].Key, "identity/")
}

func (w *world) entry(sp *span.Span, outcome string) *span.Entry {
	at := w.next()
	return &span.Entry{Seq: at.Seq, RecordedAt: at.RecordedAt, Span: sp.Header, Decision: span.Decision{Outcome: outcome}}
}

func TestCommittedMembershipEnds(t *testing.T) {
	t.Parallel()
	w := founded(t)
	ana := w.member("member")
	held := w.grant(w.owner, ana, "agent")
	w.pending(held)
	w.tx.Commit()
	require.True(t, w.state.Can(ana.ID(), standing.RightAppend))
	rows := len(w.state.Rows())

	w.must(w.withdraw(w.owner, ana, "member"))
	w.must(w.resolve(held, "rejected"))
	assert.True(t, w.state.Can(ana.ID(), standing.RightAppend))
	name := strings.TrimPrefix(ana.ID(), span.IdentityScheme)
	assert.Equal(t, []standing.Row{{Key: "member/" + name}, {Key: "pending/" + held.ID}}, w.tx.Rows())
	w.tx.Commit()
	assert.Nil(t, w.state.Roles(ana.ID()))
	assert.Len(t, w.state.Rows(), rows-2)
}

// TestApplyJudgesWhatWasNotChecked: a Check of one span vouches for no other.
func TestApplyJudgesWhatWasNotChecked(t *testing.T) {
	t.Parallel()
	w := founded(t)
	ana := w.keys(id.SubjectPerson)
	w.embed(ana)
	good := w.grant(w.owner, ana, "member")
	for _, change := range []func(e *span.Entry, payload *[]byte){
		func(e *span.Entry, _ *[]byte) { e.Span.Author = ana.ID() },
		func(e *span.Entry, _ *[]byte) { e.Span.Type = span.TypeContract },
		func(e *span.Entry, _ *[]byte) { e.Span.Tenant = "" },
		func(e *span.Entry, _ *[]byte) { e.Span.Visibility = span.VisibilityPrivate },
		func(e *span.Entry, _ *[]byte) { e.Span.Signature.Key = ana.Signer().Public() },
		func(_ *span.Entry, payload *[]byte) { *payload = []byte(`{}`) },
	} {
		require.NoError(t, w.check(good))
		e, payload := w.entry(good, "allow"), good.Payload
		change(e, &payload)
		_, err := w.tx.Apply(e, payload, w.look)
		require.Error(t, err)
		assert.Nil(t, w.tx.Roles(ana.ID()))
	}
	_, err := w.tx.Apply(w.entry(good, "allow"), good.Payload, w.look)
	require.NoError(t, err)
}

func TestLoadRefusesDamagedRows(t *testing.T) {
	t.Parallel()
	w := founded(t)
	w.pending(w.grant(w.owner, w.owner, "guest"))
	w.tx.Commit()
	rows := w.state.Rows()
	require.Len(t, rows, 5)
	for i, r := range rows {
		for _, value := range [][]byte{nil, {}, []byte("{"), []byte("1")} {
			damaged := slices.Clone(rows)
			damaged[i] = standing.Row{Key: r.Key, Value: value}
			_, err := standing.Load(id.StdVerifier(), damaged)
			require.Equal(t, "state_corrupt", fault.CodeOf(err), r.Key)
		}
	}
	other, err := id.GhostKeys(make([]byte, 32), "t", "s", "a")
	require.NoError(t, err)
	name := strings.TrimPrefix(other.ID(), span.IdentityScheme)
	for _, r := range []standing.Row{{Key: "x", Value: []byte("{}")}, {Key: "identity/" + name, Value: rows[1].Value}, {Key: "member/x", Value: []byte(`["owner"]`)}, {Key: "member/" + name, Value: []byte(`[]`)}} {
		_, err := standing.Load(id.StdVerifier(), []standing.Row{r})
		require.Equal(t, "state_corrupt", fault.CodeOf(err), r.Key)
	}
	empty, err := standing.Load(id.StdVerifier(), nil)
	require.NoError(t, err)
	assert.Empty(t, empty.Rows())
}

// FuzzPayload: whatever a payload holds, the rules answer with a refusal or
// an effect that can be stored and read back.
func FuzzPayload(f *testing.F) {
	var v timelineVectors
	load(f, "spans.json", &v)
	for _, c := range v.Spans {
		sp, err := span.Parse(c.Span, span.Limits{})
		require.NoError(f, err)
		f.Add(sp.Type, sp.Payload, true)
	}
	f.Add(span.TypeMember, []byte(`{"identity":"","roles":["owner"],"action":"grant"}`), false)
	w := founded(f)
	w.tx.Commit()
	f.Fuzz(func(t *testing.T, typ string, payload []byte, byNode bool) {
		canonical, err := span.Canonicalize(payload)
		if err != nil || !span.ValidType(typ) {
			return
		}
		author := w.owner
		if byNode {
			author = w.node
		}
		h := span.Header{Tenant: w.tenant, Author: author.ID(), Type: typ, Visibility: span.VisibilityPublic,
			Status: span.StatusExecuted, Signature: span.Signature{Key: author.Signer().Public()}}
		tx := w.state.Begin()
		_, err = tx.Apply(&span.Entry{Seq: 5, RecordedAt: "2026-01-01T00:00:05.000Z", Span: h, Decision: span.Decision{Outcome: "allow"}}, canonical, w.look)
		if err != nil {
			require.NotEqual(t, fault.Internal, fault.KindOf(err), err)
			require.Empty(t, tx.Rows())
			return
		}
		_, err = standing.Load(id.StdVerifier(), tx.Rows())
		require.NoError(t, err)
	})
}
