package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
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
