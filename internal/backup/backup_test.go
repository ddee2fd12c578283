package backup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// rows are tables that a test makes up.
type rows map[string][][]any

func (r rows) Names(context.Context) ([]string, error) {
	var out []string
	for _, name := range []string{"a", "b"} {
		if r[name] != nil {
			out = append(out, name)
		}
	}
	return out, nil
}

func (r rows) Rows(_ context.Context, table string, columns func([]string) error, row func([]any) error) error {
	if err := columns([]string{"k", "v"}); err != nil {
		return err
	}
	for _, values := range r[table] {
		if err := row(values); err != nil {
			return err
		}
	}
	return nil
}

var someRows = rows{
	"a": {{"x", nil}, {"<&> \u2028 \"", []byte{0, 255}}, {"y", int64(-1 << 62)}, {"z", 1.5}},
	"b": {{int64(1), []byte{}}},
}

// header is one that names a node.
func header() Header {
	return Header{Schema: 1, Node: storetest.Identity("node"), MadeAt: "2026-01-02T03:04:05.000Z", MadeBy: "test"}
}

// archived makes an archive of a story.
func archived(t testing.TB) (plain []byte, store *memstore.Store, story *storetest.Story) {
	t.Helper()
	store = memstore.New()
	story = storetest.NewStory(t, store, "acme", "")
	storetest.NewStory(t, store, "other", "")
	var out bytes.Buffer
	require.NoError(t, store.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
		sum, err := writePlain(t.Context(), &out, Source{Header: header(), Tables: someRows, Timelines: snap, Keys: []byte("the keys")})
		require.Equal(t, 2, sum.Timelines)
		require.EqualValues(t, 5, sum.Rows)
		require.Len(t, sum.Parts, 5)
		return err
	}))
	return out.Bytes(), store, story
}

// told is everything an archive says, for comparison.
type told struct{ lines []string }

func (t *told) say(format string, args ...any) error {
	t.lines = append(t.lines, fmt.Sprintf(format, args...))
	return nil
}

func (t *told) Header(h Header) error                     { return t.say("%#v", h) }
func (t *told) Table(name string, columns []string) error { return t.say("%s %q", name, columns) }
func (t *told) Row(values []any) error                    { return t.say("%#v", values) }
func (t *told) Timeline(x timeline.Tenant) error          { return t.say("%#v", x) }
func (t *told) Checkpoint(n timeline.Note) error          { return t.say("%d %s", n.Size, n.Text) }
func (t *told) Keys(file []byte) error                    { return t.say("%s", file) }
func (t *told) Entry(r *timeline.Record) error {
	return t.say("%d %s %s %s %s %s", r.Seq, r.Line, r.Payload, r.Salt, r.Detail, r.Leaf)
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	plain, store, _ := archived(t)
	var packed bytes.Buffer
	require.NoError(t, store.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
		_, err := Write(t.Context(), &packed, Source{Header: header(), Tables: someRows, Timelines: snap, Keys: []byte("the keys")})
		return err
	}))
	require.Less(t, packed.Len(), len(plain)/2)
	a, b := &told{}, &told{}
	sum, err := Read(t.Context(), bytes.NewReader(packed.Bytes()), a)
	require.NoError(t, err)
	require.Equal(t, 2, sum.Timelines)
	_, err = readPlain(t.Context(), bytes.NewReader(plain), b)
	require.NoError(t, err)
	require.Equal(t, a, b)
	all := strings.Join(a.lines, "\n")
	for _, want := range []string{`"<&> \u2028 \""`, "{0x0, 0xff}", "-4611686018427387904", "1.5", "the keys", "kept aside"} {
		require.Contains(t, all, want)
	}
	require.NotContains(t, all, "pumpernickel")
}

