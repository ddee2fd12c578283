package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
)

// Fields of draft-ietf-httpapi-ratelimit-headers-11, which tell a caller about
// the one bucket that it has least left in.
const (
	headerRateLimit  = "Ratelimit"
	headerRatePolicy = "Ratelimit-Policy"
)

var _ Gate = (*quota.Gate)(nil)

// levelKey is the key of the level told so far in echo's context.
const levelKey = "level"

// tell puts a level into the answer's header, unless a tighter one is there.
func tell(c echo.Context, l quota.Level) {
	if !l.Limit.On() {
		return
	}
	if told, ok := c.Get(levelKey).(quota.Level); ok && told.Answer.Remaining <= l.Answer.Remaining && l.Answer.Retry == 0 {
		return
	}
	c.Set(levelKey, l)
	writeLevel(c.Response().Header(), l)
}

func writeLevel(header http.Header, l quota.Level) {
	until := l.Answer.Full
	if l.Answer.Retry > 0 {
		until = l.Answer.Retry
	}
	name := strconv.Quote(l.By)
	header[headerRatePolicy] = []string{name + ";q=" + strconv.Itoa(l.Limit.Burst) + ";w=" + strconv.Itoa(max(1, ratelimit.Seconds(l.Limit.Window())))}
	header[headerRateLimit] = []string{name + ";r=" + strconv.Itoa(l.Answer.Remaining) + ";t=" + strconv.Itoa(ratelimit.Seconds(until))}
}

// countAddress counts n requests, spans or checks of the request's address.
func (s *Server) countAddress(c echo.Context, n int) error {
	if s.deps.Gate == nil {
		return nil
	}
	l, err := s.deps.Gate.Address(c.Request().Context(), s.clientAddress(c.Request()), n)
	tell(c, l)
	return err
}

// countTry counts a try to use a token or a code that whoever has it may use.
func (s *Server) countTry(c echo.Context) error {
	if s.deps.Gate == nil {
		return nil
	}
	l, err := s.deps.Gate.Try(c.Request().Context(), s.clientAddress(c.Request()))
	tell(c, l)
	return err
}

// countFrom is countAddress where there is no answer to tell it in.
func (s *Server) countFrom(ctx context.Context, from netip.Addr, n int) error {
	if s.deps.Gate == nil {
		return nil
	}
	_, err := s.deps.Gate.Address(ctx, from, n)
	return err
}

// countCaller counts n requests of somebody who proved to be who it is.
func (s *Server) countCaller(c echo.Context, who id.Credential, n int) error {
	if s.deps.Gate == nil || n == 0 {
		return nil
	}
	l, err := s.deps.Gate.Caller(c.Request().Context(), who.Identity, who.Name(), n)
	tell(c, l)
	return err
}

// countTenant counts a request in a tenant by somebody who holds a role there:
// nobody else can use up what its members may.
func (s *Server) countTenant(c echo.Context, seen *sight) error {
	if s.deps.Gate == nil || seen.reader.Identity == "" || len(seen.view.Roles(seen.reader.Identity)) == 0 {
		return nil
	}
	l, err := s.deps.Gate.Tenant(c.Request().Context(), seen.ID, 1)
	tell(c, l)
	return err
}
