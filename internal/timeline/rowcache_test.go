package timeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// What a cache says is what the rows say, however they are asked for and changed.
func TestRowCacheIsRight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var rows sortedmap.Map[[]byte]
		var cache rowCache
		head := Head{Size: 1}
		cache.at(&head)
		key := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("~%02d", rapid.IntRange(0, 40).Draw(t, "key")) })
		value := rapid.Custom(func(t *rapid.T) []byte {
			switch n := rapid.IntRange(0, 9).Draw(t, "value"); n {
			case 0, 1, 2:
				return nil
			case 3:
				return []byte{}
			default:
				return fmt.Append(nil, n)
			}
		})
		answers := 0
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "do") {
			case 0: // this process commits
				var changed []standing.Row
				for range rapid.IntRange(0, 5).Draw(t, "changes") {
					changed = append(changed, standing.Row{Key: key.Draw(t, "k"), Value: value.Draw(t, "v")})
				}
				head.Size++
				for _, r := range changed {
					if rows.Set(r.Key, r.Value); r.Value == nil {
						rows.Delete(r.Key)
					}
				}
				cache.commit(changed, &head)
			case 1: // a generation is full
				cache.old, cache.young = cache.young, known{}
			case 2: // another process committed
				head.Root = span.Sum(head.Root[:])
				rows.Set(key.Draw(t, "k"), []byte("theirs"))
				cache.at(&head)
			default:
				a := Ask{Low: key.Draw(t, "low"), High: key.Draw(t, "high"), Limit: rapid.IntRange(1, 4).Draw(t, "limit"), Descending: rapid.Bool().Draw(t, "down")}
				switch rapid.IntRange(0, 3).Draw(t, "kind") {
				case 0:
					a = askKey(a.Low)
				case 1:
					a = askFloor("~", a.Low)
				case 2:
					a = askFloor(a.Low, a.High)
				}
				if a.empty() {
					continue
				}
				want := a.Of(&rows)
				got, known := cache.rows(&a)
				if known {
					answers++
					require.Equal(t, want, got, "%+v", a)
				} else {
					cache.add(&a, want)
				}
				got, known = cache.rows(&a)
				require.True(t, known, "what was just read: %+v", a)
				require.Equal(t, want, got, "%+v", a)
			}
			checkKnown(t, &cache.young)
			checkKnown(t, &cache.old)
		}
	})
}

// checkKnown holds what a generation counts against what it has.
func checkKnown(t *rapid.T, k *known) {
	bytes, first := 0, true
	for key, n := range k.nodes.From("") {
		bytes += nodeBytes + len(key) + len(n.value)
		require.False(t, first && n.joined, "nothing is below the first node")
		require.Equal(t, n.is == hasRow, n.value != nil)
		first = false
	}
	require.Equal(t, bytes, k.bytes)
}

// A stretch that was read answers what lies in it.
func TestRowCacheKnowsStretches(t *testing.T) {
	t.Parallel()
	var c rowCache
	row := func(key string) standing.Row { return standing.Row{Key: key, Value: []byte(key)} }
	a := askFloor("~s/", "~s/5")
	c.add(&a, []standing.Row{row("~s/3")})
	ahead := Ask{Low: a.High, High: beyond("~s/"), Limit: 2}
	c.add(&ahead, []standing.Row{row("~s/6"), row("~s/8")})
	for at, want := range map[string]string{"~s/3": "~s/3", "~s/4": "~s/3", "~s/6": "~s/6", "~s/7": "~s/6", "~s/8": "~s/8"} {
		ask := askFloor("~s/", at)
		rows, known := c.rows(&ask)
		require.True(t, known, at)
		require.Equal(t, []standing.Row{row(want)}, rows, at)
	}
	for _, at := range []string{"~s/2", "~s/9"} {
		ask := askFloor("~s/", at)
		_, known := c.rows(&ask)
		require.False(t, known, at)
	}
	end := askFloor("~s/", "~s/~")
	c.add(&end, []standing.Row{row("~s/8")})
	head := Head{Size: 1}
	c.commit([]standing.Row{row("~s/9"), {Key: "~s/6"}, row("~t")}, &head)
	rows, known := c.rows(&end)
	require.True(t, known, "a row behind the last is taken in")
	require.Equal(t, []standing.Row{row("~s/9")}, rows)
	between := askFloor("~s/", "~s/7")
	rows, known = c.rows(&between)
	require.True(t, known)
	require.Equal(t, []standing.Row{row("~s/3")}, rows, "a row that was deleted is left out")
	_, known = c.get("~t")
	require.False(t, known, "of what nobody asked for nothing is kept")
	value, known := c.get("~s/6")
	require.True(t, known)
	require.Nil(t, value)
	c.at(&Head{Size: 1, Root: span.Hash{1}})
	_, known = c.get("~s/9")
	require.False(t, known, "another head")
}

// The memory of a cache is bounded, and what is asked for stays in it.
func TestRowCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c rowCache
	hot := askKey("~hot")
	c.add(&hot, []standing.Row{{Key: "~hot", Value: []byte("v")}})
	value := make([]byte, 1000)
	for n := range 40_000 {
		key := fmt.Sprintf("~cold/%06d", n)
		a := askKey(key)
		c.add(&a, []standing.Row{{Key: key, Value: value}})
		if n%1000 == 0 {
			_, known := c.get("~hot")
			require.True(t, known)
		}
		require.LessOrEqual(t, c.young.bytes+c.old.bytes, 2*maxKnown+2000)
	}
	_, known := c.get("~cold/000000")
	require.False(t, known)
}

func TestBeyond(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"~": "\x7f", "~a/": "~a0", "é": "ê", "a\U0010ffff": "b", "\ud7ff": "\ue000", "z\U0010ffff\U0010ffff": "{", "\U0010ffff": "",
	} {
		require.Equal(t, want, beyond(prefix))
		for _, tail := range []string{"", "a", "\U0010ffff\U0010ffff"} {
			require.True(t, want == "" || prefix+tail < want)
		}
	}
	require.Equal(t, Ask{Low: "~a/", High: "~a/b\x01", Limit: 1, Descending: true}, askFloor("~a/", "~a/b"))
	require.Equal(t, Ask{Low: "~a/", High: "~a0", Limit: 1, Descending: true}, askFloor("~a/", "~b"))
	floor := askFloor("~b/", "~a")
	require.True(t, floor.empty())
	require.Equal(t, Ask{Low: "~a/b\x01", High: "~a0", Limit: 3}, askRange("~a/", "~a/b", 3))
	require.False(t, strings.Contains(askKey("k").High, "\x00"))
}

// Rows that come at one end and are deleted at the other leave nothing behind.
func TestRowCacheForgetsWhatWasDeleted(t *testing.T) {
	t.Parallel()
	var c rowCache
	all := askRange("~s/", "", MaxAsk)
	c.add(&all, nil)
	key := func(n int) string { return fmt.Sprintf("~s/%06d", n) }
	for n := range 2000 {
		changed := []standing.Row{{Key: key(n), Value: []byte("v")}}
		if n >= 10 {
			changed = append(changed, standing.Row{Key: key(n - 10)})
		}
		c.commit(changed, &Head{Size: uint64(n)})
		require.LessOrEqual(t, c.young.nodes.Len(), 14)
	}
	rows, known := c.rows(&all)
	require.True(t, known)
	require.Len(t, rows, 10)
}
