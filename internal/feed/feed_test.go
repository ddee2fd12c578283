package feed_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

func TestFromTheBeginningAndOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.notes(700) // several pages
	old := w.size()
	l := w.listen(w.hub(feed.Config{}), 0, timeline.Query{})
	hello := l.next()
	require.Equal(t, feed.TypeHello, hello.Type)
	require.Equal(t, w.tenant, hello.Tenant)
	require.Zero(t, hello.Next)
	require.Equal(t, old, hello.Size)
	require.Equal(t, seqs(0, old), l.shown(0, old))

	check := l.next()
	require.Equal(t, feed.TypeCheckpoint, check.Type)
	note, err := treeNote(check.Note)
	require.NoError(t, err)
	require.Equal(t, old, note.Size)

	w.notes(300)
	require.Equal(t, seqs(old, old+300), l.shown(old, old+300))
	require.Equal(t, old+300, l.Resume())
}

// A resumed subscription begins exactly where the one before ended.
func TestResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.notes(50)
	h := w.hub(feed.Config{})
	at := uint64(0)
	for at < w.size() {
		l := w.listen(h, at, timeline.Query{})
		l.next()
		for range 7 {
			if m := l.next(); m.Type == feed.TypeEntry {
				require.Equal(t, at, m.Entry.Seq)
				at++
			}
			require.Equal(t, at, l.Resume())
		}
		l.Close()
		l.Close()
	}
	_, err := h.Subscribe(t.Context(), feed.Request{Tenant: w.tenant, From: at + 1, Authorize: w.authorize})
	require.Equal(t, "range_invalid", fault.CodeOf(err))
	l := w.listen(h, feed.Now, timeline.Query{})
	require.Equal(t, at, l.next().Next)
}

// Filters leave out the same entries from what is old as from what is new, and
// each of them is told as a gap.
func TestFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hub(feed.Config{})
	begin := w.size()
	causes := ""
	fill := func() {
		for i := range 6 {
			w.append(w.by([]string{"a.one", "a.two.three", "b"}[i%3], fmt.Sprintf(`{"word":"n%d"}`, i), func(h *span.Header) {
				h.Subject = fmt.Sprintf("s%d", i%2)
				if i == 1 {
					h.Tags = []string{"t"}
				}
				if i == 5 {
					h.Causes = []string{causes}
				}
			}))
		}
	}
	causes = w.by("x", "{}", nil).Span.ID
	for name, c := range map[string]struct {
		q    timeline.Query
		want []uint64
	}{
		"types":   {timeline.Query{Types: []string{"a.*", "b"}}, []uint64{0, 2, 3, 5}},
		"all a":   {timeline.Query{Types: []string{"a.**"}}, []uint64{0, 1, 3, 4}},
		"author":  {timeline.Query{Author: w.owner.ID()}, []uint64{0, 1, 2, 3, 4, 5}},
		"nobody":  {timeline.Query{Author: w.node.ID()}, nil},
		"subject": {timeline.Query{Subject: "s1"}, []uint64{1, 3, 5}},
		"tag":     {timeline.Query{Tag: "t"}, []uint64{1}},
		"cause":   {timeline.Query{Cause: causes}, []uint64{5}},
		"words":   {timeline.Query{Q: "N4 a"}, []uint64{4}},
		"status":  {timeline.Query{Status: "pending"}, nil},
		"since":   {timeline.Query{Since: "2030-01-01T00:00:00.000Z"}, nil},
		"both":    {timeline.Query{Subject: "s1", Types: []string{"b"}}, []uint64{5}},
	} {
		at := w.size()
		live := w.listen(h, at, c.q)
		fill()
		var want []uint64
		for _, n := range c.want {
			want = append(want, at+n)
		}
		require.Equal(t, want, live.shown(at, at+6), name)
		live.Close()
		old := w.listen(h, at, c.q)
		require.Equal(t, want, old.shown(at, at+6), "old %s", name)
		old.Close()
	}
	require.Greater(t, w.size(), begin)
	_, err := h.Subscribe(t.Context(), feed.Request{Tenant: w.tenant, Query: timeline.Query{Types: []string{"A"}}, Authorize: w.authorize})
	require.Equal(t, "query_invalid", fault.CodeOf(err))
}

func TestReplaceFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.size()
	l := w.listen(w.hub(feed.Config{}), at, timeline.Query{Types: []string{"a"}})
	l.next()
	w.append(w.by("a", "{}", nil), w.by("b", "{}", nil))
	require.Equal(t, []uint64{at}, l.shown(at, at+2))
	require.Equal(t, feed.TypeCheckpoint, l.next().Type)
	q, err := feed.ParseFilter([]byte(`{"type":"filter","types":["b"]}`))
	require.NoError(t, err)
	set := make(chan bool, 1)
	go func() { set <- l.SetFilter(t.Context(), q) }()
	ack := l.next()
	require.Equal(t, feed.TypeFilter, ack.Type)
	require.Equal(t, at+2, ack.Next)
	require.True(t, <-set)
	w.append(w.by("a", "{}", nil), w.by("b", "{}", nil))
	require.Equal(t, []uint64{at + 3}, l.shown(at+2, at+4))
}

// Heartbeats come in time, say where the subscription stands, and ask again who reads.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		at := w.size()
		h := w.hub(feed.Config{Heartbeat: 15 * time.Second, Poll: time.Second})
		sub, err := h.Subscribe(t.Context(), feed.Request{Tenant: w.tenant, From: at, Authorize: w.authorize})
		require.NoError(t, err)
		defer sub.Close()
		l := listener{sub, t}
		l.next()
		begun, asked := time.Now(), w.asked
		for i := 1; i <= 5; i++ {
			m := l.next()
			require.Equal(t, feed.TypeHeartbeat, m.Type)
			require.Equal(t, at, m.Next)
			require.Equal(t, time.Duration(i)*15*time.Second, time.Since(begun))
		}
		require.Equal(t, asked+6, w.asked, "at the start and with each")
	})
}

// A wake-up that is lost costs one poll.
func TestLostWakeUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		at := w.size()
		h := w.hub(feed.Config{Poll: 2 * time.Second})
		sub, err := h.Subscribe(t.Context(), feed.Request{Tenant: w.tenant, From: at, Authorize: w.authorize})
		require.NoError(t, err)
		defer sub.Close()
		l := listener{sub, t}
		l.next()
		synctest.Wait()
		begun := time.Now()
		w.silent(w.by("quiet", "{}", nil))
		require.Equal(t, at, l.next().Entry.Seq)
		require.LessOrEqual(t, time.Since(begun), 2*time.Second)
	})
}

// Who had everything once and then falls out of what is kept is closed, and
// misses nothing by resuming where it is told to. Whoever keeps up goes on.
func TestTooFarBehind(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]feed.Config{"entries": {Entries: 10}, "bytes": {Bytes: 20_000}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h := w.hub(cfg)
			at := w.size()
			slow, quick := w.listen(h, at, timeline.Query{}), w.listen(h, at, timeline.Query{})
			slow.next()
			w.notes(1)
			require.Equal(t, seqs(at, at+1), slow.shown(at, at+1))
			require.Equal(t, feed.TypeCheckpoint, slow.next().Type)
			require.Equal(t, seqs(at, at+1), quick.shown(at, at+1))
			for i := range uint64(100) {
				w.notes(1)
				require.Equal(t, seqs(at+1+i, at+2+i), quick.shown(at+1+i, at+2+i))
			}
			c := slow.closed()
			require.Equal(t, feed.CodeBehind, c.Code)
			require.Equal(t, at+1, c.Next)
			require.Contains(t, c.Reason(), fmt.Sprintf("from=%d", at+1))
			require.Equal(t, seqs(c.Next, at+101), w.listen(h, c.Next, timeline.Query{}).shown(c.Next, at+101), "it resumes exactly there, from the store")
			w.notes(1)
			require.Equal(t, seqs(at+101, at+102), quick.shown(at+101, at+102))
		})
	}
}

