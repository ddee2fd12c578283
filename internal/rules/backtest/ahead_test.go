package backtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// founded is a history of people whose roles the record gives.
type founded struct {
	*history
	node, owner *id.Keys
	tenant      string
	people      []*id.Keys // members; the owner is none of them
}

func newFounded(t testing.TB) *founded {
	f := &founded{history: newHistory(t)}
	keys := func(subject string) *id.Keys {
		k, err := id.NewKeys(subject, began, f.rand)
		require.NoError(t, err)
		return k
	}
	f.node, f.owner = keys(id.SubjectNode), keys(id.SubjectPerson)
	_, logKey, err := f.node.Delegate("log", []string{id.TypeLog}, "", began, f.rand)
	require.NoError(t, err)
	raw, err := span.ParseB64(logKey.Public(), 32)
	require.NoError(t, err)
	genesis := span.Genesis{Slug: "acme", Name: "Acme", Node: f.node.ID(), LogKey: span.B64(append([]byte{1}, raw...)), Owner: f.owner.ID(), Nonce: span.B64(make([]byte, 16))}
	genesis.Tenant = genesis.TenantID()
	f.tenant = genesis.Tenant
	f.seal(f.node, span.TypeGenesis, genesis.Canonical())
	f.embed(f.node)
	f.embed(f.owner)
	f.grant(f.node, f.owner, span.RoleOwner)
	for range 3 {
		k := keys(id.SubjectPerson)
		f.people = append(f.people, k)
		f.embed(k)
		f.grant(f.owner, k, span.RoleMember)
	}
	return f
}

// seal records a span that its author has signed.
func (f *founded) seal(by *id.Keys, typ string, payload []byte) *span.Opened {
	f.t.Helper()
	e := f.add(typ, by.ID(), map[string]any{})
	e.Span.Tenant = f.tenant
	if span.MustBePublic(typ) {
		e.Span.Visibility = span.VisibilityPublic
	}
	sp, err := id.SealSpan(by.Signer(), e.Span, payload, make([]byte, 16))
	require.NoError(f.t, err)
	e.Span, e.Payload = sp.Header, sp.Payload
	return e
}

func (f *founded) embed(k *id.Keys) {
	for _, event := range k.Events() {
		f.seal(f.node, span.TypeIdentity, fmt.Appendf(nil, `{"event":%s}`, event))
	}
}

func (f *founded) grant(by, to *id.Keys, roles ...string) {
	f.member(by, to, span.ActionGrant, roles...)
}

func (f *founded) member(by, to *id.Keys, action string, roles ...string) {
	payload, err := span.Canonical(span.Member{Identity: to.ID(), Roles: roles, Action: action})
	require.NoError(f.t, err)
	f.seal(by, span.TypeMember, payload)
}

// meeting is a contract in which everything that leaves rows meets: what one
// entry does, the next one sees.
const meeting = `contract meeting version "1.0.0" {
  role boss
  trust { range: [-5.0, 5.0]  add "order.*" 0.1 }
  permit append "order.closed" to [boss]
  rule often { on: "order.*"  when: spans("order.*").by(actor.id).within(90s).count() >= 3.0  then { tag "often" } }
  rule much { on: "order.made"  when: spans("order.made").subject(span.subject).sum("amount") + data.amount > 150.0  then { reject "too much" } }
  rule odd { on: "order.made"  when: spans("order.made").subject(span.subject).count() in [1.0, 3.0, 5.0, 7.0, 9.0]  then { tag "odd" } }
  rule eats { on: "order.*"  then { consume quota "q" { limit: 4  per: 1m  key: actor.id  exceeded { tag "over" } } } }
  rule trusted { on: "order.paid"  when: actor.trust > 0.5  then { tag "trusted" } }
  rule asks { on: "order.made"  when: data.amount > 20.0  then { require approval { from: [boss]  count: 1  within: 30s  on_timeout { tag "late" } } } }
  rule later { on: "order.paid"  then { schedule task "thank" { after: 20s  then { trust actor { add: 0.2 } } } } }
  workflow order {
    key: data.id
    initial: open
    starts_on: "order.**"
    state open
    state made { after 2m -> forgotten }
    state paid
    state forgotten
    transition open -> made on "order.made"
    transition made -> paid on "order.paid" { guard: state("order", data.before) != "forgotten" }
  }
}`

