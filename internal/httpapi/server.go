// Package httpapi is LogLine over HTTP: it binds requests, makes one call into
// a module, and renders the answer or the problem. It owns routes, statuses,
// content types, limits on callers, and who is calling; it decides nothing
// about spans and reads no database. openapi.yaml is its source of truth.
package httpapi

import (
	"context"
	"net"
	"net/http"
)

// Server serves the HTTP surface of one node.
type Server struct {
	deps Deps
}

// New makes a server; it starts nothing.
func New(deps Deps) *Server { return &Server{deps: deps} }

// Handler is the whole surface as one http.Handler.
func (s *Server) Handler() http.Handler { return http.NotFoundHandler() }

// Run serves on ln until ctx ends, then lets open requests finish within
// Limits.Drain. It closes ln.
func (s *Server) Run(ctx context.Context, ln net.Listener) error { <-ctx.Done(); return ln.Close() }
