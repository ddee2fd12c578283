package attack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// Gained would be: what is in another member's private span, by any way in which
// the timeline tells of itself.
func TestPrivateOfOthersStaysPrivate(t *testing.T) {
	const secret = "what-the-admin-keeps"
	onEach(t, func(t *testing.T, s *scene) {
		s.activate(s.owner, s.tenant, `contract watch.rules version "1.0.0" {
  rule tell { on: "deal.**" then { emit "notice.sent" { data: { text: data.text } } note "seen ${data.text}" annotate { said: data.text } } }
  rule never { on: "deal.refused" then { reject "no ${data.text}" } }
}`).want(t, http.StatusCreated)
		deal := s.record(s.admin, `{"text":"`+secret+`"}`, typed("deal.secret"), visible(span.VisibilityPrivate), func(h *span.Header) {
			h.Title, h.Subject, h.Tags = "title-"+secret, "subject-"+secret, []string{"tag-" + secret}
		})
		refused := s.seal(s.admin, `{"text":"`+secret+`"}`, typed("deal.refused"), visible(span.VisibilityPrivate))
		s.append(refused).want(t, http.StatusUnprocessableEntity)
		shown := s.record(s.member, `{"text":"hello"}`, causedBy(deal))
		s.settled(t)

		for who, k := range map[string]*id.Keys{"member": s.member, "agent": s.agent, "guest": s.guest, "owner": s.owner} {
			token := s.token(k)
			for _, path := range []string{
				"", "/members", "/stats", "/spans?limit=1000", "/spans?q=admin+keeps", "/spans?q=" + secret, "/spans?q=title", "/spans?type=deal.*", "/spans?tag=tag-" + secret, "/spans?subject=subject-" + secret,
				"/spans?author=" + bare(s.admin), "/spans?cause=" + deal, "/spans?status=executed&limit=1000", "/spans?status=ghost", "/spans/" + deal, "/spans/" + deal + "/receipt", "/spans/" + deal + "/receipt?format=tlog-proof",
				"/spans/" + deal + "/why", "/spans/" + deal + "/causes", "/spans/" + deal + "/effects", "/spans/" + shown + "/causes?depth=64", "/spans/" + shown + "/why",
				"/bundle", "/contracts", "/contracts/watch.rules", "/tasks/" + deal + ".0", "/tile/entries/000.p/10", "/spans/" + idOf(t, refused) + "/why",
			} {
				if who == "owner" && strings.HasPrefix(path, "/tasks") {
					continue // who looks after tasks sees that there is one
				}
				r := s.get(token, s.at(path))
				require.NotContains(t, string(r.body), secret, "%s sees it at %s", who, path)
				if path != "/spans/"+shown+"/causes?depth=64" && !strings.Contains(path, shown) && !strings.HasPrefix(path, "/bundle") && !strings.HasPrefix(path, "/spans?") {
					require.NotContains(t, string(r.body), deal, "%s: %s", who, path)
				}
				require.NotContains(t, string(r.body), "deal.secret", "%s is told the type at %s", who, path)
			}
			// A span that is not there, and the private one: one answer.
			for _, path := range []string{"", "/receipt", "/why", "/causes", "/effects"} {
				nothing := strings.ReplaceAll(s.get(token, s.at("/spans/0190a000-0000-7000-8000-000000000000"+path)).same(), "0190a000-0000-7000-8000-000000000000", deal)
				require.Equal(t, nothing, s.get(token, s.at("/spans/"+deal+path)).same(), "%s: %s", who, path)
			}
		}
		// Live, with whatever filter.
		for _, query := range []string{"", "&q=keeps", "&type=**", "&type=deal.*", "&author=" + bare(s.admin)} {
			events := s.listen(t, s.token(s.member), s.at("/feed?from=0"+query))
			require.NotContains(t, events, secret, query)
			require.NotContains(t, events, "deal.secret", query)
		}
		// Who may: the author and an auditor.
		for _, k := range []*id.Keys{s.admin, s.auditor} {
			require.Contains(t, string(s.get(s.token(k), s.at("/spans/"+deal)).want(t, http.StatusOK).body), secret)
		}
	})
}

