package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/cron"
	"github.com/danvoulez/logline/internal/rules/replay"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// shop has everything that leaves something on the record.
const shop = `contract shop version "1.0.0" {
  params { limit: 100 }
  role boss
  trust { range: [-10.0, 10.0]  add "order.*" 0.5 }
  rule small { on: "order.made"  priority: 10  when: data.amount > 5000  then { reject "${data.amount} is more than this shop sells" } }
  rule often { on: "order.*"  when: spans("order.*").by(actor.id).within(1h).count() >= 2.0  then { tag "often"  note "${actor.handle} comes often" } }
  rule much { on: "order.made"  when: spans("order.made").sum("amount") + data.amount > params.limit
    then { require approval { from: [boss]  count: 1  within: 2h  on_timeout { reject "nobody answered" } }  annotate { risk: data.amount > 1000 ? "high" : "some" } }
    else { emit "order.noted" { data: { id: data.id } } } }
  rule eats { on: "order.made"  then { consume quota "orders" { limit: 100  per: 1d  key: actor.id } } }
  rule later { on: "order.paid"  then { schedule task "thank" { after: 30m  then { trust actor { add: 1.0  because: "paid ${data.id}" } } } } }
  retain "note.*" 3h
  schedule decay { every: 2h  foreach: identities  where: it.trust > 0.0  then { trust it { add: -0.5 } } }
  schedule nightly { cron: "0 0 * * *"  timezone: "Europe/Lisbon"  then { emit "day.closed" { data: { at: string(now) } } } }
  workflow order {
    key: data.id
    initial: open
    state open
    state made { after 5h -> forgotten }
    state paid { final: true }
    state forgotten { final: true }
    transition open -> made on "order.made"
    transition made -> paid on "order.paid" { then { trust actor { add: 0.25 } } }
  }
}`

// sold is a world in which much was sold, and the first order was erased at last.
func sold(t *testing.T, s setup) *world {
	w := newWorld(t, s)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	defer func() { stop(); require.NoError(t, <-ended) }()
	ana, rui := w.member(span.RoleMember), w.member("boss", span.RoleMember)
	require.NoError(t, w.activate(shop).Err)
	send := func(raw []byte) []byte { w.submit(raw); return raw }
	made := func(id string, amount int) []byte {
		return send(w.seal(ana, fmt.Appendf(nil, `{"amount":%d,"id":%q}`, amount, id), typed("order.made")))
	}
	paid := func(id string) { send(w.seal(ana, fmt.Appendf(nil, `{"id":%q}`, id), typed("order.paid"))) }
	send(w.seal(ana, []byte(`{"text":"private"}`), typed("note.taken")))
	for _, action := range []string{"pause", "resume"} {
		_, err := w.ChangeSchedule(ctx, w.tenant.ID, "shop/nightly", action, w.owner.ID())
		require.NoError(t, err)
	}
	first := made("a", 10)
	made("b", 20)
	paid("a")
	large := made("c", 2000)
	send(w.vote(rui, large, span.VoteApprove))
	refused := made("d", 6000)
	require.NotEmpty(t, refused)
	silent := made("e", 900)
	lost := made("f", 400)
	send(w.vote(rui, lost, span.VoteReject))
	w.clock.advance(40 * time.Minute)
	settled(t, w)
	w.clock.advance(3 * time.Hour)
	require.Eventually(t, func() bool { return w.status(silent) == timeline.StatusRejected }, 30*time.Second, 10*time.Millisecond)
	settled(t, w)
	made("g", 1)
	w.clock.advance(6 * time.Hour)
	settled(t, w)
	paid("b")
	made("h", 2)
	for _, action := range []string{rules.SchedulePause, rules.ScheduleRun, rules.ScheduleResume} {
		_, err := w.ChangeSchedule(ctx, w.tenant.ID, "shop/decay", action, w.owner.ID())
		require.NoError(t, err)
	}
	settled(t, w)
	sp := spanOf(t, first)
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: sp.ID, HeaderHash: sp.Hash().String()}}, Reason: "asked"})
	require.NoError(t, err)
	require.NoError(t, w.submit(w.seal(w.owner, payload, typed(span.TypeRedaction))).Err)
	w.verify()
	return w
}

// replayed decides a world's timeline again.
func (w *world) replayed(o replay.Options) *replay.Report {
	w.t.Helper()
	o.Keep, o.NextCron, o.CronBetween = 1000, cron.NextIn, cron.BetweenIn
	r, err := replay.New(o)
	require.NoError(w.t, err)
	ctx := context.Background()
	require.NoError(w.t, r.Run(ctx, w.log.Opened(ctx, w.tenant.ID, 0, w.size(), standing.Everything()), nil))
	return r.Report()
}

func compiled(t *testing.T, source string) []*contract.Contract {
	c, err := rules.Compile(source)
	require.NoError(t, err)
	return []*contract.Contract{c}
}

func text(t *testing.T, v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	require.NoError(t, err)
	return string(b)
}

