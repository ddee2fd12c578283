// Package naive is a second interpreter of contracts, for tests alone: slow,
// short, and written from the description of the language without the first
// one, of which it imports nothing. It remembers every span and reckons each
// answer from all of them; it has no rows, no index, no compiled expressions
// and no doubles in its sums.
//
// A contract here is a value, which Source writes as text for the other
// interpreter. It knows part of the language: permits, rules with their order
// and branches, conditions over missing fields, roles, trust, sums and states,
// quotas, approvals, one workflow and the trust table.
package naive

import (
	"math/big"
	"slices"
	"strings"
	"time"
)

// Span is what somebody asks for.
type Span struct {
	ID, Author, Type, Subject string
	Roles                     []string
	Data                      map[string]any // numbers are float64
	At                        time.Time
}

// Result is what became of a span.
type Result struct {
	Verdict string // allow, pending, simulate, reject
	By      string // who rejected
	Tags    []string
	Ran     []string
	Moves   [][3]string // key, from, to
}

// Timeline decides spans one after the other.
type Timeline struct {
	Contracts []Contract // any order
	past      []happened
	waiting   map[string]happened
}

// happened is a span with what it did.
type happened struct {
	Span
	at     time.Time // when it did it
	quotas [][2]string
	trust  []change
	moves  []move
}

type change struct {
	who         string
	amount      *big.Rat
	least, most *big.Rat
}

type move struct {
	flow, key, from, to string
	began               bool // from nothing
}

// answer is what a condition says: a missing field is neither.
type answer int

const (
	no answer = iota
	yes
	missing
)

// decision is a decision in the making.
type decision struct {
	t *Timeline
	s Span
	r Result
	h happened
}

