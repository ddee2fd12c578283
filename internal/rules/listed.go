package rules

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/danvoulez/logline/internal/span"
)

// Effect is one thing that a decision leads to, for those who want to know before
// it happens. Which members there are depends on Kind.
type Effect struct {
	Kind string `json:"kind"`
	// Waits: it happens once the span has its votes.
	Waits bool   `json:"waits,omitzero"`
	Rule  string `json:"rule,omitempty"` // contract/rule that asks for it
	// Name is that of a workflow (contract/workflow), a quota (contract/quota), a type
	// that is emitted, a webhook, a task, a schedule or a number that is counted.
	Name string `json:"name,omitempty"`
	Key  string `json:"key,omitempty"`  // of an instance or a quota
	From string `json:"from,omitempty"` // state
	To   string `json:"to,omitempty"`
	// Identity whose score moves: to Score, or, where it waits, by Add or to Score.
	Identity string   `json:"identity,omitempty"`
	Score    *float64 `json:"score,omitempty"`
	Add      *float64 `json:"add,omitempty"`
	// Used of Limit in the Window of a quota that began then.
	Used   *int64   `json:"used,omitempty"`
	Limit  *float64 `json:"limit,omitempty"`
	Window string   `json:"window,omitempty"`
	// Voters, and the Count of their weights that is needed before Due.
	Voters  []string           `json:"voters,omitempty"`
	Count   float64            `json:"count,omitzero"`
	Weights map[string]float64 `json:"weights,omitempty"`
	Due     string             `json:"due,omitempty"`
	// Contract is the version that a task is pinned to.
	Contract string `json:"contract,omitempty"`
	// Span that is undone, settled or voted on.
	Span string `json:"span,omitempty"`
	// Body is what is emitted or called with, as the detail has it.
	Body json.RawMessage `json:"body,omitempty"`
	// Number that is added to what contracts count and sum.
	Number *float64 `json:"number,omitempty"`
}

// Kinds of effects, beside those of actions.
const (
	EffectTransition = "transition"
	EffectTimeout    = "timeout" // a step that time will take
	EffectTrust      = "trust"
	EffectQuota      = "quota"
	EffectApproval   = "approval"
	EffectVote       = "vote"
	EffectSettle     = "settle" // a pending span
	EffectUndo       = "undo"
	EffectRetain     = "retain" // until Due
	EffectCount      = "count"
	EffectRun        = "run" // of a schedule
)

// Effects lists all that an outcome leads to: what happens with it, then what waits
// for votes.
func (o *Outcome) Effects() ([]Effect, error) {
	if o.Verdict == Reject {
		return nil, nil
	}
	eff, err := decodeEffects(o.Decision.Effects)
	if err != nil {
		return nil, err
	}
	values, err := decodeValues(o.Decision.Values)
	if err != nil {
		return nil, err
	}
	l := &listing{}
	if o.Detail != nil && o.Detail.Actions != nil {
		if err := json.Unmarshal(o.Detail.Actions, &l.bodies); err != nil {
			return nil, errLine.Because(err)
		}
	}
	if eff.Undoes != "" {
		l.add(Effect{Kind: EffectUndo, Span: eff.Undoes})
	}
	if eff.Vote != nil {
		l.add(Effect{Kind: EffectVote, Span: eff.Vote.Span})
	}
	for _, s := range o.Settle {
		l.add(Effect{Kind: EffectSettle, Span: s.Span})
	}
	l.transitions(o.Decision.Transitions)
	for _, in := range eff.Instances {
		for _, t := range in.Timers {
			l.add(Effect{Kind: EffectTimeout, Name: in.Workflow, Key: in.Key, To: t.To, Due: t.Due})
		}
	}
	for _, t := range eff.Trust {
		l.add(Effect{Kind: EffectTrust, Identity: t.Identity, Score: &t.Score})
	}
	for _, q := range eff.Quotas {
		l.add(Effect{Kind: EffectQuota, Name: q.Contract + "/" + q.Name, Key: q.Key, Used: &q.Used, Limit: &q.Limit, Window: q.Window})
	}
	for _, q := range eff.Asks {
		l.add(Effect{Kind: EffectApproval, Rule: q.Rule, Voters: q.From, Count: q.Count, Weights: q.Weights, Due: q.Deadline})
	}
	for _, s := range eff.Schedules {
		l.add(Effect{Kind: EffectRun, Name: s.Schedule, Due: s.Due})
	}
	l.actions(eff.Actions)
	if eff.Retain != "" {
		l.add(Effect{Kind: EffectRetain, Due: eff.Retain})
	}
	l.values(values)
	if eff.Held != nil {
		l.waits = true
		l.held(eff.Held)
	}
	return l.out, nil
}

type listing struct {
	out    []Effect
	bodies map[string]json.RawMessage
	waits  bool
}

func (l *listing) add(e Effect) {
	e.Waits = l.waits
	l.out = append(l.out, e)
}

func (l *listing) transitions(list []span.Transition) {
	for _, t := range list {
		l.add(Effect{Kind: EffectTransition, Name: t.Workflow, Key: t.Key, From: t.From, To: t.To})
	}
}

func (l *listing) actions(list []actionEffect) {
	for _, a := range list {
		e := Effect{Kind: a.Kind, Name: a.Name, Rule: a.Rule, Due: a.Due, Contract: a.Contract, Span: a.Of}
		if a.Of == "" {
			e.Body = l.bodies[strconv.Itoa(a.Index)]
		}
		l.add(e)
	}
}

func (l *listing) values(values map[string]float64) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		n := values[name]
		l.add(Effect{Kind: EffectCount, Name: name, Number: &n})
	}
}

// held is what happens once there are the votes.
func (l *listing) held(h *held) {
	if h.Undoes != "" {
		l.add(Effect{Kind: EffectUndo, Span: h.Undoes})
	}
	l.transitions(h.Transitions)
	for _, t := range h.Trust {
		e := Effect{Kind: EffectTrust, Identity: t.Identity}
		if t.Set {
			e.Score = &t.Amount
		} else {
			e.Add = &t.Amount
		}
		l.add(e)
	}
	for _, q := range h.Quotas {
		l.add(Effect{Kind: EffectQuota, Name: q.Contract + "/" + q.Name, Key: q.Key, Limit: &q.Limit})
	}
	l.actions(h.Actions)
	if h.Retain != "" {
		l.add(Effect{Kind: EffectRetain, Due: h.Retain})
	}
	l.values(h.Values)
}
