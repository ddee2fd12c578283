package timeline_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func TestCreateRecordsTenant(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		for _, name := range []string{w.tenant, "acme"} {
			got, err := w.log.Tenant(t.Context(), name)
			require.NoError(t, err)
			require.Equal(t, w.tenant, got.ID)
			require.Equal(t, uint64(5), got.Size)
			require.True(t, got.PublicReading)
			_, _, err = tree.ParseVerifierKey(got.LogKey)
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(got.LogKey, got.Origin+"+"))
		}
		for _, identity := range []string{w.owner.ID(), w.node.ID()} {
			held, err := w.log.Holding(t.Context(), identity)
			require.NoError(t, err)
			require.Equal(t, []string{w.tenant}, held)
		}
		_, err := w.log.Tenant(t.Context(), "nobody")
		require.ErrorIs(t, err, timeline.ErrTenantUnknown)
		_, err = w.log.Begin(t.Context(), "00000000-0000-8000-8000-000000000000")
		require.ErrorIs(t, err, timeline.ErrTenantUnknown)
	})
}

func TestAdmitRefusesAndLeavesSessionUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	first := w.append(w.plain(1)...)[0]
	stranger, err := id.NewKeys(id.SubjectPerson, w.now, w.random)
	require.NoError(t, err)
	s := w.admit()
	defer s.Close()
	admit := func(d timeline.Draft) error {
		_, err := s.Admit(&d, span.FormatTime(w.now))
		return err
	}
	good := w.by("note.taken", `{}`, nil)
	require.NoError(t, admit(good))
	e, err := span.ParseLine(first.Line)
	require.NoError(t, err)
	long := make([]string, 270)
	for i := range long {
		long[i] = strings.Repeat("x", 250)
	}
	detail := &span.Detail{Salt: span.B64(w.bytes(16)), Notes: []string{"n"}}
	for name, c := range map[string]struct {
		draft timeline.Draft
		code  string
	}{
		"unknown author":       {w.seal(stranger.Signer(), stranger.ID(), "note.taken", []byte(`{}`), nil), "author_unknown"},
		"id in the store":      {w.by("x.y", `{}`, func(h *span.Header) { h.ID = e.Span.ID }), "id_spent"},
		"id in the session":    {w.by("x.y", `{}`, func(h *span.Header) { h.ID = good.Span.ID }), "id_spent"},
		"line too long":        {w.by("x.y", `{}`, func(h *span.Header) { h.Tags = long }), "line_too_large"},
		"decision too large":   {timeline.Draft{Span: w.by("x.y", `{}`, nil).Span, Decision: span.Decision{Outcome: "allow", Rules: long}}, "decision_too_large"},
		"detail without hash":  {timeline.Draft{Span: w.by("x.y", `{}`, nil).Span, Decision: span.Decision{Outcome: "allow"}, Detail: detail.Canonical()}, "detail_mismatch"},
		"unknown revert":       {w.by(span.TypeRevert, `{"header_hash":"`+hashOf(good)+`","reason":"r","span":"`+storetest.ID(1)+`"}`, nil), "target_unknown"},
		"node's type by owner": {w.by(span.TypeEvidence, `{}`, nil), "reserved_author"},
	} {
		require.Equal(t, c.code, fault.CodeOf(admit(c.draft)), name)
	}
	require.NoError(t, admit(w.by("note.taken", `{}`, nil)))
	receipts, err := s.Commit(t.Context())
	require.NoError(t, err)
	require.Len(t, receipts, 2)
	_, err = s.Commit(t.Context())
	require.Equal(t, "session_committed", fault.CodeOf(err))
	require.Equal(t, "session_committed", fault.CodeOf(admit(w.by("note.taken", `{}`, nil))))
	require.Equal(t, uint64(8), w.head().Size)
}

func TestEmptyCommitAndClosedSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	s := w.admit()
	receipts, err := s.Commit(t.Context())
	require.NoError(t, err)
	require.Empty(t, receipts)
	s.Close()
	s.Close()
	s = w.admit(w.plain(2)...)
	s.Close()
	_, err = s.Commit(t.Context())
	require.Equal(t, "session_closed", fault.CodeOf(err))
	require.Equal(t, uint64(5), w.head().Size, "what is not committed is gone")
	w.append(w.plain(1)...)
}

func TestRecordedAtNeverDecreases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	for _, step := range []time.Duration{time.Hour, -2 * time.Hour, time.Second} {
		w.now = w.now.Add(step)
		w.append(w.plain(2)...)
	}
	last := ""
	for _, r := range w.entries() {
		require.GreaterOrEqual(t, r.Entry.RecordedAt, last)
		last = r.Entry.RecordedAt
	}
	require.Equal(t, last, w.head().RecordedAt)
}

