package rules_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/rules/trial"
)

// till can undo what it sold.
const till = `contract till version "1.0.0" {
  role boss
  rule paid { on: "sale.paid"  then { trust actor { add: 2.0 }  emit "receipt.issued" { data: { id: data.id } } } }
  workflow sale {
    key: data.id
    initial: open
    state open
    state paid { final: true }
    transition open -> paid on "sale.paid"
    on_exit paid { tag "left" }
    on_enter open { tag "opened" }
  }
  compensate unpay {
    on: "sale.paid"
    roles: [boss, author]
    when: state("sale", data.id) == "paid" and data.amount < 100
    then {
      transition sale to open
      trust actor { add: -2.0  because: "undone" }
      emit "receipt.withdrawn" { data: { of: span.id } }
    }
    else { reject "it is too much to be undone" }
  }
  test "a sale is undone" {
    given identity "ana" { roles: ["member"] }
    submit span "sale.paid" { by: "ana"  data: { id: "a", amount: 10 } }
    expect { decision: "allow"  state.sale: "paid"  emitted: ["receipt.issued"] }
    revert by "ana"
    expect { decision: "allow"  rules: ["unpay"]  emitted: ["receipt.withdrawn"] }
    revert by "ana"
    expect { decision: "reject"  reason_matches: "no span stands" }
  }
  test "not a large one" {
    submit span "sale.paid" { data: { id: "b", amount: 1000 } }
    revert by "member"
    expect { decision: "reject"  reason_matches: "too much" }
  }
  test "not by others" {
    given identity "rui" { roles: ["admin"] }
    given identity "eva" { roles: ["boss"] }
    submit span "sale.paid" { data: { id: "c", amount: 10 } }
    revert by "rui"
    expect { decision: "reject"  reason_matches: "sale.paid is undone only by boss or author" }
    revert by "eva"
    expect { decision: "allow" }
  }
}`

func TestCompensation(t *testing.T) {
	t.Parallel()
	c, err := rules.Compile(till)
	require.NoError(t, err)
	r, err := trial.Run(t.Context(), c, nil, trial.Options{})
	require.NoError(t, err)
	for _, test := range r.Tests {
		require.Empty(t, test.Failures, test.Name)
	}
	for _, b := range r.Coverage {
		require.True(t, b.Covered || !strings.Contains(b.Name, "unpay"), b.Name)
	}
	once, found := lll.Format("till.lll", till)
	require.Empty(t, found)
	twice, found := lll.Format("till.lll", once)
	require.Empty(t, found)
	require.Equal(t, once, twice)
	require.Contains(t, once, "compensate unpay {")
}

// What is wrong with a compensation is said where it stands.
func TestCompensationsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for wrong, says := range map[string]string{
		`compensate c { then { tag "x" } }`: "says not which spans it undoes",
		`compensate c { on: "a.b" }`:        "undoes nothing",
		`compensate c { on: "a.b"  then { require approval { from: [owner]  count: 1 } } }`:         "makes no sense in a compensation",
		`compensate c { on: "a.b"  then { schedule task "t" { after: 1h  then { tag "x" } } } }`:    "makes no sense in a compensation",
		`compensate c { on: "logline.member"  then { tag "x" } }`:                                   "cannot be reverted",
		`compensate c { on: "a.b"  roles: [nobody]  then { tag "x" } }`:                             "there is no role nobody",
		`compensate c { on: "a.b"  then { transition w to x } }`:                                    "there is no workflow w",
		`compensate c { on: "a.b"  then { note "${data.name}" } }`:                                  "data",
		`compensate c { on: "a.b"  then { emit "a.c" { data: { n: data.name } } } }`:                "data",
		`compensate c { on: "a.b"  then { trust actor { add: 1.0  because: "${actor.handle}" } } }`: "actor",
		`compensate c { on: "a.b"  then { tag "x" }  else { tag "y" } }`:                            "without a condition there is no else",
		`compensate c { on: "a.b"  then { tag "x" }  wen: true }`:                                   "wen",
		`rule c { on: "a.b"  then { tag "x" } } compensate c { on: "a.b"  then { tag "x" } }`:       "there are two rules named c",
	} {
		_, err := rules.Compile(`contract w version "1.0.0" { ` + wrong + ` }`)
		require.ErrorContains(t, err, says, wrong)
	}
}