// Rights are those of now: entries after a change of roles go by the new ones.
func TestRightsChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hub(feed.Config{})
	at := w.size()
	l := w.listen(h, at, timeline.Query{})
	l.next()
	organization := func(h *span.Header) { h.Visibility = span.VisibilityOrganization }
	w.append(w.by("a", "{}", organization))
	require.Equal(t, seqs(at, at+1), l.shown(at, at+1))

	w.become(standing.Reader{Public: true}, nil)
	grant := w.canonical(span.Member{Identity: w.node.ID(), Roles: []string{"agent"}, Action: span.ActionGrant})
	w.append(w.by(span.TypeMember, string(grant), nil), w.by("a", "{}", organization), w.by("a", "{}", nil))
	require.Equal(t, []uint64{at + 1, at + 3}, l.shown(at+1, at+4))

	for _, c := range []struct {
		err  error
		code int
	}{
		{fault.New(fault.Unauthenticated, "token_expired", "the token has expired"), feed.CodeCredential},
		{fault.New(fault.NotFound, "tenant_unknown", "there is no such tenant, or none that you may read"), feed.CodeForbidden},
		{errors.New("surprise"), feed.CodeInternal},
	} {
		at = w.size()
		w.become(all, nil)
		l := w.listen(h, at, timeline.Query{})
		l.next()
		w.append(w.by("a", "{}", nil))
		require.Equal(t, seqs(at, at+1), l.shown(at, at+1))
		require.Equal(t, feed.TypeCheckpoint, l.next().Type)
		w.become(all, c.err)
		withdraw := w.canonical(span.Member{Identity: w.node.ID(), Roles: []string{"agent"}, Action: span.ActionWithdraw})
		w.append(w.by(span.TypeMember, string(withdraw), nil), w.by("a", "{}", nil))
		end := l.closed()
		require.Equal(t, c.code, end.Code)
		require.Equal(t, at+1, end.Next, "nothing was sent after the change")
		w.become(all, nil)
		w.append(w.by(span.TypeMember, string(grant), nil))
	}
}

// What is erased while it waits to be sent is not sent.
func TestRedactionReachesWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hub(feed.Config{})
	at := w.size()
	slow, quick := w.listen(h, at, timeline.Query{}), w.listen(h, at, timeline.Query{})
	secret := w.by("secret", `{"pin":"1234"}`, nil)
	w.append(secret)
	require.Equal(t, seqs(at, at+1), quick.shown(at, at+1))
	w.append(w.by(span.TypeRedaction, string(w.erasing(secret)), nil))
	require.Equal(t, seqs(at+1, at+2), quick.shown(at+1, at+2))
	slow.next()
	m := slow.next()
	require.Equal(t, at, m.Entry.Seq)
	require.Equal(t, span.WithheldRedacted, m.Entry.Span.Withheld)
	require.Empty(t, m.Entry.Span.Payload)
}

// Nor is what a slow subscriber has taken up already, from what the process
// keeps or from the store.
func TestRedactionReachesWhatIsReady(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]feed.Config{"kept": {}, "older": {Entries: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			h, at := w.hub(cfg), w.size()
			quick := w.listen(h, at, timeline.Query{})
			secret := w.by("secret", `{"pin":"1234"}`, nil)
			w.append(w.by("first", "{}", nil))
			require.Equal(t, seqs(at, at+1), quick.shown(at, at+1))
			w.append(secret)
			require.Equal(t, seqs(at+1, at+2), quick.shown(at+1, at+2))
			slow := w.listen(h, at, timeline.Query{})
			require.Equal(t, seqs(at, at+1), slow.shown(at, at+1)) // and has the other ready
			header := secret.Span.Header
			erase := w.canonical(span.Redaction{Spans: []span.SpanRef{{Span: header.ID, HeaderHash: header.Hash().String()}}, Reason: "asked"})
			w.append(w.by(span.TypeRedaction, string(erase), nil))
			require.Equal(t, seqs(at+2, at+3), quick.shown(at+2, at+3))
			m := slow.next()
			require.Equal(t, at+1, m.Entry.Seq)
			require.Equal(t, span.WithheldRedacted, m.Entry.Span.Withheld, "what was ready is sent")
			require.Equal(t, seqs(at+2, at+3), slow.shown(at+2, at+3))
		})
	}
}

