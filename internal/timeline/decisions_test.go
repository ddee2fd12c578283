package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// deciders are two processes at one timeline whose entries fold into decision
// rows, driven by random draws.
type deciders struct {
	t     require.TestingT
	draw  func(n int) int
	procs [2]*world
	store timeline.Store

	sessions [2]*timeline.Session
	admitted [2][]string // what was seen before each admitted span
	seen     map[uint64]string
	notes    []timeline.Draft // committed spans that can be erased
	pending  [2][]timeline.Draft
	lost     int // sessions that another process overtook
	refused  int
	foresaw  int // spans that were looked at ahead
}

func newDeciders(t testing.TB, store timeline.Store, overlap bool) *deciders {
	d := &deciders{t: t, store: store, seen: map[uint64]string{}}
	first := newWorldWith(t, store, timeline.Config{Folder: storetest.Folder{}})
	// Who held the head would wait for itself here; who holds it never, never guesses.
	if first.cfg.Contention = time.Hour; overlap {
		first.cfg.Contention = time.Nanosecond
	}
	first.restart(store)
	second := *first
	second.restart(store)
	d.procs = [2]*world{first, &second}
	return d
}

func (d *deciders) ctx() context.Context { return d.procs[0].t.Context() }

// begin opens a session of a process that has none.
func (d *deciders) begin(n int) {
	w := d.procs[n]
	begin := w.log.Begin
	if d.draw(2) == 0 {
		begin = w.log.Guess
	}
	s, err := begin(d.ctx(), w.tenant)
	require.NoError(d.t, err)
	d.sessions[n], d.admitted[n], d.pending[n] = s, nil, nil
	if d.draw(2) == 0 {
		s.Foresee(func(i int, state timeline.DecisionState) bool {
			_, err := storetest.Observe(d.ctx(), state, fmt.Sprint("note.t", d.draw(3)), fmt.Sprint("s/", d.draw(2)), s.Head().Size+uint64(i))
			require.NoError(d.t, err)
			d.foresaw++
			return i < 4
		})
	}
}

// span is a random one.
func (d *deciders) span(w *world) timeline.Draft {
	if len(d.notes) > 0 && d.draw(12) == 0 {
		return redact(w, d.notes[d.draw(len(d.notes))])
	}
	w.now = w.now.Add(time.Duration(d.draw(3)) * time.Millisecond)
	typ := fmt.Sprint("note.t", d.draw(3))
	return w.by(typ, `{"n":1}`, func(h *span.Header) {
		if d.draw(3) > 0 {
			h.Subject = fmt.Sprint("s/", d.draw(2))
		}
		if d.draw(4) == 0 {
			h.Title = storetest.Refuse
		}
	})
}

// admit adds a span to an open session; it may be refused, or the session may
// find that it was overtaken.
func (d *deciders) admit(n int) {
	w, s := d.procs[n], d.sessions[n]
	draft := d.span(w)
	h := &draft.Span.Header
	at := s.Head().Size + uint64(len(d.admitted[n]))
	seen := ""
	if d.draw(2) == 0 {
		var err error
		if seen, err = storetest.Observe(d.ctx(), s.Decisions(), h.Type, h.Subject, at); d.overtaken(n, err) {
			return
		}
	}
	seq, err := s.Admit(&draft, span.FormatTime(w.now))
	switch {
	case d.overtaken(n, err):
	case err != nil:
		require.Contains(d.t, []string{"folder_refuses", "target_unknown"}, fault.CodeOf(err))
		d.refused++
	default:
		require.Equal(d.t, at, seq)
		d.admitted[n] = append(d.admitted[n], seen)
		d.pending[n] = append(d.pending[n], draft)
	}
}

func (d *deciders) overtaken(n int, err error) bool {
	if !errors.Is(err, timeline.ErrHeadMoved) {
		return false
	}
	require.Error(d.t, d.sessions[n].Err())
	d.sessions[n].Close()
	d.sessions[n] = nil
	d.lost++
	return true
}

// end commits an open session, or drops it.
func (d *deciders) end(n int) {
	s := d.sessions[n]
	if d.draw(5) > 0 {
		receipts, err := s.Commit(d.ctx())
		if d.overtaken(n, err) {
			return
		}
		require.NoError(d.t, err)
		for i, r := range receipts {
			if seen := d.admitted[n][i]; seen != "" {
				d.seen[r.Index] = seen
			}
			if draft := d.pending[n][i]; span.Redactable(draft.Span.Type) {
				d.notes = append(d.notes, draft)
			}
		}
	}
	s.Close()
	d.sessions[n] = nil
}

// run is a random history; where sessions do not overlap, the processes still
// overtake what the other one guesses.
func (d *deciders) run(steps int, overlap bool) {
	for range steps {
		n := d.draw(2)
		if !overlap && d.sessions[1-n] != nil {
			n = 1 - n
		}
		switch what := d.draw(8); {
		case d.sessions[n] == nil && what == 0:
			d.procs[n].restart(d.store)
		case d.sessions[n] == nil:
			d.begin(n)
		case what < 5:
			d.admit(n)
		default:
			d.end(n)
		}
	}
	for n, s := range d.sessions {
		if s != nil {
			d.end(n)
		}
	}
}

