package app

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/secret"
)

// openNode reads or makes the node's keys, and says where they are.
func (a *App) openNode(ctx context.Context) error {
	home := id.NodeHome{Dir: a.cfg.DataDir, DB: a.db}
	if len(a.masters) > 0 && !a.cfg.inMemory() { // a database in memory keeps nothing
		home.Masters = a.masters
	}
	o, err := home.Open(ctx, a.opt.Now(), a.opt.Rand)
	if err != nil {
		return err
	}
	a.node, a.keysStored = o.Node, o.Stored
	a.warnExposed(ctx)
	if err := a.tellSealing(ctx, home.Masters); err != nil {
		return err
	}
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

// tellSealing says what is left to do while one master key takes over from another.
func (a *App) tellSealing(ctx context.Context, masters id.Masters) error {
	if len(masters) == 0 {
		return nil
	}
	s, err := id.ReadSealing(ctx, a.db)
	if err != nil {
		return err
	}
	left := 0
	for master, n := range s.Under {
		if master != masters[0].ID() {
			left += n
		}
	}
	switch sealing, set := slog.String("sealing", s.By.ID), slog.String("set", masters[0].ID()); {
	case s.By.ID != masters[0].ID():
		a.log.WarnContext(ctx, "the database is still sealed under the master key before the one that is set; when every process has both, run logline keys rotate-master", sealing, set)
	case left > 0:
		a.log.WarnContext(ctx, "the exchange of the master key is not finished; run logline keys rotate-master again", slog.Int("left", left), set)
	case len(masters) > 1:
		a.log.InfoContext(ctx, "nothing is sealed under the previous master key any more; unset it", slog.String("previous", masters[1].ID()), set)
	}
	return nil
}

// warnExposed says which secrets in the data directory others can read. It stops
// nothing: what was readable may have been read, and a volume that an
// orchestrator opens to a group is no reason not to serve.
func (a *App) warnExposed(ctx context.Context) {
	for _, exposed := range []string{
		secret.Exposure(filepath.Join(a.cfg.DataDir, id.NodeKeyFile)), secret.Exposure(onboarding.TokenPath(a.cfg.DataDir)), secret.Exposure(a.cfg.ownMasterPath()), secret.FolderExposure(a.cfg.DataDir),
	} {
		if exposed != "" {
			a.log.WarnContext(ctx, "others than this user can reach secrets", slog.String("warning", exposed))
		}
	}
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
