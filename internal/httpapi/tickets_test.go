package httpapi_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/storage/pgtest"
	"github.com/danvoulez/logline/internal/timeline/storetest/backend"
)

// Two processes on one PostgreSQL, behind a balancer that sends the two requests
// wherever it likes: a ticket opens one feed, at either.
func TestTicketInTwoProcesses(t *testing.T) {
	t.Parallel()
	url := pgtest.New(t).URL
	db, store := backend.Open(t, url)
	same := func(d *id.Directory) engine.Directory { return d }
	one := newNodeOn(t, db, store, same, nil)
	one.owner = one.identity()
	one.tenant = one.newTenant(bootstrapToken, "acme", false)
	db2, store2 := backend.Open(t, url)
	two := newProcess(t, one.node, db2, store2, same, nil)
	two.owner, two.tenant = one.owner, one.tenant
	member := one.member("member")
	open := func(at *world, path string) int {
		conn, resp, err := at.dial(path, "", http.Header{"Origin": {at.url}})
		if err == nil {
			_ = conn.Close()
			return http.StatusSwitchingProtocols
		}
		require.NotNil(t, resp, "%v", err)
		return resp.StatusCode
	}

	// The feed has the rights of whoever asked for the ticket at the other process.
	once := one.newTicket(one.token(member))
	sse := two.events("from=0&ticket="+once, "")
	size := one.size()
	require.Equal(t, upTo(0, size), sse.seqs(0, size))
	for _, at := range []*world{one, two} {
		require.Equal(t, http.StatusUnauthorized, open(at, at.feedPath("ticket="+once)), "it is good once")
	}

	// Of many at once, at both, one.
	for range 3 {
		text := two.newTicket(two.token(member))
		var all sync.WaitGroup
		var opened, refused atomic.Int64
		for n := range 8 {
			at := one
			if n%2 == 1 {
				at = two
			}
			all.Go(func() {
				switch open(at, at.feedPath("ticket="+text)) {
				case http.StatusSwitchingProtocols:
					opened.Add(1)
				case http.StatusUnauthorized:
					refused.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, opened.Load())
		require.EqualValues(t, 7, refused.Load())
	}

	// For one tenant, and a short time, there too.
	other := one.newTenant(one.token(one.owner), "other", false)
	require.Equal(t, http.StatusUnauthorized, open(two, "/v1/tenants/"+other.Id+"/feed?ticket="+one.newTicket(one.token(one.owner))))
	late := one.newTicket(one.token(member))
	one.clock.advance(30 * time.Second)
	two.clock.advance(30 * time.Second)
	require.Equal(t, http.StatusUnauthorized, open(two, two.feedPath("ticket="+late)))

	// What an identity may have of them, it may have of all processes together.
	for n := range 64 {
		at := one
		if n%2 == 1 {
			at = two
		}
		at.newTicket(at.token(member))
	}
	one.post(one.at("/feed/tickets"), one.token(member), nil).problem(t, http.StatusTooManyRequests, "tickets_limited")
	two.post(two.at("/feed/tickets"), two.token(member), nil).problem(t, http.StatusTooManyRequests, "tickets_limited")
}
