package importer

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

const tenantID = "8f14e45f-ceea-867f-a5bd-1d6f6b5e3a11"

// list is a source held in memory.
type list []Item

func (l list) Name() string                         { return "list" }
func (l list) Count(context.Context) (int64, error) { return int64(len(l)), nil }
func (l list) Items(context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for _, item := range l {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// node keeps headers by id as a node does; trouble, when set, is asked first.
type node struct {
	mu      sync.Mutex
	spans   map[string]*span.Span
	order   []string
	ghosts  map[string]string
	batches []int
	trouble func(call int, lines [][]byte) ([]Result, error)
}

func newNode() *node {
	return &node{spans: map[string]*span.Span{}, ghosts: map[string]string{}}
}

func (n *node) Register(_ context.Context, ghost *id.Keys, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ghosts[ghost.ID()] = name
	return nil
}

func (n *node) Append(_ context.Context, lines [][]byte) ([]Result, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.batches = append(n.batches, len(lines))
	if n.trouble != nil {
		if results, err := n.trouble(len(n.batches), lines); results != nil || err != nil {
			return results, err
		}
	}
	results := make([]Result, len(lines))
	for i, line := range lines {
		results[i] = n.take(line)
	}
	return results, nil
}

func (n *node) take(line []byte) Result {
	sp, err := span.Parse(line, span.Limits{})
	if err != nil {
		return Result{Err: err}
	}
	if !id.StdVerifier().Verify(mustB64(sp.Signature.Key), sp.Message(), mustB64(sp.Signature.Value)) {
		return Result{Err: fault.New(fault.Invalid, "signature_invalid", "the signature does not verify")}
	}
	if sp.OnBehalfOf != "" {
		if _, known := n.ghosts[sp.OnBehalfOf]; !known {
			return Result{Err: fault.New(fault.Invalid, "identity_unknown", "the ghost was not registered before its use")}
		}
	}
	old, there := n.spans[sp.ID]
	switch {
	case !there:
		n.spans[sp.ID] = sp
		n.order = append(n.order, sp.ID)
		return Result{}
	case old.Hash() == sp.Hash():
		return Result{Repeat: true}
	default:
		return Result{Err: fault.New(fault.Conflict, "id_conflict", "another span has this id").
			With("existing", map[string]any{"seq": 0, "author": old.Author, "payload_hash": old.PayloadHash})}
	}
}

func mustB64(s string) []byte {
	b, err := span.ParseB64(s, -1)
	if err != nil {
		panic(err)
	}
	return b
}

func newKeys(t testing.TB) *id.Keys {
	t.Helper()
	keys, err := id.NewKeys("person", time.Now(), rand.Reader)
	require.NoError(t, err)
	return keys
}

// numbers is a source of n items, each caused by the one before.
func numbers(n int) list {
	var l list
	for i := range n {
		item := Item{
			SourceID: fmt.Sprint(i), Time: time.Unix(int64(1000+i), 0), Type: "thing.happened",
			Actor: fmt.Sprintf("p%d@example.org", i%3), ActorName: fmt.Sprintf("Person %d", i%3),
			Payload: map[string]any{"n": i},
		}
		if i > 0 {
			item.Causes = []string{fmt.Sprint(i - 1)}
		}
		l = append(l, item)
	}
	return l
}

func TestImportKeepsOrderCausesAndPrivacy(t *testing.T) {
	t.Parallel()
	n, keys := newNode(), newKeys(t)
	var seen []Progress
	im := New(n, Config{Keys: keys, Tenant: tenantID, BatchSize: 7, Progress: func(p Progress) { seen = append(seen, p) }})
	report, err := im.Run(t.Context(), numbers(20))
	require.NoError(t, err)
	require.Equal(t, int64(20), report.Added)
	require.Equal(t, int64(19), report.Edges)
	require.Equal(t, 3, report.Ghosts)
	require.Equal(t, []int{7, 7, 6}, n.batches)
	require.Len(t, seen, 4)
	require.Equal(t, int64(20), seen[3].Done())
	for i, spanID := range n.order {
		sp := n.spans[spanID]
		require.Equal(t, SpanID("list", fmt.Sprint(i), time.Unix(int64(1000+i), 0)), spanID)
		require.True(t, span.IsUUIDv7(spanID))
		require.Equal(t, keys.ID(), sp.Author)
		require.Equal(t, span.FormatTime(time.Unix(int64(1000+i), 0)), sp.OccurredAt)
		if i > 0 {
			require.Equal(t, []string{n.order[i-1]}, sp.Causes)
		}
		header := string(sp.Header.AppendCanonical(nil))
		require.NotContains(t, header, "@")
		require.NotContains(t, header, "Person")
		ghost, err := id.GhostKeys(keys.Secret(), tenantID, "list", fmt.Sprintf("p%d@example.org", i%3))
		require.NoError(t, err)
		require.Equal(t, ghost.ID(), sp.OnBehalfOf)
		require.Equal(t, fmt.Sprintf("Person %d", i%3), n.ghosts[ghost.ID()])
	}
}

func TestSecondImportAddsNothing(t *testing.T) {
	t.Parallel()
	n, keys := newNode(), newKeys(t)
	cfg := Config{Keys: keys, Tenant: tenantID}
	_, err := New(n, cfg).Run(t.Context(), numbers(30))
	require.NoError(t, err)
	cfg.Now = func() time.Time { return time.Now().Add(time.Hour) } // another header: signed later
	report, err := New(n, cfg).Run(t.Context(), numbers(35))
	require.NoError(t, err)
	require.Equal(t, int64(5), report.Added)
	require.Equal(t, int64(30), report.Already)
	require.Zero(t, report.Failed)
}

func TestSameItemWithAnotherPayloadOrAuthorIsAnError(t *testing.T) {
	t.Parallel()
	n, keys := newNode(), newKeys(t)
	_, err := New(n, Config{Keys: keys, Tenant: tenantID}).Run(t.Context(), numbers(3))
	require.NoError(t, err)

	changed := numbers(3)
	changed[1].Payload["n"] = "changed"
	report, err := New(n, Config{Keys: keys, Tenant: tenantID}).Run(t.Context(), changed)
	require.NoError(t, err)
	require.Equal(t, int64(2), report.Already+report.Added)
	require.Equal(t, int64(1), report.Failed)
	require.Equal(t, "1", report.Failures[0].SourceID)
	require.Equal(t, "id_conflict", report.Failures[0].Code)

	report, err = New(n, Config{Keys: newKeys(t), Tenant: tenantID}).Run(t.Context(), numbers(3))
	require.NoError(t, err)
	require.Equal(t, int64(3), report.Failed, "another importer's spans are not this one's")
}

func TestImportRetriesWhatMayBeRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, keys := newNode(), newKeys(t)
		n.trouble = func(call int, lines [][]byte) ([]Result, error) {
			switch call {
			case 1: // committed, but the answer is lost
				for _, line := range lines {
					n.take(line)
				}
				return nil, fault.New(fault.Unavailable, "connection_lost", "the connection broke")
			case 3:
				return nil, fault.New(fault.Limited, "queue_full", "try later").After(30 * time.Second)
			case 4: // half of it put off
				results := make([]Result, len(lines))
				for i := range lines {
					if i%2 == 0 {
						results[i].Err = fault.New(fault.Unavailable, "busy", "try later")
					} else {
						results[i] = n.take(lines[i])
					}
				}
				return results, nil
			}
			return nil, nil
		}
		start := time.Now()
		report, err := New(n, Config{Keys: keys, Tenant: tenantID, BatchSize: 10}).Run(t.Context(), numbers(20))
		require.NoError(t, err)
		require.Equal(t, int64(20), report.Added)
		require.Zero(t, report.Failed)
		require.Equal(t, []int{10, 10, 10, 10, 5}, n.batches)
		require.GreaterOrEqual(t, time.Since(start), 30*time.Second, "Retry-After is honoured")
	})
}

func TestImportGivesUpInTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, keys := newNode(), newKeys(t)
		n.trouble = func(call int, lines [][]byte) ([]Result, error) {
			if call > 1 {
				return nil, fault.New(fault.Unavailable, "connection_lost", "the connection broke")
			}
			return nil, nil
		}
		report, err := New(n, Config{Keys: keys, Tenant: tenantID, BatchSize: 10, Patience: time.Minute}).Run(t.Context(), numbers(20))
		require.Equal(t, "connection_lost", fault.CodeOf(err))
		require.Equal(t, int64(10), report.Added, "what was answered is counted")
	})
}

func TestImportBlamesNoItemForAnInterruption(t *testing.T) {
	t.Parallel()
	n, keys := newNode(), newKeys(t)
	ctx, interrupt := context.WithCancel(t.Context())
	n.trouble = func(call int, _ [][]byte) ([]Result, error) {
		if call == 2 {
			interrupt()
			return nil, fmt.Errorf("post: %w", context.Canceled)
		}
		return nil, nil
	}
	report, err := New(n, Config{Keys: keys, Tenant: tenantID, BatchSize: 10}).Run(ctx, numbers(30))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, int64(10), report.Added)
	require.Zero(t, report.Failed, "%v", report.Failures)
}

func TestImportTellsThatItWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, keys := newNode(), newKeys(t)
		n.trouble = func(call int, _ [][]byte) ([]Result, error) {
			if call == 1 {
				return nil, fault.New(fault.Limited, "queue_full", "try later").After(30 * time.Second)
			}
			return nil, nil
		}
		var told []string
		_, err := New(n, Config{Keys: keys, Tenant: tenantID, Waiting: func(err error, pause time.Duration) {
			told = append(told, fault.CodeOf(err)+" "+pause.String())
		}}).Run(t.Context(), numbers(2))
		require.NoError(t, err)
		require.Equal(t, []string{"queue_full 30s"}, told)
	})
}

