// Package older reads the forms in which rules were written before contracts,
// and writes them as a contract:
//
//	when span.type is contract and valor > 10000 then reject because "too much"
//	{"if": {"valor": {"gt": 10000}}, "then": "reject", "reason": "too much"}
//
// In both a name without a root is a member of the payload, and a condition on
// a member that a span has not does not hold. Contracts are stricter: there a
// rule that rejects also rejects where a member is missing. So every comparison
// is written with has(…) in front of it, and `not` is carried down to the
// comparisons, where it turns > into <=.
//
// What comes out parses, is formatted, and compiles; where that cannot be, the
// diagnostics say at which place of what came in. Nothing here does I/O.
package older

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/lll"
)

// Options name the contract that is written.
type Options struct {
	Name    string // of the contract
	Version string // "" is 1.0.0
}

// MaxRules bounds the rules of one file.
const MaxRules = 1000

// Import rewrites a file of older rules as a contract. Where lll.Failed says so
// of the diagnostics, whose offsets count bytes of the text given, there is no
// contract.
func Import(name, text string, o Options) (string, []lll.Diagnostic) {
	r := &reader{name: name, src: text}
	rules := r.rules()
	if len(r.diagnostics) > 0 {
		return "", r.told()
	}
	if o.Version == "" {
		o.Version = "1.0.0"
	}
	w := writer{}
	w.contract(o, rules)
	out, diagnostics := lll.Format(o.Name+".lll", w.String())
	file, _ := lll.Parse(o.Name+".lll", out)
	if !lll.Failed(diagnostics) {
		_, diagnostics = contract.Compile(file, contract.Options{})
	}
	r.back(file, rules, diagnostics)
	if lll.Failed(r.diagnostics) {
		return "", r.told()
	}
	return out, r.told()
}

// rule is one rule as both forms have it.
type rule struct {
	at      lll.Range
	name    string
	on      []string // types; none: every
	when    node     // nil: always
	then    []action
	because string
}

// action is what a rule does.
type action struct {
	word string // allow, reject, simulate, tag, note
	text string // of tag and note
}

// actionWords are the actions that the older forms know.
var actionWords = []string{"allow", "reject", "simulate", "tag", "note"}

// takesText says that an action is followed by a text.
func takesText(word string) bool { return word == "tag" || word == "note" }

// reader reads one file.
type reader struct {
	name, src   string
	at          int
	diagnostics []lll.Diagnostic
}

func (r *reader) errorf(at lll.Range, fix, format string, args ...any) {
	r.diagnostics = append(r.diagnostics, lll.Diagnostic{Severity: lll.Error, Offset: at.Offset, End: at.End, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// told are the diagnostics in the order of the source, as many as anybody reads.
func (r *reader) told() []lll.Diagnostic {
	slices.SortStableFunc(r.diagnostics, func(a, b lll.Diagnostic) int { return a.Offset - b.Offset })
	return r.diagnostics[:min(len(r.diagnostics), lll.MaxErrors)]
}

// rules reads the file in the form that its first character shows.
func (r *reader) rules() []*rule {
	if len(r.src) > lll.MaxBytes {
		r.errorf(lll.Range{}, "split it", "the file has more than %d bytes", lll.MaxBytes)
		return nil
	}
	if bad := strings.IndexFunc(strings.ToValidUTF8(r.src, "\uffff"), func(c rune) bool { return c == '\uffff' }); bad >= 0 {
		r.errorf(lll.Range{Offset: bad, End: bad}, "save it as UTF-8", "the file is not UTF-8 text")
		return nil
	}
	r.at = len(r.src) - len(strings.TrimPrefix(r.src, "\ufeff"))
	var rules []*rule
	if rest := strings.TrimLeft(r.src[r.at:], " \t\r\n"); strings.HasPrefix(rest, "{") || strings.HasPrefix(rest, "[") {
		rules = r.json()
	} else {
		rules = r.sentences()
	}
	switch {
	case len(r.diagnostics) > 0:
	case len(rules) == 0:
		r.errorf(lll.Range{}, `write when amount > 10000 then reject because "…", or {"if": {"amount": {"gt": 10000}}, "then": "reject", "reason": "…"}`, "the file has no rules")
	case len(rules) > MaxRules:
		r.errorf(rules[MaxRules].at, "split the file", "there are more than %d rules", MaxRules)
	}
	for _, one := range rules {
		r.types(one)
	}
	return rules
}

// types checks the types that a rule is for, and takes them from its condition
// where that names them for all of it.
func (r *reader) types(one *rule) {
	if all, ok := one.when.(*junction); ok && all.and {
		for i, part := range all.list {
			if on := typesOf(part); on != nil && one.on == nil {
				one.on = on
				all.list = slices.Delete(slices.Clone(all.list), i, i+1)
				break
			}
		}
		if len(all.list) == 0 {
			one.when = nil
		}
	} else if on := typesOf(one.when); on != nil && one.on == nil {
		one.on, one.when = on, nil
	}
	for _, typ := range one.on {
		if !contract.ValidPattern(typ) {
			r.errorf(one.at, "use a-z, 0-9, _, - and dots, such as payment.requested", "%q cannot be the type of a span", typ)
		}
	}
	if one.because != "" && !slices.ContainsFunc(one.then, func(a action) bool { return a.word == "reject" || a.word == "simulate" }) {
		one.then = append(one.then, action{"note", one.because})
	}
}

// typesOf are the types that a comparison demands, nil where it is another.
func typesOf(n node) []string {
	c, ok := n.(*comparison)
	if !ok || c.field.String() != "span.type" {
		return nil
	}
	switch {
	case c.op == "==" && c.value.kind == kindText:
		return []string{c.value.text}
	case c.op == "in" && len(c.value.list) > 0:
		var on []string
		for _, v := range c.value.list {
			if v.kind != kindText {
				return nil
			}
			on = append(on, v.text)
		}
		return on
	}
	return nil
}

// back takes over what is wrong with the contract that was written, at the
// rules it was written for.
func (r *reader) back(file *lll.File, rules []*rule, found []lll.Diagnostic) {
	var nodes []*lll.Node
	if all := file.Contracts(); len(all) > 0 {
		nodes = all[0].Children("rule")
	}
	for _, d := range found {
		d.Notes = nil
		at := lll.Range{}
		for i, n := range nodes {
			if i < len(rules) && d.Offset >= n.Offset && d.Offset < n.End {
				at = rules[i].at
			}
		}
		d.Offset, d.End = at.Offset, at.End
		r.diagnostics = append(r.diagnostics, d)
	}
}

// ended is where a range of the source that ends at a place ends without the
// blanks before it.
func (r *reader) ended(from, to int) lll.Range {
	for to > from {
		c, size := utf8.DecodeLastRuneInString(r.src[from:to])
		if !strings.ContainsRune(" \t\r\n", c) {
			break
		}
		to -= size
	}
	return lll.Range{Offset: from, End: to}
}
