package timeline

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// notes keeps the last checkpoint given out of each tenant in files of its own,
// <tenant id>.note. It is the memory that a restored database does not have.
type notes struct{ dir string } // "" keeps nothing

func (n notes) path(tenant string) string { return filepath.Join(n.dir, tenant+".note") }

// read is what the disk has of a tenant's notes, and the newest taken apart, nil
// when there is none.
func (n notes) read(tenant string) (kept, *tree.Checkpoint, error) {
	if n.dir == "" {
		return kept{}, nil, nil
	}
	k, err := readKept(n.path(tenant))
	if errors.Is(err, fs.ErrNotExist) || err == nil && k.note == nil {
		return k, nil, nil
	}
	var parsed *tree.Note
	if err == nil {
		parsed, err = tree.ParseNote(k.note)
	}
	if err != nil || parsed.Origin.Tenant != tenant {
		return k, nil, fault.Newf(fault.Unavailable, "checkpoint_note_unreadable",
			"the last checkpoint given out, %s, cannot be read, so nothing is signed; if the database is surely not an older copy, remove the file", n.path(tenant)).Because(err)
	}
	return k, &parsed.Checkpoint, nil
}

// GivenOut is the last checkpoint given out of a tenant as a NotesDir keeps it,
// nil where it has none.
func GivenOut(notesDir, tenant string) (*tree.Checkpoint, error) {
	_, g, err := notes{notesDir}.read(tenant)
	return g, err
}

// GivenOutNote is the signed text of GivenOut.
func GivenOutNote(notesDir, tenant string) ([]byte, error) {
	k, _, err := notes{notesDir}.read(tenant)
	return k.note, err
}

// write keeps the note beside those before it. Not every note is flushed to the
// medium: after a power failure the database, whose commits are, has at least as
// much as the file; only together with a database restored from an older copy,
// in that very second, would the difference matter.
func (n notes) write(tenant string, k *kept, note []byte) error {
	if n.dir == "" {
		return nil
	}
	if err := k.write(n.path(tenant), note); err != nil {
		return fault.Newf(fault.Unavailable, "checkpoint_note_unwritable",
			"the entries are recorded, but the checkpoint could not be kept in %s, so it is not given out; make the directory writable and send the request again", n.dir).Because(err)
	}
	return nil
}

// agree makes sure that the head of the turn's holder extends the last
// checkpoint known to be given out, and that the disk has a note of it.
func (l *Log) agree(ctx context.Context, lv *live) error {
	if err := l.recall(lv); err != nil {
		return err
	}
	if g := lv.given; g != nil && (g.Size != lv.head.Size || g.Root != lv.head.Root) && !lv.extends(lv.head) {
		if l.renewed(lv) {
			lv.given = nil
			return l.adopt(lv)
		}
		if g.Size > lv.head.Size {
			return regression(lv, g)
		}
		root, err := tree.Root(ctx, hashes{l.store, lv.id}, g.Size)
		if err != nil {
			return err
		}
		if root != g.Root {
			return regression(lv, g)
		}
	}
	return l.adopt(lv)
}

// adopt takes the head for given out, as it is about to be or was elsewhere.
func (l *Log) adopt(lv *live) error {
	if lv.head.Size == 0 {
		return nil
	}
	if g := lv.given; g == nil || g.Size != lv.head.Size {
		n, err := tree.ParseNote(lv.head.Checkpoint)
		if err != nil {
			return err
		}
		if g != nil && g.Origin.Epoch > n.Origin.Epoch {
			return regression(lv, g)
		}
		lv.given = &n.Checkpoint
	}
	return l.keepNote(lv)
}

// renewed says that the head is of a later epoch than what this process knows
// to be given out: the operator ordered it at another process of this node, and
// this node signed it, for all to see. What was given out before counts no more.
func (l *Log) renewed(lv *live) bool {
	if lv.given == nil || lv.head.Size == 0 {
		return false
	}
	n, err := tree.ParseNote(lv.head.Checkpoint)
	if err != nil || n.Origin.Node != l.signer.NodeID() || n.Origin.Node != lv.given.Origin.Node || n.Origin.Epoch <= lv.given.Origin.Epoch {
		return false
	}
	key, err := tree.VerifierKey(n.Origin, l.signer.LogKey())
	return err == nil && n.Verify(key) == nil
}

// recall reads the note on the disk, once.
func (l *Log) recall(lv *live) error {
	if lv.noteRead {
		return nil
	}
	k, g, err := l.notes.read(lv.id)
	if err != nil {
		return err
	}
	lv.kept = k
	if g != nil {
		lv.onDisk = g.Size
		if lv.given == nil || g.Size > lv.given.Size {
			lv.given = g
		}
	}
	lv.noteRead = true
	return nil
}

// keepNote writes the head's note to the disk unless it is there.
func (l *Log) keepNote(lv *live) error {
	if lv.onDisk == lv.head.Size {
		return nil
	}
	if err := l.notes.write(lv.id, &lv.kept, lv.head.Checkpoint); err != nil {
		return err
	}
	lv.onDisk = lv.head.Size
	return nil
}

// CodeRegression is the code of the refusal to sign for a database that does
// not contain what was signed before; Log.NewEpoch goes on from there.
const CodeRegression = "checkpoint_regression"

func regression(lv *live, g *tree.Checkpoint) error {
	return fault.Newf(fault.Unavailable, CodeRegression,
		"the database does not contain what this node has signed: its timeline of tenant %s has %d entries, root %s, "+
			"but a checkpoint of %d entries, root %s, origin %s, was given out. The database is probably an older copy. "+
			"Nothing is signed, so that no two histories carry this node's signature. Bring back the newer database, "+
			"or start once with --new-epoch to go on from here under a new origin, for all to see",
		lv.id, lv.head.Size, lv.head.Root, g.Size, g.Root, g.Origin)
}
