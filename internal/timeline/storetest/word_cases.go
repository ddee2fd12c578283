package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// IndexAll brings the index of words up to date, in a store that keeps one.
func IndexAll(t testing.TB, s timeline.Store, tenant string) {
	t.Helper()
	for indexOne(t, s, tenant) {
	}
}

// indexOne indexes one block and says whether more are left.
func indexOne(t testing.TB, s timeline.Store, tenant string) bool {
	t.Helper()
	x, ok := s.(timeline.WordIndexer)
	if !ok {
		return false
	}
	var left uint64
	// A database may hold the lock of an indexer that was cut short a little longer.
	require.Eventually(t, func() bool {
		n, busy, err := x.IndexWords(t.Context(), tenant)
		require.NoError(t, err)
		left = n
		return !busy
	}, 10*time.Second, time.Millisecond, "somebody else indexes")
	return left > 0
}

// fill appends entries without words of interest up to a size.
func fill(t *testing.T, s timeline.Store, tl *Timeline, size int) {
	t.Helper()
	for n := int(tl.Head.Size); n < size; n = int(tl.Head.Size) {
		specs := numbered(100_000+n, min(400, size-n))
		for i := range specs {
			specs[i].Payload = `{}`
		}
		grow(t, s, tl, specs...)
	}
}

// testWords asks odd questions of odd text, before and after it is indexed.
func testWords(t *testing.T, s timeline.Store) {
	tl := NewTimeline("a")
	long := strings.Repeat("longword", 20)
	text := []string{
		0: `Crème brûlée`, 1: `Ελλάς ΣΊΣΥΦΟΣ`, 2: `東京都 は 日本`, 3: `INV-2026/0042`, 4: `it's "quoted"`, 5: long + "a", 6: "party 🎉 time",
		7: `100% a*b "c:d" OR NOT NEAR(x)`, 8: `straße ﬁnance`, 9: "a\u0000b \\ tab\tend", 10: `привет Ёлка`, 11: `مُحَمَّد`, 12: `हिन्दी`, 13: `x_y.z`, 14: `ＦＵＬＬ`,
	}
	var specs []Spec
	for i, v := range text {
		specs = append(specs, Spec{N: i, Payload: fmt.Sprintf(`{"name":{"deep":[true,%s]}}`, quoteJSON(v))})
	}
	specs = append(specs,
		Spec{N: 15, Title: "Only Title", Subject: "subject-7", Type: "invoice.paid", Payload: `{"amount":-12.5,"list":[7001,"two words"]}`},
		Spec{N: 16, Payload: `"just text"`}, Spec{N: 17, Payload: `17001`})
	grow(t, s, tl, specs...)
	ask := func() {
		t.Helper()
		for q, want := range map[string][]uint64{
			"creme": {0}, "CRÈME BRUL": {0}, "cre\u0300me": {0}, "rulee": nil, "ελλας": {1}, "σισυφος": {1}, "ΣΙΣΥΦ": {1}, "東京": {2}, "京都": {2}, "都": {2},
			"東都": nil, "日本 東京都": {2}, "inv 42": nil, "inv-2026/0042": {3}, "0042": {3}, "it's": {4}, `"quoted"`: {4}, "quot*": {4}, long: {5},
			long + "zzz": {5}, long[:64]: {5}, "longwordlongword": {5}, "party time": {6}, "🎉 party": {6}, "100%": {7}, "a*b": {7, 9}, "c:d": {7}, "or not near": {7},
			"' OR 1=1 --": {7}, "x')": {7, 13}, "strasse": {8}, "STRASSE fin": {8}, "привет": {10}, "елка": {10}, "محمد": {11}, "हिन्दी": {12}, "हन्दी": nil, "x_y": {13}, "full": {14},
			"only title": {15}, "subject 7": {15}, "invoice.paid": {15}, "paid": {15}, "12.5": {15}, "-12": {15}, "7001": {15}, "two words": {15}, "words two": {15},
			"amount": nil, "deep": nil, "true": nil, "just": {16}, "1700": {17}, "wo": {15}, "ords": nil, "tab end": {9}, "a b": {7, 9},
		} {
			ws := words.Split(q)
			require.NotEmpty(t, ws, q)
			f := timeline.Filter{Words: ws, To: everything, Limit: 2}
			require.Equal(t, want, pageThrough(t, s, tl.Tenant.ID, f), "%q", q)
			f.Descending = true
			back := slices.Clone(want)
			slices.Reverse(back)
			require.Equal(t, back, pageThrough(t, s, tl.Tenant.ID, f), "%q", q)
		}
	}
	ask()
	if _, ok := s.(timeline.WordIndexer); ok {
		fill(t, s, tl, words.Size)
		IndexAll(t, s, tl.Tenant.ID)
		ask()
	}
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`, "\x00", `\u0000`).Replace(s) + `"`
}

