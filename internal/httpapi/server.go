// Package httpapi is LogLine over HTTP: it binds requests, makes one call into
// a module, and renders the answer or the problem. It owns routes, statuses,
// content types, the limits on callers, and who is calling; it decides nothing
// about spans and reads no database. openapi.yaml is its source of truth.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/gorilla/websocket"
	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/id"
)

const (
	maxHeader  = 32 << 10 // bytes of a request's header
	maxStreams = 100      // requests at once on one connection of HTTP/2
)

// Server serves the HTTP surface of one node.
type Server struct {
	deps    Deps
	limits  Limits
	log     *slog.Logger
	now     func() time.Time
	echo    *echo.Echo
	metrics *metrics
	slots   chan struct{} // one held by each request being served
	streams *places       // one held by each NDJSON append
	exports *places       // one held by each bundle that is being read
	imports *places       // one held by each bundle that comes in
	checks  chan struct{} // one held by each message whose signature is being checked
	room    room          // for what is large
	always  headers
	bodies  bodies
	stop    chan struct{} // closed when Run begins to stop

	hub       *feed.Hub
	feeds     *gate
	verifiers *gate // streams that check signatures
	verify    id.Verifier
	tokens    *id.Tokens
	bearers   []Authenticator             // of what an Authorization header holds
	founders  []Authenticator             // and of routes that take the bootstrap token
	pages     *http.CrossOriginProtection // of requests with the cookie of a session
	upgrader  *websocket.Upgrader
	stopping  context.Context // ends with stop; a context, so that feeds need no goroutine to wait for it
	endFeeds  context.CancelFunc
}

var _ api.ServerInterface = (*Server)(nil)

// New makes a server; it starts nothing.
func New(deps Deps) *Server {
	s := &Server{
		deps: deps, limits: deps.Limits.withDefaults(), log: deps.Logger, now: deps.Now,
		echo: echo.New(), metrics: newMetrics(deps.MirrorLag, deps.SearchLag, deps.TaskLag, deps.Followers, deps.Gate, deps.Quotas), stop: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.hub = feed.New(deps.Log, deps.Wakes, feed.Config{
		Entries: s.limits.FeedEntries, Bytes: s.limits.FeedBytes, Heartbeat: s.limits.Heartbeat, Poll: s.limits.FeedPoll, Logger: s.log,
	})
	s.feeds, s.upgrader = newGate(s.limits.Feeds, errFeeds), newUpgrader()
	if s.verifiers, s.verify = newGate(s.limits.Verifiers, errVerifiers), deps.Verifier; s.verify == nil {
		s.verify = id.DefaultVerifier()
	}
	s.tokens = id.NewTokens(s.verify)
	s.bearers = s.authenticators()
	s.founders = foundersOf(s.bearers)
	s.pages = http.NewCrossOriginProtection()
	s.stopping, s.endFeeds = context.WithCancel(context.Background())
	s.slots = make(chan struct{}, s.limits.Concurrent)
	s.streams, s.exports = newPlaces(s.limits.Streams), newPlaces(s.limits.Exports)
	s.imports = newPlaces(maxImports)
	s.checks = make(chan struct{}, runtime.GOMAXPROCS(0))
	s.room.left, s.always = s.limits.Room, newHeaders()
	s.echo.HTTPErrorHandler = s.renderError
	s.echo.Use(s.observe, s.admit)
	api.RegisterHandlers(s.echo, s)
	s.echo.GET(tilePaths, s.deepTile)
	s.servePages()
	s.switchOff()
	return s
}

// Handler is the whole surface as one http.Handler.
func (s *Server) Handler() http.Handler { return headAsGet(s.echo) }

// Run serves on ln until ctx ends, then takes no more lines of open streams and
// lets open requests finish within Limits.Drain. It closes ln and is called once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		TLSConfig:         s.deps.TLS,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, WriteByteTimeout: s.limits.Stall, SendPingTimeout: s.limits.Idle},
		ConnState:         waits,
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.limits.ReadHeader,
		ReadTimeout:       s.limits.ReadHeader + s.limits.Stall,
		WriteTimeout:      s.limits.ReadHeader + 4*s.limits.Stall, // for reading the body too; streams move it along
		IdleTimeout:       s.limits.Idle,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       withConnection,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- s.accept(srv, ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	close(s.stop)
	s.endFeeds()
	feedless, idle := s.feeds.close(), s.verifiers.close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.Drain)
	defer cancel()
	if srv.Shutdown(drain) != nil {
		_ = srv.Close() // what has not finished by now is cut off
	}
	select {
	case <-feedless:
	case <-drain.Done():
		s.feeds.cutAll()
		<-feedless
	}
	select {
	case <-idle:
	case <-drain.Done():
		s.verifiers.cutAll()
		<-idle
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// accept serves what comes on ln, within the bounds on connections.
func (s *Server) accept(srv *http.Server, ln net.Listener) error {
	if s.deps.TLS != nil {
		return srv.ServeTLS(s.bound(ln), "", "")
	}
	return srv.Serve(s.bound(ln))
}
