package httpapi_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// mayWhat says who passes the question of rights at each operation on a tenant,
// public reading off. A new operation has to be added here.
var mayWhat = map[string]string{
	"getTenant":         "owner admin member agent auditor guest",
	"changeTenantState": "", // for operators of the node
	"listMembers":       "owner admin member agent auditor",
	"getUsage":          "owner admin member agent auditor",
	"getStats":          "owner admin member agent auditor",
	"listSpans":         "owner admin member agent auditor guest",
	"getSpan":           "owner admin member agent auditor", // of one that is the organization's
	"getReceipt":        "owner admin member agent auditor",
	"getCauses":         "owner admin member agent auditor",
	"getEffects":        "owner admin member agent auditor",
	"getWhy":            "owner admin member agent auditor",
	"listContracts":     "owner admin member agent auditor",
	"getContract":       "owner admin member agent auditor",
	"getTask":           "owner admin member agent auditor", // of one that there is, less
	"cancelTask":        "owner admin member agent auditor",
	"requeueTask":       "owner admin member agent auditor",
	"listTasks":         "owner admin auditor",
	"listQueues":        "owner admin auditor",
	"listSchedules":     "owner admin auditor",
	"getSchedule":       "owner admin auditor",
	"pauseSchedule":     "owner admin",
	"resumeSchedule":    "owner admin",
	"runSchedule":       "owner admin",
	"listFollowers":     "owner admin auditor",
	"getFollower":       "owner admin auditor",
	"pauseFollower":     "owner admin",
	"resumeFollower":    "owner admin",
	"requeueFollower":   "owner admin",
	"skipEntry":         "owner admin",
	"listWebhooks":      "owner admin",
	"setWebhook":        "owner admin",
	"rotateWebhook":     "owner admin",
	"testWebhook":       "owner admin",
	"deleteWebhook":     "owner admin",
	"requestBacktest":   "auditor",
	"requestReplay":     "auditor",
	"simulateSpans":     "owner admin member agent auditor guest stranger anonymous", // the spans' signatures are judged
	"exportBundle":      "owner admin member agent auditor guest",
	"feed":              "owner admin member agent auditor guest",
	"createFeedTicket":  "owner admin member agent auditor guest",
	"entries":           "auditor",
	"appendEvents":      "", // for API keys of identities in custody
	"importBundle":      "owner admin member agent auditor guest stranger",
	"appendSpans":       "owner admin member agent auditor guest stranger anonymous", // the span's signature is judged
	"getCheckpoint":     "owner admin member agent auditor guest stranger anonymous",
	"cosignCheckpoint":  "owner admin member agent auditor guest stranger anonymous",
	"getInclusion":      "owner admin member agent auditor guest stranger anonymous",
	"getConsistency":    "owner admin member agent auditor guest stranger anonymous",
	"getTile":           "owner admin member agent auditor guest stranger anonymous",
}

// shownToAll are the operations that public reading opens to everybody; of
// spans, those that are public.
var shownToAll = []string{"getTenant", "listSpans", "exportBundle", "feed"}

// TestWhoMayWhat asks at every operation of the document that names a tenant, as
// everybody there is.
func TestWhoMayWhat(t *testing.T) {
	t.Parallel()
	for _, public := range []bool{false, true} {
		w := newWorld(t)
		w.tenant = w.newTenant(w.token(w.owner), "shown", public)
		raw := w.note(w.owner, 1, visible(span.VisibilityOrganization))
		w.append(raw).want(t, http.StatusCreated)
		tokens := map[string]string{"anonymous": "", "stranger": w.token(w.identity()), "owner": w.token(w.owner)}
		for _, role := range []string{"admin", "member", "agent", "auditor", "guest"} {
			tokens[role] = w.token(w.member(role))
		}
		asked := map[string]bool{}
		for _, p := range w.probes(spanID(t, raw)) {
			op := p.op
			if strings.Contains(p.path, "entries/") {
				op = "entries"
			}
			live := op == "feed" && p.header.Get("Accept") == ""
			if asked[op] || live || strings.Contains(p.path, "nonsense") {
				continue // the first request of each, as it should be made
			}
			asked[op] = true
			allowed, known := mayWhat[op]
			require.True(t, known, "who may %s? Add it to mayWhat", op)
			for who, token := range tokens {
				want := slices.Contains(strings.Fields(allowed), who) || public && slices.Contains(shownToAll, op) ||
					public && op == "createFeedTicket" && who == "stranger"
				require.Equal(t, want, w.passes(p, token), "%s: %s, public=%v", who, op, public)
			}
		}
		require.Len(t, asked, len(mayWhat), "an operation of mayWhat is in the document no more")
	}
}

// denials are what those who may not are told.
var denials = []string{"credential_required", "tenant_unknown", "span_unknown", "role_forbidden", "events_unsigned", "import_closed", "operator_required"}

// passes says whether the request gets beyond the question of rights.
func (w *world) passes(p probe, token string) bool {
	w.t.Helper()
	req := w.request(p.method, strings.ReplaceAll(p.path, "{tenant}", w.tenant.Id), token, "", strings.NewReader(p.body))
	maps.Copy(req.Header, p.header)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusBadRequest {
		return true
	}
	var problem struct{ Type string }
	require.NoError(w.t, json.NewDecoder(resp.Body).Decode(&problem))
	return !slices.Contains(denials, strings.TrimPrefix(problem.Type, "urn:logline:problem:"))
}
