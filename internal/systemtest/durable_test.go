package systemtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/backup"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/outbox"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/monitor"
)

// The files of people: keys, profiles, outbox, what a monitor has seen.

// do is a helper command of this binary: what no command of the program does
// alone. It says what it did as it goes.
func do(args []string) error {
	switch args[0] {
	case "outbox-refuse":
		_, err := outbox.Open(args[1]).Send(context.Background(), args[2], func(_ context.Context, items []outbox.Item) ([]outbox.Verdict, error) {
			return []outbox.Verdict{{Outcome: outbox.Refused, Reason: "test: it is refused"}}, nil
		})
		return err
	case "memory-save":
		for n := range 3 {
			if err := monitor.Folder(args[1]).Save([]byte(fmt.Sprintf("checkpoint %d\n", n)), nil); err != nil {
				return err
			}
			fmt.Printf("saved %d\n", n)
		}
		return nil
	}
	return fmt.Errorf("nothing is called %s", args[0])
}

func helper(t *testing.T, args ...string) []string {
	self, err := os.Executable()
	require.NoError(t, err)
	return append([]string{self, helperFlag}, args...)
}

const helperFlag = "-do-for-a-test"

var identityName = regexp.MustCompile(`logline-id://[A-Za-z0-9_-]+`)

// config is a configuration folder that is not there yet, nor its parents.
func config(root string) string { return filepath.Join(root, "home", "conf", "logline") }

func configEnv(root string) []string {
	return []string{"LOGLINE_CONFIG_DIR=" + config(root), "LOGLINE_PASSPHRASE="}
}

// keysAt loads the key file of a profile, nil where there is none.
func keysAt(t *testing.T, root, profile string) *id.Keys {
	path := filepath.Join(config(root), "keys", profile+".key")
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	keys, err := id.LoadKeys(path, nil)
	require.NoError(t, err, "a key file is whole or not there")
	return keys
}

func requireProfiles(t *testing.T, root string) (names []string) {
	raw, err := os.ReadFile(filepath.Join(config(root), "config.json"))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	var all struct{ Profiles []struct{ Name string } }
	require.NoError(t, json.Unmarshal(raw, &all), "the profiles are whole: %q", raw)
	for _, p := range all.Profiles {
		names = append(names, p.Name)
	}
	return names
}

func identityScene() *scene {
	return &scene{
		name: "an identity is made",
		command: func(root string) ([]string, []string) {
			return []string{binary, "identity", "create", "ana", "--no-passphrase", "--json"}, configEnv(root)
		},
		check: func(t *testing.T, root, said string) {
			keys, names := keysAt(t, root, "ana"), requireProfiles(t, root)
			if name := identityName.FindString(said); name != "" {
				require.NotNil(t, keys, "an identity that was shown is on the disk")
				require.Equal(t, name, keys.ID())
				require.Contains(t, names, "ana", "a profile that was made is on the disk")
			}
			if len(names) > 0 {
				require.NotNil(t, keys, "a profile has its key")
			}
		},
	}
}

func profileScene() *scene {
	return &scene{
		name: "a second profile is made",
		prepare: func(t *testing.T, root string) {
			s := identityScene()
			args, env := s.command(root)
			runs(t, root, env, args...)
		},
		command: func(root string) ([]string, []string) {
			return []string{binary, "identity", "create", "bob", "--no-passphrase", "--json"}, configEnv(root)
		},
		check: func(t *testing.T, root, said string) {
			require.NotNil(t, keysAt(t, root, "ana"))
			names := requireProfiles(t, root)
			require.Contains(t, names, "ana", "the first profile stays")
			if identityName.MatchString(said) {
				require.NotNil(t, keysAt(t, root, "bob"))
				require.Contains(t, names, "bob")
			}
		},
	}
}

// rotationScene rotates the key of somebody whom a server knows.
func rotationScene(t *testing.T) *scene {
	s := start(t, t.TempDir(), "--tenants", "open")
	onboard(t, s)
	slug := 0
	var first *id.Keys
	return &scene{
		name: "a key is rotated", again: true,
		prepare: func(t *testing.T, root string) {
			slug++
			runs(t, root, configEnv(root), binary, "onboard", fmt.Sprintf("acme-%d", slug), "--no-passphrase", "--url", s.URL, "--profile", "ana")
			first = keysAt(t, root, "ana")
		},
		command: func(root string) ([]string, []string) {
			return []string{binary, "identity", "rotate", "--json"}, configEnv(root)
		},
		check: func(t *testing.T, root, said string) {
			keys := keysAt(t, root, "ana")
			require.NotNil(t, keys, "the old key or the new one")
			require.Equal(t, first.ID(), keys.ID())
			var whole bytes.Buffer
			for _, e := range keys.Events() {
				whole.Write(e)
			}
			for _, event := range sentEvents(said) {
				require.Contains(t, whole.String(), event, "a key that somebody was told of is on the disk")
			}
		},
	}
}

