package timeline

import (
	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// rowCache is what a process knows of the decision rows at one head of a
// timeline: rows, keys that have none, and stretches between keys in which there
// is nothing, so that it can answer "the last key before" as well. It holds two
// generations: when the young one is full it becomes the old one, whose content
// is dropped with the next but for what was asked for meanwhile.
//
// Only the holder of the tenant's turn uses it.
type rowCache struct {
	size       uint64 // the head that everything known is as of
	root       span.Hash
	young, old known
}

// maxKnown is about how many bytes a generation holds, for each timeline.
const maxKnown = 4 << 20

// at makes the cache one of a head: what was known at another is forgotten.
func (c *rowCache) at(head *Head) {
	if c.size != head.Size || c.root != head.Root {
		*c = rowCache{size: head.Size, root: head.Root}
	}
}

// get is the value of a row, nil where there is none; known says whether that
// is known.
func (c *rowCache) get(key string) (value []byte, known bool) {
	if value, known = c.young.get(key); known {
		return value, true
	}
	if value, known = c.old.get(key); known {
		c.young.set(key, value)
		c.age()
	}
	return value, known
}

// rows answers an ask, where that is known.
func (c *rowCache) rows(a *Ask) (rows []standing.Row, known bool) {
	if rows, known = c.young.rows(a); known {
		return rows, true
	}
	if rows, known = c.old.rows(a); known {
		c.add(a, rows)
	}
	return rows, known
}

// add takes in the answer to an ask.
func (c *rowCache) add(a *Ask, rows []standing.Row) {
	c.young.add(a, rows)
	c.age()
}

// commit moves the cache to the head that a batch with these changes made.
func (c *rowCache) commit(changed []standing.Row, head *Head) {
	c.size, c.root = head.Size, head.Root
	for _, r := range changed {
		c.young.change(r.Key, r.Value)
		c.old.change(r.Key, r.Value)
	}
	c.age()
}

func (c *rowCache) age() {
	if c.young.bytes > maxKnown {
		c.old, c.young = c.young, known{}
	}
}

// known is a part of an ordered set of rows. Between two nodes nothing is known
// but where the upper one is joined: then no key between them has a row.
type known struct {
	nodes sortedmap.Map[*node]
	bytes int
}

// node is what is known of one key.
type node struct {
	is     certainty
	joined bool // no key between the node before it and this one has a row
	value  []byte
}

type certainty uint8

const (
	unsure certainty = iota // only the end of a stretch
	hasNone
	hasRow
)

// nodeBytes is about what a node takes beside its key and value.
const nodeBytes = 96

func (k *known) get(key string) (value []byte, known bool) {
	n, ok := k.nodes.Get(key)
	if !ok {
		return nil, k.above(key) // in a stretch without rows
	}
	return n.value, n.is != unsure
}

// above says whether the stretch below the first node that is not below a key is
// known to be without rows.
func (k *known) above(key string) bool {
	for _, n := range k.nodes.From(key) {
		return n.joined
	}
	return false
}

// node is that of a key, made where there is none: what was known of the stretch
// around it is known of both its parts.
func (k *known) node(key string) *node {
	n, ok := k.nodes.Get(key)
	if !ok {
		n = &node{}
		if k.above(key) {
			n.is, n.joined = hasNone, true
		}
		k.nodes.Set(key, n)
		k.bytes += nodeBytes + len(key)
	}
	return n
}

// set takes in what one key has: nil is no row.
func (k *known) set(key string, value []byte) {
	n := k.node(key)
	k.bytes += len(value) - len(n.value)
	n.value, n.is = value, hasRow
	if value == nil {
		n.is = hasNone
	}
}

// change is set for a key of which something is known.
func (k *known) change(key string, value []byte) {
	if _, known := k.get(key); !known {
		return
	}
	if k.set(key, value); value == nil {
		k.prune(key)
	}
}

// prune takes out the node of a key without a row where it only cuts a stretch
// without rows in two: what was deleted leaves nothing to walk over.
func (k *known) prune(key string) {
	n, _ := k.nodes.Get(key)
	if n.joined && k.above(after(key)) {
		k.drop(key, n)
	}
}

func (k *known) drop(key string, n *node) {
	k.bytes -= nodeBytes + len(key) + len(n.value)
	k.nodes.Delete(key)
}

// rows answers an ask, where that is known.
func (k *known) rows(a *Ask) ([]standing.Row, bool) {
	if a.single() {
		value, known := k.get(a.Low)
		if value == nil {
			return nil, known
		}
		return []standing.Row{{Key: a.Low, Value: value}}, true
	}
	if a.Descending {
		return k.descend(a)
	}
	return k.ascend(a)
}

func (k *known) ascend(a *Ask) (rows []standing.Row, known bool) {
	begun := false // what is below the node at hand is looked at
	for key, n := range k.nodes.From(a.Low) {
		if (begun || key != a.Low) && !n.joined {
			return nil, false
		}
		if begun = true; key >= a.High {
			return rows, true
		}
		switch n.is {
		case unsure:
			return nil, false
		case hasRow:
			if rows = append(rows, standing.Row{Key: key, Value: n.value}); len(rows) == a.Limit {
				return rows, true
			}
		}
	}
	return nil, false
}

func (k *known) descend(a *Ask) (rows []standing.Row, known bool) {
	if !k.above(a.High) {
		return nil, false
	}
	for key, n := range k.nodes.Below(a.High) {
		if key < a.Low {
			return rows, true
		}
		switch n.is {
		case unsure:
			return nil, false
		case hasRow:
			if rows = append(rows, standing.Row{Key: key, Value: n.value}); len(rows) == a.Limit {
				return rows, true
			}
		}
		if key == a.Low {
			return rows, true
		}
		if !n.joined {
			return nil, false
		}
	}
	return nil, false
}

// add takes in the answer to an ask: the rows, and that there are no others as
// far as it reaches.
func (k *known) add(a *Ask, rows []standing.Row) {
	low, high := a.Low, a.High
	if len(rows) == a.Limit {
		if last := rows[len(rows)-1].Key; a.Descending {
			low = last
		} else {
			high = after(last)
		}
	}
	if a.single() {
		k.set(low, nil) // one key, which is worth one node
	} else {
		k.clear(low, high)
	}
	for _, r := range rows {
		k.set(r.Key, r.Value)
	}
}

// clear notes that no key from low to below high has a row.
func (k *known) clear(low, high string) {
	k.node(high)
	k.set(low, nil)
	var within []string
	for key, n := range k.nodes.From(after(low)) {
		if key >= high {
			n.joined = true // it is the node of high
			break
		}
		within = append(within, key)
	}
	for _, key := range within {
		n, _ := k.nodes.Get(key)
		k.drop(key, n)
	}
}
