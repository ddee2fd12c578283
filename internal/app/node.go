package app

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
)

// openNode reads or makes the node's keys, and says where they are.
func (a *App) openNode(ctx context.Context) error {
	home := id.NodeHome{Dir: a.cfg.DataDir, DB: a.db}
	if a.master != nil && !a.cfg.inMemory() { // a database in memory keeps nothing
		home.Master = a.master
	}
	o, err := home.Open(ctx, a.opt.Now(), a.opt.Rand)
	if err != nil {
		return err
	}
	a.node, a.keysStored = o.Node, o.Stored
	node, file := slog.String("node", o.Node.ID()), slog.String("file", o.Path)
	switch {
	case o.Created && o.Stored:
		a.log.InfoContext(ctx, "node keys made and sealed in the database; keep the master key and backups of the database", node)
	case o.Created:
		a.log.InfoContext(ctx, "node keys made; keep a copy of this file", node, file)
	case o.Sealed:
		a.log.InfoContext(ctx, "node keys sealed in the database, which is where they are read from now; the file stays as it is, as a copy", node, file)
	case o.Spare && !o.Stored:
		a.log.WarnContext(ctx, "the node's keys are also sealed in the database, but LOGLINE_MASTER_KEY is not set: they come from the file, and cannot be rotated", node, file)
	}
	return nil
}

// rotateNode replaces the node's key by the next one where it is kept.
func (a *App) rotateNode(ctx context.Context) error {
	if err := a.node.Rotate(ctx, a.opt.Now(), a.opt.Rand); err != nil {
		return err
	}
	node := slog.String("node", a.node.ID())
	if a.keysStored {
		a.log.InfoContext(ctx, "node key rotated, in the database; other processes of this node take it up by themselves", node)
	} else {
		a.log.InfoContext(ctx, "node key rotated; keep a new copy of its file", node, slog.String("file", filepath.Join(a.cfg.DataDir, id.NodeKeyFile)))
	}
	return nil
}

// enlistNode gives the node's own key events to its directory, which serves
// them like everybody's. Later ones follow by engine.EmbedNode.
func (a *App) enlistNode(ctx context.Context, directory *id.Directory) error {
	_, err := directory.Get(ctx, a.node.ID())
	if fault.KindOf(err) == fault.NotFound {
		_, _, err = directory.Register(ctx, a.node.Events(), "", "")
	}
	return err
}
