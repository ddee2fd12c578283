package httpapi

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/secret/plant"
)

// TestPanicTellsNoSecret: a handler that panics with what the caller sent in its
// hands leaves a stack in the log, and nothing of the request but its id.
func TestPanicTellsNoSecret(t *testing.T) {
	t.Parallel()
	const inBody, inHeader, inQuery = "planted-in-the-body-of-a-test", "planted-in-a-header-of-a-test", "planted-in-the-query-of-a-test"
	var plants plant.Plants
	plants.Text("body", inBody)
	plants.Text("header", inHeader)
	plants.Text("query", inQuery)
	for name, fall := range map[string]func(body []byte){
		"with an error":   func(body []byte) { panic(errors.New("cannot use " + string(body))) },
		"with text":       func(body []byte) { panic("cannot use " + string(body)) },
		"with bytes":      func(body []byte) { panic(body) },
		"by the language": func(body []byte) { _ = body[len(body)] },
		"by nil":          func(body []byte) { map[int]http.Header{}[len(body)]["x"] = nil },
	} {
		var log bytes.Buffer
		s := &Server{log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		req := httptest.NewRequest(http.MethodPost, "/v1/x?ticket="+inQuery, strings.NewReader(inBody))
		req.Header.Set("Authorization", "Bearer "+inHeader)
		rec := httptest.NewRecorder()
		err := s.guard(func(c echo.Context) error {
			body, err := io.ReadAll(c.Request().Body)
			require.NoError(t, err)
			fall(body)
			return nil
		}, echo.New().NewContext(req, rec))
		require.Equal(t, "internal", fault.CodeOf(err), name)
		require.Contains(t, log.String(), "handler panicked", name)
		require.Contains(t, log.String(), "panic_test.go", name)
		require.Empty(t, plants.Search(log.Bytes()), name)
		require.Empty(t, plants.Search([]byte(err.Error())), name)
	}
}
