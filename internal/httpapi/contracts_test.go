package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// payments is the example of payments for the world's tenant, without what it
// requires of the node.
func payments(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/contracts/payments_approval.lll")
	require.NoError(t, err)
	return strings.NewReplacer(`tenant: "voulezvous"`, `tenant: "acme"`, `requires: ["identity.lifecycle ^1.0"]`, "").Replace(string(text))
}

// contract is a logline.contract span of the owner's.
func (w *world) contract(source, action string) []byte {
	w.t.Helper()
	c, err := rules.Compile(source)
	require.NoError(w.t, err)
	payload, err := span.Canonical(span.Contract{Name: c.Name, Version: c.Version, Source: source, Hash: c.Hash.String(), Action: action})
	require.NoError(w.t, err)
	return w.seal(w.owner, payload, typed(span.TypeContract))
}

func typed(typ string) func(*span.Header) { return func(h *span.Header) { h.Type = typ } }

func (w *world) payment(author *id.Keys, payment string, amount float64, change ...func(*span.Header)) []byte {
	return w.seal(author, fmt.Appendf(nil, `{"amount":%g,"payment_id":%q}`, amount, payment), append(change, typed("payment.requested"))...)
}

func (w *world) vote(author *id.Keys, raw []byte) []byte {
	sp, err := span.Parse(raw, span.Limits{})
	require.NoError(w.t, err)
	payload, err := span.Canonical(span.Approval{Span: sp.ID, HeaderHash: sp.Hash().String(), Vote: span.VoteApprove})
	require.NoError(w.t, err)
	return w.seal(author, payload, typed(span.TypeApproval))
}

func TestContractRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payer := w.member("member")
	source := payments(t)
	w.append(w.contract(source, span.ActionActivate)).want(t, http.StatusCreated)
	c, err := rules.Compile(source)
	require.NoError(t, err)

	large := w.payment(payer, "p1", 60_000)
	p := w.append(large).problem(t, http.StatusUnprocessableEntity, rules.CodeRefused)
	require.Equal(t, "amount 60000 is outside 0..50000", p.Detail)
	require.Equal(t, c.Ref(), p.Meta["contract"])
	require.Equal(t, "payments.approval/sane_amount", p.Meta["rule"])
	var kept client.Record
	decision, _ := p.Meta["decision"].(string)
	w.get(w.at("/spans/"+decision), w.token(w.owner)).want(t, http.StatusOK).decode(t, &kept)
	require.Equal(t, "ghost", string(kept.Status))
	require.Contains(t, string(kept.Entry), `"type":"logline.decision"`)

	again := w.append(large).problem(t, http.StatusUnprocessableEntity, rules.CodeRefused)
	require.Equal(t, decision, again.Meta["decision"], "sent again, it is told of the same entry")

	results := w.appendLines(w.payment(payer, "p2", 10), w.payment(payer, "p3", -1), w.payment(payer, "p4", 1500)).want(t, http.StatusOK).results(t)
	require.Len(t, results, 3)
	require.Equal(t, http.StatusCreated, results[0].Status)
	require.Equal(t, http.StatusUnprocessableEntity, results[1].Status)
	require.Equal(t, client.CodeRefused, results[1].Problem.Code)
	require.NotEmpty(t, results[1].Problem.Meta["decision"])
	require.Equal(t, http.StatusAccepted, results[2].Status)
}

func TestContractWaitsForVotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payer, ana, rui := w.member("member"), w.member("finance", "member"), w.member("finance", "member")
	w.append(w.contract(payments(t), span.ActionActivate)).want(t, http.StatusCreated)
	raw := w.payment(payer, "p1", 1500)
	status := func() string {
		var rec client.Record
		w.get(w.at("/spans/"+spanID(t, raw)), w.token(w.owner)).want(t, http.StatusOK).decode(t, &rec)
		return string(rec.Status)
	}
	w.append(raw).want(t, http.StatusAccepted)
	w.append(w.vote(ana, raw)).want(t, http.StatusCreated)
	require.Equal(t, "pending", status())
	w.append(w.vote(rui, raw)).want(t, http.StatusCreated)
	require.Equal(t, "executed", status())
}

// foreseen is the answer to a simulated span.
type foreseen struct {
	Simulated bool
	Decision  struct {
		Outcome string
		Tags    []string
	}
	client.Foresight
}

