package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/loadgen"
)

// measureReads reads by id, in ranges and in pages from a node that takes 70 %
// of the appends it can, beside the same rows read bare under the same load.
func measureReads(ctx context.Context, b *bench) (figures []figure, err error) {
	for _, store := range b.stores {
		if store != sqlite && store != postgres {
			continue // no database to read bare
		}
		f, err := b.measureReads(ctx, store)
		figures = append(figures, f...)
		if err != nil {
			return figures, fmt.Errorf("%s: %w", store, err)
		}
	}
	return figures, nil
}

func (b *bench) measureReads(ctx context.Context, store string) (figures []figure, err error) {
	n, err := b.start(ctx, store)
	if err != nil {
		return nil, err
	}
	defer n.remove()
	b.say("reads, %s: how fast it appends", store)
	c := loadgen.Case{Callers: 4, Lines: 500, Spans: b.pick(200_000, 8_000)}
	bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
	if err != nil {
		return nil, err
	}
	l, err := n.load(ctx, bodies, c)
	if err != nil {
		return nil, err
	}
	rate := 0.7 * float64(c.Spans) / l.Elapsed.Seconds()
	r := &reading{node: n, ids: spanIDs(bodies), rows: n.tenant.Size}
	if r.bare, err = b.openRows(ctx, n); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.bare.close()) }()
	if r.http, err = newReader(n.URL, n.owner.ID(), n.tenant.Node, n.owner.Signer()); err != nil {
		return nil, err
	}
	b.say("reads, %s: at %.0f appends a second", store, rate)
	stop, err := n.pace(ctx, rate, time.Duration(b.pick(45, 10))*time.Second)
	if err != nil {
		return nil, err
	}
	for _, measure := range []func(context.Context, *bench) (figure, error){r.byID, r.export, r.page} {
		f, err := measure(ctx, b)
		if err != nil {
			return figures, errors.Join(err, stop())
		}
		f.Group, f.Store = "reads", store
		figures = append(figures, f)
	}
	return figures, stop()
}

// reading is a node that is read from, and its rows bare.
type reading struct {
	node *node
	http *reader
	bare bareRows
	ids  []string
	rows uint64 // the seq of the first of ids
}

// byID reads entries at random by turns, over HTTP and bare.
func (r *reading) byID(ctx context.Context, b *bench) (f figure, err error) {
	var over, bare loadgen.Latencies
	begin, least := time.Now(), time.Duration(b.pick(10_000, 500))*time.Millisecond
	for time.Since(begin) < least {
		i := rand.IntN(len(r.ids))
		sent := time.Now()
		if _, err := r.http.get(ctx, "/v1/tenants/"+r.node.tenant.Id+"/spans/"+r.ids[i]); err != nil {
			return f, err
		}
		over = append(over, time.Since(sent))
		sent = time.Now()
		if err := r.bare.point(ctx, r.rows+uint64(i)); err != nil {
			return f, err
		}
		bare = append(bare, time.Since(sent))
	}
	most := 5 * bare.Percentile(99)
	return figure{Name: "by id, p99 at 70 % load", Measured: over.Percentile(99).Seconds(), Unit: inSeconds,
		Target: &target{Text: "5 bare point reads, p99", Bound: most.Seconds(), Sense: atMost},
		Note: fmt.Sprintf("%d reads by turns; p50 %s, bare %s; p99 bare %s", len(over), loadgen.Show(over.Percentile(50)),
			loadgen.Show(bare.Percentile(50)), loadgen.Show(bare.Percentile(99)))}, nil
}

// export reads the same range by turns, as a bundle over HTTP and bare.
func (r *reading) export(ctx context.Context, b *bench) (f figure, err error) {
	to := r.rows + uint64(len(r.ids))
	path := fmt.Sprintf("/v1/tenants/%s/bundle?from=%d&to=%d", r.node.tenant.Id, r.rows, to)
	var over, bare loadgen.Latencies
	for range b.pick(5, 2) {
		sent := time.Now()
		lines, err := r.http.lines(ctx, path)
		if err != nil {
			return f, err
		}
		if lines != len(r.ids)+1 {
			return f, fmt.Errorf("the bundle has %d lines of %d entries", lines, len(r.ids))
		}
		over = append(over, time.Since(sent))
		sent = time.Now()
		rows, _, err := r.bare.scan(ctx, r.rows, to)
		if err != nil {
			return f, err
		}
		if rows != len(r.ids) {
			return f, fmt.Errorf("%d rows were read of %d", rows, len(r.ids))
		}
		bare = append(bare, time.Since(sent))
	}
	n := float64(len(r.ids))
	bareRate := n / bare.Percentile(50).Seconds()
	return figure{Name: "range export at 70 % load", Measured: n / over.Percentile(50).Seconds(), Unit: perSecond,
		Target: &target{Text: "0.5 of a bare range read", Bound: 0.5 * bareRate, Sense: atLeast},
		Note:   fmt.Sprintf("bare %s", perSecond.show(bareRate))}, nil
}

// page reads a page at row 100 and one at the last rows by turns.
func (r *reading) page(ctx context.Context, b *bench) (figure, error) {
	f, err := r.http.pages(ctx, r.node.tenant.Id, 100, r.rows+uint64(len(r.ids))-200, b.pick(200, 20))
	f.Name += " at 70 % load"
	return f, err
}

