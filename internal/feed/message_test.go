package feed_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/feed"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/tree"
)

func treeNote(text string) (*tree.Note, error) { return tree.ParseNote([]byte(text)) }

// counting is a source that counts what is read, and fails when told to.
type counting struct {
	feed.Source
	entries, scans atomic.Int64
	fail           atomic.Value // *fault.Error
}

func (c *counting) failure() error {
	if err, _ := c.fail.Load().(*fault.Error); err != nil {
		return err
	}
	return nil
}

func (c *counting) Checkpoint(ctx context.Context, tenant string) ([]byte, uint64, error) {
	if err := c.failure(); err != nil {
		return nil, 0, err
	}
	return c.Source.Checkpoint(ctx, tenant)
}

func (c *counting) Entries(ctx context.Context, tenant string, from, to uint64, r standing.Reader) ([]timeline.Record, uint64, error) {
	records, next, err := c.Source.Entries(ctx, tenant, from, to, r)
	c.entries.Add(int64(len(records)))
	return records, next, err
}

func (c *counting) Scan(ctx context.Context, tenant string, q timeline.Query, r standing.Reader, from, to uint64, bytes int) ([]timeline.Record, uint64, error) {
	c.scans.Add(1)
	return c.Source.Scan(ctx, tenant, q, r, from, to, bytes)
}

func TestParseFilter(t *testing.T) {
	t.Parallel()
	author := "logline-id://" + strings.Repeat("a", 52)
	q, err := feed.ParseFilter([]byte(`{"type":"filter","types":["a.*"],"author":"` + strings.Repeat("a", 52) + `","q":"word"}`))
	require.NoError(t, err)
	require.Equal(t, timeline.Query{Types: []string{"a.*"}, Author: author, Q: "word"}, q)
	q, err = feed.ParseFilter([]byte(`{"type":"filter"}`))
	require.NoError(t, err)
	require.Equal(t, timeline.Query{}, q)
	for raw, code := range map[string]string{
		``:                                 "message_malformed",
		`null`:                             "message_unknown",
		`[]`:                               "message_malformed",
		`{"type":"filter"`:                 "message_malformed",
		`{"type":"filter"} x`:              "message_malformed",
		`{"type":"filter","typ":"a"}`:      "message_malformed",
		`{"type":"filter","types":"a"}`:    "message_malformed",
		`{"type":"filter","tag":1}`:        "message_malformed",
		`{"type":"filter","type":"x"}`:     "message_malformed",
		`{"type":"subscribe"}`:             "message_unknown",
		`{"type":"subscribe","what":1}`:    "message_unknown",
		`{}`:                               "message_unknown",
		`{"type":"filter","types":["A"]}`:  "query_invalid",
		`{"type":"filter","tag":""}`:       "query_invalid",
		`{"type":"filter","tag":"\u0000"}`: "query_invalid",
		`{"type":"filter","author":"me"}`:  "query_invalid",
		`{"type":"filter","status":"ok"}`:  "query_invalid",
		`{"type":"filter","since":"now"}`:  "query_invalid",
		`{"type":"filter","q":"` + strings.Repeat("a", 17<<10) + `"}`: "message_too_large",
	} {
		_, err := feed.ParseFilter([]byte(raw))
		require.Equal(t, code, fault.CodeOf(err), raw)
		require.Equal(t, fault.Invalid, fault.KindOf(err), raw)
	}
}

// What is taken for a filter is one that a list of spans would take, written
// again means the same, and everything else is refused as invalid input.
func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{
		`{"type":"filter"}`, `{"type":"filter","types":["a.*","b.**"],"subject":"s","tag":"t","status":"ghost"}`,
		`{"type":"filter","since":"2026-01-31T12:00:00.000Z","cause":"019a0000-0000-7000-8000-000000000000","q":"a b"}`,
		`{"type":"nothing"}`, `{"type":"filter","author":null}`, "[]", "{", "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		q, err := feed.ParseFilter(raw)
		if err != nil {
			require.Equal(t, fault.Invalid, fault.KindOf(err))
			require.Equal(t, timeline.Query{}, q)
			c := feed.Closed{Code: feed.CodeMessage, Why: fault.From(err).Detail}
			require.LessOrEqual(t, len(c.Reason()), 123)
			return
		}
		_, err = q.Sieve()
		require.NoError(t, err)
		again := map[string]any{"type": "filter"}
		if q.Types != nil {
			again["types"] = q.Types
		}
		for name, value := range map[string]string{
			"author": q.Author, "subject": q.Subject, "tag": q.Tag, "status": q.Status,
			"since": q.Since, "until": q.Until, "cause": q.Cause, "q": q.Q,
		} {
			if value != "" {
				again[name] = value
			}
		}
		text, err := json.Marshal(again)
		require.NoError(t, err)
		if len(text) > feed.MaxClientMessage {
			return // escapes made it longer
		}
		q2, err := feed.ParseFilter(text)
		require.NoError(t, err)
		require.Equal(t, q, q2)
	})
}
