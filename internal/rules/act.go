package rules

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
)

// run does a list of actions. It ends early when the span is refused.
func (j *judge) run(list []contract.Action, o origin, s *sink) error {
	beside := slices.ContainsFunc(list, func(a contract.Action) bool {
		_, asks := a.(*contract.ApprovalAction)
		return asks
	})
	for _, a := range list {
		if err := j.do(a, o, s, beside); err != nil {
			if err = j.failed(err, o, s); err != nil {
				return err
			}
			s.flawed = true
		}
		if s.rejected() {
			return nil
		}
	}
	return nil
}

// failed judges an action or a condition that gave no value: it refuses the
// span, or is noted. An error of the state is handed on.
func (j *judge) failed(err error, o origin, s *sink) error {
	var e *expr.EvalError
	if !errors.As(err, &e) || e.Reason == expr.Unsupplied || e.Reason == expr.Defect {
		return cause(err)
	}
	if o.onError == contract.Reject {
		s.failed(o.rule, e.Reason)
		s.refuse(o, o.rule+" could not be evaluated: "+e.Message, o.rule+" could not be evaluated ("+e.Reason.String()+")")
		return nil
	}
	s.failed(o.rule, e.Reason)
	return nil
}

// cause is the state's own error where an expression met it.
func cause(err error) error {
	var e *expr.EvalError
	if errors.As(err, &e) {
		if inner := errors.Unwrap(e); inner != nil {
			return inner
		}
		return fault.New(fault.Internal, "evaluation_failed", "an expression could not be evaluated").Because(err)
	}
	return err
}

// mismatched is an error of evaluation that only the value shows.
func mismatched(message string) error {
	return &expr.EvalError{Reason: expr.Mismatch, Message: message}
}

func (j *judge) do(a contract.Action, o origin, s *sink, beside bool) error {
	switch a := a.(type) {
	case *contract.AllowAction:
	case *contract.RejectAction:
		s.refuse(o, j.text(a.Why), a.Kept)
	case *contract.SimulateAction:
		s.raise(Simulate)
		if a.Why != nil {
			s.reasons = append(s.reasons, j.text(a.Why))
		}
	case *contract.TagAction:
		s.tag(a.Tag)
	case *contract.NoteAction:
		s.notes = append(s.notes, j.text(a.Note))
	case *contract.AnnotateAction:
		return j.annotate(a, o, s)
	case *contract.EmitAction:
		return j.emit(a, o, s, beside)
	case *contract.CallAction:
		return j.call(a, o, s, beside)
	case *contract.TaskAction:
		return j.task(a, o, s, beside)
	case *contract.ApprovalAction:
		return j.ask(a, o, s)
	case *contract.TransitionAction:
		return j.move(a, o, s)
	case *contract.TrustAction:
		return j.trust(a, o, s)
	case *contract.QuotaAction:
		return j.consume(a, o, s)
	}
	return nil
}

// text renders a text. What has no value shows as such: a reason with a hole
// is still a reason.
func (j *judge) text(t *contract.Text) string {
	if t == nil {
		return ""
	}
	if t.Template == nil {
		return t.Plain
	}
	text, _ := t.Template.Render(j.input)
	return text
}

// annotate evaluates each member by itself, so that one that fails keeps none
// of the others back.
func (j *judge) annotate(a *contract.AnnotateAction, o origin, s *sink) error {
	for i := range a.Fields.Fields {
		f := &a.Fields.Fields[i]
		v, err := j.value(&f.Value)
		if err != nil {
			var e *expr.EvalError
			if !errors.As(err, &e) || e.Reason == expr.Unsupplied || e.Reason == expr.Defect {
				return err
			}
			s.failed(o.rule, e.Reason) // what people read refuses nothing
			continue
		}
		s.annotate(f.Name, v)
	}
	return nil
}

// value evaluates a value of an object.
func (j *judge) value(n *contract.Node) (expr.Value, error) {
	switch {
	case n.Program != nil:
		return n.Program.Eval(j.input)
	case n.Text != nil:
		return expr.StringValue(j.text(n.Text)), nil
	case n.IsList():
		items := make([]expr.Value, len(n.List))
		for i := range n.List {
			var err error
			if items[i], err = j.value(&n.List[i]); err != nil {
				return expr.Value{}, err
			}
		}
		return expr.ListValue(items...), nil
	}
	return j.object(n.Object)
}

