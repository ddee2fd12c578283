package web

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// inNode runs a script of testdata in Node, and reads what it prints.
func inNode(t *testing.T, answer any, script string, args ...string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the browser's code is checked in a browser alone (make test says so in a line)")
	}
	cmd := exec.CommandContext(t.Context(), node, append([]string{"--no-warnings", script}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, answer), "%s", out)
}

// TestVectorsInNode runs the protocol's vectors against the browser's library.
func TestVectorsInNode(t *testing.T) {
	t.Parallel()
	var ran struct {
		Counts   map[string]int
		Failures []string
	}
	inNode(t, &ran, "testdata/node.js", "../../testdata/vectors")
	require.Empty(t, ran.Failures)
	for _, part := range []string{"canonicalJSON", "keyEvents", "ghosts", "spans", "entries", "timeline", "timelines", "tree", "checkpoint", "edges"} {
		require.Positive(t, ran.Counts[part], part)
	}
}
