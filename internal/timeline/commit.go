package timeline

import (
	"context"
	"errors"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// resolveTimeout is for asking the store what became of a doubtful commit.
const resolveTimeout = 5 * time.Second

// Commit appends what was admitted, in one transaction with the checkpoint of
// the new size, and returns the receipts in order; none where nothing was
// admitted. The session is at its end either way.
//
// After ErrHeadMoved and ErrSpent nothing was written: begin again and decide
// again. After commit_unknown the entries may be recorded or not; beginning
// again and finding their ids tells. Entries are recorded, but their
// checkpoint not given out, after checkpoint_note_unwritable.
func (s *Session) Commit(ctx context.Context) ([]Receipt, error) {
	if s.err != nil {
		return nil, s.err
	}
	if s.rehearsed {
		return nil, fault.New(fault.Internal, "session_rehearsed", "what was rehearsed is not committed")
	}
	defer s.fail(fault.New(fault.Internal, "session_committed", "the session has committed; begin another one"))
	if len(s.admitted) == 0 {
		return nil, nil
	}
	b, grown, err := s.batch()
	if err != nil {
		return nil, err
	}
	if err := s.append(ctx, b); err != nil {
		return nil, err
	}
	g := tree.Checkpoint{Origin: s.origin(), Size: b.Head.Size, Root: b.Head.Root}
	s.lv.given = &g
	if err := s.log.notes.write(s.lv.id, &s.lv.kept, b.Head.Checkpoint); err != nil {
		s.lv.miss()
		return nil, err // onDisk stays behind: the next session writes it first
	}
	s.lv.onDisk = b.Head.Size
	s.lv.tell(b, s.admitted)
	return s.receipts(b, grown)
}

// append gives the batch to the store and makes its outcome this process's
// state. Where the outcome is unknown, the store is asked: never the memory.
func (s *Session) append(ctx context.Context, b *Batch) error {
	err := s.held.Append(ctx, b)
	switch {
	case err == nil:
		s.lv.mu.Lock()
		s.tx.Commit()
		s.lv.mu.Unlock()
		s.lv.publish(s.lv.state, b.Head)
		s.keepRows(b)
		s.lv.wonAt = time.Now()
		return nil
	case errors.Is(err, ErrSpent) && s.guess:
		s.lv.wrongAt = time.Now()
		return err
	case errors.Is(err, ErrHeadMoved), errors.Is(err, ErrSpent), errors.Is(err, ErrTenantTaken):
		s.lv.lostAt = time.Now()
		return err
	}
	s.lv.forget()
	if s.persisted(ctx, b) {
		// The state is read again by the next session; only the head is needed here.
		return nil
	}
	f := fault.From(err)
	if f.Kind == fault.Unavailable {
		return err
	}
	return fault.New(fault.Unavailable, "commit_unknown",
		"the store failed while recording; whether it was recorded is not known: send the same spans again, none is recorded twice").
		After(time.Second).Because(err)
}

// persisted says whether the store surely holds the batch after all: its
// checkpoint at the batch's size is the batch's own.
func (s *Session) persisted(ctx context.Context, b *Batch) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	size, note, err := s.log.store.Checkpoint(ctx, b.Tenant, b.Head.Size-1)
	return err == nil && size == b.Head.Size && string(note) == string(b.Head.Checkpoint)
}

// batch makes the transaction of everything admitted.
func (s *Session) batch() (*Batch, *tree.Batch, error) {
	if !standing.LogKeyStands(s.tx) {
		return nil, nil, fault.New(fault.Internal, "log_key_ended",
			"the batch ends the log key's delegation without a new one, so that no checkpoint of it would verify")
	}
	leaves := make([]span.Hash, len(s.admitted))
	for i := range s.admitted {
		leaves[i] = s.admitted[i].leaf
	}
	grown, err := tree.NewBatch(s.edge, leaves)
	if err != nil {
		return nil, nil, err
	}
	checkpoint := tree.Checkpoint{Origin: s.origin(), Size: grown.Size(), Root: grown.Root()}
	note, err := s.sign(checkpoint)
	if err != nil {
		return nil, nil, err
	}
	b := &Batch{
		Tenant: s.lv.id, ExpectedSize: s.head.Size, ExpectedRoot: s.head.Root, Create: s.create, Epoch: s.epoch,
		Rows: make([]Row, len(s.admitted)), Spent: make([]SpentID, 0, len(s.admitted)), Subtrees: grown.Subtrees(),
		Head:  Head{Size: grown.Size(), Root: grown.Root(), RecordedAt: s.last, Checkpoint: note, Edge: grown.Edge().Hashes()},
		State: s.stateRows(), Statuses: s.changes, Redacted: s.redacted, Embedded: s.embedded,
	}
	for i := range s.admitted {
		b.Rows[i] = s.admitted[i].row()
		b.Spent = append(b.Spent, s.admitted[i].spent...)
	}
	return b, grown, nil
}

// sign signs a checkpoint by the signer that the timeline's last one was signed
// by, unless that was of another epoch or key.
func (s *Session) sign(c tree.Checkpoint) ([]byte, error) {
	key := s.log.signer.LogKey()
	if !s.lv.signer.Is(c.Origin, key) {
		signer, err := tree.NewSigner(c.Origin, key, s.log.signer.SignLog)
		if err != nil {
			return nil, err
		}
		s.lv.signer = signer
	}
	return s.lv.signer.Sign(c)
}

// origin is that of the checkpoint that ends the session.
func (s *Session) origin() tree.Origin {
	n, _ := s.tx.Epoch()
	return tree.Origin{Tenant: s.tx.Tenant(), Node: s.tx.Node(), Epoch: n}
}

func (s *Session) receipts(b *Batch, grown *tree.Batch) ([]Receipt, error) {
	out := make([]Receipt, len(s.admitted))
	for i := range s.admitted {
		a := &s.admitted[i]
		proof, err := grown.Inclusion(a.entry.Seq)
		if err != nil {
			return nil, err
		}
		out[i] = Receipt{
			Line: a.line, Leaf: a.leaf, Checkpoint: b.Head.Checkpoint, Index: a.entry.Seq, Size: b.Head.Size, Proof: proof,
		}
	}
	return out, nil
}

// row is an entry with the fields that a store filters by.
func (a *admitted) row() Row {
	sp := a.draft.Span
	return RowOf(&Record{Line: a.line, Leaf: a.leaf, Entry: a.entry, Payload: sp.Payload, Salt: sp.Salt, Detail: a.draft.Detail})
}
