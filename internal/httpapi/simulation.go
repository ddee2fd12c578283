package httpapi

import (
	"encoding/json"

	"github.com/danvoulez/logline/internal/engine"
	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/span"
)

// appendSimulation appends the members of a simulated span's answer, without
// the braces around them: what would have happened.
func appendSimulation(dst []byte, r *engine.Result) []byte {
	dst = append(dst, `"simulated":true,"decision":`...)
	dst = r.Decision.AppendCanonical(dst)
	o := r.Foresight
	if o == nil {
		return dst
	}
	if refusal := o.Refusal; refusal != nil {
		dst = append(dst, `,"refusal":{"contract":`...)
		dst = span.AppendString(dst, refusal.Contract)
		dst = append(dst, `,"rule":`...)
		dst = span.AppendString(dst, refusal.Rule)
		dst = append(dst, `,"reason":`...)
		dst = span.AppendString(dst, refusal.Reason)
		dst = append(dst, '}')
	}
	dst = appendNames(dst, `,"emitted":[`, o.Emitted)
	dst = appendNames(dst, `,"called":[`, o.Called)
	dst = appendNames(dst, `,"scheduled":[`, o.Scheduled)
	dst = appendTrace(dst, o.Trace)
	if effects, err := effectViews(o, "", "", ""); err == nil && len(effects) > 0 {
		if list, err := json.Marshal(effects); err == nil {
			dst = append(append(dst, `,"effects":`...), list...)
		}
	}
	if o.Detail != nil {
		dst = append(dst, `,"detail":`...)
		dst = append(dst, o.Detail.Canonical()...) // it has no salt yet, and needs none
	}
	return dst
}

func appendNames(dst []byte, member string, names []string) []byte {
	if len(names) == 0 {
		return dst
	}
	dst = append(dst, member...)
	for i, name := range names {
		dst = appendComma(dst, i)
		dst = span.AppendString(dst, name)
	}
	return append(dst, ']')
}

func appendTrace(dst []byte, steps []rules.Step) []byte {
	if len(steps) == 0 {
		return dst
	}
	dst = append(dst, `,"trace":[`...)
	for i, step := range steps {
		dst = appendComma(dst, i)
		dst = append(dst, `{"rule":`...)
		dst = span.AppendString(dst, step.Rule)
		dst = append(dst, `,"branch":`...)
		dst = span.AppendString(dst, step.Branch)
		if step.Shadow {
			dst = append(dst, `,"shadow":true`...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
