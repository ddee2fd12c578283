package words_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/timeline/words"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                            nil,
		" -- * \" ' %":                nil,
		"🎉":                           nil,
		"Hello, hello world":          {"hello", "world"},
		"payment.requested_2":         {"payment", "requested", "2"},
		"Crème BRÛLÉE cre\u0300me":    {"creme", "brulee"},
		"Straße ﬁn Ⅻ ½":               {"strasse", "fin", "xii", "1", "2"},
		"ΣΊΣΥΦΟΣ σίσυφος":             {"σισυφοσ"},
		"東京都":                         {"東京", "京都", "都"},
		"東京2020年 AKB48総選挙":            {"東京", "京", "2020", "年", "akb48", "総選", "選挙", "挙"},
		"カー が か\u3099":                {"カー", "ー", "が"},
		"हिन्दी":                      {"हिन्दी"},
		"İstanbul ısı":                {"istanbul", "ısı"},
		"Ёлка й":                      {"елка", "и"},
		"한국어":                         {"한국어"},
		"co\u00adop a\u200db":         {"coop", "ab"},
		"\u0301x":                     {"x"},
		"\xffab\xfe":                  {"ab"},
		strings.Repeat("x", 70):       {strings.Repeat("x", 64)},
		strings.Repeat("é", 70):       {strings.Repeat("e", 64)},
		strings.Repeat("я", 40):       {strings.Repeat("я", 32)},
		"a" + strings.Repeat("я", 40): {"a" + strings.Repeat("я", 31)},
	} {
		require.Equal(t, want, words.Split(text), "%q", text)
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	payload := `{"name":"value","n":[1.5,-20,true,null,"a\u00e9\n\"b\\"],"x":{"y":"z:"},"k" : "spaced" , "e":"\ud83c\udf89ok"}`
	for q, want := range map[string]bool{
		"value": true, "val": true, "alue": false, "name": false, "n": false, "k": false, "true": false, "null": false,
		"1": true, "5": true, "20": true, "2": true, "ae b": true, "z": true, "spaced": true, "ok": true, "title": true, "sub": true, "paid": true,
		"title sub value": true, "title nothing": false, "val valu value": true,
	} {
		require.Equal(t, want, words.Match(words.Split(q), "A Title", "Subject", "invoice.paid", []byte(payload)), q)
	}
	require.True(t, words.Match(nil, "", "", "", nil))
	require.False(t, words.Match([]string{"value"}, "", "", "t", nil), "what is erased is not found")
}

// FuzzMatch takes any payload apart as encoding/json does.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{`{"a":"b c"}`, `["x\u0041\\\"y",1e5]`, `"\ud800"`, `{"a`, `"`, `"\`, `{"é":"É"}`, `-`, "\xff\"\xfe\""} {
		f.Add(seed, "b")
	}
	f.Fuzz(func(t *testing.T, payload, q string) {
		wanted := words.Split(q)
		got := words.Match(wanted, "", "", "", []byte(payload))
		for _, w := range wanted {
			require.LessOrEqual(t, len(w), words.MaxBytes)
			require.NotEmpty(t, w)
		}
		if !json.Valid([]byte(payload)) || !utf8.ValidString(payload) {
			return
		}
		dec := json.NewDecoder(strings.NewReader(payload))
		dec.UseNumber()
		var v any
		require.NoError(t, dec.Decode(&v))
		if strings.Contains(payload, `\ud`) || strings.Contains(payload, `\uD`) {
			return // lone surrogates are replaced in more than one way
		}
		if strings.Count(payload, `":`) > 0 && hasRepeats(payload) {
			return // of two members of one name, Decode keeps one
		}
		have := words.Split(strings.Join(plain(v), "\n"))
		want := true
		for _, w := range wanted {
			want = want && slices.ContainsFunc(have, func(h string) bool { return strings.HasPrefix(h, w) })
		}
		require.Equal(t, want, got)
	})
}

// hasRepeats says whether some object may name a member twice.
func hasRepeats(payload string) bool {
	dec := json.NewDecoder(strings.NewReader(payload))
	n := 0
	for {
		token, err := dec.Token()
		if err != nil {
			break
		}
		if _, ok := token.(json.Delim); !ok {
			n++
		}
	}
	var v any
	_ = json.Unmarshal([]byte(payload), &v)
	return n != count(v)
}