// pages reads a page of 100 entries at two rows by turns.
func (r *reader) pages(ctx context.Context, tenant string, near, far uint64, times int) (f figure, err error) {
	first, err := r.get(ctx, "/v1/tenants/"+tenant+"/spans?limit=1")
	if err != nil {
		return f, err
	}
	var page struct{ Next string }
	if err := json.Unmarshal(first, &page); err != nil {
		return f, err
	}
	at := map[uint64]loadgen.Latencies{}
	for range times {
		for _, row := range []uint64{near, far} {
			cursor, err := cursorAt(page.Next, row)
			if err != nil {
				return f, err
			}
			sent := time.Now()
			if _, err := r.get(ctx, "/v1/tenants/"+tenant+"/spans?limit=100&cursor="+url.QueryEscape(cursor)); err != nil {
				return f, err
			}
			at[row] = append(at[row], time.Since(sent))
		}
	}
	a, z := at[near], at[far]
	return figure{Name: fmt.Sprintf("a page at row %d, of one at row %d", far, near), Unit: ratio,
		Measured: z.Percentile(50).Seconds() / a.Percentile(50).Seconds(),
		Target:   &target{Text: "what it costs there, within a fifth", Bound: 1.2, Sense: atMost},
		Note:     fmt.Sprintf("p50 %s and %s", loadgen.Show(a.Percentile(50)), loadgen.Show(z.Percentile(50)))}, nil
}

// cursorAt is a cursor of the same query that begins at another row: its last
// eight bytes say where.
func cursorAt(cursor string, row uint64) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < 8 {
		return "", fmt.Errorf("%q is no cursor", cursor)
	}
	binary.BigEndian.PutUint64(raw[len(raw)-8:], row)
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// spanIDs are the ids in bodies of lines, in the order in which each was sent.
func spanIDs(bodies [][]byte) (ids []string) {
	for _, body := range bodies {
		for _, line := range bytes.Split(bytes.TrimSpace(body), []byte("\n")) {
			_, rest, _ := bytes.Cut(line, []byte(`,"id":"`))
			ids = append(ids, string(rest[:36]))
		}
	}
	return ids
}

// reader reads over one connection as one reader.
type reader struct {
	base  string
	http  *http.Client
	token func(ctx context.Context, req *http.Request) error
}

func newReader(base, identity, node string, signer id.Signer) (*reader, error) {
	token, err := id.SignToken(signer, identity, node, time.Now(), 5*time.Minute)
	if err != nil {
		return nil, err
	}
	return &reader{base: base, http: &http.Client{Transport: &http.Transport{}}, token: func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	}}, nil
}

func (r *reader) open(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return nil, err
	}
	if err := r.token(ctx, req); err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // it is an error already
		resp.Body.Close()
		return nil, fmt.Errorf("%s was answered %s: %s", path, resp.Status, text)
	}
	return resp.Body, nil
}

func (r *reader) get(ctx context.Context, path string) ([]byte, error) {
	body, err := r.open(ctx, path)
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(body)
	return all, errors.Join(err, body.Close())
}

// lines counts the lines of an answer.
func (r *reader) lines(ctx context.Context, path string) (n int, err error) {
	body, err := r.open(ctx, path)
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 256<<10)
	for {
		got, err := body.Read(buf)
		n += bytes.Count(buf[:got], []byte("\n"))
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return n, errors.Join(err, body.Close())
		}
	}
}

// pace appends at a rate, in requests of 100 spans by four callers, until the
// function it returns is called, or for as long as most.
func (n *node) pace(ctx context.Context, rate float64, most time.Duration) (stop func() error, err error) {
	const lines, callers = 100, 4
	c := loadgen.Case{Callers: callers, Lines: lines, Spans: int(rate*most.Seconds()/(lines*callers)+1) * lines * callers}
	bodies, err := loadgen.Seal(n.owner, n.tenant.Id, c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, callers)
	every := time.Duration(callers * lines / rate * float64(time.Second))
	for caller := range callers {
		own := slices.Collect(stride(bodies, caller, callers))
		go func() { ended <- paced(ctx, n.spansURL(), own, every) }()
	}
	return func() (err error) {
		cancel()
		for range callers {
			if e := <-ended; !errors.Is(e, context.Canceled) {
				err = errors.Join(err, e)
			}
		}
		return err
	}, nil
}

func stride(bodies [][]byte, from, step int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for i := from; i < len(bodies); i += step {
			if !yield(bodies[i]) {
				return
			}
		}
	}
}

// paced posts one body after the other, one each time; late ones follow at once.
func paced(ctx context.Context, to string, bodies [][]byte, every time.Duration) error {
	h := &http.Client{Transport: &http.Transport{}}
	defer h.CloseIdleConnections()
	due := time.Now()
	for _, body := range bodies {
		if err := wait(ctx, time.Until(due)); err != nil {
			return err
		}
		due = due.Add(every)
		if err := postLines(ctx, h, to, body); err != nil {
			return err
		}
	}
	return nil
}

// wait waits for a time, not at all where it is past, or for the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// postLines appends lines and reads what came of them.
func postLines(ctx context.Context, h *http.Client, to string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if want := bytes.Count(bytes.TrimSpace(body), []byte("\n")) + 1; bytes.Count(answer, []byte(`"status":201`)) != want {
		return fmt.Errorf("of %s lines not all were appended: %s: %.300s", strconv.Itoa(want), resp.Status, answer)
	}
	return nil
}
