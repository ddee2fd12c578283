package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"github.com/danvoulez/logline/client/openapi"
)

// FeedNow, as FeedOptions.From, is the end of the timeline.
const FeedNow = ^uint64(0)

// Types of feed events. Others may come and mean nothing here.
const (
	FeedHello      = "hello"      // first, and again after each reconnection; Next, Size
	FeedEntry      = "entry"      // Seq, Entry, Status
	FeedGap        = "gap"        // From, To: left out by filter or because the caller may not see them
	FeedCheckpoint = "checkpoint" // Note: the signed checkpoint of everything before Next
	FeedHeartbeat  = "heartbeat"  // nothing new
	FeedTask       = "task"       // Task: how a task stands that has changed
	FeedTasks      = "tasks"      // changes of tasks are shown from here on, again after each reconnection; Missed
)

// Close codes of a feed (PROTOCOL §8).
const (
	feedMessage    = 4000
	feedCredential = 4001
	feedForbidden  = 4003
	feedBehind     = 4008
)

const (
	feedFirstWait = 100 * time.Millisecond
	feedMaxWait   = 10 * time.Second
	feedHandshake = 30 * time.Second
	feedSlack     = 15 * time.Second // beyond three heartbeats, before a silent connection counts as lost
	feedMessages  = 256 << 20        // bytes of one message
)

// FeedEvent is one message of a feed.
type FeedEvent struct {
	Type     string
	Seq      uint64          // of the entry
	Entry    json.RawMessage // as the node sent it
	Status   string          // effective status of the entry when it was sent
	From, To uint64          // of the gap: From <= seq < To
	Note     string
	Size     uint64 // entries there were when the feed began
	Next     uint64 // every entry before this one was told; resume from here
	Task     *Task
	Missed   bool // changes of tasks were left out: list them
}

// FeedNotice tells of a connection that was lost, or (Err nil) of one that goes on.
type FeedNotice struct {
	Err  error         // why the connection ended, or the attempt failed
	Wait time.Duration // until the next attempt
	Next uint64        // where the feed resumes
}

// FeedOptions are what to follow and how.
type FeedOptions struct {
	From   uint64 // first seq, or FeedNow
	Filter Filter // Descending, Limit and Cursor are not looked at
	// Tasks, when set, shows changes of tasks too, to whoever may see tasks. What
	// changes while the connection is lost is not shown later.
	Tasks *TaskWatch
	// Notice, when set, is called between events, by whoever ranges.
	Notice func(FeedNotice)
	// MaxWait bounds the wait between attempts to reconnect; 0 is 10 s.
	MaxWait time.Duration
}

// TaskWatch says which changes of tasks to show; what is empty asks nothing.
type TaskWatch struct {
	States []string `json:"states,omitempty"`
	Kinds  []string `json:"kinds,omitempty"`
	Queues []string `json:"queues,omitempty"`
	Tasks  []string `json:"tasks,omitempty"` // ids
}

// Follow gives the entries of a timeline as they are committed, without end,
// and gaps for those left out. A connection that is lost is opened again, with
// waits that grow, and resumes where it was: every seq from the first on is told
// once, in order, in an entry or a gap, or Follow goes back for it. It ends with
// an error: ctx's, one of the first connection, or one that trying again cannot
// mend, such as a *Problem.
func (c *Client) Follow(ctx context.Context, tenant string, o FeedOptions) iter.Seq2[FeedEvent, error] {
	return func(yield func(FeedEvent, error) bool) {
		f := &follower{client: c, tenant: tenant, options: o, next: o.From}
		for {
			err := f.connection(ctx, yield)
			if err == nil {
				return // whoever ranges has enough
			}
			if ctx.Err() != nil {
				yield(FeedEvent{}, ctx.Err())
				return
			}
			if !f.again(err) {
				yield(FeedEvent{}, err)
				return
			}
			if err := f.pause(ctx, err); err != nil {
				yield(FeedEvent{}, err)
				return
			}
		}
	}
}

// follower is one Follow.
type follower struct {
	client   *Client
	tenant   string
	options  FeedOptions
	next     uint64 // everything before was told; FeedNow before the first hello
	tenantID string // as the first hello said
	begun    bool   // it was connected once
	failed   int    // attempts in a row that brought nothing
	broken   int    // times in a row that the feed was not in order, without getting further
	noticed  bool   // a loss was told, so its end is told too
}

