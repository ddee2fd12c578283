package systemtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/client"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/span"
)

// load appends until ctx ends or the server is gone: single spans from some
// callers, NDJSON from another, and one who repeats what is known. Each caller
// ends at its first failure, which failed is told of.
func (y *tenancy) load(ctx context.Context, l *ledger, api func() *client.Client, failed func(error)) {
	var wg sync.WaitGroup
	for range 3 {
		api := api()
		wg.Go(func() { failed(y.singles(ctx, l, api)) })
	}
	batches := api()
	wg.Go(func() { failed(y.batches(ctx, l, batches)) })
	wg.Wait()
}

// unheard is a load whose failures are to be expected.
func unheard(error) {}

// checked is a client that holds every answer against the API's document.
func (y *tenancy) checked() *client.Client { return y.client() }

func (y *tenancy) singles(ctx context.Context, l *ledger, api *client.Client) error {
	for n := 0; ctx.Err() == nil; n++ {
		raw := y.note(n)
		l.send(raw)
		a, err := api.Append(ctx, y.tenant.Id, raw)
		if err != nil {
			return err
		}
		l.ack(raw, a.Receipt)
		if n%10 == 9 { // the client asks again, having lost the answer
			if _, err := api.Append(ctx, y.tenant.Id, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

func (y *tenancy) batches(ctx context.Context, l *ledger, api *client.Client) error {
	for ctx.Err() == nil {
		lines := make([][]byte, 40)
		for n := range lines {
			lines[n] = y.note(n)
			l.send(lines[n])
		}
		results, err := api.AppendMany(ctx, y.tenant.Id, lines)
		for i, r := range results {
			if r.Problem == nil {
				l.ack(lines[i], r.Receipt)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changes is what an owner does to a timeline besides growing it, and what must
// be seen of it for ever once it was acknowledged. Its methods are for one
// goroutine at a time.
type changes struct {
	y        *tenancy
	l        *ledger
	random   *mathrand.Rand
	used     map[string]bool // spans that were redacted or reverted
	redacted map[string]string
	reverted map[string]string // target by the span that ends it
	waverer  *id.Keys          // a member whose role comes and goes
	holds    bool              // what the last change of the waverer's role says
	roles    int               // changes of it
}

func newChanges(y *tenancy, l *ledger, random *mathrand.Rand) *changes {
	return &changes{
		y: y, l: l, random: random, used: map[string]bool{},
		redacted: map[string]string{}, reverted: map[string]string{},
		waverer: y.member(span.RoleMember), holds: true,
	}
}

// run redacts, reverts, and gives and takes a role, without a pause.
func (c *changes) run(ctx context.Context, api *client.Client) error {
	for n := 0; ctx.Err() == nil; n++ {
		raw, err := c.next(n)
		if err != nil {
			return err
		}
		if raw == nil {
			wait(ctx, time.Millisecond)
			continue
		}
		c.l.send(raw)
		a, err := api.Append(ctx, c.y.tenant.Id, raw)
		if err != nil {
			return err
		}
		c.l.ack(raw, a.Receipt)
	}
	return nil
}

// next is the change to make, nil where there is nothing to change yet.
func (c *changes) next(n int) ([]byte, error) {
	if n%3 == 2 {
		c.holds = !c.holds
		c.roles++
		action := span.ActionGrant
		if !c.holds {
			action = span.ActionWithdraw
		}
		return c.seal(span.TypeMember, span.Member{Identity: c.waverer.ID(), Roles: []string{span.RoleMember}, Action: action})
	}
	target := c.target()
	if target == nil {
		return nil, nil
	}
	sp, err := span.Parse(target, span.Limits{})
	if err != nil {
		return nil, err
	}
	ref := span.SpanRef{Span: sp.ID, HeaderHash: sp.Hash().String()}
	if n%3 == 0 {
		raw, err := c.seal(span.TypeRedaction, span.Redaction{Spans: []span.SpanRef{ref}, Reason: "asked"})
		c.redacted[spanID(raw)] = ref.Span
		return raw, err
	}
	raw, err := c.seal(span.TypeRevert, span.Revert{Span: ref.Span, HeaderHash: ref.HeaderHash, Reason: "wrong"})
	c.reverted[spanID(raw)] = ref.Span
	return raw, err
}

func (c *changes) seal(typ string, payload any) ([]byte, error) {
	raw, err := span.Canonical(payload)
	if err != nil {
		return nil, err
	}
	return c.y.seal(c.y.owner.Signer(), c.y.owner.ID(), raw, func(h *span.Header) { h.Type = typ }), nil
}

// target is an acknowledged note that nothing was done to yet.
func (c *changes) target() []byte {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	for spanID, raw := range c.l.sent { // in no order
		if c.l.acks[spanID] != nil && !c.used[spanID] && len(c.l.acks[spanID].Entry) > 0 && isNote(raw) {
			c.used[spanID] = true
			return raw
		}
	}
	return nil
}

// isNote says that a span can be redacted and reverted.
func isNote(raw []byte) bool {
	sp, err := span.Parse(raw, span.Limits{})
	return err == nil && sp.Type == "test.happened"
}

// waver appends as somebody who may or may not do so at the moment.
func (c *changes) waver(ctx context.Context, api *client.Client) error {
	for n := 0; ctx.Err() == nil; n++ {
		if err := c.try(ctx, api, n); err != nil {
			return err
		}
		wait(ctx, time.Millisecond)
	}
	return nil
}

func (c *changes) try(ctx context.Context, api *client.Client, n int) error {
	raw := c.y.seal(c.waverer.Signer(), c.waverer.ID(), fmt.Appendf(nil, `{"n":%d}`, n))
	c.l.doubt(raw)
	a, err := api.Append(ctx, c.y.tenant.Id, raw)
	var p *client.Problem
	switch {
	case err == nil:
		c.l.ack(raw, a.Receipt)
	case errors.As(err, &p) && unentitled(p):
		c.l.refuse(raw, p.Code)
	default:
		return err
	}
	return nil
}

// requireSeen checks that every change holds that was acknowledged: what was
// redacted is nowhere served, what was reverted says so, and a role is held or
// not as it was last said.
func (c *changes) requireSeen(r *recorded) {
	t := c.y.t
	t.Helper()
	for by, target := range c.redacted {
		if c.l.acks[by] != nil {
			require.True(t, r.erased[target], "span %s was redacted by %s and its payload is exported", target, by)
		}
	}
	var reverted []string
	for by, target := range c.reverted {
		if c.l.acks[by] != nil {
			reverted = append(reverted, target)
		}
	}
	for _, target := range sample(c.random, reverted, 3) {
		entry, err := c.y.api.Entry(background(), c.y.tenant.Id, target)
		require.NoError(t, err)
		require.EqualValues(t, "reverted", entry.Status, "span %s", target)
	}
	before := len(c.l.refused)
	require.NoError(t, c.try(background(), c.y.api, 0))
	require.Equal(t, c.holds, len(c.l.refused) == before, "whether the role is held, and whether its holder may append")
}

// nomad is a member of several tenants who changes keys all the time.
type nomad struct {
	keys    *id.Keys
	former  id.Signer // of the key before
	pending []byte    // a key event that is not answered yet
	homes   []*ward
	random  *mathrand.Rand
	turns   int // key events that were acknowledged
}

// run appends, and rotates the key now and then.
func (m *nomad) run(ctx context.Context, api *client.Client) error {
	for n := 1; ctx.Err() == nil; n++ {
		if err := m.settle(ctx, api); err != nil {
			return err
		}
		if err := m.append(ctx, api, m.homes[m.random.IntN(len(m.homes))]); err != nil {
			return err
		}
		if n%4 == 0 && m.turns < 40 { // a node takes 60 a minute
			former := m.keys.Signer()
			e, err := m.keys.Rotate(time.Now(), rand.Reader)
			if err != nil {
				return err
			}
			m.former, m.pending = former, e.Raw
		}
	}
	return nil
}

// settle sends a key event until it is answered; the same one changes nothing.
func (m *nomad) settle(ctx context.Context, api *client.Client) error {
	if m.pending == nil {
		return nil
	}
	if _, err := api.AppendEvent(ctx, m.keys.ID(), m.pending); err != nil {
		return err
	}
	m.pending = nil
	m.turns++
	return nil
}

func (m *nomad) append(ctx context.Context, api *client.Client, home *ward) error {
	raw := home.seal(m.keys.Signer(), m.keys.ID(), []byte(`{"nomad":true}`))
	home.ledger.send(raw)
	a, err := api.Append(ctx, home.tenant.Id, raw)
	if err == nil {
		home.ledger.ack(raw, a.Receipt)
	}
	return err
}

// requireTurned checks that the last rotation holds everywhere: a span by the key
// before it is refused, one by the key after it is not.
func (m *nomad) requireTurned() {
	for _, home := range m.homes {
		require.NoError(home.t, m.append(background(), home.api, home))
		if m.former == nil {
			continue
		}
		_, err := home.api.Append(background(), home.tenant.Id, home.seal(m.former, m.keys.ID(), []byte(`{"former":true}`)))
		var p *client.Problem
		require.ErrorAs(home.t, err, &p, "a span by a key that was rotated away is taken")
		require.Equal(home.t, http.StatusForbidden, p.Status, "%v", p)
	}
}
