package contract_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules/contract"
)

// inContract puts lines into a contract, the first of them on line 2.
func inContract(lines ...string) string {
	return "contract c version \"1.0.0\" {\n" + strings.Join(lines, "\n") + "\n}\n"
}

const (
	flow = `workflow pay { key: data.id  initial: draft
  state draft
  state sent
  state paid { final: true }
  transition draft -> sent on "pay.sent"
  transition sent -> paid on "pay.done"
}`
	rejects = `rule r { on: "a.b"  when: data.x > 1  then { reject "no" } }`
)

func TestMistakesAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ why, source, want string }{
		{"no contract", "rule r { }\n", "c.lll:1:1: the file has no contract; write `contract name version \"1.0.0\" { … }` around its rules"},
		{"two contracts", "contract a version \"1.0.0\" {}\ncontract b version \"1.0.0\" {}\n", "c.lll:2:1: a file holds one contract, and this has 2"},
		{"no version", "contract c {\n}\n", "c.lll:1:1: the contract has no version; write `contract c version \"1.0.0\" { … }`"},
		{"half a version", "contract c version \"1.0\" {\n}\n", "c.lll:1:20: \"1.0\" is no semantic version; write three numbers"},
		{"requires nonsense", inContract(`requires: ["x ^a"]`), "c.lll:2:12: \"x ^a\" names no contract with its versions"},
		{"requires itself", inContract(`requires: ["c"]`), "the contract requires itself"},

		{"unknown variable", inContract(`rule r { on: "a.b"  when: dta.x > 1  then { reject "no" } }`), `c.lll:2:27: `},
		{"unknown parameter", inContract(`params { limit: 5 }`, `rule r { on: "a.b"  when: data.x > params.limti  then { reject "no" } }`), `limit`},
		{"type error", inContract(`rule r { on: "a.b"  when: data.x + 1  then { reject "no" } }`), "c.lll:2:27: true or false is wanted here, and this is a number"},
		{"mixed types", inContract(`rule r { on: "a.b"  when: now > 5  then { reject "no" } }`), "c.lll:2:27: "},
		{"directory in a condition", inContract(`rule r { on: "a.b"  when: actor.handle == "@x"  then { reject "no" } }`), "comes from the directory"},
		{"unknown in a hole", inContract(`rule r { on: "a.b"  then { reject "x ${dat.y}" } }`), "c.lll:2:40: "},
		{"no such pattern", inContract(`rule r { on: "A b"  then { reject "no" } }`), `c.lll:2:14: "A b" is no pattern of types`},
		{"pattern not in quotes", inContract(`rule r { on: a.b  then { reject "no" } }`), "c.lll:2:14: a pattern stands in quotes; write \"a.b\""},
		{"rule without on", inContract(`rule r { then { reject "no" } }`), "c.lll:2:6: the rule r says not on which spans"},
		{"rule without then", inContract(`rule r { on: "a.b" }`), "the rule r does nothing; write then { … }"},
		{"else without when", inContract(`rule r { on: "a.b"  then { allow }  else { reject "no" } }`), "without a condition there is no else"},
		{"two rules", inContract(rejects, rejects), "c.lll:3:6: there are two rules named r"},
		{"on_error", inContract(`rule r { on: "a.b"  on_error: rejct  then { reject "no" } }`), "did you mean reject?"},
		{"priority", inContract(`rule r { on: "a.b"  priority: 1.5  then { reject "no" } }`), "priority is a whole number"},

		{"unknown role of a permit", inContract(`role finance`, `permit append "a.b" to [finence]`), "c.lll:3:25: there is no role finence; did you mean finance?"},
		{"unknown role of an approval", inContract(`rule r { on: "a.b"  then { require approval { from: [admni]  count: 1 } } }`), "there is no role admni; did you mean admin?"},
		{"unknown verb", inContract(`permit apend "a.b" to [admin]`), "did you mean append?"},
		{"unknown webhook", inContract(`webhook inbox { endpoint: "x" }`, `rule r { on: "a.b"  then { call webhook "inbax" { body: { a: 1 } } } }`), "there is no webhook inbax; did you mean inbox?"},
		{"address of a webhook", inContract(`webhook w { endpoint: "http://10.0.0.1/" }`), "c.lll:2:23: no address stands in a contract; write the name of a setting of the tenant"},
		{"a name that steers terminals", "contract \"a\\u001b[31m\" version \"1.0.0\" {\n}\n", "cannot be the name of a contract"},
		{"a name with a blank", inContract(`webhook "a b" { timeout: 1s }`), "cannot be the name of a webhook"},
		{"unknown workflow", inContract(flow, `rule r { on: "a.b"  then { transition pey to sent } }`), "there is no workflow pey; did you mean pay?"},
		{"unknown state of an action", inContract(flow, `rule r { on: "a.b"  then { transition pay to snt } }`), "there is no state snt; did you mean sent?"},
		{"approval without whom", inContract(`rule r { on: "a.b"  then { require approval { count: 1 } } }`), "the approval says not from whom"},
		{"on_timeout without time", inContract(`rule r { on: "a.b"  then { require approval { from: [admin]  on_timeout { reject "no" } } } }`), "on_timeout without a time is never reached; write within: 48h"},
		{"on_timeout sees no data", inContract(`rule r { on: "a.b"  then { require approval { from: [admin]  within: 1h  on_timeout { reject "no ${data.x}" } } } }`), "data"},
		{"emit reserved", inContract(`rule r { on: "a.b"  then { emit "logline.member" { data: { a: 1 } } } }`), "contracts emit no reserved types"},
		{"emit member", inContract(`rule r { on: "a.b"  then { emit "x.y" { dta: { a: 1 } } } }`), "did you mean data?"},
		{"visibility", inContract(`rule r { on: "a.b"  then { emit "x.y" { visibility: "org"  data: { a: 1 } } } }`), `"org" is no visibility`},
		{"handle emitted", inContract(`rule r { on: "a.b"  then { emit "x.y" { data: { a: "${actor.handle}" } } } }`), "comes from the directory"},
		{"tag with data", inContract(`rule r { on: "a.b"  then { tag "x-${data.y}" } }`), `"data" is not known in a tag, which is the same for every span; show params alone in it`},
		{"task twice due", inContract(`rule r { on: "a.b"  then { schedule task "t" { after: 1h  cron: "0 3 * * *"  then { note "x" } } } }`), "a task is due at one time"},
		{"task rejects", inContract(`rule r { on: "a.b"  then { schedule task "t" { after: 1h  then { reject "x" } } } }`), "reject makes no sense in a task"},
		{"cron", inContract(`schedule s { cron: "0 25 * * *"  then { note "x" } }`), "is no cron line"},
		{"schedule without time", inContract(`schedule s { then { note "x" } }`), "the schedule s runs at one kind of time"},
		{"foreach", inContract(`schedule s { every: 1h  foreach: identites  then { note "x" } }`), "did you mean identities?"},
		{"data in a schedule", inContract(`schedule s { every: 1h  then { note "x ${data.y}" } }`), "data"},
		{"quota in part", inContract(`rule r { on: "a.b"  then { consume quota "q" { limit: 3  key: actor.id } } }`), "the quota q has no per"},
		{"quota asks the time for its key", inContract(`rule r { on: "a.b"  then { consume quota "q" { limit: 3  per: 1d  key: now } } }`), "now"},
		{"warn_at", inContract(`rule r { on: "a.b"  then { consume quota "q" { limit: 3  per: 1d  key: actor.id  warn_at: [80] } } }`), "80 is no share of the limit"},
		{"trust without amount", inContract(`rule r { on: "a.b"  then { trust actor { because: "x" } } }`), "write one of add and set"},
		{"trust table", inContract(`trust { range: [5.0, 1.0] }`), "the range holds no score"},
		{"retain", inContract(`retain "a.b" soon`), "c.lll:2:14: "},

		{"two lines in one", inContract(`retain "a.b" 90d  retain "a.c" 30d`), "c.lll:2:19: retain says nothing more here; begin a new line before it"},
		{"two lines of trust in one", inContract(`trust { add "a.b" 1.0  add "a.c" 2.0 }`), "c.lll:2:24: add says nothing more here"},
		{"unknown workflow of state()", inContract(flow, `rule r { on: "a.b"  when: state("pya", data.id) == "sent"  then { reject "no" } }`), "there is no workflow pya; did you mean pay?"},
		{"pattern of spans()", inContract(`rule r { on: "a.b"  when: spans("A b").count() > 3  then { reject "no" } }`), `"A b" is no pattern of span types`},
		{"no key", inContract(`workflow w { initial: a  state a }`), "the workflow w has no key; write key: data.id"},
		{"initial", inContract(`workflow w { key: data.id  initial: b  state a }`), "c.lll:2:37: there is no state b; there is a"},
		{"transition", inContract(strings.Replace(flow, "draft -> sent", "draft -> snet", 1)), "there is no state snet; did you mean sent?"},
		{"after a final state", inContract(strings.Replace(flow, "final: true", "final: true  after 1h -> draft", 1)), "paid is final, nothing comes after it"},
		{"out of a final state", inContract(strings.Replace(flow, "sent -> paid", "paid -> sent", 1)), "paid is final, no transition leaves it"},
		{"forbidden and there", inContract(strings.Replace(flow, "}\n  transition draft", "}\n  forbid sent -> paid \"x\"\n  transition draft", 1)), "the step is forbidden and there is a transition for it"},
		{"on_enter", inContract(strings.Replace(flow, "}\n  transition draft", "}\n  on_enter piad { note \"x\" }\n  transition draft", 1)), "there is no state piad; did you mean paid?"},
		{"reject on entering", inContract(strings.Replace(flow, "}\n  transition draft", "}\n  on_enter paid { reject \"x\" }\n  transition draft", 1)), "reject makes no sense in on_enter and on_exit"},
		{"zero after", inContract(strings.Replace(flow, "state sent", "state sent { after 0s -> paid }", 1)), "the duration must be above zero"},
		{"guard", inContract(strings.Replace(flow, `on "pay.sent"`, `on "pay.sent" { guard: data.x + 1 }`, 1)), "true or false is wanted here"},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			found := diagnose(t, c.source, contract.Options{})
			require.NotEmpty(t, found)
			assert.Contains(t, strings.Join(found, "\n"), c.want)
			for _, d := range found {
				assert.NotContains(t, d, "warning", "a mistake is an error")
			}
		})
	}
}

func TestWhatNeverRunsIsWarnedOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, want string
		lines     []string
	}{
		{"constant condition", "c.lll:2:1: warning: the rule r never runs: its condition never holds", []string{`rule r { on: "a.b"  when: 1 > 2  then { reject "no" } }`}},
		{"constant parameter", "its condition never holds", []string{`params { on: false }`, `rule r { on: "a.b"  when: params.on  then { tag "x" } }`}},
		{"then only", "then is never reached in r", []string{`rule r { on: "a.b"  when: 1 > 2  then { tag "x" }  else { tag "y" } }`}},
		{"else", "else is never reached in r", []string{`rule r { on: "a.b"  when: 1 < 2  then { tag "x" }  else { tag "y" } }`}},
		{"behind a reject", "c.lll:3:1: warning: the rule z never runs: a rejects every such span before it", []string{`rule a { on: "p.**"  then { reject "no" } }`, `rule z { on: ["p.q", "p.r.*"]  then { tag "x" } }`}},
		{"a pattern over reserved types", "c.lll:2:14: warning: \"logline.*\" matches nothing: types of the protocol are matched by their whole name alone", []string{`rule r { on: "logline.*"  then { reject "no" } }`}},
		{"the node's own", "c.lll:2:14: warning: \"logline.genesis\" matches nothing: such spans are the node's own", []string{`rule r { on: "logline.genesis"  then { reject "no" } }`}},
		{"the door locked from within", "c.lll:2:1: warning: once this is in force no contract can be activated or retired any more", []string{`rule r { on: "logline.contract"  then { reject "no" } }`}},
		{"behind one of lower priority", "the rule a never runs: z rejects", []string{`rule a { on: "p.q"  then { tag "x" } }`, `rule z { on: "p.*"  priority: 1  then { reject "no" } }`}},
		{"shadowed reject", "the reject of z is never reached: a rejects on the same condition before it", []string{`rule a { on: "p.*"  when: data.x > 1  then { reject "no" } }`, `rule z { on: "p.q"  when: data.x  >  1  then { reject "never" } }`}},
		{"after reject", "this action is never reached", []string{`rule a { on: "p.*"  when: data.x > 1  then { reject "no"`, `tag "x" } }`}},
		{"state", "nothing reaches the state lost", []string{strings.Replace(flow, "state sent", "state lost\n  state sent", 1)}},
		{"guard", "this guard never holds", []string{strings.Replace(flow, `on "pay.sent"`, `on "pay.sent" { guard: 1 > 2 }`, 1)}},
	} {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			found := diagnose(t, inContract(c.lines...), contract.Options{})
			require.Len(t, found, 1)
			assert.Contains(t, found[0], "warning: ")
			assert.Contains(t, found[0], c.want)
		})
	}
}

