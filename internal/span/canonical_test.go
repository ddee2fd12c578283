package span_test

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
)

// requireFault asserts the code and, where pointer is not "-", the place.
func requireFault(t testing.TB, err error, code, pointer string) {
	t.Helper()
	require.Error(t, err)
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	assert.Equal(t, code, f.Code, err)
	assert.Equal(t, fault.Invalid, f.Kind)
	if pointer != "-" {
		require.NotEmpty(t, f.Fields, err)
		assert.Equal(t, pointer, f.Fields[0].Pointer, err)
	}
}

func nested(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }

func TestCanonicalizeRefusesForItsOwnReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ input, code, pointer string }{
		{``, "json_syntax", ""},
		{` `, "json_syntax", ""},
		{"\ufeff{}", "json_syntax", ""},
		{`{"a":1,"a":2}`, "json_duplicate_member", "/a"},
		{`{"b":1,"a":2,"b":3}`, "json_duplicate_member", "/b"},
		{`{"\u0061":1,"a":2}`, "json_duplicate_member", "/a"},
		{`{"x":[0,{"a/b~":1,"a/b~":2}]}`, "json_duplicate_member", "/x/1/a~1b~0"},
		{`{"n":9007199254740992}`, "json_number_range", "/n"},
		{`{"n":9007199254740993}`, "json_number_range", "/n"},
		{`{"n":-9007199254740992}`, "json_number_range", "/n"},
		{`{"n":9007199254740991.5}`, "json_number_range", "/n"},
		{`{"n":9007199254740991.0000000000000000001}`, "json_number_range", "/n"},
		{`{"n":90071992547409910001e-4}`, "json_number_range", "/n"},
		{`{"n":9007199254740992e0}`, "json_number_range", "/n"},
		{`{"n":0.9007199254740993e16}`, "json_number_range", "/n"},
		{`{"n":[1,{"m":1e21}]}`, "json_number_range", "/n/1/m"},
		{`{"n":1e400}`, "json_number_range", "/n"},
		{`{"n":-1e400}`, "json_number_range", "/n"},
		{`{"s":"\ud800"}`, "json_lone_surrogate", "/s"},
		{`{"s":"\udc00"}`, "json_lone_surrogate", "/s"},
		{`{"s":"\ud800x"}`, "json_lone_surrogate", "/s"},
		{`{"s":"\ud800\u0041"}`, "json_lone_surrogate", "/s"},
		{`{"\ud800":1}`, "json_lone_surrogate", ""},
		{`{"s":"a\u0000b"}`, "json_nul", "/s"},
		{"{\"s\":\"a\x00b\"}", "json_nul", "/s"},
		{"{\"s\":\"a\x01b\"}", "json_syntax", "/s"},
		{"{\"s\":\"\xff\"}", "json_invalid_utf8", "/s"},
		{"{\"s\":\"\xed\xa0\x80\"}", "json_invalid_utf8", "/s"}, // a surrogate in UTF-8
		{"{\"s\":\"\xc0\x80\"}", "json_invalid_utf8", "/s"},     // overlong
		{"{\"s\":\"\xe2\x82\"}", "json_invalid_utf8", "/s"},     // cut short
		{`{}{}`, "json_trailing_data", ""},
		{`{} x`, "json_trailing_data", ""},
		{"{}\x00", "json_trailing_data", ""},
		{`[1]`, "json_not_object", ""},
		{`"x"`, "json_not_object", ""},
		{`null`, "json_not_object", ""},
		{`1`, "json_not_object", ""},
		{nested(65), "json_too_deep", strings.Repeat("/a", 64)},
		{`{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "json_too_deep", "/a" + strings.Repeat("/0", 63)},
		{`{"n":NaN}`, "json_syntax", "/n"},
		{`{"n":Infinity}`, "json_syntax", "/n"},
		{`{"n":01}`, "json_syntax", ""},
		{`{"n":+1}`, "json_syntax", "/n"},
		{`{"n":1.}`, "json_syntax", "/n"},
		{`{"n":.5}`, "json_syntax", "/n"},
		{`{"n":1e}`, "json_syntax", "/n"},
		{`{"n":-}`, "json_syntax", "/n"},
		{`{"a":1 /* x */}`, "json_syntax", ""},
		{`{"a":1,}`, "json_syntax", ""},
		{`{"a":[1,]}`, "json_syntax", "/a/1"},
		{`{a:1}`, "json_syntax", ""},
		{`{"a" 1}`, "json_syntax", "/a"},
		{`{"a":tru}`, "json_syntax", "/a"},
		{`{"a":"\x"}`, "json_syntax", "/a"},
		{`{"a":"\u12g4"}`, "json_syntax", "/a"},
		{`{"a":"`, "json_syntax", "/a"},
		{`{"a":"\`, "json_syntax", "/a"},
		{`{`, "json_syntax", ""},
	} {
		_, err := span.Canonicalize([]byte(c.input))
		t.Run(c.code, func(t *testing.T) { requireFault(t, err, c.code, c.pointer) })
	}
}

func TestCanonicalizeAccepts(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`{"n":-0}`:                     `{"n":0}`,
		`{"n":-0.0}`:                   `{"n":0}`,
		`{"n":-0e-5}`:                  `{"n":0}`,
		`{"n":1e-400}`:                 `{"n":0}`,
		`{"n":9007199254740991.0}`:     `{"n":9007199254740991}`,
		`{"n":90071992547409910e-1}`:   `{"n":9007199254740991}`,
		`{"n":-9007199254740991}`:      `{"n":-9007199254740991}`,
		`{"n":0.1}`:                    `{"n":0.1}`,
		`{"n":12345678901234.5}`:       `{"n":12345678901234.5}`,
		`{"n":1000000000000000}`:       `{"n":1000000000000000}`,
		`{"n":1e15}`:                   `{"n":1000000000000000}`,
		"{\"s\":\"\U0010ffff\uffff\"}": "{\"s\":\"\U0010ffff\uffff\"}", // noncharacters are allowed
		`{"s":"\u007f\u2028"}`:         "{\"s\":\"\x7f\u2028\"}",
		nested(64):                     nested(64),
		// Beyond the BMP sorts by its surrogates, before U+FB33.
		"{\"\ufb33\":1,\"\U0001f600\":2}": "{\"\U0001f600\":2,\"\ufb33\":1}",
		`{"\n":1,"\\":2,"a":3,"A":4}`:     `{"\n":1,"A":4,"\\":2,"a":3}`,
		`{"aa":1,"a":2,"":3}`:             `{"":3,"a":2,"aa":1}`,
		`{"é":1,"":2}`:                    `{"":2,"é":1}`,
	} {
		got, err := span.Canonicalize([]byte(input))
		require.NoError(t, err, input)
		assert.Equal(t, want, string(got))
	}
}

func TestCanonicalizeKeepsNothingOfItsInput(t *testing.T) {
	t.Parallel()
	src := []byte(`{"b":"text","a":1}`)
	got, err := span.Canonicalize(src)
	require.NoError(t, err)
	clear(src)
	assert.Equal(t, `{"a":1,"b":"text"}`, string(got))
}

func TestCanonicalMarshalsByTag(t *testing.T) {
	t.Parallel()
	got, err := span.Canonical(struct {
		Z int    `json:"z"`
		A string `json:"a,omitempty"`
		B []int  `json:"b"`
	}{Z: 1, B: []int{2}})
	require.NoError(t, err)
	assert.Equal(t, `{"b":[2],"z":1}`, string(got))
	_, err = span.Canonical(struct{ F float64 }{math.NaN()})
	assert.Equal(t, "marshal_failed", fault.CodeOf(err))
	_, err = span.Canonical(map[string]uint64{"n": math.MaxUint64})
	requireFault(t, err, "json_number_range", "/n")
}

// oracle is what jsontext makes of a document that our guard accepts.
func oracle(t interface{ Fatalf(string, ...any) }, src []byte) []byte {
	v := jsontext.Value(append([]byte(nil), src...))
	if err := v.Canonicalize(); err != nil {
		t.Fatalf("accepted, but jsontext refuses %q: %v", src, err)
	}
	return v
}

// anyValue draws a JSON value with awkward names, strings and numbers.
func anyValue(t *rapid.T, depth int) any {
	switch k := rapid.IntRange(0, 7).Draw(t, "kind"); {
	case k == 0:
		return nil
	case k == 1:
		return rapid.Bool().Draw(t, "bool")
	case k == 2:
		return rapid.Int64Range(-(1<<53-1), 1<<53-1).Draw(t, "int")
	case k == 3:
		return rapid.Float64Range(-(1<<53-1), 1<<53-1).Draw(t, "float")
	case k == 4 || depth == 0:
		return anyText(t)
	case k == 5:
		list := make([]any, rapid.IntRange(0, 4).Draw(t, "len"))
		for i := range list {
			list[i] = anyValue(t, depth-1)
		}
		return list
	}
	return anyObject(t, depth-1)
}

func anyObject(t *rapid.T, depth int) map[string]any {
	o := map[string]any{}
	for range rapid.IntRange(0, 6).Draw(t, "members") {
		o[anyText(t)] = anyValue(t, depth)
	}
	return o
}

func anyText(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune{'a', 'b', 'Z', '"', '\\', '/', '\n', '\x01', '\x7f', 'é', '\u2028', '\ue000', '\ufb33', '\uffff', '\U00010000', '\U0001f600', '\U0010ffff'}), 0, 20, -1).Draw(t, "text")
}

func TestCanonicalizeAgreesWithJSONText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := anyObject(t, 5)
		src, err := json.MarshalIndent(o, "", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := span.Canonicalize(src)
		if err != nil {
			t.Fatalf("refused %q: %v", src, err)
		}
		if want := oracle(t, src); string(got) != string(want) {
			t.Fatalf("%q: got %q, jsontext %q", src, got, want)
		}
	})
}

func TestNumberGuardAgreesWithExactArithmetic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(1<<53-4, 1<<53+4).Draw(t, "n")
		frac := rapid.SampledFrom([]string{"", ".0", ".000", ".5", ".0001", ".9999"}).Draw(t, "fraction")
		shift := rapid.IntRange(0, 20).Draw(t, "shift")
		text := strconv.FormatInt(n, 10) + strings.Repeat("0", shift)
		if shift > 0 {
			text += frac + "e-" + strconv.Itoa(shift)
			if strings.Trim(frac, ".0") != "" && n == 1<<53-1 {
				frac = ".1" // still above, however little
			}
		} else {
			text += frac
		}
		beyond := n > 1<<53-1 || n == 1<<53-1 && strings.Trim(frac, ".0") != ""
		_, err := span.Canonicalize([]byte(`{"n":` + text + `}`))
		if (err != nil) != beyond {
			t.Fatalf("%s: beyond %v, got %v", text, beyond, err)
		}
	})
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := anyText(t)
		got := span.AppendString([]byte("x"), s)[1:]
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != s {
			t.Fatalf("%q became %q: %v", s, got, err)
		}
		if want := string(oracle(t, []byte(`{"s":`+string(got)+`}`))); want != `{"s":`+string(got)+`}` {
			t.Fatalf("%q is not canonical: %q", got, want)
		}
	})
}

func FuzzCanonicalize(f *testing.F) {
	var v jsonVectors
	load(f, "canonical-json.json", &v)
	for _, c := range v.Canonical {
		f.Add([]byte(c.Input))
	}
	for _, c := range v.Refuse {
		f.Add([]byte(c.Input))
	}
	f.Add([]byte(nested(64)))
	f.Fuzz(func(t *testing.T, src []byte) {
		got, err := span.Canonicalize(src)
		if err != nil {
			var fe *fault.Error
			require.ErrorAs(t, err, &fe)
			require.Len(t, fe.Fields, 1)
			return
		}
		require.True(t, utf8.Valid(got))
		again, err := span.Canonicalize(got)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
		require.Equal(t, string(oracle(t, src)), string(got))
	})
}
