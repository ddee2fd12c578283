package attack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// patience is how long a victim may wait for one append under a flood. It is a
// few hundred milliseconds on a machine that does nothing else.
const patience = 20 * time.Second

// flood keeps many clients sending until the returned function is called, which
// says how often they were answered, by status.
func (s *scene) flood(clients int, send func(ctx context.Context, client int) (reply, error)) (stop func() map[int]int64) {
	ctx, cancel := context.WithCancel(context.Background())
	var counts [600]atomic.Int64
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for ctx.Err() == nil {
				r, err := send(ctx, i)
				if err != nil {
					continue // cut off, or over
				}
				counts[r.status].Add(1)
			}
		})
	}
	return func() map[int]int64 {
		cancel()
		all.Wait()
		out := map[int]int64{}
		for status := range counts {
			if n := counts[status].Load(); n > 0 {
				out[status] = n
			}
		}
		return out
	}
}

// aside is a client with an address of its own, so that what the flood's address
// may not do any more is not laid to the victim's charge.
func aside(t testing.TB) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	if probe, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}); err != nil {
		dialer.LocalAddr = nil // a system whose loopback has one address
	} else {
		_ = probe.Close()
	}
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// works has the victim append, and says how long the slowest of its spans took.
func (s *scene) works(t testing.TB, client *http.Client, spans int) (slowest time.Duration) {
	t.Helper()
	for i := range spans {
		raw := s.seal(s.member, fmt.Sprintf(`{"n":%d}`, i))
		began := time.Now()
		for {
			resp, err := client.Post(s.URL+s.at("/spans"), "application/json", bytes.NewReader(raw))
			require.NoError(t, err, "the victim's append did not get through")
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusOK {
				break
			}
			require.Contains(t, []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}, resp.StatusCode, "%s", body)
			require.Less(t, time.Since(began), patience, "the victim was sent away until its patience ended: %s", body)
			<-time.After(20 * time.Millisecond)
		}
		slowest = max(slowest, time.Since(began))
	}
	require.Less(t, slowest, patience)
	return slowest
}

// Gained would be: that nobody else is served, by requests that prove nothing.
func TestFloodBeforeAuthentication(t *testing.T) {
	s := alone(t)
	strangers := make([][]byte, 16) // well signed, by people nobody knows
	for i := range strangers {
		strangers[i] = s.seal(keys(t), fmt.Sprintf(`{"n":%d}`, i))
	}
	forged := s.seal(s.owner, `{"n":1}`) // in the owner's name, with a signature that is none
	forged = bytes.Replace(forged, []byte(base64.RawURLEncoding.EncodeToString(signatureOf(t, forged))), []byte(base64.RawURLEncoding.EncodeToString(make([]byte, 64))), 1)
	many := s.manyKeys(t, 32)
	checks := `{"items":[` + strings.TrimSuffix(strings.Repeat(fmt.Sprintf(`{"identity":%q,"message":"x","signature":%q},`, many, base64.RawURLEncoding.EncodeToString(make([]byte, 64))), 100), ",") + `]}`
	lines := bytes.Join(strangers, []byte("\n"))
	size, before := s.size(), s.resident(t)

	stop := s.flood(32, func(ctx context.Context, client int) (reply, error) {
		post := func(path, kind string, body []byte) (reply, error) {
			return s.try(ctx, http.MethodPost, "", path, kind, bytes.NewReader(body))
		}
		switch client % 8 {
		case 0:
			return post(s.at("/spans"), "application/json", forged)
		case 1:
			return post(s.at("/spans"), "application/json", strangers[client%len(strangers)])
		case 2:
			return post(s.at("/spans"), "application/x-ndjson", lines)
		case 3:
			return post("/v1/signatures/verify", "application/json", []byte(checks))
		case 4:
			return post(s.at("/spans"), "application/json", []byte(strings.Repeat(`{"a":`, 100_000)))
		case 5:
			return s.try(ctx, http.MethodGet, "eyJhbGciOiJFZERTQSJ9."+strings.Repeat("x", 8000)+".x", s.at("/spans"), "", nil)
		case 6:
			return post(s.at("/simulations"), "application/x-ndjson", lines)
		}
		return post("/v1/tenants/"+absent+"/spans", "application/json", forged)
	})
	spans := 10
	slowest := s.works(t, aside(t), spans)
	require.Equal(t, http.StatusOK, s.get("", "/readyz").status)
	counts := stop()
	t.Logf("slowest append %s under %v; %d KiB more", slowest, counts, (s.resident(t)-before)>>10)
	require.Equal(t, size+uint64(spans), s.size(), "the flood left something")
	require.Zero(t, counts[http.StatusInternalServerError])
	require.Zero(t, counts[http.StatusCreated])
	require.Less(t, s.resident(t)-before, int64(300<<20), "bytes of memory")
}

