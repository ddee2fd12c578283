package httpapi

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/span"
)

// protocolVersion is the version of the LogLine protocol spoken here.
const protocolVersion = 1

// GetLive answers while the process does.
func (s *Server) GetLive(c echo.Context) error {
	return answer(c, http.StatusOK, api.Health{Status: "alive"})
}

// GetReady says yes only if this process can append and sign now.
func (s *Server) GetReady(c echo.Context) error {
	if s.deps.Ready != nil {
		if err := s.deps.Ready(c.Request().Context()); err != nil {
			return notReady(err)
		}
	}
	return answer(c, http.StatusOK, api.Health{Status: "ready"})
}

// GetMetrics serves the Prometheus text format, to this machine and to whoever
// has a credential: figures on load are not for everybody.
func (s *Server) GetMetrics(c echo.Context) error {
	if !s.fromThisMachine(c.Request()) {
		if _, err := s.known(c); err != nil {
			return err
		}
	}
	s.metrics.handler.ServeHTTP(c.Response(), c.Request())
	return nil
}

// GetVersion says what is running.
func (s *Server) GetVersion(c echo.Context) error {
	v := s.deps.Version
	return answer(c, http.StatusOK, api.Version{Version: v.Version, Commit: v.Commit, Go: v.Go, Protocol: protocolVersion})
}

// GetNode introduces the node.
func (s *Server) GetNode(c echo.Context) error {
	node := api.Node{
		Id: s.deps.Node.ID(), Events: rawEvents(s.deps.Node.Events()),
		Modules: slices.Concat([]string{}, s.deps.Modules), Version: s.deps.Version.Version,
		Registration: api.NodeRegistration(s.registration()), Time: span.FormatTime(s.now()),
	}
	node.Limits.Header, node.Limits.Payload = s.limits.Span.Header, s.limits.Span.Payload
	node.Limits.Line, node.Limits.Body = s.limits.Line, int64(s.limits.Body)
	return answer(c, http.StatusOK, node)
}

func rawEvents(events [][]byte) []api.KeyEvent {
	out := make([]api.KeyEvent, len(events))
	for i, e := range events {
		out[i] = api.KeyEvent(e)
	}
	return out
}
