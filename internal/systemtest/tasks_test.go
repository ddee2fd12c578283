package systemtest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/storage/pgtest"
)

// echoing answers each span of a type with another.
const echoing = `contract echo.pings version "1.0.0" {
	rule echo { on: "test.happened"  then { emit "test.echoed" { data: { n: data.n } } } }
}`

// Each span asks for an effect. Servers are killed at any moment, with tasks
// queued, running and ended but not settled; two work at once where the database
// lets them. In the end every effect is there, once.
func TestKilledWorkersLoseNothing(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]func(t *testing.T) []string{
		"sqlite":   func(*testing.T) []string { return nil },
		"postgres": func(t *testing.T) []string { return []string{"--database-url", pgtest.New(t).URL} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killWorkers(t, flags(t)...)
		})
	}
}

func killWorkers(t *testing.T, flags ...string) {
	const spans, kills = 300, 3
	random, dir := seed(t), t.TempDir()
	y := onboard(t, start(t, dir, append(flags, "--tasks-lease=2s")...))
	payload, err := span.Canonical(span.Contract{Name: "echo.pings", Version: "1.0.0", Source: echoing, Hash: span.Sum([]byte(echoing)).String(), Action: span.ActionActivate})
	require.NoError(t, err)
	_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
	require.NoError(t, err)

	var causes []string
	for round := range kills + 1 {
		var lines [][]byte
		for n := range spans / (kills + 1) {
			lines = append(lines, y.note(round*1000+n))
			var h struct{ ID string }
			require.NoError(t, json.Unmarshal(lines[n], &h))
			causes = append(causes, h.ID)
		}
		if round == kills {
			y.appendAll(lines)
			break
		}
		killed := time.AfterFunc(time.Duration(random.IntN(400))*time.Millisecond, y.Kill)
		var senders sync.WaitGroup
		for i := range 3 {
			senders.Go(func() {
				for n := i; n < len(lines); n += 3 {
					_, _ = y.api.Append(background(), y.tenant.Id, lines[n]) // sent again below
				}
			})
		}
		senders.Wait()
		killed.Stop()
		y.Kill()
		y.attach(started(t, y.Again()))
		y.appendAll(lines) // a repeat is recorded once
	}
	echoed := map[string]int{}
	require.Eventually(t, func() bool {
		clear(echoed)
		for raw, err := range y.api.All(background(), y.tenant.Id, client.Filter{Types: []string{"test.echoed"}}) {
			require.NoError(t, err)
			var e struct{ Span struct{ Causes []string } }
			require.NoError(t, json.Unmarshal(raw, &e))
			echoed[e.Span.Causes[0]]++
		}
		return len(echoed) == len(causes)
	}, 2*time.Minute, 200*time.Millisecond, "log:\n%s", y.Log)
	for _, cause := range causes {
		require.Equal(t, 1, echoed[cause], "the effect of %s", cause)
	}
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	require.NotContains(t, y.Log.String(), "panic")
	y.attach(started(t, y.Again()))
	y.export() // and it verifies
	require.Zero(t, y.terminate())
}

// appendAll appends spans that may be there already.
func (y *tenancy) appendAll(lines [][]byte) {
	y.t.Helper()
	results, err := y.api.AppendMany(background(), y.tenant.Id, lines)
	require.NoError(y.t, err)
	for _, r := range results {
		require.Nil(y.t, r.Problem, fmt.Sprint(r.Problem))
	}
}
