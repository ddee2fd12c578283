package expr

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each place knows its variables and no others, and asks where it may.
func TestPlaces(t *testing.T) {
	t.Parallel()
	known := map[Place]string{
		Condition: "span data actor tenant now ?",
		Guard:     "span data actor tenant approvals now entered_at ?",
		Key:       "span data actor tenant it",
		Computed:  "span data actor tenant approvals now entered_at it ?",
		Text:      "span data actor tenant approvals now entered_at it ? handle",
		Each:      "tenant now it ?",
		Constant:  "",
	}
	for place, want := range known {
		scope := scopeOf(t, place)
		got := ""
		for _, name := range []string{"span", "data", "actor", "tenant", "approvals", "now", "entered_at", "it"} {
			if _, errs := Compile(name, 0, Any, scope); errs == nil {
				got += " " + name
			}
		}
		if _, errs := Compile(`spans("a").count()`, 0, Any, scope); errs == nil {
			got += " ?"
		}
		if _, errs := Compile(`actor.handle`, 0, Any, scope); errs == nil {
			got += " handle"
		}
		require.Equal(t, want, trimmed(got), place.String())
		_, errs := Compile(`params.limit`, 0, Number, scope)
		require.NoError(t, asError(errs), place.String())
	}
}

func trimmed(s string) string {
	if s == "" {
		return s
	}
	return s[1:]
}

// A caller can say itself which variables there are.
func TestVars(t *testing.T) {
	t.Parallel()
	scope, err := NewScope(ScopeConfig{Place: Computed, Vars: VarIt | VarNow})
	require.NoError(t, err)
	_, errs := Compile(`now - it.last_positive_at > 30d`, 0, Bool, scope)
	require.NoError(t, asError(errs))
	_, errs = Compile(`data.x`, 0, Any, scope)
	require.Len(t, errs, 1)
}

// A parameter is a constant of its own type.
func TestParams(t *testing.T) {
	t.Parallel()
	scope, err := NewScope(ScopeConfig{Place: Constant, Params: map[string]Value{
		"n": NumberValue(2), "s": StringValue("x"), "d": DurationValue(time.Hour), "at": TimeValue(now), "b": BoolValue(true),
		"empty": ListValue(), "mixed": ListValue(NumberValue(1), StringValue("a")), "o": MapValue(map[string]Value{"k": NumberValue(7)}),
	}})
	require.NoError(t, err)
	for source, want := range map[string]string{
		`params.n * 2`: "4", `params.s + "y"`: "xy", `params.d + params.d`: "2h", `params.at - params.d`: "2026-03-14T14:09:26Z",
		`params.b and not false`: "true", `params.empty.size()`: "0", `params.mixed`: "1, a", `params.o.k`: "7", `params.o`: "{k: 7}",
	} {
		p, errs := Compile(source, 0, Any, scope)
		require.NoError(t, asError(errs), source)
		v, err := p.Eval(Bind(Facts{}))
		require.NoError(t, err, source)
		require.Equal(t, want, v.String(), source)
	}
	for _, source := range []string{`params.n + "x"`, `params.s > 1`, `params.d > 1`} {
		_, errs := Compile(source, 0, Any, scope)
		require.Len(t, errs, 1, source)
	}
	for _, v := range []Value{{}, IdentityValue(&Identity{ID: "x"})} {
		_, err := NewScope(ScopeConfig{Params: map[string]Value{"x": v}})
		require.ErrorContains(t, err, "the parameter x")
	}
}

func TestValueTypes(t *testing.T) {
	t.Parallel()
	for want, v := range map[Type]Value{
		Any: {}, Bool: BoolValue(true), Number: NumberValue(1), String: StringValue("s"), Duration: DurationValue(time.Hour),
		Time: TimeValue(now), List: ListValue(NumberValue(1)), Map: MapValue(nil), IdentityType: IdentityValue(&Identity{ID: "i"}),
	} {
		require.Equal(t, want, v.Type())
		require.True(t, v.Equal(v))
		require.False(t, v.Equal(StringValue("another")))
	}
	b, ok := BoolValue(true).Bool()
	require.True(t, b && ok)
	_, ok = StringValue("x").Bool()
	require.False(t, ok)
	f, ok := NumberValue(2).Number()
	require.True(t, f == 2 && ok)
	s, ok := StringValue("x").Str()
	require.True(t, s == "x" && ok)
	d, ok := DurationValue(time.Hour).Duration()
	require.True(t, d == time.Hour && ok)
	at, ok := TimeValue(now.In(time.FixedZone("", 3600))).Time()
	require.True(t, at.Equal(now) && at.Location() == time.UTC && ok)
	i, ok := IdentityValue(&Identity{ID: "i"}).Identity()
	require.True(t, i.ID == "i" && ok)
	require.Len(t, ListValue(NumberValue(1), Value{}).List(), 2)
	require.Nil(t, StringValue("x").List())
	m := MapValue(map[string]Value{"b": NumberValue(1), "a": StringValue("é\n"), "gone": {}})
	require.Equal(t, []string{"a", "b"}, m.Names())
	require.Equal(t, `{"a":"é\n","b":1}`, string(m.AppendJSON(nil)))
	require.Equal(t, `["2026-03-14T15:09:26Z","30d","i",null]`,
		string(ListValue(TimeValue(now), DurationValue(720*time.Hour), IdentityValue(&Identity{ID: "i"}), Value{}).AppendJSON(nil)))
}
