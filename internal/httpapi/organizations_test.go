package httpapi_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/timeline/bundle"
)

// An organization owns a tenant as a person does: its own key makes it, and keys
// that it delegates act in its name, each as far as its types go.
func TestOrganizationsOwnTenants(t *testing.T) {
	t.Parallel()
	w := newNode(t)
	org, err := id.NewKeys(id.SubjectOrganization, w.clock.now(), randReader)
	require.NoError(t, err)
	w.register(org)
	w.owner = org
	w.tenant = w.newTenant(bootstrapToken, "acme", false)
	require.Equal(t, org.ID(), w.tenant.Owner)
	second := w.newTenant(w.token(org), "second", false)
	require.Equal(t, org.ID(), second.Owner, "one owner of many tenants")

	key := func(types ...string) id.Signer {
		event, key, err := org.Delegate("office", types, "", w.clock.now(), randReader)
		require.NoError(t, err)
		w.post(pathOf(org.ID(), "/events"), "", event.Raw).want(t, http.StatusCreated)
		return key
	}
	office, clerk := key(span.TypeMember), key()
	person := w.identity()
	member, err := span.Canonical(span.Member{Identity: person.ID(), Roles: []string{span.RoleAdmin}, Action: span.ActionGrant})
	require.NoError(t, err)
	w.append(w.sealBy(clerk, org.ID(), member, typed(span.TypeMember))).problem(t, http.StatusForbidden, "key_type_not_delegated")
	w.append(w.sealBy(office, org.ID(), []byte(`{"n":1}`))).problem(t, http.StatusForbidden, "key_type_not_delegated")
	w.append(w.sealBy(office, org.ID(), member, typed(span.TypeMember))).want(t, http.StatusCreated)
	w.append(w.sealBy(clerk, org.ID(), []byte(`{"n":1}`))).want(t, http.StatusCreated)
	w.append(w.note(person, 2)).want(t, http.StatusCreated)

	// The same person is admin of one of its tenants, and nobody in the other.
	w.get("/v1/tenants/second", w.token(person)).problem(t, http.StatusNotFound, "tenant_unknown")
	var page struct{ Items []client.Member }
	w.get(w.at("/members"), w.token(person)).want(t, http.StatusOK).decode(t, &page)
	roles := map[string][]string{}
	for _, m := range page.Items {
		roles[m.Identity] = m.Roles
	}
	require.Equal(t, map[string][]string{org.ID(): {"owner"}, person.ID(): {"admin"}}, roles)

	// Whoever has the bundle checks all of that without the node.
	raw := w.get(w.at("/bundle"), w.token(org)).want(t, http.StatusOK).body
	report, err := bundle.Verify(t.Context(), bytes.NewReader(raw), bundle.Options{Node: w.node.ID()})
	require.NoError(t, err)
	require.True(t, report.OK, "%+v", report.Problems)
}