func (j *judge) object(o *contract.Object) (expr.Value, error) {
	members := map[string]expr.Value{}
	if o != nil {
		for i := range o.Fields {
			v, err := j.value(&o.Fields[i].Value)
			if err != nil {
				return expr.Value{}, err
			}
			members[o.Fields[i].Name] = v
		}
	}
	return expr.MapValue(members), nil
}

// body is JCS of an object for the detail. A number that no payload may hold
// is an error of evaluation.
func (j *judge) body(members map[string]expr.Value) ([]byte, error) {
	b, err := canonicalValue(expr.MapValue(members))
	if err != nil {
		return nil, &expr.EvalError{Reason: expr.Undefined, Message: "the data have no JSON form that a span may have"}
	}
	return b, nil
}

func (j *judge) emit(a *contract.EmitAction, o origin, s *sink, beside bool) error {
	v, err := j.object(a.Body)
	if err != nil {
		return err
	}
	members := map[string]expr.Value{"type": expr.StringValue(a.Type)}
	for _, name := range v.Names() {
		member, _ := v.Member(name)
		switch name {
		case "data":
			if member.Type() != expr.Map {
				return mismatched("the data of an emitted span are an object, and this is " + member.Type().String())
			}
		case "visibility":
			switch text, _ := member.Str(); text {
			case span.VisibilityPrivate, span.VisibilityOrganization, span.VisibilityPublic:
			default:
				return mismatched("this is no visibility")
			}
		}
		members[name] = member
	}
	body, err := j.body(members)
	if err != nil {
		return err
	}
	s.act(actionEffect{Kind: ActionEmit, Name: a.Type, Rule: o.rule}, body, beside)
	return nil
}

func (j *judge) call(a *contract.CallAction, o origin, s *sink, beside bool) error {
	v, err := j.object(a.Body)
	if err != nil {
		return err
	}
	members := map[string]expr.Value{"webhook": expr.StringValue(a.Webhook), "body": v}
	for i := range o.contract.Webhooks {
		if w := &o.contract.Webhooks[i]; w.Name == a.Webhook {
			members["endpoint"] = expr.StringValue(w.Endpoint)
			if w.Timeout > 0 {
				members["timeout"] = expr.DurationValue(w.Timeout)
			}
		}
	}
	if a.Retry.Max > 0 {
		members["retries"] = expr.NumberValue(float64(a.Retry.Max))
	}
	if a.Retry.Backoff > 0 {
		members["backoff"] = expr.DurationValue(a.Retry.Backoff)
	}
	body, err := j.body(members)
	if err != nil {
		return err
	}
	s.act(actionEffect{Kind: ActionCall, Name: a.Webhook, Rule: o.rule}, body, beside)
	return nil
}

func (j *judge) task(a *contract.TaskAction, o origin, s *sink, beside bool) error {
	var due time.Time
	switch {
	case a.After != nil:
		v, err := a.After.Eval(j.input)
		if err != nil {
			return err
		}
		d, _ := v.Duration()
		due = j.now.Add(d)
	case a.At != nil:
		v, err := a.At.Eval(j.input)
		if err != nil {
			return err
		}
		due, _ = v.Time()
	default:
		var err error
		if due, err = j.cron(a.Cron, a.Timezone); err != nil {
			return err
		}
	}
	return j.schedule(a.Name, due, o, s, beside)
}

// cron is the next time that a cron line names.
func (j *judge) cron(line, zone string) (time.Time, error) {
	if j.w.NextCron == nil {
		return time.Time{}, &expr.EvalError{Reason: expr.Undefined, Message: "cron lines are not read here"}
	}
	due, err := j.w.NextCron(line, zone, j.now)
	if err != nil {
		return due, &expr.EvalError{Reason: expr.Undefined, Message: "the cron line names no time to come"}
	}
	return due, nil
}

// schedule puts a task into the line. What is due already is due now.
func (j *judge) schedule(name string, due time.Time, o origin, s *sink, beside bool) error {
	if due.Before(j.now) {
		due = j.now
	}
	if due.Year() > 9999 {
		return &expr.EvalError{Reason: expr.Undefined, Message: "the task would be due after the year 9999"}
	}
	s.act(actionEffect{Kind: ActionSchedule, Name: name, Rule: o.rule, Contract: o.contract.Ref(), Due: span.FormatTime(due)}, nil, beside)
	return nil
}

