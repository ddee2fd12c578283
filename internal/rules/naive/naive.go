// Package naive is a second interpreter of contracts, for tests alone: slow,
// short, and written from the description of the language without the first
// one, of which it imports nothing. It remembers every span and reckons each
// answer from all of them; it has no rows, no index, no compiled expressions
// and no doubles in its sums.
//
// A contract here is a value, which Source writes as text for the other
// interpreter. It knows part of the language: permits, rules with their order
// and branches, conditions over fields that are missing or of another type,
// roles, trust, sums and states, quotas with warnings, approvals, one workflow
// with guards, forbidden steps and what it does on its way, the trust table,
// and shadows of rules and of contracts.
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
	By, Why string // who rejected, and the reason that a contract gives; "" for one of the program's own
	Tags    []string
	Ran     []string
	Moves   [][3]string // key, from, to
	Effects Effects
}

// Effects are the numbers that a decision leaves, and what is noted beside it.
type Effects struct {
	Errors []string // "contract/rule missing"
	Shadow []Shadow
	Quotas []Use
	Trust  []Score
}

// Shadow is what a shadow would have decided.
type Shadow struct {
	Contract, Outcome string
	Rules, Errors     []string
}

// Use is that of a quota in this window, and the share of the limit that was
// passed now.
type Use struct {
	Contract, Name string
	Used           float64
	Warn           float64
}

// Score is somebody's trust, and whether it rose.
type Score struct {
	Who   string
	Score float64
	Rose  bool
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
	at    time.Time // when it did it
	uses  []use
	trust []change
	moves []move
}

// use is one of a quota.
type use struct {
	contract, name string
	limit          float64
	warn           []float64
}

type change struct {
	who         string
	set         bool
	amount      *big.Rat
	least, most *big.Rat
}

type move struct {
	flow, key, from, to string
	began               bool // from nothing
}

// decision is a decision in the making, or that of a shadow within it.
type decision struct {
	t       *Timeline
	s       Span
	r       Result
	h       happened
	shadows []shadow
}

// shadow is the decision that a contract would have made of its shadows.
type shadow struct {
	contract string
	*decision
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
	d := t.decision(s)
	d.all()
	for _, sh := range d.shadows {
		if len(sh.r.Ran)+len(sh.r.Effects.Errors) > 0 {
			d.r.Effects.Shadow = append(d.r.Effects.Shadow, Shadow{sh.contract, sh.r.Verdict, sh.r.Ran, sh.r.Effects.Errors})
		}
	}
	switch d.r.Verdict {
	case "allow", "simulate":
		d.r.Effects.Quotas, d.r.Effects.Trust = t.reckon(d.h)
		if d.r.Verdict == "allow" {
			t.past = append(t.past, d.h)
		}
	case "pending":
		if t.waiting == nil {
			t.waiting = map[string]happened{}
		}
		t.waiting[s.ID] = d.h
		fallthrough
	default:
		d.r.Moves = nil
	}
	return d.r
}

func (t *Timeline) decision(s Span) *decision {
	return &decision{t: t, s: s, h: happened{Span: s, at: s.At}, r: Result{Verdict: "allow"}}
}

// Approve lets a waiting span happen, unless its workflow has moved; it says
// whether it did, and what came of it.
func (t *Timeline) Approve(id string, at time.Time) (bool, Effects) {
	h, ok := t.waiting[id]
	delete(t.waiting, id)
	if !ok {
		return false, Effects{}
	}
	seen := map[[2]string]bool{}
	for _, m := range h.moves {
		if instance := [2]string{m.flow, m.key}; !seen[instance] {
			seen[instance] = true
			if now := t.State(m.flow, m.key); m.began && now != "" || !m.began && now != m.from {
				return false, Effects{}
			}
		}
	}
	h.at = at
	var e Effects
	e.Quotas, e.Trust = t.reckon(h)
	t.past = append(t.past, h)
	return true, e
}

