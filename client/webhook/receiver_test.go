package webhook_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/webhook"
)

var (
	secret string
	done   sync.Map
)

// The receiver of docs/webhooks.md, to the letter.

func receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
	if err != nil {
		return // too large, or cut
	}
	id, err := webhook.Verify(secret, r.Header, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if _, known := done.LoadOrStore(id, true); !known { // a table of yours, beside the work
		fmt.Printf("%s: %s\n", id, body)
	}
	w.WriteHeader(http.StatusNoContent)
}

// TestReceiverOfTheDocument: what the document shows is what is here, and it
// does what the document says.
func TestReceiverOfTheDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/webhooks.md")
	require.NoError(t, err)
	source, err := os.ReadFile("receiver_test.go")
	require.NoError(t, err)
	_, shown, found := strings.Cut(string(doc), "    func receive(")
	require.True(t, found)
	shown, _, found = strings.Cut("    func receive("+shown, "\n\n")
	require.True(t, found)
	shown = strings.TrimPrefix(strings.ReplaceAll(shown, "\n    ", "\n"), "    ")
	require.Contains(t, string(source), "\n"+shown+"\n")
	require.LessOrEqual(t, strings.Count(shown, "\n"), 15)

	made, err := webhook.NewSecret(rand.Reader)
	require.NoError(t, err)
	secret = made.Reveal()
	send := func(id, body, signed string) int {
		now := time.Now()
		request := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
		request.Header = headers(id, strconv.FormatInt(now.Unix(), 10), made.Sign(id, now, []byte(signed)))
		answer := httptest.NewRecorder()
		receive(answer, request)
		return answer.Code
	}
	count := func() (n int) {
		done.Range(func(any, any) bool { n++; return true })
		return n
	}
	require.Equal(t, http.StatusNoContent, send("a_0", "{}", "{}"))
	require.Equal(t, http.StatusNoContent, send("a_0", "{}", "{}"), "again")
	require.Equal(t, 1, count())
	require.Equal(t, http.StatusUnauthorized, send("a_1", "{}", "{ }"))
	require.Equal(t, 1, count())
}
