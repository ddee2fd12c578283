package fsck

import (
	"context"
	"encoding/binary"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// wordBlocks are digests of what the index of words must hold, one for each
// complete block, made while the lines are read.
type wordBlocks struct {
	open    *words.Block // nil where a block has entries of which something is not known
	due     uint64       // the seq that the open block goes on with
	digests map[uint64]span.Hash
}

// add takes the entries in order; nothing is known of the block of one that is
// missing.
func (w *wordBlocks) add(r *timeline.Record, known bool) {
	if r.Seq%words.Size == 0 {
		w.open, w.due = words.NewBlock(), r.Seq
	}
	if w.open == nil || r.Seq != w.due || !known || timeline.AddWords(w.open, r) != nil {
		w.open = nil
		return
	}
	if w.due++; w.due%words.Size != 0 {
		return
	}
	var sum span.Hash
	for _, p := range w.open.Pages() {
		sum = chain(sum, p)
	}
	w.digests[r.Seq/words.Size] = sum
	w.open = nil
}

// chain is the digest of pages up to p.
func chain(sum span.Hash, p words.Page) span.Hash {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(p.First)))
	return span.Sum(sum[:], size[:], []byte(p.First), p.Data)
}

// checkWords compares the index of words, where the store keeps one, with the
// entries. A block that is not indexed yet is nothing wrong, unless the index
// says that it is.
func (c *check) checkWords(ctx context.Context) error {
	snap, ok := c.snap.(timeline.WordSnapshot)
	if !ok {
		return nil
	}
	at, err := snap.Indexed(ctx, c.tenant.ID)
	if err != nil {
		return err
	}
	stored, older := map[uint64]span.Hash{}, map[uint64]bool{}
	if err := snap.WordPages(ctx, c.tenant.ID, func(block uint64, p words.Page) error {
		older[block] = older[block] || words.Older(p.Data)
		stored[block] = chain(stored[block], p)
		return nil
	}); err != nil {
		return err
	}
	wrong, lost := 0, 0
	complete := c.next / words.Size
	for block, sum := range stored {
		want, known := c.words.digests[block]
		if block >= complete || known && sum != want && !older[block] {
			wrong++
		}
	}
	for block := range min(at.Blocks, complete) {
		if _, ok := stored[block]; !ok && at.Version == words.Version {
			lost++
		}
	}
	if wrong > 0 {
		c.res.derived(KindIndex, "the index of words is not that of the entries in %d blocks of %d", wrong, words.Size)
	}
	if lost > 0 || at.Blocks > complete {
		c.res.derived(KindIndex, "the index of words says that %d blocks of %d entries are in it, and lacks %d of them", at.Blocks, words.Size, max(lost, int(at.Blocks)-int(complete)))
	}
	return nil
}
