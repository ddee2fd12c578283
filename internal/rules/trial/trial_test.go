package trial_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/trial"
)

// examples are the contracts that the repository shows.
func examples(t testing.TB) *library.Library {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("..", "..", "..", "examples", "contracts", "*.lll"))
	require.NoError(t, err)
	var sources []library.Source
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		sources = append(sources, library.Source{Name: path, Text: string(text)})
	}
	return library.Read(sources)
}

// run runs the tests of the contract c among sources.
func run(t testing.TB, l *library.Library, name string, o trial.Options) *trial.Report {
	t.Helper()
	for _, d := range l.Documents() {
		require.False(t, d.Failed(), d.File.RenderAll(d.Diagnostics))
	}
	r, err := trial.Run(context.Background(), l.Contract(name), l.Contract, o)
	require.NoError(t, err)
	return r
}

// told are the failures of a report: "line: what: expected, seen".
func told(r *trial.Report) []string {
	var out []string
	for _, test := range r.Tests {
		for _, f := range test.Failures {
			line := fmt.Sprintf("%d: %s", r.Contract.Source.Pos(f.Offset).Line, f.What)
			if f.Expected != "" || f.Seen != "" {
				line += fmt.Sprintf(": expected %s, seen %s", f.Expected, f.Seen)
			}
			if f.Fix != "" {
				line += "; " + f.Fix
			}
			out = append(out, line)
		}
	}
	return out
}

func TestExamplesPassTheirTests(t *testing.T) {
	t.Parallel()
	l := examples(t)
	seen := 0
	for _, d := range l.Documents() {
		if d.Contract == nil {
			continue
		}
		r := run(t, l, d.Name(), trial.Options{})
		require.Empty(t, told(r), d.File.Name)
		seen += len(r.Tests)
	}
	require.GreaterOrEqual(t, seen, 4)
}

// shop is a contract that does a little of everything; its tests come behind
// it.
const shop = `contract shop version "1.0.0" {
  params { limit: 10.0 }
  role clerk
  permit append "till.opened" to [clerk]
  rule dear {
    on: "order.placed"
    when: data.price > params.limit
    then {
      require approval { from: [clerk]  count: 1  within: 2h  on_timeout { reject "nobody answered" } }
      annotate { price: data.price  by: actor.id }
      note "asked for ${data.price}"
      tag "dear"
    }
  }
  rule often {
    on: "order.placed"
    then { consume quota "orders" { limit: 2  per: 1d  key: actor.id } }
  }
  rule total {
    on: "order.placed"
    when: spans("order.paid").by(actor.id).within(24h).sum("price") > 100.0
    then { simulate "enough for today" }
  }
  rule trusted { on: "order.trusted"  when: actor.trust < 50.0  then { reject "trust is ${actor.trust}" } }
  rule friends { on: "order.shared"  when: data.owner != actor.id  then { reject "only ${data.owner} may" } }
  workflow order {
    key: data.id
    initial: new
    state new
    state placed { after 3d -> lapsed }
    state paid   { final: true }
    state lapsed { final: true }
    transition new -> placed on "order.placed"
    transition placed -> paid on "order.paid" { then { emit "receipt.issued" { data: { id: data.id } } } }
    forbid new -> paid "place it first"
  }
  schedule tidy { every: 1d  then { emit "shop.tidied" { data: {} } } }
  schedule nightly { cron: "0 3 * * *"  timezone: "Europe/Lisbon"  then { tag "night" } }
`

func shopWith(tests string) *library.Library {
	return library.Read([]library.Source{{Name: "shop.lll", Text: shop + tests + "\n}\n"}})
}

