package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// side is one decision to be held against another: as the line has it, and its
// detail.
type side struct {
	outcome  string
	decision []byte // JCS, without detail_hash
	detail   []byte // JCS, without salt; nil: none
	salted   string // detail_hash
}

// compare holds what came out against what is recorded.
func (r *Replay) compare(e *span.Opened, f *found) error {
	r.report.Decided++
	if r.opt.Decided != nil && e.Span.Author != r.people.View().Node() {
		if err := r.opt.Decided(e); err != nil {
			return err
		}
	}
	was, salt, err := recordedSide(e)
	if err != nil {
		return err
	}
	now := decidedSide(f, salt)
	if was.detail == nil && was.salted != "" { // erased: the rest is compared
		r.report.Unread++
		now.detail, was.salted, now.salted = nil, "", ""
	}
	if r.like(&was, &now) {
		r.report.Same++
		return nil
	}
	if f.missing != "" {
		r.report.Decided--
		r.undecided(e, f.missing)
		return nil
	}
	return r.differs(e, f, &was, &now)
}

// like says that two decisions are one, but for names that are not recorded and
// for the versions of contracts where others were given.
func (r *Replay) like(was, now *side) bool {
	if len(r.byName) > 0 {
		was.decision, now.decision = r.unversioned(was.decision), r.unversioned(now.decision)
	}
	if !bytes.Equal(was.decision, now.decision) {
		return false
	}
	if len(r.byName) == 0 && was.salted == now.salted {
		return true
	}
	if !fits(now.detail, was.detail) || was.detail == nil && was.salted != now.salted {
		return false
	}
	if bytes.Contains(now.detail, []byte(nameless)) {
		r.report.Named++
	}
	return true
}

// nameless stands where a text shows a handle or a name.
const nameless = "\uf8ff(name)\uf8ff"

// anybody is a directory in which everybody has a name that nobody has.
func anybody(string) (handle, name string) { return nameless, nameless }

// fits says that a text is a pattern with something in the places of names.
func fits(pattern, text []byte) bool {
	parts := bytes.Split(pattern, []byte(nameless))
	if len(parts) == 1 {
		return bytes.Equal(pattern, text)
	}
	first, last := parts[0], parts[len(parts)-1]
	if !bytes.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		i := bytes.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return bytes.HasSuffix(text, last)
}

// recordedSide is what stands on the record, with the salt of its detail.
func recordedSide(e *span.Opened) (side, [16]byte, error) {
	var salt [16]byte
	s := side{outcome: e.Decision.Outcome, salted: e.Decision.DetailHash}
	d := e.Decision
	d.DetailHash = ""
	s.decision = d.AppendCanonical(nil)
	if e.Detail == nil {
		return s, salt, nil
	}
	detail, _, err := span.ParseDetail(e.Detail)
	if err != nil {
		return s, salt, fault.Newf(fault.Invalid, "entries_unsound", "the detail of entry %d cannot be read", e.Seq).Because(err)
	}
	raw, err := span.ParseB64(detail.Salt, len(salt))
	if err != nil {
		return s, salt, err
	}
	detail.Salt = ""
	s.detail = detail.Canonical()
	return s, [16]byte(raw), nil
}

// decidedSide is what came out, under the salt of what is recorded.
func decidedSide(f *found, salt [16]byte) side {
	if f.outcome == nil {
		return side{outcome: rules.Reject.String(), decision: refused, detail: reasoned(fault.From(f.err).Detail)}
	}
	d, _ := f.outcome.Seal(salt)
	s := side{outcome: f.outcome.Verdict.String(), salted: d.DetailHash}
	if f.outcome.Decision.Outcome == span.OutcomeAllow {
		s.outcome = span.OutcomeAllow // the node's resolution of what was rejected
	}
	d.DetailHash = ""
	s.decision = d.AppendCanonical(nil)
	if f.outcome.Detail != nil {
		detail := *f.outcome.Detail
		detail.Salt = ""
		s.detail = detail.Canonical()
	}
	return s
}

var refused = (&span.Decision{Outcome: rules.Reject.String()}).AppendCanonical(nil)

func reasoned(reason string) []byte {
	return (&span.Detail{Reasons: []string{reason}}).Canonical()
}

