package attack

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/span"
)

// Gained would be: a processor for as long as one likes, by one span that a
// contract of one's own is asked about.
func TestAContractDecidesInTimeOrNotAtAll(t *testing.T) {
	s := alone(t)
	var rules strings.Builder
	for i := range 600 {
		fmt.Fprintf(&rules, "rule r%d { on: \"heavy.span\" when: data.list.all(i, i + %d.0 > 0.0) and data.list.exists(i, i < 0.0) then { tag \"x\" } }\n", i, i)
	}
	s.activate(s.mallory, s.evil, "contract heavy.rules version \"1.0.0\" {\n"+rules.String()+"}").want(t, http.StatusCreated)
	payload := `{"list":[` + strings.TrimSuffix(strings.Repeat("1,", 200_000), ",") + `]}`
	heavy := s.seal(s.mallory, payload, in(s.evil), typed("heavy.span"))
	stop := s.flood(4, func(ctx context.Context, _ int) (reply, error) {
		return s.try(ctx, http.MethodPost, "", "/v1/tenants/"+s.evil.Id+"/spans", "application/json", bytes.NewReader(heavy))
	})
	slowest := s.works(t, aside(t), 5)
	stop()
	began := time.Now()
	r := s.append(heavy)
	t.Logf("the victim's slowest append %s, the heavy span's answer after %s", slowest, time.Since(began))
	r.problem(t, http.StatusTooManyRequests, "decision_too_long")
	require.Less(t, time.Since(began), 2*patience)
	// The tenant's own other spans are none the worse.
	s.append(s.seal(s.mallory, `{}`, in(s.evil))).want(t, http.StatusCreated)
}

// Gained would be: the same without a tenant of one's own, by a contract in the
// name of the node's owner, which costs seconds to read.
func TestAContractIsNotReadForAStranger(t *testing.T) {
	s := alone(t)
	var rules strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&rules, "rule r%d { on: \"a.b\" when: data.a.b.c.d[%d] + size(data.x) * 2.0 > 7.0 or data.list.exists(i, i < 0.0) then { tag \"x${data.y}\" } }\n", i, i)
	}
	source := "contract all.rules version \"1.0.0\" {\ntenant: \"*\"\n" + rules.String() + "}"
	forged := s.contract(s.mallory, s.tenant, source)
	_ = forged
	asOwner := s.sealAs(s.mallory, s.owner.ID(), s.tenant, span.TypeContract, string(payloadOf(t, forged)))
	took := s.used(t)
	const times = 5
	for range times {
		s.append(asOwner).want(t, http.StatusForbidden)
	}
	took = s.used(t) - took
	t.Logf("%s of processor time for %d contracts of %d bytes", took, times, len(source))
	require.Less(t, took, 3*time.Second)
}
