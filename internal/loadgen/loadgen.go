// Package loadgen loads a node as its callers do, with spans signed beforehand,
// and measures rates and latencies from outside. It starts no node and knows no
// storage; "logline bench" and the project's own benchmarks stand on it.
package loadgen

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Case is one way of appending: callers at once, each sending requests
// one after the other, of one span or of lines.
type Case struct {
	Callers int
	Lines   int // spans a request; 1 is a plain append
	Spans   int // in all
}

// Cases are the ways that a node is measured in; quick ones are a tenth as long.
func Cases(quick bool) []Case {
	cs := []Case{{1, 1, 3_000}, {16, 1, 16_000}, {256, 1, 20_480}, {4, 500, 80_000}}
	if quick {
		for i := range cs {
			cs[i].Spans /= 10
		}
	}
	return cs
}

// Name says what the case is.
func (c Case) Name() string {
	switch {
	case c.Lines > 1:
		return fmt.Sprintf("%d callers × NDJSON of %d", c.Callers, c.Lines)
	case c.Callers == 1:
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", c.Callers)
}

// Latencies are of requests, in any order.
type Latencies []time.Duration

// Percentile is the latency that p percent of the requests stay within; 0 of none.
func (l Latencies) Percentile(p int) time.Duration {
	if len(l) == 0 {
		return 0
	}
	slices.Sort(l)
	return l[min(len(l)*p/100, len(l)-1)]
}

// Seal signs every span of a case and makes the request bodies of about 700 bytes a span.
func Seal(owner *id.Keys, tenant string, c Case) ([][]byte, error) {
	bodies := make([][]byte, 0, c.Spans/c.Lines)
	salt := make([]byte, 16)
	for n := 0; n < c.Spans; {
		var body []byte
		for range c.Lines {
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
			if n++; c.Lines > 1 {
				body = append(body, '\n')
			}
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

// Load sends the bodies from c.Callers at once and checks every answer.
func Load(ctx context.Context, url string, bodies [][]byte, c Case) (time.Duration, Latencies, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	transport := &http.Transport{MaxIdleConnsPerHost: c.Callers}
	defer transport.CloseIdleConnections()
	h := &http.Client{Transport: transport}
	perCaller := make([]Latencies, c.Callers)
	var callers sync.WaitGroup
	begin := time.Now()
	for caller := range c.Callers {
		callers.Go(func() {
			for i := caller; i < len(bodies) && ctx.Err() == nil; i += c.Callers {
				sent := time.Now()
				if err := post(ctx, h, url, bodies[i], c.Lines); err != nil {
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

// Fsync is the median time of a 4 KiB write that is synced.
func Fsync(path string) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	block := make([]byte, 4096)
	var l Latencies
	for range 50 {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		l = append(l, time.Since(begin))
	}
	return l.Percentile(50), nil
}

// Show is a duration for people, in µs or ms.
func Show(t time.Duration) string {
	switch {
	case t < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(t)/float64(time.Microsecond))
	default:
		return fmt.Sprintf("%.1f ms", float64(t)/float64(time.Millisecond))
	}
}
