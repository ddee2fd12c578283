package lll

import (
	"maps"
	"slices"
	"strings"
)

// scope is what may stand in one kind of block. In a scope that is executed
// every word is known; in data anything goes.
type scope struct {
	title string   // "a rule", for messages
	attrs []string // keys of attributes
	nodes map[string]entry
	// What else the scope takes.
	anyAttr  bool   // keys are free: params, objects
	anyNode  bool   // other blocks and attributes are data: a contract
	clauses  bool   // bare texts
	actions  bool   // a statement ends where the next action begins
	prefixes string // keys "state.…" may follow, by a blank between two
}

// entry is a block or a statement of a scope.
type entry struct {
	body  need
	scope *scope // of its body
}

// need says whether a head has a block.
type need uint8

const (
	never need = iota
	maybe
	always
)

// vocabulary is the words of a contract.
type vocabulary struct {
	file     *scope // the top of a file: data, and contracts
	data     *scope // whatever is not executed
	object   *scope // a value { key: value … } inside what is
	contract *scope // its heads are told where they stand at a wrong place
}

// newVocabulary ties the scopes together: actions hold blocks of actions.
func newVocabulary() *vocabulary {
	object := &scope{title: "an object", anyAttr: true}
	actions := &scope{title: "a list of actions", actions: true}
	act := entry{always, actions}
	block := func(title string, nodes map[string]entry, attrs ...string) *scope {
		return &scope{title: title, attrs: attrs, nodes: nodes}
	}
	task := block("a task", map[string]entry{"then": act}, "after", "at", "cron", "timezone", "unless")
	approval := block("an approval", map[string]entry{"on_timeout": act}, "from", "count", "distinct", "within", "weights")
	use := block("the use of a quota", map[string]entry{"exceeded": act}, "limit", "per", "key", "warn_at")
	quota := block("a quota", map[string]entry{"exceeded": act}, "on", "when", "limit", "per", "key", "warn_at", "description")
	actions.nodes = map[string]entry{
		"allow": {}, "reject": {}, "simulate": {}, "tag": {}, "note": {}, "transition": {},
		"annotate": {always, object},
		"emit":     {always, object},
		"call":     {always, object},
		"schedule": {always, task},
		"require":  {always, approval},
		"trust":    {always, block("a change of trust", nil, "add", "set", "because")},
		"consume":  {always, use},
	}
	state := block("a state", map[string]entry{"after": {}}, "final", "description")
	transition := block("a transition", map[string]entry{"then": act}, "guard", "roles", "description")
	workflow := block("a workflow", map[string]entry{
		"state": {maybe, state}, "transition": {maybe, transition}, "forbid": {}, "on_enter": act, "on_exit": act,
	}, "key", "initial", "starts_on", "description")
	expect := block("what a test expects", nil, "decision", "reason_matches", "tags", "notes", "rules", "emitted", "called", "scheduled", "state", "annotations")
	expect.prefixes = "state. annotations."
	test := block("a test", map[string]entry{
		"given": {maybe, object}, "submit": {always, object}, "approve": {}, "advance": {}, "expect": {always, expect},
	}, "standalone", "description")
	contract := block("a contract", map[string]entry{
		"import":   {},
		"params":   {always, &scope{title: "the parameters", anyAttr: true}},
		"role":     {maybe, block("a role", nil, "can", "description")},
		"permit":   {},
		"webhook":  {always, block("a webhook", nil, "endpoint", "timeout", "retries", "backoff", "description")},
		"rule":     {always, block("a rule", map[string]entry{"then": act, "else": act}, "on", "priority", "enabled", "when", "on_error", "description")},
		"policy":   {always, block("a policy", map[string]entry{"when": act}, "on", "shadow", "description")},
		"workflow": {always, workflow},
		"schedule": {always, block("a schedule", map[string]entry{"then": act, "retry": {always, block("how to retry", nil, "max", "backoff")}},
			"cron", "every", "on", "delay", "timezone", "foreach", "where", "description")},
		"trust":  {always, block("the trust table", map[string]entry{"add": {}}, "range", "description")},
		"quota":  {always, quota},
		"retain": {},
		"test":   {always, test},
	}, "title", "tenant", "description", "requires", "tags", "inherits")
	contract.anyNode, contract.clauses = true, true
	return &vocabulary{
		file:     &scope{title: "a file", anyAttr: true, anyNode: true, clauses: true, nodes: map[string]entry{"contract": {always, contract}}},
		data:     &scope{title: "data", anyAttr: true, anyNode: true, clauses: true},
		object:   object,
		contract: contract,
	}
}

// executed says that words count: the scope is not data.
func (s *scope) executed() bool { return !(s.anyAttr && s.anyNode) }

// attr says that key is an attribute of the scope.
func (s *scope) attr(key string) bool {
	if s.anyAttr || contains(s.attrs, key) {
		return true
	}
	for _, prefix := range strings.Fields(s.prefixes) {
		if len(key) > len(prefix) && key[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

// words are all that the scope knows, for suggestions: attributes, then heads.
func (s *scope) words() []string {
	words := slices.Clone(s.attrs)
	return append(words, s.heads()...)
}

// heads are the heads that the scope knows, in the order of the alphabet.
func (s *scope) heads() []string {
	return slices.Sorted(maps.Keys(s.nodes))
}
