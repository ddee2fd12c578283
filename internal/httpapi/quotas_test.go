package httpapi_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/quota"
	"github.com/danvoulez/logline/internal/ratelimit"
	"github.com/danvoulez/logline/internal/span"
)

// tallies count what a world's tenants have.
type tallies struct{ w *world }

func (c tallies) Members(ctx context.Context, tenant string) (int64, error) {
	view, err := c.w.log.Standing(ctx, tenant)
	if err != nil {
		return 0, err
	}
	return int64(len(view.Members())), nil
}

func (c tallies) Size(ctx context.Context, tenant string) (uint64, error) {
	t, err := c.w.log.Tenant(ctx, tenant)
	return t.Size, err
}

func (c tallies) Tasks(ctx context.Context, tenant string) (n int64, err error) {
	queues, err := c.w.tasks.Counts(ctx, tenant)
	for _, q := range queues {
		n += q.Queued
	}
	return n, err
}

// quota gives the tenant a quota of its own; nil takes it.
func (w *world) quota(name string, value *int64) {
	w.t.Helper()
	require.NoError(w.t, w.db.InTx(context.Background(), func(tx *sql.Tx) error {
		return w.book.Set(context.Background(), tx, w.tenant.Id, quota.Change{name: value}, "")
	}))
}

func number(n int64) *int64 { return &n }

// usage is what the tenant uses of a quota.
func (w *world) usage(name string) (use openapi.QuotaUse, warnings []string) {
	w.t.Helper()
	var out openapi.Usage
	w.get(w.at("/usage"), w.token(w.owner)).want(w.t, http.StatusOK).decode(w.t, &out)
	for _, u := range out.Items {
		if string(u.Quota) == name {
			use = u
		}
	}
	return use, out.Warnings
}

// TestStorageQuota: what is more than the rest of the quota is refused before it
// is decided, and what makes room, or tells who may, is not.
func TestStorageQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.note(w.owner, 1)
	w.append(first).want(t, http.StatusCreated)
	use, warnings := w.usage(quota.Storage)
	require.Nil(t, use.Limit)
	require.Positive(t, use.Used)
	require.Empty(t, warnings)

	w.quota(quota.Storage, number(use.Used+4000))
	size := w.size()
	for n := 2; ; n++ {
		r := w.append(w.note(w.owner, n))
		if r.status == http.StatusCreated {
			require.Less(t, n, 10)
			continue
		}
		p := r.problem(t, http.StatusForbidden, "quota_storage")
		require.Contains(t, p.Detail, "logline tenant quota")
		require.Contains(t, string(r.body), `"quota":"storage"`)
		break
	}
	require.Greater(t, w.size(), size)
	use, warnings = w.usage(quota.Storage)
	require.LessOrEqual(t, use.Used, *use.Limit, "one batch holds one span here")
	require.True(t, use.Own)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "storage: ")

	// A stream gets as many lines in as there is room for, and each is told.
	var lines [][]byte
	for n := range 5 {
		lines = append(lines, w.note(w.owner, 100+n))
	}
	for _, l := range w.appendLines(lines...).results(t) {
		require.Equal(t, http.StatusForbidden, l.Status)
	}
	w.append(first).want(t, http.StatusOK) // a repeat takes nothing
	w.append(w.grant(w.identity().ID(), span.RoleMember)).want(t, http.StatusCreated)
	sp, err := span.Parse(first, span.Limits{})
	require.NoError(t, err)
	w.append(w.seal(w.owner, fmt.Appendf(nil, `{"reason":"asked","spans":[{"header_hash":%q,"span":%q}]}`, sp.Hash(), sp.ID),
		func(h *span.Header) { h.Type = span.TypeRedaction })).want(t, http.StatusCreated)

	w.quota(quota.Storage, nil)
	w.append(w.note(w.owner, 200)).want(t, http.StatusCreated)
}

// TestBytesAreCountedAlike: by the process that wrote, by another one, and from
// the start.
func TestBytesAreCountedAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quota(quota.Storage, number(1<<40))
	for n := range 10 {
		w.append(w.note(w.owner, n)).want(t, http.StatusCreated)
		if n == 4 {
			other := quota.NewMeter(w.db, w.store, slog.New(slog.DiscardHandler), w.clock.now)
			_, known, err := other.Bytes(t.Context(), w.tenant.Id, w.size(), 0)
			require.NoError(t, err)
			require.True(t, known)
		}
	}
	use, _ := w.usage(quota.Storage)
	other := quota.NewMeter(w.db, w.store, slog.New(slog.DiscardHandler), w.clock.now)
	bytes, known, err := other.Bytes(t.Context(), w.tenant.Id, w.size(), 3)
	require.NoError(t, err)
	require.False(t, known, "so many are not read at once")
	require.Less(t, bytes, use.Used)
	for !known {
		bytes, known, err = other.Bytes(t.Context(), w.tenant.Id, w.size(), 3)
		require.NoError(t, err)
	}
	require.Equal(t, use.Used, bytes)
}

