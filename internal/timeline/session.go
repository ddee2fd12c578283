package timeline

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// maxDecision is the largest decision that becomes an entry, in bytes of JCS
// (PROTOCOL §4).
const maxDecision = 32 << 10

// Session is one turn at the end of a timeline: drafts are admitted one after
// the other, each decided on what stands before it, and committed together.
// It holds the tenant's turn in this process from Begin to Close. Not safe for
// concurrent use. It lives as long as one operation, whose context it keeps.
type Session struct {
	log  *Log
	lv   *live
	ctx  context.Context
	head Head
	tx   *standing.Tx
	edge *tree.Range

	last     string // recorded_at of the entry before the next
	admitted []admitted
	changes  []standing.StatusChange
	redacted []uint64
	embedded []string
	found    map[string]Found // by spent id: what the store said, and what was admitted
	unspent  map[string]bool  // ids the store said are unspent
	rows     *overlay         // decision rows; nil until they are asked for

	ahead   func(i int, state DecisionState) bool // asks what the next spans will; nil: nobody knows
	foresaw int                                   // how many spans were looked at ahead

	create *Tenant // for a timeline that begins
	epoch  *Epoch  // for an epoch that begins
	epochN uint64  // its number

	held  Held // the head, where this process has it to itself
	guess bool // the head is as this process knows it, and nobody asked the store

	rehearsed bool // nothing is ever committed

	err    error // why nothing more can be admitted or committed
	closed bool
}

// admitted is an entry that is not committed yet.
type admitted struct {
	draft Draft
	entry *span.Entry
	line  []byte
	leaf  span.Hash
	spent []SpentID
}

// Begin takes the tenant's turn, catches up with the store and makes sure that
// this node may sign on: it writes the timeline (timeline_read_only), the log
// key is its own (log_key_mismatch) and the
// head extends the last checkpoint given out (checkpoint_regression). The
// caller closes the session.
func (l *Log) Begin(ctx context.Context, tenant string) (*Session, error) {
	return l.take(ctx, tenant, false)
}

// Guess is Begin on the head as this process knows it, where it appended a
// moment ago and met nobody: it does not ask the store, and ids are not looked
// up when they are admitted. If the guess was wrong Commit says ErrHeadMoved or
// ErrSpent, so that what was admitted needs no more care than with Begin; what
// else the caller concludes from the session holds only after Confirm.
func (l *Log) Guess(ctx context.Context, tenant string) (*Session, error) {
	return l.take(ctx, tenant, true)
}

func (l *Log) take(ctx context.Context, tenant string, guess bool) (*Session, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, err
	}
	lv, err := l.existing(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := lv.take(ctx); err != nil {
		return nil, err
	}
	s, err := l.begin(ctx, lv, guess && lv.mayGuess(l.cfg.Contention))
	if err != nil {
		lv.release()
		return nil, err
	}
	return s, nil
}

func (l *Log) begin(ctx context.Context, lv *live, guess bool) (*Session, error) {
	held, err := l.hold(ctx, lv)
	if err != nil {
		return nil, err
	}
	s, err := l.beginOn(ctx, lv, guess)
	if err != nil {
		held.Close()
		return nil, err
	}
	s.held, s.guess = held, guess
	return s, nil
}

// hold takes the head for this process alone where others were in its way
// lately: processes that meet take turns then, instead of deciding in vain.
func (l *Log) hold(ctx context.Context, lv *live) (Held, error) {
	store, can := l.store.(Holder)
	if !can || lv.lostAt.IsZero() || time.Since(lv.lostAt) > l.cfg.Contention {
		return racing{l.store}, nil
	}
	held, err := store.Hold(ctx, lv.id)
	if err != nil {
		return nil, err
	}
	if held == nil {
		return racing{l.store}, nil
	}
	return held, nil
}

// racing holds nothing: the first to append wins.
type racing struct{ Appender }

func (racing) Close() {}

// beginOn opens a session on the head as it is now, or as it is guessed to be.
func (l *Log) beginOn(ctx context.Context, lv *live, guess bool) (*Session, error) {
	if !guess {
		if err := l.refresh(ctx, lv); err != nil {
			return nil, err
		}
	}
	if err := l.ownsKey(lv.state); err != nil {
		return nil, err
	}
	if err := l.agree(ctx, lv); err != nil {
		return nil, err
	}
	return l.session(ctx, lv)
}

