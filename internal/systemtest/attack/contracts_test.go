package attack

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Gained would be: the node's time or memory by an expression, which anybody with
// a tenant of their own may write.
func TestExpressionsAreBounded(t *testing.T) {
	s := alone(t)
	long := strings.Repeat("a", 500_000)
	payload := func(n int) string {
		return fmt.Sprintf(`{"s":%q,"list":[%s]}`, long[:n], strings.TrimSuffix(strings.Repeat(`"a",`, n/8), ","))
	}
	before := s.resident(t)
	for i, when := range []string{
		`data.s.matches("(a+)+$")`, `data.s.matches("(a|a)*b")`, `data.s.matches("(.*)(.*)(.*)(.*)(.*)[b]$")`, `data.s.matches("(a{1000}){1000}")`, `data.s.matches("a{1,1000}b")`, `data.s.matches(data.s)`,
		`data.list.all(a, data.list.all(b, data.list.all(c, a + b + c != "x")))`, `data.list.map(a, data.list.map(b, a + b)).size() > 0`, `data.list.map(a, data.s + a).size() > 0`,
		`data.s.replace("a", data.s).size() > 0`, `data.s.replace("", data.s).size() > 0`, `data.s.split("").join(data.s).size() > 0`, `(data.s + data.s + data.s + data.s).size() > 0`,
		`[[data.list, data.list], [data.list, data.list]] == [[data.list, data.list], [data.list, data.list]]`, `data == data and data.list == data.list`, `data.s.indexOf("b") > 0 and data.s.indexOf("ab") > 0`,
		`spans("**").within(3650d).count() > 0 and spans("**").sum("n") > 0`, strings.Repeat("(", 300) + "true" + strings.Repeat(")", 300), strings.Repeat("not ", 3000) + "true", "1.0" + strings.Repeat(" + 1.0", 3000) + " > 0",
		`data.s.contains("` + long[:9000] + `")`, `1e308 * 10.0 > 0`, `duration("99999999h") > duration("1s")`, `now.getHours("+99:99") > 0`, `timestamp("9999-12-31T23:59:59Z") - timestamp("0001-01-01") > 0`,
	} {
		began := time.Now()
		r := s.activate(s.mallory, s.evil, fmt.Sprintf("contract bomb.n%d version \"1.0.0\" {\n rule r { on: \"bomb.n%d\" when: %s then { tag \"x\" } }\n}", i, i, when))
		require.Contains(t, []int{http.StatusCreated, http.StatusBadRequest}, r.status, "%.80s: %s", when, r.body)
		if r.status == http.StatusCreated {
			r = s.append(s.seal(s.mallory, payload(400_000), in(s.evil), typed(fmt.Sprintf("bomb.n%d", i))))
			require.Less(t, r.status, 500, "%.80s: %s", when, r.body)
		}
		require.Less(t, time.Since(began), patience, "%.80s", when)
	}
	require.Less(t, s.resident(t)-before, int64(500<<20), "bytes of memory")
}

// Gained would be: a timeline that grows for ever by itself, and the node's
// workers with it.
func TestContractsDoNotFeedThemselves(t *testing.T) {
	s := alone(t)
	s.activate(s.mallory, s.evil, `contract loop.rules version "1.0.0" {
  rule again { on: "loop.**" then { emit "loop.again" { data: { n: 1 } } emit "loop.more" { data: { n: 2 } } } }
}`).want(t, http.StatusCreated)
	r := s.activate(s.mallory, s.evil, `contract node.rules version "1.0.0" { rule own { on: "**" then { emit "logline.member" { data: { n: 1 } } } } }`)
	require.Equal(t, http.StatusBadRequest, r.status, "a contract writes what the protocol keeps for itself: %s", r.body)
	r = s.activate(s.mallory, s.evil, "contract wide.rules version \"1.0.0\" {\n tenant: \"*\"\n rule own { on: \"**\" then { reject \"mine\" } }\n}")
	require.NotEqual(t, http.StatusCreated, r.status, "a tenant's contract decides for all: %s", r.body)
	raw := s.seal(s.mallory, `{}`, in(s.evil), typed("loop.start"))
	s.append(raw).want(t, http.StatusCreated)
	evil := s.token(s.mallory)
	var page struct {
		Items []struct {
			Span struct{ Type string }
		}
	}
	emitted := func() int {
		s.get(evil, "/v1/tenants/"+s.evil.Id+"/spans?type=loop.*&cause="+idOf(t, raw)).want(t, http.StatusOK).decode(t, &page)
		return len(page.Items)
	}
	require.Eventually(t, func() bool { return emitted() == 2 }, patience, 20*time.Millisecond)
	// What the node says is decided by nobody, so it stays at that.
	s.get(evil, "/v1/tenants/"+s.evil.Id+"/spans?type=loop.*&limit=1000").want(t, http.StatusOK).decode(t, &page)
	require.Len(t, page.Items, 3)
	for _, source := range []string{
		`contract fast.rules version "1.0.0" { schedule tick { every: 1ms then { emit "tick.tock" { data: { n: 1 } } } } }`,
		`contract fast.rules version "1.0.0" { schedule tick { every: 0s then { emit "tick.tock" { data: { n: 1 } } } } }`,
	} {
		r := s.activate(s.mallory, s.evil, source)
		require.Equal(t, http.StatusBadRequest, r.status, "%s: %s", source, r.body)
	}
	require.Equal(t, http.StatusCreated, s.append(s.seal(s.member, `{}`)).status)
}

