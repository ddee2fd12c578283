package bundle

import (
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

type verdict int

const (
	holds verdict = iota
	fails
	unchecked
)

// judge applies the rules on keys, roles and reserved types at the position.
func (f *folder) judge(l *checkedLine, at uint64, good bool) verdict {
	h := &l.opened.Span
	if h.Tenant != f.h.Tenant.ID {
		if good {
			f.problem(l, at, "tenant_mismatch", fmt.Sprintf("the span belongs to tenant %s, the bundle to %s", h.Tenant, f.h.Tenant.ID))
		}
		return fails
	}
	f.authors[h.Author]++
	if h.Type == span.TypeIdentity {
		f.embedded.add(l.opened.Payload, l.number)
	}
	if f.standing == nil {
		return unchecked
	}
	entry := &l.opened.Entry
	err := f.tx.Check(h, l.opened.Payload, standing.Position{Seq: at, RecordedAt: entry.RecordedAt}, f.spans.lookup)
	var change standing.Change
	if err == nil {
		change, err = f.tx.Apply(entry, l.opened.Payload, f.spans.lookup)
	}
	if err != nil {
		return f.refused(l, at, good, err)
	}
	if reason := f.decided(entry, l.opened.Payload); reason != "" && good {
		f.problem(l, at, codeContract, reason)
		return fails
	}
	if !good && !span.Redactable(h.Type) {
		f.tainted = firstOf(f.tainted, l.number)
	}
	for _, s := range change.Statuses {
		f.spans.setStatus(s.SpanID, s.Status)
	}
	for _, r := range change.Redacted {
		if _, ok := f.redacted[r.Seq]; ok {
			f.redacted[r.Seq] = true
		}
	}
	if f.sinceTx++; f.sinceTx == commitEvery {
		f.tx.Commit()
		f.tx, f.sinceTx = f.standing.Begin(), 0
	}
	return holds
}

// decided holds a decision against the contracts that were active before it,
// and says what is wrong with it. An entry hidden from this reader may have
// activated some.
func (f *folder) decided(e *span.Entry, payload []byte) (wrong string) {
	if f.contracts == nil {
		return ""
	}
	if !f.hidden && f.tainted == 0 {
		wrong = f.contracts.judge(e, f.tx.Node())
	}
	f.contracts.apply(e, payload)
	return wrong
}

// restsOnRoles are the refusals that an entry hidden from this reader, or one
// before the bundle, could explain.
var restsOnRoles = map[string]bool{
	"not_a_member": true, "append_forbidden": true, "role_forbidden": true, "guest_on_behalf": true, "last_owner": true,
	"target_unknown": true, "target_not_pending": true, "target_not_executed": true, "resolution_impossible": true,
}

func (f *folder) refused(l *checkedLine, at uint64, good bool, err error) verdict {
	code, reason := because(err)
	if f.hidden && restsOnRoles[code] || f.blind && code == "target_unknown" {
		return unchecked
	}
	if !span.Redactable(l.opened.Span.Type) {
		f.tainted = firstOf(f.tainted, l.number)
	}
	if !good {
		return fails
	}
	if fault.KindOf(err) == fault.Internal {
		code, reason = "standing_failed", "the entry could not be judged: "+reason
	}
	if f.tainted != 0 && f.tainted < l.number {
		reason += fmt.Sprintf("; this may follow from line %d", f.tainted)
	}
	f.problem(l, at, code, reason)
	return fails
}