// random makes a history in which entries depend on those just before them.
func random(t *rapid.T, tb testing.TB) *founded {
	f := newFounded(tb)
	f.rand = rand.NewChaCha8([32]byte{byte(rapid.IntRange(0, 255).Draw(t, "seed"))})
	draw := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "draw") }
	var made []*span.Opened
	for range rapid.IntRange(0, 160).Draw(t, "entries") {
		by := f.people[draw(len(f.people))]
		f.now = f.now.Add(time.Duration(draw(8)) * time.Second)
		switch draw(12) {
		case 0: // seldom: it ends a run
			if draw(4) > 0 {
				continue
			}
			f.member(f.owner, by, []string{span.ActionGrant, span.ActionWithdraw}[draw(2)], "boss")
		case 1, 2: // a vote, asked for or not
			if len(made) == 0 {
				continue
			}
			e := made[max(0, len(made)-1-draw(3))]
			payload, err := span.Canonical(span.Approval{Span: e.Span.ID, HeaderHash: e.Span.Hash().String(), Vote: []string{span.VoteApprove, span.VoteReject}[draw(2)]})
			require.NoError(t, err)
			f.seal(by, span.TypeApproval, payload)
		case 3:
			f.seal(by, "order.closed", []byte(`{"id":"a"}`))
		case 4, 5, 6:
			f.seal(by, "order.paid", fmt.Appendf(nil, `{"before":"%c","id":"%c"}`, 'a'+draw(3), 'a'+draw(9)))
		case 7:
			f.seal(by, "note.taken", []byte(`{}`))
		default:
			e := f.seal(by, "order.made", fmt.Appendf(nil, `{"amount":%d,"id":"%c"}`, 1+draw(30), 'a'+draw(9)))
			made = append(made, e)
		}
		last := f.list[len(f.list)-1]
		last.Span.Subject = fmt.Sprint("s/", draw(3))
		if span.Redactable(last.Span.Type) && draw(10) == 0 {
			last.Payload, last.Withheld = nil, span.WithheldRedacted
		}
		if draw(3) > 0 {
			last.Span.OccurredAt = span.FormatTime(f.now.Add(time.Duration(draw(20)-10) * time.Second))
		}
	}
	return f
}

func rowsOf(b *Backtest) map[string]string {
	rows, _ := b.rows.Range(context.Background(), "", "", math.MaxInt) // it never fails
	out := map[string]string{}
	for _, r := range rows {
		out[r.Key] = string(r.Value)
	}
	return out
}

// staged adds entries as a crew does, on one goroutine: so many blocks wait for their turn
// when the next one is made.
func (b *Backtest) staged(entries []*span.Opened, ahead int) error {
	ctx := context.Background()
	b.news = newNews()
	var made []*block
	takeIn := func(leave int) error {
		for ; len(made) > leave; made = made[1:] {
			if err := b.takeIn(ctx, made[0]); err != nil {
				return err
			}
		}
		return nil
	}
	for number, now := 0, b.now; len(entries) > 0; number++ {
		k := &block{number: number, since: b.version, guesses: make([]guess, 0, blockSize)}
		for len(entries) > 0 && len(k.entries) < blockSize && !b.stands(entries[0]) {
			now, _ = b.advanced(now, entries[0])
			k.add(entries[0], standing.Position{Seq: firstSeq(entries[0]), RecordedAt: at(now, entries[0])})
			entries = entries[1:]
		}
		k.guess(ctx, newWitness(b))
		made = append(made, k)
		if err := takeIn(ahead); err != nil {
			return err
		}
		if len(entries) == 0 || !b.stands(entries[0]) {
			continue
		}
		if err := takeIn(0); err != nil {
			return err
		}
		if err := b.Add(ctx, entries[0]); err != nil {
			return err
		}
		now, entries = b.now, entries[1:]
	}
	return takeIn(0)
}

