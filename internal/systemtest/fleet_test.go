package systemtest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/systemtest/program"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

// fleet is several processes of one node: a database and a master key in
// common, a data directory each.
type fleet struct {
	t        *testing.T
	database string
	master   string // "" for keys in the data directories
	flags    []string
	dirs     []string
	tenant   *tenancy // through the first process
}

// newFleet starts the first process on an empty database and makes a tenant.
func newFleet(t *testing.T, database string, flags ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, database: database, master: newMaster(), flags: flags}
	f.tenant = onboard(t, f.start(f.dir()))
	return f
}

// newMaster is a value for LOGLINE_MASTER_KEY.
func newMaster() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(key)
}

// dir is a data directory for one more process.
func (f *fleet) dir() string {
	dir := f.t.TempDir()
	f.dirs = append(f.dirs, dir)
	return dir
}

// prepare is a process that is not started yet.
func (f *fleet) prepare(dir string, flags ...string) *program.Server {
	f.t.Helper()
	p, err := program.New(binary, dir, append(append([]string{"--database-url", f.database}, f.flags...), flags...)...)
	require.NoError(f.t, err)
	if f.master != "" {
		p.Cmd.Env = append(p.Cmd.Env, "LOGLINE_MASTER_KEY="+f.master)
	}
	return p
}

func (f *fleet) start(dir string, flags ...string) *server {
	f.t.Helper()
	return started(f.t, f.prepare(dir, flags...))
}

// at is the tenant through another process.
func (f *fleet) at(s *server) *tenancy {
	y := *f.tenant
	y.attach(s)
	return &y
}

// swift is a client that holds no answer against the document: for load.
func (y *tenancy) swift() *client.Client {
	y.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	y.t.Cleanup(transport.CloseIdleConnections)
	c, err := client.New(y.URL, client.WithHTTPClient(&http.Client{Transport: transport, Timeout: time.Minute}),
		client.WithSigner(y.owner.Signer(), y.owner.ID(), y.node))
	require.NoError(y.t, err)
	return c
}

// again is how long a caller waits before it sends what failed once more.
const again = 50 * time.Millisecond

// tally keeps what callers met.
type tally struct {
	mu       sync.Mutex // guards the rest
	longest  time.Duration
	refusals map[string]int // by status and code; "0" for no answer at all
	faults   []string       // refusals that are not as they should be
}

// met notes how long a request took and how it ended.
func (c *tally) met(began time.Time, err error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var p *client.Problem
	switch {
	case err == nil:
		c.longest = max(c.longest, time.Since(began))
		return
	case c.refusals == nil:
		c.refusals = map[string]int{}
	}
	if !errors.As(err, &p) {
		c.refusals["0"]++
		return
	}
	c.refusals[fmt.Sprintf("%d %s", p.Status, p.Code)]++
	if p.Status != http.StatusServiceUnavailable && p.Status != http.StatusTooManyRequests || p.RetryAfter <= 0 {
		c.faults = append(c.faults, fmt.Sprintf("%d %v, retry after %s", p.Status, p, p.RetryAfter))
	}
}

// insist sends spans, as one request where there are several, until each is
// acknowledged or ctx ends: as a client does whose server comes and goes. Which
// server that is may change from try to try. seen may be nil.
func insist(ctx context.Context, l *ledger, tenant string, lines [][]byte, seen *tally, api func() *client.Client) {
	for _, raw := range lines {
		l.send(raw)
	}
	for len(lines) > 0 && ctx.Err() == nil {
		lines = attempt(ctx, l, api(), tenant, lines, seen)
		if len(lines) > 0 && !wait(ctx, again) {
			return
		}
	}
}

// attempt sends spans once and returns those without an acknowledgement.
func attempt(ctx context.Context, l *ledger, api *client.Client, tenant string, lines [][]byte, seen *tally) (rest [][]byte) {
	began := time.Now()
	if len(lines) == 1 {
		a, err := api.Append(ctx, tenant, lines[0])
		seen.met(began, err)
		if err != nil {
			return lines
		}
		l.ack(lines[0], a.Receipt)
		return nil
	}
	results, err := api.AppendMany(ctx, tenant, lines)
	for i, raw := range lines {
		if i < len(results) && results[i].Problem == nil {
			l.ack(raw, results[i].Receipt)
		} else {
			rest = append(rest, raw)
		}
	}
	if err != nil || len(rest) == 0 {
		seen.met(began, err)
	}
	return rest
}

// wait waits and tells whether it waited to the end.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// onlooker reads a timeline from its beginning on, and what is added, by query
// or over the live feed, and complains about an entry that is skipped or comes
// twice.
type onlooker struct {
	mu   sync.Mutex // guards the rest
	ids  []string   // of the spans, by seq
	fail string
}

