package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// ceiling is a contract for every tenant that refuses more than a limit.
func ceiling(version string, limit int) string {
	return fmt.Sprintf(`contract node.ceiling version %q {
  tenant: "*"
  rule ceiling { on: "trade.*" when: data.amount > %d.0 then { reject "more than %d" } }
}`, version, limit, limit)
}

// node is a world whose first tenant is the node's own.
func node(t testing.TB, s setup) *world {
	var first string
	s.cfg.Home = func(context.Context) (string, error) { return first, nil }
	w := newWorld(t, s)
	first = w.tenant.ID
	return w
}

// other is another tenant of the node with an owner of its own.
func (w *world) other(slug string) *world {
	w.t.Helper()
	o := *w
	o.owner = w.identity()
	var err error
	o.tenant, err = w.CreateTenant(context.Background(), slug, slug, o.owner.ID(), false)
	require.NoError(w.t, err)
	return &o
}

// at is the same tenant, seen by another process.
func (w *world) at(p *world) *world {
	o := *p
	o.tenant, o.owner = w.tenant, w.owner
	return &o
}

func (w *world) order(action, source string) engine.Result {
	return w.submit(w.seal(w.owner, contractOf(w.t, source, action), typed(span.TypeContract)))
}

func (w *world) trade(amount int) engine.Result {
	w.clock.advance(time.Minute) // refusals are limited
	return w.submit(w.seal(w.owner, fmt.Appendf(nil, `{"amount":%d}`, amount), typed("trade.made")))
}

// contractsIn are the activations of a timeline, as "action version by".
func (w *world) contractsIn() (out []string) {
	w.t.Helper()
	for _, e := range w.entries(w.tenant.ID) {
		if e.Span.Type != span.TypeContract {
			continue
		}
		rec, err := w.log.Get(context.Background(), w.tenant.ID, e.Span.ID)
		require.NoError(w.t, err)
		p, err := span.ParseContract(rec.Payload)
		require.NoError(w.t, err)
		by := "owner"
		if e.Span.Author == w.node.ID() {
			by = "node"
		}
		out = append(out, p.Action+" "+p.Name+" "+p.Version+" by "+by)
	}
	return out
}

// What an owner of the node's own tenant activates decides in every tenant, those
// made later included, before the tenants' own; and each timeline alone shows it.
func TestNodeWideContractsDecideEverywhere(t *testing.T) {
	t.Parallel()
	stores(t, func(t *testing.T, s setup) {
		home := node(t, s)
		beta := home.other("beta")
		require.NoError(t, beta.trade(500).Err)
		require.NoError(t, beta.activate(`contract a.first version "1.0.0" { rule r { on: "trade.*" priority: 1 then { tag "ours" } } }`).Err)

		order := home.seal(home.owner, contractOf(t, ceiling("1.0.0", 100), span.ActionActivate), typed(span.TypeContract))
		require.NoError(t, home.submit(order).Err)
		require.Equal(t, []string{"activate a.first 1.0.0 by owner", "activate node.ceiling 1.0.0 by node"}, beta.contractsIn(), "before the order is answered")
		refused := beta.trade(500)
		requireCode(t, rules.CodeRefused, refused.Err)
		c, err := rules.Compile(ceiling("1.0.0", 100))
		require.NoError(t, err)
		ref := c.Ref()
		last := beta.entries(beta.tenant.ID)[beta.size()-1]
		require.Equal(t, []string{ref}, last.Decision.Contracts)
		allowed := beta.trade(50)
		require.NoError(t, allowed.Err)
		require.Equal(t, ref, allowed.Decision.Contracts[0], "the node's contracts are asked first")
		require.Equal(t, []string{"ours"}, allowed.Decision.Tags)
		requireCode(t, rules.CodeRefused, home.trade(500).Err)

		gamma := home.other("gamma")
		require.Equal(t, []string{"activate node.ceiling 1.0.0 by node"}, gamma.contractsIn())
		requireCode(t, rules.CodeRefused, gamma.trade(500).Err)

		before := beta.size()
		require.Equal(t, engine.Repeat, home.submit(order).Outcome)
		require.Equal(t, before, beta.size(), "a repeat changes nothing anywhere")

		require.NoError(t, home.order(span.ActionActivate, ceiling("1.1.0", 600)).Err)
		require.NoError(t, beta.trade(500).Err)
		require.NoError(t, home.order(span.ActionShadow, ceiling("1.2.0", 10)).Err)
		require.NoError(t, gamma.trade(500).Err)
		requireCode(t, rules.CodeRefused, gamma.trade(700).Err)
		require.NoError(t, home.order(span.ActionActivate, ceiling("1.2.0", 10)).Err)
		requireCode(t, rules.CodeRefused, gamma.trade(500).Err)
		require.NoError(t, home.order(span.ActionShadow, ceiling("1.2.0", 10)).Err)
		require.NoError(t, gamma.trade(500).Err)
		require.NoError(t, home.order(span.ActionRetire, ceiling("1.2.0", 10)).Err)
		require.NoError(t, beta.trade(9000).Err)
		require.Equal(t, []string{
			"activate node.ceiling 1.0.0 by node", "activate node.ceiling 1.1.0 by node", "shadow node.ceiling 1.2.0 by node",
			"retire node.ceiling 1.2.0 by node", "activate node.ceiling 1.2.0 by node",
			"retire node.ceiling 1.2.0 by node", "shadow node.ceiling 1.2.0 by node", "retire node.ceiling 1.2.0 by node",
		}, gamma.contractsIn())
		for _, tenant := range []*world{home, beta, gamma} {
			tenant.verify()
		}
	})
}