// TestErasingMakesRoom: what was erased counts no more, in the process that erased
// and in another, and whoever erases all the time has nothing read for it.
func TestErasingMakesRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quota(quota.Storage, number(1<<40))
	other := quota.NewMeter(w.db, w.store, slog.New(slog.DiscardHandler), w.clock.now)
	seen := func() int64 {
		bytes, known, err := other.Bytes(t.Context(), w.tenant.Id, w.size(), 100)
		require.NoError(t, err)
		require.True(t, known)
		return bytes
	}
	large := func(n int) []byte {
		return w.seal(w.owner, fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, strings.Repeat("x", 5000)), func(*span.Header) {})
	}
	erase := func(raw []byte) {
		sp, err := span.Parse(raw, span.Limits{})
		require.NoError(t, err)
		w.append(w.seal(w.owner, fmt.Appendf(nil, `{"reason":"asked","spans":[{"header_hash":%q,"span":%q}]}`, sp.Hash(), sp.ID),
			func(h *span.Header) { h.Type = span.TypeRedaction })).want(t, http.StatusCreated)
	}
	first, second := large(1), large(2)
	w.append(first).want(t, http.StatusCreated)
	w.append(second).want(t, http.StatusCreated)
	before, _ := w.usage(quota.Storage)
	require.Equal(t, before.Used, seen())

	erase(first)
	after, _ := w.usage(quota.Storage)
	require.Less(t, after.Used, before.Used-4000)
	require.Equal(t, after.Used, seen(), "the other process learns of it from the timeline")

	erase(second)
	soon, _ := w.usage(quota.Storage)
	require.Greater(t, soon.Used, after.Used, "a count from the start has just been made")
	w.clock.advance(10 * time.Minute)
	late, _ := w.usage(quota.Storage)
	require.Less(t, late.Used, soon.Used-4000)
	require.Equal(t, late.Used, seen())
}

func TestSpansQuota(t *testing.T) {
	t.Parallel()
	w := rated(t, quota.Rates{})
	w.quota(quota.Spans, number(2)) // 20 in ten seconds
	var lines [][]byte
	for n := range 25 {
		lines = append(lines, w.note(w.owner, n))
	}
	created := 0
	for _, l := range w.appendLines(lines...).results(t) {
		if l.Status == http.StatusCreated {
			created++
			continue
		}
		require.Equal(t, "quota_spans", l.Problem.Code)
	}
	require.Equal(t, 20, created)
	r := w.append(w.note(w.owner, 50))
	r.problem(t, http.StatusTooManyRequests, "quota_spans")
	require.NotEmpty(t, r.header.Get("Retry-After"))
	use, warnings := w.usage(quota.Spans)
	require.EqualValues(t, 2, use.Used)
	require.Len(t, warnings, 1)
	w.clock.advance(time.Second)
	w.append(w.note(w.owner, 51)).want(t, http.StatusCreated)
	w.quota(quota.Spans, number(0))
	w.append(w.note(w.owner, 52)).problem(t, http.StatusTooManyRequests, "quota_spans")
	w.quota(quota.Spans, number(quota.None))
	w.append(w.note(w.owner, 53)).want(t, http.StatusCreated)
}

func TestMembersQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	member := w.member(span.RoleMember)
	w.quota(quota.Members, number(2))
	w.append(w.grant(w.identity().ID(), span.RoleMember)).problem(t, http.StatusForbidden, "quota_members")
	w.append(w.grant(member.ID(), span.RoleAdmin)).want(t, http.StatusCreated) // who is one already
	use, warnings := w.usage(quota.Members)
	require.EqualValues(t, 2, use.Used)
	require.Equal(t, 100, use.Reached)
	require.Len(t, warnings, 1)
}

func TestFeedsQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quota(quota.Feeds, number(1))
	tap := w.socket("from=now", w.token(w.owner))
	_, res, err := w.dial(w.feedPath("from=now"), w.token(w.owner), nil)
	require.Error(t, err)
	require.Equal(t, http.StatusTooManyRequests, res.StatusCode)
	use, _ := w.usage(quota.Feeds)
	require.EqualValues(t, 1, use.Used)
	_ = tap
}

