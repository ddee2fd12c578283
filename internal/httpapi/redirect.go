package httpapi

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// Redirect brings what asks without TLS to the same address with it: questions
// alone, without a credential, and only to names that the server shows a
// certificate for. All else is refused, for what came could be read on its way and
// must not come so again. port is that of TLS, "" for the usual one.
func Redirect(port string, serves func(host string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		host := hostOf(req.Host)
		if !bareQuestion(req) || !serves(host) {
			header, body := bareProblem(http.StatusBadRequest, "tls_required", "ask by https://, at a name that the server's certificate is for; a credential that came without TLS may be known to others now, get a new one")
			maps.Copy(w.Header(), header)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write(body) // a client that is gone needs no answer
			return
		}
		if port != "" {
			host = net.JoinHostPort(host, port)
		} else if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		header, _ := bareProblem(http.StatusPermanentRedirect, "", "")
		header.Del(echo.HeaderContentType)
		maps.Copy(w.Header(), header)
		w.Header().Set(echo.HeaderLocation, "https://"+host+req.URL.RequestURI())
		w.WriteHeader(http.StatusPermanentRedirect)
	})
}

// bareQuestion says whether a request asks without showing a credential, in a
// form that names a path alone.
func bareQuestion(req *http.Request) bool {
	question := req.Method == http.MethodGet || req.Method == http.MethodHead
	return question && len(req.Header[echo.HeaderAuthorization]) == 0 && len(req.Header[echo.HeaderCookie]) == 0 &&
		!req.URL.Query().Has("ticket") && strings.HasPrefix(req.RequestURI, "/") && !strings.HasPrefix(req.RequestURI, "//")
}

// hostOf is a Host without its port and brackets.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// Bounds of a server that answers little, and at once.
const (
	bareConnections    = 512
	bareConnectionsOne = 32
	bareHeader         = 16 << 10 // bytes
)

// ServeBare serves on ln what needs neither body nor time, until stop, which
// waits for its end. Each request has to be over within patience.
func ServeBare(ln net.Listener, handler http.Handler, patience time.Duration) (stop func()) {
	bounded := &connections{Listener: ln, most: bareConnections, mostOne: bareConnectionsOne, plain: true, refused: func(string) {}, open: make(map[*connection]struct{}), by: make(map[netip.Prefix]int)}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			asks(req)
			req.Body = http.MaxBytesReader(w, req.Body, 0)
			handler.ServeHTTP(w, req)
		}),
		ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience, MaxHeaderBytes: bareHeader,
		ConnState: waits, ConnContext: withConnection, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(bounded) // ends by stop
	}()
	return func() {
		_ = srv.Close()
		<-served
	}
}

// withConnection lets handlers find the connection of a request.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}
