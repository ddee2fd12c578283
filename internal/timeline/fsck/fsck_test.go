package fsck_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/fsck"
	"github.com/danvoulez/logline/internal/timeline/memstore"
	"github.com/danvoulez/logline/internal/timeline/sqlitestore"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

func check(t *testing.T, k timeline.Keeper, tenant string, opt fsck.Options) *fsck.Result {
	t.Helper()
	opt.Verifier = id.DefaultVerifier()
	var res *fsck.Result
	require.NoError(t, k.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
		tenants, err := snap.Tenants(t.Context())
		require.NoError(t, err)
		for _, one := range tenants {
			if one.ID == tenant {
				res, err = fsck.Check(t.Context(), snap, one, opt)
				require.NoError(t, err)
			}
		}
		return nil
	}))
	require.NotNil(t, res)
	return res
}

func told(res *fsck.Result) string {
	var out []string
	for _, f := range res.Findings {
		out = append(out, f.String())
	}
	return strings.Join(out, "\n")
}

func lines(t *testing.T, k timeline.Keeper, tenant string) (out []timeline.Record, notes []timeline.Note) {
	t.Helper()
	require.NoError(t, k.Snapshot(t.Context(), func(snap timeline.Snapshot) error {
		for {
			page, err := snap.Entries(t.Context(), tenant, uint64(len(out)))
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			out = append(out, page...)
		}
		var err error
		notes, err = snap.Checkpoints(t.Context(), tenant, 0, 1000)
		require.NoError(t, err)
		return nil
	}))
	for i := range out { // what is derived is not what must stay
		out[i].Leaf, out[i].Status, out[i].Redacted = [32]byte{}, "", false
	}
	return out, notes
}

func TestSoundTimeline(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	s := storetest.NewStory(t, store, "acme", "")
	var told []uint64
	res := check(t, store, s.Tenant, fsck.Options{Progress: func(done, total uint64) { told = append(told, done, total) }})
	require.Empty(t, res.Findings)
	require.Empty(t, res.Unchecked)
	require.True(t, res.OK())
	require.False(t, res.CanRepair())
	require.Greater(t, res.Entries, uint64(300))
	require.Greater(t, res.Checkpoints, uint64(8))
	require.Equal(t, []uint64{256, 2 * res.Entries, 512, 2 * res.Entries}, told)
	require.Equal(t, "repair_impossible", fault.CodeOf(fsck.Repair(t.Context(), store, res)))
}

// sqlite is a story in a SQLite file, to be damaged.
type sqlite struct {
	*storetest.Story
	db    *storage.DB
	store *sqlitestore.Store
	path  string
	notes string
}

// template is a database with the story, copied for each test.
func template(t *testing.T) func(*testing.T) *sqlite {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "logline.db")
	notes := filepath.Join(dir, "notes")
	require.NoError(t, os.Mkdir(notes, 0o700))
	db, store := open(t, path)
	story := storetest.NewStory(t, store, "acme", notes)
	other := storetest.NewStory(t, store, "other", "")
	require.NotEqual(t, story.Tenant, other.Tenant)
	require.NoError(t, store.Close())
	require.NoError(t, db.Close())
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	return func(t *testing.T) *sqlite {
		t.Helper()
		s := &sqlite{path: filepath.Join(t.TempDir(), "logline.db"), notes: t.TempDir()}
		require.NoError(t, os.CopyFS(s.notes, os.DirFS(notes)))
		require.NoError(t, os.WriteFile(s.path, raw, 0o600))
		s.db, s.store = open(t, s.path)
		copied := *story
		s.Story = &copied
		return s
	}
}

