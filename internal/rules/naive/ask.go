package naive

import (
	"math/big"
	"slices"
	"strings"
	"time"
)

// answer is what a condition says: of a field that is missing, or of a value of
// another type than it needs, neither yes nor no.
type answer int

const (
	no answer = iota
	yes
	missing
	wrong
)

func (a answer) name() string {
	return [...]string{no: "no", yes: "yes", missing: "missing", wrong: "mismatch"}[a]
}

func truth(b bool) answer {
	if b {
		return yes
	}
	return no
}

// ask answers a condition. What gives no value counts for nothing beside what
// decides alone. since is when the instance of a guard entered its state.
func (d *decision) ask(c Contract, w *Cond, since time.Time) answer {
	switch w.Kind {
	case "and", "or":
		decides := truth(w.Kind == "or")
		a, b := d.ask(c, w.Left, since), d.ask(c, w.Right, since)
		switch {
		case a == decides || b == decides:
			return decides
		case a > yes:
			return a
		case b > yes:
			return b
		}
		return truth(w.Kind == "and")
	case "not":
		if a := d.ask(c, w.Left, since); a > yes {
			return a
		} else {
			return truth(a == no)
		}
	case "if":
		switch a := d.ask(c, w.Left, since); a {
		case yes:
			return d.ask(c, w.Right, since)
		case no:
			return d.ask(c, w.Third, since)
		default:
			return a
		}
	case "above":
		return d.compare(">", &Term{Kind: "data", Text: w.Name}, &Term{Kind: "number", N: w.N})
	case "compare":
		return d.compare(w.Op, w.A, w.B)
	case "aged":
		return truth(d.s.At.Sub(since) > time.Duration(w.N)*time.Minute)
	case "has", "in", "starts":
		return d.text(w)
	}
	return d.known(c, w)
}

// text answers conditions on a member.
func (d *decision) text(w *Cond) answer {
	v, ok := d.s.Data[w.Name]
	if w.Kind == "has" || !ok {
		if w.Kind == "has" {
			return truth(ok)
		}
		return missing
	}
	text, is := v.(string)
	switch {
	case w.Kind == "in":
		return truth(is && slices.Contains(w.Texts, text))
	case !is:
		return wrong
	}
	return truth(strings.HasPrefix(text, w.Texts[0]))
}

// known answers conditions on who asks and on what has happened.
func (d *decision) known(c Contract, w *Cond) answer {
	switch w.Kind {
	case "role":
		return truth(slices.Contains(d.s.Roles, w.Name))
	case "trust":
		return truth(d.t.Trust(d.s.Author) > w.N)
	case "state":
		id, ok := d.s.Data["id"]
		if !ok {
			return missing
		}
		key, ok := id.(string)
		if !ok {
			return wrong
		}
		return truth(c.Flow != nil && d.t.State(c.Name+"/"+c.Flow.Name, key) == w.Name)
	case "sum":
		sum := new(big.Rat)
		for _, h := range d.t.past {
			n, ok := h.Data[w.Name].(float64)
			if ok && matches(w.On, h.Type) && h.Author == d.s.Author && h.at.After(d.s.At.Add(-time.Hour)) {
				sum.Add(sum, exact(n))
			}
		}
		return truth(sum.Cmp(exact(w.N)) > 0)
	}
	n := 0.0
	for _, h := range d.t.past {
		if matches(w.On, h.Type) && h.Subject == d.s.Subject {
			n++
		}
	}
	return truth(n > w.N)
}

// compare compares two values, of which texts have the order of their bytes.
// Values of two types are not equal and have no order.
func (d *decision) compare(op string, x, y *Term) answer {
	a, fails := d.value(x)
	if fails != no {
		return fails
	}
	b, fails := d.value(y)
	if fails != no {
		return fails
	}
	switch op {
	case "==":
		return truth(a == b)
	case "!=":
		return truth(a != b)
	}
	order := 0
	if n, ok := a.(float64); ok {
		m, ok := b.(float64)
		if !ok {
			return wrong
		}
		order = int(truth(n > m)) - int(truth(n < m))
	} else {
		t, ok := b.(string)
		if !ok {
			return wrong
		}
		order = strings.Compare(a.(string), t)
	}
	return truth(op == ">" && order > 0 || op == ">=" && order >= 0 || op == "<" && order < 0 || op == "<=" && order <= 0)
}

// value is that of a term, a number or a text, or why it has none.
func (d *decision) value(t *Term) (any, answer) {
	switch t.Kind {
	case "number":
		return t.N, no
	case "text":
		return t.Text, no
	case "data":
		if v, ok := d.s.Data[t.Text]; ok {
			return v, no
		}
		return nil, missing
	}
	a, fails := d.value(t.A)
	if fails != no {
		return nil, fails
	}
	b, fails := d.value(t.B)
	if fails != no {
		return nil, fails
	}
	if n, ok := a.(float64); ok {
		if m, ok := b.(float64); ok {
			return n + m, no
		}
	}
	if n, ok := a.(string); ok {
		if m, ok := b.(string); ok {
			return n + m, no
		}
	}
	return nil, wrong
}
