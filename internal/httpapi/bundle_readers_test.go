package httpapi_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// TestBundlePerReader: a bundle holds what its reader may see, a bare leaf for
// everything else, and verifies for each of them.
func TestBundlePerReader(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		w := newWorld(t)
		w.tenant = w.newTenant(w.token(w.owner), "shown", public)
		author, member, guest := w.member("member"), w.member("member"), w.member("guest")
		auditor, admin, agent := w.member("auditor"), w.member("admin"), w.member("agent")
		words := map[string]string{}
		add := func(word, visibility string, by *id.Keys, change ...func(*span.Header)) {
			raw := w.seal(by, []byte(`{"word":"`+word+`"}`), append(change, visible(visibility))...)
			w.append(raw).want(t, http.StatusCreated)
			words[word] = spanID(t, raw)
		}
		add("open", span.VisibilityPublic, author)
		add("inner", span.VisibilityOrganization, author)
		add("secret", span.VisibilityPrivate, author)
		add("behalf", span.VisibilityPrivate, author, func(h *span.Header) { h.OnBehalfOf = member.ID() })
		add("guests", span.VisibilityPrivate, guest)
		add("guestinner", span.VisibilityOrganization, guest)
		var size client.Stats
		w.get(w.at("/stats"), w.token(w.owner)).want(t, http.StatusOK).decode(t, &size)

		all := []string{"open", "inner", "secret", "behalf", "guests", "guestinner"}
		inner := []string{"open", "inner", "guestinner"}
		for name, c := range map[string]struct {
			keys  *id.Keys
			sees  []string
			roles bool // sees the organization's own entries
		}{
			"owner":    {w.owner, inner, true},
			"admin":    {admin, inner, true},
			"agent":    {agent, inner, true},
			"member":   {member, append([]string{"behalf"}, inner...), true},
			"author":   {author, append([]string{"secret", "behalf"}, inner...), true},
			"auditor":  {auditor, all, true},
			"guest":    {guest, []string{"guests", "guestinner"}, false},
			"nobody":   {nil, nil, false},
			"stranger": {w.identity(), nil, false},
		} {
			sees := c.sees
			if public && !c.roles {
				sees = append([]string{"open"}, sees...)
			}
			r := w.get(w.at("/bundle"), w.token(c.keys))
			if len(sees) == 0 {
				if c.keys == nil {
					r.problem(t, http.StatusUnauthorized, "credential_required")
				} else {
					r.problem(t, http.StatusNotFound, "tenant_unknown")
				}
				continue
			}
			r.want(t, http.StatusOK)
			for _, word := range all {
				require.Equal(t, contains(sees, word), strings.Contains(string(r.body), `"word":"`+word+`"`), "%s %s public=%v", name, word, public)
				require.Equal(t, contains(sees, word), strings.Contains(string(r.body), `"id":"`+words[word]+`"`), "%s %s public=%v", name, word, public)
			}
			lines := bytes.Split(bytes.TrimSuffix(r.body, []byte("\n")), []byte("\n"))[1:]
			require.Len(t, lines, int(size.Size), name)
			hidden := 0
			for _, line := range lines {
				if bytes.HasPrefix(line, []byte(`{"leaf":`)) {
					hidden++
				}
			}
			report, err := bundle.Verify(t.Context(), bytes.NewReader(r.body), bundle.Options{Node: w.node.ID()})
			require.NoError(t, err)
			require.True(t, report.OK, "%s public=%v: %+v", name, public, report.Problems)
			require.True(t, report.Authenticated, name)
			require.Equal(t, hidden, report.Hidden, name)
			if c.roles {
				require.Equal(t, len(all)-len(sees), hidden, name)
			}
		}
	}
}
