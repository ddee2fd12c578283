package timeline

import (
	"context"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// foldLimit is how many entries of other processes are folded one by one;
// further behind, the state rows are read instead.
const foldLimit = 1000

// live is what this process holds of one tenant's timeline: the state at a
// committed head. It never holds anything that is not committed.
type live struct {
	id   string
	turn chan struct{} // holds one token; whoever took it may change the rest

	mu    sync.RWMutex    // guards the rest and the content of state against readers
	state *standing.State // nil: not loaded, or doubtful
	head  Head            // what state and view are as of
	view  standing.View

	tailing sync.Mutex // guards tails
	tails   []*Tail

	// Only for the holder of the turn.
	noteRead bool             // given has been read from the disk
	given    *tree.Checkpoint // the last checkpoint known to be given out
	shown    extension        // what a fold has shown, so that no hash has to be read for it
	onDisk   uint64           // size of the note on the disk
	kept     kept             // what the file of notes has
	signer   *tree.Signer     // of the last checkpoint; nil: none was signed
	lostAt   time.Time        // when another process came first; zero for never
	wonAt    time.Time        // when this process appended; zero for never
	wrongAt  time.Time        // when a guess took a spent id for a new one; zero for never
	rows     rowCache         // decision rows
}

// extension says that the timeline as of size and root extends a checkpoint.
type extension struct {
	of   *tree.Checkpoint
	size uint64
	root span.Hash
}

// extends says whether what was shown is that a head extends the checkpoint
// known to be given out.
func (lv *live) extends(head Head) bool {
	return lv.shown.of != nil && lv.shown.of == lv.given && lv.shown.size == head.Size && lv.shown.root == head.Root
}

// mayGuess says whether the head is likely to be where this process left it, and
// new spans to be new: it appended within that time, and neither met another
// process nor a span that was recorded before.
func (lv *live) mayGuess(within time.Duration) bool {
	lately := func(t time.Time) bool { return !t.IsZero() && time.Since(t) <= within }
	return lv.state != nil && lately(lv.wonAt) && !lately(lv.lostAt) && !lately(lv.wrongAt)
}

func newLive(id string) *live {
	lv := &live{id: id, turn: make(chan struct{}, 1)}
	lv.turn <- struct{}{}
	return lv
}

// take waits for the turn.
func (lv *live) take(ctx context.Context) error {
	select {
	case <-lv.turn:
		return nil
	case <-ctx.Done():
		return interrupted(ctx)
	}
}

func (lv *live) release() { lv.turn <- struct{}{} }

// forget drops what is held, so that the next use reads it from the store.
func (lv *live) forget() {
	lv.miss()
	lv.mu.Lock()
	defer lv.mu.Unlock()
	lv.state, lv.view = nil, nil
}

// publish makes a state the committed one. Readers of an earlier view keep it.
func (lv *live) publish(state *standing.State, head Head) {
	lv.mu.Lock()
	defer lv.mu.Unlock()
	if lv.state != state {
		lv.state, lv.view = state, &sharedView{mu: &lv.mu, view: state}
	}
	lv.head = head
}

// committed is the view as of size or later, nil when this process has none.
func (lv *live) committed(size uint64) standing.View {
	lv.mu.RLock()
	defer lv.mu.RUnlock()
	if lv.state == nil || lv.head.Size < size {
		return nil
	}
	return lv.view
}

// Standing is the standing at the committed head. The view stays consistent in
// itself and may move on with the head while it is used. It may wait for the
// tenant's turn: whoever holds a Session asks that instead.
func (l *Log) Standing(ctx context.Context, tenant string) (standing.View, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, err
	}
	head, err := l.store.Head(ctx, id)
	if err != nil {
		return nil, err
	}
	lv := l.live(id)
	if v := lv.committed(head.Size); v != nil {
		return v, nil
	}
	if err := lv.take(ctx); err != nil {
		return nil, err
	}
	defer lv.release()
	if err := l.refresh(ctx, lv); err != nil {
		return nil, err
	}
	return lv.committed(0), nil
}

// refresh brings lv to the store's head. The caller holds the turn.
func (l *Log) refresh(ctx context.Context, lv *live) error {
	if lv.state == nil {
		return l.load(ctx, lv)
	}
	head, err := l.store.Head(ctx, lv.id)
	if err != nil {
		return err
	}
	switch {
	case head.Size == lv.head.Size && head.Root == lv.head.Root:
		return nil
	case head.Size > lv.head.Size && head.Size-lv.head.Size <= foldLimit:
		if err := l.fold(ctx, lv, head); err == nil || fault.KindOf(err) == fault.Unavailable {
			return err
		}
		// A fold that fails has a reason that the rows do not share, or shows
		// it when they are read.
	}
	return l.load(ctx, lv)
}

// load reads the state rows and the head they belong to.
func (l *Log) load(ctx context.Context, lv *live) error {
	head, rows, err := l.store.State(ctx, lv.id)
	if err != nil {
		return err
	}
	if err := checkHead(lv.id, head); err != nil {
		return err
	}
	state, err := standing.Load(l.verify, rows)
	if err != nil {
		return err
	}
	lv.publish(state, head)
	return nil
}

