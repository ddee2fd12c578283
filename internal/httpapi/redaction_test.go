package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/bus"
	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/httpapi"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

const (
	erasedWord   = "erasedpayload"
	erasedDetail = "erased detail"
	keptWord     = "keptpayload"
)

// noting decides as contracts do and keeps a note beside each decision on a
// span that is not reserved.
func noting(ctx context.Context, w *rules.World, sp *span.Span, at standing.Position) (*rules.Outcome, error) {
	o, err := rules.Decide(ctx, w, sp, at)
	if err == nil && !span.IsReserved(sp.Type) {
		noted := *o
		noted.Detail = &span.Detail{Notes: []string{erasedDetail}}
		return &noted, nil
	}
	return o, err
}

// detailSalt is that of the detail beside a span's decision.
func (w *world) detailSalt(spanID string) string {
	rec, err := w.log.Get(context.Background(), w.tenant.Id, spanID)
	require.NoError(w.t, err)
	detail, _, err := span.ParseDetail(rec.Detail)
	require.NoError(w.t, err)
	return detail.Salt
}

// What was redacted is nowhere any more, whoever asks and however.
func TestRedactedIsNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) {
		d.Engine = engine.New(d.Log.(*timeline.Log), d.Directory.(*id.Directory), id.FastVerifier(), noting,
			d.Node.(*id.Node), bus.New(), engine.Config{Now: d.Now})
	})
	author, auditor := w.member("member"), w.member("auditor")
	target := w.seal(author, []byte(`{"text":"`+erasedWord+`"}`), func(h *span.Header) { h.Tags = []string{"t"} })
	kept := w.seal(author, []byte(`{"text":"`+keptWord+`"}`), func(h *span.Header) { h.Tags, h.Causes = []string{"t"}, []string{spanID(t, target)} })
	w.append(target).want(t, http.StatusCreated)
	w.append(kept).want(t, http.StatusCreated)
	sp, err := span.Parse(target, span.Limits{})
	require.NoError(t, err)

	at := w.at("/spans/" + sp.ID)
	paths := []string{
		at, at + "/receipt", at + "/receipt?format=tlog-proof", at + "/why", at + "/causes", at + "/effects",
		w.at("/spans/" + spanID(t, kept) + "/why"), w.at("/spans/" + spanID(t, kept) + "/causes"),
		w.at("/spans"), w.at("/spans?tag=t"), w.at("/spans?tag=t&order=desc"), w.at("/spans?status=executed"),
		w.at("/bundle"), w.at("/bundle?from=5"), w.at("/stats"),
	}
	secrets := []string{erasedWord, sp.Salt, erasedDetail, w.detailSalt(sp.ID)}
	readers := map[string]string{"owner": w.token(w.owner), "author": w.token(author), "auditor": w.token(auditor)}
	found := func(word, token string) int {
		var page client.Page
		w.get(w.at("/spans?q="+word), token).want(t, http.StatusOK).decode(t, &page)
		return len(page.Items)
	}

	// Before, each is where it belongs: this test can fail.
	for name, token := range readers {
		for _, path := range []string{at, w.at("/spans?tag=t"), w.at("/bundle")} {
			body := string(w.get(path, token).want(t, http.StatusOK).body)
			for _, s := range secrets {
				require.Contains(t, body, s, "%s %s", name, path)
			}
		}
		require.Equal(t, 1, found(erasedWord, token), name)
	}

	w.append(w.seal(w.owner, fmt.Appendf(nil, `{"reason":"asked","spans":[{"header_hash":%q,"span":%q}]}`, sp.Hash(), sp.ID),
		func(h *span.Header) { h.Type = span.TypeRedaction })).want(t, http.StatusCreated)

	for name, token := range readers {
		for _, path := range paths {
			r := w.get(path, token).want(t, http.StatusOK)
			body := strings.ReplaceAll(string(r.body), keptDetail(t, w, kept, token), "") // the other span's own
			for _, s := range []string{erasedWord, sp.Salt} {
				require.NotContains(t, string(r.body), s, "%s %s", name, path)
			}
			for _, s := range secrets {
				require.NotContains(t, body, s, "%s %s", name, path)
			}
		}
		require.Zero(t, found(erasedWord, token), name)
		require.Equal(t, 1, found(keptWord, token), name)
		require.Contains(t, string(w.get(at, token).body), `"withheld":"redacted"`)
	}
	// Sending it again restores nothing, and gives nothing away.
	again := w.append(target).want(t, http.StatusOK)
	results := w.appendLines(target)
	for _, s := range secrets {
		require.NotContains(t, string(again.body), s)
		require.NotContains(t, string(results.body), s)
	}
	require.Zero(t, found(erasedWord, readers["owner"]))

	report, err := bundle.Verify(t.Context(), bytes.NewReader(w.get(w.at("/bundle"), readers["owner"]).body), bundle.Options{Node: w.node.ID()})
	require.NoError(t, err)
	require.True(t, report.OK, "%+v", report.Problems)
	require.EqualValues(t, 1, report.WithheldRedacted)
}

// keptDetail is how the detail of the span that was not redacted is written.
func keptDetail(t *testing.T, w *world, raw []byte, token string) string {
	t.Helper()
	body := string(w.get(w.at("/spans/"+spanID(t, raw)), token).want(t, http.StatusOK).body)
	_, rest, ok := strings.Cut(body, `"detail":`)
	require.True(t, ok)
	end := strings.Index(rest, "}")
	return rest[:end+1]
}
