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
	require.Equal(t, 1, sum.Timelines)

	notes, err := filepath.Glob(filepath.Join(cfg.DataDir, "checkpoints", "*.note"))
	require.NoError(t, err)
	require.Len(t, notes, 1)
	other := kinds["sqlite"](t)
	saved(t, other)
	require.NoError(t, os.CopyFS(filepath.Join(other.DataDir, "checkpoints"), os.DirFS(filepath.Join(cfg.DataDir, "checkpoints"))))
	_, err = Fsck(t.Context(), other, quiet(), FsckOptions{})
	require.NoError(t, err, "another node's notes say nothing of this one")
	require.NoError(t, os.Remove(notes[0]))
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