// sorted are the contracts, the node's first, by name.
func (t *Timeline) sorted() []Contract {
	list := slices.Clone(t.Contracts)
	slices.SortFunc(list, func(a, b Contract) int {
		if a.NodeWide != b.NodeWide {
			if a.NodeWide {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// Submit decides a span, and remembers it if it happened or waits.
func (t *Timeline) Submit(s Span) Result {
	d := &decision{t: t, s: s, h: happened{Span: s, at: s.At}}
	d.r.Verdict = "allow"
	d.all()
	switch d.r.Verdict {
	case "allow":
		t.past = append(t.past, d.h)
	case "pending":
		if t.waiting == nil {
			t.waiting = map[string]happened{}
		}
		t.waiting[s.ID] = d.h
	}
	if d.r.Verdict == "pending" || d.r.Verdict == "reject" {
		d.r.Moves = nil
	}
	return d.r
}

// Approve lets a waiting span happen, unless its workflow has moved; it says
// whether it did.
func (t *Timeline) Approve(id string, at time.Time) bool {
	h, ok := t.waiting[id]
	delete(t.waiting, id)
	if !ok {
		return false
	}
	for _, m := range h.moves {
		if now := t.State(m.flow, m.key); m.began && now != "" || !m.began && now != m.from {
			return false
		}
	}
	h.at = at
	t.past = append(t.past, h)
	return true
}

// State is where an instance is, "" where there is none.
func (t *Timeline) State(flow, key string) string {
	state := ""
	for _, h := range t.past {
		for _, m := range h.moves {
			if m.flow == flow && m.key == key {
				state = m.to
			}
		}
	}
	return state
}

// Trust is somebody's score.
func (t *Timeline) Trust(who string) float64 {
	score := new(big.Rat)
	for _, h := range t.past {
		for _, c := range h.trust {
			if c.who != who {
				continue
			}
			score.Add(score, c.amount)
			if score.Cmp(c.least) < 0 {
				score.Set(c.least)
			}
			if score.Cmp(c.most) > 0 {
				score.Set(c.most)
			}
		}
	}
	f, _ := score.Float64()
	return f
}

func (d *decision) all() {
	list := d.t.sorted()
	for _, c := range list {
		if !c.permits(d.s) {
			d.reject(c.Name + "/permit")
			return
		}
	}
	if d.rules(list); d.r.Verdict == "reject" {
		return
	}
	for _, c := range list {
		if c.Flow != nil {
			if d.flow(c, c.Flow); d.r.Verdict == "reject" {
				return
			}
		}
	}
	for _, c := range list {
		for _, a := range c.Trust {
			if matches(a.On, d.s.Type) {
				d.h.trust = append(d.h.trust, change{d.s.Author, exact(a.Amount), exact(c.Least), exact(c.Most)})
			}
		}
	}
}

func (d *decision) reject(by string) {
	if d.r.By == "" {
		d.r.By = by
	}
	d.r.Verdict = "reject"
}

// permits says that the author has one of the roles to which the contract
// gives the type, if it gives it to any.
func (c Contract) permits(s Span) bool {
	given := false
	for _, p := range c.Permits {
		if !matches(p.On, s.Type) {
			continue
		}
		given = true
		if slices.Contains(s.Roles, p.Role) {
			return true
		}
	}
	return !given
}

// rules asks the rules of all contracts: the node's first, then by priority,
// contract and name.
func (d *decision) rules(list []Contract) {
	type bound struct {
		c Contract
		r Rule
	}
	var all []bound
	for _, c := range list {
		for _, r := range c.Rules {
			if slices.ContainsFunc(r.On, func(p string) bool { return matches(p, d.s.Type) }) {
				all = append(all, bound{c, r})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b bound) int {
		if a.c.NodeWide != b.c.NodeWide {
			if a.c.NodeWide {
				return -1
			}
			return 1
		}
		if a.r.Priority != b.r.Priority {
			return a.r.Priority - b.r.Priority
		}
		if a.c.Name != b.c.Name {
			return strings.Compare(a.c.Name, b.c.Name)
		}
		return strings.Compare(a.r.Name, b.r.Name)
	})
	for _, b := range all {
		if d.rule(b.c, b.r); d.r.Verdict == "reject" {
			return
		}
	}
}

func (d *decision) rule(c Contract, r Rule) {
	id := c.Name + "/" + r.Name
	holds := yes
	if r.When != nil {
		holds = d.ask(c, r.When)
	}
	list, ran := r.Then, id
	switch holds {
	case no:
		list, ran = r.Else, id+"/else"
	case missing:
		if r.refuses() {
			d.ran(id)
			d.reject(id)
		}
		return
	}
	if len(list) > 0 {
		d.ran(ran)
		d.acts(c, id, list)
	}
}

func (d *decision) ran(what string) {
	if !slices.Contains(d.r.Ran, what) {
		d.r.Ran = append(d.r.Ran, what)
	}
}

func (r Rule) refuses() bool {
	return slices.ContainsFunc(append(slices.Clone(r.Then), r.Else...), func(a Act) bool { return a.Kind != "tag" && a.Kind != "trust" })
}

func (d *decision) acts(c Contract, id string, list []Act) {
	raise := func(v string) {
		order := []string{"allow", "pending", "simulate", "reject"}
		if slices.Index(order, v) > slices.Index(order, d.r.Verdict) {
			d.r.Verdict = v
		}
	}
	for _, a := range list {
		switch a.Kind {
		case "tag":
			if !slices.Contains(d.r.Tags, a.Name) {
				d.r.Tags = append(d.r.Tags, a.Name)
			}
		case "reject":
			d.reject(id)
			return
		case "simulate":
			raise("simulate")
		case "approve":
			raise("pending")
		case "trust":
			d.h.trust = append(d.h.trust, change{d.s.Author, exact(a.N), exact(c.Least), exact(c.Most)})
		case "quota":
			used := 0.0
			for _, h := range append(slices.Clone(d.t.past), d.h) {
				for _, q := range h.quotas {
					if q == [2]string{c.Name + "/" + a.Name, d.s.Author} && hour(h.at) == hour(d.s.At) {
						used++
					}
				}
			}
			if used+1 > a.N {
				d.reject(id)
				return
			}
			d.h.quotas = append(d.h.quotas, [2]string{c.Name + "/" + a.Name, d.s.Author})
		}
	}
}

// hour numbers the hours: quotas here have windows of one.
func hour(t time.Time) int64 { return t.Unix() / 3600 }

// ask answers a condition. What is missing counts for nothing beside what
// decides alone.
func (d *decision) ask(c Contract, w *Cond) answer {
	truth := func(b bool) answer {
		if b {
			return yes
		}
		return no
	}
	switch w.Kind {
	case "and", "or":
		decides := yes
		if w.Kind == "and" {
			decides = no
		}
		a, b := d.ask(c, w.Left), d.ask(c, w.Right)
		switch {
		case a == decides || b == decides:
			return decides
		case a == missing || b == missing:
			return missing
		}
		return yes + no - decides
	case "not":
		switch d.ask(c, w.Left) {
		case yes:
			return no
		case no:
			return yes
		}
		return missing
	case "above":
		v, ok := d.s.Data[w.Name].(float64)
		if !ok {
			return missing
		}
		return truth(v > w.N)
	case "role":
		return truth(slices.Contains(d.s.Roles, w.Name))
	case "trust":
		return truth(d.t.Trust(d.s.Author) > w.N)
	case "state":
		key, ok := d.s.Data["id"].(string)
		if !ok {
			return missing
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
	case "count":
		n := 0.0
		for _, h := range d.t.past {
			if matches(w.On, h.Type) && h.Subject == d.s.Subject {
				n++
			}
		}
		return truth(n > w.N)
	}
	return missing
}

// exact is the number that people wrote.
func exact(f float64) *big.Rat {
	r, _ := new(big.Rat).SetString(number(f))
	return r
}

// flow moves the instance that the span asks for.
func (d *decision) flow(c Contract, f *Flow) {
	id := c.Name + "/" + f.Name
	asks, starts := false, f.Name == strings.SplitN(d.s.Type, ".", 2)[0]
	for _, s := range f.Steps {
		if matches(s.On, d.s.Type) {
			asks = true
			starts = starts || s.From == f.States[0]
		}
	}
	if !asks && !starts {
		return
	}
	key, ok := d.s.Data["id"].(string)
	if !ok {
		if asks {
			d.reject(id)
		}
		return
	}
	state := d.t.State(id, key)
	began := state == ""
	if began {
		if !starts {
			d.reject(id)
			return
		}
		state = f.States[0]
	}
	refused := false
	for _, s := range f.Steps {
		if s.From != state || !matches(s.On, d.s.Type) {
			continue
		}
		if s.Role != "" && !slices.Contains(d.s.Roles, s.Role) {
			refused = true
			continue
		}
		d.move(move{id, key, state, s.To, began})
		d.ran(id)
		return
	}
	if refused || asks {
		d.reject(id)
		return
	}
	if began {
		d.move(move{id, key, state, state, began})
		d.ran(id)
	}
}

func (d *decision) move(m move) {
	d.h.moves = append(d.h.moves, m)
	d.r.Moves = append(d.r.Moves, [3]string{m.key, m.from, m.to})
}

// matches compares a type with a pattern, segment by segment.
func matches(pattern, typ string) bool {
	p, t := strings.Split(pattern, "."), strings.Split(typ, ".")
	for i, segment := range p {
		switch {
		case segment == "**":
			return len(t) > i
		case i >= len(t):
			return false
		case segment != "*" && segment != t[i]:
			return false
		}
	}
	return len(p) == len(t)
}
