package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/danvoulez/logline/internal/bench/fill"
	"github.com/danvoulez/logline/internal/standing"
)

// verifyMemory is what "logline verify" may hold of 1,000,000 entries, in bytes.
const verifyMemory = 200e6

// measureVerify verifies a long bundle by the command that people use and holds
// that against what all cores could do if an entry cost no more than its
// signature and its form.
func measureVerify(ctx context.Context, b *bench) ([]figure, error) {
	machine, err := b.floors(ctx)
	if err != nil {
		return nil, err
	}
	entries := uint64(b.pick(1_000_000, 20_000))
	b.say("verify: a bundle of %d entries is made", entries)
	path := filepath.Join(b.dir, "verify.ndjson")
	if err := makeBundle(ctx, path, entries, fill.Payment, nil); err != nil {
		return nil, err
	}
	defer os.Remove(path)
	b.say("verify: %d entries", entries)
	v, err := b.verifyBundle(ctx, path)
	if err != nil {
		return nil, err
	}
	cores := float64(runtime.GOMAXPROCS(0))
	sum := machine.verify + machine.form
	rate := figure{Group: "verify", Name: fmt.Sprintf("logline verify, %d entries", entries), Measured: float64(entries) / v.elapsed.Seconds(), Unit: perSecond,
		Target: &target{Text: "0.8 cores / (t_verify + t_form)", Bound: 0.8 * cores / sum, Sense: atLeast},
		Note: fmt.Sprintf("an entry costs %s of one core, its floors %s; others took %.2f cores; it said %d times how far it was",
			inSeconds.show(v.cpu.Seconds()/float64(entries)), inSeconds.show(sum), v.others, v.lines)}
	memory := figure{Group: "verify", Name: "largest resident memory", Measured: float64(v.memory), Unit: inBytes,
		Target: &target{Text: "200 MB", Bound: verifyMemory, Sense: atMost}}
	return []figure{rate, memory}, nil
}

// makeBundle writes the bundle of a timeline of so many entries by 16 authors. look,
// where not nil, is shown the timeline.
func makeBundle(ctx context.Context, path string, entries uint64, spans fill.Maker, look func(*fill.Timeline) error) (err error) {
	home := path + ".node"
	defer func() { err = errors.Join(err, os.RemoveAll(home)) }()
	t, err := fill.New(ctx, "sqlite:"+filepath.Join(home, "logline.db"), home, 16)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	t.Span = spans
	if err := t.Grow(ctx, entries, nil); err != nil {
		return err
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(out, 1<<20)
	err = t.Log.Export(ctx, w, t.Tenant.ID, 0, 0, standing.Everything())
	if err = errors.Join(err, w.Flush(), out.Close()); err == nil && look != nil {
		err = look(t)
	}
	return err
}

// verified is how a run of the command went.
type verified struct {
	elapsed, cpu time.Duration
	memory       int64   // the most that was resident, in bytes
	lines        int     // on stderr
	others       float64 // cores that others took meanwhile
}

func (b *bench) verifyBundle(ctx context.Context, path string) (v verified, err error) {
	cmd := exec.CommandContext(ctx, b.binary, "verify", path)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begin, others := time.Now(), busy()
	if err := cmd.Start(); err != nil {
		return v, err
	}
	ended := make(chan struct{})
	watched := make(chan int64, 1)
	go func() { watched <- mostResident(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	v.elapsed = time.Since(begin)
	close(ended)
	v.memory = <-watched
	if err != nil {
		return v, fmt.Errorf("logline verify: %w: %s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	v.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	v.others = (busy() - others - v.cpu).Seconds() / v.elapsed.Seconds()
	v.lines = bytes.Count(stderr.Bytes(), []byte("\n"))
	return v, nil
}

// mostResident is the most that a process had resident, in bytes. What the
// system says of a process that has ended counts what started it, too.
func mostResident(pid int, ended <-chan struct{}) (most int64) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			if now, err := resident(pid, "VmHWM"); err == nil { // it may have ended meanwhile
				most = max(most, now)
			}
		case <-ended:
			return most
		}
	}
}
