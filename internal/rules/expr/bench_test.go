package expr

import (
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/stretchr/testify/require"
)

// pairs are expressions of ours and the same ones as CEL itself would have
// them.
var pairs = []struct{ name, ours, bare string }{
	{"compare", `data.amount > 1000`, `data.amount > 1000.0`},
	{"status", `actor.status in ["ghost", "revoked"]`, `actor.status in ["ghost", "revoked"]`},
	{"rule", `data.amount <= 0 or data.amount > params.limit * 80% and span.type == "payment.requested"`,
		`data.amount <= 0.0 || data.amount > 1000.0 * 0.8 && span.type == "payment.requested"`},
	{"window", `now - entered_at < 72h`, `now - entered_at < duration("72h")`},
	{"match", `data.id.matches("^p[0-9]+$") and data.name.startsWith("Ana")`, `data.id.matches("^p[0-9]+$") && data.name.startsWith("Ana")`},
	{"items", `data.items.all(i, i.n > 0)`, `data.items.all(i, i.n > 0.0)`},
	{"absent", `has(data.missing) ? data.missing > 1 : data.amount > 1`, `has(data.missing) ? data.missing > 1.0 : data.amount > 1.0`},
}

// bare is cel-go with its own values: the yardstick.
func bare(tb testing.TB, source string) (cel.Program, map[string]any) {
	env, err := cel.NewEnv(
		cel.Variable("data", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("span", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("actor", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("now", cel.TimestampType), cel.Variable("entered_at", cel.TimestampType))
	require.NoError(tb, err)
	checked, issues := env.Compile(source)
	require.NoError(tb, issues.Err(), source)
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	require.NoError(tb, err)
	return program, map[string]any{
		"data": map[string]any{
			"amount": 1500.0, "rate": 0.25, "name": "Ana Maria", "id": "p1",
			"items": []any{map[string]any{"n": 1.0}, map[string]any{"n": 2.0}, map[string]any{"n": 3.0}},
		},
		"span":  map[string]any{"type": "payment.requested"},
		"actor": map[string]any{"status": "validated"},
		"now":   now, "entered_at": now.Add(-50 * time.Hour),
	}
}

// BenchmarkEval is an evaluation of ours beside that of bare cel-go.
func BenchmarkEval(b *testing.B) {
	f := facts(b)
	for _, pair := range pairs {
		program := compile(b, Guard, Bool, pair.ours)
		in := Bind(f)
		b.Run(pair.name+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := program.Bool(in); err != nil {
					b.Fatal(err)
				}
			}
		})
		theirs, vars := bare(b, pair.bare)
		b.Run(pair.name+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := theirs.Eval(vars); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBind is what is done once for each span: its payload read and its
// facts made ready.
func BenchmarkBind(b *testing.B) {
	f := facts(b)
	payload := f.Data.AppendJSON(nil)
	b.ReportAllocs()
	for b.Loop() {
		data, err := ParseData(payload)
		if err != nil {
			b.Fatal(err)
		}
		f.Data = data
		Bind(f)
	}
}

func BenchmarkCompile(b *testing.B) {
	scope := scopeOf(b, Condition)
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := Compile(pairs[2].ours, 0, Bool, scope); errs != nil {
			b.Fatal(errs)
		}
	}
}

// The expressions that the benchmark compares mean the same.
func TestPairs(t *testing.T) {
	t.Parallel()
	in := Bind(facts(t))
	for _, pair := range pairs {
		ours, err := compile(t, Guard, Bool, pair.ours).Bool(in)
		require.NoError(t, err, pair.name)
		program, vars := bare(t, pair.bare)
		theirs, _, err := program.Eval(vars)
		require.NoError(t, err, pair.name)
		require.Equal(t, theirs.Value(), ours, pair.name)
	}
}