// reckon gives the numbers after something that is about to happen.
func (t *Timeline) reckon(h happened) (quotas []Use, trust []Score) {
	for _, u := range h.uses {
		i := slices.IndexFunc(quotas, func(q Use) bool { return q.Contract == u.contract && q.Name == u.name })
		if i < 0 {
			i = len(quotas)
			quotas = append(quotas, Use{Contract: u.contract, Name: u.name, Used: t.used(u, h.Author, h.at)})
		}
		q := &quotas[i]
		q.Used++
		for _, share := range u.warn {
			if q.Used-1 < share*u.limit && q.Used >= share*u.limit {
				q.Warn = max(q.Warn, share)
			}
		}
	}
	for n, c := range h.trust {
		before, after := happened{trust: h.trust[:n]}, happened{trust: h.trust[:n+1]}
		was, is := t.trust(c.who, before), t.trust(c.who, after)
		i := slices.IndexFunc(trust, func(s Score) bool { return s.Who == c.who })
		if i < 0 {
			i = len(trust)
			trust = append(trust, Score{Who: c.who})
		}
		trust[i].Score = is
		trust[i].Rose = trust[i].Rose || is > was
	}
	return quotas, trust
}

// used is how often a quota was used in the hour.
func (t *Timeline) used(q use, who string, at time.Time) (n float64) {
	for _, h := range t.past {
		for _, u := range h.uses {
			if u.contract == q.contract && u.name == q.name && h.Author == who && hour(h.at) == hour(at) {
				n++
			}
		}
	}
	return n
}

// State is where an instance is, "" where there is none.
func (t *Timeline) State(flow, key string) string {
	state, _ := t.entered(flow, key)
	return state
}

// entered is where an instance is, and since when.
func (t *Timeline) entered(flow, key string) (state string, at time.Time) {
	for _, h := range t.past {
		for _, m := range h.moves {
			if m.flow == flow && m.key == key {
				state, at = m.to, h.at
			}
		}
	}
	return state, at
}

// Trust is somebody's score.
func (t *Timeline) Trust(who string) float64 { return t.trust(who) }

