package loadgen_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/loadgen"
)

// answering is a server that answers every request by answer, given its body
// and how many spans came before.
func answering(t *testing.T, answer func(w http.ResponseWriter, body string, seq int64)) string {
	t.Helper()
	var seq atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		n := max(int64(strings.Count(string(body), "\n")), 1)
		answer(w, string(body), seq.Add(n)-n)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/spans"
}

func receipt(seq int64) string {
	return fmt.Sprintf(`{"entry":{"decision":{"outcome":"allow"},"recorded_at":"now","seq":%d,"span":{}}}`, seq)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	owner, err := id.NewKeys(id.SubjectService, time.Now(), rand.Reader)
	require.NoError(t, err)
	const many = 500 // more than fits into a connection's buffers
	for _, c := range []struct {
		name   string
		load   loadgen.Case
		answer func(w http.ResponseWriter, body string, seq int64)
		fails  string
	}{
		{"one", loadgen.Case{Callers: 3, Lines: 1, Spans: 30}, func(w http.ResponseWriter, _ string, seq int64) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, receipt(seq))
		}, ""},
		{"many, in chunks", loadgen.Case{Callers: 2, Lines: many, Spans: 4 * many}, func(w http.ResponseWriter, body string, seq int64) {
			for i := range strings.Count(body, "\n") {
				fmt.Fprintf(w, `{"line":%d,"status":201,"receipt":%s}`+"\n", i+1, receipt(seq+int64(i)))
			}
		}, ""},
		{"refused", loadgen.Case{Callers: 1, Lines: 1, Spans: 2}, func(w http.ResponseWriter, _ string, _ int64) {
			http.Error(w, `{"code":"queue_full"}`, http.StatusTooManyRequests)
		}, "queue_full"},
		{"a repeat", loadgen.Case{Callers: 1, Lines: 1, Spans: 2}, func(w http.ResponseWriter, _ string, seq int64) {
			_, _ = io.WriteString(w, receipt(seq)) // 200
		}, "0 of 1 spans have a receipt"},
		{"a place twice", loadgen.Case{Callers: 2, Lines: 1, Spans: 4}, func(w http.ResponseWriter, _ string, seq int64) {
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, receipt(seq/2))
		}, "2 spans were given a place that another has"},
		{"a line refused", loadgen.Case{Callers: 1, Lines: 3, Spans: 3}, func(w http.ResponseWriter, _ string, seq int64) {
			fmt.Fprintf(w, `{"line":1,"status":201,"receipt":%s}`+"\n"+`{"line":2,"status":409,"problem":{}}`+"\n"+`{"line":3,"status":201,"receipt":%s}`+"\n",
				receipt(seq), receipt(seq+1))
		}, "2 of 3 spans have a receipt"},
		{"cut", loadgen.Case{Callers: 1, Lines: 1, Spans: 1}, func(w http.ResponseWriter, _ string, _ int64) {
			panic(http.ErrAbortHandler)
		}, "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bodies, err := loadgen.Seal(owner, "0198d2a0-0000-7000-8000-000000000000", c.load)
			require.NoError(t, err)
			l, err := loadgen.Load(t.Context(), answering(t, c.answer), bodies, c.load)
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
				return
			}
			require.NoError(t, err)
			require.Len(t, l.Latencies, c.load.Spans/c.load.Lines)
			require.Positive(t, l.Answered)
		})
	}
}

func TestLoadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	url := answering(t, func(http.ResponseWriter, string, int64) { cancel(); <-release })
	t.Cleanup(func() { close(release) }) // before the server closes, which waits for its requests
	_, err := loadgen.Load(ctx, url, [][]byte{[]byte(`{}`)}, loadgen.Case{Callers: 1, Lines: 1, Spans: 1})
	require.ErrorIs(t, err, context.Canceled)
}