// entries reads the whole timeline.
func (w *world) entries() []timeline.Record {
	w.t.Helper()
	var out []timeline.Record
	for {
		records, next, err := w.log.Entries(w.t.Context(), w.tenant, uint64(len(out)), ^uint64(0), all)
		require.NoError(w.t, err)
		out = append(out, records...)
		if next == uint64(len(out)) && len(records) == 0 {
			return out
		}
	}
}

func TestFindSeesSessionAndStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	drafts := w.plain(3)
	w.append(drafts[0])
	s := w.admit(drafts[1])
	defer s.Close()
	refused := w.by("pay.out", `{}`, nil)
	evidence := w.own(span.TypeDecision, w.canonical(span.Refusal{
		Span: refused.Span.ID, HeaderHash: hashOf(refused), Type: "pay.out", Author: w.owner.ID(), Contract: "c@1.0.0#" + hashOf(refused), Rule: "c/r",
	}))
	_, err := s.Admit(&evidence, span.FormatTime(w.now))
	require.NoError(t, err)
	found, err := s.Find(t.Context(), []string{drafts[0].Span.ID, drafts[1].Span.ID, drafts[2].Span.ID, refused.Span.ID})
	require.NoError(t, err)
	require.Len(t, found, 3)
	require.False(t, found[drafts[0].Span.ID].Pending)
	require.Equal(t, drafts[0].Span.Header.Hash(), found[drafts[0].Span.ID].Ref.HeaderHash)
	require.True(t, found[drafts[1].Span.ID].Pending)
	require.Equal(t, uint64(6), found[drafts[1].Span.ID].Ref.Seq)
	require.Equal(t, timeline.SpentByDecision, found[refused.Span.ID].SpentBy)
	require.Equal(t, evidence.Span.ID, found[refused.Span.ID].Ref.ID)
	_, err = s.Admit(&refused, span.FormatTime(w.now))
	require.ErrorIs(t, err, timeline.ErrSpent)
	_, err = s.Commit(t.Context())
	require.NoError(t, err)
	s.Close()

	rec, err := w.log.Get(t.Context(), w.tenant, evidence.Span.ID)
	require.NoError(t, err)
	require.Equal(t, timeline.StatusGhost, rec.Status)
	_, err = w.log.Get(t.Context(), w.tenant, refused.Span.ID)
	require.ErrorIs(t, err, timeline.ErrSpanUnknown, "a refused attempt is no entry")
	s = w.admit()
	_, err = s.Admit(&refused, span.FormatTime(w.now))
	require.ErrorIs(t, err, timeline.ErrSpent, "nor may it become one")
}

func TestFailedCommitBeforeTheStore(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, inner timeline.Store) {
		s := storetest.NewFaulty(inner)
		w := newWorld(t, s, "")
		drafts := w.plain(2)
		s.FailBefore(1)
		session := w.admit(drafts...)
		_, err := session.Commit(t.Context())
		require.Equal(t, "commit_unknown", fault.CodeOf(err))
		require.Equal(t, fault.Unavailable, fault.KindOf(err))
		session.Close()
		again := w.admit()
		found, err := again.Find(t.Context(), []string{drafts[0].Span.ID})
		require.NoError(t, err)
		require.Empty(t, found, "nothing was written")
		again.Close()
		require.Len(t, w.append(drafts...), 2)
		w.verifyAll()
	})
}

func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, inner timeline.Store) {
		s := storetest.NewFaulty(inner)
		w := newWorld(t, s, t.TempDir())

		// The store can be asked at once: the commit is known to stand.
		s.FailAfter(1)
		receipts := w.append(w.plain(2)...)
		require.Len(t, receipts, 2)
		w.verifyReceipt(receipts[1])

		// It cannot: the caller finds out by id, with a state that is read anew.
		member, err := id.NewKeys(id.SubjectAgent, w.now, w.random)
		require.NoError(t, err)
		drafts := []timeline.Draft{w.embed(member.Events()[0]), w.grant(member.ID(), "agent")}
		session := w.admit(drafts...)
		s.FailAfter(1)
		s.FailReads(1)
		_, err = session.Commit(t.Context())
		require.Equal(t, "commit_unknown", fault.CodeOf(err))
		session.Close()
		again := w.admit()
		found, err := again.Find(t.Context(), []string{drafts[0].Span.ID, drafts[1].Span.ID})
		require.NoError(t, err)
		require.Len(t, found, 2)
		require.Equal(t, []string{"agent"}, again.Tx().Roles(member.ID()))
		again.Close()
		w.append(w.seal(member.Signer(), member.ID(), "agent.acted", []byte(`{}`), nil))
		w.verifyAll()
	})
}

