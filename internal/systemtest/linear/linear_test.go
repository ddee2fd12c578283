package linear

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// list is a timeline as it must be, in a few lines: the Door of this test, and
// the Sealer of its spans. A span's bytes are "id hash" or "id hash redacts-id".
type list struct {
	mu      sync.Mutex // guards the rest
	random  *rand.Rand
	made    int
	entries []Entry
	raws    []string
	grown   chan struct{} // closed at the next append
}

func newList(seed uint64) *list {
	l := &list{random: rand.New(rand.NewPCG(seed, 1)), grown: make(chan struct{})}
	for n := range 3 { // what was there before
		l.entries = append(l.entries, Entry{Seq: uint64(n), Hash: fmt.Sprint("founding", n)})
		l.raws = append(l.raws, fmt.Sprintf("founding%d -", n))
	}
	return l
}

var errNoAnswer = errors.New("no answer")

func (l *list) Note(id string) Span {
	l.made++
	if id == "" {
		id = fmt.Sprint("id", l.made)
	}
	s := Span{ID: id, Hash: fmt.Sprint("hash", l.made)}
	s.Raw = []byte(s.ID + " " + s.Hash)
	return s
}

func (l *list) Redaction(of Span) Span {
	s := l.Note("")
	s.Raw = append(s.Raw, " "+of.ID...)
	return s
}

func (l *list) Append(_ context.Context, raw []byte) (uint64, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	luck := l.random.IntN(20)
	if luck == 0 {
		return 0, false, errNoAnswer // it never came
	}
	words := strings.Fields(string(raw))
	repeat := true
	at := slices.IndexFunc(l.raws, func(r string) bool { return strings.HasPrefix(r, words[0]+" ") })
	switch {
	case at >= 0 && l.raws[at] != string(raw):
		return 0, false, ErrConflict
	case at < 0:
		at, repeat = len(l.entries), false
		l.entries = append(l.entries, Entry{Seq: uint64(at), Hash: words[1]})
		l.raws = append(l.raws, string(raw))
		if len(words) == 3 {
			l.entries[slices.IndexFunc(l.raws, func(r string) bool { return strings.HasPrefix(r, words[2]+" ") })].Erased = true
		}
		close(l.grown)
		l.grown = make(chan struct{})
	}
	if luck == 1 {
		return 0, false, errNoAnswer // it came, and the answer did not
	}
	return uint64(at), repeat, nil
}

func (l *list) Get(_ context.Context, id string) (Entry, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.IndexFunc(l.raws, func(r string) bool { return strings.HasPrefix(r, id+" ") })
	if at < 0 {
		return Entry{}, false, nil
	}
	return l.entries[at], true, nil
}

func (l *list) List(context.Context) ([]Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries), nil
}

func (l *list) Range(_ context.Context, from, to uint64) ([]Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries[from:to]), nil
}

func (l *list) Head(context.Context) (uint64, string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uint64(len(l.entries)), fmt.Sprint("root", len(l.entries)), nil
}

func (l *list) Count(context.Context) (size, erased uint64, root string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.Erased {
			erased++
		}
	}
	return uint64(len(l.entries)), erased, fmt.Sprint("root", len(l.entries)), nil
}

func (l *list) Follow(ctx context.Context, from uint64, each func(Entry)) error {
	for {
		l.mu.Lock()
		news, grown := slices.Clone(l.entries[from:]), l.grown
		l.mu.Unlock()
		for _, e := range news {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			each(e)
			from++
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		}
	}
}

// honest is a history of a list, with something of everything.
func honest(t *testing.T, seed uint64) (*history, []seen) {
	t.Helper()
	l := newList(seed)
	d, final, err := run(t.Context(), Plan{Seed: seed, Clients: 5, Each: 60, Followers: 2, Patience: time.Minute}, []Door{l, l, l}, l, func(context.Context) {})
	require.NoError(t, err)
	require.NoError(t, d.h.check(final, time.Minute))
	o := d.outcome(final)
	t.Log(o)
	for _, n := range []int{o.Appended, o.Repeated, o.Conflicts, o.Unknown, o.Erased, o.Told} {
		require.Positive(t, n, "%v", o)
	}
	return d.h, final
}

