package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/feed/ticket"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/standing"
)

const (
	feedRoute       = "/v1/tenants/:tenant/feed"
	feedSubprotocol = "logline.v1"
	typeEvents      = "text/event-stream"
)

var (
	errFeeds = fault.New(fault.Unavailable, "feeds_busy",
		"the server has as many feeds open as it takes; try again, and resume where you were").After(5 * time.Second)
	errFeedsYours = fault.New(fault.Limited, "feeds_yours",
		"you have as many feeds open here as one reader may; close some, or try again later").After(5 * time.Second)
	errFeedsTenant = fault.New(fault.Limited, "feeds_tenant",
		"as many feeds of this tenant are open here as of one tenant may; close some, or try again later").After(5 * time.Second)
	errFeedTransport = fault.New(fault.Invalid, "feed_transport",
		"a feed is a WebSocket with subprotocol logline.v1, or server-sent events with Accept: text/event-stream")
	errSubprotocol = fault.New(fault.Invalid, "feed_subprotocol", "the WebSocket must offer the subprotocol logline.v1 (Sec-WebSocket-Protocol)")
	errOrigin      = fault.New(fault.Forbidden, "origin_foreign", "a page of another origin may not open this here")

	// errStopping is why a feed's context ended when the server stops.
	errStopping = errors.New("the server stops")
)

// Feed opens a live feed. It holds none of the places of ordinary requests.
func (s *Server) Feed(c echo.Context, tenant api.TenantParameter, params api.FeedParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	if err := s.ownOrigin(c.Request()); err != nil {
		return err
	}
	run, err := s.feedTransport(c.Request())
	if err != nil {
		return err
	}
	place, err := s.feeds.enter()
	if err != nil {
		return err
	}
	defer place.leave()

	ctx, cancel := context.WithCancelCause(c.Request().Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopping, func() { cancel(errStopping) })()
	c.SetRequest(c.Request().WithContext(ctx))
	f := &feeding{server: s, place: place, ctx: ctx, cancel: cancel}
	req, err := s.feedRequest(c, tenant, &params, &f.seen)
	if err != nil {
		return err
	}
	reader, err := req.Authorize(ctx)
	if err != nil {
		return err
	}
	if err := place.hold("reader "+reader.Identity, errFeedsYours); err != nil {
		return err
	}
	if err := place.of(req.Tenant, errFeedsTenant); err != nil {
		return err
	}
	leave, err := s.deps.Quotas.Feed(ctx, req.Tenant)
	if err != nil {
		return err
	}
	defer leave()
	sub, err := s.hub.Subscribe(ctx, req)
	if err != nil {
		return err
	}
	defer sub.Close()
	f.sub, f.tenant = sub, req.Tenant
	err = run(c, f)
	cancel(nil)
	f.others.Wait()
	return err
}

// connKey is the key of the connection in the context of its requests.
type connKey struct{}

// boundSending bounds what the system holds of what the client has not taken: a
// client that stops reading is then noticed soon, and costs no more than that.
func (s *Server) boundSending(conn net.Conn) {
	if below := connectionOf(conn); below != nil {
		conn = below // TLS has no buffer to speak of
	}
	if c, ok := conn.(interface{ SetWriteBuffer(int) error }); ok {
		_ = c.SetWriteBuffer(s.limits.FeedSend / 2) // of which Linux makes twice as much; without it the system's own bound holds
	}
}

// feeding is one open feed.
type feeding struct {
	server *Server
	sub    *feed.Subscription
	place  *place
	ctx    context.Context // of the request, which lasts as long as the feed
	cancel context.CancelCauseFunc

	tenant string                   // id
	seen   atomic.Pointer[operator] // who reads, as of the last time that was asked
	tasks  *taskFeed                // nil until the client asks for tasks; of who reads what it sends
	others sync.WaitGroup           // goroutines beside the two of a socket
}