// settled waits until the engine has done what contracts asked for.
func (s *scene) settled(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		var page struct {
			Items []struct{ Queued, Running int }
		}
		r, err := s.try(context.Background(), http.MethodGet, s.token(s.owner), s.at("/queues"), "", strings.NewReader(""))
		if err != nil || json.Unmarshal(r.body, &page) != nil {
			return false
		}
		for _, q := range page.Items {
			if q.Queued+q.Running > 0 {
				return false
			}
		}
		return len(page.Items) > 0
	}, patience, 20e6)
}

// listen reads a feed until it has caught up, which its checkpoint says.
func (s *scene) listen(t testing.TB, token, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := browser().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var all bytes.Buffer
	buf := make([]byte, 32<<10)
	for !strings.Contains(all.String(), "event: checkpoint") {
		n, err := resp.Body.Read(buf)
		all.Write(buf[:n])
		require.NoError(t, err, "%s", all.String())
	}
	return all.String()
}

// Gained would be: a tenant without an owner, or with oneself as the only one.
func TestTheLastOwnerStays(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		s.append(s.role(s.owner, s.owner, span.ActionWithdraw, "owner")).problem(t, http.StatusConflict, "last_owner")
		second := s.join("owner")
		// Both throw each other out at the same moment: one of them stays.
		spans := [][]byte{s.role(s.owner, second, span.ActionWithdraw, "owner"), s.role(second, s.owner, span.ActionWithdraw, "owner")}
		answers := make([]reply, len(spans))
		var both sync.WaitGroup
		for i := range spans {
			both.Go(func() {
				answers[i], _ = s.try(context.Background(), http.MethodPost, "", s.at("/spans"), "application/json", bytes.NewReader(spans[i]))
			})
		}
		both.Wait()
		require.ElementsMatch(t, []int{http.StatusCreated, http.StatusForbidden}, []int{answers[0].status, answers[1].status}, "%s\n%s", answers[0].body, answers[1].body)
		var page struct {
			Items []struct{ Roles []string }
		}
		s.get(s.token(s.member), s.at("/members")).want(t, http.StatusOK).decode(t, &page)
		owners := 0
		for _, m := range page.Items {
			for _, role := range m.Roles {
				if role == "owner" {
					owners++
				}
			}
		}
		require.Equal(t, 1, owners)
	})
}

// Gained would be: an entry by somebody who was thrown out before it.
func TestNobodyAppendsAfterBeingThrownOut(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		leaver := s.join("member")
		var done sync.WaitGroup
		for range 4 {
			done.Go(func() {
				for {
					r, err := s.try(context.Background(), http.MethodPost, "", s.at("/spans"), "application/json", bytes.NewReader(s.seal(leaver, `{}`, typed("late.span"))))
					if err != nil || r.status != http.StatusCreated {
						return
					}
				}
			})
		}
		var out struct{ Entry struct{ Seq uint64 } }
		s.append(s.role(s.owner, leaver, span.ActionWithdraw, "member")).want(t, http.StatusCreated).decode(t, &out)
		done.Wait()
		var page struct {
			Items []struct{ Seq uint64 }
		}
		s.get(s.token(s.owner), s.at("/spans?order=desc&limit=1&author="+bare(leaver))).want(t, http.StatusOK).decode(t, &page)
		for _, e := range page.Items {
			require.Less(t, e.Seq, out.Entry.Seq, "an entry stands after the withdrawal")
		}
		s.get(s.token(leaver), s.at("")).want(t, http.StatusNotFound)
	})
}