func TestWhatTestsMaySay(t *testing.T) {
	t.Parallel()
	cron := func(_, _ string, after time.Time) (time.Time, error) {
		return after.Truncate(24 * time.Hour).Add(27 * time.Hour), nil
	}
	for name, test := range map[string]struct {
		source string
		want   []string
	}{
		"approval": {`test "t" {
			given identity "ana" { roles: ["clerk"] }
			submit span "order.placed" { by: "bob"  data: { id: "o", price: 11.0 } }
			expect { decision: pending  annotations.price: params.limit + 1.0  annotations.by: "logline-id://bob"  notes: ["asked for 11"]  state.order: null }
			approve by "ana"
			expect { decision: "allow"  state.order: "placed"  tags: ["dear"]  rules: ["dear", "shop/often"] }
		}`, nil},
		"approval of nobody asked": {`test "t" {
			submit span "order.placed" { data: { id: "o", price: 11.0 } }
			approve by "eve"
			expect { decision: "reject"  reason_matches: "waits for votes of other roles" }
		}`, nil},
		"approval of nothing": {`test "t" {
			approve by "eve"
			expect { reason_matches: "no span waits" }
		}`, nil},
		"own approval": {`test "t" {
			given identity "ana" { roles: ["clerk"] }
			submit span "order.placed" { by: "ana"  data: { id: "o", price: 11.0 } }
			approve by "ana"
			expect { decision: "reject"  reason_matches: "author .* does not vote" }
		}`, nil},
		"time is over": {`test "t" {
			submit span "order.placed" { data: { id: "o", price: 11.0 } }
			advance 119m
			expect { decision: "pending" }
			advance 1m
			expect { decision: "reject"  reason_matches: "^nobody answered$"  state.order: null }
		}`, nil},
		"quota": {`test "t" {
			submit span "order.placed" { data: { id: "a", price: 1.0 } }
			submit span "order.placed" { data: { id: "b", price: 1.0 } }
			submit span "order.placed" { data: { id: "c", price: 1.0 } }
			expect { decision: "reject"  reason_matches: "quota orders" }
			submit span "order.placed" { by: "another"  data: { id: "c", price: 1.0 } }
			expect { decision: "allow" }
		}`, nil},
		"spans given are counted and move nothing": {`test "t" {
			given span "order.paid" { by: "bob"  data: { id: "x", price: 101.0 } }
			submit span "order.placed" { by: "bob"  data: { id: "x", price: 1.0 } }
			expect { decision: "simulate"  reason_matches: "enough" }
			advance 25h
			submit span "order.placed" { by: "bob"  data: { id: "x", price: 1.0 } }
			expect { decision: "allow" }
		}`, nil},
		"states given have their timeouts": {`test "t" {
			given state order "o" "placed"
			submit span "order.placed" { data: { id: "o", price: 1.0 } }
			expect { decision: "reject"  state.order: "placed" }
			advance 3d
			expect { state.order: "lapsed" }
		}`, nil},
		"transitions": {`test "t" {
			submit span "order.paid" { data: { id: "o", price: 1.0 } }
			expect { decision: "reject"  reason_matches: "place it first" }
			given state order "o" "placed"
			submit span "order.paid" { data: { id: "o", price: 1.0 } }
			expect { decision: "allow"  emitted: ["receipt.issued"]  state.order: "paid" }
		}`, nil},
		"trust and identities": {`test "t" {
			given identity "ana" { trust: 80.0 }
			submit span "order.trusted" { by: "ana" }
			expect { decision: "allow" }
			submit span "order.trusted" { by: "bob" }
			expect { decision: "reject"  reason_matches: "trust is 0" }
			submit span "order.shared" { by: "ana"  data: { owner: "logline-id://ana" } }
			expect { decision: "allow" }
			submit span "order.shared" { by: "bob"  data: { owner: "logline-id://ana" } }
			expect { decision: "reject"  reason_matches: "only logline-id://ana may" }
		}`, nil},
		"permits": {`test "t" {
			submit span "till.opened" { }
			expect { decision: "reject"  reason_matches: "only for clerk" }
			given identity "ana" { roles: [clerk] }
			submit span "till.opened" { by: "ana" }
			expect { decision: "allow" }
		}`, nil},
		"schedules": {`test "t" {
			advance 23h
			expect { tags: ["night"] }
			advance 1h
			expect { emitted: ["shop.tidied"] }
		}`, nil},
		"what differs is told": {`test "t" {
			submit span "order.placed" { by: "bob"  data: { id: "o", price: 11.0 } }
			expect {
				decision: "allow"
				tags: ["dear", "cheap"]
				state.order: "placed"
				annotations.by: "logline-id://eve"
				annotations.no: 1.0
				rules: ["total"]
				reason_matches: "x"
				called: [hook]
			}
		}`, []string{
			"42: decision: expected allow, seen pending",
			"43: tags: expected cheap, seen dear",
			"44: state.order: expected placed, seen (none)",
			"45: annotations.by: expected logline-id://eve, seen logline-id://bob",
			"46: annotations.no: expected 1, seen (none)",
			"47: rules: expected total, seen shop/dear, shop/often, shop/order",
			"48: reason_matches: expected x, seen (none)",
			"49: called: expected hook, seen (none)",
		}},
		"after a failure nothing is run": {`test "t" {
			submit span "order.placed" { data: { id: "o", price: 1.0 } }
			expect { decision: "reject" }
			expect { decision: "pending" }
		}`, []string{"41: decision: expected reject, seen allow"}},
		"mistakes":           {`test "t" { submit span "Order" {} }`, []string{`39: "Order" cannot be the type of a span`}},
		"no span":            {`test "t" { expect { decision: "allow" } }`, []string{`39: nothing was decided yet; write submit span before it`}},
		"unknown member":     {`test "t" { submit span "a.b" { dtaa: { } } }`, []string{`39: "dtaa" is nothing that a span has; did you mean data?`}},
		"unknown state":      {`test "t" { given state order "o" "plaecd" }`, []string{`39: the workflow order has no state plaecd`}},
		"unknown workflow":   {`test "t" { given state odrer "o" "placed" }`, []string{`39: there is no workflow odrer`}},
		"unknown status":     {`test "t" { given identity "x" { status: "gost" } }`, []string{`39: no identity is gost: write ghost, validated or revoked, or a state of a workflow named identity`}},
		"unknown decision":   {`test "t" { submit span "a.b" {}  expect { decision: "alow" } }`, []string{`39: "alow" is no decision; did you mean allow?`}},
		"unknown expression": {`test "t" { submit span "a.b" { data: { x: params.limt } } }`, []string{`39: the contract has no parameter "limt"; did you mean params.limit?`}},
		"no pattern":         {`test "t" { submit span "a.b" {}  expect { reason_matches: "(" } }`, []string{"39: this matches nothing: missing closing ): `(`; write a text, or a regular expression (RE2)"}},
		"two on a line":      {`test "t" { given state order "o" "placed"  advance 4d }`, []string{`39: given ends before this; begin the next step on a line of its own`}},
		"no duration":        {`test "t" { advance 5 }`, []string{`39: time goes on by a duration above zero; write advance 49h`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, shopWith(test.source), "shop", trial.Options{Cron: cron})
			require.Equal(t, test.want, told(r))
		})
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	l := library.Read([]library.Source{{Name: "c.lll", Text: `contract c version "1.0.0" {
  rule is { on: "x.y"  then { annotate { status: actor.status } } }
  test "t" {
    submit span "x.y" {}
    expect { annotations.status: "validated" }
    given identity "a" { status: "ghost" }
    submit span "x.y" { by: "a" }
    expect { annotations.status: "ghost" }
    given identity "b" { status: "revoked" }
    submit span "x.y" { by: "b" }
    expect { annotations.status: "revoked" }
  }
}`}})
	require.Empty(t, told(run(t, l, "c", trial.Options{})))
}

