package linear

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/anishathalye/porcupine"
)

// Number names a span of a history.
type Number = uint8

// Most is how many spans a history may have.
const Most = 250

// none stands for no span.
const none Number = 255

// Kinds of operations. Those of feeds are moments: what was told of an entry
// must have been so then.
const (
	doAppend   = "append"
	doGet      = "get"
	doList     = "list"
	doRange    = "range"
	doHead     = "head"
	doCount    = "count"
	feedHas    = "feed has"    // when it came: the entry is there, and perhaps erased
	feedWhole  = "feed whole"  // when the feed was opened: these were not erased yet
	listErased = "list erased" // while a list was read: these came to be erased
)

// Results of an append.
const (
	created  = "created"
	repeated = "repeated"
	conflict = "conflict" // its id is another span's
	unknown  = "unknown"  // no answer: it took effect at any time since, or never
	stands   = "stands"   // it is there, made by this attempt or by another
)

// input is what was asked.
type input struct {
	kind     string
	span     Number
	rival    Number // the other span with the same id, none where there is none
	erases   Number // what an append redacts, none for nothing
	from, to int    // of a range
	seq      int    // where a feed showed the span
	gone     bool   // it showed it erased
	whole    set    // what it showed that was not
	shows    set    // what a list showed erased
}

// output is what was answered.
type output struct {
	result string // of an append
	seq    int    // of an append or a get
	seen   []seen // of a list, a range or a get; none for a get that found nothing
	size   int    // of a head or a count
	erased int    // of a count
}

// seen is an entry as a read showed it.
type seen struct {
	span   Number
	erased bool
}

// state is a timeline: the numbers of its spans in order, and which are erased.
// It is compared with ==.
type state struct {
	order  string
	erased set
}

// set is a set of spans.
type set [4]uint64

func (s *set) add(n Number) { s[n/64] |= 1 << (n % 64) }

func (s *set) has(n Number) bool { return s[n/64]>>(n%64)&1 == 1 }

// holds says whether all of another are in it.
func (s *set) holds(other *set) bool {
	for i := range s {
		if other[i]&^s[i] != 0 {
			return false
		}
	}
	return true
}

// meets says whether two have one in common.
func (s *set) meets(other *set) bool {
	for i := range s {
		if s[i]&other[i] != 0 {
			return true
		}
	}
	return false
}

func (s state) has(n Number) bool { return n != none && strings.IndexByte(s.order, n) >= 0 }

func (s state) gone(n Number) bool { return s.erased.has(n) }

func (s state) append(in input) state {
	if s.has(in.span) {
		return s
	}
	s.order += string([]byte{in.span})
	if in.erases != none {
		s.erased.add(in.erases)
	}
	return s
}

// shows says whether the entries from a seq on are these.
func (s state) shows(from int, entries []seen) bool {
	if from+len(entries) > len(s.order) {
		return false
	}
	for i, e := range entries {
		if s.order[from+i] != e.span || s.gone(e.span) != e.erased {
			return false
		}
	}
	return true
}

// lists says whether these are all entries, and none is erased whose content is
// shown. What is shown erased may have been erased later: a page is of one size of
// the timeline, and the contents of its entries are read after that.
func (s state) lists(entries []seen) bool {
	for i, e := range entries {
		if s.order[i] != e.span || !e.erased && s.gone(e.span) {
			return false
		}
	}
	return true
}

// step says whether a timeline in a state can answer so, and what it is then.
func step(s state, in input, out output) (bool, state) {
	switch in.kind {
	case doAppend:
		return stepAppend(s, in, out)
	case doGet:
		at := max(strings.IndexByte(s.order, in.span), strings.IndexByte(s.order, in.rival))
		if at < 0 {
			return len(out.seen) == 0, s
		}
		return len(out.seen) == 1 && out.seq == at && s.shows(at, out.seen), s
	case doList:
		return len(out.seen) == len(s.order) && s.lists(out.seen), s
	case listErased:
		return s.erased.holds(&in.shows), s
	case doRange:
		return len(out.seen) == min(in.to, len(s.order))-min(in.from, len(s.order)) && s.shows(in.from, out.seen), s
	case doHead:
		return out.size == len(s.order), s
	case doCount:
		n := 0
		for _, word := range s.erased {
			n += bits.OnesCount64(word)
		}
		return out.size == len(s.order) && out.erased == n, s
	case feedHas:
		return in.seq < len(s.order) && s.order[in.seq] == in.span && (!in.gone || s.gone(in.span)), s
	case feedWhole:
		return !s.erased.meets(&in.whole), s
	}
	return false, s
}

func stepAppend(s state, in input, out output) (bool, state) {
	at := strings.IndexByte(s.order, in.span)
	possible := at < 0 && !s.has(in.rival)
	switch out.result {
	case created:
		return possible && out.seq == len(s.order), s.append(in)
	case repeated:
		return at >= 0 && out.seq == at, s
	case conflict:
		return s.has(in.rival), s
	case stands:
		if at >= 0 {
			return out.seq == at, s
		}
		return possible && out.seq == len(s.order), s.append(in)
	}
	// Without an answer, and yet it is known where it stands in the end.
	return at >= 0 || possible && out.seq == len(s.order), s.append(in)
}

// model is the timeline as porcupine asks for it.
var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, out any) (bool, any) { return step(s.(state), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		return describe(i, o)
	},
}

func describe(in input, out output) string {
	var b strings.Builder
	b.WriteString(in.kind)
	switch in.kind {
	case doAppend:
		fmt.Fprintf(&b, " %d", in.span)
		if in.rival != none {
			fmt.Fprintf(&b, " (rival %d)", in.rival)
		}
		if in.erases != none {
			fmt.Fprintf(&b, " (erases %d)", in.erases)
		}
		fmt.Fprintf(&b, ": %s", out.result)
		if out.result == created || out.result == repeated || out.result == stands {
			fmt.Fprintf(&b, " at %d", out.seq)
		}
	case doGet:
		fmt.Fprintf(&b, " %d: %s", in.span, shown(out.seen))
		if len(out.seen) > 0 {
			fmt.Fprintf(&b, " at %d", out.seq)
		}
	case doList:
		fmt.Fprintf(&b, ": %s", shown(out.seen))
	case doRange:
		fmt.Fprintf(&b, " %d to %d: %s", in.from, in.to, shown(out.seen))
	case doHead:
		fmt.Fprintf(&b, ": %d", out.size)
	case doCount:
		fmt.Fprintf(&b, ": %d, %d erased", out.size, out.erased)
	case feedHas:
		fmt.Fprintf(&b, " %s at %d", shown([]seen{{in.span, in.gone}}), in.seq)
	case listErased:
		for n := range Number(Most) {
			if in.shows.has(n) {
				fmt.Fprintf(&b, " %d", n)
			}
		}
	case feedWhole:
		for n := range Number(Most) {
			if in.whole.has(n) {
				fmt.Fprintf(&b, " %d", n)
			}
		}
	}
	return b.String()
}

func shown(entries []seen) string {
	if len(entries) == 0 {
		return "nothing"
	}
	var b strings.Builder
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d", e.span)
		if e.erased {
			b.WriteByte('x')
		}
	}
	return b.String()
}