func (j *judge) ask(a *contract.ApprovalAction, o origin, s *sink) error {
	q := ask{Contract: o.contract.Ref(), Index: a.Index, Rule: o.rule, From: a.From, Count: a.Count, Distinct: a.Distinct, Weights: a.Weights}
	if a.Within != nil {
		v, err := a.Within.Eval(j.input)
		if err != nil {
			return err
		}
		d, _ := v.Duration()
		deadline := j.now.Add(d)
		if d <= 0 || deadline.Year() > 9999 {
			return &expr.EvalError{Reason: expr.Undefined, Message: "the time for votes must be above zero and end before the year 10000"}
		}
		q.Deadline = span.FormatTime(deadline)
	}
	s.asks = append(s.asks, q)
	s.raise(Pending)
	return nil
}

// trust notes a change of a score. The score itself is reckoned when it
// happens.
func (j *judge) trust(a *contract.TrustAction, o origin, s *sink) error {
	who, err := a.Who.Eval(j.input)
	if err != nil {
		return err
	}
	name, ok := who.Str()
	if i, is := who.Identity(); is {
		name, ok = i.ID, true
	}
	if !ok || !span.IsIdentity(name) {
		return mismatched("this is no identity whose trust could move")
	}
	v, err := a.Amount.Eval(j.input)
	if err != nil {
		return err
	}
	amount, _ := v.Number()
	if math.Abs(amount) > maxScore {
		return &expr.EvalError{Reason: expr.Undefined, Message: "the amount of trust is out of range"}
	}
	if a.Because != nil {
		s.reasons = append(s.reasons, j.text(a.Because))
	}
	least, most := j.trustRange(o.contract)
	s.trust = append(s.trust, heldTrust{Identity: name, Set: a.Set, Amount: amount, Min: least, Max: most})
	return nil
}

// maxScore is the greatest number that a line may hold.
const maxScore = 1<<53 - 1

// trustRange is that of the contract's table, or of the first table in force.
func (j *judge) trustRange(c *contract.Contract) (least, most float64) {
	if c != nil && c.Trust != nil {
		return c.Trust.Min, c.Trust.Max
	}
	for _, other := range j.w.contracts().Contracts() {
		if other.Mode == contract.Enforced && other.Trust != nil {
			return other.Trust.Min, other.Trust.Max
		}
	}
	return 0, 100
}

// maxUserKey bounds keys that contracts compute, in bytes.
const maxUserKey = 256

// keyText is the text of a key: a text, or a number as it is written.
func keyText(v expr.Value) (string, error) {
	text, ok := v.Str()
	if _, number := v.Number(); number {
		text, ok = v.String(), true
	}
	switch {
	case !ok:
		return "", mismatched("a key is a text or a number, and this is " + v.Type().String())
	case text == "" || len(text) > maxUserKey:
		return "", mismatched("a key has 1 to 256 bytes")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] == 0x7f {
			return "", mismatched("a key has no control characters")
		}
	}
	return text, nil
}

func (j *judge) consume(a *contract.QuotaAction, o origin, s *sink) error {
	v, err := a.Limit.Eval(j.input)
	if err != nil {
		return err
	}
	limit, _ := v.Number()
	if v, err = a.Key.Eval(j.input); err != nil {
		return err
	}
	key, err := keyText(v)
	if err != nil {
		return err
	}
	limit = min(max(limit, 0), maxScore)
	h := heldQuota{Contract: o.contract.Name, Name: a.Name, Key: key, Per: max(1, a.Per.Milliseconds()), Limit: limit, WarnAt: a.WarnAt}
	used, err := j.used(h)
	if err != nil {
		return err
	}
	for _, before := range s.quotas {
		if before.Contract == h.Contract && before.Name == h.Name && before.Key == h.Key {
			used++
		}
	}
	if float64(used+1) <= limit {
		s.quotas = append(s.quotas, h)
		return nil
	}
	if len(a.Exceeded) == 0 {
		s.reject(o, "the quota "+a.Name+" is used up")
		return nil
	}
	if err := j.run(a.Exceeded, o, s); err != nil || s.rejected() {
		return err
	}
	s.quotas = append(s.quotas, h)
	return nil
}

// window is when the window of a quota that now is in began. Windows are cut
// from the beginning of 1970, so that all of one length begin together.
func window(now time.Time, per int64) string {
	ms := now.UnixMilli()
	begin := ms - ms%per
	if ms < 0 && ms%per != 0 {
		begin -= per
	}
	return span.FormatTime(time.UnixMilli(begin))
}

// used is how much of a quota's window is used.
func (j *judge) used(h heldQuota) (int64, error) {
	var r quotaRow
	ok, err := load(j.ctx, j.w.State, quotaKey(h.Contract, h.Name, h.Key), &r)
	if err != nil || !ok || r.Window != window(j.now, h.Per) {
		return 0, err
	}
	return r.Used, nil
}
