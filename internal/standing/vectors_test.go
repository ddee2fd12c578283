package standing_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

type timelineVectors struct {
	Tenant, Node, Author string
	Spans                []struct{ Span json.RawMessage }
	Refuse               []struct {
		Why  string
		Span json.RawMessage
	} `json:"refuse_at_end_of_timeline"`
}

func load(t testing.TB, file string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "vectors", file))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, into))
}

// vectorTimeline folds the vectors and gives the state at their end.
func vectorTimeline(t testing.TB) (timelineVectors, *standing.Tx, standing.Position, standing.Lookup) {
	t.Helper()
	var v timelineVectors
	load(t, "spans.json", &v)
	var lines []struct{ Line string }
	load(t, "entries.json", &lines)
	require.NotEmpty(t, lines)
	require.Len(t, lines, len(v.Spans))

	w := &world{t: t, refs: map[string]standing.Ref{}}
	verifier := id.StdVerifier()
	tx := standing.New(verifier).Begin()
	last := standing.Position{}
	for i, l := range lines {
		e, err := span.ParseLine([]byte(l.Line))
		require.NoError(t, err)
		sp, err := span.Parse(v.Spans[i].Span, span.Limits{})
		require.NoError(t, err)
		require.Equal(t, sp.Header, e.Span)
		at := standing.Position{Seq: e.Seq, RecordedAt: e.RecordedAt}
		require.NoError(t, tx.Check(&e.Span, sp.Payload, at, w.look), "entry %d", i)
		c, err := tx.Apply(e, sp.Payload, w.look)
		require.NoError(t, err, "entry %d", i)
		w.note(e, c)
		last = standing.Position{Seq: e.Seq + 1, RecordedAt: e.RecordedAt}
	}
	return v, tx, last, w.look
}

func TestVectorsTimeline(t *testing.T) {
	t.Parallel()
	v, tx, at, look := vectorTimeline(t)
	assert.Equal(t, v.Tenant, tx.Tenant())
	assert.Equal(t, v.Node, tx.Node())
	_, ok := tx.Identity(v.Author)
	assert.True(t, ok)
	assert.NotEmpty(t, tx.Roles(v.Author))

	require.NotEmpty(t, v.Refuse)
	for _, c := range v.Refuse {
		sp, err := span.Parse(c.Span, span.Limits{})
		require.NoError(t, err, c.Why)
		assert.Error(t, tx.Check(&sp.Header, sp.Payload, at, look), c.Why)
	}
}