// Whoever has not the right, and what cannot be, changes nothing anywhere.
func TestNodeWideContractsAreJudged(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		home := node(t, s)
		beta := home.other("beta")
		admin, member := home.member(span.RoleAdmin), home.member(span.RoleMember)
		wide := func(name, more string) string {
			return fmt.Sprintf("contract %s version \"1.0.0\" {\n  tenant: \"*\"\n%s\n  role r\n}", name, more)
		}
		own := func(name, more string) string {
			return fmt.Sprintf("contract %s version \"1.0.0\" {\n%s\n  role r\n}", name, more)
		}
		require.NoError(t, home.order(span.ActionActivate, wide("node.base", "")).Err)
		require.NoError(t, home.order(span.ActionActivate, wide("node.above", `requires: ["node.base ^1.0"]`)).Err)
		require.NoError(t, home.order(span.ActionActivate, wide("node.tall", "")).Err)
		require.NoError(t, home.activate(own("home.own", "")).Err)
		require.NoError(t, beta.activate(own("beta.own", `requires: ["node.tall ~1.0"]`)).Err)
		sizes := func() []uint64 { return []uint64{home.size(), beta.size()} }
		before := sizes()
		refused := func(code string, r engine.Result) {
			t.Helper()
			requireCode(t, code, r.Err)
			require.Equal(t, before, sizes())
		}
		by := func(w *world, author *id.Keys, source, action string) engine.Result {
			return w.submit(w.seal(author, contractOf(t, source, action), typed(span.TypeContract)))
		}
		refused("contract_tenant", by(home, admin, wide("node.new", ""), span.ActionActivate))
		refused("contract_tenant", by(beta, beta.owner, wide("node.new", ""), span.ActionActivate))
		refused("contract_tenant", by(beta, beta.owner, wide("node.new", ""), span.ActionShadow))
		refused("contract_of_node", by(beta, beta.owner, wide("node.base", ""), span.ActionRetire))
		refused("contract_of_node", by(home, admin, wide("node.tall", ""), span.ActionRetire))
		refused("contract_of_node", by(beta, beta.owner, own("node.base", ""), span.ActionActivate))
		refused("contract_of_node", by(beta, beta.owner, own("node.base", ""), span.ActionShadow))
		refused("role_forbidden", by(home, member, wide("node.new", ""), span.ActionActivate))
		refused("requirement_missing", home.order(span.ActionActivate, wide("node.new", `requires: ["unknown ^1.0"]`)))
		refused("requirement_missing", home.order(span.ActionActivate, wide("node.new", `requires: ["home.own ^1.0"]`)))
		refused("requirement_circle", home.order(span.ActionActivate, strings.Replace(wide("node.base", `requires: ["node.above ^1.0"]`), "1.0.0", "1.0.1", 1)))
		refused("contract_version_taken", home.order(span.ActionActivate, wide("node.base", `title: "another"`)))
		refused("contract_required", home.order(span.ActionRetire, wide("node.base", "")))
		refused("contract_required", home.order(span.ActionRetire, wide("node.tall", "")))
		refused("requirement_version", home.order(span.ActionActivate, strings.Replace(wide("node.tall", ""), "1.0.0", "1.1.0", 1)))
		refused("contract_name_taken", home.order(span.ActionActivate, wide("beta.own", "")))
		refused("contract_name_taken", home.order(span.ActionShadow, wide("home.own", "")))
		refused("contract_not_active", home.order(span.ActionRetire, wide("node.new", "")))
		require.NoError(t, beta.order(span.ActionRetire, own("beta.own", `requires: ["node.tall ~1.0"]`)).Err)
		require.NoError(t, home.order(span.ActionRetire, wide("node.tall", "")).Err)
		require.NoError(t, home.order(span.ActionActivate, wide("beta.own", "")).Err)
		beta.verify()
	})
}

