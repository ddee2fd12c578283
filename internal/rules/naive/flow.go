package naive

import (
	"slices"
	"strings"
	"time"
)

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
	key, fails := d.key()
	if fails != no {
		if asks {
			d.failed(id, fails, true)
		}
		return
	}
	state, since := d.where(id, key)
	began := state == ""
	if began {
		if !starts {
			d.reject(id, "")
			return
		}
		state, since = f.States[0], d.s.At
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
		if s.Guard != nil {
			holds := d.ask(c, s.Guard, since)
			if holds > yes {
				d.failed(id, holds, true)
				return
			}
			if holds == no {
				refused = true
				continue
			}
		}
		d.move(c, id, move{id, key, state, s.To, began}, s.Then, true)
		return
	}
	switch {
	case refused:
		d.reject(id, "")
	case asks:
		d.reject(id, f.forbids(state, d.s.Type))
	case began:
		d.enter(c, id, move{id, key, state, state, began}, true)
	}
}

// forbids is the reason against the first step that the type asks for.
func (f *Flow) forbids(state, typ string) string {
	for _, s := range f.Steps {
		if matches(s.On, typ) {
			return f.forbidden(state, s.To)
		}
	}
	return ""
}

func (f *Flow) forbidden(from, to string) string {
	for _, x := range f.Forbidden {
		if x.From == from && x.To == to {
			return x.Why
		}
	}
	return ""
}

// key is that of the instance which the span means.
func (d *decision) key() (string, answer) {
	id, ok := d.s.Data["id"]
	if !ok {
		return "", missing
	}
	key, ok := id.(string)
	if !ok {
		return "", wrong
	}
	return key, no
}

// where is an instance as this decision has it so far.
func (d *decision) where(flow, key string) (string, time.Time) {
	for _, m := range slices.Backward(d.h.moves) {
		if m.flow == flow && m.key == key {
			return m.to, d.s.At
		}
	}
	return d.t.entered(flow, key)
}

// move leaves a state, does what the step does, and enters the other.
func (d *decision) move(c Contract, by string, m move, then []Act, refuses bool) {
	if d.note(by, m); d.act(c, by, c.Flow.Exit[m.from], refuses) && d.act(c, by, then, refuses) {
		d.act(c, by, c.Flow.Enter[m.to], refuses)
	}
}

// enter begins an instance.
func (d *decision) enter(c Contract, by string, m move, refuses bool) {
	d.note(by, m)
	d.act(c, by, c.Flow.Enter[m.to], refuses)
}

func (d *decision) note(by string, m move) {
	d.h.moves = append(d.h.moves, m)
	d.r.Moves = append(d.r.Moves, [3]string{m.key, m.from, m.to})
	d.ran(by)
}

func (d *decision) act(c Contract, by string, list []Act, refuses bool) bool {
	d.acts(c, by, list, refuses)
	return d.r.Verdict != "reject"
}

// transition is the action of a rule that moves the contract's workflow.
func (d *decision) transition(c Contract, by, to string, refuses bool) {
	key, fails := d.key()
	if fails != no {
		d.failed(by, fails, refuses)
		return
	}
	id := c.Name + "/" + c.Flow.Name
	state, _ := d.where(id, key)
	began := state == ""
	if began {
		state = c.Flow.States[0]
	}
	switch why := c.Flow.forbidden(state, to); {
	case state == to && began:
		d.enter(c, by, move{id, key, state, to, began}, refuses)
	case state == to:
	case why != "":
		d.reject(by, why)
	default:
		d.move(c, by, move{id, key, state, to, began}, nil, refuses)
	}
}