// follow reads until ctx ends.
func (f *onlooker) follow(ctx context.Context, api *client.Client, tenant string) {
	filter := client.Filter{Limit: 500}
	for seen := 0; ctx.Err() == nil; {
		page, err := api.Query(ctx, tenant, filter)
		if err != nil {
			wait(ctx, again)
			continue
		}
		for ; seen < len(page.Items); seen++ {
			f.take(page.Items[seen])
		}
		if page.Next != nil {
			filter.Cursor, seen = *page.Next, 0
			continue
		}
		wait(ctx, again/5)
	}
}

func (f *onlooker) take(item json.RawMessage) {
	var entry struct {
		Seq  int
		Span struct{ ID string }
	}
	err := json.Unmarshal(item, &entry)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == "" && (err != nil || entry.Seq != len(f.ids)) {
		f.fail = "after " + span.FormatTime(time.Now()) + ": " + string(item)
	}
	f.ids = append(f.ids, entry.Span.ID)
}

// listen is follow over the live feed: it opens it again where it broke off.
func (f *onlooker) listen(ctx context.Context, y *tenancy) {
	for ctx.Err() == nil {
		f.mu.Lock()
		from := len(f.ids)
		f.mu.Unlock()
		f.stream(ctx, y, from)
		wait(ctx, again)
	}
}

// stream reads one server-sent feed to its end.
func (f *onlooker) stream(ctx context.Context, y *tenancy, from int) {
	_ = y.events(ctx, uint64(from), f.take) // how it ended: listen opens it again
}

// events reads a feed of server-sent events until it ends, and tells of each entry.
func (y *tenancy) events(ctx context.Context, from uint64, each func(entry json.RawMessage)) error {
	token, err := id.SignToken(y.owner.Signer(), y.owner.ID(), y.node, time.Now(), 5*time.Minute)
	require.NoError(y.t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/tenants/%s/feed?from=%d", y.URL, y.tenant.Id, from), nil)
	require.NoError(y.t, err)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		var message struct {
			Type  string
			Entry json.RawMessage
		}
		if err := json.Unmarshal([]byte(data), &message); err == nil && message.Type == "entry" {
			each(message.Entry)
		}
	}
	return lines.Err()
}

func (f *onlooker) size() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.ids))
}

// until waits for as many entries.
func (f *onlooker) until(t *testing.T, size uint64) []string {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for poll := time.NewTicker(again); ; {
		f.mu.Lock()
		ids, fail := f.ids, f.fail
		f.mu.Unlock()
		require.Empty(t, fail, "an entry out of its place")
		if uint64(len(ids)) >= size {
			poll.Stop()
			return ids
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("the onlooker has %d of %d entries", len(ids), size)
		}
	}
}

// requireAll waits for everything that is recorded and checks that each entry
// came in its place.
func (f *onlooker) requireAll(t *testing.T, r *recorded) {
	t.Helper()
	ids := f.until(t, uint64(len(r.leaves)))
	require.Len(t, ids, len(r.leaves), "an entry was shown that is not recorded")
	for seq, spanID := range ids {
		require.EqualValues(t, seq, r.indexOf[spanID], "the entry of %s", spanID)
	}
}

// redis is a Redis server of a test's own, which the test may kill.
type redis struct {
	t    *testing.T
	port string

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd
}

// newRedis starts one; where there is no program for it, the test is skipped.
func newRedis(t *testing.T) *redis {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("needs redis-server: run make test, which installs it")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &redis{t: t}
	_, r.port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *redis) url() string { return "redis://:s3cret@127.0.0.1:" + r.port + "/1" }

func (r *redis) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cmd = exec.Command("redis-server", "--port", r.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--requirepass", "s3cret", "--dir", os.TempDir())
	if err := r.cmd.Start(); err != nil {
		r.t.Errorf("start redis-server: %v", err)
		r.cmd = nil
	}
}

func (r *redis) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// requireNotes checks what each process keeps on disk beside its keys: a
// checkpoint of this very timeline.
func (f *fleet) requireNotes(r *recorded) {
	f.t.Helper()
	for _, dir := range f.dirs {
		note, err := timeline.GivenOutNote(filepath.Join(dir, "checkpoints"), f.tenant.tenant.Id)
		require.NoError(f.t, err)
		cp, err := tree.OpenNote(note, f.tenant.tenant.LogKey)
		require.NoError(f.t, err)
		require.Less(f.t, cp.Size, uint64(len(r.rootOf)))
		require.Equal(f.t, r.rootOf[cp.Size], cp.Root, "the checkpoint that %s has given out at %d", dir, cp.Size)
	}
}
