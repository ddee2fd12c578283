package expr

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Maps are walked in the order of their names, whatever order they were made
// in, so that an evaluation gives the same every time.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	members := make(map[string]Value)
	var ordered string
	for i := range 40 {
		name := fmt.Sprintf("k%02d", i)
		members[name] = NumberValue(float64(i))
		ordered += name
	}
	f := facts(t)
	scope := scopeOf(t, Text)
	join, errs := Compile(`data.map(k, k).join()`, 0, String, scope)
	require.NoError(t, asError(errs))
	literal, errs := Compile(`{"c": 1, "a": 2, "b": data.k00, "e": 1, "d": 1}.map(k, k).join()`, 0, String, scope)
	require.NoError(t, asError(errs))
	constant, errs := Compile(`{"c": 1, "a": 2, "b": 3, "e": 1, "d": 1}.filter(k, k != "e").join()`, 0, String, scope)
	require.NoError(t, asError(errs))
	shown, errs := Compile(`{"c": {"z": 1, "y": 2}, "a": [data.k01]}`, 0, Map, scope)
	require.NoError(t, asError(errs))
	for range 50 {
		f.Data = MapValue(members)
		in := Bind(f)
		for p, want := range map[*Program]string{join: ordered, literal: "abcde", constant: "abcd", shown: "{a: [1], c: {y: 2, z: 1}}"} {
			v, err := p.Eval(in)
			require.NoError(t, err)
			require.Equal(t, want, v.String())
		}
	}
}

// One program and one input serve many at once, errors included: their
// positions are their own.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	in := Bind(facts(t))
	scope := scopeOf(t, Guard)
	sources := []string{
		`data.missing > 3`, `1 > 0 and data.amount.startsWith("x")`, `data.name.matches("^A") and data.name > 3`,
		`data.amount in ["a", "b"] or data.tags.x == 1`, `"a" in data.name`, `data.name ? true : false`, `data.amount and true`,
		`now + 100000d + 100000d + 100000d > now and data.amount / 0 > 1`, `data.items.all(i, i.sku != "")`, `data.tags[1.5] == "x"`,
		`[data.name][0] in [1, 2] or data.flag.x`, `data.items.exists(i, i.n == 3)`, `timestamp("9999-12-31") + 1000d > now`,
	}
	var wait sync.WaitGroup
	for _, source := range sources {
		p, errs := Compile(source, 0, Bool, scope)
		require.NoError(t, asError(errs), source)
		want, wantErr := p.Bool(in)
		for range 4 {
			wait.Go(func() {
				for range 200 {
					got, err := p.Bool(in)
					if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) || place(err) != place(wantErr) {
						t.Errorf("%s: %v %v, not %v %v", source, got, err, want, wantErr)
						return
					}
				}
			})
		}
	}
	wait.Wait()
}

func place(err error) position {
	if failed, ok := err.(*EvalError); ok {
		return position{failed.Offset, failed.End}
	}
	return position{}
}
