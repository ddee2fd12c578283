package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/onboarding/template"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// Templates are listed and shown to anybody, whole, and none that there is not.
func TestTemplates(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	c, err := client.New(w.url, client.WithHTTPClient(w.http))
	require.NoError(t, err)
	all, err := c.Templates(t.Context())
	require.NoError(t, err)
	require.Len(t, all, len(template.List()))
	for i, own := range template.List() {
		require.Equal(t, own.Name, all[i].Name)
		require.Equal(t, own.Hash, all[i].Hash)
		shown, err := c.Template(t.Context(), own.Name, own.Version)
		require.NoError(t, err)
		require.Equal(t, all[i], client.Template{Name: shown.Name, Version: shown.Version, Hash: shown.Hash, Title: shown.Title, Summary: shown.Summary, Versions: shown.Versions})
		require.Equal(t, own.Page, shown.Page)
		require.Equal(t, own.Settings.RetentionDays, shown.Settings.RetentionDays)
		require.Equal(t, own.Settings.PublicReading, shown.Settings.PublicReading)
		require.Len(t, shown.Roles, len(own.Roles))
		require.Len(t, shown.Contracts, len(own.Contracts))
		for j, k := range own.Contracts {
			require.Equal(t, k.Source, shown.Contracts[j].Source)
			require.Equal(t, k.Hash, shown.Contracts[j].Hash)
		}
		require.Len(t, shown.Drafts, len(own.Drafts()))
		require.Len(t, shown.Examples, len(own.Examples()))
		for j, d := range append(own.Drafts(), own.Examples()...) {
			is := append(shown.Drafts, shown.Examples...)[j]
			require.JSONEq(t, string(d.Payload), string(is.Payload))
			require.Equal(t, []any{d.Type, d.Title, d.Subject, d.Visibility, d.Waits}, []any{is.Type, is.Title, is.Subject, string(is.Visibility), is.Waits})
		}
	}
	w.get("/v1/templates/audit-trail?version=99.0.0", "").problem(t, http.StatusNotFound, "template_version_unknown")
	w.get("/v1/templates/none", "").problem(t, http.StatusNotFound, "template_unknown")
	w.get("/v1/templates/a%20b", "").problem(t, http.StatusNotFound, "template_unknown")
	w.get("/v1/templates/audit-trail?versoin=1.0.0", "").problem(t, http.StatusBadRequest, "parameter_unknown")
}

// draft is a draft of somebody's, as the bytes to send.
func (w *world) draft(author *id.Keys, d *template.Draft) []byte {
	return w.seal(author, d.Payload, func(h *span.Header) {
		h.Type, h.Title, h.Subject, h.Visibility, h.Tags = d.Type, d.Title, d.Subject, d.Visibility, d.Tags
	})
}

// Each template is brought into force by the owner of a new tenant, who holds no
// role but that; its contracts take each of its examples, and the bundle of it all
// is right by itself.
func TestTemplatesOnATenant(t *testing.T) {
	t.Parallel()
	for _, one := range template.List() {
		t.Run(one.Ref(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, d := range one.Drafts() {
				w.append(w.draft(w.owner, &d)).want(t, http.StatusCreated)
			}
			var contracts client.Page
			w.get(w.at("/spans?type=logline.contract"), w.token(w.owner)).want(t, http.StatusOK).decode(t, &contracts)
			require.Len(t, contracts.Items, len(one.Contracts))
			decided := 0
			for _, d := range one.Examples() {
				status := http.StatusCreated
				if d.Waits {
					status = http.StatusAccepted
				}
				r := w.append(w.draft(w.owner, &d)).want(t, status)
				var receipt client.Receipt
				r.decode(t, &receipt)
				if strings.Contains(string(receipt.Entry), `"contracts":`) {
					decided++
				}
			}
			require.NotZero(t, decided, "no contract had a say about an example")

			// The contracts are in force: they refuse what is about nothing.
			first := one.Examples()[0]
			first.Subject = ""
			w.append(w.draft(w.owner, &first)).problem(t, http.StatusUnprocessableEntity, "refused_by_contract")

			whole := w.get(w.at("/bundle"), w.token(w.owner)).want(t, http.StatusOK)
			report, err := bundle.Verify(t.Context(), bytes.NewReader(whole.body), bundle.Options{Node: w.node.ID()})
			require.NoError(t, err)
			require.True(t, report.OK, "%v", report.Problems)
			var applied template.Applied
			require.NoError(t, json.Unmarshal(one.Drafts()[len(one.Contracts)].Payload, &applied))
			require.Contains(t, string(whole.body), applied.Hash)
		})
	}
}
