package older_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/rules/older"
)

var named = older.Options{Name: "imported"}

// imported is the contract made of a text, which must be all right.
func imported(t testing.TB, text string) *contract.Contract {
	t.Helper()
	out, diagnostics := older.Import("old", text, named)
	require.Empty(t, diagnostics, lll.NewSource("old", text).RenderAll(diagnostics))
	file, diagnostics := lll.Parse("new", out)
	require.Empty(t, diagnostics, out)
	c, diagnostics := contract.Compile(file, contract.Options{})
	require.False(t, lll.Failed(diagnostics), file.RenderAll(diagnostics))
	return c
}

// TestConditions shows what becomes of conditions: "types: condition".
func TestConditions(t *testing.T) {
	t.Parallel()
	for old, want := range map[string]string{
		`when span.type is contract and valor > 10000`:                    `"contract": has(data.valor) && data.valor > 10000`,
		`when span.type in [a.b, "c.d"]`:                                  `["a.b", "c.d"]: `,
		`when span.type is contract or valor > 1`:                         `"**": span.type == "contract" || (has(data.valor) && data.valor > 1)`,
		`when not (valor > 5 and pais is BR)`:                             `"**": (has(data.valor) && data.valor <= 5) || (has(data.pais) && data.pais != "BR")`,
		`when not not valor >= 5`:                                         `"**": has(data.valor) && data.valor >= 5`,
		`when valor ≥ 5 and (a = 1 or b <> 2)`:                            `"**": has(data.valor) && data.valor >= 5 && ((has(data.a) && data.a == 1) || (has(data.b) && data.b != 2))`,
		`when a = 1 or a = 2`:                                             `"**": (has(data.a) && data.a == 1) || (has(data.a) && data.a == 2)`,
		`WHEN Blocked`:                                                    `"**": has(data.Blocked) && data.Blocked == true`,
		`when cliente.nome is not null`:                                   `"**": has(data.cliente) && has(data.cliente.nome)`,
		`when cliente.nome is null`:                                       `"**": !(has(data.cliente) && has(data.cliente.nome))`,
		`when valor > limite and limite > 0`:                              `"**": has(data.valor) && has(data.limite) && data.valor > data.limite && data.limite > 0`,
		`when pais not in [BR, PT] and memo contains "x"`:                 `"**": has(data.pais) && !(data.pais in ["BR", "PT"]) && has(data.memo) && data.memo.contains("x")`,
		`when memo is "say \"${x}\""`:                                     `"**": has(data.memo) && data.memo == "say \"\u0024{x}\""`,
		`when actor.status is ghost and payload.valor exists`:             `"**": actor.status == "ghost" && has(data.valor)`,
		`when efetivação is 80% and valor-total > 1`:                      `"**": has(data.efetivação) && data.efetivação == 80% && ("valor-total" in data) && data["valor-total"] > 1`,
		`{"if": {"valor": {"gt": 10000}}`:                                 `"**": has(data.valor) && data.valor > 10000`,
		`{"on": ["a.b"], "if": {"x": "y", "z": [1, 2]}`:                   `"a.b": has(data.x) && data.x == "y" && has(data.z) && data.z in [1, 2]`,
		`{"when": {"or": [{"x": null}, {"not": {"y": {"lte": 1.5}}}]}`:    `"**": !has(data.x) || (has(data.y) && data.y > 1.5)`,
		`{"if": {"span.type": "a.b", "x": {"$exists": false, "ne": "é"}}`: `"a.b": !has(data.x) && has(data.x) && data.x != "é"`,
	} {
		t.Run(old, func(t *testing.T) {
			t.Parallel()
			text := old + ` then reject because "no"`
			if strings.HasPrefix(old, "{") {
				text = old + `, "then": "reject", "because": "no"}`
			}
			n := imported(t, text).Node.Child("rule")
			when := ""
			if v := n.Value("when"); v != nil {
				when = v.Source
			}
			require.Equal(t, want, n.Value("on").Source+": "+when)
		})
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	for old, want := range map[string]string{
		`when x then reject because "why"`:                       `reject "why"`,
		`when x then reject`:                                     `reject "refused by an older rule that gives no reason"`,
		`when x then simulate because “why”`:                     `simulate "why"`,
		`when x then simulate`:                                   `simulate`,
		`when x then tag "a" and allow because 'why'`:            `tag "a" allow note "why"`,
		`{"then": ["allow", {"tag": "a", "note": "b"}]}`:         `allow tag "a" note "b"`,
		`{"if": {"x": true}, "then": "Reject", "reason": "why"}`: `reject "why"`,
	} {
		t.Run(old, func(t *testing.T) {
			t.Parallel()
			then := imported(t, old).Node.Child("rule").Child("then")
			var words []string
			for _, n := range then.Children() {
				words = append(words, n.Head)
				for _, a := range n.Atoms {
					words = append(words, a.Source)
				}
			}
			require.Equal(t, want, strings.Join(words, " "))
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	c := imported(t, `[{"name": "Big One!", "then": "allow"}, {"name": "é", "then": "allow"}]`)
	require.NotNil(t, c.Rule("rule_1_big_one"))
	require.NotNil(t, c.Rule("rule_2"))
	c = imported(t, strings.Repeat(`when x then tag "a"; `, 10))
	require.Equal(t, "rule_01", c.Rules[0].Name, "the order stays")
	require.Len(t, imported(t, `{"rules": [{"then": "allow"}]}`).Rules, 1)
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for old, want := range map[string]string{
		"":                                   `old:1:1: the file has no rules; write when amount > 10000 then reject because "…", or {"if": {"amount": {"gt": 10000}}, "then": "reject", "reason": "…"}`,
		"x":                                  `old:1:1: a rule begins with when, and here is x; write when amount > 10000 then reject because "…"`,
		"\n  whne x then reject":             `old:2:3: a rule begins with when, and here is whne; did you mean when?`,
		"when x > then reject":               `old:1:10: something to compare with is missing, and here is then; write a number, a text in quotes, or a name`,
		"when (x > 1 then reject":            `old:1:13: a bracket is open, and here is then; write ) where it ends`,
		"when x > 1 reject":                  `old:1:12: behind the condition comes then, and here is reject; write when amount > 10000 then reject because "…"`,
		"when x > 1 then rejct":              `old:1:17: rejct is nothing that a rule can do; did you mean reject?`,
		"when x then reject because no":      `old:1:28: the reason stands in quotes, and here is no; write because "…"`,
		`when x then reject because "no`:     `old:1:28: this text is not closed on its line; write " where it ends`,
		"when x then tag":                    `old:1:16: tag is followed by a text in quotes, and here is the end of the file; write tag "…"`,
		"when x > 10a then reject":           `old:1:10: 10a is no number; write 10000 or 0.5, or put it in quotes`,
		"when x in 5 then reject":            `old:1:11: behind in comes a list, and here is 5; write in [a, b]`,
		"when x ~ 5 then reject":             `old:1:8: "~" has no meaning here; take it out, or put the text in quotes`,
		"when span.tpye is x then reject":    `old:1:1: `,
		"when span.type is \"A\" then allow": `old:1:1: "A" cannot be the type of a span; use a-z, 0-9, _, - and dots, such as payment.requested`,
		"when x\xff":                         `old:1:7: the file is not UTF-8 text; save it as UTF-8`,
		"{":                                  `old:1:2: the JSON is not closed`,
		`{"if": {"a": 1} "then": "reject"}`:  `old:1:17: this is no JSON: `,
		`{"if": {"a": 1}, "them": "reject"}`: `old:1:18: a rule has no member them; did you mean then?`,
		`{"if": {"a": {"gtt": 1}}, "then": "reject"}`: `old:1:15: gtt compares nothing; did you mean gt?`,
		`{"if": {"a": {"gt": {}}}, "then": "reject"}`: `old:1:21: a field is compared with one value`,
		`{"if": {"a": 1, "a": 2}, "then": "reject"}`:  `old:1:17: a stands here twice; keep one of them`,
		`{"if": {}, "then": "reject"}`:                `old:1:8: the condition is empty; leave it out where the rule is for every span`,
		`{"then": "jail"}`:                            `old:1:10: jail is nothing that a rule can do; there is allow, reject, simulate, tag, note`,
		`[5]`:                                         `old:1:2: a rule is an object; `,
		strings.Repeat("[", 40):                       `old:1:34: the JSON stands more than 32 deep in itself; take some brackets out`,
		"when " + strings.Repeat("(", 40) + "x":       `old:1:38: conditions stand more than 32 deep in each other; take some brackets out`,
	} {
		t.Run(old, func(t *testing.T) {
			t.Parallel()
			out, diagnostics := older.Import("old", old, named)
			require.Empty(t, out)
			require.NotEmpty(t, diagnostics)
			got := lll.NewSource("old", old).Header(diagnostics[0])
			require.True(t, strings.HasPrefix(got, want), got)
		})
	}
}

// FuzzImport: what comes out parses, is formatted and compiles; what cannot be
// rewritten is told at a place of the source.
func FuzzImport(f *testing.F) {
	for _, seed := range []string{
		`when span.type is contract and valor > 10000 then reject because "…"`,
		`{"if": {"valor": {"gt": 10000}}, "then": "reject", "reason": "…"}`,
		`when not (a = 1 or b in [x, "y", 3, true]) and c.d is not null then tag "t", note 'n' because «why»`,
		`[{"if": {"a.b": {"in": [1, "x"], "exists": true}, "or": [{"c": null}, {"not": {"d-e": {"contains": "f"}}}]}, "then": ["simulate", {"tag": "t"}], "name": "N"}]`,
		"when a ≥ 1_000 and b > -5% # comment\nthen allow;",
		`when x is "\"\\${y}\u202e" then reject`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, diagnostics := older.Import("old", text, named)
		for _, d := range diagnostics {
			require.GreaterOrEqual(t, d.Offset, 0)
			require.LessOrEqual(t, d.Offset, len(text))
		}
		if lll.Failed(diagnostics) {
			require.Empty(t, out)
			return
		}
		file, found := lll.Parse("new", out)
		require.False(t, lll.Failed(found), out)
		c, found := contract.Compile(file, contract.Options{})
		require.NotNil(t, c, "%s\n%s", out, file.RenderAll(found))
		require.NotEmpty(t, c.Rules)
		again, _ := lll.Format("new", out)
		require.Equal(t, out, again)
	})
}