func open(t *testing.T, path string) (*storage.DB, *sqlitestore.Store) {
	t.Helper()
	db, err := storage.Open(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	store := sqlitestore.NewStore(db)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return db, store
}

// damage is one statement and what must be said about it. T is the short key
// of the tenant, P the position of its entry 0, X that of the erased one.
type damage struct {
	name, statement string
	kind, says      string
	seq             int // -1: about none
	lasting         bool
}

var damages = []damage{
	{name: "leaf", statement: `UPDATE timeline_entries SET leaf = zeroblob(32) WHERE position = P + 20`, kind: fsck.KindIndex, says: "leaf is stored as", seq: 20},
	{name: "leaf of a wrong length", statement: `UPDATE timeline_entries SET leaf = x'00' WHERE position = P + 20`, kind: fsck.KindIndex, says: "leaf is stored as", seq: 20},
	{name: "time", statement: `UPDATE timeline_entries SET recorded_at = '2020-01-01T00:00:00.000Z' WHERE position = P + 20`, kind: fsck.KindIndex, says: "recorded_at is stored as", seq: 20},
	{name: "type", statement: `UPDATE timeline_entries SET type = 'x' WHERE position = P + 20`, kind: fsck.KindIndex, says: "type is stored as", seq: 20},
	{name: "author", statement: `UPDATE timeline_entries SET author = 'x' WHERE position = P + 20`, kind: fsck.KindIndex, says: "author is stored as", seq: 20},
	{name: "on behalf of", statement: `UPDATE timeline_entries SET on_behalf_of = 'x' WHERE position = P + 20`, kind: fsck.KindIndex, says: `on_behalf_of "x" is stored`, seq: 20},
	{name: "on behalf of nobody", statement: `UPDATE timeline_entries SET on_behalf_of = NULL WHERE tenant = T AND on_behalf_of IS NOT NULL`, kind: fsck.KindIndex, says: "on_behalf_of", seq: 9},
	{name: "subject", statement: `UPDATE timeline_entries SET subject = 'diary 2' WHERE tenant = T AND subject = 'diary 1'`, kind: fsck.KindIndex, says: `subject is stored as "diary 2"; it is "diary 1"`, seq: 9},
	{name: "visibility", statement: `UPDATE timeline_entries SET visibility = 2 WHERE tenant = T AND visibility = 0`, kind: fsck.KindIndex, says: `visibility is stored as "public"; it is "private"`, seq: 9},
	{name: "no visibility", statement: `UPDATE timeline_entries SET visibility = 7 WHERE tenant = T AND visibility = 0`, kind: fsck.KindIndex, says: `visibility is stored as ""`, seq: 9},
	{name: "status", statement: `UPDATE timeline_entries SET status = 'executed' WHERE tenant = T AND status = 'reverted'`, kind: fsck.KindIndex, says: `status is stored as "executed"; it is "reverted"`, seq: 8},
	{name: "pending status", statement: `UPDATE timeline_entries SET status = 'executed' WHERE tenant = T AND status = 'pending'`, kind: fsck.KindIndex, says: `it is "pending"`, seq: 12},
	{name: "flagged redacted", statement: `UPDATE timeline_entries SET redacted = 1 WHERE position = P + 20`, kind: fsck.KindIndex, says: `redacted is stored as "true"`, seq: 20},
	{name: "not flagged redacted", statement: `UPDATE timeline_entries SET redacted = 0 WHERE tenant = T`, kind: fsck.KindIndex, says: `redacted is stored as "false"`, seq: 7},
	{name: "erased content back", statement: `UPDATE timeline_entries SET payload = x'7b7d', salt = 'AAAAAAAAAAAAAAAAAAAAAA' WHERE tenant = T AND redacted = 1`, kind: fsck.KindErased, says: "still there", seq: 7},
	{name: "erased detail back", statement: `UPDATE timeline_entries SET detail = x'7b7d' WHERE tenant = T AND redacted = 1`, kind: fsck.KindErased, says: "still there", seq: 7},
	{name: "payload of a reverted span", statement: `UPDATE timeline_entries SET payload = x'7b7d' WHERE tenant = T AND status = 'reverted'`, kind: fsck.KindPayload, says: "payload and salt are not those", seq: 8, lasting: true},
	{name: "a tag less", statement: `DELETE FROM timeline_tags WHERE tenant = T AND tag = 'red'`, kind: fsck.KindIndex, says: `tag "red" is not stored`, seq: 9},
	{name: "a tag more", statement: `INSERT INTO timeline_tags VALUES (T, 'green', 20)`, kind: fsck.KindIndex, says: `tag "green" is stored and does not follow`, seq: 20},
	{name: "a tag of nothing", statement: `INSERT INTO timeline_tags VALUES (T, 'green', 9999)`, kind: fsck.KindIndex, says: `1 index rows of entries that do not exist`, seq: -1},
	{name: "causes", statement: `DELETE FROM timeline_links WHERE tenant = T AND kind = 0`, kind: fsck.KindIndex, says: `cause "`, seq: 9},
	{name: "target", statement: `UPDATE timeline_links SET kind = 0 WHERE tenant = T AND kind = 1`, kind: fsck.KindIndex, says: `target "`, seq: -2},
	{name: "an id less", statement: `DELETE FROM timeline_ids WHERE tenant = T AND seq = 20`, kind: fsck.KindIndex, says: `span id "`, seq: 20},
	{name: "an id moved", statement: `UPDATE timeline_ids SET seq = 21 WHERE tenant = T AND seq = 20`, kind: fsck.KindIndex, says: `span id "`, seq: 20},
	{name: "an id of a wrong length", statement: `UPDATE timeline_ids SET id = x'01' WHERE tenant = T AND seq = 20`, kind: fsck.KindIndex, says: `span id is stored as "AQ"`, seq: 20},
	{name: "a refused id", statement: `UPDATE timeline_ids SET spent = 0 WHERE tenant = T AND spent = 1`, kind: fsck.KindIndex, says: `refused id "`, seq: -2},
	{name: "subtree", statement: `UPDATE timeline_hashes SET hash = zeroblob(32) WHERE tenant = T`, kind: fsck.KindTree, says: "begins at entry 0 is not that of the lines", seq: -1},
	{name: "no subtree", statement: `DELETE FROM timeline_hashes WHERE tenant = T`, kind: fsck.KindTree, says: "is not stored", seq: -1},
	{name: "a subtree more", statement: `INSERT INTO timeline_hashes VALUES (T, 16, 0, zeroblob(32))`, kind: fsck.KindTree, says: "not complete", seq: -1},
	{name: "head size", statement: `UPDATE timeline_heads SET size = size - 1 WHERE tenant = T`, kind: fsck.KindHead, says: "the head is at", seq: -1},
	{name: "head root", statement: `UPDATE timeline_heads SET root = zeroblob(32) WHERE tenant = T`, kind: fsck.KindHead, says: "the head is at", seq: -1},
	{name: "head time", statement: `UPDATE timeline_heads SET recorded_at = 'x' WHERE tenant = T`, kind: fsck.KindHead, says: "the head's time", seq: -1},
	{name: "head edge", statement: `UPDATE timeline_heads SET edge = x'00' WHERE tenant = T`, kind: fsck.KindHead, says: "the head's edge", seq: -1},
	{name: "head checkpoint", statement: `UPDATE timeline_heads SET checkpoint = x'00' WHERE tenant = T`, kind: fsck.KindHead, says: "the head's checkpoint", seq: -1},
	{name: "no head", statement: `DELETE FROM timeline_heads WHERE tenant = T`, kind: fsck.KindHead, says: "the head is at 0 entries", seq: -1},
	{name: "state value", statement: `UPDATE timeline_state SET value = x'00' WHERE tenant = T AND key = 'founding'`, kind: fsck.KindState, says: `row "founding" is not what`, seq: -1},
	{name: "a state row less", statement: `DELETE FROM timeline_state WHERE tenant = T AND key LIKE 'pending/%'`, kind: fsck.KindState, says: `lacks the row "pending/`, seq: -1},
	{name: "a state row more", statement: `INSERT INTO timeline_state VALUES (T, 'member/x', x'00')`, kind: fsck.KindState, says: `a row "member/x" that does not follow`, seq: -1},
	{name: "identity held less", statement: `DELETE FROM timeline_identities WHERE tenant = T`, kind: fsck.KindIndex, says: "which is not noted", seq: -1},
	{name: "identity held more", statement: `INSERT INTO timeline_identities VALUES ('x', T)`, kind: fsck.KindIndex, says: "noted to hold the identity x", seq: -1},
	{name: "slug", statement: `UPDATE timeline_tenants SET slug = 'x' WHERE tenant = T`, kind: fsck.KindTenant, says: `the tenant's slug is stored as "x"; the lines say "acme"`, seq: -1},
	{name: "name", statement: `UPDATE timeline_tenants SET name = 'x' WHERE tenant = T`, kind: fsck.KindTenant, says: "the tenant's name", seq: -1},
	{name: "node", statement: `UPDATE timeline_tenants SET node = 'x' WHERE tenant = T`, kind: fsck.KindTenant, says: "the tenant's node", seq: -1},
	{name: "owner", statement: `UPDATE timeline_tenants SET owner = 'x' WHERE tenant = T`, kind: fsck.KindTenant, says: "the tenant's owner", seq: -1},
	{name: "origin", statement: `UPDATE timeline_tenants SET origin = 'x' WHERE tenant = T`, kind: fsck.KindTenant, says: "the tenant's origin", seq: -1},
	{name: "log key", statement: `UPDATE timeline_tenants SET log_key = 'x' WHERE tenant = T`, kind: fsck.KindTenant, says: "the tenant's log key", seq: -1},

	{name: "line altered", statement: `UPDATE timeline_entries SET line = CAST(replace(CAST(line AS TEXT), 'note.taken', 'note.faked') AS BLOB) WHERE position = P + 20`, kind: fsck.KindLine, says: "the line cannot be read|the line was altered", seq: 20, lasting: true},
	{name: "line broken", statement: `UPDATE timeline_entries SET line = x'7b' WHERE position = P + 20`, kind: fsck.KindLine, says: "the line cannot be read", seq: 20, lasting: true},
	{name: "line and leaf altered", statement: `UPDATE timeline_entries SET line = (SELECT line FROM timeline_entries WHERE position = P + 21), leaf = zeroblob(32) WHERE position = P + 20`, kind: fsck.KindLine, says: "the line says that it is entry 21", seq: 20, lasting: true},
	{name: "entry missing", statement: `DELETE FROM timeline_entries WHERE position = P + 20`, kind: fsck.KindLine, says: "entry 20 is missing", seq: 20, lasting: true},
	{name: "last entry missing", statement: `DELETE FROM timeline_entries WHERE position = (SELECT max(position) FROM timeline_entries WHERE tenant = T)`, kind: fsck.KindLine, says: "on are missing", seq: -2, lasting: true},
	{name: "payload altered", statement: `UPDATE timeline_entries SET payload = x'7b7d' WHERE position = P + 20`, kind: fsck.KindPayload, says: "payload and salt are not those", seq: 20, lasting: true},
	{name: "salt gone", statement: `UPDATE timeline_entries SET salt = NULL WHERE position = P + 20`, kind: fsck.KindPayload, says: "payload and salt are not those", seq: 20, lasting: true},
	{name: "payload gone", statement: `UPDATE timeline_entries SET payload = NULL, salt = NULL WHERE position = P + 20`, kind: fsck.KindPayload, says: "no redaction says so", seq: 20, lasting: true},
	{name: "a detail more", statement: `UPDATE timeline_entries SET detail = x'7b7d' WHERE position = P + 20`, kind: fsck.KindPayload, says: "a detail is kept", seq: 20, lasting: true},
	{name: "detail altered", statement: `UPDATE timeline_entries SET detail = x'7b7d' WHERE position = P + 9`, kind: fsck.KindPayload, says: "detail is not the one", seq: 9, lasting: true},
	{name: "genesis payload gone", statement: `UPDATE timeline_entries SET payload = NULL, salt = NULL WHERE position = P`, kind: fsck.KindRules, says: "the payload of a logline.genesis span is never withheld", seq: 0, lasting: true},
	{name: "checkpoint altered", statement: `UPDATE timeline_checkpoints SET note = x'00' WHERE tenant = T AND size = 7`, kind: fsck.KindCheckpoint, says: "the checkpoint of 7 entries cannot be read", seq: -1, lasting: true},
	{name: "checkpoint of another size", statement: `UPDATE timeline_checkpoints SET note = (SELECT note FROM timeline_checkpoints WHERE tenant = T AND size > 7 LIMIT 1) WHERE tenant = T AND size = 7`, kind: fsck.KindCheckpoint, says: "is one of", seq: -1, lasting: true},
	{name: "checkpoint signature", statement: `UPDATE timeline_checkpoints SET note = CAST(replace(CAST(note AS TEXT), '/0 ', '/1 ') AS BLOB) WHERE tenant = T AND size = 7`, kind: fsck.KindCheckpoint, says: "is not signed by the log's key", seq: -1, lasting: true},
	{name: "last checkpoint gone", statement: `DELETE FROM timeline_checkpoints WHERE tenant = T AND size = (SELECT size FROM timeline_heads WHERE tenant = T)`, kind: fsck.KindCheckpoint, says: "only the head's copy does", seq: -1, lasting: true},
	{name: "checkpoint of more", statement: `INSERT INTO timeline_checkpoints VALUES (T, 99999, x'00')`, kind: fsck.KindLine, says: "a checkpoint of 99999 entries", seq: -2, lasting: true},
}

// TestDamage: each damage is named; what is derived is mended, so that a second
// check finds nothing and appends go on; what is not is left as it is.
func TestDamage(t *testing.T) {
	t.Parallel()
	fresh := template(t)
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := fresh(t)
			var key int64
			require.NoError(t, s.db.Read.QueryRow(`SELECT tenant FROM timeline_tenants WHERE slug = 'acme'`).Scan(&key))
			before, notes := lines(t, s.store, s.Tenant)
			statement := strings.NewReplacer(" T)", fmt.Sprintf(" %d)", key), "= T", fmt.Sprintf("= %d", key), "(T,", fmt.Sprintf("(%d,", key),
				", T)", fmt.Sprintf(", %d)", key), "= P", fmt.Sprintf("= %d", key<<40)).Replace(d.statement)
			result, err := s.db.Write.Exec(statement)
			require.NoError(t, err, statement)
			n, err := result.RowsAffected()
			require.NoError(t, err)
			require.NotZero(t, n, "the statement damages nothing")

			res := check(t, s.store, s.Tenant, fsck.Options{})
			require.False(t, res.OK())
			require.True(t, hasFinding(res, d), "found only:\n%s", told(res))
			if d.lasting {
				require.True(t, res.Damaged())
				for _, f := range res.Findings {
					require.NotEmpty(t, f.Do)
				}
				return
			}
			require.False(t, res.Damaged(), told(res))
			require.True(t, res.CanRepair())
			require.NoError(t, fsck.Repair(t.Context(), s.store, res))
			require.Empty(t, told(check(t, s.store, s.Tenant, fsck.Options{})))
			after, notesAfter := lines(t, s.store, s.Tenant)
			require.Equal(t, before, after)
			require.Equal(t, notes, notesAfter)

			s.db, s.store = open(t, s.path) // as a server would start
			s.Reopen(s.store, s.notes)
			s.Append(s.Plain(2)...)
			require.Empty(t, told(check(t, s.store, s.Tenant, fsck.Options{})))
		})
	}
}

