package lll

import (
	"fmt"
	"strings"
)

// missingColon reads an attribute that lacks its colon: the word is one of the
// scope's keys, so what follows is its value.
func (p *parser) missingColon(s *scope, name string) Item {
	p.errorAt(p.rangeOf(p.i), "write `"+name+": …`", "`%s` needs a colon before its value", name)
	a := &Attr{Key: name, KeyRange: p.rangeOf(p.i)}
	p.i++
	return p.valueOf(s, a)
}

// checkKey reports a key that the scope does not know.
func (p *parser) checkKey(s *scope, a *Attr) {
	if !s.executed() {
		return
	}
	switch e, head := s.nodes[a.Key]; {
	case a.Optional:
		p.errorAt(a.KeyRange, "write `"+a.Key+": …`", "`?` marks what is optional in data; in %s it means nothing", s.title)
	case s.attr(a.Key):
	case head && e.body == always:
		p.errorAt(a.KeyRange, "write `"+e.form(a.Key)+"`", "`%s` takes no colon", a.Key)
	case head:
		p.errorAt(a.KeyRange, "write `"+a.Key+" …`", "`%s` takes no colon", a.Key)
	default:
		p.unknown(s, a.Key, a.KeyRange)
	}
}

// unknown reports a word that the scope does not know. In a contract it is
// data, and only what looks like a slip is worth a word.
func (p *parser) unknown(s *scope, word string, at Range) {
	switch near := Nearest(word, s.words()); {
	case !s.executed():
		if word == "contract" && s != p.words.file {
			p.warn(at, "write it at the top of a file", "this contract stands inside another block: it is data and never runs")
		}
	case s.anyNode:
		if near != "" && Distance(word, near, 1) <= 1 {
			p.warn(at, "did you mean `"+near+"`?", "`%s` is kept as data and never runs", word)
		}
	case near != "":
		p.errorAt(at, "did you mean `"+near+"`?", "`%s` is not known in %s", word, s.title)
	case contains(p.words.contract.heads(), word):
		p.errorAt(at, "close the block before it with }", "`%s` cannot stand in %s", word, s.title)
	case p.glued:
		p.errorAt(at, "write an operator before it, or begin a line", "`%s` does not belong to the value before it", word)
	default:
		p.errorAt(at, "known are "+strings.Join(s.words(), ", "), "`%s` is not known in %s", word, s.title)
	}
}

func (p *parser) warn(at Range, fix, format string, args ...any) {
	if len(p.diags) < 4*MaxErrors {
		p.diags = append(p.diags, Diagnostic{Severity: Warning, Offset: at.Offset, End: at.End, Message: fmt.Sprintf(format, args...), Fix: fix})
	}
}
