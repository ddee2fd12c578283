// Package detections_test holds the detections of this folder to events that
// others have labelled.
package detections_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/library"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// event is a labelled event.
type event struct {
	Rule     string          `json:"rule_id"`
	LogTypes []string        `json:"log_types"`
	Test     string          `json:"test"`
	Matches  bool            `json:"expected_match"`
	Payload  json.RawMessage `json:"event"`
}

// load has all detections in force.
func load(t *testing.T) *contract.Set {
	t.Helper()
	paths, err := filepath.Glob("*.lll")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	sources := make([]library.Source, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		sources[i] = library.Source{Name: path, Text: string(text)}
	}
	var inForce []contract.InForce
	for _, d := range library.Read(sources).Documents() {
		for _, p := range d.Diagnostics {
			require.Fail(t, "a detection is wrong", d.File.Header(p))
		}
		inForce = append(inForce, contract.InForce{Contract: d.Contract})
	}
	return contract.NewSet(inForce)
}

// labelled are the events of the rules that wanted has, by rule.
func labelled(t *testing.T, wanted map[string]bool) map[string][]event {
	t.Helper()
	dir := os.Getenv("LOGLINE_TEST_DATA")
	if dir == "" {
		t.Skip("no folder of labelled events: set LOGLINE_TEST_DATA")
	}
	f, err := os.Open(filepath.Join(dir, "panther-audit", "events.jsonl.gz"))
	if os.IsNotExist(err) {
		t.Skip("LOGLINE_TEST_DATA has no panther-audit/events.jsonl.gz")
	}
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	events := map[string][]event{}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		require.NoError(t, json.Unmarshal(lines.Bytes(), &e))
		if wanted[e.Rule] {
			events[e.Rule] = append(events[e.Rule], e)
		}
	}
	require.NoError(t, lines.Err())
	return events
}

// decide decides an event as a span of its log type.
func decide(t *testing.T, set *contract.Set, e event) *rules.Outcome {
	t.Helper()
	var payload any
	require.NoError(t, json.Unmarshal(e.Payload, &payload))
	canonical, err := span.Canonical(payload)
	require.NoError(t, err)
	sp := &span.Span{Payload: canonical}
	sp.Type = strings.ToLower(e.LogTypes[0])
	sp.Author = "logline-id://collector"
	// The detections ask nothing of the timeline, so that there need be none.
	w := &rules.World{Standing: standing.New(nil), Contracts: set}
	o, err := rules.Decide(context.Background(), w, sp, standing.Position{Seq: 7, RecordedAt: "2026-03-02T09:00:00Z"})
	require.NoError(t, err)
	return o
}

// policies are the names of all policies, each of which tags its own name.
func policies(t *testing.T, set *contract.Set) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, c := range set.Contracts() {
		for _, r := range c.Rules {
			require.Len(t, r.Then, 1, r.Name)
			tag, ok := r.Then[0].(*contract.TagAction)
			require.True(t, ok, "%s does something else than to tag", r.Name)
			require.Equal(t, r.Name, tag.Tag)
			require.False(t, names[r.Name], "two policies are called %s", r.Name)
			names[r.Name] = true
		}
	}
	return names
}

func TestDetectionsAgreeWithTheLabels(t *testing.T) {
	t.Parallel()
	set := load(t)
	wanted := policies(t, set)
	require.GreaterOrEqual(t, len(wanted), 40)
	events := labelled(t, wanted)
	seen, matches := 0, 0
	for rule := range wanted {
		require.NotEmpty(t, events[rule], "nobody has labelled events for %s", rule)
		for _, e := range events[rule] {
			o := decide(t, set, e)
			require.Equal(t, rules.Allow, o.Verdict, "%s: %s", rule, e.Test)
			if matched := slices.Contains(o.Decision.Tags, rule); matched != e.Matches {
				t.Errorf("%s: %q: matched %v, labelled %v", rule, e.Test, matched, e.Matches)
			}
			seen++
			if e.Matches {
				matches++
			}
		}
	}
	t.Logf("%d detections, %d events, %d of them matches", len(wanted), seen, matches)
}

// particular is what belongs to one account and not to a kind of event: numbers
// of accounts, identifiers, addresses of people and machines.
var particular = regexp.MustCompile(`\d{6,}|[0-9a-f]{8}-[0-9a-f]{4}-|\b(AKIA|ASIA|AROA|AIDA)|\b(i|sg|vpc|ami)-[0-9a-f]|\d+\.\d+\.\d+\.\d+|[\w.]+@[\w.]+|(?i)example|acme|springfield`)

// ofAll are addresses that are the same for everybody.
var ofAll = []string{"0.0.0.0", "system@okta.com"}

func TestDetectionsNameNothingOfOneAccount(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("*.lll")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		written, _, _ := strings.Cut(string(text), "\n  test ")
		for _, found := range particular.FindAllString(written, -1) {
			require.Contains(t, ofAll, found, "%s names what only one account has", path)
		}
	}
}
