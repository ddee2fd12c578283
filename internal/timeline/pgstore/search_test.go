package pgstore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// A word that every entry has, one that few have and one that none has are each
// looked for in a long timeline: a page reads no more than it gives, or asks the
// index and reads next to nothing; and the statements look each thing up by the
// primary keys, whoever the pool works as.
func TestSearchOfLongTimelineIsBounded(t *testing.T) {
	t.Parallel()
	blocks := 1000 // of 1024 entries
	if testing.Short() {
		blocks = 100
	}
	for name, options := range map[string][]pgtest.Option{"role": nil, "owner": {pgtest.NoCreateRole}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := blocks
			if name == "owner" {
				n = 100
			}
			search(t, n, options...)
		})
	}
}

func search(t *testing.T, blocks int, options ...pgtest.Option) {
	d := pgtest.New(t, options...)
	db, err := storage.Open(t.Context(), d.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	s := NewStore(db)
	specs := make([]storetest.Spec, words.Size)
	for i := range specs {
		specs[i] = storetest.Spec{N: i, NoDetail: true, Payload: fmt.Sprintf(`{"s":"common word%d"}`, i)}
	}
	specs[500].Payload = `{"s":"common needle"}`
	for _, name := range []string{"a", "neighbour"} {
		tl := storetest.NewTimeline(name)
		require.NoError(t, s.Append(t.Context(), tl.Batch(specs...)))
		storetest.IndexAll(t, s, tl.Tenant.ID)
	}
	d.Exec(t, `ALTER TABLE timeline_entries SET UNLOGGED`, `DROP INDEX timeline_entries_type, timeline_entries_author`, // which nothing here reads
		fmt.Sprintf(`INSERT INTO timeline_entries (tenant, seq, visibility, redacted, leaf, recorded_at, type, author, status, line, salt, payload)
			SELECT tenant, seq + b * 1024, visibility, redacted, leaf, recorded_at, type, author, status, line, salt, payload
			FROM generate_series(1, %d) b, timeline_entries WHERE tenant = 1`, blocks-1),
		fmt.Sprintf(`INSERT INTO timeline_words SELECT tenant, b, word, page FROM generate_series(1, %d) b, timeline_words WHERE tenant = 1`, blocks-1))
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			d.Exec(t, `VACUUM ANALYZE timeline_entries`, `VACUUM ANALYZE timeline_words`)
		}
		searchPlans(t, db)
		searchReads(t, s, blocks)
	}
}

func searchPlans(t *testing.T, db *storage.DB) {
	t.Helper()
	asked := []int64{3, 4, 5, 6, 7, 8, 9, 70}
	sight := []timeline.Access{{Visibility: span.VisibilityPublic, All: true}, {Visibility: span.VisibilityOrganization, Author: "me"}}
	for _, generic := range []bool{false, true} {
		found := explain(t, db, 1, generic, pagesText, 1, asked, "needle", words.After("needle"))
		rows, scanned := found.read()
		require.Empty(t, scanned)
		require.LessOrEqual(t, rows, 3*len(asked), "the page before and those looked up")
		found = explain(t, db, 1, generic, unindexedText, 1, 0, 100, words.Version)
		rows, scanned = found.read()
		require.Empty(t, scanned)
		require.LessOrEqual(t, rows, 100)
		for _, f := range []timeline.Filter{
			{}, {Author: storetest.Identity("author")}, {Types: []string{"note.taken"}}, {Tag: "t", Sight: sight, Status: "executed"}, {Descending: true},
		} {
			f.Words = []string{"needle"}
			q := (&plan{key: 1, filter: &f, types: f.Types}).candidates([]uint64{5, 6, 1500, 1501})
			found := explain(t, db, 1, generic, q.text, q.args...)
			rows, scanned := found.read()
			require.Empty(t, scanned, q.text)
			require.LessOrEqual(t, rows, 3*4, q.text)
		}
	}
}

func searchReads(t *testing.T, s *Store, blocks int) {
	t.Helper()
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
			f.Limit = 100
			begun := time.Now()
			p := &counted{wordSource: wordSource{s, &plan{key: 1, filter: &f}}}
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

// counted counts what a search reads.
type counted struct {
	wordSource
	pages, entries int
}

func (c *counted) Pages(ctx context.Context, blocks []uint64, prefix string, each func(uint64, []byte) error) error {
	return c.wordSource.Pages(ctx, blocks, prefix, func(block uint64, page []byte) error {
		c.pages++
		return each(block, page)
	})
}

func (c *counted) Candidates(ctx context.Context, seqs []uint64, each func(*timeline.Record) (bool, error)) (bool, error) {
	return c.wordSource.Candidates(ctx, seqs, func(r *timeline.Record) (bool, error) {
		c.entries++
		return each(r)
	})
}
