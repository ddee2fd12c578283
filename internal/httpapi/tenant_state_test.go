package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// TestTenantState: operators suspend, resume and close tenants that they need not be
// able to read; nobody else does, whatever they are in the tenant.
func TestTenantState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.own.Record(context.Background(), admin.Act{Type: admin.TenantCreated, Subject: w.tenant.Id, By: w.owner.ID()}))
	operator := w.token(w.owner) // who owns the first tenant
	other := w.identity()
	w.tenant.Id = w.newTenantOf(other, "other")
	member := w.identity()
	grant, err := span.Canonical(span.Member{Identity: member.ID(), Roles: []string{"member"}, Action: span.ActionGrant})
	require.NoError(t, err)
	w.append(w.seal(other, grant, func(h *span.Header) { h.Type = span.TypeMember })).want(t, http.StatusCreated)
	note := func() []byte { return w.note(member, 1, visible(span.VisibilityOrganization)) }
	w.append(note()).want(t, http.StatusCreated)

	path := "/v1/tenants/" + w.tenant.Id
	change := func(token, action string) reply {
		return w.post(path+"/state", token, map[string]string{"action": action, "reason": "ticket-117"})
	}
	for who, token := range map[string]string{"owner": w.token(other), "member": w.token(member)} {
		require.Equal(t, "operator_required", change(token, "suspend").code(), who)
	}
	require.Equal(t, "tenant_unknown", change(w.token(w.identity()), "suspend").code())
	require.Equal(t, "credential_required", change("", "suspend").code())
	require.Equal(t, "tenant_unknown", w.post("/v1/tenants/nowhere/state", operator, map[string]string{"action": "suspend"}).code())
	require.Equal(t, "tenant_of_node", w.post("/v1/tenants/node-admin/state", operator, map[string]string{"action": "close"}).code())
	require.Equal(t, "tenant_not_suspended", change(operator, "resume").code())

	change(operator, "suspend").want(t, http.StatusOK)
	require.Equal(t, "tenant_suspended_already", change(operator, "suspend").code())
	require.Equal(t, "tenant_suspended", w.append(note()).code())
	for path, token := range map[string]string{path: w.token(member), path + "/spans": w.token(member), path + "/bundle": w.token(member), path + "/stats": w.token(member)} {
		require.Equal(t, "tenant_suspended", w.get(path, token).code(), path)
	}
	require.Equal(t, "tenant_unknown", w.get(path, w.token(w.identity())).code())
	var shown struct{ State string }
	w.get(path, w.token(other)).want(t, http.StatusOK).decode(t, &shown)
	require.Equal(t, "suspended", shown.State)
	w.get(path+"/bundle", w.token(other)).want(t, http.StatusOK)
	var list struct{ Items []struct{ ID string } }
	w.get("/v1/tenants", w.token(member)).want(t, http.StatusOK).decode(t, &list)
	require.Empty(t, list.Items)
	w.get("/v1/tenants", w.token(other)).want(t, http.StatusOK).decode(t, &list)
	require.Len(t, list.Items, 1)

	change(operator, "resume").want(t, http.StatusOK)
	w.append(note()).want(t, http.StatusCreated)
	change(operator, "close").want(t, http.StatusOK)
	require.Equal(t, "tenant_closed", w.append(note()).code())
	require.Equal(t, "tenant_closed", change(operator, "resume").code())
	w.get(path+"/spans", w.token(member)).want(t, http.StatusOK)

	// Who asked stands in the node's own timeline.
	own, err := w.own.Find(context.Background())
	require.NoError(t, err)
	page, err := w.log.Query(context.Background(), own.ID, timeline.Query{Subject: w.tenant.Id}, standing.Everything())
	require.NoError(t, err)
	var told []string
	for _, r := range page.Records {
		told = append(told, r.Entry.Span.Type)
		require.Equal(t, w.owner.ID(), r.Entry.Span.OnBehalfOf)
		require.Contains(t, string(r.Payload), "ticket-117")
	}
	require.Equal(t, []string{admin.TenantSuspended, admin.TenantResumed, admin.TenantClosed}, told)
}

// code is that of the problem in an answer, "" for none.
func (r reply) code() string {
	var p struct{ Type string }
	if r.status < 400 || json.Unmarshal(r.body, &p) != nil {
		return ""
	}
	return strings.TrimPrefix(p.Type, "urn:logline:problem:")
}
