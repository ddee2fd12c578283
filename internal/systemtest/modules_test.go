package systemtest

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/systemtest/program"
)

// sqliteOf is the database in a data directory, as a URL.
func sqliteOf(dir string) string { return "sqlite:" + filepath.Join(dir, "logline.db") }

// beside is a data directory of its own for another process of the same node.
func beside(t *testing.T, dir string) string {
	t.Helper()
	other := t.TempDir()
	key, err := os.ReadFile(filepath.Join(dir, "node.key"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(other, "node.key"), key, 0o600))
	return other
}

// startWith is start with further flags.
func startWith(t *testing.T, dir string, flags ...string) *server {
	t.Helper()
	p, err := program.New(binary, dir, flags...)
	require.NoError(t, err)
	return started(t, p)
}

// TestModulesByFlag splits a node: one process takes spans in over HTTP, without
// the engine, another is the engine alone. They meet in the database.
func TestModulesByFlag(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole := onboard(t, start(t, dir)) // all modules, for the tenant
	require.Zero(t, whole.terminate(), "log:\n%s", whole.Log)

	y := whole
	y.attach(startWith(t, dir, "--modules=httpapi,id,timeline,rules"))
	node, err := y.api.Node(background())
	require.NoError(t, err)
	require.Equal(t, []string{"id", "timeline", "rules", "httpapi"}, node.Modules)
	before := y.checkpoint()
	for n := range 20 {
		_, err := y.api.Append(background(), "acme", y.note(n))
		require.NoError(t, err, "the pipeline belongs to whoever appends")
	}
	require.Equal(t, before.Size+20, y.checkpoint().Size)
	testRefusedSpan(t, y)

	// A route of a module that is off is not there, whatever is sent to it.
	for _, body := range []string{`{}`, `{`, `{"slug":"b","name":"B","owner":"` + y.owner.ID() + `"}`} {
		status, problem := y.post(t, "/v1/tenants", "application/json", []byte(body))
		require.Equal(t, http.StatusNotFound, status)
		require.Equal(t, "module_off", problem.Code)
		require.Contains(t, problem.Detail, "onboarding")
	}
	require.NoFileExists(t, filepath.Join(dir, "bootstrap-token"))

	// The engine alone serves nothing. It brings the node's key events into the
	// timelines: here those of a rotation.
	engine, err := program.New(binary, beside(t, dir), "--modules=engine", "--database-url", sqliteOf(dir), "--rotate-node-key")
	require.NoError(t, err)
	t.Cleanup(engine.Kill)
	require.NoError(t, engine.StartSilent())
	_, err = http.Get(engine.URL + "/livez")
	require.Error(t, err, "nothing listens")
	require.Contains(t, engine.Log.String(), `"modules":["id","timeline","rules","engine"]`)
	require.Equal(t, before.Size+22, y.checkpoint().Size, "the rotation and the log key's delegation under it")
	_, err = y.api.Append(background(), "acme", y.note(99))
	require.NoError(t, err, "on top of what the other process wrote")
	y.export()

	code, err := engine.Terminate()
	require.NoError(t, err)
	require.Zero(t, code, "log:\n%s", engine.Log)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
}

// testRefusedSpan: authorization does not depend on which modules run.
func testRefusedSpan(t *testing.T, y *tenancy) {
	t.Helper()
	stranger := register(t, y.server, y.api)
	before := y.checkpoint()
	status, problem := y.post(t, "/v1/tenants/"+y.tenant.Id+"/spans", "application/json", y.seal(stranger.Signer(), stranger.ID(), []byte(`{}`)))
	require.Equal(t, http.StatusForbidden, status, problem.Detail)
	require.Equal(t, before, y.checkpoint())
}