// TestReplay: what is loaded is, derived rows included, what was saved.
func TestReplay(t *testing.T) {
	t.Parallel()
	plain, from, story := archived(t)
	survey := NewSurvey(id.StdVerifier(), nil)
	_, err := readPlain(t.Context(), bytes.NewReader(plain), survey)
	require.NoError(t, err)
	require.Equal(t, "the keys", string(survey.KeyFile()))
	to := memstore.New()
	var progress []uint64
	_, err = readPlain(t.Context(), bytes.NewReader(plain), &Load{
		Context: t.Context(), Survey: survey, Store: to, Progress: func(_ string, done, _ uint64) { progress = append(progress, done) },
	})
	require.NoError(t, err)
	require.Equal(t, []uint64{256, 256}, progress)
	require.Equal(t, storetest.Whole(t, from, story.Tenant), storetest.Whole(t, to, story.Tenant))
	story.Reopen(to, "")
	story.Append(story.Plain(1)...)
}

// TestDamagedArchives: no cut and no changed byte passes, and nothing is said
// of it but that it is no whole backup.
func TestDamagedArchives(t *testing.T) {
	t.Parallel()
	plain, store, _ := archived(t)
	refused := func(b []byte, what string) {
		_, err := readPlain(t.Context(), bytes.NewReader(b), &told{})
		require.Error(t, err, what)
		require.Contains(t, []string{"archive_invalid", "archive_newer"}, fault.CodeOf(err), what)
	}
	for i := 0; i < len(plain); i += 1 + len(plain)/400 {
		refused(plain[:i], fmt.Sprint("cut at ", i))
		changed := bytes.Clone(plain)
		changed[i] ^= 1
		if inHeader := i < bytes.IndexByte(plain, '\n'); !inHeader { // the header says what is read after it
			refused(changed, fmt.Sprint("changed at ", i))
		}
	}
	refused(append(bytes.Clone(plain), '\n'), "something follows")
	lines := bytes.SplitAfter(plain, []byte("\n"))
	for i := 1; i < len(lines)-1; i += 1 + len(lines)/100 {
		refused(bytes.Join(append(append([][]byte{}, lines[:i]...), lines[i+1:]...), nil), fmt.Sprint("line missing ", i))
	}

	var packed bytes.Buffer
	require.NoError(t, store.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
		_, err := Write(t.Context(), &packed, Source{Header: header(), Tables: someRows, Timelines: snap})
		return err
	}))
	for i := 0; i < packed.Len(); i += 1 + packed.Len()/100 {
		_, err := Read(t.Context(), bytes.NewReader(packed.Bytes()[:i]), &told{})
		require.Equal(t, "archive_invalid", fault.CodeOf(err), "cut at %d", i)
		changed := bytes.Clone(packed.Bytes())
		changed[i] ^= 0x10
		_, err = Read(t.Context(), bytes.NewReader(changed), &told{})
		require.Error(t, err, "changed at %d", i)
	}
}

func TestNewerForm(t *testing.T) {
	t.Parallel()
	_, err := readPlain(t.Context(), strings.NewReader(`{"logline":"backup","v":2,"else":[]}`+"\n"), &told{})
	require.Equal(t, "archive_newer", fault.CodeOf(err))
	require.ErrorContains(t, err, "knows only 1")
}

