package doctor

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// found is what a check says, "state check: found", with what to do where that is
// not ok: every finding that is not ok says so.
func found(t *testing.T, fill func(*Report)) string {
	t.Helper()
	r := &Report{}
	fill(r)
	var out []string
	for _, f := range r.Findings {
		require.Equal(t, f.State == OK, f.Do == "", "%+v", f)
		out = append(out, string(f.State)+" "+f.Check+": "+f.Found)
	}
	require.Len(t, r.Findings, r.Count(OK)+r.Count(Warn)+r.Count(Fail))
	return strings.Join(out, "\n")
}

func TestFiles(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no modes there")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "node.key")
	require.NoError(t, os.WriteFile(key, nil, 0o600))
	require.NoError(t, os.Chmod(dir, 0o700))
	look := func() string {
		return found(t, func(r *Report) { r.Files([]string{key, filepath.Join(dir, "none"), ""}, []string{dir, ""}) })
	}
	require.Equal(t, "ok permissions: 2 files and folders are their owner's alone", look())
	require.NoError(t, os.Chmod(key, 0o640))
	require.Regexp(t, `^fail permissions: .*node\.key can be read or changed by its group`, look())
	require.NoError(t, os.Chmod(key, 0o600))
	require.NoError(t, os.Chmod(dir, 0o777))
	require.Regexp(t, `^fail permissions: .* lets everybody exchange the files in it`, look())
}

func TestDisk(t *testing.T) {
	t.Parallel()
	for free, want := range map[uint64]string{0: "fail", noRoom - 1: "fail", noRoom: "warn", littleRoom - 1: "warn", littleRoom: "ok", 1 << 50: "ok"} {
		require.Equal(t, want, strings.Fields(found(t, func(r *Report) { r.disk("/data", free) }))[0], free)
	}
	if runtime.GOOS == "linux" {
		dir := t.TempDir()
		require.Len(t, strings.Split(found(t, func(r *Report) { r.Disk(dir, dir+"/") }), "\n"), 1, "each disk once")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for recorded, want := range map[string]string{
		"": "ok", span.FormatTime(now.Add(-time.Hour)): "ok", span.FormatTime(now.Add(time.Second)): "ok",
		span.FormatTime(now.Add(time.Hour)): "fail", "yesterday": "fail",
	} {
		require.Equal(t, want, strings.Fields(found(t, func(r *Report) { r.Clock(now, recorded) }))[0], recorded)
	}
	for skew, want := range map[time.Duration]string{0: "ok", 2 * time.Second: "ok", -2 * time.Second: "ok", 10 * time.Second: "warn", -10 * time.Second: "warn", time.Hour: "fail", -time.Hour: "fail"} {
		require.True(t, strings.HasPrefix(found(t, func(r *Report) { r.Skew(now, now.Add(skew), 0) }), want), skew)
	}
	require.True(t, strings.HasPrefix(found(t, func(r *Report) { r.Skew(now, now.Add(10*time.Second), 9*time.Second) }), "ok"), "a slow answer is no wrong clock")
}

// TestPostgresFacts: each fact that is not as it should be is told.
func TestPostgresFacts(t *testing.T) {
	t.Parallel()
	good := serverFacts{version: 150004, fsync: "on", syncCommit: "on", user: "logline", works: "logline_app_d", encrypted: true}
	require.NotRegexp(t, "(?m)^(warn|fail)", found(t, func(r *Report) { r.server(good) }))
	for want, change := range map[string]func(*serverFacts){
		"fail database: PostgreSQL 14; 15 or newer is needed":                     func(f *serverFacts) { f.version = 140000 },
		"fail durability: the database server runs with fsync off":                func(f *serverFacts) { f.fsync = "off" },
		"warn durability: synchronous_commit is off":                              func(f *serverFacts) { f.syncCommit = "off" },
		"warn database role: the server connects as logline, a superuser":         func(f *serverFacts) { f.super = true },
		"warn database role: the server works as logline_app_d, who owns":         func(f *serverFacts) { f.owns = true },
		"fail row-level security: it does not bind on tasks, webhooks":            func(f *serverFacts) { f.open = []string{"tasks", "webhooks"} },
		"warn database connection: it is not encrypted and goes to another machi": func(f *serverFacts) { f.encrypted = false },
	} {
		bad := good
		change(&bad)
		require.Contains(t, found(t, func(r *Report) { r.server(bad) }), want)
	}
	here := good
	here.encrypted, here.local = false, true
	require.NotContains(t, found(t, func(r *Report) { r.server(here) }), "not encrypted")
}

// eachDatabase runs a test on a migrated database of both kinds.
func eachDatabase(t *testing.T, test func(t *testing.T, db *storage.DB, file string)) {
	t.Helper()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "logline.db")
			url := "sqlite:" + file
			if kind == "postgres" {
				url, file = pgtest.New(t).URL, ""
			}
			db, err := storage.Open(t.Context(), url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			require.NoError(t, db.Migrate(t.Context()))
			test(t, db, file)
		})
	}
}

