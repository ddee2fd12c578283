package decide

import (
	"context"
	"strings"

	"github.com/danvoulez/logline/internal/id"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// History decides the entries of a timeline by a contract, in order and each so
// many times, and puts what each comes to into a state of its own that begins
// empty. Whoever takes the processor time of one run of deciding once from that
// of one of deciding oftener is left with that of deciding alone. Several
// goroutines may call it at once.
func History(source string, entries []*span.Opened) (func(times int) error, error) {
	c, err := rules.Compile(source)
	if err != nil {
		return nil, err
	}
	members := standing.New(id.DefaultVerifier()).Begin()
	var spans []*span.Span
	var at []standing.Position
	for _, e := range entries {
		if strings.HasPrefix(e.Span.Type, "logline.") { // they found the timeline and name its members
			if _, err := members.Apply(&e.Entry, e.Payload, nil); err != nil {
				return nil, err
			}
			continue
		}
		spans = append(spans, &span.Span{Header: e.Span, Payload: e.Payload})
		at = append(at, standing.Position{Seq: e.Seq, RecordedAt: e.RecordedAt})
	}
	tenant := expr.Tenant{ID: members.Tenant(), Slug: members.Genesis().Slug, Name: members.Genesis().Name}
	set := contract.NewSet([]contract.InForce{{Contract: c}})
	return func(times int) error {
		var rows rules.Memory
		w := &rules.World{Standing: members, State: &rows, Contracts: set, Tenant: tenant}
		for i, sp := range spans {
			var o *rules.Outcome
			for range times {
				var err error
				if o, err = rules.Decide(context.Background(), w, sp, at[i]); err != nil {
					return err
				}
			}
			if o.Verdict > rules.Pending {
				continue
			}
			e := &span.Entry{Seq: at[i].Seq, RecordedAt: at[i].RecordedAt, Span: sp.Header, Decision: o.Decision}
			changes, err := rules.Fold(context.Background(), &rows, e, nil)
			if err != nil {
				return err
			}
			rows.Apply(changes)
		}
		return nil
	}, nil
}
