package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// appendCase is one way of appending: callers at once, each sending requests
// one after the other, of one span or of lines.
type appendCase struct {
	callers int
	lines   int // spans a request; 1 is a plain append
	spans   int // in all
}

func cases(quick bool) []appendCase {
	cs := []appendCase{{1, 1, 3_000}, {16, 1, 16_000}, {256, 1, 20_480}, {4, 500, 80_000}}
	if quick {
		for i := range cs {
			cs[i].spans /= 10
		}
	}
	return cs
}

func (c appendCase) name() string {
	switch {
	case c.lines > 1:
		return fmt.Sprintf("%d callers × NDJSON of %d", c.callers, c.lines)
	case c.callers == 1:
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", c.callers)
}

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

// latencies are of requests, in any order.
type latencies []time.Duration

func (l latencies) percentile(p int) time.Duration {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return l[min(len(l)*p/100, len(l)-1)]
}

// measureAppends runs one case against a fresh server and then its rows against
// a bare database.
func measureAppends(ctx context.Context, binary, dir string, c appendCase) (appendReport, error) {
	r := appendReport{Case: c.name(), Callers: c.callers, Lines: c.lines, Spans: c.spans}
	s, owner, tenant, err := startNode(ctx, binary, filepath.Join(dir, "node"))
	if err != nil {
		return r, err
	}
	defer s.Kill()
	bodies, err := sealAll(owner, tenant.Id, c)
	if err != nil {
		return r, err
	}
	elapsed, l, err := load(ctx, s.URL+"/v1/tenants/"+tenant.Id+"/spans", bodies, c)
	if err != nil {
		return r, fmt.Errorf("%w; log:\n%s", err, s.Log)
	}
	if code, err := s.Terminate(); err != nil || code != 0 {
		return r, fmt.Errorf("the server ended with %d: %w", code, err)
	}
	ended := s.Cmd.ProcessState
	r.CPU = microseconds((ended.UserTime() + ended.SystemTime()) / time.Duration(c.spans))
	r.Rate = float64(c.spans) / elapsed.Seconds()
	r.P50, r.P99 = microseconds(l.percentile(50)), microseconds(l.percentile(99))

	bare, err := insertBare(ctx, filepath.Join(dir, "node", "logline.db"), filepath.Join(dir, "bare.db"), tenant.Size)
	if err != nil {
		return r, fmt.Errorf("bare inserts: %w", err)
	}
	if bare.rows != c.spans {
		return r, fmt.Errorf("the node recorded %d of %d spans", bare.rows, c.spans)
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

// sealAll signs every span of a case and makes the request bodies.
func sealAll(owner *id.Keys, tenant string, c appendCase) ([][]byte, error) {
	bodies := make([][]byte, 0, c.spans/c.lines)
	salt := make([]byte, 16)
	for n := 0; n < c.spans; {
		var body []byte
		for range c.lines {
			now := time.Now()
			spanID, err := span.RandomID(now, rand.Reader)
			if err != nil {
				return nil, err
			}
			if _, err := rand.Read(salt); err != nil {
				return nil, err
			}
			sp, err := id.SealSpan(owner.Signer(), span.Header{
				ID: spanID, Tenant: tenant, Author: owner.ID(), Type: "payment.requested",
				Title: "Payment of invoice", Subject: fmt.Sprintf("invoice-%d", n), Tags: []string{"bench"},
				Time: span.FormatTime(now), Status: span.StatusExecuted, Visibility: span.VisibilityOrganization,
			}, fmt.Appendf(nil, `{"amount":"%d.00","currency":"BRL","invoice":%d,"note":"one of many"}`, n, n), salt)
			if err != nil {
				return nil, err
			}
			body = append(body, sp.Canonical()...)
			if n++; c.lines > 1 {
				body = append(body, '\n')
			}
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

// load sends the bodies from c.callers at once and checks every answer.
func load(ctx context.Context, url string, bodies [][]byte, c appendCase) (time.Duration, latencies, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	transport := &http.Transport{MaxIdleConnsPerHost: c.callers}
	defer transport.CloseIdleConnections()
	h := &http.Client{Transport: transport}
	perCaller := make([]latencies, c.callers)
	var callers sync.WaitGroup
	begin := time.Now()
	for caller := range c.callers {
		callers.Go(func() {
			for i := caller; i < len(bodies) && ctx.Err() == nil; i += c.callers {
				sent := time.Now()
				if err := post(ctx, h, url, bodies[i], c.lines); err != nil {
					cancel(err)
					return
				}
				perCaller[caller] = append(perCaller[caller], time.Since(sent))
			}
		})
	}
	callers.Wait()
	elapsed := time.Since(begin)
	if err := context.Cause(ctx); err != nil {
		return 0, nil, err
	}
	return elapsed, slices.Concat(perCaller...), nil
}

var created = []byte(`"status":201`)

func post(ctx context.Context, h *http.Client, url string, body []byte, lines int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if lines > 1 {
		req.Header.Set("Content-Type", "application/x-ndjson")
	}
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	switch {
	case lines == 1 && resp.StatusCode != http.StatusCreated,
		lines > 1 && bytes.Count(answer, created) != lines:
		return fmt.Errorf("answered %s: %.500s", resp.Status, answer)
	}
	return nil
}