func TestWhatMayRunIsNotWarnedOf(t *testing.T) {
	t.Parallel()
	compile(t, inContract(
		flow,
		`rule a { on: "p.q"  priority: 50  then { reject "no" } }`,
		`rule z { on: ["p.q", "p.r"]  then { tag "x" } }`,
		`rule s { on: "p.*"  enabled: false  priority: 1  then { reject "no" } }`,
		`rule reserved { on: "logline.member"  then { tag "x" } }`,
		`rule all { on: "**"  priority: 900  then { reject "what is not named is refused" } }`,
		`rule named { on: "logline.revert"  priority: 950  then { tag "x" } }`,
		`policy shadows { on: "q.**"  shadow: true  when data.x > 1 { reject "no" } }`,
		`rule y { on: "q.r"  when: data.x > 1  then { reject "no" } }`,
	), contract.Options{})
}

func TestRequirementsAreResolved(t *testing.T) {
	t.Parallel()
	base := compile(t, "contract base version \"1.4.0\" {\n  role auditor2\n}\n", contract.Options{})
	circle := compile(t, "contract circle version \"1.0.0\" {\n  requires: [\"c\"]\n}\n", contract.Options{})
	known := contract.Options{Required: func(name string) *contract.Contract {
		return map[string]*contract.Contract{"base": base, "circle": circle}[name]
	}}
	for _, c := range []struct{ source, want string }{
		{inContract(`requires: ["base ^1.2"]`, `permit append "a.b" to [auditor2]`), ""},
		{inContract(`requires: ["base ^1.2"]`, `permit append "a.b" to [auditer2]`), "did you mean auditor2?"},
		{inContract(`requires: ["base ^2.0"]`), "c.lll:2:12: the contract requires base ^2.0, and in force is 1.4.0"},
		{inContract(`requires: ["bsae"]`), "the contract requires bsae, which is not in force"},
		{inContract(`requires: ["circle"]`), "contracts require each other in a circle: c -> circle -> c"},
		{inContract(`inherits: ["base"]`, `permit append "a.b" to [auditor2]`), ""},
	} {
		found := strings.Join(diagnose(t, c.source, known), "\n")
		if c.want == "" {
			assert.Empty(t, found, c.source)
		} else {
			assert.Contains(t, found, c.want, c.source)
		}
	}
	// Alone, a role may be declared by what is required.
	compile(t, inContract(`requires: ["base ^1.2"]`, `permit append "a.b" to [surveyor]`), contract.Options{})
}