// connection opens the feed and reads it until it ends. nil means that yield
// wants no more.
func (f *follower) connection(ctx context.Context, yield func(FeedEvent, error) bool) error {
	conn, err := f.client.dialFeed(ctx, f.tenant, f.next, f.options.Filter)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	silence := feedHandshake
	for {
		_ = conn.SetReadDeadline(time.Now().Add(silence))
		_, raw, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		var m feedMessageIn
		if err := errors.Join(strictly(raw), json.Unmarshal(raw, &m)); err != nil {
			return badAnswer(CodeFeedBad, err, "the feed sent what is no message, where entry %d was due", f.next)
		}
		e, err := f.take(&m)
		if err != nil {
			return err
		}
		if m.Type == FeedHello {
			silence = 3*time.Duration(m.Heartbeat*float64(time.Second)) + feedSlack
			f.greeted()
			if err := f.watchTasks(conn); err != nil {
				return err
			}
		} else {
			f.failed = 0
		}
		if e.Type != "" && !yield(e, nil) {
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
			return nil
		}
	}
}

// watchTasks asks for changes of tasks.
func (f *follower) watchTasks(conn *websocket.Conn) error {
	if f.options.Tasks == nil {
		return nil
	}
	_ = conn.SetWriteDeadline(time.Now().Add(feedHandshake))
	return conn.WriteJSON(struct {
		Type string `json:"type"`
		*TaskWatch
	}{FeedTasks, f.options.Tasks})
}

// feedMessageIn is any message of the server.
type feedMessageIn struct {
	Type      string          `json:"type"`
	Tenant    string          `json:"tenant"`
	Next      uint64          `json:"next"`
	Size      uint64          `json:"size"`
	Heartbeat float64         `json:"heartbeat_seconds"`
	From      uint64          `json:"from"`
	To        uint64          `json:"to"`
	Entry     json.RawMessage `json:"entry"`
	Status    string          `json:"status"`
	Note      string          `json:"note"`
	Task      *Task           `json:"task"`
	Missed    bool            `json:"missed"`
}

// take holds a message against what was told before it. An empty event is one
// of a type that is not known.
func (f *follower) take(m *feedMessageIn) (FeedEvent, error) {
	e := FeedEvent{Type: m.Type, Size: m.Size}
	at := f.next
	switch m.Type {
	case FeedHello:
		if f.tenantID == "" {
			f.tenantID = m.Tenant
		}
		if m.Tenant != f.tenantID {
			return e, badAnswer(CodeOtherFeed, nil, "the feed goes on with tenant %s, not with %s", m.Tenant, f.tenantID)
		}
		if f.next == FeedNow {
			at, f.next = m.Next, m.Next
		}
		if m.Next != at {
			return e, outOfOrder("it begins at %d instead of %d", m.Next, at)
		}
	case FeedEntry:
		var entry struct {
			Seq *uint64 `json:"seq"`
		}
		if err := json.Unmarshal(m.Entry, &entry); err != nil || entry.Seq == nil || *entry.Seq != at {
			return e, outOfOrder("something else came where entry %d was due", at)
		}
		e.Seq, e.Entry, e.Status = at, m.Entry, m.Status
		f.next, f.broken = at+1, 0
	case FeedGap:
		if m.From != at || m.To <= m.From {
			return e, outOfOrder("a gap from %d to %d came where entry %d was due", m.From, m.To, at)
		}
		e.From, e.To = m.From, m.To
		f.next, f.broken = m.To, 0
	case FeedHeartbeat:
		if m.Next != at {
			return e, outOfOrder("it is at %d, but told of everything before %d alone", m.Next, at)
		}
	case FeedCheckpoint:
		e.Note = m.Note
	case FeedTask:
		if m.Task == nil {
			return FeedEvent{}, nil
		}
		e.Task = m.Task
	case FeedTasks:
		e.Missed = m.Missed
	default:
		return FeedEvent{}, nil
	}
	e.Next = f.next
	return e, nil
}

