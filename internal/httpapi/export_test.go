package httpapi

import "github.com/labstack/echo/v4"

// Routes are the routes as echo serves them.
func (s *Server) Routes() []*echo.Route { return s.echo.Routes() }