// manyKeys is an identity with as many delegated keys.
func (s *scene) manyKeys(t testing.TB, n int) string {
	t.Helper()
	k := keys(t)
	for i := range n {
		_, _, err := k.Delegate(fmt.Sprintf("d%d", i), []string{"a.b"}, "", time.Now(), rand.Reader)
		require.NoError(t, err)
	}
	s.post("", "/v1/identities", program.Registration(k)).want(t, http.StatusCreated)
	return k.ID()
}

// Gained would be: the whole node, by a tenant that does what it may without end.
func TestFloodAfterAuthentication(t *testing.T) {
	s := alone(t)
	s.activate(s.mallory, s.evil, `contract busy.rules version "1.0.0" { rule tell { on: "busy.*" then { tag "x" } } }`).want(t, http.StatusCreated)
	evil := s.token(s.mallory)
	stop := s.flood(16, func(ctx context.Context, client int) (reply, error) {
		switch client % 4 {
		case 0, 1:
			var lines bytes.Buffer
			for i := range 200 {
				lines.Write(s.seal(s.mallory, fmt.Sprintf(`{"n":%d}`, i), in(s.evil), typed("busy.span")))
				lines.WriteByte('\n')
			}
			return s.try(ctx, http.MethodPost, "", "/v1/tenants/"+s.evil.Id+"/spans", "application/x-ndjson", &lines)
		case 2:
			return s.try(ctx, http.MethodGet, evil, "/v1/tenants/"+s.evil.Id+"/spans?q=nothing&limit=1000", "", nil)
		}
		return s.try(ctx, http.MethodGet, evil, "/v1/tenants/"+s.evil.Id+"/bundle", "", nil)
	})
	slowest := s.works(t, aside(t), 10)
	counts := stop()
	t.Logf("slowest append %s under %v", slowest, counts)
	require.NotZero(t, counts[http.StatusOK], "the flood was none")
	require.Zero(t, counts[http.StatusInternalServerError])
}

// Gained would be: all places for streams, held by clients that send nothing.
func TestPlacesAreNotHeldByOne(t *testing.T) {
	s := alone(t)
	var held []net.Conn
	t.Cleanup(func() {
		for _, c := range held {
			_ = c.Close()
		}
	})
	for range 80 { // more than there are
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		require.NoError(t, err)
		held = append(held, conn)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", s.at("/spans"))
		require.NoError(t, err)
	}
	s.works(t, aside(t), 3)
	client := aside(t)
	raw := s.seal(s.member, `{"n":1}`)
	began := time.Now()
	resp, err := client.Post(s.URL+s.at("/spans"), "application/x-ndjson", bytes.NewReader(raw))
	require.NoError(t, err)
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode, "after %s: %s", time.Since(began), body)

	// The same with bundles that are read, and with those that are sent.
	token := s.token(s.auditor)
	evil := s.token(s.mallory)
	for range 40 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		require.NoError(t, err)
		held = append(held, conn)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "/v1/tenants/"+absent+"/bundle", evil)
		require.NoError(t, err)
	}
	req, err := http.NewRequest(http.MethodPost, s.URL+"/v1/tenants/"+absent+"/bundle", strings.NewReader("{}\n"))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err = client.Do(req)
	require.NoError(t, err)
	body, _ = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, "a bundle's turn does not come: %s", body)
}

// Gained would be: that nobody else hears anything live.
func TestFeedsAreLeftForOtherTenants(t *testing.T) {
	s := alone(t, "--limits-feeds", "64")
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	listen := func(k *id.Keys, tenant string) int {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/tenants/"+tenant+"/feed?from=now", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+s.token(k))
		req.Header.Set("Accept", "text/event-stream")
		resp, err := browser().Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp.StatusCode
	}
	open := 0
	for range 4 { // readers of the hostile tenant's own
		k := s.identity()
		payload := fmt.Sprintf(`{"action":"grant","identity":%q,"roles":["member"]}`, k.ID())
		s.append(s.seal(s.mallory, payload, in(s.evil), typed("logline.member"))).want(t, http.StatusCreated)
		for range 20 {
			if listen(k, s.evil.Id) == http.StatusOK {
				open++
			}
		}
	}
	require.Equal(t, 56, open)
	for range 5 {
		require.Equal(t, http.StatusOK, listen(s.member, s.tenant.Id), "the victim's feed")
	}
}