// Gained would be: room on the disk of the victim's node, by what is kept of
// what proves nothing.
func TestEvidenceIsKeptOfFewThings(t *testing.T) {
	onEach(t, func(t *testing.T, s *scene) {
		s.activate(s.owner, s.tenant, `contract no.rules version "1.0.0" { rule no { on: "no.*" then { reject "no" } } }`).want(t, http.StatusCreated)
		size := s.size()
		// Refusals by contracts: ten a minute of one author.
		limited := 0
		for range 15 {
			r := s.append(s.seal(s.member, `{}`, typed("no.way")))
			if r.status == http.StatusTooManyRequests {
				limited++
				continue
			}
			r.want(t, http.StatusUnprocessableEntity)
		}
		require.GreaterOrEqual(t, limited, 4)
		require.LessOrEqual(t, s.size()-size, uint64(11))
		size = s.size()
		// Of strangers, of simulations and of dry runs nothing is kept.
		for range 5 {
			s.append(s.seal(s.mallory, `{}`, typed("no.way"))).want(t, http.StatusForbidden)
			s.post("", s.at("/spans?dry_run=true"), s.seal(s.agent, `{}`, typed("no.way"))).want(t, http.StatusOK)
			s.append(s.seal(s.agent, `{}`, typed("no.way"), simulated)).want(t, http.StatusOK)
		}
		require.Equal(t, size, s.size())
		// Cosignatures: of nobody that the node does not know, and not without a policy.
		note := string(s.get("", s.at("/checkpoint")).want(t, http.StatusOK).body)
		line := "\u2014 witness.example/w AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
		for name, text := range map[string]string{"unknown": note + line, "many": note + strings.Repeat(line, 2000), "another text": strings.Replace(note, "/0\n", "/1\n", 1) + line, "none": "x"} {
			r := s.do(http.MethodPost, "", s.at("/checkpoint"), "text/plain", []byte(text))
			require.Contains(t, []int{http.StatusBadRequest, http.StatusConflict, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge, http.StatusOK, http.StatusUnprocessableEntity}, r.status, "%s: %s", name, r.body)
			require.NotContains(t, string(s.get("", s.at("/checkpoint?cosigned=true")).body), "witness.example", name)
		}
		// Checks of signatures record nothing and tell nothing that is not open.
		r := s.post("", "/v1/signatures/verify", map[string]any{"identity": s.owner.ID(), "message": "x", "signature": strings.Repeat("A", 86)})
		r.want(t, http.StatusOK)
		require.NotContains(t, string(r.body), s.owner.Signer().Public())
		require.Equal(t, size, s.size())
	})
}

// Gained would be: the clock that answers timers, which all tenants share, and the
// workers that do what contracts ask for.
func TestSchedulesOfOneKeepNobodyWaiting(t *testing.T) {
	s := alone(t)
	var source strings.Builder
	source.WriteString("contract tick.rules version \"1.0.0\" {\n")
	for i := range 200 {
		fmt.Fprintf(&source, "schedule s%d { every: 1s then { emit \"tick.tock\" { data: { n: %d.0 } } } }\n", i, i)
	}
	source.WriteString("}")
	s.activate(s.mallory, s.evil, source.String()).want(t, http.StatusCreated)
	s.activate(s.owner, s.tenant, "contract once.rules version \"1.0.0\" {\n schedule soon { every: 1s then { emit \"once.upon\" { data: { n: 1 } } } }\n}").want(t, http.StatusCreated)
	// The victim's own timer is answered, and its span recorded, among all of those.
	token := s.token(s.owner)
	require.Eventually(t, func() bool {
		r := s.get(token, s.at("/spans?type=once.upon"))
		return strings.Contains(string(r.body), `"once.upon"`)
	}, patience, 100*time.Millisecond)
	s.works(t, aside(t), 5)
	// Replays and backtests, which read whole timelines, take turns in each tenant.
	s.append(s.seal(s.mallory, fmt.Sprintf(`{"action":"grant","identity":%q,"roles":["auditor"]}`, s.mallory.ID()), in(s.evil), typed("logline.member"))).want(t, http.StatusCreated)
	evil := s.token(s.mallory)
	for range 50 {
		r := s.post(evil, "/v1/tenants/"+s.evil.Id+"/replays", []byte(`{}`))
		require.Contains(t, []int{http.StatusAccepted, http.StatusTooManyRequests}, r.status, "%s", r.body)
	}
	var page struct {
		Items []struct {
			Queue          string
			Limit, Running int
		}
	}
	s.get(evil, "/v1/tenants/"+s.evil.Id+"/queues").want(t, http.StatusOK).decode(t, &page)
	for _, q := range page.Items {
		require.LessOrEqual(t, q.Running, 16, q.Queue)
		if q.Queue == "backtest" {
			require.LessOrEqual(t, q.Running, 1)
		}
	}
	s.works(t, aside(t), 5)
}
