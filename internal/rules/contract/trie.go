package contract

import (
	"strings"

	"github.com/danvoulez/logline/internal/span"
)

// trie finds the patterns that match a type in time that depends on the type
// and on what is found, not on how many patterns there are.
type trie struct{ root trieNode }

type trieNode struct {
	exact    map[string]*trieNode
	prefixes []prefixNode // of segments that end in *
	any      *trieNode    // *
	rest     []int32      // ** here
	ends     []int32
}

type prefixNode struct {
	prefix string
	next   *trieNode
}

// add notes that pattern belongs to entry.
func (t *trie) add(pattern string, entry int32) {
	n := &t.root
	for more := true; more; {
		var segment string
		segment, pattern, more = strings.Cut(pattern, ".")
		if segment == "**" {
			n.rest = append(n.rest, entry)
			return
		}
		n = n.child(segment)
	}
	n.ends = append(n.ends, entry)
}

func (n *trieNode) child(segment string) *trieNode {
	if segment == "*" {
		if n.any == nil {
			n.any = &trieNode{}
		}
		return n.any
	}
	if prefix, ok := strings.CutSuffix(segment, "*"); ok {
		for _, p := range n.prefixes {
			if p.prefix == prefix {
				return p.next
			}
		}
		next := &trieNode{}
		n.prefixes = append(n.prefixes, prefixNode{prefix, next})
		return next
	}
	if n.exact == nil {
		n.exact = map[string]*trieNode{}
	}
	if n.exact[segment] == nil {
		n.exact[segment] = &trieNode{}
	}
	return n.exact[segment]
}

// find appends the entries whose patterns match typ, some perhaps twice.
func (t *trie) find(typ string, found []int32) []int32 {
	return t.root.find(typ, !span.IsReserved(typ), found)
}

func (n *trieNode) find(typ string, wild bool, found []int32) []int32 {
	if wild {
		found = append(found, n.rest...)
	}
	segment, rest, more := strings.Cut(typ, ".")
	step := func(next *trieNode) {
		switch {
		case next == nil:
		case more:
			found = next.find(rest, wild, found)
		default:
			found = append(found, next.ends...)
		}
	}
	step(n.exact[segment])
	if wild {
		step(n.any)
		for _, p := range n.prefixes {
			if strings.HasPrefix(segment, p.prefix) {
				step(p.next)
			}
		}
	}
	return found
}