// TestDamagedTimelineIsNotSaved: a backup that nobody could restore is refused
// when it is made.
func TestDamagedTimelineIsNotSaved(t *testing.T) {
	t.Parallel()
	for _, damage := range []string{
		`UPDATE timeline_entries SET line = x'7b' WHERE position = (1 << 40) + 20`,
		`UPDATE timeline_entries SET payload = x'7b7d' WHERE position = (1 << 40) + 20`,
		`UPDATE timeline_entries SET salt = NULL WHERE position = (1 << 40) + 20`,
		`UPDATE timeline_entries SET payload = NULL, salt = NULL WHERE position = (1 << 40) + 20`,
		`UPDATE timeline_entries SET payload = x'7b7d', salt = 'AAAAAAAAAAAAAAAAAAAAAA' WHERE redacted = 1`,
		`UPDATE timeline_heads SET root = zeroblob(32)`,
		`DELETE FROM timeline_checkpoints WHERE size > 100`,
		`DELETE FROM timeline_entries WHERE position > (1 << 40) + 20`,
	} {
		db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
		require.NoError(t, err)
		require.NoError(t, db.Migrate(t.Context()))
		store := storeOf(db)
		storetest.NewStory(t, store, "acme", "")
		save := func() error {
			return store.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
				_, err := Write(t.Context(), io.Discard, Source{Header: header(), Tables: someRows, Timelines: snap})
				return err
			})
		}
		require.NoError(t, save())
		_, err = db.Write.Exec(damage)
		require.NoError(t, err)
		require.Equal(t, "timeline_damaged", fault.CodeOf(save()), damage)
		require.NoError(t, store.Close())
		require.NoError(t, db.Close())
	}
}

// TestSQLTables: every table is in a backup, or known to be left out; rows come
// back as they were.
func TestSQLTables(t *testing.T) {
	t.Parallel()
	fill := `INSERT INTO identities VALUES ('i', 'person', NULL, 'Ana', 'active', $1, 1, NULL)`
	open := func() (*storage.DB, *told) {
		db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "x.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, db.Migrate(t.Context()))
		return db, &told{}
	}
	from, before := open()
	_, err := from.Write.Exec(fill, []byte{1, 2})
	require.NoError(t, err)
	_, err = from.Write.Exec(`INSERT INTO identity_events VALUES ('i', 0, x'00', x'01', 't'); INSERT INTO settings VALUES ('k', x'ff')`)
	require.NoError(t, err)
	var out bytes.Buffer
	tx, err := from.BeginSnapshot(t.Context())
	require.NoError(t, err)
	tables := SQLTables{Tx: tx, Dialect: from.Dialect}
	names, err := tables.Names(t.Context())
	require.NoError(t, err)
	require.Subset(t, names, []string{"identities", "identity_events", "settings", "sealed_keys", "api_keys", "timeline_cosignatures"})
	require.NotContains(t, names, "feed_tickets", "they are good for seconds, and whoever has a backup should have none")
	require.NotContains(t, names, "timeline_entries")
	require.NotContains(t, names, "timeline_tenants")
	at := func(name string) int { return strings.Index(strings.Join(names, " "), name) }
	require.Less(t, at("identities"), at("api_keys"))
	require.Less(t, at("identities"), at("identity_events"))
	_, err = writePlain(t.Context(), &out, Source{Header: header(), Tables: tables, Timelines: nothing{}})
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	_, err = readPlain(t.Context(), bytes.NewReader(out.Bytes()), before)
	require.NoError(t, err)

	to, after := open()
	load, err := to.Write.Begin()
	require.NoError(t, err)
	_, err = readPlain(t.Context(), bytes.NewReader(out.Bytes()), &Load{Context: t.Context(), Tables: &SQLTables{Tx: load, Dialect: to.Dialect}})
	require.NoError(t, err)
	out.Reset()
	_, err = writePlain(t.Context(), &out, Source{Header: header(), Tables: SQLTables{Tx: load, Dialect: to.Dialect}, Timelines: nothing{}})
	require.NoError(t, err)
	require.NoError(t, load.Rollback())
	_, err = readPlain(t.Context(), bytes.NewReader(out.Bytes()), after)
	require.NoError(t, err)
	require.Equal(t, before, after)

	tx, err = to.Write.Begin()
	require.NoError(t, err)
	_, err = SQLTables{Tx: tx, Dialect: to.Dialect}.Insert(t.Context(), "settings", []string{"key", "colour"})
	require.Equal(t, "archive_unfit", fault.CodeOf(err))
	require.NoError(t, tx.Rollback())
}

// nothing is a snapshot of no timelines.
type nothing struct{ timeline.Snapshot }

