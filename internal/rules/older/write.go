package older

import (
	"fmt"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"
)

// writer writes the contract.
type writer struct{ strings.Builder }

func (w *writer) contract(o Options, rules []*rule) {
	fmt.Fprintf(w, "contract %s version %s {\n", o.Name, quoted(o.Version))
	digits := len(fmt.Sprint(len(rules)))
	for i, r := range rules {
		if i > 0 {
			w.WriteByte('\n')
		}
		name := fmt.Sprintf("rule_%0*d", digits, i+1) // rules are asked in the order of their names
		if r.name != "" {
			name += "_" + r.name
		}
		w.rule(name, r)
	}
	w.WriteString("}\n")
}

func (w *writer) rule(name string, r *rule) {
	fmt.Fprintf(w, "  rule %s {\n    on: %s\n", name, typeList(r.on))
	if r.when != nil {
		fmt.Fprintf(w, "    when: %s\n", condition(r.when, map[string]bool{}, false))
	}
	w.WriteString("    then {\n")
	for _, a := range r.then {
		w.WriteString("      " + a.word)
		switch {
		case takesText(a.word):
			w.WriteString(" " + quoted(a.text))
		case a.word == "reject" && r.because == "":
			w.WriteString(` "refused by an older rule that gives no reason"`)
		case a.word == "reject", a.word == "simulate" && r.because != "":
			w.WriteString(" " + quoted(r.because))
		}
		w.WriteByte('\n')
	}
	w.WriteString("    }\n  }\n")
}

func typeList(types []string) string {
	switch len(types) {
	case 0:
		return `"**"`
	case 1:
		return quoted(types[0])
	}
	list := make([]string, len(types))
	for i, t := range types {
		list[i] = quoted(t)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// condition writes a condition in which no negation is left. known are the
// members that are known to be there at this place; inside says that it stands
// among others.
func condition(n node, known map[string]bool, inside bool) string {
	switch n := n.(type) {
	case *junction:
		parts, sign := make([]string, len(n.list)), " || "
		if n.and {
			sign = " && "
		}
		for i, part := range n.list {
			k := known
			if !n.and {
				k = maps.Clone(known)
			}
			_, nested := part.(*junction)
			parts[i] = condition(part, k, nested || !n.and)
		}
		text := strings.Join(parts, sign)
		if inside {
			text = "(" + text + ")"
		}
		return text
	case *comparison:
		return compared(n, known, inside)
	}
	return "true"
}

// compared writes one comparison, with what must be there before it.
func compared(c *comparison, known map[string]bool, inside bool) string {
	if c.op == "!exists" {
		parts := guards(c.field, maps.Clone(known))
		if len(parts) == 0 {
			return "false" // it is known to be there
		}
		if len(parts) == 1 {
			return "!" + parts[0]
		}
		return "!(" + strings.Join(parts, " && ") + ")"
	}
	parts := guards(c.field, known)
	if c.value.kind == kindField {
		parts = append(parts, guards(c.value.field, known)...)
	}
	if c.op != "exists" {
		parts = append(parts, asked(c))
	}
	switch len(parts) {
	case 0:
		return "true"
	case 1:
		return parts[0]
	}
	text := strings.Join(parts, " && ")
	if inside {
		text = "(" + text + ")"
	}
	return text
}

func asked(c *comparison) string {
	at, of := path(c.field), literal(c.value)
	switch c.op {
	case "in":
		return at + " in " + of
	case "!in":
		return "!(" + at + " in " + of + ")"
	case "contains":
		return at + ".contains(" + of + ")"
	case "!contains":
		return "!" + at + ".contains(" + of + ")"
	}
	return at + " " + c.op + " " + of
}

// guards are the questions whether a field is there, those not known yet.
func guards(f field, known map[string]bool) []string {
	if f.always() {
		return nil
	}
	var out []string
	for n := 2; n <= len(f); n++ {
		guard := "has(" + path(f[:n]) + ")"
		if last := f[n-1]; !plainName(last) {
			guard = "(" + quoted(last) + " in " + path(f[:n-1]) + ")"
		}
		if !known[guard] {
			known[guard] = true
			out = append(out, guard)
		}
	}
	return out
}

// path writes a field.
func path(f field) string {
	out := f[0]
	for _, name := range f[1:] {
		if plainName(name) {
			out += "." + name
		} else {
			out += "[" + quoted(name) + "]"
		}
	}
	return out
}

// plainName says that a name may stand after a dot.
func plainName(name string) bool {
	for i, c := range name {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	switch name {
	case "", "in", "true", "false", "null", "and", "or", "not":
		return false
	}
	return true
}

func literal(v value) string {
	switch v.kind {
	case kindText:
		return quoted(v.text)
	case kindField:
		return path(v.field)
	case kindList:
		items := make([]string, len(v.list))
		for i, item := range v.list {
			items[i] = literal(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return v.text
}

// quoted writes a text such that contracts and their expressions read it as it
// is: without holes, and without characters that cannot be seen.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '$' && opensHole(text[i+1:]), c < 0x10000 && !unicode.IsGraphic(c):
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// opensHole says that what follows a dollar makes a hole of it, or looks like
// one that was meant.
func opensHole(rest string) bool {
	c, _ := utf8.DecodeRuneInString(rest)
	return c == '{' || unicode.IsLetter(c) || c == '_'
}
