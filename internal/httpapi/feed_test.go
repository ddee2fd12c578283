package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

func TestFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	for i := range 5 {
		w.append(w.note(w.owner, i)).want(t, http.StatusCreated)
	}
	for name, c := range w.both("from=0", w.owner) {
		size := w.size()
		hello := c.next()
		require.Equal(t, "hello", hello.Type, name)
		require.Equal(t, w.tenant.Id, hello.Tenant)
		require.Zero(t, hello.Next)
		require.Equal(t, upTo(0, size), c.seqs(0, size), name)

		w.append(w.note(w.owner, 9)).want(t, http.StatusCreated)
		entries := c.until(size, size+1)
		require.Len(t, entries, 1)
		require.Equal(t, "executed", entries[0].Status)
		require.Contains(t, string(entries[0].Entry), `"payload":{"n":9}`)
		for f := c.next(); ; f = c.next() {
			if f.Type != "checkpoint" {
				continue
			}
			if note := w.get(w.at("/checkpoint"), ""); string(note.body) == f.Note {
				break
			}
		}
		for f := c.next(); f.Type != "heartbeat"; f = c.next() {
		}
		c.stop()
	}
}

func TestFeedResumes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	for i := range 20 {
		w.append(w.note(w.owner, i)).want(t, http.StatusCreated)
	}
	size := w.size()
	first := w.events("from=3", w.token(w.owner))
	require.Equal(t, upTo(3, 10), first.seqs(3, 10))
	first.stop()
	// A browser repeats the address it knows and says what it saw last.
	again := w.events("from=3", w.token(w.owner), "Last-Event-ID", "10")
	require.Equal(t, upTo(10, size), again.seqs(10, size))
	now := w.socket("", w.token(w.owner))
	require.Equal(t, size, now.next().Next, "without from it begins now")
	now = w.socket("from=now", w.token(w.owner))
	require.Equal(t, size, now.next().Next)
}

func TestFeedRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Feeds = 1 })
	stranger := w.identity()
	token := w.token(w.owner)
	get := func(path, token string, header ...string) reply {
		req := w.request(http.MethodGet, path, token, "", nil)
		req.Header.Set("Accept", "text/event-stream")
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return w.do(req)
	}
	bad := http.StatusBadRequest
	get(w.feedPath(""), token, "Accept", "application/json").problem(t, bad, "feed_transport")
	get(w.feedPath("frm=1"), token).problem(t, bad, "parameter_unknown")
	get(w.feedPath("limit=1"), token).problem(t, bad, "parameter_unknown")
	get(w.feedPath("from=first"), token).problem(t, bad, "parameter_invalid")
	get(w.feedPath("from=-1"), token).problem(t, bad, "parameter_invalid")
	get(w.feedPath("from=18446744073709551615"), token).problem(t, bad, "parameter_invalid")
	get(w.feedPath(""), token, "Last-Event-ID", "x").problem(t, bad, "parameter_invalid")
	get(w.feedPath(fmt.Sprintf("from=%d", w.size()+1)), token).problem(t, bad, "range_invalid")
	get(w.feedPath("type=A"), token).problem(t, bad, "parameter_invalid")
	get(w.feedPath("author=me"), token).problem(t, bad, "parameter_invalid")
	get(w.feedPath("status=ok"), token).problem(t, bad, "parameter_invalid")
	get(w.feedPath(""), "").problem(t, http.StatusUnauthorized, "credential_required")
	get(w.feedPath(""), "nonsense").problem(t, http.StatusUnauthorized, "token_malformed")
	get(w.feedPath(""), w.token(stranger)).problem(t, http.StatusNotFound, "tenant_unknown")
	get("/v1/tenants/nosuch/feed", token).problem(t, http.StatusNotFound, "tenant_unknown")
	get(w.feedPath(""), token, "Origin", "https://elsewhere.example").problem(t, http.StatusForbidden, "origin_foreign")
	get(w.feedPath(""), token, "Origin", "null").problem(t, http.StatusForbidden, "origin_foreign")
	w.post(w.feedPath(""), token, []byte(`{}`)).problem(t, http.StatusMethodNotAllowed, "method_not_allowed")

	for name, c := range map[string]struct {
		header    http.Header
		protocols []string
		status    int
	}{
		"no subprotocol":    {nil, nil, bad},
		"other subprotocol": {nil, []string{"graphql-ws"}, bad},
		"old version":       {http.Header{"Sec-Websocket-Version": {"8"}}, []string{"logline.v1"}, bad},
		"foreign origin":    {http.Header{"Origin": {"http://evil.example"}}, []string{"logline.v1"}, http.StatusForbidden},
		"no credential":     {http.Header{"Authorization": {}}, []string{"logline.v1"}, http.StatusUnauthorized},
	} {
		req := w.request(http.MethodGet, w.feedPath(""), token, "", nil)
		for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			req.Header.Set(k, v)
		}
		for _, p := range c.protocols {
			req.Header.Set("Sec-WebSocket-Protocol", p)
		}
		for k, v := range c.header {
			if req.Header[k] = v; len(v) == 0 {
				req.Header.Del(k)
			}
		}
		w.do(req).want(t, c.status)
		_ = name
	}
	// What never ends has no HEAD, and spends no ticket and no place by one.
	for _, header := range []http.Header{
		{"Accept": {"text/event-stream"}},
		{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {"logline.v1"}},
	} {
		req := w.request(http.MethodHead, w.feedPath(""), token, "", nil)
		maps.Copy(req.Header, header)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	}

	held := w.socket("", token)
	held.next()
	p := get(w.feedPath(""), token).problem(t, http.StatusServiceUnavailable, "feeds_busy")
	require.NotEmpty(t, p.Detail)
	held.stop()
	require.Eventually(t, func() bool {
		conn, _, err := w.dial(w.feedPath(""), token, nil)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, feedPatience, 10*time.Millisecond, "the place is free again")
}

