package systemtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// TestFilesBesidePostgres keeps timelines in NDJSON files and everything else
// in PostgreSQL.
func TestFilesBesidePostgres(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	dir := t.TempDir()
	files := filepath.Join(dir, "timelines")
	serve := func() *server {
		p, err := program.New(binary, dir, "--timeline", "ndjson:"+files)
		require.NoError(t, err)
		p.Cmd.Env = append(p.Cmd.Env, "DATABASE_URL="+d.URL)
		return started(t, p)
	}
	y := onboard(t, serve())
	member := y.member("member")
	for n := range 3 {
		_, err := y.api.Append(background(), y.tenant.Id, y.note(n))
		require.NoError(t, err)
	}
	before := y.checkpoint()
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)

	y.attach(serve())
	y.requireProof(y.api, before, y.checkpoint())
	_, err := y.api.Append(background(), y.tenant.Id, y.seal(member.Signer(), member.ID(), []byte(`{"n":4}`)))
	require.NoError(t, err, "who has registered is in the database")
	y.export() // and verified
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	entries, err := os.ReadDir(files)
	require.NoError(t, err)
	require.Len(t, entries, 3, "the tenant's folder, the node's own and the lock")
}
