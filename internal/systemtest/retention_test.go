package systemtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/span"
)

// A contract says for how long payloads are kept. When that is over, also for a
// node that was killed meanwhile, each is erased by a logline.redaction of the
// node's, once, from every kind of store and from its mirror; the lines stay and
// verify. After a compaction no file has a byte of it.
func TestRetentionErasesInEveryStore(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		retire(t, t.TempDir(), nil, func() []string { return nil })
	})
	t.Run("ndjson", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		retire(t, dir, []string{"--timeline", "ndjson:" + filepath.Join(dir, "timelines")}, func() []string { return nil })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		retire(t, t.TempDir(), []string{"--database-url", c.url()}, func() []string {
			conn, err := pgx.Connect(background(), c.url())
			require.NoError(t, err)
			defer conn.Close(background())
			_, err = conn.Exec(background(), "CHECKPOINT")
			require.NoError(t, err)
			return []string{filepath.Dir(c.dir)}
		})
	})
}

func retire(t *testing.T, dir string, where []string, database func() []string) {
	const spans = 20
	mirror := t.TempDir()
	flags := append(where, "--mirror", mirror, "--mirror-payloads", "true")
	y := onboard(t, start(t, dir, flags...))
	source := `contract notes.kept version "1.0.0" { 
	retain "doomed.*" 3s
	retain "kept.*" forever
}`
	payload, err := span.Canonical(span.Contract{Name: "notes.kept", Version: "1.0.0", Source: source, Hash: span.Sum([]byte(source)).String(), Action: span.ActionActivate})
	require.NoError(t, err)
	say := func(typ string, payload []byte) string {
		raw := y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = typ })
		_, err := y.api.Append(background(), y.tenant.Id, raw)
		require.NoError(t, err)
		return spanID(raw)
	}
	say(span.TypeContract, payload)
	d := &doomed{y: y, texts: []string{secret()}}
	doomedIDs, staying := map[string]bool{}, secret()
	for n := range spans {
		doomedIDs[say("doomed.note", fmt.Appendf(nil, `{"text":"%s%d"}`, d.texts[0], n))] = true
		say("kept.note", fmt.Appendf(nil, `{"text":"%s%d"}`, staying, n))
	}
	y.Kill() // with all of them still to be erased
	require.Positive(t, d.found(append(database(), dir, mirror)...), "or the search finds nothing where there is something")
	y.attach(started(t, y.Again()))

	erased := map[string]int{}
	require.Eventually(t, func() bool {
		clear(erased)
		for raw, err := range y.api.All(background(), y.tenant.Id, client.Filter{Types: []string{span.TypeRedaction}}) {
			require.NoError(t, err)
			var e struct {
				Span struct {
					Author  string
					Payload span.Redaction
				}
			}
			require.NoError(t, json.Unmarshal(raw, &e))
			require.Equal(t, y.node, e.Span.Author)
			require.Equal(t, "retention ended", e.Span.Payload.Reason)
			for _, ref := range e.Span.Payload.Spans {
				erased[ref.Span]++
			}
		}
		return len(erased) == spans
	}, time.Minute, 100*time.Millisecond, "log:\n%s", y.Log)
	for id := range doomedIDs {
		require.Equal(t, 1, erased[id], "span %s is erased once", id)
		record, err := y.api.Entry(background(), y.tenant.Id, id)
		require.NoError(t, err)
		require.Contains(t, mustJSON(t, record.Entry), `"withheld":"redacted"`)
	}
	whole := y.export() // which verifies
	require.Zero(t, d.in(whole.Bytes(), "the bundle"))
	require.EqualValues(t, spans, bytes.Count(whole.Bytes(), []byte(staying)), "what has no end stays")
	d.mirrored(mirror)
	require.Zero(t, y.terminate(), "log:\n%s", y.Log)
	require.Zero(t, d.found(mirror), "of the mirror it goes at once")
	kept(t, dir, append([]string{"erase", "--compact"}, flags...)...)
	require.Zero(t, d.found(append(database(), dir, mirror)...))
	kept(t, dir, append([]string{"fsck"}, where...)...)
}