// checkHead holds the parts of a head against each other.
func checkHead(tenant string, h Head) error {
	edge, err := tree.NewRange(0, h.Size, h.Edge)
	if err == nil && edge.Root() == h.Root {
		n, noteErr := tree.ParseNote(h.Checkpoint)
		if err = noteErr; err == nil && n.Size == h.Size && n.Root == h.Root && n.Origin.Tenant == tenant {
			return nil
		}
	}
	return fault.Newf(fault.Internal, "head_damaged",
		"the stored head of tenant %s contradicts itself; check the timeline with fsck or restore a backup", tenant).Because(err)
}

// fold catches up with entries that another process appended. It rebuilds the
// tree from the lines, so that what it arrives at extends what was held.
func (l *Log) fold(ctx context.Context, lv *live, head Head) error {
	edge, err := tree.NewRange(0, lv.head.Size, lv.head.Edge)
	if err != nil {
		return err
	}
	look := &lookup{log: l, ctx: ctx, tenant: lv.id}
	tx := lv.state.Begin()
	for seq := lv.head.Size; seq < head.Size; {
		records, err := l.store.Range(ctx, lv.id, seq, head.Size)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return ErrHashesMissing(0, seq, head.Size)
		}
		for i := range records {
			r := &records[i]
			e, err := span.ParseLine(r.Line)
			if err != nil {
				return err
			}
			edge.Append(span.LeafHash(r.Line), nil)
			look.status = statusThen(e.Span.Type)
			if _, err := tx.Apply(e, r.Payload, look.ref); err != nil {
				return err
			}
			if look.err != nil {
				return look.err
			}
			seq++
		}
	}
	if edge.Root() != head.Root {
		return fault.Newf(fault.Internal, "root_mismatch",
			"the lines of tenant %s do not make the stored root at size %d; check the timeline with fsck", lv.id, head.Size)
	}
	if g := lv.given; g != nil && (g.Size == lv.head.Size && g.Root == lv.head.Root || lv.extends(lv.head)) {
		lv.shown = extension{of: g, size: head.Size, root: head.Root}
	}
	lv.mu.Lock()
	tx.Commit()
	lv.mu.Unlock()
	lv.publish(lv.state, head)
	return nil
}

// lookup answers standing's questions about earlier spans from the store. It
// lives as long as one operation, whose context it therefore keeps.
type lookup struct {
	log    *Log
	ctx    context.Context
	tenant string
	status string // of every answer, where the fold is behind the store; "" as stored
	err    error  // the first failure; answers after it mean nothing
}

// statusThen is the status a target had when an entry of this type, which was
// accepted, acted on it; later entries may have changed it.
func statusThen(typ string) string {
	switch typ {
	case span.TypeApproval, span.TypeResolution:
		return StatusPending
	case span.TypeRevert:
		return StatusExecuted
	}
	return ""
}

func (k *lookup) ref(spanID string) (standing.Ref, bool) {
	found, err := k.log.find(k.ctx, k.tenant, []string{spanID}, false)
	if err != nil {
		if k.err == nil {
			k.err = err
		}
		return standing.Ref{}, false
	}
	f, ok := found[spanID]
	if k.status != "" {
		f.Ref.Status = k.status
	}
	return f.Ref, ok && f.SpentBy == SpentByEntry
}

// find looks up what spent ids. full also reads payload, salt and detail.
func (l *Log) find(ctx context.Context, tenant string, ids []string, full bool) (map[string]Found, error) {
	spent, err := l.store.Spent(ctx, tenant, ids)
	if err != nil || len(spent) == 0 {
		return nil, err
	}
	asked := make([]string, 0, len(spent))
	seqs := make([]uint64, 0, len(spent))
	for id, by := range spent {
		asked, seqs = append(asked, id), append(seqs, by.Seq)
	}
	records, err := l.store.At(ctx, tenant, seqs, full)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Found, len(spent))
	for i, id := range asked {
		if i >= len(records) || records[i].Seq != seqs[i] {
			return nil, ErrHashesMissing(0, seqs[i], seqs[i]+1)
		}
		if err := records[i].parse(); err != nil {
			return nil, err
		}
		out[id] = Found{Ref: records[i].ref(), Record: records[i], SpentBy: spent[id].By}
	}
	return out, nil
}

// parse fills Entry.
func (r *Record) parse() error {
	e, err := span.ParseLine(r.Line)
	if err != nil {
		return fault.Newf(fault.Internal, "line_damaged", "the stored line of entry %d cannot be read; check the timeline with fsck", r.Seq).Because(err)
	}
	r.Entry = e
	return nil
}

// ref is a record as standing refers to it.
func (r *Record) ref() standing.Ref {
	h := &r.Entry.Span
	return standing.Ref{
		ID: h.ID, Seq: r.Seq, Author: h.Author, OnBehalfOf: h.OnBehalfOf, Type: h.Type,
		Visibility: h.Visibility, Status: r.Status, HeaderHash: h.Hash(),
	}
}

// VisibleTo says whether a reader may see the record; Entry must be set.
func (r *Record) VisibleTo(reader standing.Reader) bool {
	h := &r.Entry.Span
	return standing.MayRead(reader, h.Visibility, h.Author, h.OnBehalfOf)
}

func interrupted(ctx context.Context) error {
	return fault.New(fault.Unavailable, "interrupted",
		"the operation was interrupted before it finished; send it again, nothing is recorded twice").Because(context.Cause(ctx))
}