// testWordIndex asks random questions with none, some and all of a timeline
// indexed, and right after content was erased.
func testWordIndex(t *testing.T, s timeline.Store) {
	if _, ok := s.(timeline.WordIndexer); !ok {
		t.Skip("the store keeps no index of words")
	}
	random := rand.New(rand.NewPCG(3, 4))
	tl, rows := randomTimeline(t, s, random, 2*words.Size+200)
	questions := 60
	if testing.Short() {
		questions = 15
	}
	ask := func(stage string) {
		t.Helper()
		for i := range questions {
			f := randomFilter(random, rows)
			if len(f.Words) == 0 {
				f.Words = []string{pick(random, "apple", "s", "one")}
			}
			if i%2 == 0 { // else the conditions leave few
				f.Author, f.Subject, f.Cause, f.Since, f.Until = "", "", "", "", ""
			}
			var want []uint64
			for j := range rows {
				if modelMatches(&f, &rows[j]) {
					want = append(want, uint64(j))
				}
			}
			if f.Descending {
				slices.Reverse(want)
			}
			require.Equal(t, want, pageThrough(t, s, tl.Tenant.ID, f), "%s %+v", stage, f)
		}
	}
	erase := func(seqs ...uint64) {
		b := tl.Batch(randomSpec(random, len(rows)))
		b.Redacted = seqs
		require.NoError(t, s.Append(t.Context(), b))
		tl.Done(b)
		rows = append(rows, b.Rows...)
		for _, seq := range seqs {
			rows[seq].Payload = nil
		}
	}
	ask("nothing indexed")
	require.True(t, indexOne(t, s, tl.Tenant.ID), "one begins")
	require.True(t, indexOne(t, s, tl.Tenant.ID))
	require.Len(t, blocksOf(t, s, tl.Tenant.ID), 1)
	ask("a block indexed")
	IndexAll(t, s, tl.Tenant.ID)
	require.Len(t, blocksOf(t, s, tl.Tenant.ID), 2)
	ask("all indexed")
	erase(5, 6, 700, 2*words.Size+5)
	require.Equal(t, []uint64{1}, blocksOf(t, s, tl.Tenant.ID), "what was erased is in no index")
	ask("erased")
	IndexAll(t, s, tl.Tenant.ID)
	require.Equal(t, []uint64{0, 1}, blocksOf(t, s, tl.Tenant.ID))
	ask("indexed again")
	samePages(t, s, tl.Tenant.ID)
}

// blocksOf are the blocks that are indexed.
func blocksOf(t *testing.T, s timeline.Store, tenant string) (out []uint64) {
	t.Helper()
	for block := range storedPages(t, s, tenant) {
		out = append(out, block)
	}
	slices.Sort(out)
	return out
}

func storedPages(t *testing.T, s timeline.Store, tenant string) map[uint64][]words.Page {
	t.Helper()
	out := map[uint64][]words.Page{}
	require.NoError(t, s.(timeline.Keeper).Snapshot(t.Context(), func(snap timeline.Snapshot) error {
		return snap.(timeline.WordSnapshot).WordPages(t.Context(), tenant, func(block uint64, page words.Page) error {
			out[block] = append(out[block], page)
			return nil
		})
	}))
	return out
}

// samePages requires the index to be that of the entries as they are.
func samePages(t *testing.T, s timeline.Store, tenant string) {
	t.Helper()
	for block, got := range storedPages(t, s, tenant) {
		want, err := timeline.BlockPages(tenant, block, func(from, to uint64) ([]timeline.Record, error) {
			return s.Range(t.Context(), tenant, from, to)
		})
		require.NoError(t, err)
		require.Equal(t, want, got, "block %d", block)
	}
}

// testWordRaces lets several index while content is erased under their hands:
// no index of what is gone is left, and every block is indexed in the end.
func testWordRaces(t *testing.T, s timeline.Store) {
	x, ok := s.(timeline.WordIndexer)
	if !ok {
		t.Skip("the store keeps no index of words")
	}
	tl := NewTimeline("a")
	secret := func(n int) string { return fmt.Sprintf("secret%dx", n) }
	for n := 0; n < 2*words.Size; n += 256 {
		var specs []Spec
		for i := n; i < n+256; i++ {
			specs = append(specs, Spec{N: i, NoDetail: true, Payload: fmt.Sprintf(`{"s":"%s common"}`, secret(i))})
		}
		grow(t, s, tl, specs...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for ctx.Err() == nil {
				if _, _, err := x.IndexWords(ctx, tl.Tenant.ID); err != nil && ctx.Err() == nil {
					t.Errorf("index: %v", err)
					return
				}
			}
		})
	}
	for i := range 40 {
		b := tl.Batch(Spec{N: 100_000 + i})
		b.Redacted = []uint64{uint64(i * 51)}
		require.NoError(t, s.Append(t.Context(), b))
		tl.Done(b)
		for _, q := range []string{secret(i * 51), secret(i*51 + 1)} {
			got := pageThrough(t, s, tl.Tenant.ID, timeline.Filter{Words: []string{q}, To: everything, Limit: 10})
			if q == secret(i*51) {
				require.Empty(t, got, "gone with the append")
			} else {
				require.Equal(t, []uint64{uint64(i*51 + 1)}, got)
			}
		}
	}
	cancel()
	workers.Wait()
	IndexAll(t, s, tl.Tenant.ID)
	require.Equal(t, []uint64{0, 1}, blocksOf(t, s, tl.Tenant.ID))
	samePages(t, s, tl.Tenant.ID)
}
