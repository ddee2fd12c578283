package httpapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/span"
)

const nightly = `contract nights version "1.0.0" {
  schedule nightly { cron: "0 3 * * *"  timezone: "Europe/Lisbon"  missed: skip  foreach: identities  then { tag "night" } }
  schedule hourly { every: 1h  then { tag "hour" } }
  schedule after { on: "a.b"  delay: 1h  then { tag "after" } }
}`

func TestSchedules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append(w.contract(nightly, span.ActionActivate)).want(t, http.StatusCreated)
	owner, auditor := w.token(w.owner), w.token(w.member("auditor"))

	var page openapi.SchedulePage
	w.get(w.at("/schedules"), auditor).want(t, http.StatusOK).decode(t, &page)
	require.Len(t, page.Items, 2, "what follows a span is none of the clock's")
	var one openapi.Schedule
	w.get(w.at("/schedules/nights/nightly"), auditor).want(t, http.StatusOK).decode(t, &one)
	require.Contains(t, page.Items, one)
	require.Equal(t, "0 3 * * * Europe/Lisbon identities skip 1.0.0", one.Cron+" "+one.Timezone+" "+one.Foreach+" "+string(one.Missed)+" "+one.Version)
	require.Len(t, one.Next, 5)
	require.Equal(t, one.Next[0], one.Due)
	require.Nil(t, one.Last)

	hourly := w.at("/schedules/nights/hourly")
	w.post(hourly+"/pause", owner, nil).want(t, http.StatusOK).decode(t, &one)
	require.True(t, one.Paused)
	require.Empty(t, one.Next)
	w.post(hourly+"/pause", owner, nil).problem(t, http.StatusConflict, "schedule_paused")
	w.post(hourly+"/run", owner, nil).want(t, http.StatusOK).decode(t, &one)
	require.True(t, one.Paused)
	w.clock.advance(90 * time.Minute)
	owner, auditor = w.token(w.owner), w.token(w.member("auditor"))
	member := w.token(w.member("member"))
	w.post(hourly+"/resume", owner, nil).want(t, http.StatusOK).decode(t, &one)
	require.False(t, one.Paused)
	require.Equal(t, "1h0m0s", one.Every)
	require.Equal(t, span.FormatTime(w.clock.now().Add(30*time.Minute)), one.Due)
	w.post(hourly+"/resume", owner, nil).problem(t, http.StatusConflict, "schedule_not_paused")

	for _, name := range []string{"nights/after", "nights/none", "none/hourly"} {
		w.get(w.at("/schedules/"+name), owner).problem(t, http.StatusNotFound, "schedule_unknown")
		w.post(w.at("/schedules/"+name+"/run"), owner, nil).problem(t, http.StatusNotFound, "schedule_unknown")
	}
	for _, token := range []string{auditor, member} {
		w.post(hourly+"/run", token, nil).problem(t, http.StatusForbidden, "role_forbidden")
	}
	w.get(hourly, member).problem(t, http.StatusForbidden, "role_forbidden")
	limited := w.apiKey(w.owner, w.owner.ID(), map[string]any{"types": []string{"a.*"}}).Key
	w.post(hourly+"/run", limited, nil).problem(t, http.StatusForbidden, "api_key_right_missing")
}