func TestWhatIsRequiredIsLoaded(t *testing.T) {
	t.Parallel()
	l := library.Read([]library.Source{
		{Name: "base.lll", Text: `contract base version "1.0.0" {
  rule no { on: "x.y"  then { reject "base says no" } }
}`},
		{Name: "c.lll", Text: `contract c version "1.0.0" {
  requires: ["base"]
  test "with it" { submit span "x.y" {}  expect { decision: "reject"  reason_matches: "base says no"  rules: ["base/no"] } }
  test "alone" { standalone: true  submit span "x.y" {}  expect { decision: "allow" } }
}`},
	})
	require.Empty(t, told(run(t, l, "c", trial.Options{})))
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	covered := func(tests string) []string {
		var out []string
		for _, b := range run(t, shopWith(tests), "shop", trial.Options{}).Coverage {
			if b.Covered {
				out = append(out, b.Name)
			}
		}
		return out
	}
	require.Empty(t, covered(""))
	require.Equal(t, []string{"dear: it does not hold", "often", "total: it does not hold", "order: new -> placed"},
		covered(`test "t" { submit span "order.placed" { data: { id: "o", price: 1.0 } } }`))
	require.Equal(t, []string{"order: placed -> lapsed after 72h", "schedule tidy"},
		covered("test \"t\" {\n given state order \"o\" \"placed\"\n advance 4d\n }"))
	require.Equal(t, []string{"order: new -> paid is forbidden"},
		covered(`test "t" { submit span "order.paid" { data: { id: "o", price: 1.0 } } }`))
	require.Len(t, run(t, shopWith(""), "shop", trial.Options{}).Coverage, 15)
}

