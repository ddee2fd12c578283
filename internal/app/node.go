package app

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
)

// nodeKey is the settings row that says whose database this is.
const nodeKey = "node"

// openNode reads or makes the node's keys and sees to it that keys and
// database belong together: with other keys, the timelines in the database
// could not be continued, and with a new name, nobody would know why.
func (a *App) openNode(ctx context.Context) error {
	owner, err := a.databaseNode(ctx)
	if err != nil {
		return err
	}
	path := filepath.Join(a.cfg.DataDir, id.NodeKeyFile)
	if _, err := os.Stat(path); owner != "" && errors.Is(err, fs.ErrNotExist) {
		return fault.Newf(fault.Unavailable, "node_keys_missing",
			"the database belongs to the node %s, whose keys are not in %s; restore that file from a backup, or use another database", owner, path)
	}
	node, created, err := id.OpenNode(a.cfg.DataDir, a.opt.Now(), a.opt.Rand)
	if err != nil {
		return err
	}
	a.node = node
	if created {
		a.log.InfoContext(ctx, "node keys made; keep a copy of this file", slog.String("node", node.ID()), slog.String("file", path))
	}
	if owner == "" {
		return a.db.InTx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO settings (key, value) VALUES (?, ?)", nodeKey, []byte(node.ID()))
			return err
		})
	}
	if owner != node.ID() {
		return fault.Newf(fault.Unavailable, "node_mismatch",
			"the database belongs to the node %s, but %s holds the keys of %s; bring the two that belong together", owner, path, node.ID())
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

func (a *App) databaseNode(ctx context.Context) (string, error) {
	var value []byte
	err := a.db.Read.QueryRowContext(ctx, "SELECT value FROM settings WHERE key = ?", nodeKey).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return string(value), storage.Classify(err)
}
