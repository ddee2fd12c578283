package systemtest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// secret is a word that nothing else holds.
func secret() string { return "xq" + strings.ToLower(rand.Text()) }

// doomed is what a test erases of a node.
type doomed struct {
	y       *tenancy
	spans   [][]byte
	words   []string // one of each span
	kept    string   // a word of a span that stays
	texts   []string // that every erased text begins with: what must be found nowhere
	person  *id.Keys
	proof   []byte // of the first span, made before
	bundle  []byte // exported before
	head    tree.Checkpoint
	receipt *client.Receipt
}

// newDoomed records n spans to be erased among as many that stay, each with
// words of its own in its payload, plain and in base64, some of them long, and
// a person with a handle and a name.
func newDoomed(y *tenancy, n int) *doomed {
	y.t.Helper()
	d := &doomed{y: y, person: newKeys(y.t), kept: secret()}
	mark, salt := secret(), make([]byte, 16)
	_, _ = rand.Read(salt[:9])
	aligned := mark[:len(mark)/3*3]
	d.texts = []string{mark, base64.StdEncoding.EncodeToString([]byte(aligned)), span.B64(salt[:9])}
	var lines [][]byte
	for i := range n {
		word := fmt.Sprint(mark, i)
		payload := fmt.Sprintf(`{"b64":%q,"deep":[{"again":%q}],"text":"%s %0*d"}`, base64.StdEncoding.EncodeToString([]byte(word)), word, word, i*37%900+1, i)
		if i%50 == 7 {
			payload = fmt.Sprintf(`{"text":%q}`, strings.Repeat(word+" ", 600))
		}
		salt[14], salt[15] = byte(i>>8), byte(i)
		doomed, err := id.SealSpan(y.owner.Signer(), headerOf(y.seal(y.owner.Signer(), y.owner.ID(), []byte(`{}`))), []byte(payload), salt)
		require.NoError(y.t, err)
		raw := doomed.Canonical()
		d.spans, d.words = append(d.spans, raw), append(d.words, word)
		lines = append(lines, raw, y.seal(y.owner.Signer(), y.owner.ID(), fmt.Appendf(nil, `{"text":"%s%d"}`, d.kept, i)))
	}
	// In batches of all sizes, so that pages are filled and split in all ways.
	swift := y.swift()
	for at, size := 0, 1; at < len(lines); at, size = at+size, size*7%23+1 {
		results, err := swift.AppendMany(background(), y.tenant.Id, lines[at:min(at+size, len(lines))])
		require.NoError(y.t, err)
		for _, r := range results {
			require.Nil(y.t, r.Problem)
		}
	}
	handle, name := secret(), secret()+" Of That Name"
	registration := client.Registration{Handle: handle, Name: name}
	for _, e := range d.person.Events() {
		registration.Events = append(registration.Events, json.RawMessage(e))
	}
	_, _, err := y.api.Register(background(), registration)
	if err != nil { // a handle takes the identity's own signature
		own := y.server.client(client.WithSigner(d.person.Signer(), d.person.ID(), y.node))
		_, _, err = own.Register(background(), registration)
	}
	require.NoError(y.t, err)
	d.texts = append(d.texts, handle, name)

	first := spanID(d.spans[0])
	d.proof, err = y.api.ReceiptProof(background(), y.tenant.Id, first, false)
	require.NoError(y.t, err)
	d.receipt, err = y.api.Receipt(background(), y.tenant.Id, first)
	require.NoError(y.t, err)
	var whole bytes.Buffer
	require.NoError(y.t, swift.Bundle(background(), y.tenant.Id, &whole, 0, 0))
	d.bundle, d.head = whole.Bytes(), y.checkpoint()
	return d
}

// erase erases all of it as its users do.
func (d *doomed) erase() {
	y := d.y
	y.t.Helper()
	const most = 900
	for at := 0; at < len(d.spans); at += most {
		r := span.Redaction{Reason: "asked"}
		for _, raw := range d.spans[at:min(at+most, len(d.spans))] {
			sp, err := span.Parse(raw, span.Limits{})
			require.NoError(y.t, err)
			r.Spans = append(r.Spans, span.SpanRef{Span: sp.ID, HeaderHash: sp.Hash().String()})
		}
		payload, err := span.Canonical(r)
		require.NoError(y.t, err)
		_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeRedaction }))
		require.NoError(y.t, err)
	}
	own := y.server.client(client.WithSigner(d.person.Signer(), d.person.ID(), y.node))
	_, err := own.Erase(background(), d.person.ID())
	require.NoError(y.t, err)
}

