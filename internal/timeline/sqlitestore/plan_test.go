package sqlitestore

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/storetest"
)

// TestEveryFilterUsesAnIndex reads the plans: each filter searches through its
// index in order of seq, none scans a table or sorts what it found.
func TestEveryFilterUsesAnIndex(t *testing.T) {
	t.Parallel()
	db, err := storage.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "logline.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(t.Context()))
	s := NewStore(db)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	tl := storetest.NewTimeline("a")
	var specs []storetest.Spec
	for i := range 50 {
		specs = append(specs, storetest.Spec{N: i, Type: []string{"a.one", "a.two", "b"}[i%3]})
	}
	require.NoError(t, s.Append(t.Context(), tl.Batch(specs...)))
	key, err := s.key(t.Context(), tl.Tenant.ID)
	require.NoError(t, err)

	me := storetest.Identity("author")
	sight := []timeline.Access{
		{Visibility: span.VisibilityPrivate, Author: me, OnBehalfOf: me}, {Visibility: span.VisibilityPublic, All: true},
	}
	const byPosition = "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
	for name, c := range map[string]struct {
		filter timeline.Filter
		want   string
	}{
		"all":           {timeline.Filter{}, byPosition},
		"sight":         {timeline.Filter{Sight: sight}, byPosition},
		"type":          {timeline.Filter{Types: []string{"a.one"}}, "SEARCH e USING INDEX timeline_entries_type (tenant=? AND type=? AND rowid>? AND rowid<?)"},
		"type pattern":  {timeline.Filter{Types: []string{"a.*"}}, "SEARCH e USING COVERING INDEX timeline_entries_type (tenant=? AND type=? AND rowid>? AND rowid<?)"},
		"author":        {timeline.Filter{Author: me}, "SEARCH e USING INDEX timeline_entries_author (tenant=? AND author=? AND rowid>? AND rowid<?)"},
		"subject":       {timeline.Filter{Subject: "s"}, "SEARCH e USING INDEX timeline_entries_subject (tenant=? AND subject=? AND rowid>? AND rowid<?)"},
		"tag":           {timeline.Filter{Tag: "t"}, "SEARCH d USING PRIMARY KEY (tenant=? AND tag=? AND seq>? AND seq<?)"},
		"cause":         {timeline.Filter{Cause: storetest.ID(1)}, "SEARCH d USING PRIMARY KEY (tenant=? AND kind=? AND id=? AND seq>? AND seq<?)"},
		"status":        {timeline.Filter{Status: "pending"}, "SEARCH e USING INDEX timeline_entries_status (tenant=? AND status=? AND rowid>? AND rowid<?)"},
		"executed":      {timeline.Filter{Status: "executed"}, byPosition},
		"since, until":  {timeline.Filter{Since: "2026-01-02T03:04:10.000Z", Until: "2026-01-02T03:04:20.000Z"}, byPosition},
		"words":         {timeline.Filter{Words: []string{"w"}}, byPosition},
		"everything":    {timeline.Filter{Types: []string{"a.*"}, Author: me, Subject: "s", Tag: "t", Status: "pending", Cause: storetest.ID(1), Sight: sight}, "SEARCH d USING PRIMARY KEY (tenant=? AND kind=? AND id=? AND seq>? AND seq<?)"},
		"author, tag":   {timeline.Filter{Author: me, Tag: "t"}, "SEARCH d USING PRIMARY KEY (tenant=? AND tag=? AND seq>? AND seq<?)"},
		"author, type":  {timeline.Filter{Author: me, Types: []string{"b"}}, "SEARCH e USING INDEX timeline_entries_author (tenant=? AND author=? AND rowid>? AND rowid<?)"},
		"author, sight": {timeline.Filter{Author: me, Sight: sight}, "SEARCH e USING INDEX timeline_entries_author (tenant=? AND author=? AND rowid>? AND rowid<?)"},
	} {
		for _, descending := range []bool{false, true} {
			f := c.filter
			f.To, f.Limit, f.Descending = 50, 10, descending
			p := &plan{store: s, key: key, filter: &f, to: 50}
			require.NoError(t, p.bound(t.Context()))
			require.NoError(t, p.build(t.Context()))
			plan := explain(t, db, p.text, p.args...)
			require.Contains(t, plan, c.want, name)
			require.NotContains(t, plan, "SCAN e", name)
			if name == "type pattern" { // which sorts the positions of its merge, never whole entries
				_, plan, _ = strings.Cut(plan, "SCAN u")
			}
			require.NotContains(t, plan, "TEMP B-TREE", name)
		}
	}
	for _, types := range [][]string{nil, {"a.*"}} { // what a search reads: pages, and entries by position
		f := timeline.Filter{Words: []string{"w"}, Author: me, Tag: "t", Types: types, Sight: sight, Status: "executed"}
		p := &plan{store: s, key: key, filter: &f, to: 50}
		require.NoError(t, p.resolveTypes(t.Context()))
		p.candidates("[1,2]")
		plan := explain(t, db, p.text, p.args...)
		require.Contains(t, plan, "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)")
		require.NotContains(t, plan, "SCAN e")
		require.NotContains(t, plan, "TEMP B-TREE")
	}
	plan := explain(t, db, pagesText, 1, "[1,2]", "w", "x")
	require.Contains(t, plan, "SEARCH w USING INDEX sqlite_autoindex_timeline_words_1 (tenant=? AND block=? AND word>? AND word<?)")
	require.Contains(t, plan, "SEARCH x USING COVERING INDEX sqlite_autoindex_timeline_words_1 (tenant=? AND block=? AND word<?)")
	for _, descending := range []bool{false, true} {
		plan := explain(t, db, askText(descending), 1, "~a", "~b", 1)
		require.Contains(t, plan, "SEARCH timeline_state USING PRIMARY KEY (tenant=? AND key>? AND key<?)")
		require.NotContains(t, plan, "SCAN timeline")
		require.NotContains(t, plan, "TEMP B-TREE")
	}
	require.Contains(t, explain(t, db, ownRowsText, 1), "SEARCH timeline_state USING PRIMARY KEY (tenant=? AND key<?)")
	for text, args := range map[string][]any{
		indexedText: {1}, dropWordsText: {1, 1},
		headText: {1}, timeText: {1}, spentText(3): {1, []byte{1}, []byte{2}, []byte{3}}, distinctText: {1},
	} {
		require.NotContains(t, explain(t, db, text, args...), "SCAN timeline", text)
	}
}

func explain(t *testing.T, db *storage.DB, text string, args ...any) string {
	t.Helper()
	rows, err := db.Read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	require.NoError(t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		out = append(out, detail)
	}
	require.NoError(t, rows.Err())
	return strings.Join(out, "\n")
}

func TestUUIDBytes(t *testing.T) {
	t.Parallel()
	id := storetest.ID(5)
	require.Equal(t, id, timeline.IDString(timeline.IDBytes(id)))
	require.Nil(t, timeline.IDBytes("no id"))
}
