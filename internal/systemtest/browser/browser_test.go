package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/systemtest/program"
)

func TestMain(m *testing.M) {
	code := m.Run()
	endChromium()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

var built string // folder of the program, once it is built

// binary is the program under test, or the one that LOGLINE_TEST_BINARY names.
var binary = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("LOGLINE_TEST_BINARY"); given != "" {
		return given, nil
	}
	var err error
	if built, err = os.MkdirTemp("", "logline-browser"); err != nil {
		return "", err
	}
	return program.Build(context.Background(), "../../..", built)
})

// said keeps what a page said went wrong: exceptions, and what the browser refused.
type said struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (s *said) hear(event any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		s.lines = append(s.lines, fmt.Sprintf("exception: %s %s", e.ExceptionDetails.Text, describe(e.ExceptionDetails.Exception)))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelVerbose {
			return // advice
		}
		s.lines = append(s.lines, fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL))
	}
}

func describe(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// TestVectorsInChromium runs the protocol's vectors against the library of the
// pages, where it is used.
func TestVectorsInChromium(t *testing.T) {
	t.Parallel()
	b := open(t)
	mux := http.NewServeMux()
	mux.Handle("/web/", http.StripPrefix("/web/", http.FileServer(http.Dir("../../web"))))
	mux.Handle("/vectors/", http.StripPrefix("/vectors/", http.FileServer(http.Dir("../../../testdata/vectors"))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>vectors</title>"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	b.visit(server.URL)
	ran := eval[struct {
		Counts   map[string]int
		Failures []string
	}](b, `import("/web/testdata/vectors.js").then((m) => m.run(async (file) => (await fetch("/vectors/" + file)).text()))`)
	require.Empty(t, ran.Failures)
	for _, part := range []string{"canonicalJSON", "keyEvents", "ghosts", "spans", "entries", "timeline", "timelines", "tree", "checkpoint", "edges"} {
		require.Positive(t, ran.Counts[part], part)
	}
}