func (nothing) Tenants(context.Context) ([]timeline.Tenant, error) { return nil, nil }

// FuzzRead: an archive that is accepted says the same when it is written again
// from what was said, so that nothing passes that a reader only half understood.
func FuzzRead(f *testing.F) {
	store := memstore.New()
	storetest.NewBeginning(f, store, "acme", "")
	var short, small bytes.Buffer
	require.NoError(f, store.Snapshot(f.Context(), func(snap timeline.Snapshot) error {
		_, err := writePlain(f.Context(), &short, Source{Header: header(), Tables: rows{}, Timelines: snap})
		return err
	}))
	_, err := writePlain(f.Context(), &small, Source{Header: header(), Tables: someRows, Timelines: nothing{}, Keys: []byte("k")})
	require.NoError(f, err)
	f.Add(small.Bytes())
	f.Add(short.Bytes())
	f.Add([]byte(`{"logline":"backup","v":1}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		heard := &again{}
		if _, err := readPlain(t.Context(), bytes.NewReader(b), heard); err != nil {
			require.Contains(t, []string{"archive_invalid", "archive_newer"}, fault.CodeOf(err))
			return
		}
		var out bytes.Buffer
		_, err := writePlain(t.Context(), &out, Source{Header: heard.header, Tables: heard, Timelines: heard, Keys: heard.keys})
		if fault.CodeOf(err) == "timeline_damaged" {
			return // well-formed, and a restore says what is wrong with it
		}
		require.NoError(t, err)
		one, two := &told{}, &told{}
		_, err = readPlain(t.Context(), bytes.NewReader(b), one)
		require.NoError(t, err)
		_, err = readPlain(t.Context(), bytes.NewReader(out.Bytes()), two)
		require.NoError(t, err)
		require.Equal(t, one, two)
	})
}

// FuzzPacked: bytes that are no archive are refused as that, whatever they
// decompress to.
func FuzzPacked(f *testing.F) {
	var small bytes.Buffer
	_, err := Write(f.Context(), &small, Source{Header: header(), Tables: someRows, Timelines: nothing{}})
	require.NoError(f, err)
	f.Add(small.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Read(t.Context(), bytes.NewReader(b), &told{}); err != nil {
			require.Contains(t, []string{"archive_invalid", "archive_newer"}, fault.CodeOf(err))
			return
		}
		z, err := zstd.NewReader(bytes.NewReader(b))
		require.NoError(t, err)
		defer z.Close()
		_, err = readPlain(t.Context(), z, &told{})
		require.NoError(t, err)
	})
}

// Rows that decisions depend on are not in an archive: they are made again.
func TestReplayMakesDecisionRows(t *testing.T) {
	t.Parallel()
	from := memstore.New()
	story := storetest.NewFoldedStory(t, from, "acme", "")
	var out bytes.Buffer
	require.NoError(t, from.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
		_, err := writePlain(t.Context(), &out, Source{Header: header(), Tables: someRows, Timelines: snap})
		return err
	}))
	require.NotContains(t, out.String(), "~sum/")
	survey := NewSurvey(id.StdVerifier(), storetest.Folder{})
	_, err := readPlain(t.Context(), bytes.NewReader(out.Bytes()), survey)
	require.NoError(t, err)
	to := memstore.New()
	_, err = readPlain(t.Context(), bytes.NewReader(out.Bytes()), &Load{Context: t.Context(), Survey: survey, Store: to})
	require.NoError(t, err)
	asked, err := to.Rows(t.Context(), story.Tenant, []timeline.Ask{{Low: "~sum/", High: "~sum0", Limit: 3}})
	require.NoError(t, err)
	require.Len(t, asked.Rows[0], 3)
	require.Equal(t, storetest.Whole(t, from, story.Tenant), storetest.Whole(t, to, story.Tenant))
	story.Reopen(to, "")
	story.Append(story.Plain(1)...)
}
