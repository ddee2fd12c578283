package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/bench/decide"
	"github.com/danvoulez/logline/internal/bench/fill"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// travel is the contract that is tried: three workflows, a dozen rules.
const travel = "examples/travel/travel.lll"

// backtests lets a contract decide a timeline again by the command that people
// use, and holds that against what all cores could do if an entry cost no more
// than deciding it.
func (b *bench) backtests(ctx context.Context) (f figure, err error) {
	spans := uint64(b.pick(100_000, 5_000))
	b.say("decide: a bundle of %d entries is made", spans)
	path := filepath.Join(b.dir, "backtest.ndjson")
	var entries []*span.Opened
	if err := makeBundle(ctx, path, spans, fill.Trip, func(t *fill.Timeline) error {
		size, err := t.Size(ctx)
		if err != nil {
			return err
		}
		for page, err := range t.Log.Opened(ctx, t.Tenant.ID, 0, size, standing.Everything()) {
			if err != nil {
				return err
			}
			entries = append(entries, page...)
		}
		return nil
	}); err != nil {
		return f, err
	}
	defer os.Remove(path)
	source, err := os.ReadFile(travel)
	if err != nil {
		return f, err
	}
	again, err := decide.History(string(source), entries)
	if err != nil {
		return f, err
	}
	b.say("decide: a backtest of %d entries", len(entries))
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as in decisions
	var alone, elapsed, used, others []float64        // by turns; of an entry
	for range b.pick(3, 1) {
		once, err := everyCore(100*time.Millisecond, func(int) error { return again(1) })
		if err != nil {
			return f, err
		}
		thrice, err := everyCore(100*time.Millisecond, func(int) error { return again(3) })
		if err != nil {
			return f, err
		}
		alone = append(alone, (thrice-once)/2/float64(len(entries)))
		before := busy()
		wall, cpu, err := b.backtest(ctx, path, len(entries))
		if err != nil {
			return f, err
		}
		elapsed, used = append(elapsed, wall.Seconds()/float64(len(entries))), append(used, cpu.Seconds()/float64(len(entries)))
		others = append(others, max(busy()-before-cpu, 0).Seconds()/wall.Seconds())
	}
	middle := func(list []float64) float64 { slices.Sort(list); return list[len(list)/2] }
	ceiling := float64(runtime.GOMAXPROCS(0)) / middle(alone)
	rate := 1 / middle(elapsed)
	return figure{Group: "decide", Name: fmt.Sprintf("rules backtest, %d entries", len(entries)), Measured: rate, Unit: perSecond,
		Target: &target{Text: "0.5 cores / t_decide", Bound: 0.5 * ceiling, Sense: atLeast},
		Note: fmt.Sprintf("%.2f of cores / t_decide, %s by the travel contract alone; with reading and folding an entry costs %s of processor time; others took %.2f cores",
			rate/ceiling, inSeconds.show(middle(alone)), inSeconds.show(middle(used)), middle(others))}, nil
}

// backtest runs the command and sees that it decided every entry.
func (b *bench) backtest(ctx context.Context, path string, entries int) (wall, cpu time.Duration, err error) {
	cmd := exec.CommandContext(ctx, b.binary, "rules", "backtest", travel, "--bundle", path, "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("logline rules backtest: %w: %s", err, stderr.Bytes())
	}
	wall = time.Since(begin)
	var report struct {
		Decided  int            `json:"decided"`
		Own      int            `json:"own"`
		Outcomes map[string]int `json:"outcomes"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		return 0, 0, err
	}
	if report.Decided+report.Own != entries || report.Outcomes["allow"] != report.Decided {
		return 0, 0, fmt.Errorf("logline rules backtest: of %d entries it decided otherwise than was recorded: %.500s", entries, stdout.Bytes())
	}
	return wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
