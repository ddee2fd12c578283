package httpapi_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client/openapi"
	"github.com/danvoulez/logline/internal/account"
	"github.com/danvoulez/logline/internal/admin"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// TestAccountState: operators of the node keep an account's person out and let them in
// again, and the admin timeline tells who did so, once; nobody else does, nor learns
// whether there is such an account.
func TestAccountState(t *testing.T) {
	t.Parallel()
	w := newWorld(t, quick)
	require.NoError(t, w.own.Record(context.Background(), admin.Act{Type: admin.TenantCreated, Subject: w.tenant.Id, By: w.owner.ID()}))
	operator := w.token(w.owner) // who owns the first tenant
	ana := w.opened("ana")
	w.append(w.grant(ana.Identity.Id, span.RoleAdmin)).want(t, http.StatusCreated)
	change := func(token, who, action string) reply {
		return w.post("/v1/accounts/"+who+"/state", token, map[string]string{"action": action, "reason": "request-12"})
	}
	require.Equal(t, "credential_required", change("", "@ana", "deactivate").code())
	for _, who := range []string{"@ana", "@nobody"} {
		require.Equal(t, "operator_required", change(w.token(w.identity()), who, "deactivate").code())
		require.Equal(t, "operator_required", change(ana.Token, who, "deactivate").code())
	}
	require.Equal(t, "identity_unknown", change(operator, "@nobody", "deactivate").code())
	require.Equal(t, "account_unknown", change(operator, pathOf(w.identity().ID(), "")[len("/v1/identities/"):], "deactivate").code())
	require.Equal(t, "account_action_unknown", change(operator, "@ana", "erase").code())

	tap := w.events("", ana.Token)
	tap.next()
	for range 2 { // again changes nothing
		var out openapi.AccountStateChanged
		change(operator, "@ana", "deactivate").want(t, http.StatusOK).decode(t, &out)
		require.Equal(t, openapi.AccountStateChanged{Identity: ana.Identity.Id}, out)
	}
	code, reason := tap.ended()
	require.Equal(t, 4001, code, reason)
	w.get(w.at("/spans"), ana.Token).problem(t, http.StatusUnauthorized, "credential_invalid")
	w.post("/v1/sessions", "", map[string]any{"name": "@ana", "password": passphrase}).problem(t, http.StatusUnauthorized, "sign_in_refused")
	change(operator, "@ana", "activate").want(t, http.StatusOK)
	_, _, err := w.accounts.Begin(t.Context(), ana.Identity.Id, account.ByPasskey, account.Where{})
	require.NoError(t, err)

	own, err := w.own.Find(t.Context())
	require.NoError(t, err)
	page, err := w.log.Query(t.Context(), own.ID, timeline.Query{Types: []string{"node.account.**"}, Limit: 10}, standing.Everything())
	require.NoError(t, err)
	require.Len(t, page.Records, 2)
	for i, typ := range []string{admin.AccountDeactivated, admin.AccountActivated} {
		sp := page.Records[i].Entry.Span
		require.Equal(t, typ, sp.Type)
		require.Equal(t, ana.Identity.Id, sp.Subject)
		require.JSONEq(t, `{"by":"`+w.owner.ID()+`","reason":"request-12"}`, string(page.Records[i].Payload))
	}
}
