package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/followers"
)

// parked makes a follower fail at an entry until it is parked.
func (w *world) parked(name string, entry uint64) {
	w.t.Helper()
	watch := w.board.Watch(name)
	for range 8 {
		watch.Failed(w.t.Context(), w.tenant.Id, entry, errors.New("it makes no sense"))
	}
}

func TestFollowers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 5 {
		w.append(w.note(w.owner, n)).want(t, http.StatusCreated)
	}
	w.clock.advance(3 * time.Second)
	token := w.token(w.owner)
	var stats struct {
		Size uint64 `json:"size"`
	}
	w.get(w.at(""), token).want(t, http.StatusOK).decode(t, &stats)
	size := stats.Size
	w.board.Watch(followers.Tasks).At(w.tenant.Id, 4, size)
	w.board.Watch(followers.Words).At(w.tenant.Id, 0, 0)
	w.board.Watch(followers.Teller).At(w.tenant.Id, 0, 0)

	var page openapi.FollowerPage
	w.get(w.at("/followers"), token).want(t, http.StatusOK).decode(t, &page)
	require.Len(t, page.Items, 3)
	tasks, teller, words := page.Items[0], page.Items[1], page.Items[2]
	require.Equal(t, []any{"tasks", openapi.FollowerState("running"), uint64(4), size, size - 4, 3.0},
		[]any{tasks.Follower, tasks.State, *tasks.Cursor, *tasks.Head, tasks.Lag, tasks.LagSeconds})
	require.Equal(t, []any{"teller", (*uint64)(nil), uint64(0)}, []any{teller.Follower, teller.Cursor, teller.Lag})
	require.Equal(t, []any{"words", uint64(0), uint64(0)}, []any{words.Follower, *words.Cursor, *words.Head}, "words are indexed by 1,024 entries")

	one := w.at("/followers/tasks")
	var f openapi.Follower
	w.post(one+"/pause", token, nil).want(t, http.StatusOK).decode(t, &f)
	require.EqualValues(t, "paused", f.State)
	require.Equal(t, w.owner.ID(), f.ChangedBy)
	require.False(t, w.board.Watch(followers.Tasks).May(w.tenant.Id, size))
	w.post(one+"/requeue", token, nil).problem(t, http.StatusConflict, "follower_not_parked")
	w.post(one+"/resume", token, nil).want(t, http.StatusOK).decode(t, &f)
	require.EqualValues(t, "running", f.State)

	w.parked(followers.Tasks, 4)
	w.get(one, token).want(t, http.StatusOK).decode(t, &f)
	require.Equal(t, []any{openapi.FollowerState("parked"), uint64(4), 8, "internal", "something failed that has no message of its own; the node's log says what"}, []any{f.State, *f.Entry, f.Tries, f.Code, f.Error})
	w.post(one+"/skip", token, map[string]any{"entry": 5}).problem(t, http.StatusConflict, "follower_elsewhere")
	w.post(one+"/skip", token, map[string]any{}).want(t, http.StatusConflict) // entry 0
	w.post(one+"/skip", token, map[string]any{"entry": "4"}).want(t, http.StatusBadRequest)
	w.post(w.at("/followers/words/skip"), token, map[string]any{"entry": 4}).problem(t, http.StatusConflict, "follower_cannot_skip")
	f = openapi.Follower{}
	w.post(one+"/skip", token, map[string]any{"entry": 4}).want(t, http.StatusOK).decode(t, &f)
	require.EqualValues(t, "running", f.State)
	require.Empty(t, f.Error)
	w.parked(followers.Tasks, 4)
	w.post(one+"/requeue", token, nil).want(t, http.StatusOK)
	w.get(w.at("/followers/nobody"), token).problem(t, http.StatusNotFound, "follower_unknown")
	w.post(w.at("/followers/mirror/pause"), token, nil).problem(t, http.StatusNotFound, "follower_unknown")
}

// Followers are for those whom tasks are for; other tenants' do not exist.
func TestWhoSeesFollowers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.board.Watch(followers.Tasks).At(w.tenant.Id, 1, 1)
	one := w.at("/followers/tasks")
	for _, c := range []struct {
		who, token string
		see, act   int
	}{
		{"nobody", "", 401, 401},
		{"a stranger", w.token(w.identity()), 404, 404},
		{"guest", w.token(w.member("guest")), 403, 403},
		{"member", w.token(w.member("member")), 403, 403},
		{"auditor", w.token(w.member("auditor")), 200, 403},
		{"limited key", w.apiKey(w.owner, w.owner.ID(), map[string]any{"types": []string{"a.*"}}).Key, 403, 403},
		{"admin", w.token(w.member("admin")), 200, 200},
		{"owner", w.token(w.owner), 200, 200},
	} {
		w.get(w.at("/followers"), c.token).want(t, c.see)
		w.get(one, c.token).want(t, c.see)
		for _, verb := range []string{"/pause", "/resume"} {
			w.post(one+verb, c.token, nil).want(t, c.act)
		}
		for _, verb := range []string{"/requeue", "/skip"} {
			want := c.act
			if want == 200 {
				want = 409
			}
			w.post(one+verb, c.token, map[string]any{"entry": 1}).want(t, want)
		}
	}
	mine := w.tenant
	w.tenant = w.newTenant(w.token(w.owner), "other", false)
	w.get(w.at("/followers/tasks"), w.token(w.owner)).problem(t, http.StatusNotFound, "follower_unknown")
	w.tenant = mine
}

// What waits and what is parked are figures of each follower.
func TestFollowersAreMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.board.Watch(followers.Words).At(w.tenant.Id, 2048, 4096)
	w.clock.advance(1500 * time.Millisecond)
	w.parked(followers.Tasks, 4)
	res, err := http.Get(w.url + "/metrics")
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	for _, line := range []string{
		`logline_follower_lag_entries{follower="words"} 2048`, `logline_follower_lag_seconds{follower="words"} 1.5`, `logline_follower_parked{follower="words"} 0`,
		`logline_follower_parked{follower="tasks"} 1`, `logline_follower_paused{follower="tasks"} 0`,
	} {
		require.Contains(t, string(text), line+"\n")
	}
}