// What a node has decided comes out again byte for byte, in every mode.
func TestReplayOfARecordIsTheRecord(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		w := sold(t, s)
		all, err := replay.ParseSelection([]string{"**"})
		require.NoError(t, err)
		for _, o := range []replay.Options{{}, {From: 12}, {Mode: replay.Full}, {Mode: replay.Full, From: 14}, {Mode: replay.Selective, Select: all}} {
			r := w.replayed(o)
			require.Empty(t, r.Differences, text(t, r))
			require.Empty(t, r.Extra, text(t, r))
			require.Equal(t, r.Entries, r.Decided+r.Attempts+r.UndecidedCount, text(t, r))
			require.Equal(t, int(w.size()-o.From), r.Entries)
			if o.From == 0 {
				require.Equal(t, 2, r.Attempts, "one that was too large, one of an order that was forgotten")
				require.Positive(t, r.Named, "of a directory nothing is recorded")
				require.Len(t, r.Undecided, 2, "the note whose time was over, and the order")
				require.Equal(t, "note.taken", r.Undecided[0].Type)
				require.Equal(t, "order.made", r.Undecided[1].Type)
				require.Equal(t, span.WithheldRedacted, r.Undecided[1].Why)
			}
		}
	})
}

func TestReplayFindsWhatIsOtherwise(t *testing.T) {
	t.Parallel()
	w := sold(t, setup{})
	t.Run("by another contract", func(t *testing.T) { replayedByAnother(t, w) })
	t.Run("than was decided", func(t *testing.T) { replayedLies(t, w) })
}

// Another text in the place of the one in force: what would be otherwise.
func replayedByAnother(t *testing.T, w *world) {
	stricter := strings.Replace(strings.Replace(shop, "data.amount > 5000", "data.amount > 1500", 1), `version "1.0.0"`, `version "1.0.1"`, 1)
	same := w.replayed(replay.Options{Contracts: compiled(t, strings.Replace(shop, `version "1.0.0"`, `version "1.0.1"`, 1))})
	require.Empty(t, same.Differences, text(t, same))
	require.False(t, same.Differs())
	for _, mode := range []replay.Mode{replay.Validate, replay.Full} {
		r := w.replayed(replay.Options{Mode: mode, Contracts: compiled(t, stricter)})
		require.True(t, r.Differs())
		first := r.Differences[0]
		require.Equal(t, "order.made", first.Type)
		require.Equal(t, "pending", first.Was)
		require.Equal(t, "reject", first.Now)
		require.Equal(t, "2000 is more than this shop sells", first.Reason)
		if mode == replay.Validate {
			require.Len(t, r.Differences, 1, text(t, r))
		} else {
			// Nobody asked for the vote on it, nothing is settled, and the sum is
			// smaller: the orders after it need no vote.
			require.Greater(t, len(r.Differences), 2, text(t, r))
		}
	}
}

// altered changes entries while they are read.
func (w *world) altered(change func(e *span.Opened)) iter.Seq2[[]*span.Opened, error] {
	return func(yield func([]*span.Opened, error) bool) {
		for page, err := range w.log.Opened(context.Background(), w.tenant.ID, 0, w.size(), standing.Everything()) {
			for _, e := range page {
				change(e)
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// A decision that is not what the contracts say is found, whichever it is.
func replayedLies(t *testing.T, w *world) {
	lies := map[string]func(d *span.Decision) bool{
		"tags": func(d *span.Decision) bool { was := len(d.Tags); d.Tags = nil; return was > 0 },
		"rules": func(d *span.Decision) bool {
			was := len(d.Rules)
			d.Rules = append(d.Rules[:0:0], "shop/much")
			return was > 1
		},
		"effects.quotas": swap(`"used":2`, `"used":1`),
		"effects.trust":  swap(`"score":1`, `"score":9`),
		"values": func(d *span.Decision) bool {
			was := len(d.Values)
			d.Values = nil
			return was > 0 && d.Outcome == span.OutcomeAllow
		},
	}
	for what, lie := range lies {
		seq := uint64(0)
		r, err := replay.New(replay.Options{Keep: 1000, NextCron: cron.NextIn})
		require.NoError(t, err)
		require.NoError(t, r.Run(t.Context(), w.altered(func(e *span.Opened) {
			d := e.Decision
			if seq == 0 && e.Payload != nil && e.Span.Author != w.node.ID() && lie(&d) {
				seq, e.Decision = e.Seq, d
			}
		}), nil))
		require.NotZero(t, seq, what)
		report := r.Report()
		require.NotEmpty(t, report.Differences, what)
		require.Equal(t, seq, report.Differences[0].Seq, what)
		require.Equal(t, what, report.Differences[0].Changes[0].What)
	}
}

func swap(old, other string) func(d *span.Decision) bool {
	return func(d *span.Decision) bool {
		was := string(d.Effects)
		d.Effects = []byte(strings.Replace(was, old, other, 1))
		return string(d.Effects) != was
	}
}
