package systemtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// dealsContract has what contracts remember: a workflow with timers, a quota, a
// sum, trust, retention, and spans that wait for two votes.
const dealsContract = `contract shop.deals version "1.0.0" {
  role till
  rule huge { on: "deal.opened"  priority: 5  when: data.amount > 1000  then { reject "${data.amount} is too much" } }
  rule many { on: "deal.opened"  priority: 10  then { consume quota "deals" { limit: 1000000  per: 1h  key: actor.id  warn_at: [10%] } } }
  rule large {
    on: "deal.opened"
    when: data.amount > 100
    then { require approval { from: [till]  count: 2  distinct: true  within: 30d }  tag "asked" }
  }
  rule busy { on: "deal.paid"  when: spans("deal.paid").by(actor.id).within(1h).sum("amount") > 50  then { tag "busy" } }
  workflow deal {
    key: data.id
    initial: new
    state new
    state open { after 30d -> gone }
    state paid { final: true }
    state gone { final: true }
    transition new  -> open on "deal.opened"
    transition open -> paid on "deal.paid" { then { trust actor { add: 0.25 } } }
    forbid new -> paid "open it first"
  }
  retain "deal.*" 90d
}
`

// deals is somebody who works under a contract, with two who vote, and what must
// be so of it for ever once it was acknowledged. Its methods are for one
// goroutine at a time.
type deals struct {
	y       *tenancy
	l       *ledger
	random  *rand.Rand
	payer   *id.Keys
	voters  [2]*id.Keys
	n       int
	waiting []deal   // with no vote
	settled []string // span ids of deals that had both votes
	paid    []deal
}

type deal struct {
	id   string
	open []byte // the span
}

// newDeals activates the contract in the tenant.
func newDeals(y *tenancy, l *ledger, random *rand.Rand) *deals {
	d := &deals{y: y, l: l, random: random, payer: y.member(span.RoleMember)}
	for i := range d.voters {
		d.voters[i] = y.member(span.RoleMember, "till")
	}
	payload, err := span.Canonical(span.Contract{
		Name: "shop.deals", Version: "1.0.0", Source: dealsContract, Hash: span.Sum([]byte(dealsContract)).String(), Action: span.ActionActivate,
	})
	require.NoError(y.t, err)
	_, err = y.api.Append(background(), y.tenant.Id, y.seal(y.owner.Signer(), y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeContract }))
	require.NoError(y.t, err)
	return d
}

// run makes deals, without a pause: small ones that are paid, large ones that are
// voted through or left to wait, and some that the contract refuses.
func (d *deals) run(ctx context.Context, api *client.Client) error {
	for ctx.Err() == nil {
		if err := d.next(ctx, api); err != nil {
			return err
		}
	}
	return nil
}

func (d *deals) next(ctx context.Context, api *client.Client) error {
	d.n++
	switch it := (deal{id: fmt.Sprint(d.n)}); {
	case d.n%30 == 7:
		return d.refused(ctx, api, d.span("deal.opened", it.id, 5000))
	case d.n%30 == 17:
		return d.refused(ctx, api, d.span("deal.paid", it.id, 1))
	case d.n%3 == 0:
		it.open = d.span("deal.opened", it.id, 500)
		if err := d.send(ctx, api, it.open); err != nil {
			return err
		}
		if d.n%2 == 0 && len(d.waiting) < 50 {
			d.waiting = append(d.waiting, it)
			return nil
		}
		return d.agree(ctx, api, it)
	default:
		it.open = d.span("deal.opened", it.id, 5)
		if err := d.send(ctx, api, it.open); err != nil {
			return err // whether it was opened is not known
		}
		return d.pay(ctx, api, it)
	}
}

func (d *deals) span(typ, id string, amount int) []byte {
	return d.y.seal(d.payer.Signer(), d.payer.ID(), fmt.Appendf(nil, `{"amount":%d,"id":%q}`, amount, id), func(h *span.Header) { h.Type = typ })
}

