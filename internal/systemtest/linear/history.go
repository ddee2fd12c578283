package linear

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// never is when an operation without an answer ends.
const never = math.MaxInt64

// history is what the clients of one timeline asked and were answered. It is
// safe for concurrent use.
type history struct {
	began time.Time

	mu     sync.Mutex // guards the rest
	ops    []porcupine.Operation
	feeds  [][]told          // of each follower
	wrong  []string          // what no list explains, whatever the order
	rivals map[Number]Number // spans with one id, known at the end
	lossy  bool              // see Plan
}

// told is an entry as a feed told of it.
type told struct {
	seq    int
	seen   seen
	opened int64 // when this connection of the feed was opened
	came   int64
}

func newHistory() *history { return &history{began: time.Now()} }

// now is the time since the history's beginning, in nanoseconds.
func (h *history) now() int64 { return int64(time.Since(h.began)) }

func (h *history) add(client int, in input, called int64, out output, returned int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: in, Call: called, Output: out, Return: returned})
}

func (h *history) accuse(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

// operations is everything as operations with their times. final is the list
// that everybody reads once all is quiet; it spares the checker guesses about
// appends without an answer.
func (h *history) operations(final []seen) []porcupine.Operation {
	var ops []porcupine.Operation
	doubt := h.doubt(final)
	for _, op := range h.ops {
		in, out := op.Input.(input), op.Output.(output)
		in.rival = none
		if rival, ok := h.rivals[in.span]; ok {
			in.rival = rival
		}
		op.Input = in
		if in.kind == doAppend && out.result == unknown {
			seq, matters := doubt[in.span]
			if !matters {
				continue
			}
			delete(doubt, in.span) // the first attempt does for all
			out.seq = seq
			op.Output, op.Return = out, never
		}
		if h.lossy && (out.result == created || out.result == repeated) {
			out.result = stands
			op.Output = out
		}
		ops = append(ops, op)
		if erased, some := erasedOf(out.seen); some && in.kind == doList {
			op.Input = input{kind: listErased, shows: erased, rival: none, erases: none}
			ops = append(ops, op)
		}
	}
	for client, feed := range h.feeds {
		ops = append(ops, feedOperations(100+client, feed)...)
	}
	slices.SortStableFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	return ops
}

func erasedOf(entries []seen) (erased set, some bool) {
	for _, e := range entries {
		if e.erased && e.span != none {
			erased.add(e.span)
			some = true
		}
	}
	return erased, some
}

// feedOperations are what a follower was told, as moments at which it must have
// been so. That an entry is there, and that it is erased, is true for ever once it
// is: so it is when the entry came. That an entry is not erased was true at first,
// and so when the connection was opened; all of one connection is one operation,
// for the checker tries operations of one moment in every order.
func feedOperations(client int, feed []told) (ops []porcupine.Operation) {
	moment := func(at int64, in input) {
		in.rival, in.erases = none, none
		ops = append(ops, porcupine.Operation{ClientId: client, Call: at, Return: at, Input: in, Output: output{}})
	}
	whole := map[int64]*set{}
	for _, m := range feed {
		moment(m.came, input{kind: feedHas, span: m.seen.span, seq: m.seq, gone: m.seen.erased})
		if !m.seen.erased {
			if whole[m.opened] == nil {
				whole[m.opened] = &set{}
			}
			whole[m.opened].add(m.seen.span)
		}
	}
	for at, spans := range whole {
		moment(at, input{kind: feedWhole, whole: *spans})
	}
	return ops
}

// doubt is where the spans stand that are there and of which no answer says that
// they were made. Nothing leaves a timeline, so what is not there in the end and
// has no answer never took effect; an attempt without an answer changed nothing
// where another one's answer says that it was the one (and can know); and of several without an
// answer the first may take effect whenever a later one may.
func (h *history) doubt(final []seen) map[Number]int {
	doubt := map[Number]int{}
	for seq, e := range final {
		doubt[e.span] = seq
	}
	for _, op := range h.ops {
		if in := op.Input.(input); in.kind == doAppend && op.Output.(output).result == created && !h.lossy {
			delete(doubt, in.span)
		}
	}
	return doubt
}

// check looks for an order that a plain list explains, for as long as is said.
// Without an answer by then there is an error too: the history is too large to
// say anything.
func (h *history) check(final []seen, patience time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(h.wrong, "\n"))
	}
	if err := h.checkFeeds(final); err != nil {
		return err
	}
	slices.SortStableFunc(h.ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	ops := h.operations(final)
	result, info := porcupine.CheckOperationsVerbose(model, ops, patience)
	switch result {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("the checker found no answer in %s; make the history smaller: %d operations", patience, len(ops))
	}
	return fmt.Errorf("no order of these operations is one that a list explains; %s", explain(ops, info))
}

// checkFeeds checks that each follower was told everything, in order, once.
func (h *history) checkFeeds(final []seen) error {
	for client, feed := range h.feeds {
		for i, m := range feed {
			switch {
			case m.seq != i:
				return fmt.Errorf("feed %d told of entry %d where %d was due", client, m.seq, i)
			case i >= len(final):
				return fmt.Errorf("feed %d told of entry %d, and there are %d", client, i, len(final))
			case final[i].span != m.seen.span:
				return fmt.Errorf("feed %d told of span %d at %d, where %d stands", client, m.seen.span, i, final[i].span)
			}
		}
		if len(feed) != len(final) {
			return fmt.Errorf("feed %d told of %d entries of %d", client, len(feed), len(final))
		}
	}
	return nil
}

// explain shows the operations around the first that fits nowhere.
func explain(ops []porcupine.Operation, info porcupine.LinearizationInfo) string {
	longest := map[int]bool{}
	for _, partial := range info.PartialLinearizations() {
		for _, order := range partial {
			if len(order) > len(longest) {
				longest = map[int]bool{}
				for _, op := range order {
					longest[op] = true
				}
			}
		}
	}
	stuck := len(ops)
	for i := range ops {
		if !longest[i] {
			stuck = i
			break
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d can be ordered, and around the first that cannot (times in µs):\n", len(longest), len(ops))
	for i := max(0, stuck-25); i < min(len(ops), stuck+15); i++ {
		op := ops[i]
		mark := "  "
		if !longest[i] {
			mark = "! "
		}
		end := "-"
		if op.Return != never {
			end = fmt.Sprint(op.Return / 1000)
		}
		fmt.Fprintf(&b, "%s%d…%s client %d %s\n", mark, op.Call/1000, end, op.ClientId, describe(op.Input.(input), op.Output.(output)))
	}
	return b.String()
}
