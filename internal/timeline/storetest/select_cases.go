package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline"
)

// testSelect asks random questions of a random timeline and compares with a
// model that looks at every entry in the plainest way.
func testSelect(t *testing.T, s timeline.Store) {
	random := rand.New(rand.NewPCG(1, 2))
	tl, rows := randomTimeline(t, s, random, 400)
	questions := 600
	if testing.Short() {
		questions = 60
	}
	for i := range questions {
		f := randomFilter(random, rows)
		var want []uint64
		for j := range rows {
			if modelMatches(&f, &rows[j]) {
				want = append(want, uint64(j))
			}
		}
		if f.Descending {
			slices.Reverse(want)
		}
		got := pageThrough(t, s, tl.Tenant.ID, f)
		require.Equal(t, want, got, "question %d: %+v", i, f)
	}
}

func randomTimeline(t *testing.T, s timeline.Store, random *rand.Rand, n int) (*Timeline, []timeline.Row) {
	tl := NewTimeline("a")
	grow(t, s, NewTimeline("neighbour"), Spec{N: 0, Type: "b.two.three", Tags: []string{"t1"}}) // must never be seen
	var rows []timeline.Row
	for len(rows) < n {
		var specs []Spec
		for range 1 + random.IntN(60) {
			specs = append(specs, randomSpec(random, len(rows)+len(specs)))
		}
		b := grow(t, s, tl, specs...)
		rows = append(rows, b.Rows...)
	}
	return tl, rows
}

var someTypes = []string{"a", "a.one", "a.one.two", "b.two.three", "ab.x", "logline.member", "b-c.d", "b_c.d"}

func pick(random *rand.Rand, values ...string) string { return values[random.IntN(len(values))] }

func randomSpec(random *rand.Rand, n int) Spec {
	s := Spec{
		N: n, Type: pick(random, someTypes...), Author: Identity(pick(random, "x", "y", "z")),
		Visibility: pick(random, span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic),
		Status:     pick(random, "executed", "executed", "executed", "pending", "rejected", "reverted", "ghost"),
		Payload:    fmt.Sprintf(`{"word":"%s Ação %d"}`, pick(random, "Apple", "banana", "CHERRY"), n%7),
	}
	if random.IntN(2) == 0 {
		s.Subject = pick(random, "s1", "S2", "s'3")
	}
	if random.IntN(3) == 0 {
		s.OnBehalfOf = Identity(pick(random, "x", "y"))
	}
	if random.IntN(2) == 0 {
		s.Tags = []string{pick(random, "t1", "t2"), "all"}
	}
	if random.IntN(3) == 0 {
		s.Title = pick(random, "Big Title", "small")
	}
	if random.IntN(3) == 0 && n > 0 {
		s.Causes = []string{ID(random.IntN(min(n, 5)))}
	}
	return s
}

func randomFilter(random *rand.Rand, rows []timeline.Row) timeline.Filter {
	f := timeline.Filter{To: everything, Limit: 1 + random.IntN(50), Descending: random.IntN(2) == 0}
	some := func() bool { return random.IntN(4) == 0 }
	if some() {
		for range 1 + random.IntN(3) {
			f.Types = append(f.Types, pick(random, append(someTypes, "a.*", "a.**", "**", "*", "*.two.*", "logline.**", "b.**", "none.**", "b.two.three")...))
		}
	}
	if some() {
		f.Author = Identity(pick(random, "x", "y", "nobody"))
	}
	if some() {
		f.Subject = pick(random, "s1", "S2", "s'3", "none")
	}
	if some() {
		f.Tag = pick(random, "t1", "t2", "all", "none")
	}
	if some() {
		f.Status = pick(random, "executed", "pending", "reverted", "ghost")
	}
	if some() {
		f.Cause = ID(random.IntN(6))
	}
	if some() {
		f.Words = []string{pick(random, "apple", "acao", "ba", "big", "s1", "two", "cherry", "pple")}
		if some() {
			f.Words = append(f.Words, pick(random, "title", "3"))
		}
	}
	if some() {
		f.Since = rows[random.IntN(len(rows))].RecordedAt
	}
	if some() {
		f.Until = rows[random.IntN(len(rows))].RecordedAt
	}
	if some() {
		f.From = uint64(random.IntN(len(rows)))
	}
	if some() {
		f.To = uint64(random.IntN(len(rows) + 10))
	}
	if random.IntN(2) == 0 {
		f.Sight = randomSight(random)
	}
	return f
}

func randomSight(random *rand.Rand) []timeline.Access {
	me := Identity(pick(random, "x", "y", "nobody"))
	out := []timeline.Access{}
	for _, v := range []string{span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic} {
		a := timeline.Access{Visibility: v, All: random.IntN(3) == 0}
		if !a.All && random.IntN(2) == 0 {
			a.Author = me
		}
		if !a.All && random.IntN(2) == 0 {
			a.OnBehalfOf = me
		}
		out = append(out, a)
	}
	return out
}

// modelMatches spells every condition out by itself.
func modelMatches(f *timeline.Filter, r *timeline.Row) bool {
	if r.Seq < f.From || r.Seq >= f.To {
		return false
	}
	if len(f.Types) > 0 {
		fits := false
		for _, p := range f.Types {
			fits = fits || span.MatchType(p, r.Type)
		}
		if !fits {
			return false
		}
	}
	for _, pair := range [][2]string{{f.Author, r.Author}, {f.Subject, r.Subject}, {f.Status, r.Status}} {
		if pair[0] != "" && pair[0] != pair[1] {
			return false
		}
	}
	if f.Tag != "" && !slices.Contains(r.Tags, f.Tag) {
		return false
	}
	if f.Cause != "" && !slices.ContainsFunc(r.Links, func(l timeline.RowLink) bool { return l.ID == f.Cause && l.Kind == timeline.LinkCause }) {
		return false
	}
	if f.Since != "" && r.RecordedAt < f.Since || f.Until != "" && r.RecordedAt >= f.Until {
		return false
	}
	text := strings.NewReplacer("ç", "c", "ã", "a").Replace(strings.ToLower(title(r.Line) + " " + r.Subject + " " + r.Type + " " + string(r.Payload)))
	have := strings.FieldsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	for _, w := range f.Words {
		if !slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) }) {
			return false
		}
	}
	for _, a := range f.Sight {
		if a.Visibility == r.Visibility {
			return a.All || a.Author != "" && r.Author == a.Author || a.OnBehalfOf != "" && r.OnBehalfOf == a.OnBehalfOf
		}
	}
	return f.Sight == nil
}

// pageThrough follows Resume to the end and returns the seqs.
func pageThrough(t *testing.T, s timeline.Store, tenant string, f timeline.Filter) []uint64 {
	t.Helper()
	var out []uint64
	for range 100_000 {
		sel, err := s.Select(t.Context(), tenant, &f)
		require.NoError(t, err)
		require.LessOrEqual(t, len(sel.Records), f.Limit)
		out = append(out, seqsOf(sel.Records)...)
		if !sel.More {
			return out
		}
		if f.Descending {
			f.To = sel.Resume + 1
		} else {
			f.From = sel.Resume
		}
	}
	t.Fatal("the pages do not end")
	return nil
}
