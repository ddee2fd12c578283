package systemtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Commands that keep and send spans at once, some of them killed at any moment,
// neither lose a span that one of them said is kept nor record one twice.
func TestOutboxKilledAndShared(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	random := seed(t)
	s := start(t, t.TempDir())
	w := newWorkplace(t, s, nil)
	var mu sync.Mutex // guards kept
	kept := map[string]bool{}
	for round := range rounds {
		var wg sync.WaitGroup
		for n := range 4 {
			victim, moment := n == 3, time.Duration(random.IntN(60))*time.Millisecond
			cmd := w.command("append", "--offline", "--json", "--type", "note.written", "--payload", fmt.Sprintf(`{"round":%d,"n":%d}`, round, n))
			wg.Go(func() {
				var out bytes.Buffer
				cmd.Stdout = &out
				if err := cmd.Start(); err != nil {
					t.Error(err)
					return
				}
				if victim {
					timer := time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
					defer timer.Stop()
				}
				err := cmd.Wait()
				var said struct {
					Kept bool
					ID   string
				}
				if json.Unmarshal(out.Bytes(), &said) == nil && said.Kept {
					mu.Lock()
					defer mu.Unlock()
					kept[said.ID] = true
				} else if !victim {
					t.Errorf("%v: %s", err, out.Bytes())
				}
			})
		}
		for range 2 {
			flush, moment := w.command("append", "--flush"), time.Duration(10+random.IntN(80))*time.Millisecond
			wg.Go(func() {
				if err := flush.Start(); err != nil {
					t.Error(err)
					return
				}
				timer := time.AfterFunc(moment, func() { _ = flush.Process.Kill() })
				defer timer.Stop()
				_ = flush.Wait() // killed or not
			})
		}
		wg.Wait()
	}
	code, out := w.run("append", "--flush", "--json")
	require.Zero(t, code)
	require.Contains(t, out, `"waiting":0`)

	code, _ = w.run("export", "all.ndjson")
	require.Zero(t, code)
	code, verdict := w.run("verify", "all.ndjson")
	require.Zero(t, code, verdict)
	bundle, err := os.ReadFile(filepath.Join(w.dir, "all.ndjson"))
	require.NoError(t, err)
	times := map[string]int{}
	for line := range bytes.Lines(bundle) {
		var e struct {
			Span struct{ ID, Type string }
		}
		if json.Unmarshal(line, &e) == nil && e.Span.Type == "note.written" {
			times[e.Span.ID]++
		}
	}
	require.GreaterOrEqual(t, len(kept), 3*rounds)
	for spanID := range kept {
		require.Equal(t, 1, times[spanID], spanID)
	}
	require.LessOrEqual(t, len(times), 4*rounds)
}