// moveHome copies a home made elsewhere, whose profile names its key file by path.
func moveHome(t *testing.T, from, to string) {
	require.NoError(t, os.CopyFS(filepath.Join(to, "home"), os.DirFS(filepath.Join(from, "home"))))
	path := filepath.Join(config(to), "config.json")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(raw, []byte(from), []byte(to)), 0o600))
	key := filepath.Join(config(to), "keys", "ana.key")
	require.NoError(t, os.Chmod(key, 0o600))
}

var rotated = regexp.MustCompile(`"kind":"rotation"[^{}]*`)

// sentEvents are parts of the key events that were sent or printed.
func sentEvents(said string) []string { return rotated.FindAllString(said, -1) }

func runs(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

const outboxNode = "logline-id://node"

func waitingSpan(t *testing.T, n int) outbox.Item {
	keys := newKeys(t)
	spanID, err := span.RandomID(time.Now(), rand.Reader)
	require.NoError(t, err)
	h := span.Header{
		ID: spanID, Tenant: "0199c0de-0000-7000-8000-000000000001", Author: keys.ID(), Type: "note.written",
		Time: span.FormatTime(time.Now()), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
	}
	sealed, err := id.SealSpan(keys.Signer(), h, fmt.Appendf(nil, `{"n":%d}`, n), make([]byte, 16))
	require.NoError(t, err)
	return outbox.Item{Node: outboxNode, KeptAt: time.Now(), Span: sealed, Raw: sealed.Canonical()}
}

// spansIn are the ids of the spans that an outbox has, waiting or dead.
func spansIn(t *testing.T, dir string) map[string]bool {
	found := map[string]bool{}
	for _, pattern := range []string{"*.span", "dead/*.span"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, f := range files {
			raw, err := os.ReadFile(f)
			require.NoError(t, err)
			spanID := strings.TrimSuffix(filepath.Base(f)[17:], ".span")
			require.Contains(t, string(raw), spanID, "a span's file is whole: %s", f)
			require.True(t, bytes.HasSuffix(raw, []byte("}\n")), "a span's file is whole: %s", f)
			found[spanID] = true
		}
	}
	return found
}

func refusalScene(t *testing.T) *scene {
	item := waitingSpan(t, 1)
	return &scene{
		name: "a span in the outbox is refused", again: true,
		prepare: func(t *testing.T, root string) {
			_, err := outbox.Open(filepath.Join(root, "outbox")).Add(t.Context(), item, 10, outbox.Fail)
			require.NoError(t, err)
		},
		command: func(root string) ([]string, []string) {
			return helper(t, "outbox-refuse", filepath.Join(root, "outbox"), outboxNode), nil
		},
		check: func(t *testing.T, root, _ string) {
			require.Contains(t, spansIn(t, filepath.Join(root, "outbox")), item.Span.ID, "a refused span is waiting or dead, never gone")
		},
	}
}

// offlineScene keeps spans in an outbox of one place.
func offlineScene(t *testing.T, policy string) *scene {
	template := t.TempDir()
	s := start(t, t.TempDir())
	runs(t, template, configEnv(template), binary, "onboard", "acme", "--no-passphrase", "--url", s.URL, "--data-dir", s.Dir, "--profile", "ana")
	require.Zero(t, s.terminate())
	line := func(n int) []string {
		return []string{binary, "append", "--offline", "--json", "--type", "note.written", "--payload", fmt.Sprintf(`{"n":%d}`, n), "--outbox-limit", "1", "--outbox-full", policy}
	}
	return &scene{
		name: "a span is kept in the outbox, " + policy,
		prepare: func(t *testing.T, root string) {
			moveHome(t, template, root)
			if policy != "error" {
				runs(t, root, configEnv(root), line(0)...)
			}
		},
		command: func(root string) ([]string, []string) { return line(1), configEnv(root) },
		check: func(t *testing.T, root, said string) {
			var all []byte
			found := map[string]bool{}
			require.NoError(t, filepath.WalkDir(filepath.Join(root, "home"), func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				if filepath.Base(path) == "lost.ndjson" {
					raw, err := os.ReadFile(path)
					all = append(all, raw...)
					return err
				}
				if filepath.Ext(path) == ".span" {
					for spanID := range spansIn(t, filepath.Dir(path)) {
						found[spanID] = true
					}
				}
				return nil
			}))
			for _, answer := range strings.Split(said, "\n") {
				var out struct {
					Kept bool
					ID   string
					Lost []struct{ ID string }
				}
				if json.Unmarshal([]byte(answer), &out) != nil {
					continue
				}
				if out.Kept {
					require.Contains(t, found, out.ID, "a span that is kept is on the disk")
				}
				for _, l := range out.Lost {
					require.Contains(t, string(all), l.ID, "what is lost is written down")
				}
			}
		},
	}
}