// The report and the state are the same bytes whether entries are decided one after the other or
// together, on however many processors, in whatever pages they come.
func TestTogetherIsAsOneAfterTheOther(t *testing.T) {
	t.Parallel()
	c := compiled(t, meeting)
	agreed := map[string]int{}
	rapid.Check(t, func(r *rapid.T) {
		f := random(r, t)
		o := Options{Clock: rapid.SampledFrom([]Clock{Recorded, Span}).Draw(r, "clock"), Keep: 1000}
		single, err := New([]*contract.Contract{c}, o)
		require.NoError(r, err)
		for _, e := range f.list {
			require.NoError(r, single.Add(context.Background(), e))
		}
		want, err := json.Marshal(single.Report())
		require.NoError(r, err)
		o.Workers = rapid.IntRange(1, 5).Draw(r, "workers")
		together, err := New([]*contract.Contract{c}, o)
		require.NoError(r, err)
		var sizes []int
		for left := len(f.list); left > 0; left -= sizes[len(sizes)-1] {
			sizes = append(sizes, rapid.IntRange(1, left).Draw(r, "page"))
		}
		require.NoError(r, together.Run(context.Background(), func(yield func([]*span.Opened, error) bool) {
			rest := f.list
			for _, n := range sizes {
				if !yield(rest[:n], nil) {
					return
				}
				rest = rest[n:]
			}
		}, nil))
		agreed["held"] += together.held
		staged, err := New([]*contract.Contract{c}, o)
		require.NoError(r, err)
		require.NoError(r, staged.staged(f.list, rapid.IntRange(0, 5).Draw(r, "ahead")))
		agreed["held ahead"] += staged.held
		later, err := json.Marshal(staged.Report())
		require.NoError(r, err)
		require.Equal(r, string(want), string(later))
		require.Equal(r, rowsOf(single), rowsOf(staged))
		got, err := json.Marshal(together.Report())
		require.NoError(r, err)
		require.Equal(r, string(want), string(got))
		require.Equal(r, rowsOf(single), rowsOf(together))
		for name, n := range single.Report().Outcomes {
			agreed[name] += n
		}
		agreed["fired"] += single.Report().Fired
		agreed["unasked"] += single.Report().Unasked
	})
	for _, name := range []string{"allow", "pending", "reject", "fired", "unasked", "held", "held ahead"} {
		require.NotZero(t, agreed[name], "%s: the histories say nothing of it", name)
	}
}

// What a block saw of an entry is nothing to go by once the entry was decided
// otherwise, and what entries of several blocks change together adds up.
func TestBlocksThatMeet(t *testing.T) {
	t.Parallel()
	const source = `contract chain version "1.0.0" {
  rule no { on: "order.made"  when: state("order", data.before) == "made"  then { reject "the one before is made" } }
  rule counted { on: "order.made"  when: has(data.many) and spans("order.made").count() > 9.0  then { tag "many" } }
  workflow order {
    key: data.id
    initial: open
    state open
    state made
    state paid
    transition open -> made on "order.made"
    transition made -> paid on "order.paid"
  }
}`
	h := newHistory(t)
	made := func(id, before string) { h.add("order.made", ana, map[string]any{"id": id, "before": before}) }
	made("b", "none")
	for i := range blockSize - 1 {
		made(fmt.Sprint("n", i), "none")
	}
	made("c", "b") // refused, which its block does not see
	h.add("order.paid", ana, map[string]any{"id": "c"})
	for i := range 2 * blockSize {
		made(fmt.Sprint("m", i), "none")
	}
	fresh := func(workers int) *Backtest {
		b, err := New([]*contract.Contract{compiled(t, source)}, Options{Keep: 10, Workers: workers})
		require.NoError(t, err)
		return b
	}
	single, together := fresh(1), fresh(2)
	require.NoError(t, single.Run(t.Context(), pagesOf(h.list, 1000, nil), nil))
	require.NoError(t, together.staged(h.list, 1))
	require.Equal(t, single.Report(), together.Report())
	require.Equal(t, rowsOf(single), rowsOf(together))
	require.Equal(t, 2, together.Report().Outcomes["reject"])
	require.NotZero(t, together.held)
}