// check makes the state anew from the lines, cut at random, and holds it against
// what the store has, and against what the sessions saw.
func (d *deciders) check() {
	stored := stateOf(d.procs[0].t, d.store, d.procs[0].tenant)
	records := d.procs[0].entries()
	f := timeline.NewRefold(id.StdVerifier(), storetest.Folder{})
	for i := range records {
		f.Want(&records[i])
	}
	made := map[string][]byte{}
	change := func() {
		for _, r := range f.Changed() {
			if made[r.Key] = r.Value; r.Value == nil {
				delete(made, r.Key)
			}
		}
	}
	for i := range records {
		r := &records[i]
		if seen, ok := d.seen[r.Seq]; ok {
			now, err := storetest.Observe(d.ctx(), f.Decisions(), r.Entry.Span.Type, r.Entry.Span.Subject, r.Seq)
			require.NoError(d.t, err)
			require.Equal(d.t, now, seen, "what was seen before entry %d", r.Seq)
		}
		_, err := f.Fold(r)
		require.NoError(d.t, err)
		if d.draw(5) == 0 {
			change()
		}
	}
	change()
	var rows []standing.Row
	for _, key := range slices.Sorted(maps.Keys(made)) {
		rows = append(rows, standing.Row{Key: key, Value: made[key]})
	}
	require.Equal(d.t, rows, stored, "the changes made the state")
	require.Equal(d.t, f.State(), stored, "the lines make the state")
}

func stateOf(t testing.TB, store timeline.Store, tenant string) (rows []standing.Row) {
	t.Helper()
	k, ok := store.(timeline.Keeper)
	require.True(t, ok)
	require.NoError(t, k.Snapshot(t.Context(), func(s timeline.Snapshot) (err error) {
		_, rows, err = s.State(t.Context(), tenant)
		return err
	}))
	return rows
}

func redact(w *world, d timeline.Draft) timeline.Draft {
	payload := span.Redaction{Spans: []span.SpanRef{{Span: d.Span.ID, HeaderHash: hashOf(d)}}, Reason: "r"}
	return w.by(span.TypeRedaction, string(w.canonical(payload)), nil)
}

// The rows that decisions see follow from the lines, whatever two processes do.
func TestDecisionRowsFollowFromTheLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		overlap := rapid.Bool().Draw(rt, "overlap")
		d := newDeciders(t, memstore.New(), overlap)
		d.t = rt
		d.draw = func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "n") }
		d.run(rapid.IntRange(0, 80).Draw(rt, "steps"), overlap)
		d.check()
	})
}

// And on every kind of store, in longer histories. LOGLINE_TEST_SEED repeats one.
func TestDecisionRowsOnEveryStore(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv("LOGLINE_TEST_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("LOGLINE_TEST_SEED=%d", seed)
	for _, overlap := range []bool{true, false} {
		t.Run(fmt.Sprintf("overlap=%v", overlap), func(t *testing.T) {
			t.Parallel()
			onEveryStore(t, func(t *testing.T, s timeline.Store) {
				d := newDeciders(t, s, overlap)
				d.draw = rand.New(rand.NewPCG(seed, 1)).IntN
				for range 4 {
					d.run(150, overlap)
					d.check()
				}
				require.Positive(t, d.lost, "no process overtook the other")
				require.Positive(t, d.refused)
				require.Greater(t, len(d.seen), 20)
			})
		})
	}
}

// What a session sees of the rows is as of its head: what another process made
// of them since is no answer, and ends the session.
func TestDecisionsAreOfTheSessionsHead(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		ctx := t.Context()
		a := newWorldWith(t, store, timeline.Config{Folder: storetest.Folder{}, Contention: time.Nanosecond})
		b := *a
		b.restart(store)
		step := func(subject string) timeline.Draft {
			return a.by("note.taken", `{}`, func(h *span.Header) { h.Subject = subject })
		}
		a.append(step("x"), step("y"))
		a.restart(store)
		s := a.admit()
		x, ok, err := s.Decisions().Get(ctx, "step/x")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "s", string(x))
		b.append(step("x"), step("y"))
		again, _, err := s.Decisions().Get(ctx, "step/x")
		require.NoError(t, err, "what is known needs no question")
		require.Equal(t, x, again)
		_, _, err = s.Decisions().Get(ctx, "step/y")
		require.ErrorIs(t, err, timeline.ErrHeadMoved)
		require.ErrorIs(t, s.Err(), timeline.ErrHeadMoved)
		_, _, err = s.Decisions().Floor(ctx, "step/", "step/z")
		require.ErrorIs(t, err, timeline.ErrHeadMoved)
		d := step("z")
		_, err = s.Admit(&d, span.FormatTime(a.now))
		require.ErrorIs(t, err, timeline.ErrHeadMoved)
		_, err = s.Commit(ctx)
		require.ErrorIs(t, err, timeline.ErrHeadMoved)
		s.Close()

		s = a.admit()
		for _, key := range []string{"step/x", "step/y"} {
			value, _, err := s.Decisions().Get(ctx, key)
			require.NoError(t, err)
			require.Equal(t, "ss", string(value))
		}
		refused := a.by("note.taken", `{}`, func(h *span.Header) { h.Subject, h.Title = "x", storetest.Refuse })
		_, err = s.Admit(&refused, span.FormatTime(a.now))
		require.Equal(t, "folder_refuses", fault.CodeOf(err))
		value, _, err := s.Decisions().Get(ctx, "step/x")
		require.NoError(t, err)
		require.Equal(t, "ss", string(value), "a refused span changes nothing")
		d = step("x")
		_, err = s.Admit(&d, span.FormatTime(a.now))
		require.NoError(t, err)
		_, err = s.Commit(ctx)
		require.NoError(t, err)
		s.Close()
		size, rows, err := a.log.Rows(ctx, "acme", []timeline.Wanted{{Key: "step/x"}, {Prefix: "step/", Key: "step/x"}, {Prefix: "step/", Limit: 9}, {Key: "none"}, {Prefix: "b/", Key: "a"}})
		require.NoError(t, err)
		require.Equal(t, a.head().Size, size)
		own := []standing.Row{{Key: "step/x", Value: []byte("sss")}}
		require.Equal(t, [][]standing.Row{own, own, append(own, standing.Row{Key: "step/y", Value: []byte("ss")}), nil, nil}, rows)
		a.verifyAll()
	})
}