// A feed shows each reader exactly what a list of spans does, old and new alike,
// and tells of the rest as gaps.
func TestFeedVisibility(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		t.Run(fmt.Sprintf("public=%v", public), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quick)
			if public {
				w.tenant = w.newTenant(w.token(w.owner), "open", true)
			}
			readers := map[string]*id.Keys{"owner": w.owner, "stranger": w.identity()}
			for _, role := range []string{"admin", "member", "agent", "auditor", "guest"} {
				readers[role] = w.member(role)
			}
			if public {
				readers["nobody"] = nil
			}
			taps := map[string]map[string]*tap{}
			from := w.size()
			for name, keys := range readers {
				if name == "stranger" && !public {
					_, resp, err := w.dial(w.feedPath(""), w.token(keys), nil)
					require.Error(t, err)
					require.Equal(t, http.StatusNotFound, resp.StatusCode)
					continue
				}
				taps[name] = w.both(fmt.Sprintf("from=%d", from), keys)
			}
			var erased []byte
			for _, v := range []string{"private", "organization", "public"} {
				for name, keys := range readers {
					if keys == nil || name == "stranger" || name == "auditor" {
						continue
					}
					w.append(w.note(keys, 1, visible(v))).want(t, http.StatusCreated)
				}
				erased = w.note(w.owner, 2, visible(v), func(h *span.Header) { h.OnBehalfOf = readers["guest"].ID() })
				w.append(erased).want(t, http.StatusCreated)
			}
			sp, err := span.Parse(erased, span.Limits{})
			require.NoError(t, err)
			payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: sp.ID, HeaderHash: sp.Header.Hash().String()}}, Reason: "asked"})
			require.NoError(t, err)
			w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeRedaction })).want(t, http.StatusCreated)
			size := w.size()

			hidden := 0
			for name, ways := range taps {
				var listed struct{ Items []json.RawMessage }
				w.get(w.at("/spans?limit=1000"), w.token(readers[name])).want(t, http.StatusOK).decode(t, &listed)
				want := map[uint64]string{}
				for _, item := range listed.Items {
					f := frame{Entry: item}
					if seq := f.seq(t); seq >= from {
						want[seq] = string(item)
					}
				}
				hidden += int(size-from) - len(want)
				for way, live := range ways {
					require.Len(t, live.seqs(from, size), len(want), "%s %s", name, way)
					live.stop()
				}
				for way, old := range w.both(fmt.Sprintf("from=%d", from), readers[name]) {
					got := map[uint64]string{}
					for _, f := range old.until(from, size) {
						got[f.seq(t)] = string(f.Entry)
					}
					require.Equal(t, want, got, "%s %s", name, way)
					old.stop()
				}
			}
			require.Positive(t, hidden)
		})
	}
}

func TestFeedFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	typed := func(typ string) { // two of each, one tagged
		for _, tags := range [][]string{nil, {"t"}} {
			w.append(w.note(w.owner, 1, func(h *span.Header) { h.Type, h.Tags = typ, tags })).want(t, http.StatusCreated)
		}
	}
	from := w.size()
	taps := w.both(fmt.Sprintf("from=%d&type=a.*&type=c&tag=t&author=%s", from, url.QueryEscape(w.owner.ID())), w.owner)
	for _, typ := range []string{"a.b", "b", "c"} {
		typed(typ)
	}
	for name, c := range taps {
		require.Equal(t, []uint64{from + 1, from + 5}, c.seqs(from, from+6), name)
	}

	c := taps["websocket"]
	c.send(`{"type":"filter","types":["b"]}`)
	for f := c.next(); f.Type != "filter"; f = c.next() {
		require.NotEqual(t, "entry", f.Type)
	}
	typed("a.b")
	typed("b")
	require.Equal(t, []uint64{from + 8, from + 9}, c.seqs(from+6, from+10))
	require.Equal(t, []uint64{from + 7}, taps["sse"].seqs(from+6, from+10), "others keep their own filter")
}

// Messages that are none end the feed, say why, and where to resume.
func TestFeedBadMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	bystander := w.socket("", w.token(w.owner))
	bystander.next()
	for name, c := range map[string]struct {
		send func(*websocket.Conn) error
		code int
		says string
	}{
		"no JSON":    {text(`filter please`), 4000, "send {"},
		"unknown":    {text(`{"type":"subscribe"}`), 4000, `"subscribe" is no message type`},
		"member":     {text(`{"type":"filter","limit":3}`), 4000, "send {"},
		"bad filter": {text(`{"type":"filter","author":"me"}`), 4000, "/author must be a LogLine ID"},
		"binary":     {func(c *websocket.Conn) error { return c.WriteMessage(websocket.BinaryMessage, []byte("{}")) }, 1003, "messages are text"},
		"bad UTF-8":  {text("{\"type\":\"filter\",\"tag\":\"\xff\"}"), 4000, "send {"},
		"huge":       {func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, make([]byte, 1<<20)) }, 1009, ""},
		"no frames": {func(c *websocket.Conn) error {
			_, err := c.NetConn().Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
			return err
		}, 1002, ""},
	} {
		bad := w.socket("", w.token(w.owner))
		bad.next()
		_ = c.send(bad.conn) // the server may end it before everything is sent
		code, reason := bad.ended()
		require.Equal(t, c.code, code, "%s: %s", name, reason)
		require.Contains(t, reason, c.says, name)
		require.LessOrEqual(t, len(reason), 123)
		if code >= 4000 {
			require.Contains(t, reason, fmt.Sprintf("resume with from=%d", w.size()), name)
		}
	}
	at := w.size()
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
	require.Equal(t, []uint64{at}, bystander.seqs(at, at+1))
}

func text(s string) func(*websocket.Conn) error {
	return func(c *websocket.Conn) error { return c.WriteMessage(websocket.TextMessage, []byte(s)) }
}

func TestFeedEndsWithTheRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	member := w.member("member")
	taps := w.both("", member)
	other := w.socket("", w.token(w.owner))
	at := w.size()
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
	payload, err := span.Canonical(span.Member{Identity: member.ID(), Roles: []string{"member"}, Action: span.ActionWithdraw})
	require.NoError(t, err)
	for name, c := range taps {
		require.Equal(t, []uint64{at}, c.seqs(at, at+1), name)
	}
	w.append(w.seal(w.owner, payload, func(h *span.Header) { h.Type = span.TypeMember })).want(t, http.StatusCreated)
	w.append(w.note(w.owner, 2)).want(t, http.StatusCreated)
	for name, c := range taps {
		for {
			f, err := c.read()
			if err != nil || f.Type == "close" {
				code, reason := f.Code, f.Reason
				if err != nil {
					closed := new(websocket.CloseError)
					require.ErrorAs(t, err, &closed)
					code, reason = closed.Code, closed.Text
				}
				require.Equal(t, 4003, code, name)
				require.Contains(t, reason, fmt.Sprintf("from=%d", at+1))
				break
			}
			require.NotEqual(t, "entry", f.Type, name)
		}
	}
	require.Equal(t, upTo(at, at+3), other.seqs(at, at+3))
}

func TestFeedEndsWithTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Heartbeat, d.Limits.FeedPoll = time.Hour, time.Hour })
	member := w.member("member")
	taps := w.both("", member)
	at := w.size()
	for _, c := range taps {
		require.Equal(t, at, c.next().Next)
	}
	rotation, err := member.Rotate(w.clock.now(), randReader)
	require.NoError(t, err)
	w.post("/v1/identities/"+bare(member.ID())+"/events", "", rotation.Raw).want(t, http.StatusCreated)
	for name, c := range taps {
		code, reason := c.ended()
		require.Equal(t, 4001, code, name)
		require.Contains(t, reason, fmt.Sprintf("from=%d", at), name)
	}
	w.socket("", w.token(member)).next()
}

func TestFeedEndsWithTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	taps := w.both("", w.owner)
	for _, c := range taps {
		c.next()
		require.Equal(t, "heartbeat", c.next().Type)
	}
	w.clock.advance(time.Minute + id.TokenLeeway)
	for name, c := range taps {
		code, reason := c.ended()
		require.Equal(t, 4001, code, name)
		require.Contains(t, reason, "expired", name)
	}
}

func TestFeedTickets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	member, stranger := w.member("member"), w.identity()
	tickets := w.at("/feed/tickets")
	make := func() string {
		var out struct{ Ticket, Expires string }
		w.post(tickets, w.token(member), nil).want(t, http.StatusCreated).decode(t, &out)
		require.Equal(t, span.FormatTime(w.clock.now().Add(30*time.Second)), out.Expires)
		return out.Ticket
	}
	open := func(path string, header http.Header) int {
		conn, resp, err := w.dial(path, "", header)
		if err == nil {
			_ = conn.Close()
			return http.StatusSwitchingProtocols
		}
		require.NotNil(t, resp, "%v", err)
		return resp.StatusCode
	}
	w.post(tickets, "", nil).problem(t, http.StatusUnauthorized, "credential_required")
	w.post(tickets, w.token(stranger), nil).problem(t, http.StatusNotFound, "tenant_unknown")
	foreign := w.request(http.MethodPost, tickets, w.token(member), "", nil)
	foreign.Header.Set("Origin", "https://elsewhere.example")
	w.do(foreign).problem(t, http.StatusForbidden, "origin_foreign")

	once := make()
	same := http.Header{"Origin": {w.url}}
	require.Equal(t, http.StatusForbidden, open(w.feedPath("ticket="+once), http.Header{"Origin": {"https://elsewhere.example"}}), "and is not spent by it")
	require.Equal(t, http.StatusSwitchingProtocols, open(w.feedPath("ticket="+once), same))
	require.Equal(t, http.StatusUnauthorized, open(w.feedPath("ticket="+once), same), "it is good once")
	require.Equal(t, http.StatusUnauthorized, open(w.feedPath("ticket=made-up"), same))
	require.Equal(t, http.StatusUnauthorized, open(w.feedPath("ticket="), same))

	late := make()
	w.clock.advance(30 * time.Second)
	require.Equal(t, http.StatusUnauthorized, open(w.feedPath("ticket="+late), same))

	other := w.newTenant(w.token(w.owner), "other", false)
	var owners struct{ Ticket string }
	w.post(tickets, w.token(w.owner), nil).want(t, http.StatusCreated).decode(t, &owners)
	require.Equal(t, http.StatusUnauthorized, open("/v1/tenants/"+other.Id+"/feed?ticket="+owners.Ticket, same), "it is for one tenant, whatever else its owner may read")

	// The feed sees what the member sees, and ends with the member's credential.
	sse := w.events("from=0&ticket="+make(), "")
	size := w.size()
	require.Equal(t, upTo(0, size), sse.seqs(0, size))
	w.clock.advance(time.Minute + id.TokenLeeway)
	code, _ := sse.ended()
	require.Equal(t, 4001, code)

	for range 64 {
		make()
	}
	w.post(tickets, w.token(member), nil).problem(t, http.StatusTooManyRequests, "tickets_limited")
	w.post(tickets, w.token(w.owner), nil).want(t, http.StatusCreated)
	w.clock.advance(30 * time.Second)
	make()
}