// TestTheSameEachTime holds that a trial depends on nothing but its sources.
func TestTheSameEachTime(t *testing.T) {
	t.Parallel()
	source := `test "t" { submit span "order.placed" { by: "bob"  data: { id: "o", price: 11.0 } }  expect { annotations.by: "x" } }`
	first := told(run(t, shopWith(source), "shop", trial.Options{}))
	require.Equal(t, first, told(run(t, shopWith(source), "shop", trial.Options{})))
}

// FuzzRun: whatever the tests of a contract say, they run, the same each time,
// and what fails is told at a place of the source.
func FuzzRun(f *testing.F) {
	for _, seed := range []string{
		"test \"t\" {\n given identity \"ana\" { roles: [\"clerk\"]  status: \"ghost\"  trust: 80.0  handle: \"@a\"  name: \"A\"  subject: agent }\n submit span \"order.placed\" { by: \"ana\"  data: { id: \"o\"  price: params.limit + 1.0  l: [now, 2h, null, { x: \"${params.limit}\" }] } }\n approve by \"bob\"\n advance 2h\n expect { decision: pending  reason_matches: \"a|b\"  tags: [x]  state.order: null  annotations.price: 11.0 }\n}",
		"test \"t\" {\n standalone: true\n given state order \"o\" \"placed\"\n given span \"order.paid\" { subject: \"logline-id://x\"  tags: [a]  visibility: private }\n advance 40d\n expect { emitted: [\"shop.tidied\"]  notes: []  called: x  scheduled: []  rules: [dear] }\n}",
		"test \"t\" { submit span }",
		"test \"t\" { given }",
		"test { approve by }",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, tests string) {
		l := shopWith(tests)
		c := l.Contract("shop")
		if c == nil {
			return
		}
		first, err := trial.Run(context.Background(), c, nil, trial.Options{})
		require.NoError(t, err)
		again, err := trial.Run(context.Background(), c, nil, trial.Options{})
		require.NoError(t, err)
		require.Equal(t, told(first), told(again))
		for _, test := range first.Tests {
			for _, x := range test.Failures {
				require.LessOrEqual(t, x.Offset, x.End)
				require.LessOrEqual(t, x.End, len(c.Source.Text))
				require.NotEmpty(t, x.What)
			}
		}
	})
}
