package httpapi

import (
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/httpapi/api"
)

// RoutesOf lists the routes of a module, such as "GET /v1/node", in order of path.
func RoutesOf(module string) []string {
	var out []string
	for _, r := range api.Routes() {
		if r.Module == module {
			out = append(out, r.Method+" "+r.Path)
		}
	}
	return out
}

var echoPath = strings.NewReplacer("{", ":", "}", "")

// switchOff has the routes of modules that this process does not run answer
// like an address where there is nothing, and say why.
func (s *Server) switchOff() {
	for _, r := range api.Routes() {
		if s.deps.Modules == nil || slices.Contains(s.deps.Modules, r.Module) {
			continue
		}
		err := fault.Newf(fault.NotFound, "module_off",
			"there is nothing at this address: this process runs without the module %s; ask one that has it", r.Module)
		s.echo.Add(r.Method, echoPath.Replace(r.Path), func(echo.Context) error { return err })
	}
}
