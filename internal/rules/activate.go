package rules

import (
	"context"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Compile is the contract of a source, by itself: what it requires is not
// looked at. It fails with contract_invalid, whose detail has the first
// mistakes with their places.
func Compile(source string) (*contract.Contract, error) {
	file, all := lll.Parse("contract.lll", source)
	var c *contract.Contract
	if !lll.Failed(all) {
		var found []lll.Diagnostic
		c, found = contract.Compile(file, contract.Options{})
		all = append(all, found...)
	}
	if !lll.Failed(all) {
		return c, nil
	}
	var lines []string
	for _, d := range all {
		if d.Severity == lll.Error && len(lines) < 5 {
			lines = append(lines, file.Header(d))
		}
	}
	return nil, fault.New(fault.Invalid, "contract_invalid", "the contract cannot be activated: "+strings.Join(lines, " | ")).
		At("/payload/source", "has mistakes; logline rules check shows them all")
}

func (w *World) compile(source string) (*contract.Contract, error) {
	if w.Compile != nil {
		return w.Compile(source)
	}
	return Compile(source)
}

// judgeActivation says whether a logline.contract span may do what it asks at
// this position. The contract is nil where it retires one.
func judgeActivation(ctx context.Context, w *World, author string, payload []byte) (_ *contract.Contract, action string, _ error) {
	p, err := span.ParseContract(payload)
	if err != nil {
		return nil, "", err
	}
	if p.Action == span.ActionRetire {
		return nil, p.Action, judgeRetirement(ctx, w, p, author)
	}
	c, err := judgeVersionOf(ctx, w, author, p)
	return c, p.Action, err
}

// judgeVersionOf judges the version that a span brings.
func judgeVersionOf(ctx context.Context, w *World, author string, p *span.Contract) (*contract.Contract, error) {
	c, err := w.compile(p.Source)
	if err != nil {
		return nil, err
	}
	if c.Name != p.Name || c.Version != p.Version {
		return nil, fault.Newf(fault.Invalid, "contract_mismatch", "the source is %s %s, not %s %s; name and version stand in both", c.Name, c.Version, p.Name, p.Version).
			At("/payload/name", "must be that of the source")
	}
	if err := judgeTenant(w, c, author); err != nil {
		return nil, err
	}
	if err := judgeName(w.contracts(), c); err != nil {
		return nil, err
	}
	if err := judgeVersion(ctx, w, c); err != nil {
		return nil, err
	}
	if p.Action == span.ActionShadow {
		return c, judgeShadow(w, c)
	}
	return c, judgeRequirements(w.contracts(), c)
}

// judgeName keeps the names of contracts for every tenant and those of a tenant's
// own apart.
func judgeName(set *contract.Set, c *contract.Contract) error {
	wide := c.Tenant == contract.NodeWide
	for _, old := range set.Contracts() {
		switch {
		case old.Mode == contract.Pinned || old.Name != c.Name || wide == (old.Tenant == contract.NodeWide):
		case wide:
			return fault.Newf(fault.Conflict, "contract_name_taken", "%s is the name of a tenant's own contract; retire that one first, or take another name", c.Name)
		default:
			return fault.Newf(fault.Forbidden, "contract_of_node", "the contract %s is the node's; a tenant's takes another name", c.Name)
		}
	}
	return nil
}

// judgeVersion keeps a version one source on a timeline, so that people who read
// its name and number know what decided. Going back to an earlier version, with
// its own source, is no other source.
func judgeVersion(ctx context.Context, w *World, c *contract.Contract) error {
	prefix := versionKey(c.Name + "@" + c.Version + "#")
	rows, err := w.State.Range(ctx, prefix, "", pageOfRows)
	if err != nil {
		return unavailable(err)
	}
	taken := ""
	for _, r := range rows {
		hash := strings.TrimPrefix(r.Key, prefix)
		if hash == c.Hash.String() {
			return nil
		}
		old := w.contracts().ByRef(c.Name + "@" + c.Version + "#" + hash) // nil: out of force, and not loaded
		wide := old != nil && old.Tenant == contract.NodeWide
		if wide == (c.Tenant == contract.NodeWide) {
			taken = hash // else nobody keeps the node's contracts out by taking their versions
		}
	}
	if taken == "" {
		return nil
	}
	return fault.Newf(fault.Conflict, "contract_version_taken",
		"%s %s was activated with another source (hash %s); give what changed the next version", c.Name, c.Version, taken).
		At("/payload/version", "stands for another source")
}

// judgeShadow keeps a version in force that others require from becoming its
// own shadow.
func judgeShadow(w *World, c *contract.Contract) error {
	if now, ok := w.contracts().ByName(c.Name); ok && now.Mode == contract.Enforced && now.Ref() == c.Ref() {
		return judgeNeed(w.contracts(), c.Name)
	}
	return nil
}

// judgeNeed says so where another contract requires this one.
func judgeNeed(set *contract.Set, name string) error {
	for _, other := range set.Contracts() {
		if other.Mode != contract.Enforced || other.Name == name {
			continue // a shadow decides nothing that could miss it
		}
		for _, q := range other.Requires {
			if q.Name == name {
				return fault.Newf(fault.Conflict, "contract_required", "%s requires %s; retire that one first", other.Name, name)
			}
		}
	}
	return nil
}

// speaksForNode says whether an author's word on contracts for every tenant
// counts: the node's, and in the node's own tenant that of an owner.
func speaksForNode(w *World, author string) bool {
	return author == w.Standing.Node() || w.Home && w.Standing.Can(author, standing.RightOwn)
}

// judgeTenant keeps node-wide contracts for the node, and each contract in the
// tenant that it names.
func judgeTenant(w *World, c *contract.Contract, author string) error {
	switch {
	case c.Tenant == contract.NodeWide && speaksForNode(w, author), c.Tenant == "",
		c.Tenant == w.Tenant.Slug, c.Tenant == w.Tenant.ID, c.Tenant == w.Standing.Tenant():
		return nil
	case c.Tenant == contract.NodeWide && w.Home:
		return fault.New(fault.Forbidden, "contract_tenant", `a contract with tenant "*" decides in every tenant of the node: here it takes an owner, and other roles do not do`).
			At("/payload/source", "is for every tenant")
	case c.Tenant == contract.NodeWide:
		return fault.New(fault.Forbidden, "contract_tenant",
			`a contract with tenant "*" decides in every tenant of the node: an owner of the node's first tenant activates it there; for this tenant alone name it, or leave tenant out`).
			At("/payload/source", "is for every tenant")
	}
	return fault.Newf(fault.Invalid, "contract_tenant", "the contract is for the tenant %s; this is %s", c.Tenant, w.Tenant.Slug).
		At("/payload/source", "names another tenant")
}

// judgeRequirements resolves what the contract requires among those in force,
// and what in force requires of it. What holds in every tenant rests on nothing
// that one of them has alone.
func judgeRequirements(set *contract.Set, c *contract.Contract) error {
	for _, r := range c.Requires {
		found, ok := set.ByName(r.Name)
		switch {
		case !ok:
			return fault.Newf(fault.Conflict, "requirement_missing", "the contract requires %s, which is not in force; activate it first", r)
		case found.Mode != contract.Enforced:
			return fault.Newf(fault.Conflict, "requirement_missing", "the contract requires %s, which stands in the shadow alone and decides nothing; activate it first", r)
		case !r.Accepts(found.Version):
			return fault.Newf(fault.Conflict, "requirement_version", "the contract requires %s, and in force is %s", r, found.Version)
		case c.Tenant == contract.NodeWide && found.Tenant != contract.NodeWide:
			return fault.Newf(fault.Conflict, "requirement_missing", "the contract is for every tenant and requires %s, which is in force for this one alone; activate that for every tenant first", r)
		}
		if path := circle(set, c.Name, found.Contract, []string{c.Name, found.Name}); path != nil {
			return fault.Newf(fault.Conflict, "requirement_circle", "contracts would require each other in a circle: %s", strings.Join(path, " -> "))
		}
	}
	return judgeOthers(set, c)
}

// judgeOthers holds a version to what others in force require of it.
func judgeOthers(set *contract.Set, c *contract.Contract) error {
	for _, other := range set.Contracts() {
		if other.Mode != contract.Enforced {
			continue
		}
		for _, r := range other.Requires {
			if r.Name == c.Name && !r.Accepts(c.Version) {
				return fault.Newf(fault.Conflict, "requirement_version", "%s, which is in force, requires %s, and this is %s", other.Name, r, c.Version)
			}
		}
	}
	return nil
}

func circle(set *contract.Set, name string, from *contract.Contract, path []string) []string {
	for _, r := range from.Requires {
		if r.Name == name {
			return append(path, name)
		}
		next, ok := set.ByName(r.Name)
		if !ok || len(path) > len(set.Contracts())+1 {
			continue
		}
		if whole := circle(set, name, next.Contract, append(append([]string(nil), path...), r.Name)); whole != nil {
			return whole
		}
	}
	return nil
}

// judgeRetirement keeps what others require. A shadow nobody does.
func judgeRetirement(ctx context.Context, w *World, p *span.Contract, author string) error {
	is := func(key string) (bool, error) {
		var r contractRow
		ok, err := load(ctx, w.State, key, &r)
		return ok && r.Version == p.Version && r.Hash == p.Hash, err
	}
	inForce, err := is(contractKey(p.Name))
	if err != nil {
		return err
	}
	shadow, err := is(shadowKey(p.Name))
	switch {
	case err != nil:
		return err
	case !inForce && !shadow:
		return fault.Newf(fault.Conflict, "contract_not_active", "%s %s with this hash is not in force, so it cannot be retired", p.Name, p.Version)
	}
	if c, ok := w.contracts().ByName(p.Name); ok && c.Tenant == contract.NodeWide && !speaksForNode(w, author) {
		return fault.Newf(fault.Forbidden, "contract_of_node", "the contract %s is for every tenant; an owner of the node's first tenant retires it there", p.Name)
	}
	if !inForce {
		return nil
	}
	return judgeNeed(w.contracts(), p.Name)
}

// Activate is the decision of a logline.contract entry of the node's; those of
// others are judged by Decide. It fails where the span may not do what it asks.
func Activate(ctx context.Context, w *World, sp *span.Span, at standing.Position) (*Outcome, error) {
	c, action, err := judgeActivation(ctx, w, sp.Author, sp.Payload)
	if err != nil {
		return nil, err
	}
	return Activation(ctx, w, c, action, at)
}

// Activation is the decision of an entry of the node's that does an action to a
// contract which was judged elsewhere; c is nil where it retires one.
func Activation(ctx context.Context, w *World, c *contract.Contract, action string, at standing.Position) (*Outcome, error) {
	schedules, err := planned(ctx, w, c, action, instant(at.RecordedAt))
	if err != nil {
		return nil, err
	}
	return (&sink{windows: windowsOf(c), schedules: schedules}).outcome(func(*held, *effects) error { return nil })
}

// windowsOf are the windows of a contract as its activation tells them, so that
// folding need not compile it; nil for none.
func windowsOf(c *contract.Contract) map[string]int64 {
	if c == nil || len(c.Windows) == 0 {
		return nil
	}
	out := make(map[string]int64, len(c.Windows))
	for id, longest := range c.Windows {
		out[id] = (longest + time.Millisecond - 1).Milliseconds()
		if longest == contract.Unbounded {
			out[id] = unbounded
		}
	}
	return out
}

// Objection is what a tenant's contracts say against a change of one for every
// tenant that was asked for elsewhere: that they require what would go, or bear
// its name. c is nil where the change retires p.
func Objection(set *contract.Set, p *span.Contract, c *contract.Contract) error {
	if c == nil {
		return judgeNeed(set, p.Name)
	}
	if err := judgeName(set, c); err != nil {
		return err
	}
	if p.Action == span.ActionShadow {
		return nil
	}
	return judgeOthers(set, c)
}
