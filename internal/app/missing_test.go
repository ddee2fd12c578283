package app

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/onboarding"
)

// TestTimelinesMissing: a node whose timelines are in files, looked at without
// that setting, is not taken for one without timelines.
func TestTimelinesMissing(t *testing.T) {
	t.Parallel()
	cfg := kinds["ndjson"](t)
	n := start(t, cfg, nil)
	token, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
	require.NoError(t, err)
	makeTenant(t, n, strings.TrimSpace(string(token)))
	require.NoError(t, n.stop())

	forgot := cfg
	forgot.Timeline = ""
	_, err = Backup(t.Context(), forgot, quiet(), BackupOptions{}, io.Discard)
	require.Equal(t, "timelines_missing", fault.CodeOf(err))
	_, err = Fsck(t.Context(), forgot, quiet(), FsckOptions{})
	require.Equal(t, "timelines_missing", fault.CodeOf(err))

	var out bytes.Buffer
	sum, err := Backup(t.Context(), cfg, quiet(), BackupOptions{}, &out)
	require.NoError(t, err)
	require.Equal(t, 2, sum.Timelines) // the node's own too

	notes, err := filepath.Glob(filepath.Join(cfg.DataDir, "checkpoints", "*.note"))
	require.NoError(t, err)
	require.Len(t, notes, 2)
	other := kinds["sqlite"](t)
	saved(t, other)
	require.NoError(t, os.CopyFS(filepath.Join(other.DataDir, "checkpoints"), os.DirFS(filepath.Join(cfg.DataDir, "checkpoints"))))
	_, err = Fsck(t.Context(), other, quiet(), FsckOptions{})
	require.NoError(t, err, "another node's notes say nothing of this one")
	for _, note := range notes {
		require.NoError(t, os.Remove(note))
	}
	_, err = Fsck(t.Context(), forgot, quiet(), FsckOptions{})
	require.NoError(t, err, "given up for good")
}

// TestBackupElsewhere: a backup from a machine without a data directory makes none.
func TestBackupElsewhere(t *testing.T) {
	t.Parallel()
	cfg := kinds["sqlite"](t)
	saved(t, cfg)
	cfg.DatabaseURL = "sqlite:" + filepath.Join(cfg.DataDir, "logline.db")
	cfg.DataDir = filepath.Join(t.TempDir(), "none")
	_, err := Backup(t.Context(), cfg, quiet(), BackupOptions{}, io.Discard)
	require.NoError(t, err)
	require.NoDirExists(t, cfg.DataDir)
}