func count(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n += 1 + count(e)
		}
	case []any:
		for _, e := range v {
			n += count(e)
		}
	default:
		n = 1
	}
	return n
}

// plain are the strings and numbers of a value.
func plain(v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			out = append(out, plain(e)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, plain(e)...)
		}
	case string:
		out = []string{v}
	case json.Number:
		out = []string{v.String()}
	}
	return out
}

// find asks a block's pages as a store does.
func find(t *testing.T, pages []words.Page, prefix string) (found words.Set) {
	t.Helper()
	at := 0
	for i := range pages {
		if pages[i].First <= prefix {
			at = i
		}
	}
	for ; at < len(pages) && pages[at].First < words.After(prefix); at++ {
		require.True(t, words.Find(pages[at].Data, prefix, &found))
	}
	return found
}

// The index finds exactly what Match finds, whatever the words.
func TestBlockAgreesWithMatch(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	b := words.NewBlock()
	payloads := make([]string, words.Size)
	for i := range payloads {
		var text []string
		for range random.IntN(30) {
			text = append(text, []string{"common", fmt.Sprint("id", random.IntN(5000)), "東京都", "É", strings.Repeat("y", random.IntN(80)), fmt.Sprint(i)}[random.IntN(6)])
		}
		payloads[i] = fmt.Sprintf("%q", strings.Join(text, " "))
		b.Add(i, "", "", "t.x", []byte(payloads[i]))
	}
	pages := b.Pages()
	require.Greater(t, len(pages), 5)
	require.Empty(t, pages[0].First)
	require.Equal(t, pages, b.Pages())
	for _, q := range []string{"common", "c", "id", "id1", "id123", "id4999", "東", "京都", "e", "y", "yyy", "1", "77", "t", "x", "zz", "0", "\U0010fffe"} {
		got := find(t, pages, q)
		for i := range payloads {
			require.Equal(t, words.Match([]string{q}, "", "", "t.x", []byte(payloads[i])), got.Has(i), "%s %d", q, i)
		}
	}
}

// Too many words make an entry a candidate of every question, and no more than
// that: memory is bounded, and nothing is left out.
func TestTooManyWords(t *testing.T) {
	t.Parallel()
	b := words.NewBlock()
	many := make([]string, 10_000)
	for i := range many {
		many[i] = fmt.Sprint("w", i)
	}
	payload := []byte(`"` + strings.Join(many, " ") + `"`)
	b.Add(3, "", "", "t", payload)
	b.Add(4, "few", "", "t", nil)
	pages := b.Pages()
	for q, want := range map[string][2]bool{"w1": {true, false}, "w9999": {true, false}, "other": {true, false}, "few": {true, true}} {
		got := find(t, pages, q)
		require.Equal(t, want, [2]bool{got.Has(3), got.Has(4)}, q)
		require.False(t, got.Has(5), q)
	}
	size := 0
	for i := range 2 * words.Size { // distinct words without end
		b.Add(i%words.Size, "", "", "t", fmt.Appendf(nil, `"%s"`, strings.ReplaceAll(string(payload), "w", fmt.Sprint("v", i, "x"))))
	}
	for _, p := range b.Pages() {
		size += len(p.Data)
	}
	require.Less(t, size, 16<<20)
}

// FuzzFind: no page makes Find fail otherwise than by saying so.
func FuzzFind(f *testing.F) {
	b := words.NewBlock()
	for i := range 200 {
		b.Add(i, fmt.Sprint("common word", i), "", "t", nil)
	}
	for _, p := range b.Pages() {
		f.Add(p.Data, "wo")
	}
	f.Add([]byte{}, "")
	f.Add([]byte{words.Version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, "a")
	f.Fuzz(func(t *testing.T, page []byte, prefix string) {
		var narrow, wide words.Set
		if !words.Find(page, prefix, &narrow) {
			return
		}
		require.True(t, words.Find(page, "", &wide))
		wide.And(&narrow)
		require.Equal(t, narrow, wide, "a longer prefix finds no more")
	})
}

func BenchmarkMatch(b *testing.B) {
	payload := []byte(`{"text":"` + strings.Repeat("some words of plain text with nothing in it ", 22) + `"}`)
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		words.Match([]string{"needle"}, "A title", "subject", "type.of", payload)
	}
}
