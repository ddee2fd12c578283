package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// TestEntriesBehindTheEndOfAKeyAreTold: a node that holds entries by a key behind its
// end is told of. An honest one has none, so that this one is made up, and what it
// shows is not: the identity's key events.
func TestEntriesBehindTheEndOfAKeyAreTold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	keys, err := id.NewKeys(id.SubjectPerson, now, rand.Reader)
	require.NoError(t, err)
	stolen := keys.Signer().Public()
	_, err = keys.Rotate(now, rand.Reader)
	require.NoError(t, err)
	entry := func(seq int, typ, key, payload string) string {
		return fmt.Sprintf(`{"seq":%d,"recorded_at":%q,"span":{"id":"s%d","type":%q,"signature":{"key":%q},"payload":%s}}`, seq, span.FormatTime(now), seq, typ, key, payload)
	}
	var events []string
	for i, raw := range keys.Events() {
		events = append(events, entry(3+4*i, span.TypeIdentity, "node", `{"event":`+string(raw)+`}`)) // at 3 and 7
	}
	mine := []string{entry(5, "a.b", stolen, "{}"), entry(8, "a.b", keys.Signer().Public(), "{}"), entry(9, "a.c", stolen, "{}")}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		items := mine
		if r.URL.Query().Get("type") == span.TypeIdentity {
			items = events
		}
		fmt.Fprintf(w, `{"items":[%s],"statuses":[],"next":null}`, strings.Join(items, ","))
	}))
	t.Cleanup(srv.Close)
	c, err := client.New(srv.URL)
	require.NoError(t, err)
	var out bytes.Buffer
	s := &session{env: &environment{Stdout: &out, Stderr: &out}, keys: keys, client: c}
	parsed := make([]*id.Event, 0, 2)
	for _, raw := range keys.Events() {
		e, err := id.ParseEvent(raw)
		require.NoError(t, err)
		parsed = append(parsed, e)
	}
	q := &inQuestion{Identity: keys.ID(), events: parsed}
	q.Key, err = suspectKey(parsed, "")
	require.NoError(t, err)
	require.Equal(t, stolen, q.Key)
	f := &suspectFlags{}
	f.json = true
	one, err := f.look(t.Context(), s, q, &client.Tenant{Id: "t", Slug: "acme"})
	require.NoError(t, err)
	q.Tenants = append(q.Tenants, *one)
	require.EqualValues(t, 7, *one.Ended)
	require.Equal(t, 1, one.After)
	require.Len(t, one.Entries, 2)
	require.Equal(t, []bool{false, true}, []bool{one.Entries[0].After, one.Entries[1].After})
	require.Equal(t, "key_used_after_end", fault.CodeOf(f.tell(s, q)))
	require.True(t, json.Valid(bytes.TrimSpace(out.Bytes())))
}
