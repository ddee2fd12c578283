package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
)

// meter counts the signatures that are checked, and how many at a time.
type meter struct {
	id.Verifier
	all, now, most atomic.Int64
}

func (m *meter) Verify(pub, message, sig []byte) bool {
	m.all.Add(1)
	for n := m.now.Add(1); ; {
		most := m.most.Load()
		if n <= most || m.most.CompareAndSwap(most, n) {
			break
		}
	}
	defer m.now.Add(-1)
	for range 8 {
		runtime.Gosched() // lets whoever is not kept out come in
	}
	return m.Verifier.Verify(pub, message, sig)
}

// TestChecksOfSignaturesAreBounded: whatever is asked, no more are at work than
// there are processors, so that the others' work goes on.
func TestChecksOfSignaturesAreBounded(t *testing.T) {
	t.Parallel()
	m := &meter{Verifier: id.FastVerifier()}
	w := newWorld(t, func(d *httpapi.Deps) { d.Verifier = m })
	keys := w.keys()
	for i := range 31 {
		_, _, err := keys.Delegate(fmt.Sprintf("d%d", i), []string{"a.b"}, "", w.clock.now(), rand.Reader)
		require.NoError(t, err)
	}
	w.register(keys)
	one := map[string]any{"identity": keys.ID(), "message": "x", "signature": base64.RawURLEncoding.EncodeToString(make([]byte, 64))}
	body, err := json.Marshal(map[string]any{"items": []any{one, one, one}})
	require.NoError(t, err)
	const callers = 16
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			resp, err := w.http.Post(w.url+"/v1/signatures/verify", "application/json", bytes.NewReader(body))
			if err == nil {
				_ = resp.Body.Close()
			}
		})
	}
	all.Wait()
	require.EqualValues(t, callers*3*32, m.all.Load(), "32 keys are tried for each")
	require.LessOrEqual(t, m.most.Load(), int64(runtime.GOMAXPROCS(0)), "checked at a time")
}

// TestNothingIsCheckedForAStranger: a node that is closed to new identities checks
// none of the signatures that somebody sends along with a token that is none.
func TestNothingIsCheckedForAStranger(t *testing.T) {
	t.Parallel()
	m := &meter{Verifier: id.FastVerifier()}
	w := newWorld(t, func(d *httpapi.Deps) { d.Verifier, d.OpenRegistration = m, false })
	keys := w.keys()
	for i := range 100 {
		_, _, err := keys.Delegate(fmt.Sprintf("d%d", i), []string{"a.b"}, "", w.clock.now(), rand.Reader)
		require.NoError(t, err)
	}
	events := make([]json.RawMessage, 0, 101)
	for _, e := range keys.Events() {
		events = append(events, e)
	}
	stranger, err := id.SignToken(keys.Signer(), keys.ID(), w.node.ID(), w.clock.now(), time.Minute)
	require.NoError(t, err)
	for _, token := range []string{"llb_" + strings.Repeat("x", 40), "x.y.z", stranger} {
		r := w.post("/v1/identities", token, map[string]any{"events": events})
		require.Contains(t, []int{http.StatusForbidden, http.StatusUnauthorized}, r.status, "%s", r.body)
	}
	require.Zero(t, m.all.Load())
}

// beyond is an engine that could not reach a timeline with a key event.
type beyond struct {
	httpapi.Engine
	tenant string
}

func (b *beyond) EmbedEvent(ctx context.Context, identity string, event []byte) (id.Info, []string, error) {
	info, _, err := b.Engine.EmbedEvent(ctx, identity, event)
	return info, []string{b.tenant}, err
}

// TestWhereAnIdentityIsIsNotToldToOthers: key events are open, so anybody can send
// one again. Which timelines hold the identity is told to itself.
func TestWhereAnIdentityIsIsNotToldToOthers(t *testing.T) {
	t.Parallel()
	far := &beyond{}
	w := newWorld(t, func(d *httpapi.Deps) { far.Engine, d.Engine = d.Engine, far })
	far.tenant = w.tenant.Id
	keys := w.member("member")
	event, _, err := keys.Delegate("device", []string{"a.b"}, "", w.clock.now(), rand.Reader)
	require.NoError(t, err)
	send := func(token string) reply {
		return w.post(pathOf(keys.ID(), "/events"), token, event.Raw).want(t, http.StatusCreated)
	}
	require.Contains(t, string(send("").body), w.tenant.Id, "who has the key may know")
	for name, token := range map[string]string{"nobody": "", "another": w.token(w.identity()), "nobody's token": "x.y.z"} {
		require.NotContains(t, string(send(token).body), w.tenant.Id, name)
	}
	require.Contains(t, string(send(w.token(keys)).body), w.tenant.Id)
}

// TestPlacesAreLeftForOthers: one holder has three quarters of what others leave.
func TestPlacesAreLeftForOthers(t *testing.T) {
	t.Parallel()
	p := httpapi.NewPlaces(64)
	had := map[string]int{}
	for _, holder := range []string{"a", "b", "c", "d"} {
		for p.Try(holder) {
			had[holder]++
		}
	}
	require.Equal(t, map[string]int{"a": 48, "b": 12, "c": 3, "d": 1}, had)
	require.False(t, p.Try("e"), "all are taken")
	p.Give("a")
	require.True(t, p.Try("e"), "what is given back is the next one's")
	require.False(t, p.Try("e"))

	alone := httpapi.NewPlaces(1)
	require.True(t, alone.Try("a"), "where there is one place it is anybody's")
	require.False(t, alone.Try("b"))
	alone.Give("a")
	require.True(t, alone.Try("b"))
}