// brokenFeed is a feed that left something out or told something twice; going
// back to where it was right brings it in order, or shows that it stays so.
type brokenFeed struct{ BadAnswer }

func outOfOrder(format string, args ...any) error {
	return &brokenFeed{BadAnswer{Code: CodeDisorder, Detail: "the feed is not in order: " + fmt.Sprintf(format, args...)}}
}

func (b *brokenFeed) Unwrap() error { return &b.BadAnswer }

// greeted notes that the connection stands.
func (f *follower) greeted() {
	f.begun = true
	if f.noticed && f.options.Notice != nil {
		f.options.Notice(FeedNotice{Next: f.next})
	}
	f.noticed = false
}

// maxBroken is how often in a row a feed may be out of order before Follow
// gives up on the node.
const maxBroken = 3

// again says whether connecting again can help.
func (f *follower) again(err error) bool {
	var broken *brokenFeed
	var problem *Problem
	var closed *websocket.CloseError
	var bad *BadAnswer
	switch {
	case !f.begun:
		return false
	case errors.As(err, &broken):
		f.broken++
		return f.broken < maxBroken
	case errors.As(err, &bad):
		return bad.Lost()
	case errors.As(err, &problem):
		return problem.Status >= http.StatusInternalServerError || problem.Status == http.StatusTooManyRequests
	case errors.As(err, &closed):
		return closed.Code != feedMessage && closed.Code != feedForbidden
	}
	return true
}

// pause waits before the next attempt. A credential that ended, and a reader
// that was too slow, are no trouble: the first time goes on at once.
func (f *follower) pause(ctx context.Context, err error) error {
	var closed *websocket.CloseError
	expected := errors.As(err, &closed) && (closed.Code == feedCredential || closed.Code == feedBehind) && f.failed == 0
	f.failed++
	if expected {
		return nil
	}
	most := f.options.MaxWait
	if most <= 0 {
		most = feedMaxWait
	}
	wait := min(feedFirstWait<<min(f.failed-1, 10), most)
	wait = wait/2 + rand.N(wait/2+1) // so that many do not come back at once
	var problem *Problem
	if errors.As(err, &problem) {
		wait = max(wait, min(problem.RetryAfter, most))
	}
	f.noticed = true
	if f.options.Notice != nil {
		f.options.Notice(FeedNotice{Err: err, Wait: wait, Next: f.next})
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dialFeed opens a feed with a fresh credential; a refusal is a *Problem.
func (c *Client) dialFeed(ctx context.Context, tenant string, from uint64, filter Filter) (*websocket.Conn, error) {
	start := "now"
	if from != FeedNow {
		start = strconv.FormatUint(from, 10)
	}
	req, err := openapi.NewFeedRequest(c.api.Server, tenant, &openapi.FeedParams{
		From: &start, Type: filter.Types, Author: optional(filter.Author), Subject: optional(filter.Subject), Tag: optional(filter.Tag),
		Status: optional(openapi.Status(filter.Status)), Since: optional(filter.Since), Until: optional(filter.Until),
		Cause: optional(filter.Cause), Q: optional(filter.Q),
	})
	if err != nil {
		return nil, err
	}
	c.token.renew() // the feed ends with its token
	if err := c.edit(ctx, req); err != nil {
		return nil, err
	}
	address := req.URL.String()
	req.URL.Scheme = map[string]string{"http": "ws", "https": "wss"}[req.URL.Scheme]
	dialer := websocket.Dialer{Subprotocols: []string{"logline.v1"}, HandshakeTimeout: feedHandshake, Proxy: http.ProxyFromEnvironment}
	if t, ok := c.http.Transport.(*http.Transport); ok {
		dialer.Proxy, dialer.NetDialContext, dialer.NetDialTLSContext, dialer.TLSClientConfig = t.Proxy, t.DialContext, t.DialTLSContext, t.TLSClientConfig
	}
	conn, resp, err := dialer.DialContext(ctx, req.URL.String(), req.Header)
	if err != nil {
		if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			return nil, problemOf(resp)
		}
		return nil, &url.Error{Op: "Get", URL: address, Err: err}
	}
	conn.SetReadLimit(feedMessages)
	return conn, nil
}