// unversioned leaves out that a given contract had a say, in which version, and what
// it counts: all that is otherwise by itself.
func (r *Replay) unversioned(decision []byte) []byte {
	var members map[string]json.RawMessage
	var contracts []string
	if json.Unmarshal(decision, &members) != nil {
		return decision
	}
	delete(members, "values")
	delete(members, "evaluator")
	if json.Unmarshal(members["contracts"], &contracts) == nil {
		delete(members, "contracts")
		contracts = slices.DeleteFunc(contracts, func(ref string) bool {
			name, _, _ := strings.Cut(ref, "@")
			return r.byName[name] != nil
		})
		if raw, err := json.Marshal(contracts); err == nil && len(contracts) > 0 {
			members["contracts"] = raw
		}
	}
	again, err := span.Canonical(members)
	if err != nil {
		return decision
	}
	for name, version := range r.versions {
		again = version.ReplaceAll(again, []byte(name))
	}
	return again
}

// versionsOf finds the versions of a contract in a decision.
func versionsOf(name string) *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(name) + `@[0-9A-Za-z.+-]+#[A-Za-z0-9_-]{43}`)
}

// differs notes what is otherwise.
func (r *Replay) differs(e *span.Opened, f *found, was, now *side) error {
	changes, err := changesOf(was, now)
	if err != nil {
		return err
	}
	r.report.DifferenceCount++
	for _, c := range changes {
		r.report.Differing[c.What]++
	}
	if len(r.report.Differences) >= r.opt.Keep {
		return nil
	}
	d := Difference{
		Seq: e.Seq, Span: e.Span.ID, Type: e.Span.Type, Author: e.Span.Author, Subject: e.Span.Subject, RecordedAt: e.RecordedAt,
		Was: was.outcome, Now: now.outcome, Changes: changes,
	}
	switch {
	case f.outcome == nil:
		d.Reason = fault.From(f.err).Detail
	case f.outcome.Refusal != nil:
		d.Rule, d.Reason = f.outcome.Refusal.Rule, f.outcome.Refusal.Reason
	default:
		d.Rule = strings.Join(f.outcome.Decision.Rules, ", ")
		if f.outcome.Detail != nil {
			d.Reason = strings.Join(slices.Compact(slices.Clone(f.outcome.Detail.Reasons)), "; ")
		}
	}
	d.Reason = strings.ReplaceAll(d.Reason, nameless, "…")
	r.report.Differences = append(r.report.Differences, d)
	return nil
}

// changesOf are the members of two decisions and their details that differ, in the
// order of their names; of effects each by itself.
func changesOf(was, now *side) ([]Change, error) {
	a, err := was.members()
	if err != nil {
		return nil, err
	}
	b, err := now.members()
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	var out []Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if fits(b[name], a[name]) && (a[name] == nil) == (b[name] == nil) {
			continue
		}
		out = append(out, Change{name, shown(a[name]), shown(b[name])})
	}
	return out, nil
}

// members are the parts of a decision by name: effects.quotas, detail.reasons, …
func (s *side) members() (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for prefix, raw := range map[string][]byte{"": s.decision, "detail.": s.detail} {
		if raw == nil {
			continue
		}
		if err := spread(out, prefix, raw); err != nil {
			return nil, err
		}
	}
	if effects := out["effects"]; effects != nil {
		delete(out, "effects")
		if err := spread(out, "effects.", effects); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func spread(into map[string]json.RawMessage, prefix string, raw []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	for name, value := range members {
		into[prefix+name] = value
	}
	return nil
}

// mostShown bounds a value that a difference shows, in bytes.
const mostShown = 4096

func shown(raw json.RawMessage) json.RawMessage {
	if len(raw) > mostShown {
		return fmt.Appendf(nil, `{"bytes":%d}`, len(raw))
	}
	return json.RawMessage(bytes.ReplaceAll(raw, []byte(nameless), []byte("…")))
}

// undecided notes an entry whose content is gone or withheld.
func (r *Replay) undecided(e *span.Opened, why string) {
	r.report.UndecidedCount++
	if len(r.report.Undecided) < r.opt.Keep {
		r.report.Undecided = append(r.report.Undecided, Undecided{e.Seq, e.Span.ID, e.Span.Type, why})
	}
}
