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
)

// measureImport imports a real git history by the command that people use,
// signing and the registration of its people included, and holds that against
// what all cores could do if a commit cost no more than signing and the floors.
func measureImport(ctx context.Context, b *bench) (figures []figure, err error) {
	machine, err := b.floors(ctx)
	if err != nil {
		return nil, err
	}
	repository, name, err := b.repository(ctx)
	if err != nil {
		return nil, err
	}
	for _, store := range b.stores {
		bare, err := b.bare(ctx, store)
		if err != nil {
			return figures, err
		}
		b.say("import, %s", store)
		r, err := b.importGit(ctx, store, repository)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", store, err)
		}
		sum := machine.sign + machine.verify + machine.form + bare.span + machine.many
		bound := float64(runtime.GOMAXPROCS(0)) / sum
		figures = append(figures, figure{Group: "import", Name: "logline import git", Store: store, Measured: float64(r.Added) / r.Seconds, Unit: perSecond,
			Target: &target{Text: "0.5 of signing + C", Bound: bound / 2, Sense: atLeast},
			Note: fmt.Sprintf("%s: %d commits by %d people; signing and C allow %s; a commit costs its author %s, the server %s", name, r.Added, r.People,
				perSecond.show(bound), inSeconds.show(r.author), inSeconds.show(r.server))})
	}
	return figures, nil
}

// imported is what the command reports, and the processor time of a commit.
type imported struct {
	Added   int     `json:"added"`
	Failed  int     `json:"failed"`
	People  int     `json:"people"`
	Seconds float64 `json:"seconds"`

	author, server float64 // in seconds
}

func (b *bench) importGit(ctx context.Context, store, repository string) (r imported, err error) {
	n, err := b.startEmpty(ctx, store)
	if err != nil {
		return r, err
	}
	defer n.remove()
	config := filepath.Join(n.Dir, "config")
	if _, _, err := b.logline(ctx, config, "onboard", "bench", "--url", n.URL, "--data-dir", n.Dir, "--no-passphrase"); err != nil {
		return r, err
	}
	before, err := n.used()
	if err != nil {
		return r, err
	}
	out, used, err := b.logline(ctx, config, "import", "git", repository, "--json")
	if err != nil {
		return r, err
	}
	after, err := n.used()
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, err
	}
	if r.Failed > 0 || r.Added == 0 {
		return r, fmt.Errorf("%d commits were added and %d failed: %.500s", r.Added, r.Failed, out)
	}
	r.author, r.server = used/float64(r.Added), (after-before).Seconds()/float64(r.Added)
	return r, n.end()
}

// logline runs the program as a person does; used is its processor time in
// seconds, with what it runs in turn.
func (b *bench) logline(ctx context.Context, config string, args ...string) (out []byte, used float64, err error) {
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Env = append(os.Environ(), "LOGLINE_CONFIG_DIR="+config, "LOGLINE_PROFILE=", "LOGLINE_URL=", "LOGLINE_TENANT=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if out, err = cmd.Output(); err != nil {
		return nil, 0, fmt.Errorf("logline %s: %w: %s", args[0], err, stderr.Bytes())
	}
	return out, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}