// feedTransport is what the request asks to be answered with.
func (s *Server) feedTransport(req *http.Request) (func(echo.Context, *feeding) error, error) {
	switch {
	case websocket.IsWebSocketUpgrade(req):
		if !slices.Contains(websocket.Subprotocols(req), feedSubprotocol) {
			return nil, errSubprotocol
		}
		return feedSocket, nil
	case strings.Contains(req.Header.Get(echo.HeaderAccept), typeEvents):
		return feedEvents, nil
	}
	return nil, errFeedTransport
}

// feedRequest checks what is asked for, and by whom.
func (s *Server) feedRequest(c echo.Context, tenant string, p *api.FeedParams, reads *atomic.Pointer[operator]) (feed.Request, error) {
	q, err := queryOf(&api.ListSpansParams{
		Type: p.Type, Author: p.Author, Subject: p.Subject, Tag: p.Tag, Status: p.Status,
		Since: p.Since, Until: p.Until, Cause: p.Cause, Q: p.Q,
	})
	if err != nil {
		return feed.Request{}, err
	}
	from, err := feedFrom(c.Request(), p.From)
	if err != nil {
		return feed.Request{}, err
	}
	token, tenantID, err := s.feedCredential(c, tenant, p.Ticket)
	if err != nil {
		return feed.Request{}, err
	}
	session := "" // once the token of one was judged
	return feed.Request{Tenant: tenantID, From: from, Query: q, Authorize: func(context.Context) (standing.Reader, error) {
		var who id.Credential
		if token != "" {
			var err error
			if who, err = s.still(c, token, &session); err != nil {
				return standing.Reader{}, err
			}
		}
		seen, err := s.lookAs(c, tenantID, who)
		if err == nil {
			reads.Store(&operator{seen})
		}
		return seen.reader, err
	}}, nil
}

// feedFrom is the first seq asked for: what the browser saw last counts more
// than the address that it repeats.
func feedFrom(req *http.Request, from *string) (uint64, error) {
	text, name := given(from), "from"
	if last := req.Header.Get("Last-Event-ID"); last != "" {
		text, name = last, "Last-Event-ID"
	} else if from == nil || text == "now" {
		return feed.Now, nil
	}
	const longest = 16 // digits; 2^53 has as many
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || len(text) > longest {
		return 0, fault.Newf(fault.Invalid, "parameter_invalid", "%s must be the seq of an entry, or now", name)
	}
	return seq, nil
}

// feedCredential is the token that the feed goes on being judged by, "" for an
// anonymous reader, and the id of a tenant that its bearer may read something of.
func (s *Server) feedCredential(c echo.Context, tenant string, text *string) (token, tenantID string, err error) {
	if text == nil {
		seen, err := s.look(c, tenant)
		if err != nil {
			return "", "", err
		}
		token, err = s.credentialOf(c)
		return token, seen.ID, err
	}
	if c.Request().Header.Get(echo.HeaderAuthorization) != "" {
		return "", "", fault.New(fault.Invalid, "parameter_invalid", "give a ticket or an Authorization header, not both")
	}
	by := &ticketAuthenticator{server: s}
	if !by.Takes(*text) {
		return "", "", ticket.ErrInvalid
	}
	who, err := by.Authenticate(c.Request().Context(), *text)
	if err == nil {
		err = s.countCaller(c, who, 1)
	}
	if err != nil {
		return "", "", err
	}
	seen, err := s.lookAs(c, tenant, who)
	if fault.KindOf(err) == fault.NotFound || err == nil && seen.ID != by.spent.Tenant {
		err = ticket.ErrInvalid
	}
	return by.spent.Credential, seen.ID, err
}

// ending is how the feed ends after err, nil when there is nobody to tell.
func (f *feeding) ending(err error) *feed.Closed {
	var closed *feed.Closed
	switch cause := context.Cause(f.ctx); {
	case errors.As(err, &closed), errors.As(cause, &closed):
		closed.Next = f.sub.Resume()
	case errors.Is(cause, errStopping):
		closed = f.sub.Closed(feed.CodeGoingAway, "the server stops")
	case fault.KindOf(err) == fault.Invalid:
		closed = f.sub.Closed(feed.CodeMessage, fault.From(err).Detail)
	}
	return closed
}