func exec(t *testing.T, db *storage.DB, text string, args ...any) {
	t.Helper()
	require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
		if db.Dialect == storage.Postgres {
			if _, err := tx.Exec(storage.SetTasks, "*"); err != nil {
				return err
			}
		}
		_, err := tx.Exec(text, args...)
		return err
	}))
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *storage.DB, file string) {
		look := func() string {
			return found(t, func(r *Report) { r.Database(t.Context(), db, file); r.Work(t.Context(), db) })
		}
		text := look()
		require.Contains(t, text, "ok schema: version ")
		require.Contains(t, text, "ok followers: none is parked")
		require.Contains(t, text, "ok tasks: none has failed for good")
		if db.Dialect == storage.SQLite {
			require.NotRegexp(t, "(?m)^(warn|fail)", text)
			require.Contains(t, text, "ok durability")
			require.Contains(t, text, "ok write-ahead log")
		} else {
			require.Contains(t, text, "ok row-level security: it binds on every table of tenants")
			require.Contains(t, text, "who owns nothing")
		}

		exec(t, db, `INSERT INTO followers (tenant, name, state, step, cursor, tries, code, error, changed_by, seen_at) VALUES ('t', 'tasks', 2, 1, 0, 9, 'c', 'e', '', 0)`)
		exec(t, db, `INSERT INTO tasks (tenant, origin, action, queue, kind, name, priority, state, step, attempt, attempts, run_at, cancelling, worker, asked_by, made_at, changed_at, code, error)
			VALUES ('t', 'o', 0, 'q', 'k', 'n', 0, 3, 1, 1, 1, 0, `+map[string]string{storage.SQLite: "0", storage.Postgres: "false"}[db.Dialect]+`, '', '', 0, 0, '', '')`)
		text = look()
		require.Contains(t, text, "fail followers: 1 are parked")
		require.Contains(t, text, "warn tasks: 1 have failed for good")
	})
}

