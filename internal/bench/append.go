package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

type appendReport struct {
	Case    string       `json:"case"`
	Callers int          `json:"callers"`
	Lines   int          `json:"lines_per_request"`
	Spans   int          `json:"spans"`
	Rate    float64      `json:"appends_per_s"`
	P50     microseconds `json:"p50_us"` // of a request
	P99     microseconds `json:"p99_us"`
	CPU     microseconds `json:"server_cpu_us"` // of the server, start and stop included, per span
	Batch   float64      `json:"mean_batch"`
	Bare    float64      `json:"bare_inserts_per_s"`
	Ratio   float64      `json:"ratio"` // Rate / Bare
}

func printAppendHead(w io.Writer) {
	fmt.Fprintf(w, "%-26s %9s %11s %10s %10s %11s %8s %14s %7s\n",
		"append over HTTP", "spans", "appends/s", "p50", "p99", "server CPU", "batch", "bare inserts/s", "ratio")
}

func (r appendReport) print(w io.Writer) {
	fmt.Fprintf(w, "%-26s %9d %11.0f %10s %10s %11s %8.1f %14.0f %7.2f\n",
		r.Case, r.Spans, r.Rate, show(r.P50), show(r.P99), show(r.CPU), r.Batch, r.Bare, r.Ratio)
}

// measureAppends runs one case against a fresh server and then its rows against
// a bare database.
func measureAppends(ctx context.Context, binary, dir string, c loadgen.Case) (appendReport, error) {
	r := appendReport{Case: c.Name(), Callers: c.Callers, Lines: c.Lines, Spans: c.Spans}
	s, owner, tenant, err := startNode(ctx, binary, filepath.Join(dir, "node"))
	if err != nil {
		return r, err
	}
	defer s.Kill()
	bodies, err := loadgen.Seal(owner, tenant.Id, c)
	if err != nil {
		return r, err
	}
	elapsed, l, err := loadgen.Load(ctx, s.URL+"/v1/tenants/"+tenant.Id+"/spans", bodies, c)
	if err != nil {
		return r, fmt.Errorf("%w; log:\n%s", err, s.Log)
	}
	if code, err := s.Terminate(); err != nil || code != 0 {
		return r, fmt.Errorf("the server ended with %d: %w", code, err)
	}
	ended := s.Cmd.ProcessState
	r.CPU = microseconds((ended.UserTime() + ended.SystemTime()) / time.Duration(c.Spans))
	r.Rate = float64(c.Spans) / elapsed.Seconds()
	r.P50, r.P99 = microseconds(l.Percentile(50)), microseconds(l.Percentile(99))

	bare, err := insertBare(ctx, filepath.Join(dir, "node", "logline.db"), filepath.Join(dir, "bare.db"), tenant.Size)
	if err != nil {
		return r, fmt.Errorf("bare inserts: %w", err)
	}
	if bare.rows != c.Spans {
		return r, fmt.Errorf("the node recorded %d of %d spans", bare.rows, c.Spans)
	}
	r.Batch, r.Bare = float64(bare.rows)/float64(bare.batches), float64(bare.rows)/bare.elapsed.Seconds()
	r.Ratio = r.Rate / r.Bare
	return r, nil
}

func startNode(ctx context.Context, binary, dir string) (*program.Server, *id.Keys, *client.Tenant, error) {
	s, err := program.New(binary, dir)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := s.Start(); err != nil {
		return nil, nil, nil, err
	}
	owner, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	if err != nil {
		return s, nil, nil, err
	}
	api, err := client.New(s.URL)
	if err != nil {
		return s, nil, nil, err
	}
	tenant, err := s.FirstTenant(ctx, api, owner, "bench", "Bench")
	if err != nil {
		s.Kill()
	}
	return s, owner, tenant, err
}
