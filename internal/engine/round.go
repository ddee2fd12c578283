package engine

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// round decides one batch, in order, on one head and tries to commit it.
// Nothing is answered before its outcome is known: a refusal may rest on a
// neighbour that is then not committed.
type round struct {
	engine  *Engine
	tenant  string
	leftOut map[*item]answer // found in an earlier round of this batch
	guess   bool             // try without asking the store where the head is and whether ids are spent

	answers   []answer // by index in the batch
	early     []bool   // decided with nothing admitted yet: holds without the commit
	attempted bool     // a commit was tried and may have persisted
	size      uint64   // of the committed timeline; 0 when there was nothing to commit

	session    *timeline.Session
	recordedAt string
	now        time.Time             // recordedAt as a time
	drafts     int                   // admitted so far, embeddings included
	draftOf    []int                 // by index in the batch; -1: the item made no entry
	byID       map[string]placed     // admitted in this round
	waiting    map[string]*span.Span // of those, what is pending: a vote may follow in the same batch
	asked      *rules.World          // of the position that is decided; nil: to be made
	caughtUp   bool                  // with the contracts for every tenant
	changed    bool                  // contracts are others after this round
	halted     *string               // what the tenant is after this round, where that is another than before; nil: it is not
	timed      bool                  // contracts were asked or timers answered
	stuck      bool                  // a timer could not be answered
	nextDue    time.Time             // of the first timer after this round's entries; zero: there is none
	found      map[string]timeline.Found
	rehearsal  *rehearsal // nothing is committed; nil: it is

	room    *quota.Room // what the tenant may still record; nil: without bounds
	sent    int         // entries that somebody sent
	content int64       // bytes of payloads and details admitted so far
}

// placed is a span admitted in this round.
type placed struct {
	ref         standing.Ref
	payloadHash string
	span        *span.Span
	decision    span.Decision
	draft       int
}

// leaveOut asks for another round in which an item makes no entry: its answer
// was found after its embeddings had been admitted, and a span that is not
// recorded leaves nothing behind.
type leaveOut struct {
	index  int // in the batch
	item   *item
	answer answer
}

func (l *leaveOut) Error() string { return "an item must be left out of the batch" }

// sound tells whether item i's answer holds although nothing was committed.
func (r *round) sound(i int) bool { return i < len(r.early) && r.early[i] }

func (r *round) decideAndCommit(ctx context.Context, batch []*item) error {
	r.answers = make([]answer, len(batch))
	r.early = make([]bool, len(batch))
	r.draftOf = make([]int, len(batch))
	r.byID = make(map[string]placed, len(batch))

	begin := r.engine.log.Begin
	if r.guess {
		begin = r.engine.log.Guess
	}
	s, err := begin(ctx, r.tenant)
	if err != nil {
		return err
	}
	defer s.Close()
	r.session = s
	if !s.Guessed() {
		if r.found, err = s.Find(ctx, spanIDs(batch)); err != nil {
			return err
		}
	}
	if err := r.stampTime(); err != nil {
		return err
	}
	if quotas := r.engine.cfg.Quotas; quotas != nil {
		r.room = quotas.Room(ctx, r.tenant, s.Head().Size)
	}
	at, before := 0, s.Tx().Halted()
	s.Foresee(func(i int, state timeline.DecisionState) bool { return r.foresee(ctx, batch[at:], i, state) })
	for i, it := range batch {
		at, r.draftOf[i] = i, -1
		err := r.decideItem(ctx, i, it)
		if moved := s.Err(); errors.Is(moved, timeline.ErrHeadMoved) {
			return moved // the answer found rests on no head: all are decided again
		}
		if err != nil {
			return cmp.Or(r.confirm(ctx, batch[i:i+1]), err)
		}
		r.early[i] = r.drafts == 0
	}
	if err := r.confirm(ctx, r.notAdmitted(batch)); err != nil {
		return err
	}
	if err := r.noteTimers(ctx); err != nil {
		return err
	}
	if r.drafts == 0 {
		return nil
	}
	r.attempted = true
	after := s.Tx().Halted()
	receipts, err := s.Commit(ctx)
	if err != nil {
		return err
	}
	r.countRecorded(ctx, receipts)
	if after != before {
		r.halted = &after
	}
	return r.handOut(batch, receipts)
}

// confirm makes sure, after a guess, that answers which no commit will vouch for
// were found at the head, about spans that are new.
func (r *round) confirm(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	return r.session.Confirm(ctx, spanIDs(items))
}

// notAdmitted is the items that made no entry.
func (r *round) notAdmitted(batch []*item) (out []*item) {
	for i, it := range batch {
		if r.draftOf[i] < 0 {
			out = append(out, it)
		}
	}
	return out
}

// stampTime sets recorded_at for the whole batch; it never decreases.
func (r *round) stampTime() error {
	r.now = r.engine.cfg.Now().UTC().Truncate(time.Millisecond)
	r.recordedAt = span.FormatTime(r.now)
	if last := r.session.Head().RecordedAt; last > r.recordedAt {
		t, err := span.ParseTime(last)
		if err != nil {
			return err
		}
		r.recordedAt, r.now = last, t
	}
	return nil
}