func TestSimulationSaysWhatWouldHappen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payer := w.member("member")
	w.append(w.contract(payments(t), span.ActionActivate)).want(t, http.StatusCreated)
	before := w.size()
	simulated := func(h *span.Header) { h.Status = span.StatusSimulated }
	for _, test := range []struct {
		name string
		send func(amount float64) reply
	}{
		{"status simulated", func(amount float64) reply { return w.append(w.payment(payer, "p1", amount, simulated)) }},
		{"dry_run", func(amount float64) reply {
			return w.post(w.at("/spans?dry_run=true"), "", w.payment(payer, "p1", amount))
		}},
	} {
		var pending, refused foreseen
		test.send(1500).want(t, http.StatusOK).decode(t, &pending)
		require.True(t, pending.Simulated, test.name)
		require.Equal(t, "pending", pending.Decision.Outcome)
		require.Equal(t, []string{"needs-approval"}, pending.Decision.Tags)
		require.Equal(t, []string{"finance_inbox"}, pending.Called)
		require.Contains(t, pending.Trace, client.TraceStep{Rule: "payments.approval/two_approvals", Branch: "then"})
		var detail struct {
			Annotations map[string]string
			Salt        *string
		}
		require.NoError(t, json.Unmarshal(pending.Detail, &detail))
		require.Equal(t, map[string]string{"risk": "medium"}, detail.Annotations)
		require.Nil(t, detail.Salt, "there is nothing that it could be the salt of")
		require.Nil(t, pending.Refusal)

		test.send(60_000).want(t, http.StatusOK).decode(t, &refused)
		require.Equal(t, "reject", refused.Decision.Outcome, test.name)
		require.Equal(t, "payments.approval/sane_amount", refused.Refusal.Rule)
		require.Equal(t, "amount 60000 is outside 0..50000", refused.Refusal.Reason)
	}
	results := w.appendLines(w.payment(payer, "p1", 60_000, simulated)).want(t, http.StatusOK).results(t)
	require.Equal(t, http.StatusOK, results[0].Status)
	require.Equal(t, "payments.approval/sane_amount", results[0].Refusal.Rule)
	require.Equal(t, before, w.size(), "nothing was appended, no evidence either")

	many := w.request(http.MethodPost, w.at("/spans?dry_run=true"), "", "application/x-ndjson", strings.NewReader("{}"))
	w.do(many).problem(t, http.StatusBadRequest, "parameter_invalid")
	stranger := w.identity()
	w.post(w.at("/spans?dry_run=true"), "", w.payment(stranger, "p1", 60_000)).problem(t, http.StatusForbidden, "author_unknown")
}

func TestContractsAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(w.owner)
	var page struct{ Items []client.Contract }
	w.get(w.at("/contracts"), token).want(t, http.StatusOK).decode(t, &page)
	require.Empty(t, page.Items)
	w.get(w.at("/contracts/payments.approval"), token).problem(t, http.StatusNotFound, "contract_unknown")

	const base, one, two = `contract base version "1.0.0" { rule r { on: "a.b" then { tag "t" } } }`,
		`contract notes version "1.0.0" { requires: ["base ^1.0"] rule r { on: "note.*" then { tag "one" } } }`,
		`contract notes version "1.1.0" { requires: ["base ^1.0"] rule r { on: "note.*" then { tag "two" } } }`
	w.append(w.contract(base, span.ActionActivate)).want(t, http.StatusCreated)
	w.append(w.contract(one, span.ActionActivate)).want(t, http.StatusCreated)
	activation := w.contract(two, span.ActionShadow)
	w.append(activation).want(t, http.StatusCreated)
	w.get(w.at("/contracts"), token).want(t, http.StatusOK).decode(t, &page)
	require.Len(t, page.Items, 3)
	require.Equal(t, "base", page.Items[0].Name)
	last := page.Items[2]
	require.Equal(t, client.Contract{
		Name: "notes", Version: "1.1.0", Hash: span.Sum([]byte(two)).String(), Mode: "shadow", Seq: w.size() - 1,
		Span: spanID(t, activation), Author: w.owner.ID(), ActivatedAt: span.FormatTime(w.clock.now()), Requires: []string{"base ^1.0"},
	}, last)
	require.EqualValues(t, "enforce", page.Items[1].Mode, "a shadow stands beside what is in force")

	source := func(query string) *client.ContractVersions {
		var out client.ContractVersions
		w.get(w.at("/contracts/notes"+query), token).want(t, http.StatusOK).decode(t, &out)
		require.Len(t, out.Versions, 2)
		return &out
	}
	require.Equal(t, one, source("").Source.Text, "the one in force, not its shadow")
	require.Equal(t, one, source("?version=1.0.0").Source.Text)
	require.Equal(t, one, source("?version="+url.QueryEscape(span.Sum([]byte(one)).String())).Source.Text)
	w.get(w.at("/contracts/notes?version=9"), token).problem(t, http.StatusNotFound, "contract_unknown")

	w.append(w.contract(two, span.ActionRetire)).want(t, http.StatusCreated)
	w.append(w.contract(one, span.ActionRetire)).want(t, http.StatusCreated)
	require.Nil(t, source("").Source, "none is in force")
	require.EqualValues(t, "past", source("").Versions[1].Mode)
	w.get(w.at("/contracts"), w.token(w.member("guest"))).problem(t, http.StatusForbidden, "role_forbidden")
}

func TestWhySaysWhatDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payer, ana, rui := w.member("member"), w.member("finance", "member"), w.member("finance", "member")
	w.member("finance", "auditor") // who may not append may not vote
	source := payments(t)
	w.append(w.contract(source, span.ActionActivate)).want(t, http.StatusCreated)
	why := func(raw []byte, reader *id.Keys) (out client.Why) {
		w.get(w.at("/spans/"+spanID(t, raw)+"/why"), w.token(reader)).want(t, http.StatusOK).decode(t, &out)
		return out
	}
	raw := w.payment(payer, "p1", 1500)
	w.append(raw).want(t, http.StatusAccepted)
	w.clock.advance(time.Second)
	pending := why(raw, w.owner)
	require.Len(t, pending.Contracts, 1)
	require.Equal(t, "payments.approval", pending.Contracts[0].Name)
	texts := map[string]int{}
	for _, r := range pending.Reasons {
		texts[r.Text] = r.Line
		require.Contains(t, strings.Split(source, "\n")[r.Line-1], r.Source)
	}
	require.Contains(t, texts, "two_approvals: its condition holds")
	require.Contains(t, texts, "it waits for 2 votes of finance or admin")
	require.Len(t, pending.Approvals, 1)
	require.True(t, pending.Approvals[0].Waits)
	require.Zero(t, pending.Approvals[0].Has)
	may := []string{}
	for _, m := range pending.MayVote {
		may = append(may, m.Identity)
	}
	require.ElementsMatch(t, []string{ana.ID(), rui.ID()}, may)

	w.append(w.vote(ana, raw)).want(t, http.StatusCreated)
	pending = why(raw, w.owner)
	require.EqualValues(t, 1, pending.Approvals[0].Has)
	require.Len(t, pending.MayVote, 1)
	require.Equal(t, rui.ID(), pending.MayVote[0].Identity)
	w.append(w.vote(rui, raw)).want(t, http.StatusCreated)
	settled := why(raw, w.owner)
	require.False(t, settled.Approvals[0].Waits)
	require.Empty(t, settled.MayVote)
	require.Equal(t, "executed", settled.Acts[len(settled.Acts)-1].Outcome)

	refused := w.payment(payer, "p2", 60_000)
	w.append(refused).want(t, http.StatusUnprocessableEntity)
	kept := why(refused, w.owner)
	require.Contains(t, string(kept.Entry), `"type":"logline.decision"`)
	require.Equal(t, "sane_amount: its condition holds", kept.Reasons[0].Text)

	shown := w.payment(payer, "p3", 1, visible(span.VisibilityPublic))
	w.append(shown).want(t, http.StatusCreated)
	w.get(w.at("/spans/"+spanID(t, shown)+"/why"), w.token(w.member("guest"))).want(t, http.StatusNotFound)
}

// What shadows say, and what could not be evaluated, is told of the spans that no
// contract in force decided, too.
func TestWhyTellsOfShadows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payer, source := w.member("member"), payments(t)
	w.append(w.contract(source, span.ActionShadow)).want(t, http.StatusCreated)
	raw := w.seal(payer, []byte(`{"payment_id":"p1"}`), typed("payment.requested"))
	w.append(raw).want(t, http.StatusCreated)
	var out client.Why
	w.get(w.at("/spans/"+spanID(t, raw)+"/why"), w.token(w.owner)).want(t, http.StatusOK).decode(t, &out)
	require.Empty(t, out.Contracts)
	require.Len(t, out.Shadows, 1)
	require.Equal(t, "reject", string(out.Shadows[0].Outcome))
	require.Equal(t, []string{"payments.approval/sane_amount"}, out.Shadows[0].Rules)
	require.Equal(t, []string{"payments.approval/sane_amount missing"}, out.Shadows[0].Errors)
}
