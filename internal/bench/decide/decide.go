// Package decide makes one decision in two ways, so that they can be timed
// beside each other: as a node makes it, by contracts, and by cel-go with
// nothing around it, which evaluates the same expressions and knows no rules.
// It is for measuring alone.
package decide

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/loadgen"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// conditions are those of the rules that match the spans of loadgen. CEL reads
// them as they are, and all of them hold.
var conditions = [...]string{
	`data.currency == "BRL" && data.invoice >= 0.0`,
	`data.note.startsWith("one") || data.note.contains("urgent")`,
	`actor.status in ["validated", "institutional"]`,
	`span.type == "payment.requested" && "bench" in span.tags`,
	`data.invoice < 1000000000.0 && data.amount.matches("^[0-9]+[.][0-9]{2}$")`,
}

// Matching is how many rules of a contract match.
const Matching = len(conditions)

// Contract is the source of a contract of so many rules, of which Matching
// match and leave a tag each. The others are for spans of other types.
func Contract(count int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "contract bench.of%d version \"1.0.0\" {\n", count)
	for i := range count {
		on, when := fmt.Sprintf("other.of%d.*", i), conditions[i%Matching]
		if i < Matching {
			on = "payment.requested"
		}
		fmt.Fprintf(&b, "  rule r%03d {\n    on: %q\n    when: %s\n    then { tag \"t%d\" }\n  }\n", i, on, when, i)
	}
	return b.String() + "}\n"
}

// PerSubject is a contract that remembers something of each subject: the state of
// a workflow, and how many spans there were within a day. It leaves the workflow
// and a rule.
const PerSubject = `contract bench.subjects version "1.0.0" {
  rule often { on: "payment.requested"  when: spans("payment.requested").subject(span.subject).within(24h).count() < 1000000.0  then { tag "few" } }
  workflow payment {
    key: span.subject
    initial: new
    state new
    state asked
    transition new -> asked on "payment.requested"
    transition asked -> asked on "payment.requested"
  }
}`

// Activation is the payload of the span that puts a contract into force.
func Activation(source string) ([]byte, error) {
	c, err := rules.Compile(source)
	if err != nil {
		return nil, err
	}
	return span.Canonical(span.Contract{Name: c.Name, Version: c.Version, Hash: c.Hash.String(), Source: source, Action: span.ActionActivate})
}

// tenant is the one of the span that is decided.
const tenant = "0198d2a0-0000-7000-8000-000000000000"

// sample is a span as loadgen seals it, and its author.
func sample() (*span.Span, *id.Keys, error) {
	author, err := id.NewKeys(id.SubjectPerson, time.Now(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	bodies, err := loadgen.Seal(author, tenant, loadgen.Case{Callers: 1, Lines: 1, Spans: 1})
	if err != nil {
		return nil, nil, err
	}
	sp, err := span.Parse(bodies[0], span.Limits{})
	return sp, author, err
}

// Rules decides about one span by a contract of so many rules, each time it is
// called; several goroutines may do so at once.
func Rules(count int) (func() error, error) {
	sp, author, err := sample()
	if err != nil {
		return nil, err
	}
	c, err := rules.Compile(Contract(count))
	if err != nil {
		return nil, err
	}
	w := &rules.World{
		Standing: &alone{author: author.ID(), chain: author.Chain()}, State: &rules.Memory{},
		Contracts: contract.NewSet([]contract.InForce{{Contract: c}}),
		Tenant:    expr.Tenant{ID: tenant, Slug: "bench", Name: "Bench"},
	}
	at := standing.Position{Seq: 1000, RecordedAt: sp.Time}
	return func() error {
		o, err := rules.Decide(context.Background(), w, sp, at)
		if err == nil && (o.Verdict != rules.Allow || len(o.Decision.Tags) != Matching) {
			err = fmt.Errorf("the contract of %d rules says %s and leaves the tags %q", count, o.Verdict, o.Decision.Tags)
		}
		return err
	}, nil
}

// alone is a tenant of one member. Deciding asks it nothing else.
type alone struct {
	standing.View
	author string
	chain  *id.Chain
}

func (a *alone) Identity(identity string) (*id.Chain, bool) { return a.chain, identity == a.author }
func (a *alone) Roles(string) []string                      { return []string{span.RoleMember} }