func (d *deals) send(ctx context.Context, api *client.Client, raw []byte) error {
	d.l.send(raw)
	a, err := api.Append(ctx, d.y.tenant.Id, raw)
	if err == nil {
		d.l.ack(raw, a.Receipt)
	}
	return err
}

// agree has both vote for a deal, and pays it.
func (d *deals) agree(ctx context.Context, api *client.Client, it deal) error {
	sp, err := span.Parse(it.open, span.Limits{})
	if err != nil {
		return err
	}
	payload, err := span.Canonical(span.Approval{Span: sp.ID, HeaderHash: sp.Hash().String(), Vote: span.VoteApprove})
	if err != nil {
		return err
	}
	for _, voter := range d.voters {
		vote := d.y.seal(voter.Signer(), voter.ID(), payload, func(h *span.Header) { h.Type = span.TypeApproval })
		if err := d.send(ctx, api, vote); err != nil {
			return err
		}
	}
	d.settled = append(d.settled, sp.ID)
	return d.pay(ctx, api, it)
}

func (d *deals) pay(ctx context.Context, api *client.Client, it deal) error {
	err := d.send(ctx, api, d.span("deal.paid", it.id, 5))
	if err == nil {
		d.paid = append(d.paid, it)
	}
	return err
}

// refused sends what the contract refuses; it is an error if it is taken.
func (d *deals) refused(ctx context.Context, api *client.Client, raw []byte) error {
	d.l.doubt(raw)
	_, err := api.Append(ctx, d.y.tenant.Id, raw)
	var p *client.Problem
	switch {
	case err == nil:
		return fmt.Errorf("the contract refuses span %s, and it was taken", spanID(raw))
	case errors.As(err, &p) && refusedByContract(p):
		d.l.refuse(raw, p.Code)
		return nil
	}
	return err
}

// refusedByContract says that a contract refused a span; of too many attempts the
// node keeps no evidence.
func refusedByContract(p *client.Problem) bool {
	return p.Code == client.CodeRefused || p.Code == "refusal_quota"
}

// requireHeld checks, after a kill, what contracts remember: deals that had their
// votes were executed, those that wait still do and can be voted through, also
// where their payload is erased, and those that were paid are final.
func (d *deals) requireHeld() {
	t, ctx, api := d.y.t, background(), d.y.api
	t.Helper()
	status := func(spanID, want string) {
		t.Helper()
		e, err := api.Entry(ctx, d.y.tenant.Id, spanID)
		require.NoError(t, err)
		require.EqualValues(t, want, e.Status, "span %s", spanID)
	}
	for _, id := range sample(d.random, d.settled, 3) {
		status(id, "executed")
	}
	for _, it := range sample(d.random, d.paid, 2) {
		require.NoError(t, d.refused(ctx, api, d.span("deal.paid", it.id, 1)), "deal %s was paid before", it.id)
	}
	for i, it := range sample(d.random, d.waiting, 2) {
		id := spanID(it.open)
		status(id, "pending")
		if i == 0 {
			d.erase(it)
		}
		require.NoError(t, d.agree(ctx, api, it))
		status(id, "executed")
	}
	d.waiting = d.waiting[min(2, len(d.waiting)):] // sample has put those it gave first
}

// erase redacts the payload of a deal, by the owner.
func (d *deals) erase(it deal) {
	t := d.y.t
	t.Helper()
	sp, err := span.Parse(it.open, span.Limits{})
	require.NoError(t, err)
	payload, err := span.Canonical(span.Redaction{Spans: []span.SpanRef{{Span: sp.ID, HeaderHash: sp.Hash().String()}}, Reason: "asked"})
	require.NoError(t, err)
	require.NoError(t, d.send(background(), d.y.api, d.y.seal(d.y.owner.Signer(), d.y.owner.ID(), payload, func(h *span.Header) { h.Type = span.TypeRedaction })))
}