// A stopping server ends every feed and says where to resume.
func TestFeedStops(t *testing.T) {
	t.Parallel()
	w, stop := serve(t, httpapi.Limits{Drain: 20 * time.Second})
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
	size := w.size()
	taps := w.both("from=0", w.owner)
	for _, c := range taps {
		require.Equal(t, upTo(0, size), c.seqs(0, size))
	}
	stopped := make(chan error, 1)
	begun := time.Now()
	go func() { stopped <- stop() }()
	for name, c := range taps {
		code, reason := c.ended()
		require.Equal(t, 1001, code, name)
		require.Contains(t, reason, fmt.Sprintf("from=%d", size), name)
	}
	require.NoError(t, <-stopped)
	require.Less(t, time.Since(begun), 10*time.Second, "well before the drain ends")
}

// Open feeds take no place from ordinary requests.
func TestFeedsTakeNoPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Concurrent = 1 })
	for _, c := range w.both("", w.owner) {
		c.next()
	}
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
}

// One reader cannot keep all others out.
func TestOneReaderLeavesPlacesForOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Feeds = 8 })
	other := w.identity()
	elsewhere := w.newTenantOf(other, "elsewhere")
	for range 7 {
		w.socket("", w.token(w.owner)).next()
	}
	_, refused, err := w.dial(w.feedPath(""), w.token(w.owner), nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusTooManyRequests, refused.StatusCode)
	w.tenant.Id = elsewhere // one tenant's readers together leave places for those of others
	last := w.socket("", w.token(other))
	last.next()
	_, refused, err = w.dial(w.feedPath(""), w.token(other), nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusServiceUnavailable, refused.StatusCode, "all places are taken")
}

// A feed opened with an API key lasts as long as the key.
func TestFeedEndsWithTheAPIKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	member := w.member("member")
	key := w.apiKey(member, member.ID(), map[string]any{"tenant": "acme"})
	taps := map[string]*tap{"websocket": w.socket("", key.Key), "sse": w.events("", key.Key)}
	for _, c := range taps {
		c.next()
	}
	w.clock.advance(time.Hour)
	for _, c := range taps {
		require.Equal(t, "heartbeat", c.next().Type)
	}
	w.do(w.request(http.MethodDelete, pathOf(member.ID(), "/keys/"+key.Id), key.Key, "", nil)).want(t, http.StatusOK)
	for name, c := range taps {
		code, reason := c.ended()
		require.Equal(t, 4001, code, "%s: %s", name, reason)
	}
}

// The deadlines of ordinary requests do not end a feed.
func TestFeedOutlivesRequests(t *testing.T) {
	t.Parallel()
	w, _ := serve(t, httpapi.Limits{ReadHeader: 100 * time.Millisecond, Stall: time.Second, Idle: 100 * time.Millisecond, Heartbeat: 500 * time.Millisecond})
	for name, open := range map[string]func() *tap{
		"websocket": func() *tap { return w.socket("", w.token(w.owner)) },
		"sse":       func() *tap { return w.events("", w.token(w.owner)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open()
			for begun := time.Now(); time.Since(begun) < 5*time.Second; { // longer than a request has to be sent, answered, or to follow another
				require.Contains(t, []string{"hello", "heartbeat"}, c.next().Type)
			}
		})
	}
}
