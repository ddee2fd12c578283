package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/backtest"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/replay"
)

// TestRealPermitsReplayed imports 177,039 events under a contract that follows them
// and forbids nothing, and decides them again: by the record's own contract nothing
// is otherwise, and by the one that forbids just what a backtest finds.
func TestRealPermitsReplayed(t *testing.T) {
	if testing.Short() {
		t.Skip("short: imports 177,039 events")
	}
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "examples", "travel", "travel.lll"))
	require.NoError(t, err)
	lenient := regexp.MustCompile(`(?m)^ *forbid .*$`).ReplaceAllString(string(text), "")
	require.NotEqual(t, string(text), lenient)
	strict := compiledSource(t, regexp.MustCompile(`version "[^"]*"`).ReplaceAllString(string(text), `version "2.0.0"`))

	s := startSession(t)
	path := filepath.Join(t.TempDir(), "lenient.lll")
	require.NoError(t, os.WriteFile(path, []byte(lenient), 0o600))
	code, _, errs := s.command(t, "rules", "activate", path)
	require.Zero(t, code, errs)
	events := int(importSample(t, s, "travel-permits").Added)

	again := func(o replay.Options) *replay.Report {
		o.Keep = 10_000
		r, err := replay.New(o)
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, s.decideAgain(t.Context(), r, o.To))
		report := r.Report()
		t.Logf("%s: %d entries, %d decided, %d otherwise, in %s", o.Mode, report.Entries, report.Decided, report.DifferenceCount, time.Since(began).Round(time.Millisecond))
		return report
	}
	for _, mode := range []replay.Mode{replay.Validate, replay.Full} {
		r := again(replay.Options{Mode: mode})
		require.Greater(t, r.Entries, events)
		require.Equal(t, r.Entries, r.Decided)
		require.Equal(t, r.Entries, r.Same, "%+v", r.Differences)
	}
	part := again(replay.Options{Mode: replay.Full, From: uint64(events / 2), To: uint64(events/2 + 1000)})
	require.Equal(t, 1000, part.Same)

	b, err := backtest.New([]*contract.Contract{strict}, backtest.Options{Keep: 10_000})
	require.NoError(t, err)
	require.NoError(t, s.decideAgain(t.Context(), b, 0))
	refused := map[uint64]string{}
	for _, d := range b.Report().Differences {
		refused[d.Seq] = d.Reason
	}
	require.NotEmpty(t, refused)
	full := again(replay.Options{Mode: replay.Full, Contracts: []*contract.Contract{strict}})
	for _, d := range full.Differences {
		if d.Now == rules.Reject.String() {
			require.Equal(t, refused[d.Seq], d.Reason)
			delete(refused, d.Seq)
		}
	}
	require.Empty(t, refused, "a backtest finds the same")
	validate := again(replay.Options{Contracts: []*contract.Contract{strict}})
	require.NotZero(t, validate.DifferenceCount)
	require.Equal(t, validate.DifferenceCount, validate.Differing["outcome"])
}

func compiledSource(t *testing.T, source string) *contract.Contract {
	t.Helper()
	c, err := rules.Compile(source)
	require.NoError(t, err)
	return c
}