// session opens a session on what lv holds.
func (l *Log) session(ctx context.Context, lv *live) (*Session, error) {
	edge, err := tree.NewRange(0, lv.head.Size, lv.head.Edge)
	if err != nil {
		return nil, err
	}
	return &Session{
		log: l, lv: lv, ctx: ctx, head: lv.head, tx: lv.state.Begin(), edge: edge, last: lv.head.RecordedAt,
		found: map[string]Found{}, unspent: map[string]bool{}, held: racing{l.store},
	}, nil
}

// CodeReadOnly is the code of the refusal to append to a timeline of another node.
const CodeReadOnly = "timeline_read_only"

// ownsKey says whether this node writes the timeline now.
func (l *Log) ownsKey(v standing.View) error {
	if v.Node() == l.signer.NodeID() && v.LogKey() == tree.EncodeLogKey(l.signer.LogKey()) {
		return nil
	}
	if v.Node() != l.signer.NodeID() {
		return fault.Newf(fault.Conflict, CodeReadOnly,
			"the timeline of tenant %s is written by node %s and was imported here, where it is read-only; send spans for it to that node", v.Tenant(), v.Node())
	}
	return fault.Newf(fault.Unavailable, "log_key_mismatch",
		"the timeline of tenant %s is written by node %s under a log key that this node (%s) does not hold, so nothing can be appended here; "+
			"bring back the keys of that node",
		v.Tenant(), v.Node(), l.signer.NodeID())
}

// Head is the committed head that the session builds on.
func (s *Session) Head() Head { return s.head }

// Confirm makes sure that a guessed head is the store's, ErrHeadMoved where it is
// not, and that none of these ids is spent in the store, ErrSpent where one is.
// From then on the session is one of Begin.
func (s *Session) Confirm(ctx context.Context, ids []string) error {
	if !s.guess {
		return nil
	}
	head, err := s.log.store.Head(ctx, s.lv.id)
	if err != nil {
		return err
	}
	if head.Size != s.head.Size || head.Root != s.head.Root {
		s.lv.lostAt = time.Now()
		return ErrHeadMoved
	}
	found, err := s.Find(ctx, ids)
	if err != nil {
		return err
	}
	for _, f := range found {
		if !f.Pending {
			s.lv.wrongAt = time.Now()
			return ErrSpent
		}
	}
	s.guess = false
	return nil
}

// Rehearse makes the session one in which everything is tried and nothing is ever
// committed: it admits simulated spans like executed ones, and Commit fails.
func (s *Session) Rehearse() { s.rehearsed = true }

// Guessed says whether the session rests on a guess that nobody confirmed.
func (s *Session) Guessed() bool { return s.guess }

// Tx is the standing after everything admitted so far. It is read by the
// caller and changed only by Admit.
func (s *Session) Tx() *standing.Tx { return s.tx }

// Find says which of the ids are spent: in the store, or by what this session
// admitted. Unspent ids are absent.
func (s *Session) Find(ctx context.Context, ids []string) (map[string]Found, error) {
	var ask []string
	for _, id := range ids {
		if _, known := s.found[id]; !known && !s.unspent[id] {
			ask = append(ask, id)
		}
	}
	if len(ask) > 0 {
		found, err := s.log.findAt(ctx, s.lv.id, ask, s.create != nil)
		if err != nil {
			return nil, err
		}
		for _, id := range ask {
			if f, ok := found[id]; ok {
				s.found[id] = f
			} else {
				s.unspent[id] = true
			}
		}
	}
	out := make(map[string]Found)
	for _, id := range ids {
		if f, ok := s.found[id]; ok {
			out[id] = f
		}
	}
	return out, nil
}

// findAt is find, where a tenant that is being created has nothing yet.
func (l *Log) findAt(ctx context.Context, tenant string, ids []string, creating bool) (map[string]Found, error) {
	if creating {
		return nil, nil
	}
	return l.find(ctx, tenant, ids, false)
}

// look answers the rules' questions about earlier spans.
func (s *Session) look(spanID string) (standing.Ref, bool) {
	found, err := s.Find(s.ctx, []string{spanID})
	if err != nil {
		s.fail(err)
		return standing.Ref{}, false
	}
	f, ok := found[spanID]
	return f.Ref, ok && f.SpentBy == SpentByEntry
}

func (s *Session) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Close ends the session and passes the turn on; what is not committed is
// gone. Closing twice is harmless.
func (s *Session) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.fail(fault.New(fault.Internal, "session_closed", "the session has ended"))
	s.held.Close()
	s.lv.release()
}
