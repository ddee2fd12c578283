package expr

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

var now = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// params are those of the tests.
func params() map[string]Value {
	return map[string]Value{
		"limit": NumberValue(1000), "window": DurationValue(48 * time.Hour), "who": StringValue("logline-id://ana"),
		"roles": ListValue(StringValue("finance"), StringValue("admin")), "on": BoolValue(true),
		"pattern": StringValue("^p[0-9]+$"),
	}
}

func scopeOf(t testing.TB, place Place) *Scope {
	t.Helper()
	s, err := NewScope(ScopeConfig{Place: place, Params: params()})
	require.NoError(t, err)
	return s
}

func facts(t testing.TB) Facts {
	t.Helper()
	data, err := ParseData([]byte(`{
		"amount": 1500, "rate": 0.25, "name": "Ana Maria", "id": "p1", "gone": null, "efetivação": true, "in": "reserved",
		"items": [{"n": 1, "sku": "a"}, {"n": 2, "sku": "b"}, {"n": 3}], "tags": ["x", "y"], "none": [],
		"nested": {"deep": {"value": 7}}, "when": "2026-03-01T10:00:00Z", "flag": false}`))
	require.NoError(t, err)
	return Facts{
		Span: &span.Header{ID: "0195", Tenant: "t", Author: "logline-id://ana", Type: "payment.requested", Tags: []string{"a", "b"},
			Time: "2026-03-14T15:09:00Z", Status: "executed", Visibility: "organization"},
		Data:   data,
		Actor:  &Identity{ID: "logline-id://ana", Handle: "@ana", Status: "validated", Roles: []string{"finance"}, Trust: 82},
		Tenant: &Tenant{ID: "t", Slug: "voulezvous", Name: "VoulezVous"},
		Now:    now, EnteredAt: now.Add(-50 * time.Hour),
		It:        &Identity{ID: "logline-id://rui", Status: "ghost", LastPositiveAt: now.Add(-40 * 24 * time.Hour)},
		Approvals: []Approval{{By: "logline-id://rui", Vote: "approve", Roles: []string{"admin"}, At: now, Weight: 1}},
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	scope := scopeOf(t, Text)
	in := Bind(facts(t))
	for source, want := range examples {
		p, errs := Compile(source, 0, Any, scope)
		require.NoError(t, asError(errs), source)
		got, err := p.Eval(in)
		require.NoError(t, err, source)
		require.Equal(t, want, got.String(), source)
	}
}

// asError is nil for no errors.
func asError(errs Errors) error {
	if errs == nil {
		return nil
	}
	return errs
}

// examples are expressions and what they give for facts.
var examples = map[string]string{
	// literals
	`48h`: "48h", `30d`: "30d", `2w`: "14d", `1.5h`: "90m", `250ms`: "250ms", `72h`: "72h",
	`80%`: "0.8", `12.5%`: "0.125", `1_000`: "1000", `1_000.5`: "1000.5", `0x10`: "16", `1e3`: "1000", `-3`: "-3",
	`"48h and 80% or 1_000"`: "48h and 80% or 1_000", `'not'`: "not", `r"\d"`: `\d`,
	`10 % 3`: "1", `10%3`: "1", `50% * 4`: "2", `data.amount * 80%`: "1200",
	// operators and words
	`data.amount > 1000 and data.rate < 1`: "true", `false or true`: "true", `not false`: "true",
	`not data.amount == 1500`: "false", `not data.amount == 1500 or true`: "true", `not (1 > 2) and not 2 > 3`: "true",
	`data.amount * 2`: "3000", `data.amount + 1`: "1501", `data.amount / 4`: "375", `-data.amount`: "-1500",
	`params.limit * 80% + 1 - 7 % 4`: "798", `-params.window - 1h`: "-49h", `now - (params.window + 2h) == entered_at`: "true",
	`1 + 2 * 3`: "7", `7 / 2`: "3.5", `"a" + "b"`: "ab", `[1] + [2]`: "1, 2",
	`data.items.size() > 2`: "true", `size(data.items) * 2`: "6", `data.tags[0]`: "x", `data.items[1].sku`: "b",
	`data["amount"]`: "1500", `data.efetivação`: "true", `data.in`: "reserved", `has(data.efetivação)`: "true",
	`"x" in data.tags`: "true", `"amount" in data`: "true", `"gone" in data`: "false", `actor.status in ["ghost", "validated"]`: "true",
	`data.gone == null`: "true", `data.amount != null`: "true", `null == data.never`: "true", `data["gone"] == null`: "true",
	`has(data.gone)`: "false", `has(data.amount)`: "true", `has(span.subject)`: "false", `span.subject == null`: "true",
	`has(data.x) ? data.x : 0`: "0",
	// comments
	"1 // one\n + 2 # two\n + /* three */ 3": "6",
	// variables
	`span.type`: "payment.requested", `span.tags`: "a, b", `span.time`: "2026-03-14T15:09:00Z", `actor.trust >= 80`: "true",
	`actor.handle`: "@ana", `tenant.slug`: "voulezvous", `now`: "2026-03-14T15:09:26Z", `now - entered_at`: "50h",
	`now - entered_at < params.window`: "false", `it.status`: "ghost", `now - it.last_positive_at > 30d`: "true",
	`approvals.size()`: "1", `approvals.exists(a, "admin" in a.roles)`: "true", `approvals[0].by`: "logline-id://rui",
	`params.limit + 1`: "1001", `params.window`: "48h", `"finance" in params.roles`: "true", `params.on`: "true", `has(params.on)`: "true",
	`actor`: "logline-id://ana", `now + params.window`: "2026-03-16T15:09:26Z",
	`data.items.all(ítem, ítem.n > 0)`: "true", `data.tags == ["x", "y"]`: "true", `data.nested != {"deep": {"value": 7}}`: "false", `data.amount == data.rate`: "false",
	`{"n": 3} in data.items`: "true", `{"n": 4} in data.items`: "false", `[1, 2].exists(n, n == data.rate * 4)`: "true",
	// macros
	`data.items.all(i, i.n > 0)`: "true", `data.items.exists_one(i, i.n == 2)`: "true", `data.items.filter(i, i.n > 1).size()`: "2",
	`data.items.map(i, i.n * 2)`: "2, 4, 6", `data.nested.map(k, k)`: "deep", `{"b": 1, "a": 2}.map(k, k)`: "a, b", `{"b": 1, "a": [2, 3]}`: "{a: [2, 3], b: 1}",
	// functions
	`data.name.lowerAscii()`: "ana maria", `data.name.upperAscii()`: "ANA MARIA", `" a ".trim()`: "a",
	`data.name.contains("Mar")`: "true", `data.name.startsWith("Ana")`: "true", `data.name.endsWith("x")`: "false",
	`data.id.matches("^p[0-9]+$")`: "true", `data.id.matches(params.pattern)`: "true", `"a-b".replace("-", "+")`: "a+b",
	`"a,b".split(",")`: "a, b", `["a", "b"].join("/")`: "a/b", `["a", "b"].join()`: "ab", `"ação".indexOf("o")`: "3", `"ação".substring(1, 3)`: "çã", `"abc".substring(1)`: "bc",
	`"ação".size()`:  "4",
	`string(1500.0)`: "1500", `string(48h)`: "48h", `string(true)`: "true", `double("1.5")`: "1.5", `int(2.9)`: "2", `int("7")`: "7", `bool("true")`: "true",
	`duration("1h30m")`: "90m", `duration("3d")`: "72h", `timestamp(data.when) < now`: "true", `timestamp("2026-03-01")`: "2026-03-01T00:00:00Z",
	`abs(-2)`: "2", `floor(2.7)`: "2", `ceil(2.1)`: "3", `round(2.5)`: "3", `min(1, 2)`: "1", `max(1, 2)`: "2",
	`now.getHours()`: "15", `now.getHours("+02:00")`: "17", `now.getDayOfWeek()`: "6", `now.getFullYear()`: "2026", `(now - entered_at).getHours()`: "50",
	`now.getMonth()`: "2", `now.getDate()`: "14", `int(now)`: "1773500966",
	`1000000`: "1000000", `1e21`: "1e+21", `0.1 + 0.2`: "0.30000000000000004",
}