func TestImportStopsAtOnceWithoutRights(t *testing.T) {
	t.Parallel()
	n, keys := newNode(), newKeys(t)
	n.trouble = func(_ int, lines [][]byte) ([]Result, error) {
		results := make([]Result, len(lines))
		for i := range results {
			results[i].Err = fault.New(fault.Forbidden, "append_forbidden", "no role")
		}
		return results, nil
	}
	_, err := New(n, Config{Keys: keys, Tenant: tenantID, BatchSize: 5}).Run(t.Context(), numbers(100))
	require.Equal(t, "append_forbidden", fault.CodeOf(err))
	require.LessOrEqual(t, len(n.batches), 1)
}

func TestImportCountsCausesItCannotWrite(t *testing.T) {
	t.Parallel()
	n, keys := newNode(), newKeys(t)
	l := numbers(100)
	octopus := Item{SourceID: "octopus", Time: time.Unix(-5, 0), Type: "git.merge"}
	for i := range 100 {
		octopus.Causes = append(octopus.Causes, fmt.Sprint(i))
	}
	octopus.Causes = append(octopus.Causes, "never seen")
	report, err := New(n, Config{Keys: keys, Tenant: tenantID}).Run(t.Context(), append(l, octopus))
	require.NoError(t, err)
	require.Equal(t, int64(101), report.Added)
	require.Equal(t, int64(36), report.Overflow)
	require.Equal(t, int64(1), report.Unresolved)
	last := n.spans[n.order[100]]
	require.Len(t, last.Causes, 64)
	require.Equal(t, "1970-01-01T00:00:00.000Z", last.OccurredAt, "before 1970 is moved to its start")
	require.Empty(t, last.OnBehalfOf)
}

func TestImportOfAGitRepository(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	root := r.commit("1000000000 +0000", "first")
	raw := "tree " + r.git("", "mktree") + "\nparent " + root +
		"\nauthor Ana Lima <ana@example.org> 1000000000 +0000\ncommitter Bo <bo@example.org> 1000000009 +0000\n\nsecond\n"
	r.head(r.git(raw, "hash-object", "-t", "commit", "-w", "--stdin"))
	src, err := OpenGit(t.Context(), r.dir, GitOptions{})
	require.NoError(t, err)
	n, keys := newNode(), newKeys(t)
	report, err := New(n, Config{Keys: keys, Tenant: tenantID}).Run(t.Context(), src)
	require.NoError(t, err)
	require.Equal(t, int64(2), report.Added, "%v", report.Failures)
	require.Equal(t, 2, report.Ghosts)
	var payload map[string]any
	require.NoError(t, json.Unmarshal(n.spans[n.order[1]].Payload, &payload))
	bo, err := id.GhostKeys(keys.Secret(), tenantID, src.Name(), "bo@example.org")
	require.NoError(t, err)
	require.Equal(t, bo.ID(), payload["committer"])
	require.Equal(t, "Bo", n.ghosts[bo.ID()])
}

func TestNamesForTheDirectory(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Ana Lima", cleanName("  Ana\x00\x1b Lima\n"))
	require.Equal(t, strings.Repeat("ä", 128), cleanName(strings.Repeat("ä", 500)))
	require.Empty(t, cleanName("\t"))
}
