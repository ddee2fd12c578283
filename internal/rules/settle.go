package rules

import (
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/span"
)

// effects turns what a span does into what the line says of it: scores, uses
// and timers as of this entry.
func (j *judge) effects(h *held, e *effects) error {
	e.Retain, e.Undoes = h.Retain, h.Undoes
	if err := j.scores(h.Trust, e); err != nil {
		return err
	}
	if err := j.uses(h.Quotas, e); err != nil {
		return err
	}
	return j.instances(h, e)
}

// scores moves scores one after the other.
func (j *judge) scores(changes []heldTrust, e *effects) error {
	for _, c := range changes {
		var r trustRow
		i := slices.IndexFunc(e.Trust, func(t trustEffect) bool { return t.Identity == c.Identity })
		if i >= 0 {
			r.Score = e.Trust[i].Score
		} else if _, err := load(j.ctx, j.w.State, trustKey(c.Identity), &r); err != nil {
			return err
		}
		score := c.Amount
		if !c.Set {
			score = decimalOf(r.Score).plus(decimalOf(c.Amount)).float()
		}
		score = min(max(score, c.Min), c.Max)
		if i < 0 {
			i = len(e.Trust)
			e.Trust = append(e.Trust, trustEffect{Identity: c.Identity})
		}
		e.Trust[i].Score = score
		e.Trust[i].Rose = e.Trust[i].Rose || score > r.Score
	}
	return nil
}

// uses counts against quotas.
func (j *judge) uses(list []heldQuota, e *effects) error {
	for _, h := range list {
		i := slices.IndexFunc(e.Quotas, func(q quotaEffect) bool {
			return q.Contract == h.Contract && q.Name == h.Name && q.Key == h.Key
		})
		if i < 0 {
			used, err := j.used(h)
			if err != nil {
				return err
			}
			i = len(e.Quotas)
			e.Quotas = append(e.Quotas, quotaEffect{Contract: h.Contract, Name: h.Name, Key: h.Key, Window: window(j.now, h.Per), Used: used, Limit: h.Limit})
		}
		q := &e.Quotas[i]
		before := float64(q.Used)
		q.Used++
		for _, share := range h.WarnAt {
			if at := share * h.Limit; before < at && float64(q.Used) >= at {
				q.Warn = max(q.Warn, share)
			}
		}
	}
	return nil
}

// instances says of each instance that moved which version it is pinned to and
// what time will do.
func (j *judge) instances(h *held, e *effects) error {
	for i, t := range h.Transitions {
		later := slices.ContainsFunc(h.Transitions[i+1:], func(u span.Transition) bool { return u.Workflow == t.Workflow && u.Key == t.Key })
		if later {
			continue
		}
		in := instanceEffect{Workflow: t.Workflow, Key: t.Key}
		for _, s := range h.Starts {
			if s.Workflow == t.Workflow && s.Key == t.Key {
				in.Contract = s.Contract
			}
		}
		ref := in.Contract
		if ref == "" {
			var err error
			if ref, err = j.pinned(workflowKey(t.Workflow, t.Key)); err != nil {
				return err
			}
		}
		if err := j.entered(ref, t, &in); err != nil {
			return err
		}
		if in.Contract != "" || in.Timers != nil || in.Over {
			e.Instances = append(e.Instances, in)
		}
	}
	return nil
}

// pinned is the version that an instance that was there before is pinned to.
func (j *judge) pinned(key string) (string, error) {
	if f := j.flows[key]; f != nil {
		return f.row.Contract, nil
	}
	var r workflowRow
	_, err := load(j.ctx, j.w.State, key, &r)
	return r.Contract, err
}

// entered says of the state just entered which steps time will take from it, and
// whether it is the end.
func (j *judge) entered(ref string, t span.Transition, in *instanceEffect) error {
	_, name, _ := strings.Cut(t.Workflow, "/")
	w, err := j.workflowOf(ref, name)
	if err != nil {
		return err
	}
	state := w.State(t.To)
	if state == nil {
		return nil
	}
	in.Over = state.Final
	for _, a := range state.After {
		if due := j.now.Add(a.Delay); due.Year() <= 9999 {
			in.Timers = append(in.Timers, timerEffect{Due: span.FormatTime(due), To: a.To})
		}
	}
	return nil
}

func cut(path string) (name, rest string, more bool) { return strings.Cut(path, ".") }
