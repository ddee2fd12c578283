package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/danvoulez/logline/client/webhook"
)

// inboxCmd runs a receiver of webhooks at $INBOX until the script ends. It takes
// what is signed with the secret in a file, as that is at the moment.
func inboxCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: inbox FILE")
	}
	file := ts.MkAbs(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		secret := []byte(nil)
		if err == nil {
			secret, err = os.ReadFile(file)
		}
		if err == nil {
			_, err = webhook.Verify(strings.TrimSpace(string(secret)), r.Header, body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thank you")
	}))
	ts.Defer(server.Close)
	ts.Setenv("INBOX", server.URL)
}

// freeportCmd sets $FREE to an address that nothing listens on.
func freeportCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: freeport")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("FREE", l.Addr().String())
	ts.Check(l.Close())
}
