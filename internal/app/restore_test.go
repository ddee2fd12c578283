package app

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

func quiet() Options { return Options{Log: slog.New(slog.DiscardHandler)} }

// kinds are the ways to keep a node's data.
var kinds = map[string]func(t *testing.T) Config{
	"sqlite": func(t *testing.T) Config { return config(filepath.Join(t.TempDir(), "data")) },
	"postgres": func(t *testing.T) Config {
		cfg := config(filepath.Join(t.TempDir(), "data"))
		cfg.DatabaseURL = pgtest.New(t).URL
		return cfg
	},
	"ndjson": func(t *testing.T) Config {
		cfg := config(filepath.Join(t.TempDir(), "data"))
		cfg.Timeline = "ndjson:" + filepath.Join(t.TempDir(), "timelines")
		return cfg
	},
}

// saved starts a node, makes a tenant and saves it all, with keys; on a
// database server while it serves.
func saved(t *testing.T, cfg Config) (file string) {
	t.Helper()
	n := start(t, cfg, nil)
	token, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
	require.NoError(t, err)
	makeTenant(t, n, strings.TrimSpace(string(token)))
	if cfg.timelineDir() != "" {
		require.NoError(t, n.stop())
	}
	var out bytes.Buffer
	sum, err := Backup(t.Context(), cfg, quiet(), BackupOptions{Keys: true}, &out)
	require.NoError(t, err)
	require.Equal(t, 2, sum.Timelines) // the node's own too
	require.NotZero(t, sum.Entries)
	file = filepath.Join(t.TempDir(), "node.backup")
	require.NoError(t, os.WriteFile(file, out.Bytes(), 0o600))
	if cfg.timelineDir() == "" {
		require.NoError(t, n.stop())
	}
	return file
}

// TestRestoreAcross: what one kind of database has saved every kind restores,
// under a new epoch, and goes on with.
func TestRestoreAcross(t *testing.T) {
	t.Parallel()
	for from, source := range kinds {
		for to, target := range kinds {
			t.Run(from+" to "+to, func(t *testing.T) {
				t.Parallel()
				cfg := target(t) // which may skip
				file := saved(t, source(t))
				out, err := Restore(t.Context(), cfg, quiet(), file, RestoreOptions{})
				require.NoError(t, err)
				require.Len(t, out.Renewed, 2)
				require.True(t, strings.HasSuffix(out.Renewed[0].Origin, "/1"), out.Renewed[0].Origin)
				results, err := Fsck(t.Context(), cfg, quiet(), FsckOptions{})
				require.NoError(t, err)
				require.Len(t, results, 2)
				require.Empty(t, results[0].Findings)
				require.Empty(t, results[1].Findings)
				require.Equal(t, out.Summary.Entries+2, results[0].Entries+results[1].Entries)

				n := start(t, cfg, nil)
				require.Equal(t, out.Summary.Header.Node, n.NodeID())
				status, body := n.ask(t, "GET", "/readyz", "", "")
				require.Equal(t, 200, status, body)
				require.NoError(t, n.stop())

				_, err = Restore(t.Context(), cfg, quiet(), file, RestoreOptions{})
				require.Contains(t, []string{"database_not_empty", "timelines_not_empty"}, fault.CodeOf(err))
			})
		}
	}
}

// TestFailedRestoreLeavesNothing: an archive that is damaged, and a restore that
// is interrupted at its end, leave what was there before.
func TestFailedRestoreLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, target := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := target(t)
			file := saved(t, kinds["sqlite"](t))
			whole, err := os.ReadFile(file)
			require.NoError(t, err)
			damaged := file + ".damaged"
			for at := 0; at < len(whole); at += 1 + len(whole)/5 {
				changed := bytes.Clone(whole)
				changed[at] ^= 0xff // zstd has single bits that mean nothing
				require.NoError(t, os.WriteFile(damaged, changed, 0o600))
				_, err = Restore(t.Context(), cfg, quiet(), damaged, RestoreOptions{})
				require.Error(t, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			opt := quiet()
			opt.Log = slog.New(slog.NewTextHandler(cancelling(cancel), nil)) // at the first new epoch
			_, err = Restore(ctx, cfg, opt, file, RestoreOptions{})
			require.Error(t, err)
			for _, left := range []string{
				filepath.Join(cfg.DataDir, id.NodeKeyFile), filepath.Join(cfg.DataDir, "logline.db"), filepath.Join(cfg.DataDir, "logline.db.restoring"),
				filepath.Join(cfg.DataDir, "checkpoints"), filepath.Join(cfg.DataDir, "checkpoints.restoring"),
				cfg.timelineDir() + ".restoring",
			} {
				require.NoFileExists(t, left)
				require.NoDirExists(t, left)
			}
			out, err := Restore(t.Context(), cfg, quiet(), file, RestoreOptions{})
			require.NoError(t, err, "the way is free")
			require.True(t, strings.HasSuffix(out.Renewed[0].Origin, "/1"), "nobody saw the interrupted one's checkpoint of epoch 1")
		})
	}
}

