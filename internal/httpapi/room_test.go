package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/standing"
)

// Large bodies and answers share a bounded room, which each request gives back;
// what is small goes through without.
func TestRoomForWhatIsLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.Limits.Room = 300 << 10 })
	large := fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 200<<10))
	for range 4 {
		w.append(w.seal(w.owner, large)).want(t, http.StatusCreated)
	}
	token := w.token(w.owner)
	for range 4 {
		p := w.get(w.at("/spans?type=test.*"), token).problem(t, http.StatusServiceUnavailable, "server_busy")
		require.Contains(t, p.Detail, "smaller pages")
		w.get(w.at("/spans?type=test.*&limit=1"), token).want(t, http.StatusOK)
	}
	w.append(w.seal(w.owner, fmt.Appendf(nil, `{"text":%q}`, strings.Repeat("x", 400<<10)))).problem(t, http.StatusServiceUnavailable, "server_busy")
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated)
}

// slowExports are real ones that begin when they may.
type slowExports struct {
	httpapi.Log
	begun, may chan struct{}
}

func (l *slowExports) Export(ctx context.Context, out io.Writer, tenant string, from, to uint64, r standing.Reader) error {
	l.begun <- struct{}{}
	<-l.may
	return l.Log.Export(ctx, out, tenant, from, to, r)
}

// As many bundles are read at once as there are places, each of which is free again
// afterwards.
func TestPlacesForBundles(t *testing.T) {
	t.Parallel()
	slow := &slowExports{begun: make(chan struct{}), may: make(chan struct{})}
	w := newWorld(t, func(d *httpapi.Deps) {
		slow.Log, d.Log = d.Log, slow
		d.Limits.Exports, d.Limits.Stall = 1, time.Second
	})
	token := w.token(w.owner)
	first := make(chan int)
	read := func() {
		resp, err := http.DefaultClient.Do(w.request(http.MethodGet, w.at("/bundle"), token, "", nil))
		if err != nil {
			first <- 0
			return
		}
		_ = resp.Body.Close()
		first <- resp.StatusCode
	}
	for range 2 {
		go read()
		<-slow.begun
		w.get(w.at("/bundle"), token).problem(t, http.StatusServiceUnavailable, "server_busy")
		w.get(w.at("/spans"), token).want(t, http.StatusOK)
		slow.may <- struct{}{}
		require.Equal(t, http.StatusOK, <-first)
	}
}
