package httpapi

import (
	"encoding/json"
	"net"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/engine/tasks"
)

// Routes are the routes as echo serves them.
func (s *Server) Routes() []*echo.Route { return s.echo.Routes() }

// ParseTaskFilter reads a client's message about tasks; the filter says which it lets.
func ParseTaskFilter(raw []byte) (lets func(*tasks.Task) bool, again []byte, mine bool, err error) {
	f, mine, err := parseTaskFilter(raw)
	again, _ = json.Marshal(f)
	return f.lets, again, mine, err
}

// Places are places, for tests.
type Places struct{ p *places }

func NewPlaces(most int) Places { return Places{newPlaces(most)} }

func (p Places) Try(holder string) bool {
	ok, _ := p.p.try(holder)
	return ok
}

func (p Places) Give(holder string) { p.p.give(holder) }

// Bound is the listener that Run makes of ln.
func Bound(s *Server, ln net.Listener) net.Listener { return s.bound(ln) }