// News are what changed after it was read, as long as somebody may ask.
func TestNews(t *testing.T) {
	t.Parallel()
	n := newNews()
	key := func(i int) string { return fmt.Sprintf("k/%04d", i) }
	const all = 2 * mostNews
	for i := 1; i <= all; i++ {
		n.add(change{key(i), i, i % 3})
	}
	n.add(change{key(1), all + 1, outside}) // once more
	for _, since := range []int{0, 1, all / 2, all} {
		n.forget(since)
		require.Len(t, n.list, all+1-since)
		for i := since + 1; i <= all; i += 7 {
			by := i % 3
			for _, r := range []stretch{{key(i), key(i), i - 1}, {key(i), key(i) + "/", i - 1}} {
				if i > 1 { // that one has changed again
					require.False(t, n.touches(r, by), "as it foresaw")
				}
				require.True(t, n.touches(r, by+1))
				r.version = all + 1
				require.False(t, n.touches(r, by+1), "it has seen that")
			}
		}
		require.True(t, n.touches(stretch{key(1), key(1), since}, 1))
		require.False(t, n.touches(stretch{"k/", "k/0", since}, 1))
	}
	n.forget(all + 1)
	require.Len(t, n.last, 1, "so few are kept as they are")
}

// Decisions made ahead hold where nothing ties entries to each other.
func TestDecidesAhead(t *testing.T) {
	t.Parallel()
	f := newFounded(t)
	for i := range 1000 {
		f.seal(f.people[0], "order.made", fmt.Appendf(nil, `{"amount":1,"id":"%d"}`, i))
	}
	b, err := New([]*contract.Contract{compiled(t, `contract alone version "1.0.0" {
  rule small { on: "order.made"  when: data.amount > 100.0 and state("order", data.id) == "open"  then { reject "large" } }
  workflow order {
    key: data.id
    initial: open
    state open
    state made
    transition open -> made on "order.made"
  }
}`)}, Options{Workers: 2})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context(), pagesOf(f.list, 200, nil), nil))
	require.Equal(t, 1000, b.held)
}

// A span that waits is settled as itself, though others were decided ahead in the
// room where it was.
func TestWhatWaitsIsKept(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i := range 300 { // more than there is room for
		h.add("order.made", ana, map[string]any{"id": fmt.Sprint(i)})
		h.now = h.now.Add(10 * time.Minute)
	}
	b, err := New([]*contract.Contract{compiled(t, approvals)}, Options{Workers: 2})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context(), pagesOf(h.list, 10, nil), nil))
	require.Equal(t, h.again(approvals, Options{}).Settled, b.Report().Settled)
	require.Equal(t, map[string]int{"expired": 294}, b.Report().Settled)
}

// Of spans that nothing asks for again few are kept.
func TestSpansAreForgotten(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i := range 3 * leastSpans {
		h.add("order.made", ana, map[string]any{"id": fmt.Sprint(i % 10), "amount": 1})
		h.add("order.paid", ana, map[string]any{"id": fmt.Sprint(i % 10)})
	}
	b, err := New([]*contract.Contract{compiled(t, `contract often version "1.0.0" {
  rule later { on: "order.paid"  then { schedule task "thank" { after: 20s  then { tag "thanked" } } } }
  retain "order.made" 5s
}`)}, Options{})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context(), pagesOf(h.list, 100, nil), nil))
	require.Equal(t, 2*3*leastSpans-12, b.Report().Fired)
	require.Less(t, len(b.spans), leastSpans)
}

