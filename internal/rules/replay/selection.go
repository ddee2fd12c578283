package replay

import (
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/span"
)

// Selection chooses entries. Of several conditions of one kind one must hold, of
// each kind.
type Selection struct {
	Types     []string `json:"types,omitempty"` // patterns as in contracts
	Authors   []string `json:"authors,omitempty"`
	Subjects  []string `json:"subjects,omitempty"`
	Tags      []string `json:"tags,omitempty"` // of the span or of its decision
	Spans     []string `json:"spans,omitempty"`
	Contracts []string `json:"contracts,omitempty"` // names, of those that had a say
}

// Empty says that there is no condition.
func (s *Selection) Empty() bool {
	return len(s.Types)+len(s.Authors)+len(s.Subjects)+len(s.Tags)+len(s.Spans)+len(s.Contracts) == 0
}

// maxConditions bounds a selection.
const maxConditions = 64

// ParseSelection reads conditions: a pattern of types, or author:ID, subject:TEXT,
// tag:WORD, span:ID, contract:NAME.
func ParseSelection(conditions []string) (Selection, error) {
	var s Selection
	if len(conditions) > maxConditions {
		return s, fault.Newf(fault.Invalid, "selection_invalid", "a selection has at most %d conditions", maxConditions)
	}
	for _, text := range conditions {
		if err := s.add(text); err != nil {
			return Selection{}, err
		}
	}
	return s, nil
}

func (s *Selection) add(text string) error {
	kind, value, named := strings.Cut(text, ":")
	if !named {
		kind, value = "type", text
	}
	into := map[string]*[]string{
		"type": &s.Types, "author": &s.Authors, "subject": &s.Subjects, "tag": &s.Tags, "span": &s.Spans, "contract": &s.Contracts,
	}[kind]
	if kind == "logline-id" { // an author without the word
		into, value = &s.Authors, text
	}
	wrong := func(why string) error {
		return fault.Newf(fault.Invalid, "selection_invalid", "%q chooses no entries: %s", text, why)
	}
	switch {
	case into == nil:
		return wrong("the kinds are type, author, subject, tag, span and contract")
	case value == "" || len(value) > 256:
		return wrong("a condition has 1 to 256 bytes")
	case into == &s.Types && !contract.ValidPattern(value):
		return wrong("a pattern of types is like payment.* or payment.**")
	case into == &s.Spans && !span.IsUUID(value):
		return wrong("a span has an id like 019…")
	case into == &s.Authors:
		if !strings.HasPrefix(value, span.IdentityScheme) {
			value = span.IdentityScheme + value
		}
		if !span.IsIdentity(value) {
			return wrong("an author is a LogLine ID")
		}
	}
	*into = append(*into, value)
	return nil
}

// Chooses says whether an entry is chosen.
func (s *Selection) Chooses(e *span.Opened) bool {
	d := &e.Decision
	return matches(s.Types, func(p string) bool { return contract.MatchType(p, e.Span.Type) }) &&
		matches(s.Authors, func(a string) bool { return a == e.Span.Author }) &&
		matches(s.Subjects, func(t string) bool { return t == e.Span.Subject }) &&
		matches(s.Tags, func(t string) bool { return slices.Contains(e.Span.Tags, t) || slices.Contains(d.Tags, t) }) &&
		matches(s.Spans, func(id string) bool { return id == e.Span.ID }) &&
		matches(s.Contracts, func(name string) bool {
			return slices.ContainsFunc(d.Contracts, func(ref string) bool { return strings.HasPrefix(ref, name+"@") })
		})
}

func matches(list []string, holds func(string) bool) bool {
	return len(list) == 0 || slices.ContainsFunc(list, holds)
}