func (t *Timeline) trust(who string, more ...happened) float64 {
	score := new(big.Rat)
	for _, h := range slices.Concat(t.past, more) {
		for _, c := range h.trust {
			if c.who != who {
				continue
			}
			if c.set {
				score.SetInt64(0)
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
		if c.permits(d.s) {
			continue
		}
		id := c.Name + "/permit"
		if !c.Shadow {
			d.reject(id, "")
			return
		}
		sh := d.shadow(c)
		sh.reject(id, "")
		sh.r.Ran = []string{id}
	}
	if d.rules(list); d.r.Verdict == "reject" {
		return
	}
	for _, c := range list {
		if c.Flow != nil && !c.Shadow {
			if d.flow(c, c.Flow); d.r.Verdict == "reject" {
				return
			}
		}
	}
	for _, c := range list {
		for _, a := range c.Trust {
			if !c.Shadow && matches(a.On, d.s.Type) {
				d.h.trust = append(d.h.trust, c.change(d.s.Author, a.Amount, false))
			}
		}
	}
}

func (c Contract) change(who string, amount float64, set bool) change {
	return change{who, set, exact(amount), exact(c.Least), exact(c.Most)}
}

// shadow is the decision that a contract's shadows would have made.
func (d *decision) shadow(c Contract) *decision {
	for _, sh := range d.shadows {
		if sh.contract == c.Name {
			return sh.decision
		}
	}
	d.shadows = append(d.shadows, shadow{c.Name, d.t.decision(d.s)})
	return d.shadows[len(d.shadows)-1].decision
}

func (d *decision) reject(by, why string) {
	if d.r.Verdict != "reject" {
		d.r.By, d.r.Why = by, why
	}
	d.r.Verdict = "reject"
}

// failed notes what could not be evaluated, and refuses the span where that
// must not let it through.
func (d *decision) failed(id string, a answer, refuses bool) {
	if note := id + " " + a.name(); !slices.Contains(d.r.Effects.Errors, note) {
		d.r.Effects.Errors = append(d.r.Effects.Errors, note)
	}
	if refuses {
		d.reject(id, "")
	}
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
			if !r.Off && slices.ContainsFunc(r.On, func(p string) bool { return matches(p, d.s.Type) }) {
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
		if b.r.Shadow || b.c.Shadow {
			if sh := d.shadow(b.c); sh.r.Verdict != "reject" {
				sh.rule(b.c, b.r)
			}
			continue
		}
		if d.r.Verdict != "reject" { // shadows are asked all the same
			d.rule(b.c, b.r)
		}
	}
}

func (d *decision) rule(c Contract, r Rule) {
	id := c.Name + "/" + r.Name
	holds := yes
	if r.When != nil {
		holds = d.ask(c, r.When, time.Time{})
	}
	list, ran := r.Then, id
	switch holds {
	case no:
		list, ran = r.Else, id+"/else"
	case missing, wrong:
		if r.refuses() {
			d.ran(id)
		}
		if holds == wrong || r.refuses() {
			d.failed(id, holds, r.refuses())
		}
		return
	}
	if len(list) > 0 {
		d.ran(ran)
		d.acts(c, id, list, r.refuses())
	}
}

func (d *decision) ran(what string) {
	if !slices.Contains(d.r.Ran, what) {
		d.r.Ran = append(d.r.Ran, what)
	}
}

// refuses says that the rule fails closed.
func (r Rule) refuses() bool {
	switch r.OnError {
	case "skip":
		return false
	case "reject":
		return true
	}
	return slices.ContainsFunc(slices.Concat(r.Then, r.Else), func(a Act) bool { return slices.Contains([]string{"reject", "simulate", "approve", "quota"}, a.Kind) })
}

func (d *decision) raise(v string) {
	order := []string{"allow", "pending", "simulate", "reject"}
	if slices.Index(order, v) > slices.Index(order, d.r.Verdict) {
		d.r.Verdict = v
	}
}

// acts does what a rule or a workflow says; refuses is what becomes of the span
// where that cannot be evaluated.
func (d *decision) acts(c Contract, id string, list []Act, refuses bool) {
	for _, a := range list {
		switch a.Kind {
		case "tag":
			if !slices.Contains(d.r.Tags, a.Name) {
				d.r.Tags = append(d.r.Tags, a.Name)
			}
		case "reject":
			d.reject(id, a.Name)
		case "simulate":
			d.raise("simulate")
		case "approve":
			d.raise("pending")
		case "trust", "score":
			d.h.trust = append(d.h.trust, c.change(d.s.Author, a.N, a.Kind == "score"))
		case "quota":
			d.consume(c, id, a, refuses)
		case "move":
			d.transition(c, id, a.Name, refuses)
		}
		if d.r.Verdict == "reject" {
			return
		}
	}
}

func (d *decision) consume(c Contract, id string, a Act, refuses bool) {
	u := use{c.Name, a.Name, a.N, a.Warn}
	used := d.t.used(u, d.s.Author, d.s.At)
	for _, before := range d.h.uses {
		if before.contract == u.contract && before.name == u.name {
			used++
		}
	}
	if used+1 > a.N {
		if len(a.Exceeded) == 0 {
			d.reject(id, "")
			return
		}
		if d.acts(c, id, a.Exceeded, refuses); d.r.Verdict == "reject" {
			return
		}
	}
	d.h.uses = append(d.h.uses, u)
}

// hour numbers the hours: quotas here have windows of one.
func hour(t time.Time) int64 { return t.Unix() / 3600 }

// exact is the number that people wrote.
func exact(f float64) *big.Rat {
	r, _ := new(big.Rat).SetString(number(f))
	return r
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