// TestPostgresTablesOpenToAll: a table of tenants that somebody took row-level
// security from is named.
func TestPostgresTablesOpenToAll(t *testing.T) {
	t.Parallel()
	own := pgtest.New(t)
	db, err := storage.Open(t.Context(), own.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	own.Exec(t, `ALTER TABLE webhooks DISABLE ROW LEVEL SECURITY`)
	require.Contains(t, found(t, func(r *Report) { r.Database(t.Context(), db, "") }), "fail row-level security: it does not bind on webhooks")
}

func TestSQLiteFacts(t *testing.T) {
	t.Parallel()
	for want, look := range map[string]func(*Report){
		"fail durability: SQLite works with synchronous=1 and": func(r *Report) { r.durability(1, "wal", nil) },
		"fail durability: SQLite works with synchronous=2 and": func(r *Report) { r.durability(2, "delete", nil) },
		"ok durability":              func(r *Report) { r.durability(2, "wal", nil) },
		"warn write-ahead log":       func(r *Report) { r.writeAheadLog("x-wal", largeLog+1) },
		"fail durability: cannot fi": func(r *Report) { r.durability(2, "wal", context.Canceled) },
	} {
		require.True(t, strings.HasPrefix(found(t, look), want), want)
	}
	// Damage is found.
	file := filepath.Join(t.TempDir(), "logline.db")
	db, err := storage.Open(t.Context(), "sqlite:"+file)
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	require.NoError(t, db.Close())
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	require.NoError(t, err)
	for page := int64(3); page < 40; page += 2 {
		_, err = f.WriteAt([]byte(strings.Repeat("damage", 100)), page*4096)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
	if db, err = storage.Open(t.Context(), "sqlite:"+file); err != nil {
		return // it does not even open
	}
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.Contains(t, found(t, func(r *Report) { r.sqlite(t.Context(), db, file) }), "fail database")
}

func TestSchemaPending(t *testing.T) {
	t.Parallel()
	db, err := storage.Open(t.Context(), "memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.Contains(t, found(t, func(r *Report) { r.Database(t.Context(), db, "") }), "warn schema: migrations are pending: the schema has version 0 of")
}

func TestKeyAges(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *storage.DB, _ string) {
		look := func(events [][]byte) string {
			return found(t, func(r *Report) { r.Keys(t.Context(), db, now, events) })
		}
		keys, err := id.NewKeys(id.SubjectNode, now.Add(-2*oldKey), rand.Reader)
		require.NoError(t, err)
		require.Contains(t, look(keys.Events()), "warn node key: it is 730 days old")
		_, err = keys.Rotate(now.Add(-time.Hour), rand.Reader)
		require.NoError(t, err)
		require.Contains(t, look(keys.Events()), "ok node key: it is 60 minutes old")
		require.Contains(t, look(nil), "ok node key: the node has none yet")
		require.Contains(t, look(nil), "ok API keys: 0 are valid")

		dir := id.NewDirectory(db, id.StdVerifier(), func() time.Time { return now })
		info, _, err := dir.Register(t.Context(), keys.Events(), "", "")
		require.NoError(t, err)
		key := func(name string, made time.Time, expires, used any) {
			exec(t, db, `INSERT INTO api_keys (id, identity, hash, types, created_by, created_at, expires_at, used_at) VALUES ($1, $2, $3, '[]', $2, $4, $5, $6)`,
				name, info.ID, []byte(name), span.FormatTime(made), expires, used)
		}
		later := span.FormatTime(now.Add(time.Hour))
		key("good", now.Add(-2*idleKey), later, span.FormatTime(now))
		key("new", now, later, nil)
		key("over", now.Add(-2*idleKey), span.FormatTime(now.Add(-time.Hour)), nil)
		require.Contains(t, look(nil), "ok API keys: 2 are valid, each with an end")
		key("idle", now.Add(-2*idleKey), later, nil)
		key("endless", now, nil, nil)
		require.Contains(t, look(nil), "warn API keys: 1 of 4 never expire")
		require.Contains(t, look(nil), "warn API keys: 1 of 4 were made more than 90 days ago and never used")
	})
}

func TestSealing(t *testing.T) {
	t.Parallel()
	since := span.FormatTime(now.Add(-time.Hour))
	by := func(name string) id.SealedBy { return id.SealedBy{ID: name, Since: since} }
	for name, c := range map[string]struct {
		sealing id.Sealing
		set     []string
		want    string
	}{
		"nothing":      {want: "ok master key: none is set, and nothing is sealed"},
		"good":         {id.Sealing{By: by("a"), Under: map[string]int{"a": 2}}, []string{"a"}, "ok master key: a seals"},
		"not set":      {id.Sealing{By: by("a"), Under: map[string]int{"a": 2}}, nil, "warn master key: none is set here, and 2 keys are sealed under a"},
		"wrong":        {id.Sealing{By: by("a"), Under: map[string]int{"a": 2}}, []string{"b"}, "fail master key: the database is sealed under a"},
		"previous":     {id.Sealing{By: by("a"), Under: map[string]int{"a": 2}}, []string{"b", "a"}, "warn master key: the database is sealed under the previous one (a)"},
		"not finished": {id.Sealing{By: by("b"), Under: map[string]int{"a": 2, "b": 1}}, []string{"b", "a"}, "warn master key: an exchange is not finished: 2 keys"},
		"still set":    {id.Sealing{By: by("b"), Under: map[string]int{"b": 3}}, []string{"b", "a"}, "warn master key: nothing is sealed under the previous one"},
		"old":          {id.Sealing{By: id.SealedBy{ID: "a", Since: span.FormatTime(now.Add(-2 * oldKey))}, Under: map[string]int{"a": 1}}, []string{"a"}, "warn master key: it has sealed for 730 days"},
	} {
		require.True(t, strings.HasPrefix(found(t, func(r *Report) { r.Sealing(c.sealing, now, c.set) }), c.want), name)
	}
}

func TestBackupAge(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *storage.DB, _ string) {
		look := func() string { return found(t, func(r *Report) { r.Backup(t.Context(), db, now) }) }
		require.Contains(t, look(), "warn backup: logline backup has never been run")
		for at, want := range map[string]string{
			span.FormatTime(now.Add(-time.Hour)): "ok backup", span.FormatTime(now.Add(-72 * time.Hour)): "warn backup: the last one by logline backup is 3 days old",
			span.FormatTime(now.Add(time.Hour)): "warn backup: the note", "some day": "warn backup: the note",
		} {
			require.NoError(t, NoteBackup(t.Context(), db, at))
			require.True(t, strings.HasPrefix(look(), want), at)
		}
	})
}

func TestServer(t *testing.T) {
	t.Parallel()
	ready := http.StatusOK
	date := now
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", date.Format(http.TimeFormat))
		if r.URL.Path == "/readyz" {
			w.WriteHeader(ready)
		}
		_, _ = w.Write([]byte("disk_full " + strings.Repeat("x", 10_000)))
	}))
	t.Cleanup(s.Close)
	look := func(url string) string {
		return found(t, func(r *Report) {
			require.NoError(t, r.Server(t.Context(), s.Client(), url, func() time.Time { return now }))
		})
	}
	text := look(s.URL)
	require.NotRegexp(t, "(?m)^(warn|fail)", text)
	date = now.Add(-time.Hour)
	require.Contains(t, look(s.URL), "fail clock of the server: the server's clock and this one are 59 minutes apart")
	date, ready = now, http.StatusServiceUnavailable
	require.Contains(t, look(s.URL), "fail server: it is not ready: disk_full")
	s.Close()
	require.Contains(t, look(s.URL), "fail server: no answer from")
	require.Contains(t, look("http://logline.invalid"), "fail way to the server: it is plain http to another machine")
	for _, url := range []string{"", "ftp://h", "http://u:" + base64.StdEncoding.EncodeToString([]byte("p")) + "@h", "https://"} {
		require.Error(t, (&Report{}).Server(t.Context(), s.Client(), url, time.Now), url)
	}
}

func TestAbout(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 seconds", 119 * time.Second: "119 seconds", 5 * time.Minute: "5 minutes", 3 * time.Hour: "3 hours", 72 * time.Hour: "3 days",
	} {
		require.Equal(t, want, About(d))
	}
}
