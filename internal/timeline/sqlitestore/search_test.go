package sqlitestore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// A word that every entry has, one that few have and one that none has are each
// looked for in a long timeline: a page reads no more than it gives, or asks the
// index and reads next to nothing.
func TestSearchOfLongTimelineIsBounded(t *testing.T) {
	t.Parallel()
	blocks := 1000 // of 1024 entries
	if testing.Short() {
		blocks = 100
	}
	db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "logline.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	s := NewStore(db)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	tl := storetest.NewTimeline("a")
	specs := make([]storetest.Spec, words.Size)
	for i := range specs {
		specs[i] = storetest.Spec{N: i, NoDetail: true, Payload: fmt.Sprintf(`{"s":"common word%d"}`, i)}
	}
	specs[500].Payload = `{"s":"common needle"}`
	b := tl.Batch(specs...)
	require.NoError(t, s.Append(t.Context(), b))
	storetest.IndexAll(t, s, tl.Tenant.ID)
	repeat(t, db, blocks)

	for name, c := range map[string]struct {
		filter timeline.Filter
		total  int // of matches
	}{
		"common":             {timeline.Filter{Words: []string{"common"}}, blocks * words.Size},
		"prefix":             {timeline.Filter{Words: []string{"w"}}, blocks * (words.Size - 1)},
		"rare":               {timeline.Filter{Words: []string{"needle"}}, blocks},
		"rare and common":    {timeline.Filter{Words: []string{"common", "needle", "note"}}, blocks},
		"none":               {timeline.Filter{Words: []string{"nothing"}}, 0},
		"none with a common": {timeline.Filter{Words: []string{"common", "nothing"}}, 0},
		"not seen":           {timeline.Filter{Words: []string{"needle"}, Sight: []timeline.Access{{Visibility: span.VisibilityPublic, All: true}}}, 0},
	} {
		for _, c.filter.Descending = range []bool{false, true} {
			f := c.filter
			f.To, f.Limit = 1<<40-1, 100
			begun := time.Now()
			p := &counted{plan: &plan{store: s, key: 1, filter: &f}}
			sel, err := timeline.SearchWords(t.Context(), p, &f, 0, uint64(blocks*words.Size))
			require.NoError(t, err, name)
			require.Len(t, sel.Records, min(c.total, f.Limit), name)
			require.Equal(t, c.total > f.Limit, sel.More, name)
			require.LessOrEqual(t, p.entries, f.Limit+1, name)
			require.LessOrEqual(t, p.pages, len(f.Words)*blocks, "one page for each word and block: %s", name)
			if c.total > 0 {
				require.LessOrEqual(t, p.pages, 3*256, name)
			}
			t.Logf("%s: %d pages, %d entries, %s", name, p.pages, p.entries, time.Since(begun).Round(time.Millisecond))
		}
	}
}

// What was made of content before it was erased is not written.
func TestIndexOfErasedContentIsRefused(t *testing.T) {
	t.Parallel()
	db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "logline.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	s := NewStore(db)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	tl := storetest.NewTimeline("a")
	b := tl.Batch(storetest.Spec{N: 1, Payload: `"secret"`})
	require.NoError(t, s.Append(t.Context(), b))
	tl.Done(b)
	require.NoError(t, s.reindex(t.Context(), 1))
	at, _, there, err := s.indexed(t.Context(), 1)
	require.NoError(t, err)
	require.True(t, there)
	pages := []words.Page{{Data: []byte{words.Version, 0}}}
	b = tl.Batch(storetest.Spec{N: 2})
	b.Redacted = []uint64{0}
	require.NoError(t, s.Append(t.Context(), b))
	lost, err := s.writeBlock(t.Context(), 1, at, 1, pages)
	require.NoError(t, err)
	require.True(t, lost)
	at, _, _, err = s.indexed(t.Context(), 1)
	require.NoError(t, err)
	require.Zero(t, at.Blocks)
	lost, err = s.writeBlock(t.Context(), 1, at, 1, pages)
	require.NoError(t, err)
	require.False(t, lost)
}

// repeat makes the first block's entries and index those of all blocks, by SQL.
func repeat(t *testing.T, db *storage.DB, blocks int) {
	t.Helper()
	list := make([]int, blocks-1)
	for i := range list {
		list[i] = i + 1
	}
	raw, err := json.Marshal(list)
	require.NoError(t, err)
	require.NoError(t, db.InTx(t.Context(), func(tx *sql.Tx) error {
		for _, statement := range []string{
			`DROP INDEX timeline_entries_type`, `DROP INDEX timeline_entries_author`, // which nothing here reads
			`INSERT INTO timeline_entries SELECT e.position + b.value * 1024, e.tenant, e.leaf, e.recorded_at, e.type, e.author, e.on_behalf_of, e.subject,
				e.visibility, e.status, e.redacted, e.line, e.salt, e.detail, e.payload FROM json_each(?1) b CROSS JOIN timeline_entries e WHERE e.position < (1 << 40) + 1024`,
			`INSERT INTO timeline_words SELECT w.tenant, b.value, w.word, w.page FROM json_each(?1) b CROSS JOIN timeline_words w WHERE w.block = 0`,
		} {
			if _, err := tx.Exec(statement, string(raw)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// counted counts what a search reads.
type counted struct {
	*plan
	pages, entries int
}

func (c *counted) Pages(ctx context.Context, blocks []uint64, prefix string, each func(uint64, []byte) error) error {
	return c.plan.Pages(ctx, blocks, prefix, func(block uint64, page []byte) error {
		c.pages++
		return each(block, page)
	})
}

func (c *counted) Candidates(ctx context.Context, seqs []uint64, each func(*timeline.Record) (bool, error)) (bool, error) {
	return c.plan.Candidates(ctx, seqs, func(r *timeline.Record) (bool, error) {
		c.entries++
		return each(r)
	})
}
