package expr

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// list is a value of n members.
func list(n int, member Value) Value {
	items := make([]Value, n)
	for i := range items {
		items[i] = member
	}
	return ListValue(items...)
}

// What compiles ends: an evaluation that would cost too much is stopped, and
// says so, even where the other operand would decide.
func TestCostLimit(t *testing.T) {
	t.Parallel()
	row := MapValue(map[string]Value{"n": NumberValue(1), "tags": list(900, StringValue("x"))})
	f := facts(t)
	f.Data = MapValue(map[string]Value{"items": list(900, row), "few": list(9, row), "many": list(520_000, NumberValue(1))})
	in := Bind(f)
	for source, within := range map[string]bool{
		`data.items.all(i, i.n > 0)`:                        true,
		`data.few.all(i, i.tags.all(t, t != ""))`:           true,
		`data.items.all(i, i.tags.all(t, t != ""))`:         false,
		`data.items.all(i, i.tags.all(t, t != "")) or true`: false,
		`data.many.exists(m, m > 1)`:                        false,
		`data.many.filter(m, m > 1).size() > 1`:             false,
		`data.many.map(m, m + 1).size() > 1`:                false,
		`size(data.many) > 1 and data.many[519999] == 1`:    true,
	} {
		p := compile(t, Condition, Bool, source)
		_, err := p.Bool(in)
		if within {
			require.NoError(t, err, source)
		} else {
			require.Error(t, err, source)
			requireReason(t, err, TooCostly)
		}
	}
}

// A value can hold a great one many times over: comparing, looking and showing
// stop in time, and nothing can be made that is greater than a payload.
func TestGreatValues(t *testing.T) {
	t.Parallel()
	great, same := strings.Repeat("x", 200_000), strings.Repeat("x", 199_999)+"y"
	f := facts(t)
	f.Data = MapValue(map[string]Value{
		"items": list(5000, NumberValue(1)), "a": StringValue(great), "b": StringValue(same),
		"l": list(100_000, NumberValue(1)), "m": list(100_000, NumberValue(1)),
	})
	in := Bind(f)
	for source, want := range map[string]Type{
		`data.items.map(i, data.l) == data.items.map(i, data.m)`:     Bool,
		`data.items.map(i, data.l) != data.items.map(i, data.m)`:     Bool,
		`data.a in data.items.map(i, data.b)`:                        Bool,
		`data.items.map(i, data.a)`:                                  List,
		`data.items.map(i, data.a).join()`:                           String,
		`data.items.map(i, data.a + data.b).size() > 1`:              Bool,
		`data.a.replace("x", "xxxxxxxxxx")`:                          String,
		`data.items.all(i, data.a.lowerAscii() == data.a)`:           Bool,
		`data.items.all(i, data.l == data.m)`:                        Bool,
		`data.items.all(i, data.a < data.b)`:                         Bool,
		`data.items.all(i, size(data.a) == 200000)`:                  Bool,
		`[data.items.map(i, data.a)]`:                                List,
		`{"x": data.items.map(i, data.l)}`:                           Map,
		`data.items.all(i, data.a.indexOf("y") == -1)`:               Bool,
		`data.items.exists(i, data.b.matches("^(x?)*y$") and i > 2)`: Bool,
	} {
		p, errs := Compile(source, 0, want, scopeOf(t, Condition))
		require.NoError(t, asError(errs), source)
		_, err := p.Eval(in)
		require.Error(t, err, source)
		requireReason(t, err, TooCostly)
	}
}

// Questions are dear: a few are asked in a loop, not one for each item.
func TestQuestionsInLoops(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	f := facts(t)
	f.Supplier = l
	f.Approvals = make([]Approval, 2000)
	p := compile(t, Guard, Bool, `approvals.all(a, spans("x").by("y").count() < 1)`)
	_, err := p.Bool(Bind(f))
	requireReason(t, err, TooCostly)
	require.LessOrEqual(t, len(l.asked), MaxCost/questionCost)
	_, errs := Compile(`data.items.all(i, spans("x").by(i.who).count() < 1)`, 0, Bool, scopeOf(t, Guard))
	require.Len(t, errs, 1)
}