// found is how often any of the texts stands in any file of some folders, or in
// their names.
func (d *doomed) found(dirs ...string) (n int) {
	d.y.t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !entry.Type().IsRegular() {
				return err
			}
			// By another process: to close a file would drop this one's locks on it.
			raw, err := exec.Command("cat", path).Output()
			if err != nil {
				return fmt.Errorf("cat %s: %w", path, err)
			}
			n += d.in(raw, path)
			return nil
		})
		require.NoError(d.y.t, err)
	}
	return n
}

func (d *doomed) in(raw []byte, name string) (n int) {
	for _, text := range d.texts {
		if i := bytes.Index(raw, []byte(text)); i >= 0 {
			if n++; n == 1 {
				d.y.t.Logf("%s: %q at %d", name, text, i)
			}
		}
	}
	return n
}

// holds checks that everything said before is still so: the whole timeline, what
// was exported and proven before, and that nothing erased is found by its words.
func (d *doomed) holds() {
	y := d.y
	y.t.Helper()
	now := y.checkpoint()
	y.requireProof(y.api, d.head, now)
	var whole bytes.Buffer
	require.NoError(y.t, y.swift().Bundle(background(), y.tenant.Id, &whole, 0, 0))
	after := whole.Bytes()
	require.Zero(y.t, d.in(after, "the bundle"))
	for _, raw := range [][]byte{d.bundle, after} {
		report, err := bundle.Verify(background(), bytes.NewReader(raw), bundle.Options{Node: y.node})
		require.NoError(y.t, err)
		require.True(y.t, report.OK, "%v", report.Problems)
	}
	proof, err := y.api.ReceiptProof(background(), y.tenant.Id, spanID(d.spans[0]), false)
	require.NoError(y.t, err)
	for _, raw := range [][]byte{d.proof, proof} {
		require.Zero(y.t, d.in(raw, "the proof"))
		file, err := tree.ParseProofFile(raw)
		require.NoError(y.t, err)
		cp, err := tree.OpenNote(file.Checkpoint, y.tenant.LogKey)
		require.NoError(y.t, err)
		leaf, err := span.ParseHash(d.receipt.LeafHash)
		require.NoError(y.t, err)
		require.NoError(y.t, tree.VerifyInclusion(leaf, file.Index, cp.Size, file.Hashes, cp.Root))
	}
	receipt, err := y.api.Receipt(background(), y.tenant.Id, spanID(d.spans[0]))
	require.NoError(y.t, err)
	require.Equal(y.t, d.receipt.LeafHash, receipt.LeafHash)
	for _, word := range []string{d.texts[0], d.words[0], d.words[len(d.words)/2]} {
		page, err := y.api.Query(background(), y.tenant.Id, client.Filter{Q: word})
		require.NoError(y.t, err)
		require.Empty(y.t, page.Items)
	}
	page, err := y.api.Query(background(), y.tenant.Id, client.Filter{Q: d.kept + "0"})
	require.NoError(y.t, err)
	require.Len(y.t, page.Items, 1)
	record, err := y.api.Entry(background(), y.tenant.Id, spanID(d.spans[0]))
	require.NoError(y.t, err)
	require.Contains(y.t, mustJSON(y.t, record.Entry), `"withheld":"redacted"`)
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

// headerOf is the header of a sealed span, to be sealed again with other content.
func headerOf(raw []byte) (h span.Header) {
	sp, err := span.Parse(raw, span.Limits{})
	if err != nil {
		panic(err) // it was sealed here
	}
	return sp.Header
}

// keeper runs a command of whoever looks after a node's data.
func keeper(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	require.NoError(t, lookAtSources())
	cmd := exec.Command(binary, append(args, "--data-dir", dir)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	return cmd
}

func kept(t *testing.T, dir string, args ...string) string {
	t.Helper()
	begun := time.Now()
	defer func() { t.Logf("%v took %s", args, time.Since(begun)) }()
	out, err := keeper(t, dir, args...).CombinedOutput()
	require.NoError(t, err, "%v: %s", args, out)
	return string(out)
}

// TestErasedIsInNoFile erases on each kind of database, compacts, and looks for
// what was erased in every byte that the node and its database server keep.
func TestErasedIsInNoFile(t *testing.T) {
	t.Run("sqlite", testErasedOfSQLite)
	t.Run("ndjson", testErasedOfFiles)
	t.Run("postgres", testErasedOfPostgres)
}

func testErasedOfSQLite(t *testing.T) {
	t.Parallel()
	dir, mirror := t.TempDir(), t.TempDir()
	flags := []string{"--mirror", mirror, "--mirror-payloads", "true"}
	y := onboard(t, start(t, dir, flags...))
	d := newDoomed(y, 600)
	d.mirrored(mirror)
	db, err := storage.Open(background(), "sqlite:"+filepath.Join(dir, "logline.db"))
	require.NoError(t, err)
	d.plant(func(detail []byte, word string) error {
		_, err := db.Write.Exec(`UPDATE timeline_entries SET detail = $1 WHERE CAST(payload AS TEXT) LIKE '%' || $2 || '%'`, detail, word)
		return err
	})
	// Somebody reads for long, so that the log cannot be emptied.
	reader, err := db.BeginSnapshot(background())
	require.NoError(t, err)
	var n int
	require.NoError(t, reader.QueryRow(`SELECT count(*) FROM timeline_entries`).Scan(&n))
	d.erase()
	require.Positive(t, d.found(dir), "or the search finds nothing where there is something")
	d.mirrored(mirror)
	require.Contains(t, kept(t, dir, "erase"), "Nothing was changed")
	require.Positive(t, d.found(dir), "a look changes nothing")
	require.NoError(t, reader.Rollback())
	require.NoError(t, db.Close())

	out := kept(t, dir, append([]string{"erase", "--compact"}, flags...)...) // beside the server
	require.Contains(t, out, "logline.db: ")
	require.Contains(t, out, "which a running server has")
	require.Zero(t, d.found(dir, mirror))
	d.holds()
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	kept(t, dir, append([]string{"erase", "--compact"}, flags...)...) // alone
	require.Zero(t, d.found(dir, mirror))
	kept(t, dir, "fsck")
	y.attach(start(t, dir, flags...))
	d.holds()
	require.Zero(t, y.terminate())
	require.Zero(t, d.found(dir, mirror))
	d.restored(dir)
}

func testErasedOfFiles(t *testing.T) {
	t.Parallel()
	dir, mirror := t.TempDir(), t.TempDir()
	files := filepath.Join(dir, "timelines")
	where := []string{"--timeline", "ndjson:" + files}
	flags := append(where, "--mirror", mirror, "--mirror-payloads", "true")
	y := onboard(t, start(t, dir, flags...))
	d := newDoomed(y, 200)
	require.Positive(t, d.found(files))
	d.mirrored(mirror)
	payloads := filepath.Join(files, y.tenant.Id, "payloads")
	stale, err := os.ReadFile(filepath.Join(payloads, "0000000000000000.ndjson"))
	require.NoError(t, err)
	d.erase()
	d.mirrored(mirror)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	require.Zero(t, d.found(files, mirror), "files are erased in place")
	// What a compaction that was killed before the erasure leaves.
	for _, folder := range []string{payloads, filepath.Join(mirror, y.tenant.Id, "payloads")} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "0000000000000000.ndjson.new"), stale, 0o600))
	}
	require.Positive(t, d.found(files))
	require.Positive(t, d.found(mirror))

	shrunk := 0
	var out struct {
		Rewritten []struct {
			Name   string
			Before int64 `json:"bytes_before"`
			After  int64 `json:"bytes_after"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(kept(t, dir, append([]string{"erase", "--compact", "--json"}, flags...)...)), &out))
	require.Len(t, out.Rewritten, 5, "database, and the tenant's and the node's own of files and of mirror")
	for _, part := range out.Rewritten[1:] {
		if part.After == part.Before {
			continue // the node's own: nothing of it was erased
		}
		shrunk++
		require.Less(t, part.After, part.Before*4/5, "lengths are gone: %s", part.Name)
	}
	require.Equal(t, 2, shrunk)
	require.Zero(t, d.found(dir, mirror))
	kept(t, dir, append([]string{"fsck"}, where...)...)
	y.attach(start(t, dir, flags...))
	d.holds()
	require.Zero(t, y.terminate())
	require.Zero(t, d.found(dir, mirror))
	d.restored(dir, where...)
}

func testErasedOfPostgres(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	dir, mirror := t.TempDir(), t.TempDir()
	flags := []string{"--database-url", c.url(), "--mirror", mirror, "--mirror-payloads", "true"}
	y := onboard(t, start(t, dir, flags...))
	d := newDoomed(y, 600)
	d.mirrored(mirror)
	conn, err := pgx.Connect(background(), c.url())
	require.NoError(t, err)
	d.plant(func(detail []byte, word string) error {
		_, err := conn.Exec(background(), `UPDATE timeline_entries SET detail = $1 WHERE position($2 IN payload) > 0`, detail, []byte(word))
		return err
	})
	_, err = conn.Exec(background(), "ANALYZE")
	require.NoError(t, err)
	d.erase()
	d.mirrored(mirror)
	for _, s := range []string{"VACUUM", "CHECKPOINT"} {
		_, err = conn.Exec(background(), s)
		require.NoError(t, err)
	}
	var base string
	require.NoError(t, conn.QueryRow(background(), `SELECT 'base/' || oid FROM pg_database WHERE datname = current_database()`).Scan(&base))
	require.NoError(t, conn.Close(background()))
	orphan := filepath.Join(base, "4000000001") // as a server leaves that crashed in mid-rewrite
	require.NoError(t, os.WriteFile(filepath.Join(c.dir, orphan), []byte("x"), 0o644))
	require.Positive(t, d.found(filepath.Join(c.dir, "base")), "a vacuum leaves bytes in pages")
	require.Positive(t, d.found(filepath.Join(c.dir, "pg_wal")))

	where := []string{"--database-url", c.url()}
	out := kept(t, dir, append([]string{"erase", "--compact"}, where...)...) // beside the server
	require.Contains(t, out, "timeline_entries: ")
	require.Contains(t, out, "pg_wal: ")
	require.Contains(t, out, "belong to no table ("+orphan+")")
	require.Zero(t, d.found(dir, mirror, filepath.Dir(c.dir)), "of the whole data directory, its log, and the server's log")
	d.holds()
	path, err := exec.LookPath("pg_dump")
	require.NoError(t, err)
	dump, err := exec.Command(path, c.url()).Output()
	require.NoError(t, err)
	require.Zero(t, d.in(dump, "pg_dump"))
	require.Contains(t, string(dump), "timeline_entries")
	kept(t, dir, append([]string{"fsck"}, where...)...)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	require.Zero(t, d.found(dir, mirror, filepath.Dir(c.dir)))
	d.restored(dir, where...)
}

// plant gives doomed entries a detail: this program's rules write none yet. It
// makes the entries inconsistent, until they are erased.
func (d *doomed) plant(set func(detail []byte, word string) error) {
	d.y.t.Helper()
	text := secret()
	for i := range 20 {
		require.NoError(d.y.t, set(fmt.Appendf(nil, `{"notes":["%s%d"]}`, text, i), d.words[i]))
	}
	d.texts = append(d.texts, text)
}

// mirrored waits until a mirror has the whole timeline.
func (d *doomed) mirrored(mirror string) {
	d.y.t.Helper()
	size := d.y.checkpoint().Size
	require.Eventually(d.y.t, func() bool {
		note, err := os.ReadFile(filepath.Join(mirror, d.y.tenant.Id, "checkpoint"))
		if err != nil {
			return false
		}
		cp, err := tree.OpenNote(note, d.y.tenant.LogKey)
		return err == nil && cp.Size >= size
	}, time.Minute, 20*time.Millisecond)
}

// restored makes a backup, and looks for the texts in what is made of it.
func (d *doomed) restored(dir string, where ...string) {
	t := d.y.t
	t.Helper()
	archive, fresh := filepath.Join(t.TempDir(), "node.backup"), t.TempDir()
	kept(t, dir, append([]string{"backup", archive, "--with-keys"}, where...)...)
	kept(t, fresh, "restore", archive)
	require.Zero(t, d.found(fresh, filepath.Dir(archive)))
	kept(t, fresh, "fsck")
}