func TestHeadMoved(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, inner timeline.Store) {
		s := storetest.NewFaulty(inner)
		w := newWorld(t, s, "")
		other := *w
		other.restart(inner)
		s.Before(func(*timeline.Batch) error {
			other.append(other.plain(3)...)
			return nil
		})
		drafts := w.plain(2)
		session := w.admit(drafts...)
		_, err := session.Commit(t.Context())
		require.ErrorIs(t, err, timeline.ErrHeadMoved)
		session.Close()
		receipts := w.append(drafts...)
		require.Equal(t, uint64(8), receipts[0].Index)
		w.verifyAll()
	})
}

// TestTwoProcesses lets two logs write one store in turns: each catches up
// with what the other did, standing included.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		w := newWorld(t, s, "")
		other := *w
		other.restart(s)
		first := w.by("note.taken", `{}`, nil)
		w.append(first)
		member, err := id.NewKeys(id.SubjectPerson, w.now, w.random)
		require.NoError(t, err)
		other.append(other.embed(member.Events()[0]), other.grant(member.ID(), "member"))
		// A revert, which the fold must judge as of its position.
		other.append(other.by(span.TypeRevert, `{"header_hash":"`+hashOf(first)+`","reason":"r","span":"`+first.Span.ID+`"}`, nil))
		v, err := w.log.Standing(t.Context(), "acme")
		require.NoError(t, err)
		require.Equal(t, []string{"member"}, v.Roles(member.ID()))
		w.append(w.seal(member.Signer(), member.ID(), "note.taken", []byte(`{}`), nil))
		rotation, err := member.Rotate(w.now, w.random)
		require.NoError(t, err)
		w.append(w.embed(rotation.Raw))
		_, err = other.admit().Admit(new(w.seal(member.Signer(), member.ID(), "note.taken", []byte(`{}`), nil)), "")
		require.NoError(t, err)
		w.verifyAll()
	})
}

func TestFarBehindReadsRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	other := *w
	other.restart(w.store)
	w.append(w.plain(1)...)
	for range 3 {
		other.append(other.plain(400)...)
	}
	require.Equal(t, uint64(1206), w.append(w.plain(1)...)[0].Index)
}

func TestManySessionsAtOnce(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, s timeline.Store) {
		const writers, rounds = 6, 5
		w := newWorld(t, s, t.TempDir())
		batches := make([][]timeline.Draft, writers*rounds)
		for i := range batches {
			batches[i] = w.plain(3)
		}
		ctx, stop := context.WithCancel(t.Context())
		var readers, wg sync.WaitGroup
		readers.Go(func() {
			for ctx.Err() == nil {
				v, err := w.log.Standing(t.Context(), w.tenant)
				if err != nil || !v.Can(w.owner.ID(), standing.RightOwn) || len(v.Members()) != 1 {
					t.Errorf("standing: %v", err)
					return
				}
			}
		})
		for i := range writers {
			wg.Go(func() {
				for r := range rounds {
					session, err := w.log.Begin(t.Context(), w.tenant)
					if err != nil {
						t.Error(err)
						return
					}
					for j := range batches[i*rounds+r] {
						if _, err := session.Admit(&batches[i*rounds+r][j], span.FormatTime(w.now)); err != nil {
							t.Error(err)
						}
					}
					if _, err := session.Commit(t.Context()); err != nil {
						t.Error(err)
					}
					session.Close()
				}
			})
		}
		wg.Wait()
		stop()
		readers.Wait()
		require.Equal(t, uint64(5+3*writers*rounds), w.head().Size)
		w.verifyAll()
	})
}

func TestTurnIsLeftWhenContextEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	s := w.admit()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.log.Begin(ctx, w.tenant)
	require.Equal(t, "interrupted", fault.CodeOf(err))
	s.Close()
	w.append(w.plain(1)...)
}

func TestNoteOnDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, memstore.New(), dir)
	path := filepath.Join(dir, w.tenant+".note")
	w.append(w.plain(2)...)
	read := func() string {
		note, err := timeline.GivenOutNote(dir, w.tenant)
		require.NoError(t, err)
		return string(note)
	}
	require.Equal(t, string(w.head().Checkpoint), read())

	// A lost note is written again from the database by the next session: what a
	// power failure leaves of it, zeros or its first bytes or both, is none.
	whole := read()
	left := [][]byte{{}, make([]byte, 100), append([]byte(whole[:20]), make([]byte, 100)...)}
	for n := range len(whole) {
		left = append(left, []byte(whole[:n]))
	}
	for _, raw := range left {
		require.NoError(t, os.WriteFile(path, raw, 0o600))
		w.restart(w.store)
		w.admit().Close()
		require.Equal(t, string(w.head().Checkpoint), read(), "%q", raw)
	}

	// What cannot be kept is not given out; the entries are there.
	require.NoError(t, os.Rename(dir, dir+".away"))
	drafts := w.plain(1)
	s := w.admit(drafts...)
	_, err := s.Commit(t.Context())
	require.Equal(t, "checkpoint_note_unwritable", fault.CodeOf(err))
	s.Close()
	_, err = w.log.Begin(t.Context(), w.tenant)
	require.Equal(t, "checkpoint_note_unwritable", fault.CodeOf(err))
	require.NoError(t, os.Rename(dir+".away", dir))
	s = w.admit()
	found, err := s.Find(t.Context(), []string{drafts[0].Span.ID})
	require.NoError(t, err)
	require.Len(t, found, 1)
	s.Close()
	require.Equal(t, string(w.head().Checkpoint), read())

	require.NoError(t, os.WriteFile(path, []byte("garbage"), 0o600))
	w.restart(w.store)
	_, err = w.log.Begin(t.Context(), w.tenant)
	require.Equal(t, "checkpoint_note_unreadable", fault.CodeOf(err))
}

// TestRestoredDatabase puts an older copy of the database back: the node
// refuses to sign until a new epoch is ordered.
func TestRestoredDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now, old := filepath.Join(dir, "now.db"), filepath.Join(dir, "old.db")
	s, end := sqliteAt(t, now)
	w := newWorld(t, s, dir)
	w.append(w.plain(3)...)
	end()
	copyFile(t, now, old)
	s, end = sqliteAt(t, now)
	w.restart(s)
	w.append(w.plain(2)...)
	lost := w.head()
	end()

	for name, extra := range map[string]int{"smaller": 0, "same size, other root": 2, "larger, other root": 4} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "")+".db")
		copyFile(t, old, path)
		s, _ := sqliteAt(t, path)
		careless := *w
		careless.cfg.NotesDir = "" // a process that forgot
		careless.restart(s)
		if extra > 0 {
			careless.append(careless.plain(extra)...)
		}
		w.restart(s)
		_, err := w.log.Begin(t.Context(), w.tenant)
		require.Equal(t, "checkpoint_regression", fault.CodeOf(err), name)
		require.Equal(t, fault.Unavailable, fault.KindOf(err))
		require.ErrorContains(t, err, "--new-epoch")
		_, err = w.log.Standing(t.Context(), w.tenant)
		require.NoError(t, err, "reading goes on")
	}

	copyFile(t, old, now)
	s, _ = sqliteAt(t, now)
	w.restart(s)
	before := w.head()
	receipt, err := w.log.NewEpoch(t.Context(), w.tenant, func(payload []byte) (*span.Span, error) {
		return w.own(span.TypeEpoch, payload).Span, nil
	})
	require.NoError(t, err)
	require.Equal(t, before.Size, receipt.Index)
	note, err := tree.ParseNote(receipt.Checkpoint)
	require.NoError(t, err)
	require.Equal(t, uint64(1), note.Origin.Epoch)
	require.Less(t, note.Size, lost.Size)
	w.verifyReceipt(receipt)
	tenant, err := w.log.Tenant(t.Context(), w.tenant)
	require.NoError(t, err)
	require.Equal(t, note.Origin.String(), tenant.Origin)
	w.append(w.plain(1)...)
	w.restart(s)
	w.append(w.plain(1)...)
	w.verifyAll()
}

func TestTimelineOfAnotherNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, memstore.New(), "")
	stranger, _, err := id.OpenNode(t.TempDir(), w.now, w.random)
	require.NoError(t, err)
	w.node = stranger
	w.restart(w.store)
	_, err = w.log.Begin(t.Context(), w.tenant)
	require.Equal(t, timeline.CodeReadOnly, fault.CodeOf(err))
	_, err = w.log.NewEpoch(t.Context(), w.tenant, nil)
	require.Equal(t, timeline.CodeReadOnly, fault.CodeOf(err))
	_, err = w.log.Standing(t.Context(), w.tenant)
	require.NoError(t, err)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, raw, 0o600))
}
