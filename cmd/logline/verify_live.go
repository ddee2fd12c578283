package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
	"github.com/danvoulez/logline/internal/timeline/monitor"
	"github.com/danvoulez/logline/internal/timeline/tree"
	"github.com/danvoulez/logline/internal/ui"
)

// liveFlags are those of verify at a node.
type liveFlags struct {
	restart, forget bool
	compare         string // file
}

// run verifies a tenant at its node, which is not believed.
func (f *liveFlags) run(ctx context.Context, env *environment, flags *clientFlags, opt bundle.Options) error {
	s, err := flags.open(env)
	if err != nil {
		return err
	}
	if s.profile.Tenant == "" {
		return usagef("name a FILE, or a tenant with --tenant: profile %q has none", s.profile.Name)
	}
	tenant, err := s.pinTenant(ctx, &opt)
	if err != nil {
		return err
	}
	dir, err := configDir(env)
	if err != nil {
		return err
	}
	mem := memory{Folder: monitor.Folder(filepath.Join(dir, "seen", tenant)), restart: f.restart}
	if f.forget {
		if err := mem.Forget(); err != nil {
			return err
		}
	}
	cfg := monitor.Config{Options: opt}
	if f.compare != "" {
		if cfg.Compare, err = readInput(env, f.compare, maxCheckpointFile); err != nil {
			return err
		}
	}
	if opt.Identities != nil {
		if cfg.Identities, err = io.ReadAll(opt.Identities); err != nil {
			return err
		}
	}
	defer frugal()()
	bar := newVerifyBar(env)
	cfg.Progress = bar.update
	result, err := monitor.Run(ctx, tenant, source{s.client, tenant}, mem, cfg)
	bar.Finish()
	if err != nil {
		return printEvidence(env, err, string(cfg.Compare), flags.json)
	}
	if flags.json {
		err = printJSON(env.Stdout, result)
	} else {
		printLive(env.Stdout, s.profile.URL, result)
	}
	if err == nil && !result.Report.OK {
		err = &exitError{code: exitFailed}
	}
	return err
}

// pinTenant is the id of the tenant to verify. Where it is the profile's own,
// id and node are what the profile saw first, not what the node says now.
func (s *session) pinTenant(ctx context.Context, opt *bundle.Options) (string, error) {
	own, _ := s.all.find(s.profile.Name)
	if own.Tenant == "" || s.profile.Tenant != own.Tenant && s.profile.Tenant != own.Slug {
		return s.tenantID(ctx)
	}
	if origin, _, err := tree.ParseVerifierKey(own.LogKey); err == nil && opt.Node == "" && opt.Policy == nil {
		opt.Node = origin.Node
	}
	if span.IsUUID(own.Tenant) {
		return own.Tenant, nil
	}
	return s.tenantID(ctx)
}

// memory is a Folder whose state is not gone on from when everything shall be
// read again.
type memory struct {
	monitor.Folder
	restart bool
}

func (m memory) Load() ([]byte, *bundle.State, error) {
	note, state, err := m.Folder.Load()
	if m.restart {
		state = nil
	}
	return note, state, err
}

// source is a node as the monitor asks it.
type source struct {
	client *client.Client
	tenant string
}

var _ monitor.Source = source{}

func (s source) Checkpoint(ctx context.Context) ([]byte, error) {
	return s.client.Checkpoint(ctx, s.tenant)
}

func (s source) Consistency(ctx context.Context, from, to uint64) ([]span.Hash, error) {
	proof, err := s.client.Consistency(ctx, s.tenant, from, to)
	var problem *client.Problem
	if errors.As(err, &problem) && problem.Status/100 == 4 && problem.Status != http.StatusTooManyRequests {
		return nil, fault.Newf(fault.Invalid, monitor.CodeWithheld,
			"the node does not prove that its %d entries extend the %d that it has signed for, which an honest one always can; it answers %q", to, from, ui.Clean(problem.Detail))
	}
	if err != nil {
		return nil, err
	}
	hashes := make([]span.Hash, len(proof.Hashes))
	for i, h := range proof.Hashes {
		if hashes[i], err = span.ParseHash(h); err != nil {
			return nil, fault.Newf(fault.Invalid, "answer_unreadable", "the node's consistency proof from %d to %d entries holds something that is not a hash", from, to).Because(err)
		}
	}
	return hashes, nil
}

func (s source) Bundle(ctx context.Context, w io.Writer, from, to uint64) error {
	return s.client.Bundle(ctx, s.tenant, w, from, to)
}

// printEvidence shows the two checkpoints that cannot both be true, where the
// error is about such; others it gives back. compared is the one that somebody
// else was shown.
func printEvidence(env *environment, err error, compared string, asJSON bool) error {
	f := fault.From(err)
	notes, _ := f.Meta["evidence"].([]string)
	if len(notes) == 0 {
		return err
	}
	if asJSON {
		_ = printJSON(env.Stdout, map[string]any{"ok": false, "code": f.Code, "detail": f.Detail, "evidence": notes}) // the exit code says the rest
		return &exitError{code: exitFailed, err: err}
	}
	for i, note := range notes {
		title := "What was seen before:"
		if note == compared {
			title = "What somebody else was shown:"
		}
		if i > 0 {
			title = "What the node shows now:"
		}
		fmt.Fprintf(env.Stdout, "%s\n\n%s\n", title, note)
	}
	return &exitError{code: exitFailed, err: err}
}

func printLive(w io.Writer, url string, result *monitor.Result) {
	r := result.Report
	printProblems(w, r, func(p bundle.Problem) string {
		if p.Line == 1 {
			return fmt.Sprintf("the answer as a whole: %s (%s)", p.Reason, p.Code)
		}
		return fmt.Sprintf("entry %d: %s (%s)", p.Seq, p.Reason, p.Code)
	})
	tenant := tenantOf(r)
	if r.Tenant == "" {
		tenant = result.Tenant
	}
	seen := ""
	if result.Seen > 0 && r.OK {
		seen = fmt.Sprintf("%s entries; today's history extends them", ui.Count(int64(result.Seen)))
	}
	compared := ""
	if result.Compared > 0 {
		compared = fmt.Sprintf("%s entries shown to somebody else; it is the same history", ui.Count(int64(result.Compared)))
	}
	facts(w, "at", url, "tenant", tenant, "node", firstOf(r.Node, result.Node),
		"verified before", ui.Count(int64(result.From)), "verified now", ui.Count(int64(r.Checked)), "not checked", notChecked(r),
		"seen before", seen, "compared with", compared, "size", ui.Count(int64(max(result.Size, r.Size))), "root", firstOf(result.Root, r.Root), "cosigned", cosignedBy(r.Cosigned))
	printAuthors(w, r)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\nnote: %s\n", ui.Clean(note))
	}
	switch {
	case !r.OK:
		fmt.Fprintf(w, "\nBAD: %s\n", r.Verdict)
	case r.Checkpoint == "":
		fmt.Fprintf(w, "\nOK: nothing new since the last run; the checkpoint is the one seen then\n")
	default:
		fmt.Fprintf(w, "\nOK: %s\n", r.Verdict)
	}
}
