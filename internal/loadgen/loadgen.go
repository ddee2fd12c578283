// Package loadgen loads a node as its callers do, with spans signed beforehand,
// and measures rates and latencies from outside. It starts no node and knows no
// storage; "logline bench" and the project's own benchmarks stand on it.
package loadgen

import (
	"context"
	"crypto/rand"
	"fmt"
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
	First   int // number of the first span, where others were sent before
	// Subjects is how many subjects the spans are of by turns; 0: each is of its own.
	Subjects int
	Echo     bool // the server only echoes: its answers are no receipts, and of them the status alone counts
}

// Cases are the ways that a node is measured in; quick ones are a tenth as long.
func Cases(quick bool) []Case {
	cs := []Case{{Callers: 1, Lines: 1, Spans: 3_000}, {Callers: 16, Lines: 1, Spans: 16_000}, {Callers: 256, Lines: 1, Spans: 20_480}, {Callers: 4, Lines: 500, Spans: 80_000}}
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
			now, subject := time.Now(), c.First+n
			if c.Subjects > 0 {
				subject %= c.Subjects
			}
			spanID, err := span.RandomID(now, rand.Reader)
			if err != nil {
				return nil, err
			}
			if _, err := rand.Read(salt); err != nil {
				return nil, err
			}
			sp, err := id.SealSpan(owner.Signer(), span.Header{
				ID: spanID, Tenant: tenant, Author: owner.ID(), Type: "payment.requested",
				Title: "Payment of invoice", Subject: fmt.Sprintf("invoice-%d", subject), Tags: []string{"bench"},
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

// Loaded is how a load went.
type Loaded struct {
	Elapsed   time.Duration
	Latencies Latencies // of the requests
	Answered  int64     // bytes of answers' bodies
}

// Load sends the bodies from c.Callers at once, each on a connection of its
// own, and holds every answer against what it must be: a receipt for each span,
// and no place in the timeline given twice.
func Load(ctx context.Context, url string, bodies [][]byte, c Case) (Loaded, error) {
	contentType := "application/json"
	if c.Lines > 1 {
		contentType = "application/x-ndjson"
	}
	callers := make([]*caller, c.Callers)
	for i := range callers {
		conn, err := dial(ctx, url, contentType)
		if err != nil {
			return Loaded{}, err
		}
		defer conn.close()
		callers[i] = &caller{conn: conn}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		for _, c := range callers {
			_ = c.conn.close() // ends what waits for an answer
		}
	})
	defer stop()
	var running sync.WaitGroup
	begin := time.Now()
	for i, caller := range callers {
		running.Go(func() {
			for ; i < len(bodies); i += c.Callers {
				if err := caller.send(bodies[i], c); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	running.Wait()
	l := Loaded{Elapsed: time.Since(begin)}
	if err := context.Cause(ctx); err != nil {
		return Loaded{}, err
	}
	var seqs []uint64
	for _, c := range callers {
		l.Latencies, l.Answered, seqs = append(l.Latencies, c.latencies...), l.Answered+c.answered, append(seqs, c.seqs...)
	}
	slices.Sort(seqs)
	if unique := len(slices.Compact(seqs)); unique != len(seqs) {
		return Loaded{}, fmt.Errorf("%d spans were given a place that another has", len(seqs)-unique)
	}
	return l, nil
}

// caller sends one request after the other.
type caller struct {
	conn      *conn
	latencies Latencies
	answered  int64
	seqs      []uint64
}

func (c *caller) send(body []byte, as Case) error {
	sent := time.Now()
	status, answer, err := c.conn.post(body)
	if err != nil {
		return err
	}
	c.latencies = append(c.latencies, time.Since(sent))
	c.answered += int64(len(answer))
	if as.Echo {
		if status != http.StatusOK {
			return fmt.Errorf("the echo answered %d: %.500s", status, answer)
		}
		return nil
	}
	c.seqs, err = receipts(c.seqs, status, answer, as.Lines)
	return err
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