func hasFinding(res *fsck.Result, d damage) bool {
	for _, f := range res.Findings {
		said := false
		for _, words := range strings.Split(d.says, "|") {
			said = said || strings.Contains(f.Detail, words)
		}
		at := d.seq == -2 || d.seq == -1 && f.Seq == nil || f.Seq != nil && d.seq == int(*f.Seq)
		if said && at && f.Kind == d.kind && f.Repairable == !d.lasting {
			return true
		}
	}
	return false
}

// TestNoteOfOlderCopy: what was given out and the database lacks is named.
func TestNoteOfOlderCopy(t *testing.T) {
	t.Parallel()
	s := template(t)(t)
	given, err := timeline.GivenOut(s.notes, s.Tenant)
	require.NoError(t, err)
	require.True(t, check(t, s.store, s.Tenant, fsck.Options{Note: given}).OK())
	s.Reopen(s.store, "")
	s.Append(s.Plain(1)...)
	require.True(t, check(t, s.store, s.Tenant, fsck.Options{Note: given}).OK(), "an older note is no news")

	other := *given
	other.Root[0] ^= 1
	require.Contains(t, told(check(t, s.store, s.Tenant, fsck.Options{Note: &other})), "has other entries up to there")
	other = *given
	other.Size += 10
	require.Contains(t, told(check(t, s.store, s.Tenant, fsck.Options{Note: &other})), "it is an older copy")
	other = *given
	other.Origin.Epoch++
	res := check(t, s.store, s.Tenant, fsck.Options{Note: &other})
	require.Contains(t, told(res), "was given out and the database is at epoch 1")
	require.False(t, res.CanRepair())
	res = check(t, s.store, s.Tenant, fsck.Options{NoteUnreadable: fault.New(fault.Unavailable, "x", "no way to read it")})
	require.Equal(t, "note: no way to read it", told(res))
}

