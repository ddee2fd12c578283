package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// FuzzProfiles: a profile file is refused, or read such that adding a profile
// keeps all others as they were.
func FuzzProfiles(f *testing.F) {
	f.Add([]byte(`{"current":"demo","profiles":[{"name":"demo","url":"http://127.0.0.1:1","node":"logline-id://x","tenant":"t","key_file":"/k"}]}`))
	f.Add([]byte(`{"profiles":null}`))
	f.Add([]byte(`{"profiles":[{"name":"a"},{"name":"a"},{"name":"new"}]}`))
	f.Add([]byte("null"))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, file []byte) {
		dir := t.TempDir()
		env := &environment{Getenv: func(name string) string { return map[string]string{"LOGLINE_CONFIG_DIR": dir}[name] }}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), file, 0o600))
		ps, err := loadProfiles(env)
		if err != nil {
			require.Equal(t, "profiles_unreadable", fault.CodeOf(err))
			return
		}
		require.Equal(t, filepath.Join(dir, "config.json"), ps.path)
		before, current := append([]profile(nil), ps.Profiles...), ps.Current
		added := profile{Name: "new", URL: "http://127.0.0.1:2", KeyFile: "/new"}
		require.NoError(t, ps.put(added, false))
		got, err := loadProfiles(env)
		require.NoError(t, err)
		found, ok := got.find("new")
		require.True(t, ok)
		require.Equal(t, added, found)
		if current == "" {
			current = "new"
		}
		require.Equal(t, current, got.Current)
		replaced := false
		for i, p := range before {
			if p.Name == "new" && !replaced {
				replaced = true
				continue
			}
			require.Equal(t, p, got.Profiles[i])
		}
	})
}

// FuzzDrafts: spans to be are refused, or are such that a node could take what is
// signed of them: known members alone, a type, and a payload that is an object in
// its one form.
func FuzzDrafts(f *testing.F) {
	f.Add([]byte(`{"type":"sale.paid","payload":{"id":"a","amount":5},"tags":["x"],"causes":["01890a5d-ac96-774b-bcce-b302099a8057"]}` + "\n" + `{"type":"a.b"}`))
	f.Add([]byte(`{"type":"a.b","payload":[]}`))
	f.Add([]byte(`{"type":"a.b","type":"c.d"}`))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		drafts, err := parseDrafts(raw)
		if err != nil {
			require.Nil(t, drafts)
			return
		}
		require.NotEmpty(t, drafts)
		for _, d := range drafts {
			require.True(t, span.ValidType(d.typ))
			again, err := span.Canonicalize(d.canonical)
			require.NoError(t, err)
			require.Equal(t, string(again), string(d.canonical))
			require.Equal(t, byte('{'), d.canonical[0])
			require.NoError(t, checkVisibility(d.visibility))
		}
	})
}
