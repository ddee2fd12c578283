package older

import "strings"

// node is a condition: a *junction, *negation or *comparison.
type node interface{}

// junction is several conditions, all of which or one of which must hold.
type junction struct {
	and  bool
	list []node
}

type negation struct{ of node }

// comparison is one question about a field. Every op has an opposite, so that
// no negation is left once negated has gone through a condition.
type comparison struct {
	field field
	op    string // ==, !=, <, <=, >, >=, in, !in, contains, !contains, exists, !exists
	value value
}

var opposites = map[string]string{
	"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">",
	"in": "!in", "!in": "in", "contains": "!contains", "!contains": "contains", "exists": "!exists", "!exists": "exists",
}

// field is a path: its root is a variable of contracts.
type field []string

func (f field) String() string { return strings.Join(f, ".") }

// roots are the first words of a field that are not members of the payload.
var roots = map[string]bool{"span": true, "data": true, "actor": true, "tenant": true}

// fieldOf is the field that somebody wrote. What begins with no root is a
// member of the payload, and so is span.payload.x.
func fieldOf(path []string) field {
	switch {
	case len(path) > 1 && path[0] == "payload":
		path = append(field{"data"}, path[1:]...)
	case len(path) > 2 && path[0] == "span" && (path[1] == "payload" || path[1] == "data"):
		path = append(field{"data"}, path[2:]...)
	case len(path) < 2 || !roots[path[0]]:
		path = append(field{"data"}, path...)
	}
	return path
}

// always says that a field is never missing.
func (f field) always() bool {
	switch f.String() {
	case "span.type", "span.id", "span.author", "actor.id", "actor.status", "actor.trust", "actor.roles":
		return true
	}
	return false
}

type kind uint8

const (
	kindText kind = iota + 1
	kindNumber
	kindBool
	kindNull
	kindField
	kindList
)

// value is what a field is compared with.
type value struct {
	kind  kind
	text  string // of a text, number, or bool
	field field
	list  []value
}

// negated is the condition with every `not` carried down to the comparisons;
// not says whether it stands below an odd number of them.
func negated(n node, not bool) node {
	switch n := n.(type) {
	case *negation:
		return negated(n.of, !not)
	case *junction:
		out := &junction{and: n.and != not}
		for _, part := range n.list {
			part = negated(part, not)
			if j, ok := part.(*junction); ok && j.and == out.and {
				out.list = append(out.list, j.list...)
				continue
			}
			out.list = append(out.list, part)
		}
		if len(out.list) == 1 {
			return out.list[0]
		}
		return out
	case *comparison:
		c := *n
		if c.value.kind == kindNull { // an absent member and null are one
			c.op = map[string]string{"==": "!exists", "!=": "exists"}[c.op]
			c.value = value{}
		}
		if not {
			c.op = opposites[c.op]
		}
		return &c
	}
	return nil
}