// TestRepairOfGrownTimeline: a repair is for what was checked.
func TestRepairOfGrownTimeline(t *testing.T) {
	t.Parallel()
	s := template(t)(t)
	_, err := s.db.Write.Exec(`DELETE FROM timeline_tags`)
	require.NoError(t, err)
	res := check(t, s.store, s.Tenant, fsck.Options{})
	require.True(t, res.CanRepair())
	s.Reopen(s.store, "")
	s.Append(s.Plain(1)...)
	require.ErrorIs(t, fsck.Repair(t.Context(), s.store, res), timeline.ErrRebuildStale)
	require.False(t, res.Repaired)
}

// TestManyFindings: the rest is counted.
func TestManyFindings(t *testing.T) {
	t.Parallel()
	s := template(t)(t)
	_, err := s.db.Write.Exec(`UPDATE timeline_entries SET type = 'x'`)
	require.NoError(t, err)
	res := check(t, s.store, s.Tenant, fsck.Options{})
	require.Len(t, res.Findings, 100)
	require.EqualValues(t, res.Entries, res.FindingCount)
	require.NoError(t, fsck.Repair(t.Context(), s.store, res))
	require.True(t, check(t, s.store, s.Tenant, fsck.Options{}).OK())
}

// TestImportedTimeline: what another node writes may have another slug here.
func TestImportedTimeline(t *testing.T) {
	t.Parallel()
	s := template(t)(t)
	_, err := s.db.Write.Exec(`UPDATE timeline_tenants SET slug = 'theirs' WHERE slug = 'acme'`)
	require.NoError(t, err)
	require.Contains(t, told(check(t, s.store, s.Tenant, fsck.Options{Node: s.Node.ID()})), "the tenant's slug")
	require.Empty(t, told(check(t, s.store, s.Tenant, fsck.Options{Node: storetest.Identity("other")})))

	_, err = s.db.Write.Exec(`DELETE FROM timeline_tags`)
	require.NoError(t, err)
	res := check(t, s.store, s.Tenant, fsck.Options{Node: storetest.Identity("other")})
	require.NoError(t, fsck.Repair(t.Context(), s.store, res))
	held, err := s.store.TenantByID(t.Context(), s.Tenant)
	require.NoError(t, err)
	require.Equal(t, "theirs", held.Slug)
}

