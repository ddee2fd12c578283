package expr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCompile compiles any source in any kind of place. What does not compile
// is told with errors that lie within it; what does gives the same twice, of
// the type that was wanted, and its errors lie within it too.
func FuzzCompile(f *testing.F) {
	for _, name := range []string{"errors.golden", "eval.golden"} {
		file, err := os.ReadFile("testdata/" + name)
		require.NoError(f, err)
		for line := range strings.Lines(string(file)) {
			if _, source, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "    ") {
				f.Add(strings.TrimSuffix(source, "\n"), byte(Condition), byte(Bool))
			}
		}
	}
	for source := range examples {
		f.Add(source, byte(Text), byte(Any))
	}
	const offset = 500
	var scopes []*Scope
	for _, place := range []Place{Condition, Guard, Key, Computed, Text, Each, Constant} {
		scopes = append(scopes, scopeOf(f, place))
	}
	given := facts(f)
	given.Supplier = &ledger{}
	f.Fuzz(func(t *testing.T, source string, place, wanted byte) {
		want := Type(wanted) % (IdentityType + 1)
		p, errs := Compile(source, offset, want, scopes[int(place)%len(scopes)])
		require.Equal(t, p == nil, len(errs) > 0)
		for _, e := range errs {
			lies(t, source, offset, e.Offset, e.End, e.Message)
		}
		if p != nil {
			evaluate(t, p, given, source, offset, want)
		}
	})
}

func lies(t *testing.T, source string, offset, from, to int, message string) {
	if message == "" || from < offset || to < from || to > offset+len(source) {
		t.Fatalf("%q: %d to %d: %q", source, from-offset, to-offset, message)
	}
}

func evaluate(t *testing.T, p *Program, given Facts, source string, offset int, want Type) {
	v, err := p.Eval(Bind(given))
	w, again := p.Eval(Bind(given))
	if fmt.Sprintf("%v %s", err, v.AppendJSON(nil)) != fmt.Sprintf("%v %s", again, w.AppendJSON(nil)) {
		t.Fatalf("%q: %v %v, then %v %v", source, v, err, w, again)
	}
	if err != nil {
		failed := err.(*EvalError)
		lies(t, source, offset, failed.Offset, failed.End, failed.Message)
		if failed.Reason == Defect {
			t.Fatalf("%q: %v", source, err)
		}
		return
	}
	if want != Any && v.Type() != want {
		t.Fatalf("%q: %v is wanted, and %v is %v", source, want, v, v.Type())
	}
	if !json.Valid(v.AppendJSON(nil)) {
		t.Fatalf("%q: %s is no JSON", source, v.AppendJSON(nil))
	}
}

// FuzzParseData reads any bytes as data. What is read is JSON, and says the
// same when it is written and read again; null members apart it is what
// encoding/json reads.
func FuzzParseData(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,2.5e3,null,{"b":null,"c":"\u00e9\n"}],"b":true}`, `[[]]`, `"x"`, `-0`, `{"a":1,"a":2}`, `1e999`, `{"z":1,"a":2}`, ` {"a" : [ 1 , 2 ] } `, `"\ud83d\ude00"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		v, err := ParseData(src)
		if err != nil {
			return
		}
		require.True(t, json.Valid(src), "%q", src)
		written := v.AppendJSON(nil)
		again, err := ParseData(written)
		require.NoError(t, err, "%q", written)
		require.Equal(t, string(written), string(again.AppendJSON(nil)))
		require.True(t, v.Equal(again), "%q", written)
		var want, got any
		require.NoError(t, json.Unmarshal(src, &want))
		require.NoError(t, json.Unmarshal(written, &got))
		require.Equal(t, withoutNulls(want), got, "%q", src)
	})
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if member == nil {
				delete(v, name)
			} else {
				v[name] = withoutNulls(member)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return v
}

func TestParseData(t *testing.T) {
	t.Parallel()
	for _, src := range []string{``, `{`, `{"a":1}x`, `{"a":1,"a":2}`, `{"a":1e999}`, `nul`, "\"\xff\"", strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		_, err := ParseData([]byte(src))
		require.Error(t, err, src)
	}
	_, err := ParseData(bytes.Repeat([]byte(" "), MaxData+1))
	require.ErrorContains(t, err, "more than")
	v, err := ParseData([]byte(` {"b": [1, null, {"c": null}], "a": "\u00e9", "n": null} `))
	require.NoError(t, err)
	require.Equal(t, `{"a":"é","b":[1,null,{}]}`, string(v.AppendJSON(nil)))
	require.Equal(t, []string{"a", "b"}, v.Names())
	_, ok := v.Member("n")
	require.False(t, ok)
}