// Gained would be: more than one's own rights, by a credential or an identity in
// between.
func TestNoRightGrowsOnTheWay(t *testing.T) {
	s := alone(t)
	// An API key that names everything has what its identity has.
	key := s.apiKey(s.member, map[string]any{"types": []string{"logline.identity", "logline.contract", "logline.member", "**"}})
	require.Equal(t, http.StatusForbidden, s.do(http.MethodPut, key, s.at("/webhooks/desk"), "application/json", []byte(`{"url":"https://example.org/"}`)).status)
	require.Equal(t, http.StatusForbidden, s.get(key, s.at("/tasks")).status)
	// One for a tenant is nothing elsewhere, and one for reading changes nothing.
	only := s.apiKey(s.mallory, map[string]any{"tenant": s.evil.Id})
	s.get(only, "/v1/tenants/"+s.evil.Id).want(t, http.StatusOK)
	plain := s.apiKey(s.owner, nil)
	s.post(plain, "/v1/identities/"+bare(s.owner)+"/keys", []byte(`{}`)).problem(t, http.StatusForbidden, "api_key_cannot_manage")
	s.post(plain, "/v1/tenants", map[string]any{"slug": "more", "name": "x", "owner": s.owner.ID()}).want(t, http.StatusForbidden)
	// An identity in custody that a member had made has no role, and its events are
	// of no type that the protocol keeps for itself.
	var held struct{ ID string }
	s.post(s.token(s.member), "/v1/identities", map[string]any{"custody": true, "subject": "service"}).want(t, http.StatusCreated).decode(t, &held)
	at := "/v1/identities/" + strings.TrimPrefix(held.ID, span.IdentityScheme)
	var made struct{ Key string }
	s.post(s.token(s.member), at+"/keys", map[string]any{"types": []string{"logline.member", "logline.contract", "logline.redaction", "**"}}).want(t, http.StatusCreated).decode(t, &made)
	event := func(typ string) reply {
		return s.do(http.MethodPost, made.Key, s.at("/events"), "application/cloudevents+json", fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":%q,"data":{}}`, typ, typ))
	}
	require.Contains(t, []int{http.StatusForbidden, http.StatusNotFound}, event("a.b").status, "an identity without a role appends")
	payload, err := span.Canonical(span.Member{Identity: held.ID, Roles: []string{"agent"}, Action: span.ActionGrant})
	require.NoError(t, err)
	s.append(s.seal(s.owner, string(payload), typed(span.TypeMember))).want(t, http.StatusCreated)
	for _, typ := range []string{"logline.member", "LOGLINE.contract", "logline.redaction", "logline", "ｌogline.member"} {
		r := event(typ)
		if r.status >= 300 {
			continue
		}
		require.NotContains(t, string(r.body), `"type":"logline.`, typ)
	}
	// On behalf of the owner a member writes, and does not decide.
	r := s.append(s.seal(s.member, string(payload), typed(span.TypeMember), func(h *span.Header) { h.OnBehalfOf = s.owner.ID() }))
	require.Equal(t, http.StatusForbidden, r.status, "%s", r.body)
	r = s.append(s.seal(s.guest, `{}`, func(h *span.Header) { h.OnBehalfOf = s.owner.ID() }))
	require.Equal(t, http.StatusForbidden, r.status, "%s", r.body)
	// A vote for one's own span, twice, and by somebody who is not asked.
	s.activate(s.owner, s.tenant, "contract two.people version \"1.0.0\" {\n role cashier \"x\"\n"+` rule two { on: "pay.now" then { require approval { from: [cashier] count: 2 within: 24h } } } }`).want(t, http.StatusCreated)
	pay := s.seal(s.member, `{}`, typed("pay.now"))
	s.append(pay).want(t, http.StatusAccepted)
	var rec struct{ Entry json.RawMessage }
	s.get(s.token(s.member), s.at("/spans/"+idOf(t, pay))).want(t, http.StatusOK).decode(t, &rec)
	vote := fmt.Sprintf(`{"header_hash":%q,"span":%q,"vote":"approve"}`, headerHash(t, rec.Entry), idOf(t, pay))
	for _, k := range []*id.Keys{s.member, s.agent, s.guest, s.mallory, s.former, s.admin} {
		r := s.append(s.seal(k, vote, typed(span.TypeApproval)))
		require.Contains(t, []int{http.StatusForbidden, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusBadRequest}, r.status, "%s", r.body)
	}
	cashier := s.join("member", "cashier")
	s.append(s.seal(cashier, vote, typed(span.TypeApproval))).want(t, http.StatusCreated)
	r = s.append(s.seal(cashier, vote, typed(span.TypeApproval)))
	require.NotEqual(t, http.StatusCreated, r.status, "one voter counts twice: %s", r.body)
	var now struct{ Status string }
	s.get(s.token(s.member), s.at("/spans/"+idOf(t, pay))).want(t, http.StatusOK).decode(t, &now)
	require.Equal(t, "pending", now.Status)
}