// What was erased before a subscription began is not told to it, also where the
// follower has not heard of the redaction yet.
func TestRedactionBeforeTheBeginning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hub(feed.Config{Poll: time.Hour})
	first := w.size()
	early := w.listen(h, first, timeline.Query{})
	erased := w.by("note.taken", `{"secret":"xyzzy"}`, nil)
	w.append(erased)
	require.Equal(t, []uint64{first}, early.shown(first, first+1))

	header := erased.Span.Header
	erase := w.canonical(span.Redaction{Spans: []span.SpanRef{{Span: header.ID, HeaderHash: header.Hash().String()}}, Reason: "asked"})
	w.silent(w.by(span.TypeRedaction, string(erase), nil))
	late := w.listen(h, first, timeline.Query{})
	require.Equal(t, feed.TypeHello, late.next().Type)
	m := late.next()
	require.Equal(t, first, m.Entry.Seq)
	require.Empty(t, m.Entry.Span.Payload)
	require.Equal(t, span.WithheldRedacted, m.Entry.Span.Withheld)
}

// The follower is there while somebody listens, and reads each entry once for
// all of them.
func TestOneReaderForAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	counted := &counting{Source: w.log}
	h := feed.New(counted, w.bus, feed.Config{})
	at := w.size()
	var ls []listener
	for range 50 {
		ls = append(ls, w.listen(h, at, timeline.Query{}))
	}
	w.notes(20)
	for _, l := range ls {
		require.Equal(t, seqs(at, at+20), l.shown(at, at+20))
		l.Close()
	}
	require.Equal(t, int64(20), counted.entries.Load())
	require.Zero(t, counted.scans.Load())
}

// While the store cannot be read subscribers wait; then they go on, or end after
// patience.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		flaky := &counting{Source: w.log}
		h := feed.New(flaky, nil, feed.Config{Patience: 10 * time.Second, Heartbeat: 10 * time.Second})
		at := w.size()
		sub, err := h.Subscribe(t.Context(), feed.Request{Tenant: w.tenant, From: at, Authorize: w.authorize})
		require.NoError(t, err)
		defer sub.Close()
		l := listener{sub, t}
		l.next()
		gone := fault.New(fault.Unavailable, "database_unavailable", "the database does not answer")
		flaky.fail.Store(gone)
		w.silent(w.by("a", "{}", nil))
		require.Equal(t, feed.TypeHeartbeat, l.next().Type)
		flaky.fail.Store((*fault.Error)(nil))
		require.Equal(t, at, l.next().Entry.Seq)
		w.become(all, gone)
		c := l.closed()
		require.Equal(t, feed.CodeTryLater, c.Code)
		require.Equal(t, at+1, c.Next)
	})
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.listen(w.hub(feed.Config{}), feed.Now, timeline.Query{})
	l.next()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := l.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, l.SetFilter(ctx, timeline.Query{}))
}

func TestReasonFitsItsFrame(t *testing.T) {
	t.Parallel()
	for _, why := range []string{"", "short", strings.Repeat("x", 500), strings.Repeat("ü", 200), "\xff bad"} {
		c := feed.Closed{Code: 4000, Why: why, Next: 1<<53 - 1}
		require.LessOrEqual(t, len(c.Reason()), 123)
		require.True(t, strings.HasSuffix(c.Reason(), "; resume with from=9007199254740991"))
		require.Equal(t, strings.ToValidUTF8(c.Reason(), ""), c.Reason())
	}
}

// A wake-up is heard at once, not at the next poll.
func TestWakeUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		at := w.size()
		h := w.hub(feed.Config{Poll: time.Hour, Heartbeat: time.Hour})
		sub, err := h.Subscribe(t.Context(), feed.Request{Tenant: w.tenant, From: at, Authorize: w.authorize})
		require.NoError(t, err)
		defer sub.Close()
		l := listener{sub, t}
		l.next()
		synctest.Wait()
		begun := time.Now()
		w.notes(1)
		require.Equal(t, at, l.next().Entry.Seq)
		require.Zero(t, time.Since(begun))
	})
}