// What cannot be afforded in the worst case is not compiled; what is compiled
// without a loop never costs more than was reckoned.
func TestStaticCost(t *testing.T) {
	t.Parallel()
	for source, ok := range map[string]bool{
		`data.a > 1`:           true,
		`data.a.all(x, x > 1)`: true,
		`data.a.all(x, x.y.all(z, z.w.exists(v, v > 1)))`: true,
		`data.a.all(x, data.b.all(y, x > y))`:             false,
		`data.a.all(i, i.t.all(t, i.t.all(u, u==t)))`:     true,
		`data.a.exists(x, x in data.b)`:                   false,
		`data.a.map(x, data.b).size() > 1`:                true,
		`data.a.map(x, data.b.map(y, y)).size() > 1`:      false,
		`data.a.matches("(a+)+$")`:                        true,
		`data.a.all(x, data.b.matches("a.*b"))`:           true,
		`data.a.all(x, x.name.startsWith(data.prefix))`:   true,
		`data.a.exists(x, x.name == data.name)`:           true,
	} {
		p, errs := Compile(source, 0, Bool, scopeOf(t, Condition))
		if !ok {
			require.Len(t, errs, 1, source)
			require.Contains(t, errs[0].Message, "may cost", source)
			continue
		}
		require.NoError(t, asError(errs), source)
		require.LessOrEqual(t, p.Cost(), uint64(MaxStaticCost), source)
	}
}

// Only what needs it is counted: loops over much data, and patterns.
func TestCounting(t *testing.T) {
	t.Parallel()
	heavy := facts(t)
	heavy.Data = MapValue(map[string]Value{"a": list(40_000, NumberValue(1))})
	many := facts(t)
	many.Approvals = make([]Approval, MaxApprovals+1)
	for source, want := range map[string][3]bool{
		`data.a > 1 and data.b == "x" or span.type == "y"`:        {false, false, false},
		`data.a.all(x, x > 1)`:                                    {false, true, true},
		`data.a.all(x, data.a.all(y, y.z.all(z, z > 1)))`:         {false, true, true},
		`approvals.all(a, a.weight > 1)`:                          {false, false, true},
		`data.a.matches("` + strings.Repeat("(a?b+)*", 90) + `")`: {false, true, true},
	} {
		p, errs := Compile(source, 0, Bool, scopeOf(t, Guard))
		if errs != nil {
			require.Contains(t, errs[0].Message, "may cost", source)
			continue
		}
		for i, f := range []Facts{facts(t), heavy, many} {
			_, details, _ := p.planned(Bind(f)).Eval((*activation)(Bind(f)))
			require.Equal(t, want[i], details.ActualCost() != nil, "%s with %d", source, i)
		}
	}
}

func TestSizeLimits(t *testing.T) {
	t.Parallel()
	for source, message := range map[string]string{
		strings.Repeat(" ", MaxSource) + "1":                      "bytes",
		strings.Repeat("(", 300) + "1" + strings.Repeat(")", 300): "deeply",
		strings.Repeat("[", 300) + "1" + strings.Repeat("]", 300): "deeply",
		"1" + strings.Repeat("+1", 300):                           "deeply", "[1" + strings.Repeat(",1", 2500) + "]": "parts",
		strings.Repeat("data.a ? 1 : ", 300) + "1":                    "deeply",
		`data.x.matches("` + strings.Repeat("a", MaxPattern+1) + `")`: "pattern",
		"\xff": "UTF-8",
	} {
		_, errs := Compile(source, 0, Any, scopeOf(t, Condition))
		require.Len(t, errs, 1, "%.40q", source)
		require.Contains(t, errs[0].Message, message, "%.40q", source)
	}
}