// What waits for votes is kept, however much that is.
func TestSpansThatWaitAreKept(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for range 3 * leastSpans {
		h.add("order.made", ana, map[string]any{})
	}
	b, err := New([]*contract.Contract{compiled(t, strings.Replace(approvals, `within: 1h  on_timeout { reject "nobody said yes" }`, "", 1))}, Options{})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context(), pagesOf(h.list, 100, nil), nil))
	require.Equal(t, 3*leastSpans, b.Report().Waiting)
	for id := range b.waiting {
		require.Contains(t, b.spans, id)
	}
}

func pagesOf(list []*span.Opened, n int, end error) iter.Seq2[[]*span.Opened, error] {
	return func(yield func([]*span.Opened, error) bool) {
		for ; len(list) > 0; list = list[min(n, len(list)):] {
			if !yield(list[:min(n, len(list))], nil) {
				return
			}
		}
		if end != nil {
			yield(nil, end)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i := range 600 {
		h.add("order.made", ana, map[string]any{"id": fmt.Sprint(i), "amount": i})
	}
	fresh := func() *Backtest {
		b, err := New([]*contract.Contract{compiled(t, orders)}, Options{})
		require.NoError(t, err)
		return b
	}
	var told []uint64
	b := fresh()
	require.NoError(t, b.Run(t.Context(), pagesOf(h.list, 40, nil), func(done uint64) { told = append(told, done) }))
	require.NotEmpty(t, told)
	require.EqualValues(t, 600, told[len(told)-1])
	require.IsIncreasing(t, told)
	require.Equal(t, 600, b.Report().Decided)

	broken := errors.New("broken")
	require.ErrorIs(t, fresh().Run(t.Context(), pagesOf(h.list, 40, broken), nil), broken)
	require.Equal(t, "entries_missing", fault.CodeOf(fresh().Run(t.Context(), pagesOf(h.list[1:], 40, nil), nil)))

	ctx, cancel := context.WithCancel(t.Context())
	b = fresh()
	require.ErrorIs(t, b.Run(ctx, pagesOf(h.list, 10, nil), func(uint64) { cancel() }), context.Canceled)
	require.Less(t, b.Report().Entries, 600, "it ends soon")
}

// An entry that changes keys or roles is decided by itself, and counts as the others
// do, also where it is the last one.
func TestRunTellsOfTheLastEntry(t *testing.T) {
	t.Parallel()
	f := newFounded(t)
	for i := range 20 {
		f.add("order.made", f.owner.ID(), map[string]any{"id": fmt.Sprint(i), "amount": i})
	}
	f.grant(f.owner, f.people[0], span.RoleAdmin)
	b, err := New([]*contract.Contract{compiled(t, orders)}, Options{Workers: 2})
	require.NoError(t, err)
	var told uint64
	require.NoError(t, b.Run(t.Context(), pagesOf(f.list, 7, nil), func(done uint64) { told = done }))
	require.EqualValues(t, len(f.list), told)
}

// A panic while others decide ahead ends the backtest, and nothing else.
func TestPanicsEndTheBacktest(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i := range 100 {
		h.add("order.made", ana, map[string]any{"id": fmt.Sprint(i)})
	}
	b, err := New([]*contract.Contract{compiled(t, `contract often version "1.0.0" {
  rule later { on: "order.made"  then { schedule task "thank" { cron: "0 9 * * *"  then { tag "thanked" } } } }
}`)}, Options{Workers: 3, NextCron: func(string, string, time.Time) (time.Time, error) { panic("out of cron") }})
	require.NoError(t, err)
	err = b.Run(t.Context(), pagesOf(h.list, 10, nil), nil)
	require.Equal(t, "backtest_panicked", fault.CodeOf(err))
	require.ErrorContains(t, err, "out of cron")
}
