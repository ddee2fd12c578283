package app

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/secret"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// TestMasterKeyIsExchangedBesideServers: beside a server that has both keys it is;
// beside one that has the old key alone it is not, and nothing changes. The node
// tells of it.
func TestMasterKeyIsExchangedBesideServers(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "logline.db") },
		"postgres": func(t *testing.T) string { return pgtest.New(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			was, is := masterKey(t, oneMaster), masterKey(t, anotherMaster)
			cfg := config(filepath.Join(t.TempDir(), "data"))
			cfg.DatabaseURL, cfg.MasterKey = database(t), secret.New(was)
			to, err := id.ParseMasterKey(is)
			require.NoError(t, err)
			a := start(t, cfg, nil)
			_, err = RotateMaster(t.Context(), cfg, Options{}, RotateMasterOptions{To: to})
			require.Contains(t, []string{"data_dir_in_use", "database_in_use"}, fault.CodeOf(err))
			require.ErrorContains(t, err, "LOGLINE_MASTER_KEY_PREVIOUS")
			s, err := SealingOf(t.Context(), cfg)
			require.NoError(t, err)
			require.NotContains(t, s.Under, to.ID())
			require.NoError(t, a.stop())

			cfg.MasterKey, cfg.MasterKeyPrevious = secret.New(is), secret.New(was)
			a = start(t, cfg, nil)
			require.Contains(t, a.logs.String(), "run logline keys rotate-master")
			out, err := RotateMaster(t.Context(), cfg, Options{}, RotateMasterOptions{By: "somebody"})
			require.NoError(t, err)
			require.Equal(t, id.Resealed{To: to.ID(), From: out.From, Node: 1, Unopenable: []string{}, Done: true}, out)
			require.NoError(t, a.stop())

			cfg.MasterKeyPrevious = secret.Text{}
			a = start(t, cfg, nil)
			require.NotContains(t, a.logs.String(), "rotate-master")
			require.NoError(t, a.stop())

			// Back, with no server that could tell of it yet: it is noted, once.
			back, err := id.ParseMasterKey(was)
			require.NoError(t, err)
			for range 2 {
				_, err = RotateMaster(t.Context(), cfg, Options{}, RotateMasterOptions{By: "somebody", To: back})
				require.NoError(t, err)
			}
			db, err := storage.Open(t.Context(), cfg.Database())
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			rows, err := db.Read.Query(`SELECT act FROM node_acts`)
			require.NoError(t, err)
			defer rows.Close()
			var acts []string
			for rows.Next() {
				var act string
				require.NoError(t, rows.Scan(&act))
				if strings.Contains(act, `"to":"`+back.ID()) {
					acts = append(acts, act)
				}
			}
			require.NoError(t, rows.Err())
			require.Len(t, acts, 1)
			require.Contains(t, acts[0], `"type":"node.master_key.rotated"`)
			require.Contains(t, acts[0], `"os_user":"somebody"`)
		})
	}
}
