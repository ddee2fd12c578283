package attack

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/systemtest/program"
)

// Gained would be: a name, an id or an address that another goes by.
func TestSquatting(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		evil := s.token(s.mallory)
		// Handles: another's, and one's own in another's place.
		s.do(http.MethodPatch, s.token(s.owner), "/v1/identities/"+bare(s.owner), "application/json", []byte(`{"handle":"ana"}`)).want(t, http.StatusOK)
		s.do(http.MethodPatch, evil, "/v1/identities/"+bare(s.mallory), "application/json", []byte(`{"handle":"ana"}`)).problem(t, http.StatusConflict, "handle_taken")
		r := program.Registration(keys(t))
		r.Handle = "ana"
		s.post("", "/v1/identities", r).problem(t, http.StatusConflict, "handle_taken")
		s.post(evil, "/v1/identities", map[string]any{"custody": true, "subject": "person", "handle": "ana"}).problem(t, http.StatusConflict, "handle_taken")
		// A registration of the victim's own key events under a handle of one's choice.
		again := program.Registration(s.owner)
		again.Handle = "mallorys"
		s.post("", "/v1/identities", again).problem(t, http.StatusConflict, "identity_conflict")
		var found struct{ ID string }
		s.get(evil, "/v1/identities/@ana").want(t, http.StatusOK).decode(t, &found)
		require.Equal(t, s.owner.ID(), found.ID)

		// Slugs: taken, of the form of an id, or another's id.
		for slug, want := range map[string]string{"acme": "tenant_taken", s.tenant.Id: "slug_invalid", "ACME": "slug_invalid", "аcme": "slug_invalid", "acme ": "slug_invalid", "../acme": "slug_invalid", "": "slug_invalid"} {
			r := s.post(evil, "/v1/tenants", client.NewTenant{Slug: slug, Name: "Acme", Owner: s.mallory.ID()})
			require.Equal(t, want, r.code(), "%q: %s", slug, r.body)
		}
		// The victim's timeline, brought in as one's own.
		var whole bytes.Buffer
		whole.Write(s.get(s.token(s.owner), s.at("/bundle")).want(t, http.StatusOK).body)
		bundle := s.do(http.MethodPost, evil, s.at("/bundle?slug=stolen"), "application/x-ndjson", whole.Bytes())
		require.Contains(t, []int{http.StatusConflict, http.StatusBadRequest}, bundle.status, "%s", bundle.body)
		s.get(evil, "/v1/tenants/stolen").want(t, http.StatusNotFound)
	})
}

// Gained would be: that a victim's span is refused because somebody elsewhere
// has spent its id, or an entry in a timeline that its author never meant.
func TestSpanIDsOfOthers(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		victims := s.seal(s.member, `{"n":1}`)
		spanID := idOf(t, victims)
		// In another tenant the same id is another span.
		s.append(s.seal(s.mallory, `{"n":2}`, in(s.evil), named(spanID))).want(t, http.StatusCreated)
		// In the victim's tenant, by somebody without a right: refused, and not spent.
		s.append(s.seal(s.mallory, `{"n":2}`, named(spanID))).want(t, http.StatusForbidden)
		s.append(s.seal(s.auditor, `{"n":2}`, named(spanID))).want(t, http.StatusForbidden)
		s.append(victims).want(t, http.StatusCreated)
		// Spent now: others hear so, and nothing of what it is.
		r := s.append(s.seal(s.guest, `{"n":3}`, named(spanID))).problem(t, http.StatusConflict, "id_conflict")
		require.NotContains(t, string(r.body), "payload_hash")
		require.NotContains(t, string(r.body), s.member.ID())
		s.append(s.seal(s.mallory, `{"n":3}`, named(spanID))).want(t, http.StatusForbidden)

		// The very bytes, sent to another tenant, or with another tenant in them.
		size := s.size()
		s.post("", "/v1/tenants/"+s.evil.Id+"/spans", victims).problem(t, http.StatusBadRequest, "tenant_mismatch")
		s.post("", "/v1/tenants/evil/spans", victims).want(t, http.StatusNotFound)
		moved := bytes.ReplaceAll(victims, []byte(s.tenant.Id), []byte(s.evil.Id))
		s.append(moved).problem(t, http.StatusBadRequest, "signature_invalid")
		for _, member := range []string{`"visibility":"organization"`, `"type":"test.happened"`, `"status":"executed"`} {
			name, _, _ := strings.Cut(member, ":")
			other := map[string]string{`"visibility"`: `"visibility":"public"`, `"type"`: `"type":"test.changed"`, `"status"`: `"status":"simulated"`}[name]
			s.append(bytes.Replace(victims, []byte(member), []byte(other), 1)).problem(t, http.StatusBadRequest, "signature_invalid")
		}
		// Sent again as it is: the first receipt, and no second entry.
		s.append(victims).want(t, http.StatusOK)
		require.Equal(t, size, s.size())
	})
}
