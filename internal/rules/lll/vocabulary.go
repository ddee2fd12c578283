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
	bare  bool   // nothing stands between the head and its body
}

// form is how a block with that head is written.
func (e entry) form(head string) string {
	if e.bare {
		return head + " { … }"
	}
	return head + " … { … }"
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
	act := entry{body: always, scope: actions, bare: true}
	on := entry{body: always, scope: actions}
	block := func(title string, nodes map[string]entry, attrs ...string) *scope {
		return &scope{title: title, attrs: attrs, nodes: nodes}
	}
	task := block("a task", map[string]entry{"then": act}, "after", "at", "cron", "timezone", "unless")
	approval := block("an approval", map[string]entry{"on_timeout": act}, "from", "count", "distinct", "within", "weights")
	use := block("the use of a quota", map[string]entry{"exceeded": act}, "limit", "per", "key", "warn_at")
	quota := block("a quota", map[string]entry{"exceeded": act}, "on", "when", "limit", "per", "key", "warn_at", "description")
	actions.nodes = map[string]entry{
		"allow": {}, "reject": {}, "simulate": {}, "tag": {}, "note": {}, "transition": {},
		"annotate": {body: always, scope: object, bare: true},
		"emit":     {body: always, scope: object},
		"call":     {body: always, scope: object},
		"schedule": {body: always, scope: task},
		"require":  {body: always, scope: approval},
		"trust":    {body: always, scope: block("a change of trust", nil, "add", "set", "because")},
		"consume":  {body: always, scope: use},
	}
	state := block("a state", map[string]entry{"after": {}}, "final", "description")
	transition := block("a transition", map[string]entry{"then": act}, "guard", "roles", "description")
	workflow := block("a workflow", map[string]entry{
		"state": {body: maybe, scope: state}, "transition": {body: maybe, scope: transition}, "forbid": {}, "on_enter": on, "on_exit": on,
	}, "key", "initial", "starts_on", "description")
	expect := block("what a test expects", nil, "decision", "reason_matches", "tags", "notes", "rules", "emitted", "called", "scheduled", "state", "annotations")
	expect.prefixes = "state. annotations."
	test := block("a test", map[string]entry{
		"given": {body: maybe, scope: object}, "submit": {body: always, scope: object}, "approve": {}, "revert": {}, "advance": {}, "expect": {body: always, scope: expect, bare: true},
	}, "standalone", "description")
	contract := block("a contract", map[string]entry{
		"import":     {},
		"params":     {body: always, scope: &scope{title: "the parameters", anyAttr: true}, bare: true},
		"role":       {body: maybe, scope: block("a role", nil, "can", "description")},
		"permit":     {},
		"webhook":    {body: always, scope: block("a webhook", nil, "endpoint", "timeout", "retries", "backoff", "description")},
		"rule":       {body: always, scope: block("a rule", map[string]entry{"then": act, "else": act}, "on", "priority", "enabled", "when", "on_error", "description")},
		"compensate": {body: always, scope: block("a compensation", map[string]entry{"then": act, "else": act}, "on", "roles", "when", "description")},
		"policy":     {body: always, scope: block("a policy", map[string]entry{"when": on}, "on", "shadow", "description")},
		"workflow":   {body: always, scope: workflow},
		"schedule": {body: always, scope: block("a schedule", map[string]entry{"then": act, "retry": {body: always, scope: block("how to retry", nil, "max", "backoff"), bare: true}},
			"cron", "every", "on", "delay", "timezone", "missed", "foreach", "where", "description")},
		"trust":  {body: always, scope: block("the trust table", map[string]entry{"add": {}}, "range", "description"), bare: true},
		"quota":  {body: always, scope: quota},
		"retain": {},
		"test":   {body: always, scope: test},
	}, "title", "tenant", "description", "requires", "tags", "inherits")
	contract.anyNode, contract.clauses = true, true
	return &vocabulary{
		file:     &scope{title: "a file", anyAttr: true, anyNode: true, clauses: true, nodes: map[string]entry{"contract": {body: always, scope: contract}}},
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