// decideItem brings one item to its answer. The error is always a leaveOut; a
// panic while deciding costs the item's neighbours nothing.
func (r *round) decideItem(ctx context.Context, i int, it *item) (err error) {
	if a, known := r.leftOut[it]; known {
		r.answers[i] = a
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			r.engine.logPanic(ctx, r.tenant, p)
			err = &leaveOut{index: i, item: it, answer: refuse(errPanicked)}
		}
	}()
	before := r.drafts
	if it.fire || it.wide || it.schedule != nil {
		if err := standing.HaltOf(r.session.Tx()); err != nil {
			r.answers[i] = refuse(err)
			return nil
		}
	}
	switch {
	case it.fire:
		r.answers[i] = refuse(r.fire(ctx))
	case it.wide:
		r.answers[i] = refuse(r.catchUpContracts(ctx))
	case it.schedule != nil:
		r.answers[i] = refuse(r.changeSchedule(ctx, it.schedule))
	case it.span == nil:
		r.answers[i] = refuse(r.embedItem(ctx, it))
	default:
		r.answers[i] = r.decideSpan(ctx, i, it)
	}
	if a := r.answers[i]; r.drafts != before && !a.kept && (a.Err != nil || a.Outcome == Simulated) {
		return &leaveOut{index: i, item: it, answer: a}
	}
	return nil
}

// decideSpan goes in order through what was recorded before, the caller's
// conditions, keys and roles, and the decision.
func (r *round) decideSpan(ctx context.Context, i int, it *item) answer {
	if a, done := r.recordedBefore(ctx, i, it); done {
		return a
	}
	if err := r.conditions(it); err != nil {
		return refuse(err)
	}
	if err := r.embedAuthor(ctx, it); err != nil {
		return refuse(err)
	}
	if err := r.embedMember(ctx, it.span); err != nil {
		return refuse(err)
	}
	guest, err := r.guestQuota(it)
	if err != nil {
		return refuse(err)
	}
	if err := r.mayUse(it); err != nil {
		return refuse(err)
	}
	o, err := r.decide(ctx, it)
	switch {
	case err != nil:
		return refuse(err)
	case r.rehearsal == nil && (it.dryRun || it.span.Status == span.StatusSimulated) || o.Verdict == rules.Simulate:
		return answer{Result: Result{Outcome: Simulated, Decision: o.Decision, Foresight: o}}
	case o.Verdict == rules.Reject:
		return r.reject(ctx, it, o)
	}
	asked := len(o.Called) + len(o.Emitted) + len(o.Scheduled)
	if asked > 0 && !r.own(it) {
		if err := r.room.MayAsk(); err != nil {
			return refuse(err)
		}
	}
	d := timeline.Draft{Span: it.span}
	if d.Decision, d.Detail, err = r.engine.seal(o); err != nil {
		return refuse(err)
	}
	seq, err := r.admit(&d)
	if err != nil {
		return refuse(err)
	}
	r.noteUse(it, asked)
	r.contractsMayChange(it.span.Type)
	if o.Verdict == rules.Pending {
		r.wait(it.span)
	}
	draft := r.drafts - 1
	if guest && !it.charged {
		it.charged = true
		r.engine.guests.spend(r.tenant, it.span.Author, r.now)
	}
	if err := r.settle(ctx, o.Settle); err != nil {
		return refuse(err)
	}
	r.draftOf[i] = draft
	r.byID[it.span.ID] = placed{
		ref:         standing.Ref{ID: it.span.ID, Seq: seq, Author: it.span.Author, HeaderHash: it.hash},
		payloadHash: it.span.PayloadHash, span: it.span, decision: d.Decision, draft: draft,
	}
	return answer{Result: Result{Outcome: Created, Decision: d.Decision, Foresight: o}}
}

// wait keeps a span that waits for votes, which may be in the same batch.
func (r *round) wait(sp *span.Span) {
	if r.waiting == nil {
		r.waiting = make(map[string]*span.Span)
	}
	r.waiting[sp.ID] = sp
}

func refuse(err error) answer { return answer{Result: Result{Err: err}} }

// isRepeat tells whether a spent id was spent by the very same span.
func isRepeat(f timeline.Found, hash span.Hash) bool {
	return f.SpentBy == timeline.SpentByEntry && f.Ref.HeaderHash == hash
}

// recordedBefore answers a span whose id is spent, in the log or in this batch.
func (r *round) recordedBefore(ctx context.Context, i int, it *item) (answer, bool) {
	if f, ok := r.found[it.span.ID]; ok {
		if isRepeat(f, it.hash) {
			seq := f.Ref.Seq
			return answer{Result: Result{Outcome: Repeat}, repeats: &seq}, true
		}
		hash := ""
		if f.SpentBy == timeline.SpentByEntry && f.Record.Entry != nil {
			hash = f.Record.Entry.Span.PayloadHash
		}
		if f.SpentBy == timeline.SpentByDecision {
			return refuse(r.refusedBefore(ctx, it, &f)), true
		}
		return refuse(r.conflict(ctx, it, f.Ref, hash)), true
	}
	earlier, ok := r.byID[it.span.ID]
	if !ok {
		return answer{}, false
	}
	if earlier.ref.HeaderHash != it.hash {
		return refuse(r.conflict(ctx, it, earlier.ref, earlier.payloadHash)), true
	}
	r.draftOf[i] = earlier.draft
	return answer{Result: Result{Outcome: Repeat, Decision: earlier.decision}}, true
}