// TestFailedReplaceKeepsTheNodeGoing: a restore that fails does not keep the
// node that it was to replace from signing.
func TestFailedReplaceKeepsTheNodeGoing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "ndjson"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cfg := kinds[kind](t)
			file := saved(t, cfg)
			given := notesIn(t, cfg)
			require.NotEmpty(t, given)
			ctx, cancel := context.WithCancel(t.Context())
			opt := quiet()
			opt.Log = slog.New(slog.NewTextHandler(cancelling(cancel), nil))
			_, err := Restore(ctx, cfg, opt, file, RestoreOptions{Replace: true})
			require.Error(t, err)
			require.Equal(t, given, notesIn(t, cfg))

			out, err := Restore(t.Context(), cfg, quiet(), file, RestoreOptions{Replace: true})
			require.NoError(t, err)
			require.Len(t, out.Renewed, 2)
			require.NotEqual(t, given, notesIn(t, cfg), "the new epoch is noted")
			require.NoDirExists(t, filepath.Join(cfg.DataDir, "checkpoints.restoring"))
		})
	}
}

// notesIn are the checkpoints given out, by the names of their files.
func notesIn(t *testing.T, cfg Config) map[string]string {
	t.Helper()
	notes := map[string]string{}
	found, err := filepath.Glob(filepath.Join(cfg.DataDir, "checkpoints", "*"))
	require.NoError(t, err)
	for _, f := range found {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		notes[filepath.Base(f)] = string(text)
	}
	return notes
}

// cancelling cancels with what is logged.
type cancelling context.CancelFunc

func (c cancelling) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("new epoch")) {
		c()
	}
	return len(p), nil
}

// TestKilledRestore: a PostgreSQL database with half a backup serves nobody, and
// the next restore begins anew.
func TestKilledRestore(t *testing.T) {
	t.Parallel()
	cfg := kinds["postgres"](t)
	file := saved(t, kinds["sqlite"](t))
	_, err := Restore(t.Context(), cfg, quiet(), file, RestoreOptions{})
	require.NoError(t, err)
	db, err := storage.Open(t.Context(), cfg.DatabaseURL)
	require.NoError(t, err)
	require.NoError(t, setRestoring(t.Context(), db, true))
	require.NoError(t, db.Close())
	_, err = New(t.Context(), cfg, quiet())
	require.Equal(t, "restore_unfinished", fault.CodeOf(err))
	_, err = Fsck(t.Context(), cfg, quiet(), FsckOptions{})
	require.Equal(t, "restore_unfinished", fault.CodeOf(err))
	_, err = Restore(t.Context(), cfg, quiet(), file, RestoreOptions{})
	require.NoError(t, err)
	n := start(t, cfg, nil)
	require.NoError(t, n.stop())
}

// TestFsckBesideServer: on PostgreSQL a check runs beside a server and a repair
// does not.
func TestFsckBesideServer(t *testing.T) {
	t.Parallel()
	cfg := kinds["postgres"](t)
	n := start(t, cfg, nil)
	token, err := os.ReadFile(onboarding.TokenPath(cfg.DataDir))
	require.NoError(t, err)
	makeTenant(t, n, strings.TrimSpace(string(token)))
	results, err := Fsck(t.Context(), cfg, quiet(), FsckOptions{})
	require.NoError(t, err)
	require.Len(t, results, 2)
	require.Empty(t, results[0].Findings)
	require.Empty(t, results[1].Findings)
	elsewhere := cfg
	elsewhere.DataDir = filepath.Join(t.TempDir(), "other")
	_, err = Fsck(t.Context(), elsewhere, quiet(), FsckOptions{Repair: true})
	require.Equal(t, "database_in_use", fault.CodeOf(err))
	require.NoError(t, n.stop())
	_, err = Fsck(t.Context(), elsewhere, quiet(), FsckOptions{Repair: true})
	require.NoError(t, err)
}
