package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/app"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/importertest"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// testData is the folder of real histories, "" where there is none.
func testData(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("LOGLINE_TEST_DATA")
	if dir == "" {
		dir = "../../../shared/data"
	}
	if _, err := os.Stat(filepath.Join(dir, "truth.json")); err != nil {
		t.Skip("no folder of sample histories: set LOGLINE_TEST_DATA")
	}
	return dir
}

// historyCounts is what is known of a history apart from the importer.
type historyCounts struct {
	Commits    int64 `json:"commits"`
	Merges     int64 `json:"merges"`
	Roots      int64 `json:"roots"`
	People     int   `json:"people"`
	Edges      int64 `json:"parent_edges"`
	BackInTime int64 `json:"child_commit_time_before_parent"`
}

// TestRealHistory brings a real project's 13,019 commits through the importer,
// HTTP and SQLite, counts what the exported file holds, and verifies it.
func TestRealHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("short: imports 13,019 commits")
	}
	t.Parallel()
	dir := testData(t)
	raw, err := os.ReadFile(filepath.Join(dir, "truth.json"))
	require.NoError(t, err)
	var truth struct {
		Nats historyCounts `json:"git-nats-server"`
	}
	require.NoError(t, json.Unmarshal(raw, &truth))
	src := importertest.OpenCommits(filepath.Join(dir, "git-nats-server", "commits.jsonl.gz"), "git:nats-server")

	s := startSession(t)
	began := time.Now()
	report, err := s.importFrom(t.Context(), src, importer.Config{})
	require.NoError(t, err)
	t.Logf("%d spans in %s: %.0f/s", report.Added, time.Since(began).Round(time.Millisecond), report.Rate())
	require.Equal(t, truth.Nats.Commits, report.Added, "%v", report.Failures)
	require.Zero(t, report.Failed+report.Already+report.Unresolved+report.Overflow)
	require.Equal(t, truth.Nats.People, report.Ghosts)
	require.Equal(t, truth.Nats.Edges, report.Edges)

	path := filepath.Join(t.TempDir(), "all.ndjson")
	exportTo(t, s, path)
	require.Equal(t, truth.Nats, countBundle(t, path))
	verified, err := verifyFile(t.Context(), s.env, path, bundle.Options{Node: s.profile.Node})
	require.NoError(t, err)
	require.True(t, verified.OK, "%v", verified.Problems)
	require.True(t, verified.Authenticated)
	require.Equal(t, verified.Entries, verified.Checked)

	again, err := s.importFrom(t.Context(), src, importer.Config{})
	require.NoError(t, err)
	require.Equal(t, truth.Nats.Commits, again.Already)
	require.Zero(t, again.Added+again.Failed)
	tenant, err := s.client.Tenant(t.Context(), s.profile.Tenant)
	require.NoError(t, err)
	require.Equal(t, verified.Size, tenant.Size, "a second run adds nothing")
}

// startSession starts a node with the demo's tenant in this process.
func startSession(t *testing.T, change ...func(*app.Config)) *session {
	t.Helper()
	dir := t.TempDir()
	env := &environment{
		Stdout: io.Discard, Stderr: io.Discard, Now: time.Now,
		Getenv: func(name string) string {
			return map[string]string{"LOGLINE_CONFIG_DIR": filepath.Join(dir, "config")}[name]
		},
	}
	cfg := app.Defaults()
	cfg.DataDir, cfg.Listen, cfg.LogLevel = filepath.Join(dir, "data"), "127.0.0.1:0", "warn"
	for _, c := range change {
		c(&cfg)
	}
	node, err := startNode(t.Context(), env, cfg)
	require.NoError(t, err)
	// t.Context ends before clean-up functions run.
	t.Cleanup(func() { require.NoError(t, node.wait()) })
	f := demoFlags{dataDir: cfg.DataDir}
	s, err := f.onboard(t.Context(), env, node.URL())
	require.NoError(t, err)
	return s
}

func exportTo(t *testing.T, s *session, path string) {
	t.Helper()
	require.NoError(t, atomically(path, func(f *os.File) error {
		return s.client.Bundle(t.Context(), s.profile.Tenant, f, 0, 0)
	}))
}

// countBundle counts in the exported lines themselves what truth.json counts in
// the source: every cause must be an entry before its effect.
func countBundle(t *testing.T, path string) historyCounts {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	lines := json.NewDecoder(f)
	var header struct{ Logline string }
	require.NoError(t, lines.Decode(&header))
	var c historyCounts
	occurred := map[string]string{}
	people := map[string]bool{}
	for lines.More() {
		var e entryView
		require.NoError(t, lines.Decode(&e))
		if e.Span.Type != importer.TypeCommit && e.Span.Type != importer.TypeMerge {
			continue
		}
		var payload struct{ Committer string }
		require.NoError(t, json.Unmarshal(e.Span.Payload, &payload))
		people[e.Span.OnBehalfOf] = true
		if payload.Committer != "" {
			people[payload.Committer] = true
		}
		c.Commits++
		c.Edges += int64(len(e.Span.Causes))
		if e.Span.Type == importer.TypeMerge {
			c.Merges++
		}
		if len(e.Span.Causes) == 0 {
			c.Roots++
		}
		for _, cause := range e.Span.Causes {
			at, there := occurred[cause]
			require.True(t, there, "cause %s of %s is not an entry before it", cause, e.Span.ID)
			if e.Span.OccurredAt < at {
				c.BackInTime++
			}
		}
		occurred[e.Span.ID] = e.Span.OccurredAt
	}
	c.People = len(people)
	return c
}
