package app

import (
	"github.com/danvoulez/logline/internal/httpapi"
)

// Proxy is whose word about clients is taken, and where it stands.
type Proxy struct {
	Trusted string `mapstructure:"trusted"`
	Header  string `mapstructure:"header"`
}

// trusted reads both settings, or for a check one of them alone.
func (p Proxy) trusted(key string) (httpapi.Proxies, error) {
	switch key {
	case "proxy.trusted":
		p.Header = ""
	case "proxy.header":
		p.Trusted = ""
	}
	return httpapi.ParseProxies(p.Trusted, p.Header)
}

// CORS is which pages may use the API from a browser.
type CORS struct {
	Origins string `mapstructure:"origins"`
}

// hereAlone says whether the server can be reached from its own machine alone: a
// proxy that is trusted speaks for others.
func (c Config) hereAlone() bool { return loopback(c.Listen) && c.Proxy.Trusted == "" }

// guard gives the server what it believes about its callers, and the pages that
// may call it.
func (a *App) guard(deps *httpapi.Deps) (err error) {
	if deps.Proxies, err = a.cfg.Proxy.trusted(""); err != nil {
		return err
	}
	deps.Origins, err = httpapi.ParseOrigins(a.cfg.CORS.Origins)
	return err
}