// A process that appends on asks for nothing that it made itself; without a
// Folder there is nothing to ask for.
func TestKnownDecisionRowsAreNotRead(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		faulty := storetest.NewFaulty(store)
		w := newWorldWith(t, faulty, timeline.Config{Folder: storetest.Folder{}, Contention: time.Hour})
		w.append(w.plain(3)...)
		faulty.FailReads(1000)
		for range 5 {
			s := w.guess(w.plain(4)...)
			_, _, err := s.Decisions().Floor(t.Context(), "sum/note.taken/", "sum/note.taken/x")
			require.NoError(t, err)
			_, err = s.Commit(t.Context())
			require.NoError(t, err)
			s.Close()
		}
		faulty.FailReads(0)
		w.verifyAll()
	})
}

// Where the rows cannot be read, nothing is decided.
func TestUnreadableDecisionRows(t *testing.T) {
	t.Parallel()
	faulty := storetest.NewFaulty(memstore.New())
	w := newWorldWith(t, faulty, timeline.Config{Folder: storetest.Folder{}})
	w.append(w.plain(1)...)
	w.restart(faulty)
	s := w.admit()
	faulty.FailReads(1)
	drafts := w.plain(2)
	for i := range drafts {
		_, err := s.Admit(&drafts[i], span.FormatTime(w.now))
		require.ErrorIs(t, err, storetest.ErrInjected)
	}
	_, err := s.Commit(t.Context())
	require.ErrorIs(t, err, storetest.ErrInjected)
	s.Close()
	w.append(drafts...)
	w.verifyAll()
}

// wrongFolder makes a row that no store can keep.
type wrongFolder struct{ row standing.Row }

func (f wrongFolder) Fold(_ context.Context, e *span.Entry, _ []byte, _ timeline.DecisionState) ([]standing.Row, error) {
	if e.Span.Type != "note.taken" {
		return nil, nil
	}
	return []standing.Row{{Key: "good", Value: []byte("x")}, f.row}, nil
}

func TestRowsThatNoStoreKeepsAreRefused(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"empty": "", "long": strings.Repeat("k", timeline.MaxRowKey+1), "NUL": "a\x00", "no text": "\xff"} {
		w := newWorldWith(t, memstore.New(), timeline.Config{Folder: wrongFolder{standing.Row{Key: key, Value: []byte("v")}}})
		s := w.admit()
		d := w.plain(1)[0]
		_, err := s.Admit(&d, span.FormatTime(w.now))
		require.Equal(t, "row_invalid", fault.CodeOf(err), name)
		_, ok, err := s.Decisions().Get(t.Context(), "good")
		require.NoError(t, err)
		require.False(t, ok, "all of it or nothing")
		s.Close()
	}
}

// An imported timeline has the rows that its own node has, however it came.
func TestImportMakesDecisionRows(t *testing.T) {
	t.Parallel()
	onEveryStore(t, func(t *testing.T, store timeline.Store) {
		from := memstore.New()
		w := newWorldWith(t, from, timeline.Config{Folder: storetest.Folder{}})
		node, _, err := id.OpenNode(t.TempDir(), w.now, w.random)
		require.NoError(t, err)
		other := timeline.NewLog(store, node, id.StdVerifier(), timeline.Config{Now: w.cfg.Now, Folder: storetest.Folder{}})
		for range 3 {
			w.rich()
			w.append(w.by("note.taken", `{}`, func(h *span.Header) { h.Subject = "s" }))
			_, err := take(t, other, exported(t, w.log, w.tenant))
			require.NoError(t, err)
			require.Equal(t, stateOf(t, from, w.tenant), stateOf(t, store, w.tenant))
		}
	})
}
