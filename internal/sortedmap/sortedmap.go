// Package sortedmap is a map whose keys are texts in the order of their bytes,
// for state that is asked for "the last key before" as often as for one key. It
// knows nothing of what it holds, and locks nothing.
package sortedmap

import (
	"iter"
	"slices"
	"strings"
)

// most is how many items a block holds before it is cut in two: what an
// insertion moves at most.
const most = 256

// Map is a sorted map; the zero value is empty and ready. It is not safe for
// concurrent use while somebody changes it.
type Map[V any] struct {
	blocks [][]item[V] // none is empty; keys ascend within and across
	count  int
}

type item[V any] struct {
	key   string
	value V
}

// Len is the number of keys.
func (m *Map[V]) Len() int { return m.count }

// block is where a key is or would be: the last block that begins at or before
// it, else the first.
func (m *Map[V]) block(key string) int {
	n, found := slices.BinarySearchFunc(m.blocks, key, func(b []item[V], key string) int { return strings.Compare(b[0].key, key) })
	if !found && n > 0 {
		n--
	}
	return n
}

func find[V any](block []item[V], key string) (int, bool) {
	return slices.BinarySearchFunc(block, key, func(i item[V], key string) int { return strings.Compare(i.key, key) })
}

// Get is the value of a key.
func (m *Map[V]) Get(key string) (value V, ok bool) {
	if len(m.blocks) == 0 {
		return value, false
	}
	b := m.blocks[m.block(key)]
	n, ok := find(b, key)
	if ok {
		value = b[n].value
	}
	return value, ok
}

// Set gives a key a value.
func (m *Map[V]) Set(key string, value V) {
	if len(m.blocks) == 0 {
		m.blocks = [][]item[V]{{{key, value}}}
		m.count = 1
		return
	}
	at := m.block(key)
	b := m.blocks[at]
	n, ok := find(b, key)
	if ok {
		b[n].value = value
		return
	}
	m.count++
	b = slices.Insert(b, n, item[V]{key, value})
	m.blocks[at] = b
	if len(b) > most {
		half := len(b) / 2
		if n == len(b)-1 && at == len(m.blocks)-1 {
			half = len(b) - 1 // keys that come in order leave full blocks behind
		}
		m.blocks[at] = b[:half:half]
		m.blocks = slices.Insert(m.blocks, at+1, slices.Clone(b[half:]))
	}
}

// Delete takes a key out; one that is not there changes nothing.
func (m *Map[V]) Delete(key string) {
	if len(m.blocks) == 0 {
		return
	}
	at := m.block(key)
	n, ok := find(m.blocks[at], key)
	if !ok {
		return
	}
	m.count--
	m.blocks[at] = slices.Delete(m.blocks[at], n, n+1)
	if len(m.blocks[at]) == 0 {
		m.blocks = slices.Delete(m.blocks, at, at+1)
	}
}

// From gives the keys that are not below low, in ascending order. Nobody changes
// the map meanwhile, but for values of keys that are there.
func (m *Map[V]) From(low string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if len(m.blocks) == 0 {
			return
		}
		at := m.block(low)
		n, _ := find(m.blocks[at], low)
		for ; at < len(m.blocks); at, n = at+1, 0 {
			for _, i := range m.blocks[at][n:] {
				if !yield(i.key, i.value) {
					return
				}
			}
		}
	}
}

// Below gives the keys below high, in descending order, as From does.
func (m *Map[V]) Below(high string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if len(m.blocks) == 0 {
			return
		}
		at := m.block(high)
		n, _ := find(m.blocks[at], high)
		for {
			for n--; n >= 0; n-- {
				if i := m.blocks[at][n]; !yield(i.key, i.value) {
					return
				}
			}
			if at--; at < 0 {
				return
			}
			n = len(m.blocks[at])
		}
	}
}
