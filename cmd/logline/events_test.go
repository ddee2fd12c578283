package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/importer"
	"github.com/danvoulez/logline/internal/importer/jsonl"
	"github.com/danvoulez/logline/internal/rules/backtest"
)

// truthOf reads what is known of a sample apart from the importer.
func truthOf(t *testing.T, sample string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(testData(t), "truth.json"))
	require.NoError(t, err)
	var truth map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw, &truth))
	require.NoError(t, json.Unmarshal(truth[sample], into))
}

// importSample imports a sample by its map in docs/maps, as the command does.
func importSample(t *testing.T, s *session, sample string) importer.Report {
	t.Helper()
	m, err := jsonl.LoadMap(filepath.Join("..", "..", "docs", "maps", sample+".yaml"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "rejects")
	rejects := jsonl.NewRejects(path)
	f := jsonlFlags{visibility: "organization", batch: 1000}
	began := time.Now()
	report, err := f.run(t.Context(), s, filepath.Join(testData(t), sample, "events.jsonl.gz"), m, rejects)
	require.NoError(t, err)
	require.NoError(t, rejects.Close())
	why, _ := os.ReadFile(path) // there is none where all is well
	require.Zero(t, rejects.Count(), "%s", why)
	require.Zero(t, report.Failed, "%v", report.Failures)
	t.Logf("%d spans in %s: %.0f/s", report.Done(), time.Since(began).Round(time.Millisecond), report.Rate())
	return report
}

// eachEntry reads every entry of a query, over HTTP, in the order of the timeline.
func eachEntry(t *testing.T, s *session, filter client.Filter, f func(e entryView, record map[string]any)) {
	t.Helper()
	filter.Limit = 1000
	for raw, err := range s.client.All(t.Context(), s.profile.Tenant, filter) {
		require.NoError(t, err)
		e, err := parseEntry(raw)
		require.NoError(t, err)
		require.NoError(t, e.check())
		var record map[string]any
		require.NoError(t, json.Unmarshal(e.Span.Payload, &record))
		f(e, record)
	}
}

// TestRealAuditEvents imports 3,053 labelled events of 91 log types through the
// importer, HTTP and SQLite, and counts them by queries.
func TestRealAuditEvents(t *testing.T) {
	t.Parallel()
	var truth struct {
		Events        int64 `json:"events"`
		LogTypes      int   `json:"log_types"`
		ExpectedTrue  int   `json:"expected_true"`
		ExpectedFalse int   `json:"expected_false"`
	}
	truthOf(t, "panther-audit", &truth)
	s := startSession(t)
	require.Equal(t, truth.Events, importSample(t, s, "panther-audit").Added)

	logTypes := map[string]bool{}
	counted := int64(0)
	eachEntry(t, s, client.Filter{Types: []string{"audit.**"}}, func(e entryView, record map[string]any) {
		counted++
		logTypes[record["log_types"].([]any)[0].(string)] = true
		require.NotContains(t, string(e.Span.Header.AppendCanonical(nil)), "@example", "no address enters a header")
	})
	require.Equal(t, truth.Events, counted)
	require.Len(t, logTypes, truth.LogTypes)
	for tag, want := range map[string]int{"expected:true": truth.ExpectedTrue, "expected:false": truth.ExpectedFalse} {
		n := 0
		eachEntry(t, s, client.Filter{Types: []string{"audit.**"}, Tag: tag}, func(entryView, map[string]any) { n++ })
		require.Equal(t, want, n, tag)
	}
	again := importSample(t, s, "panther-audit")
	require.Equal(t, truth.Events, again.Already)
	require.Zero(t, again.Added)
}

// permitCounts is what is known of the travel permits.
type permitCounts struct {
	Events       int64 `json:"distinct_events"`
	Permits      int   `json:"permits"`
	Declarations int   `json:"declarations"`
	Requests     int   `json:"requests_for_payment"`
	Rejected     int   `json:"declarations_with_a_rejection"`
	Unapproved   int   `json:"declarations_paid_without_prior_final_approval"`
}

// TestRealTravelPermits imports 177,039 events, about a minute's work, derives
// from queries what is known of them, and then from deciding them again.
func TestRealTravelPermits(t *testing.T) {
	if testing.Short() {
		t.Skip("short: imports 177,039 events")
	}
	t.Parallel()
	var truth permitCounts
	truthOf(t, "travel-permits", &truth)
	s := startSession(t)
	require.Equal(t, truth.Events, importSample(t, s, "travel-permits").Added)

	var got permitCounts
	permits, requests, rejected := map[string]bool{}, map[string]bool{}, map[string]bool{}
	approved, paid, unapproved := map[string]bool{}, map[string]bool{}, map[string]bool{}
	declarations := map[string]bool{}
	eachEntry(t, s, client.Filter{Types: []string{"travel.**"}}, func(e entryView, record map[string]any) {
		got.Events++
		text := func(member string) string { s, _ := record[member].(string); return s }
		note := func(set map[string]bool, name string) {
			if name != "" {
				set[name] = true
			}
		}
		declaration := text("declaration")
		note(permits, text("permit"))
		note(requests, text("rfp"))
		note(declarations, declaration)
		switch {
		case strings.HasPrefix(e.Span.Type, "travel.declaration.rejected"):
			note(rejected, declaration)
		case e.Span.Type == "travel.declaration.final_approved":
			note(approved, declaration)
		case e.Span.Type == "travel.payment_handled" && declaration != "":
			note(paid, declaration)
			if !approved[declaration] {
				note(unapproved, declaration)
			}
		}
	})
	got.Permits, got.Declarations, got.Requests = len(permits), len(declarations), len(requests)
	got.Rejected, got.Unapproved = len(rejected), len(unapproved)
	require.Equal(t, truth, got)
	require.NotEmpty(t, paid)

	require.Equal(t, truth, backtestPermits(t, s))
}

// backtestPermits has the travel contract in examples decide the timeline again,
// and counts what is known of it in the report.
func backtestPermits(t *testing.T, s *session) permitCounts {
	t.Helper()
	contracts, err := readCandidate(s.env, filepath.Join("..", "..", "examples", "travel", "travel.lll"))
	require.NoError(t, err)
	b, err := backtest.New(contracts, backtest.Options{Clock: backtest.Span, Keep: 2000})
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, s.decideAgain(t.Context(), b, 0))
	r := b.Report()
	t.Logf("%d entries decided again in %s", r.Entries, time.Since(began).Round(time.Millisecond))
	out := permitCounts{Events: int64(r.Decided)}
	for _, w := range r.Workflows {
		switch w.Name {
		case "travel.permits/permit":
			out.Permits = w.Instances
		case "travel.permits/request":
			out.Requests = w.Instances
		case "travel.permits/declaration":
			out.Declarations = w.Instances
			for _, state := range w.States {
				if state.Name == "rejected" {
					out.Rejected = state.Entered
				}
			}
		}
	}
	for _, d := range r.Differences {
		if d.Rule == "travel.permits/paid_only_when_approved" {
			out.Unapproved++
		}
	}
	return out
}