func TestAListIsAList(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		honest(t, seed)
	}
}

// find is the last operation that is as asked for.
func (h *history) find(t *testing.T, what string, is func(input, output) bool) *porcupine.Operation {
	t.Helper()
	for i := len(h.ops) - 1; i >= 0; i-- {
		if is(h.ops[i].Input.(input), h.ops[i].Output.(output)) {
			return &h.ops[i]
		}
	}
	t.Fatalf("the history has no %s", what)
	return nil
}

func of(kind string) func(input, output) bool {
	return func(in input, _ output) bool { return in.kind == kind }
}

func appended(result string) func(input, output) bool {
	return func(in input, out output) bool {
		return in.kind == doAppend && out.result == result && in.erases == none
	}
}

func change(op *porcupine.Operation, with func(*output)) {
	out := op.Output.(output)
	out.seen = slices.Clone(out.seen)
	with(&out)
	op.Output = out
}

// What a timeline must never do is found, each alone in an honest history.
func TestBadHistoriesAreRefused(t *testing.T) {
	t.Parallel()
	for name, doctor := range map[string]func(t *testing.T, h *history, final []seen) []seen{
		"stale list": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "list", of(doList)), func(o *output) { o.seen = o.seen[:len(o.seen)-1] })
			return final
		},
		"stale get": func(t *testing.T, h *history, final []seen) []seen {
			op := h.find(t, "get", func(in input, out output) bool { return in.kind == doGet && len(out.seen) > 0 })
			op.Call, op.Return = h.now(), h.now()
			change(op, func(o *output) { o.seen, o.seq = nil, 0 })
			return final
		},
		"stale head": func(t *testing.T, h *history, final []seen) []seen {
			op := h.find(t, "head", of(doHead))
			op.Call, op.Return = h.now(), h.now()
			change(op, func(o *output) { o.size = len(final) - 1 })
			return final
		},
		"stale count": func(t *testing.T, h *history, final []seen) []seen {
			op := h.find(t, "count", of(doCount))
			op.Call, op.Return = h.now(), h.now()
			change(op, func(o *output) { o.size = len(final) - 1 })
			return final
		},
		"a head ahead of everything": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "head", of(doHead)), func(o *output) { o.size = len(final) + 1 })
			return final
		},
		"a read before it was sent": func(t *testing.T, h *history, final []seen) []seen {
			op := h.find(t, "list", func(in input, out output) bool { return in.kind == doList && len(out.seen) > 0 })
			op.Call, op.Return = 0, 0
			return final
		},
		"lost append": func(t *testing.T, h *history, final []seen) []seen {
			n := h.find(t, "append", appended(created)).Input.(input).span
			without := func(s []seen) []seen {
				return slices.DeleteFunc(slices.Clone(s), func(e seen) bool { return e.span == n })
			}
			for i := range h.ops {
				change(&h.ops[i], func(o *output) { o.seen = without(o.seen) })
			}
			h.feeds = nil
			return without(final)
		},
		"one place given twice": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "append", appended(created)), func(o *output) { o.seq-- })
			return final
		},
		"recorded twice": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "repeat", appended(repeated)), func(o *output) { o.result = created })
			return final
		},
		"a repeat with another place": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "repeat", appended(repeated)), func(o *output) { o.seq++ })
			return final
		},
		"an id taken twice": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "conflict", appended(conflict)), func(o *output) { o.result, o.seq = created, len(final) })
			return final
		},
		"a conflict with nobody": func(t *testing.T, h *history, final []seen) []seen {
			op := h.find(t, "append", func(in input, out output) bool {
				return in.kind == doAppend && out.result == created && h.rivals[in.span] == none
			})
			change(op, func(o *output) { o.result = conflict })
			return final
		},
		"an order of its own": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "range", func(in input, out output) bool { return in.kind == doRange && len(out.seen) > 1 }),
				func(o *output) { o.seen[0], o.seen[1] = o.seen[1], o.seen[0] })
			return final
		},
		"a hole in a range": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "range", func(in input, out output) bool { return in.kind == doRange && len(out.seen) > 1 }),
				func(o *output) { o.seen = o.seen[1:] })
			return final
		},
		"erased content": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "list", of(doList)), func(o *output) {
				o.seen[slices.IndexFunc(o.seen, func(e seen) bool { return e.erased })].erased = false
			})
			return final
		},
		"content erased by nobody": func(t *testing.T, h *history, final []seen) []seen {
			change(h.find(t, "list", of(doList)), func(o *output) {
				o.seen[slices.IndexFunc(o.seen, func(e seen) bool { return !e.erased })].erased = true
			})
			return final
		},
		"a count of too few erased": func(t *testing.T, h *history, final []seen) []seen {
			op := h.find(t, "count", of(doCount))
			change(op, func(o *output) { o.erased += 50 })
			return final
		},
		"a feed out of order": func(t *testing.T, h *history, final []seen) []seen {
			f := h.feeds[0]
			f[3], f[4] = f[4], f[3]
			return final
		},
		"a feed with another order": func(t *testing.T, h *history, final []seen) []seen {
			f := h.feeds[0]
			f[3].seen, f[4].seen = f[4].seen, f[3].seen
			return final
		},
		"a feed that leaves one out": func(t *testing.T, h *history, final []seen) []seen {
			h.feeds[1] = slices.Delete(h.feeds[1], 5, 6)
			return final
		},
		"a feed that ends early": func(t *testing.T, h *history, final []seen) []seen {
			h.feeds[1] = h.feeds[1][:len(h.feeds[1])-1]
			return final
		},
		"a feed that tells twice": func(t *testing.T, h *history, final []seen) []seen {
			h.feeds[1] = slices.Insert(h.feeds[1], 5, h.feeds[1][4])
			return final
		},
		"a feed before the commit": func(t *testing.T, h *history, final []seen) []seen {
			last := &h.feeds[0][len(final)-1]
			last.opened, last.came = 0, 0
			return final
		},
		"a feed of erased content": func(t *testing.T, h *history, final []seen) []seen {
			at := slices.IndexFunc(final, func(e seen) bool { return e.erased })
			told := &h.feeds[0][at]
			told.opened, told.came, told.seen.erased = h.now(), h.now(), false
			return final
		},
		"two roots": func(_ *testing.T, h *history, final []seen) []seen {
			d := &drive{h: h, roots: map[uint64]string{}}
			d.reach(7, "a")
			d.reach(7, "b")
			return final
		},
		"a span that nobody sent": func(_ *testing.T, h *history, final []seen) []seen {
			d := &drive{h: h, byHash: map[string]Number{}}
			d.seen([]Entry{{Seq: 7, Hash: "forged"}}, 7)
			return final
		},
		"a list with a hole": func(_ *testing.T, h *history, final []seen) []seen {
			d := &drive{h: h, base: 9}
			d.seen([]Entry{{Seq: 0}, {Seq: 2}}, 0)
			return final
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, final := honest(t, 7)
			final = doctor(t, h, final)
			err := h.check(final, time.Minute)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "no answer in", "the checker must say no, not give up")
			t.Log(err)
		})
	}
}

// A checker that cannot end is an error of the set-up, never a success.
func TestNoAnswerIsNoSuccess(t *testing.T) {
	t.Parallel()
	h, final := honest(t, 3)
	require.ErrorContains(t, h.check(final, time.Nanosecond), "make the history smaller")
}
