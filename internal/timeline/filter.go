package timeline

import (
	"slices"

	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// Filter is a query as a store evaluates it: all conditions hold at once, and
// zero fields ask nothing.
type Filter struct {
	Types   []string // patterns of span.MatchType; any of them
	Author  string
	Subject string
	Tag     string
	Status  string
	Cause   string   // a span id
	Words   []string // of words.Split; see MatchesWords
	Since   string   // recorded_at >= Since
	Until   string   // recorded_at < Until

	From, To   uint64 // From <= seq < To
	Descending bool
	Limit      int      // > 0
	Bytes      int      // of the page, see Budget; 0 means MaxPageBytes
	Sight      []Access // what may be seen; nil sees everything
}

// Selection is one page of a Select. Where its bytes are used up, or the filter
// makes the store look at much, it ends early: Records may be short, even
// empty, while More holds. Resume is then the first seq not looked at, in the
// filter's order.
type Selection struct {
	Records []Record
	More    bool
	Resume  uint64
}

// Access says who sees entries of one visibility.
type Access struct {
	Visibility string
	All        bool   // every one; else those that
	Author     string // this identity signed, "" for none, or that
	OnBehalfOf string // were recorded for this one, "" for none
}

// sight asks standing.MayRead what a reader sees, so that a store can filter by
// the very same rule. nil when it is everything.
func sight(r standing.Reader) []Access {
	const other = "" // nobody's identity
	var out []Access
	all := true
	for _, v := range []string{span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic} {
		a := Access{Visibility: v, All: standing.MayRead(r, v, other, other)}
		if !a.All && r.Identity != "" {
			if standing.MayRead(r, v, r.Identity, other) {
				a.Author = r.Identity
			}
			if standing.MayRead(r, v, other, r.Identity) {
				a.OnBehalfOf = r.Identity
			}
		}
		all = all && a.All
		out = append(out, a)
	}
	if all {
		return nil
	}
	return out
}

// Sees says whether the filter's reader sees an entry with these fields.
func (f *Filter) Sees(visibility, author, onBehalfOf string) bool {
	if f.Sight == nil {
		return true
	}
	for _, a := range f.Sight {
		if a.Visibility == visibility {
			return a.All || a.Author != "" && a.Author == author || a.OnBehalfOf != "" && a.OnBehalfOf == onBehalfOf
		}
	}
	return false
}

// Matches evaluates every condition but From, To and Words.
func (f *Filter) Matches(r *Row) bool {
	return f.Sees(r.Visibility, r.Author, r.OnBehalfOf) &&
		f.MatchesType(r.Type) &&
		(f.Author == "" || f.Author == r.Author) &&
		(f.Subject == "" || f.Subject == r.Subject) &&
		(f.Tag == "" || slices.Contains(r.Tags, f.Tag)) &&
		(f.Status == "" || f.Status == r.Status) &&
		(f.Since == "" || r.RecordedAt >= f.Since) &&
		(f.Until == "" || r.RecordedAt < f.Until) &&
		(f.Cause == "" || slices.Contains(r.Links, RowLink{Kind: LinkCause, ID: f.Cause}))
}

// MatchesType says whether a type fits any of the patterns.
func (f *Filter) MatchesType(typ string) bool {
	return len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(p string) bool { return span.MatchType(p, typ) })
}

// MatchesWords says whether each word begins one of the entry's, as package
// words has them. What was redacted is not found.
func (f *Filter) MatchesWords(line, payload []byte) (bool, error) {
	if len(f.Words) == 0 {
		return true, nil
	}
	e, err := span.ParseLine(line)
	if err != nil {
		return false, err
	}
	return words.Match(f.Words, e.Span.Title, e.Span.Subject, e.Span.Type, payload), nil
}

// TypeOf is the type of the span in a line.
func TypeOf(line []byte) (string, error) {
	e, err := span.ParseLine(line)
	if err != nil {
		return "", err
	}
	return e.Span.Type, nil
}
