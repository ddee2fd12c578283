package fsck

import (
	"bytes"
	"context"
	"fmt"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// notesPage is how many checkpoints are read at once.
const notesPage = 500

// nextNote is the checkpoint with the smallest size not looked at yet.
func (c *check) nextNote(ctx context.Context) (*timeline.Note, error) {
	if len(c.notes) == 0 && !c.notesDone {
		page, err := c.snap.Checkpoints(ctx, c.tenant.ID, c.noteAfter, notesPage)
		if err != nil {
			return nil, err
		}
		if c.notesDone = len(page) == 0; !c.notesDone {
			c.notes, c.noteAfter = page, page[len(page)-1].Size
		}
	}
	if len(c.notes) == 0 {
		return nil, nil
	}
	return &c.notes[0], nil
}

// checkpoints looks at everything that was said about the size reached.
func (c *check) checkpoints(ctx context.Context) error {
	if g := c.opt.Note; g != nil && g.Size == c.next && !c.missing && !c.rootless && c.lines.Root() != g.Root && c.leaves.Root() != g.Root {
		c.res.add(Finding{Kind: KindNote, Do: "find out which of the two histories is the right one; restore a backup, or serve once with --new-epoch", Detail: fmt.Sprintf(
			"a checkpoint of %d entries with the root %s was given out, and the database has other entries up to there", g.Size, g.Root)})
	}
	n, err := c.nextNote(ctx)
	if err != nil || n == nil || n.Size > c.next {
		return err
	}
	c.notes = c.notes[1:]
	c.res.Checkpoints++
	c.note(n)
	return nil
}

// note checks the checkpoint of the size reached.
func (c *check) note(n *timeline.Note) {
	bad := func(format string, args ...any) {
		c.res.add(Finding{Kind: KindCheckpoint, Detail: fmt.Sprintf("the checkpoint of %d entries %s", n.Size, fmt.Sprintf(format, args...))})
	}
	parsed, err := tree.ParseNote(n.Text)
	if err != nil {
		bad("cannot be read: %s", reason(err))
		return
	}
	if parsed.Size != n.Size || parsed.Origin.Tenant != c.tenant.ID {
		bad("is one of %d entries of %s", parsed.Size, parsed.Origin)
		return
	}
	if !c.unfolded {
		origin, vkey, err := c.writer()
		switch {
		case err != nil:
			bad("cannot be checked: %s", reason(err))
			return
		case parsed.Origin != origin:
			bad("is of %s; at that size %s writes", parsed.Origin, origin)
			return
		}
		if err := parsed.Verify(vkey); err != nil {
			bad("is not signed by the log's key of that size: %s", reason(err))
			return
		}
	}
	if c.rootFits(n.Size, parsed) {
		c.signed, c.lastNote = n.Size, n.Text
	}
}

// writer is who signs at this size.
func (c *check) writer() (tree.Origin, string, error) {
	v := c.fold.View()
	n, _ := v.Epoch()
	origin := tree.Origin{Tenant: v.Tenant(), Node: v.Node(), Epoch: n}
	if key, ok := c.vkey[origin]; ok {
		return origin, key, nil
	}
	origin, key, err := timeline.Writer(v)
	if err == nil {
		c.vkey = map[tree.Origin]string{origin: key}
	}
	return origin, key, err
}

// rootFits holds the tree against what was signed. Where the lines do not make
// the root, the stored leaf hashes may still tell which lines were altered.
func (c *check) rootFits(size uint64, n *tree.Note) bool {
	suspects := c.suspects
	c.suspects = nil
	if c.missing || c.rootless {
		return false
	}
	switch n.Root {
	case c.lines.Root():
		c.leaves = c.lines.Clone() // wrong leaf hashes are the index's matter
		return true
	case c.leaves.Root():
		for _, seq := range suspects {
			if !c.blind[seq] {
				c.res.at(seq, KindLine, "the line was altered: the leaf hash stored beside it is the signed one, and not that of the line")
				c.blind[seq] = true
			}
		}
		c.lines = c.leaves.Clone()
		return true
	}
	c.rootless = true
	c.res.Unchecked = append(c.res.Unchecked, fmt.Sprintf("the tree beyond %d entries", c.signed))
	c.res.at(c.signed, KindLine, "some entry from %d to %d was altered: they do not make the root that the checkpoint of %d entries signs", c.signed, size-1, size)
	return false
}

// beyond looks at checkpoints of more entries than there are.
func (c *check) beyond(ctx context.Context) error {
	for {
		n, err := c.nextNote(ctx)
		if err != nil {
			return err
		}
		if n == nil {
			break
		}
		c.notes = c.notes[1:]
		c.res.Checkpoints++
		if n.Size > c.next {
			c.res.at(c.next, KindLine, "entries from %d on are missing: there is a checkpoint of %d entries", c.next, n.Size)
			c.missing = true
		}
	}
	if g := c.opt.Note; g != nil && g.Size > c.next {
		c.res.add(Finding{Kind: KindNote, Do: "bring back the newer database, or serve once with --new-epoch", Detail: fmt.Sprintf(
			"a checkpoint of %d entries was given out and the database has %d: it is an older copy", g.Size, c.next)})
	}
	if g := c.opt.Note; g != nil && !c.unfolded && c.next > 0 {
		if n, _ := c.fold.View().Epoch(); g.Origin.Node == c.fold.View().Node() && g.Origin.Epoch > n {
			c.res.add(Finding{Kind: KindNote, Do: "bring back the newer database, or serve once with --new-epoch", Detail: fmt.Sprintf(
				"a checkpoint of epoch %d was given out and the database is at epoch %d: it is an older copy", g.Origin.Epoch, n)})
		}
	}
	if c.signed < c.next && !c.missing && !c.rootless {
		c.unsigned()
	}
	return nil
}

// unsigned are entries at the end that no checkpoint in its place covers. The
// head's own copy may do so.
func (c *check) unsigned() {
	detail := fmt.Sprintf("no valid checkpoint covers the entries from %d to %d", c.signed, c.next-1)
	if n, err := tree.ParseNote(c.head.Checkpoint); err == nil && !c.unfolded && n.Size == c.next && n.Root == c.lines.Root() {
		if origin, vkey, err := c.writer(); err == nil && n.Origin == origin && n.Verify(vkey) == nil {
			c.lastNote, c.signed = c.head.Checkpoint, c.next
			detail += "; only the head's copy does"
		}
	}
	c.res.add(Finding{Kind: KindCheckpoint, Detail: detail,
		Do: "restore a backup; or append: the next checkpoint covers these entries too, which then have no receipt of their own time"})
}

// trustworthy says whether the lines are known to be what was signed.
func (c *check) trustworthy() bool {
	return c.next > 0 && !c.missing && !c.rootless && len(c.blind) == 0 && c.signed == c.next && c.lastNote != nil
}

// sound says whether everything derived can be derived again.
func (c *check) sound() bool { return c.trustworthy() && !c.unfolded }

// derivedHead is the head that the lines make.
func (c *check) derivedHead() timeline.Head {
	return timeline.Head{Size: c.next, Root: c.lines.Root(), RecordedAt: c.last, Checkpoint: bytes.Clone(c.lastNote), Edge: c.lines.Hashes()}
}
