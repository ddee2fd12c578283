package attack

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
)

// relay is a hostile server that says it is the victim's node, and uses there the
// tokens that it is sent. It says to the victim that it was asked for host.
type relay struct {
	*httptest.Server
	victim, host string

	mu    sync.Mutex // guards the rest, of the handler's goroutines
	got   reply      // what the victim answered to the last token
	token string     // the last one
}

func newRelay(t *testing.T, s *scene, host string) *relay {
	t.Helper()
	r := &relay{victim: s.URL, host: host}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/v1/node" {
			_ = json.NewEncoder(w).Encode(map[string]any{"id": s.node, "events": []any{}})
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.token = req.Header.Get("Authorization")
		r.use(req.Context(), s.at("/spans"))
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(r.Close)
	return r
}

// use reads the victim's tenant by the token.
func (r *relay) use(ctx context.Context, path string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.victim+path, nil)
	if err != nil {
		return
	}
	req.Host, req.Header = r.host, http.Header{"Authorization": {r.token}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	r.got = reply{status: resp.StatusCode, header: resp.Header}
	r.got.body, _ = io.ReadAll(resp.Body)
}

// visit has somebody work at the hostile server, which they know by its own name.
func (r *relay) visit(t *testing.T, k *id.Keys) {
	t.Helper()
	there := r.Listener.Addr().String()
	c, err := client.New("http://evil.example", client.WithSigner(k.Signer(), k.ID(), ""), client.WithHTTPClient(&http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, there)
		}},
	}))
	require.NoError(t, err)
	_, err = c.Tenant(t.Context(), "acme")
	require.Error(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	require.NotEmpty(t, r.token, "the hostile server got none")
}

// TestATokenIsOfNoUseToAnotherServer: a hostile server says that it is the victim's
// node. It gains an owner's private reading for five minutes: from clients that do not
// say whom they speak to, and where the node does not know what it is called and
// nothing before it looks at the Host.
func TestATokenIsOfNoUseToAnotherServer(t *testing.T) {
	t.Parallel()
	hosts := []string{"log.example.com", "evil.example", "127.0.0.1"}
	owned := func(t *testing.T, flags ...string) *scene {
		s := newNode(t, "sqlite", flags...)
		s.tenant = s.firstTenant()
		return s
	}
	t.Run("a node that knows its name", func(t *testing.T) {
		t.Parallel()
		s := owned(t, "--hosts=log.example.com", "--require-origin=true")
		for _, host := range hosts {
			r := newRelay(t, s, host)
			r.visit(t, s.owner)
			r.got.problem(t, http.StatusUnauthorized, "token_origin")
			require.Contains(t, string(r.got.body), "http://evil.example")
			r.token = "Bearer " + s.token(s.owner) // of an older client
			r.use(t.Context(), s.at("/spans"))
			r.got.problem(t, http.StatusUnauthorized, "token_origin_required")
		}
		for _, base := range []string{"http://log.example.com", s.URL} { // its name, and where it is
			there := strings.TrimPrefix(s.URL, "http://")
			c, err := client.New(base, client.WithSigner(s.owner.Signer(), s.owner.ID(), ""), client.WithHTTPClient(&http.Client{
				Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, there)
				}},
			}))
			require.NoError(t, err)
			_, err = c.Tenant(t.Context(), s.tenant.Id)
			require.NoError(t, err, base)
		}
	})
	t.Run("a node that knows none", func(t *testing.T) {
		t.Parallel()
		s := owned(t)
		for host, gained := range map[string]bool{
			hosts[0]: false, // a front that serves this host alone: the token is refused
			hosts[1]: true,  // nothing in front: the relay says what it likes
			hosts[2]: true,
		} {
			r := newRelay(t, s, host)
			r.visit(t, s.owner)
			if !gained {
				r.got.problem(t, http.StatusUnauthorized, "token_origin")
			} else {
				r.got.want(t, http.StatusOK)
			}
			token, err := id.SignToken(s.owner.Signer(), s.owner.ID(), s.node, time.Now(), time.Minute)
			require.NoError(t, err)
			r.token = "Bearer " + token // of an older client, everywhere
			r.use(t.Context(), s.at("/spans"))
			r.got.want(t, http.StatusOK)
		}
	})
}