// A repair whose store fails, or whose answer is lost, has happened or not; the
// next one finds nothing left or does it.
func TestRepairOnAFailingStore(t *testing.T) {
	t.Parallel()
	sound := template(t)
	for _, what := range storetest.AllFaults {
		t.Run(string(what), func(t *testing.T) {
			t.Parallel()
			s, faults := sound(t), &storetest.Faults{}
			_, err := s.db.Write.Exec(`DELETE FROM timeline_tags`)
			require.NoError(t, err)
			res := check(t, s.store, s.Tenant, fsck.Options{})
			require.True(t, res.CanRepair())
			before, notes := lines(t, s.store, s.Tenant)

			faults.ArmCall("Rebuild", 0, what)
			err = fsck.Repair(t.Context(), storetest.NewFaultyStore(s.store, faults), res)
			require.Equal(t, "Rebuild", faults.Disarm())
			require.Equal(t, what == storetest.IsSlow, err == nil, "%v", err)
			require.Equal(t, err == nil, res.Repaired, "only what is known to be done is said to be")

			res = check(t, s.store, s.Tenant, fsck.Options{})
			require.Equal(t, what == storetest.IsSlow || what == storetest.FailsAfter, res.OK(), told(res))
			if !res.OK() {
				require.NoError(t, fsck.Repair(t.Context(), s.store, res))
			}
			require.True(t, check(t, s.store, s.Tenant, fsck.Options{}).OK())
			after, notesAfter := lines(t, s.store, s.Tenant)
			require.Equal(t, before, after)
			require.Equal(t, notes, notesAfter)
		})
	}
}
