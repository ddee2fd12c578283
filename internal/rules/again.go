package rules

import (
	"context"
	"maps"
	"strings"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Answered is what an entry of the node's answers; at most one of its members is
// set.
type Answered struct {
	Settles string // the pending span that it settles
	Timer   string // the key of the timer that came due
}

// AnsweredBy is what the entry with this decision answers.
func AnsweredBy(d *span.Decision) (Answered, error) {
	eff, err := decodeEffects(d.Effects)
	if err != nil {
		return Answered{}, err
	}
	return Answered{eff.Settles, eff.Fired}, nil
}

// TimerOf is the timer of a key; false where it is not set.
func TimerOf(ctx context.Context, s State, key string) (Timer, bool, error) {
	if !strings.HasPrefix(key, timerPrefix) {
		return Timer{}, false, nil
	}
	value, ok, err := s.Get(ctx, key)
	if err != nil || !ok {
		return Timer{}, false, failed(err)
	}
	t, err := readTimer(ctx, s, standing.Row{Key: key, Value: value})
	return t, err == nil, err
}

// SourcesChange says of what Fold gave, before it is put into the state, that
// Sources may say something else afterwards.
func SourcesChange(ctx context.Context, s State, changes []standing.Row) (bool, error) {
	for _, c := range changes {
		if strings.HasPrefix(c.Key, contractPrefix) || strings.HasPrefix(c.Key, shadowPrefix) {
			return true, nil
		}
		if !strings.HasPrefix(c.Key, flightPrefix) {
			continue
		}
		_, there, err := s.Get(ctx, c.Key)
		if err != nil {
			return false, unavailable(err)
		}
		if there != (c.Value != nil) {
			return true, nil
		}
	}
	return false, nil
}

// Recount is a recorded decision that has, beside its own, the values that other
// contracts would have had counted and summed had they been in force. Whether all
// of them are known is false where the span's payload is gone and one is a sum.
func Recount(set *contract.Set, sp *span.Span, d span.Decision) (_ span.Decision, known bool, err error) {
	m := set.Match(sp.Type)
	if len(m.Aggregates) == 0 {
		return d, true, nil
	}
	j, s := &judge{sp: sp, match: m}, &sink{}
	if sp.Payload != nil {
		if j.facts.Data, err = expr.ParseData(sp.Payload); err != nil {
			return d, false, unavailable(err)
		}
	}
	j.count(s)
	known = sp.Payload != nil || len(s.values) == len(m.Aggregates)
	d, err = withValues(d, s.values)
	return d, known, err
}

// withValues puts values beside those that a decision has: now, or once the span
// that waits is executed.
func withValues(d span.Decision, more map[string]float64) (span.Decision, error) {
	if len(more) == 0 {
		return d, nil
	}
	eff, err := decodeEffects(d.Effects)
	if err != nil {
		return d, err
	}
	if d.Outcome == span.OutcomePending {
		if eff.Held == nil {
			eff.Held = &held{}
		}
		eff.Held.Values = together(eff.Held.Values, more)
		d.Effects, err = eff.encode()
		return d, err
	}
	values, err := decodeValues(d.Values)
	if err != nil {
		return d, err
	}
	return d, setValues(&d, together(values, more))
}

func together(a, b map[string]float64) map[string]float64 {
	out := maps.Clone(b)
	if out == nil {
		out = map[string]float64{}
	}
	maps.Copy(out, a)
	return out
}

// DueAt are the timers of a due time of the form of recorded_at, at most limit.
func DueAt(ctx context.Context, s State, due string, limit int) ([]Timer, error) {
	rows, err := s.Range(ctx, timerPrefix+due+"/", "", limit)
	if err != nil {
		return nil, unavailable(err)
	}
	out := make([]Timer, len(rows))
	for i, r := range rows {
		if out[i], err = readTimer(ctx, s, r); err != nil {
			return nil, err
		}
	}
	return out, nil
}
