package because_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/because"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/rules/trial"
)

const shop = `contract shop version "1.0.0" {
  role clerk
  permit append "till.opened" to [clerk]
  rule dear {
    on: "order.placed"
    when: data.price > 10.0
    then { require approval { from: [clerk]  count: 1 }  tag "dear" }
    else { tag "cheap" }
  }
  rule every { on: "order.*"  then { note "seen" } }
  policy watch {
    on: "order.placed"
    when data.country == "XX" { reject "not there" }
    when data.lucky { tag "lucky" }
  }
  policy quiet { on: "order.placed"  shadow: true  when data.price > 0.0 { reject "never" } }
  workflow order {
    key: data.id
    initial: new
    state new
    state placed
    transition new -> placed on "order.placed" { then { emit "order.taken" { data: {} } } }
    forbid placed -> new "never back"
  }
}
`

// explained is what is said of a span: "line: text", actions indented.
func explained(t *testing.T, src string, facts string) []string {
	t.Helper()
	return explainedBy(t, shop, src, facts)
}

// explainedBy is the same of another contract shop.
func explainedBy(t *testing.T, text, src, facts string) []string {
	t.Helper()
	l := library.Read([]library.Source{{Name: "shop.lll", Text: text}})
	require.False(t, l.Documents()[0].Failed(), l.Documents()[0].File.RenderAll(l.Documents()[0].Diagnostics))
	f, err := trial.ParseFacts([]byte(facts))
	require.NoError(t, err)
	s, err := trial.NewStageOf(context.Background(), []*contract.Contract{l.Contract("shop")}, f, trial.Options{})
	require.NoError(t, err)
	sp, err := trial.ParseSpan([]byte(src))
	require.NoError(t, err)
	d, err := s.Draft(sp)
	require.NoError(t, err)
	seen, err := s.Submit(context.Background(), d)
	require.NoError(t, err)
	return lines(because.Outcome(l.Contract, seen.Outcomes[0]))
}

func lines(all []because.Sentence) []string {
	var out []string
	for _, s := range all {
		line := fmt.Sprintf("%d: %s", s.Line(), s.Text)
		if s.Action {
			line = "  " + line
		}
		out = append(out, line)
	}
	return out
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		span string
		want []string
	}{
		"waits": {`{"type": "order.placed", "data": {"id": "o", "price": 11, "country": "PT"}}`, []string{
			"6: dear: its condition holds", "  7: it waits for 1 vote of clerk", "  7: it is tagged dear",
			"10: every is for every such span", "  10: a note is made",
			"13: watch.1: its condition does not hold", "14: watch.2 asks for something that the span has not, and does nothing",
			"16: in the shadow, which decides nothing: quiet: its condition holds", "  16: it is rejected",
			"22: once it has its votes, order goes from new to placed", "  22: the node emits order.taken",
		}},
		"rejected": {`{"type": "order.placed", "data": {"id": "o", "price": 1, "country": "XX"}}`, []string{
			"6: dear: its condition does not hold", "  8: it is tagged cheap",
			"10: every is for every such span", "  10: a note is made",
			"13: watch.1: its condition holds", "  13: it is rejected",
		}},
		"not evaluated": {`{"type": "order.placed", "data": {"id": "o", "price": 1}}`, []string{
			"6: dear: its condition does not hold", "  8: it is tagged cheap",
			"10: every is for every such span", "  10: a note is made",
			"13: watch.1 could not be evaluated, and refuses therefore",
		}},
		"permit":   {`{"type": "till.opened"}`, []string{"3: till.opened is only for clerk"}},
		"not said": {`{"type": "weather.seen"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := explained(t, test.span, "{}")
			for _, want := range test.want {
				require.Contains(t, got, want)
			}
			if test.want == nil {
				require.Empty(t, got)
			}
		})
	}
}

func TestForbiddenSteps(t *testing.T) {
	t.Parallel()
	got := explained(t, `{"type": "order.placed", "data": {"id": "o", "price": 1, "country": "PT"}}`,
		`{"states": [{"workflow": "order", "key": "o", "state": "placed"}]}`)
	require.Equal(t, "17: order is placed, and order.placed moves it only from new", got[len(got)-1])
}

func TestRecordedRules(t *testing.T) {
	t.Parallel()
	l := library.Read([]library.Source{{Name: "shop.lll", Text: shop}})
	require.Equal(t, []string{"6: dear: its condition does not hold", "  8: it is tagged cheap", "10: every is for every such span", "  10: a note is made"},
		lines(because.Rules(l.Contract, []string{"shop/dear/else", "shop/every", "shop/gone", "elsewhere/rule"})))
}

func TestARuleThatMovesAWorkflowIsToldOnce(t *testing.T) {
	t.Parallel()
	const moving = `contract shop version "1.0.0" {
  rule late {
    on: "order.delayed"
    when: data.days > 3.0
    then { transition order to cancelled }
  }
  workflow order {
    key: data.id
    initial: new
    state new
    state cancelled
  }
}
`
	require.Equal(t, []string{"4: late: its condition holds", "  5: the order goes to cancelled"},
		explainedBy(t, moving, `{"type": "order.delayed", "data": {"id": "o1", "days": 5}}`, "{}"))
}

// What undid a span is told with the lines that say so.
func TestACompensationIsTold(t *testing.T) {
	t.Parallel()
	l := library.Read([]library.Source{{Name: "till.lll", Text: `contract till version "1.0.0" {
  workflow sale {
    key: data.id
    initial: open
    state open
    state paid { final: true }
    transition open -> paid on "sale.paid"
  }
  compensate unpay {
    on: "sale.paid"
    when: data.amount < 100
    then { transition sale to open }
    else { reject "too much" }
  }
}`}})
	require.False(t, l.Documents()[0].Failed())
	var said []string
	for _, s := range because.Rules(l.Contract, []string{"till/unpay"}) {
		said = append(said, fmt.Sprintf("%d: %s", s.Line(), s.Text))
	}
	require.Equal(t, []string{"11: unpay: its condition holds", "12: the sale goes to open"}, said)
}