// A process that ended, or that could not reach a timeline, leaves the rest to the
// others: before the next span there, or when they look.
func TestNodeWideContractsAreCarriedOn(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		home := node(t, s)
		beta, gamma := home.other("beta"), home.other("gamma")
		require.NoError(t, beta.trade(500).Err)
		alone := home.newEngine(setup{}, home.log) // knows of no other tenants
		r := alone.SubmitOwn(context.Background(), home.tenant.ID, span.TypeContract, contractOf(t, ceiling("1.0.0", 100), span.ActionActivate), engine.OwnOptions{})
		require.NoError(t, r.Err)
		require.Empty(t, beta.contractsIn())
		home.clock.advance(2 * time.Second)
		requireCode(t, rules.CodeRefused, beta.trade(500).Err)
		require.Equal(t, []string{"activate node.ceiling 1.0.0 by node"}, beta.contractsIn())

		require.Empty(t, gamma.contractsIn())
		p := home.process()
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		require.Eventually(t, func() bool { return len(gamma.contractsIn()) == 1 }, 20*time.Second, 10*time.Millisecond)
		stop()
		require.NoError(t, <-ended)
		beta.verify()
		gamma.verify()
	})
}

// What a process read a moment ago does not take back what another has brought
// since.
func TestNodeWideContractsAcrossProcesses(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		home := node(t, s)
		beta := home.other("beta")
		there := beta.at(home.process())
		require.NoError(t, there.submit(there.note(there.owner, 1)).Err, "it reads that there are none")
		require.NoError(t, home.order(span.ActionActivate, ceiling("1.0.0", 100)).Err)
		big := func(w *world) []byte { return w.seal(w.owner, []byte(`{"amount":500}`), typed("trade.made")) }
		requireCode(t, rules.CodeRefused, there.submit(big(there)).Err)
		gamma := there.other("gamma")
		requireCode(t, rules.CodeRefused, gamma.submit(big(gamma)).Err)
		require.NoError(t, home.order(span.ActionRetire, ceiling("1.0.0", 100)).Err)
		require.NoError(t, there.submit(big(there)).Err)
		require.Equal(t, []string{"activate node.ceiling 1.0.0 by node", "retire node.ceiling 1.0.0 by node"}, beta.contractsIn())
		require.Equal(t, beta.contractsIn(), gamma.contractsIn())
		beta.verify()
	})
}

// Votes that the home's contracts ask for come first.
func TestNodeWideContractsMayWait(t *testing.T) {
	t.Parallel()
	home := node(t, setup{})
	beta, second := home.other("beta"), home.member(span.RoleOwner)
	require.NoError(t, home.activate(`contract two version "1.0.0" { rule r { on: "logline.contract" then { require approval { from: [owner] within: 1d } } } }`).Err)
	order := home.seal(home.owner, contractOf(t, ceiling("1.0.0", 100), span.ActionActivate), typed(span.TypeContract))
	r := home.submit(order)
	require.NoError(t, r.Err)
	require.Equal(t, span.OutcomePending, r.Decision.Outcome)
	require.NoError(t, beta.trade(500).Err)
	require.Empty(t, beta.contractsIn())
	require.NoError(t, home.submit(home.vote(second, order, span.VoteApprove)).Err)
	require.Equal(t, []string{"activate node.ceiling 1.0.0 by node"}, beta.contractsIn())
	requireCode(t, rules.CodeRefused, beta.trade(500).Err)
}

// What the node's entry activates folds as an owner's does: how far back its
// numbers are asked for is told by it too.
func TestNodeWideTotalsGo(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, s setup) {
		home := node(t, s)
		beta := home.other("beta")
		require.NoError(t, home.order(span.ActionActivate, `contract node.often version "1.0.0" {
  tenant: "*"
  rule often { on: "trade.*" when: spans("trade.*").count() >= 70.0 then { reject "too often" } }
}`).Err)
		for range 70 {
			require.NoError(t, beta.trade(1).Err)
		}
		requireCode(t, rules.CodeRefused, beta.trade(1).Err)
		require.Len(t, beta.rowsOf("window/"), 1)
		require.LessOrEqual(t, len(beta.rowsOf("sum/trade.* count/")), 33)
		for _, w := range []*world{home, beta} {
			w.sound()
			w.verify()
		}
	})
}
