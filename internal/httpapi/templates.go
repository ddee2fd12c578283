package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/danvoulez/logline/internal/httpapi/api"
	"github.com/danvoulez/logline/internal/onboarding/template"
)

// ListTemplates lists the newest version of each template.
func (s *Server) ListTemplates(c echo.Context) error {
	all := template.List()
	out := api.TemplatePage{Items: make([]api.Template, len(all))}
	for i, t := range all {
		out.Items[i] = templateOf(t)
	}
	return answer(c, http.StatusOK, out)
}

// GetTemplate shows a template with everything that would be signed.
func (s *Server) GetTemplate(c echo.Context, name string, params api.GetTemplateParams) error {
	if err := onlyKnown(c, params); err != nil {
		return err
	}
	t, err := template.Get(name, given(params.Version))
	if err != nil {
		return err
	}
	out := api.TemplatePreview{
		Name: t.Name, Version: t.Version, Hash: t.Hash, Title: t.Title, Summary: t.Summary, Versions: t.Versions(),
		Settings: api.TemplateSettings{
			RetentionDays: t.Settings.RetentionDays, RetentionWhy: t.Settings.RetentionWhy,
			PublicReading: t.Settings.PublicReading, PublicReadingWhy: t.Settings.PublicWhy,
		},
		Roles: make([]api.TemplateRole, len(t.Roles)), Contracts: make([]api.TemplateContract, len(t.Contracts)),
		Drafts: draftsOf(t.Drafts()), Examples: draftsOf(t.Examples()), Page: t.Page,
	}
	for i, r := range t.Roles {
		out.Roles[i] = api.TemplateRole{Name: r.Name, Does: r.Does, Builtin: r.Builtin}
	}
	for i, k := range t.Contracts {
		out.Contracts[i] = api.TemplateContract{Name: k.Name, Version: k.Version, Hash: k.Hash, File: k.File, Source: k.Source}
	}
	return answer(c, http.StatusOK, out)
}

func templateOf(t *template.Template) api.Template {
	return api.Template{Name: t.Name, Version: t.Version, Hash: t.Hash, Title: t.Title, Summary: t.Summary, Versions: t.Versions()}
}

func draftsOf(drafts []template.Draft) []api.SpanDraft {
	out := make([]api.SpanDraft, len(drafts))
	for i, d := range drafts {
		out[i] = api.SpanDraft{
			Type: d.Type, Title: d.Title, Subject: d.Subject, Visibility: api.SpanDraftVisibility(d.Visibility),
			Tags: d.Tags, Payload: d.Payload, Waits: d.Waits,
		}
	}
	return out
}