// A filter, or other rights, hold at once also for older entries that were read
// already and wait to be sent.
func TestChangesHoldForWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := w.size()
	for range 50 {
		w.append(w.by("a", "{}", nil), w.by("b", "{}", func(h *span.Header) { h.Visibility = span.VisibilityOrganization }))
	}
	end := w.size()
	synctest.Test(t, func(t *testing.T) {
		sub, err := w.hub(feed.Config{}).Subscribe(t.Context(), feed.Request{
			Tenant: w.tenant, From: at, Query: timeline.Query{Types: []string{"a"}}, Authorize: w.authorize})
		require.NoError(t, err)
		defer sub.Close()
		l := listener{sub, t}
		require.Equal(t, []uint64{at, at + 2}, l.shown(at, at+3))
		go l.SetFilter(t.Context(), timeline.Query{Types: []string{"b"}})
		synctest.Wait()
		require.Equal(t, got{Type: feed.TypeFilter, Next: at + 3}, l.next())
		require.Equal(t, []uint64{at + 3, at + 5}, l.shown(at+3, at+6))
	})

	synctest.Test(t, func(t *testing.T) {
		w.become(standing.Reader{Public: true}, nil)
		sub, err := w.hub(feed.Config{}).Subscribe(t.Context(), feed.Request{Tenant: w.tenant, From: at, Authorize: w.authorize})
		require.NoError(t, err)
		defer sub.Close()
		l := listener{sub, t}
		require.Equal(t, []uint64{at, at + 2}, l.shown(at, at+3))
		w.become(all, nil)
		grant := w.canonical(span.Member{Identity: w.node.ID(), Roles: []string{"agent"}, Action: span.ActionGrant})
		w.append(w.by(span.TypeMember, string(grant), nil))
		synctest.Wait()
		require.Equal(t, seqs(at+3, end+1), l.shown(at+3, end+1))
	})
}

// tailing is a log that counts what is read of it.
type tailing struct {
	*timeline.Log
	read atomic.Int64
}

func (l *tailing) Entries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) ([]timeline.Record, uint64, error) {
	records, next, err := l.Log.Entries(ctx, tenant, from, to, r)
	l.read.Add(int64(len(records)))
	return records, next, err
}

// What this process appends is sent without reading it back, and is sent as if
// it had been; what others append is read.
func TestOwnEntriesAreNotReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own, reading := &tailing{Log: w.log}, &counting{Source: w.log}
	at := w.size()
	a := w.listen(feed.New(own, w.bus, feed.Config{Poll: time.Hour}), at, timeline.Query{})
	b := w.listen(feed.New(reading, w.bus, feed.Config{Poll: time.Hour}), at, timeline.Query{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	messages := func(l listener, upTo uint64) (out []string) {
		for {
			m, err := l.Next(ctx)
			require.NoError(t, err)
			out = append(out, string(m.JSON))
			if m.Type == feed.TypeCheckpoint && m.Next == upTo {
				return out
			}
		}
	}
	w.notes(1)
	require.Equal(t, messages(b, at+1), messages(a, at+1))
	before := own.read.Load() // the follower may have begun after the first

	for i := range uint64(20) {
		secret := w.by("secret", `{"pin":"1234"}`, func(h *span.Header) { h.Tags = []string{"a", "b"} })
		w.append(secret, w.by("other", "{}", nil), w.by(span.TypeRedaction, string(w.erasing(secret)), nil))
		size := at + 1 + 3*(i+1)
		got := messages(a, size)
		require.Equal(t, messages(b, size), got)
		require.NotContains(t, strings.Join(got, ""), "1234")
	}
	require.Equal(t, before, own.read.Load())
	require.Equal(t, int64(61), reading.entries.Load())

	other := *w.story
	other.Reopen(w.store, "")
	end := w.size()
	other.Append(w.by("others", "{}", nil))
	w.bus.Publish(bus.Appended{Tenant: w.tenant, Size: end + 1})
	require.Equal(t, messages(b, end+1), messages(a, end+1))
	require.Equal(t, before+1, own.read.Load())
	w.append(w.by("own", "{}", nil))
	require.Equal(t, messages(b, end+2), messages(a, end+2))
	require.Equal(t, before+1, own.read.Load(), "and from there on nothing is read again")
}