// TestFeedsQuotaOfTwoProcesses: with a Redis that they share, what is open at one
// counts at the other.
func TestFeedsQuotaOfTwoProcesses(t *testing.T) {
	t.Parallel()
	redis := os.Getenv("LOGLINE_TEST_REDIS")
	if redis == "" {
		t.Skip("LOGLINE_TEST_REDIS is not set; `make test` sets it")
	}
	prefix := "logline-test-feeds:" + rand.Text() + ":"
	sharing := func(w *world) *quota.Tenants {
		client, err := ratelimit.NewRedis(redis, prefix)
		require.NoError(t, err)
		silent := slog.New(slog.DiscardHandler)
		rates := ratelimit.NewFallback(client, ratelimit.NewMemory(time.Now, 10), silent)
		t.Cleanup(func() { require.NoError(t, rates.Close()) })
		return quota.NewTenants(w.db, quota.NewBook(w.db, quota.Values{quota.Feeds: 2}, w.clock.now), quota.NewMeter(w.db, w.store, silent, w.clock.now), rates, tallies{w}, silent)
	}
	w := newWorld(t)
	one, two := sharing(w), sharing(w)
	tenant := w.tenant.Id
	leave, err := one.Feed(t.Context(), tenant)
	require.NoError(t, err)
	_, err = two.Feed(t.Context(), tenant)
	require.NoError(t, err)
	for _, p := range []*quota.Tenants{one, two} {
		_, err = p.Feed(t.Context(), tenant)
		require.Equal(t, "quota_feeds", fault.CodeOf(err))
		require.Equal(t, fault.Limited, fault.KindOf(err))
		uses, err := p.Usage(t.Context(), tenant)
		require.NoError(t, err)
		i := slices.IndexFunc(uses, func(u quota.Use) bool { return u.Quota == quota.Feeds })
		require.EqualValues(t, 2, uses[i].Used)
	}
	leave()
	_, err = two.Feed(t.Context(), tenant)
	require.NoError(t, err)
}

func TestTasksQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	auditor := w.token(w.member(span.RoleAuditor))
	w.made(3)
	w.quota(quota.Tasks, number(3))
	w.post(w.at("/backtests"), auditor, map[string]any{"source": "x"}).problem(t, http.StatusTooManyRequests, "quota_tasks")
	use, _ := w.usage(quota.Tasks)
	require.EqualValues(t, 3, use.Used)
	w.quota(quota.Tasks, number(4))
	r := w.post(w.at("/backtests"), auditor, map[string]any{"source": "x"})
	require.NotContains(t, string(r.body), "quota_tasks")
}

// TestSpansThatMakeTasksAreBounded: those that contracts make tasks of are refused
// while too many wait, and leave nothing.
func TestSpansThatMakeTasksAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.append(w.contract(`contract tell.pings version "1.0.0" {
	rule tell { on: "ping.wanted"  then { emit "ping.told" { data: {} } } }
}`, span.ActionActivate)).want(t, http.StatusCreated)
	w.made(2)
	w.quota(quota.Tasks, number(2))
	size := w.size()
	asks := w.seal(w.owner, []byte(`{}`), typed("ping.wanted"))
	w.append(asks).problem(t, http.StatusTooManyRequests, "quota_tasks")
	require.Equal(t, size, w.size())
	w.append(w.note(w.owner, 1)).want(t, http.StatusCreated) // asks for nothing
	w.quota(quota.Tasks, number(3))
	require.Eventually(t, func() bool { return w.append(asks).status == http.StatusCreated }, time.Minute, 50*time.Millisecond,
		"what was read of quotas is read again after two seconds")
}

// TestMarksAreToldOnce: of two processes one warns, and again only when the use
// has been well below.
func TestMarksAreToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var log journal
	process := func() *quota.Tenants {
		logger := slog.New(slog.NewTextHandler(&log, nil))
		return quota.NewTenants(w.db, quota.NewBook(w.db, quota.Values{quota.Feeds: 10}, w.clock.now), quota.NewMeter(w.db, w.store, logger, w.clock.now), nil, tallies{w}, logger)
	}
	told := func() int { return strings.Count(log.String(), "nears its quota") }
	processes := []*quota.Tenants{process(), process()}
	var leave [][]func()
	open := func(p, n int) {
		for len(leave) <= p {
			leave = append(leave, nil)
		}
		for range n {
			l, err := processes[p].Feed(t.Context(), w.tenant.Id)
			require.NoError(t, err)
			leave[p] = append(leave[p], l)
		}
	}
	open(0, 7)
	require.Zero(t, told())
	open(0, 1)
	require.Equal(t, 1, told())
	open(1, 9)
	require.Equal(t, 1, told(), "the other process has told it")
	open(0, 2)
	require.Equal(t, 2, told(), "all of it is used")
	require.Contains(t, log.String(), "percent=100")
	_, err := processes[0].Feed(t.Context(), w.tenant.Id)
	require.Equal(t, "quota_feeds", fault.CodeOf(err))
	warned := map[int]int64{}
	processes[0].Warned(func(percent int, n int64) { warned[percent] = n })
	require.Equal(t, map[int]int64{80: 1, 95: 0, 100: 1}, warned)

	for _, l := range leave[0] {
		l()
	}
	open(0, 1) // well below
	open(0, 7)
	require.Equal(t, 3, told())
}
