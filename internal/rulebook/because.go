package rulebook

import (
	"context"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/rules/because"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// Reason is one thing that decided, and the line of the contract that says so.
type Reason struct {
	Contract string // name@version#hash
	Line     int    // in its source
	Source   string // that line
	Text     string // what was so
	Action   bool   // it was done because of the reason before it
}

// Because is why an entry was decided as it was.
type Because struct {
	Contracts []Version // that the decision names, as the timeline has them
	Reasons   []Reason
	Errors    []string // rules that could not be evaluated, and how: "contract/rule missing"
	Shadows   []rules.ShadowSaid
	Approvals []Approval // that the span waits for, or waited for
	// May are the members whose votes would count now; nobody where it waits for
	// none.
	May []standing.Member
}

// Approval is one approval and how far it has come.
type Approval struct {
	rules.Approval
	Waits bool
	Has   float64 // of Count, while it waits
}

// Because explains a recorded decision by the sources of the contracts that it
// names. now is of the form of recorded_at.
func (b *Book) Because(ctx context.Context, tenant string, rec *timeline.Record, view standing.View, now string) (*Because, error) {
	d := &rec.Entry.Decision
	out := &Because{}
	var err error
	if out.Errors, out.Shadows, err = rules.Noted(d); err != nil {
		return nil, err
	}
	sources, err := b.sourcesOf(ctx, tenant, d)
	if err != nil {
		return nil, err
	}
	byName := map[string]*contract.Contract{}
	for _, src := range sources {
		v, err := b.version(ctx, tenant, src)
		if err != nil {
			return nil, err
		}
		out.Contracts = append(out.Contracts, *v)
		if c, err := b.Compile(v.Source); err == nil && byName[v.Name] == nil {
			byName[v.Name] = c
		}
	}
	find := func(name string) *contract.Contract { return byName[name] }
	for _, said := range because.Recorded(find, rec.Entry.Span.Type, d, reasonsOf(rec)) {
		out.Reasons = append(out.Reasons, Reason{said.Contract.Ref(), said.Line(), said.Source(), said.Text, said.Action})
	}
	return out, b.votes(ctx, tenant, rec, view, now, out)
}

// sourcesOf are the versions that a decision names, those that are known here.
func (b *Book) sourcesOf(ctx context.Context, tenant string, d *span.Decision) ([]rules.Source, error) {
	if len(d.Contracts) == 0 {
		return nil, nil
	}
	return b.atHead(ctx, tenant, func(ctx context.Context, s rules.State) ([]rules.Source, error) {
		var out []rules.Source
		for _, ref := range d.Contracts {
			v, ok, err := rules.SourceOf(ctx, s, ref)
			if err != nil {
				return nil, err
			}
			if ok {
				out = append(out, v)
			}
		}
		return out, nil
	})
}

// reasonsOf are the reasons beside a decision, while they are not erased.
func reasonsOf(rec *timeline.Record) []string {
	detail, _, err := span.ParseDetail(rec.Detail)
	if err != nil {
		return nil
	}
	return detail.Reasons
}

func (b *Book) votes(ctx context.Context, tenant string, rec *timeline.Record, view standing.View, now string, out *Because) error {
	asked, err := rules.Asked(&rec.Entry.Decision)
	if err != nil || len(asked) == 0 {
		return err
	}
	waiting, waits, err := rules.WaitingFor(ctx, b.log.Committed(tenant), rec.Entry.Span.ID)
	if err != nil {
		return err
	}
	has := waiting.Has()
	for i, q := range asked {
		a := Approval{Approval: q, Waits: waits}
		if i < len(has) {
			a.Has = has[i]
		}
		out.Approvals = append(out.Approvals, a)
	}
	if !waits {
		return nil
	}
	for _, m := range view.Members() {
		if view.Can(m.Identity, standing.RightAppend) && waiting.May(m.Identity, m.Roles, now) {
			out.May = append(out.May, m)
		}
	}
	return nil
}