func memoryScene(t *testing.T) *scene {
	return &scene{
		name: "a monitor remembers", again: true,
		command: func(root string) ([]string, []string) {
			return helper(t, "memory-save", filepath.Join(root, "seen", "acme")), nil
		},
		check: func(t *testing.T, root, said string) {
			note, _, err := monitor.Folder(filepath.Join(root, "seen", "acme")).Load()
			require.NoError(t, err)
			last := strings.Count(said, "saved ") - 1
			if last >= 0 {
				require.NotNil(t, note, "what was seen is remembered")
			}
			if note != nil {
				var n int
				_, err = fmt.Sscanf(string(note), "checkpoint %d\n", &n)
				require.NoError(t, err, "%q", note)
				require.GreaterOrEqual(t, n, last)
			}
		},
	}
}

// backupScene writes the backup of a node with some entries over an older file.
func backupScene(t *testing.T) *scene {
	dir := t.TempDir()
	y := onboard(t, start(t, dir))
	for n := range 3 {
		_, err := y.api.Append(background(), y.tenant.Id, y.note(n))
		require.NoError(t, err)
	}
	require.Zero(t, y.terminate())
	return &scene{
		name: "a backup is written", again: true,
		prepare: func(t *testing.T, root string) {
			require.NoError(t, os.WriteFile(filepath.Join(root, "node.backup"), []byte("the one before"), 0o600))
		},
		command: func(root string) ([]string, []string) {
			return []string{binary, "backup", filepath.Join(root, "node.backup"), "--data-dir", dir, "--json"}, nil
		},
		check: func(t *testing.T, root, said string) {
			raw, err := os.ReadFile(filepath.Join(root, "node.backup"))
			require.NoError(t, err, "the old file or the new one")
			if strings.Contains(said, `"entries"`) || string(raw) != "the one before" {
				survey := backup.NewSurvey(id.DefaultVerifier(), nil)
				_, err := backup.Read(t.Context(), bytes.NewReader(raw), survey)
				require.NoError(t, err, "a backup that is there, or is said to be, is whole")
			}
		},
	}
}

// restoreScene makes a node of a backup in an empty place.
func restoreScene(t *testing.T, name string, place func(root string) []string) *scene {
	dir, archive := t.TempDir(), filepath.Join(t.TempDir(), "node.backup")
	y := onboard(t, start(t, dir))
	for n := range 3 {
		_, err := y.api.Append(background(), y.tenant.Id, y.note(n))
		require.NoError(t, err)
	}
	require.Zero(t, y.terminate())
	runs(t, dir, nil, binary, "backup", archive, "--data-dir", dir, "--with-keys")
	some := 24 // of some 700 calls, others each time; the soak takes more
	if n, err := strconv.Atoi(os.Getenv("LOGLINE_TEST_MOMENTS")); err == nil {
		some = n
	} else if testing.Short() {
		some = 12
	}
	restore := func(root string) []string {
		return append([]string{binary, "restore", archive, "--data-dir", filepath.Join(root, "new", "data"), "--json"}, place(root)...)
	}
	return &scene{
		name: name, some: some,
		command: func(root string) ([]string, []string) { return restore(root), nil },
		check: func(t *testing.T, root, said string) {
			data := filepath.Join(root, "new", "data")
			_, err := os.Stat(filepath.Join(data, "logline.db"))
			if err != nil {
				require.NotContains(t, said, `"renewed"`, "what is said to be restored is there")
				runs(t, root, nil, restore(root)...)
			}
			out := runs(t, root, nil, append([]string{binary, "fsck", "--data-dir", data, "--json"}, place(root)...)...)
			require.Contains(t, out, y.tenant.Id, "the timeline is there, whole and in order")
		},
	}
}

func inDatabase(string) []string { return nil }

func inFiles(root string) []string {
	return []string{"--timeline", "ndjson:" + filepath.Join(root, "new", "lines")}
}

// TestRestoreUnderFaults cuts the power, or makes a call fail, while a node is
// made of a backup: it is not there, and can be made again, or it is whole.
func TestRestoreUnderFaults(t *testing.T) {
	t.Parallel()
	traceable(t)
	for _, s := range []*scene{
		restoreScene(t, "database", inDatabase), restoreScene(t, "files", inFiles),
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Run("cut", func(t *testing.T) { s.cutPower(t) })
			t.Run("fail", func(t *testing.T) { s.failCalls(t) })
		})
	}
}

// TestFilesOfPeople cuts the power at each call that changes keys, profiles,
// outboxes and what monitors remember, and makes each such call fail.
func TestFilesOfPeople(t *testing.T) {
	t.Parallel()
	traceable(t)
	for _, s := range []*scene{
		identityScene(), profileScene(), rotationScene(t), memoryScene(t), refusalScene(t),
		offlineScene(t, "error"), offlineScene(t, "reject-new"), offlineScene(t, "drop-oldest"), backupScene(t),
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Run("cut", func(t *testing.T) { s.cutPower(t) })
			t.Run("fail", func(t *testing.T) { s.failCalls(t) })
		})
	}
}
