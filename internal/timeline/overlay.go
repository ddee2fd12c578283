package timeline

import (
	"context"
	"sync"

	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/standing"
)

// rowBase is what an overlay lies on: the decision rows at one position, by the
// keys that they have in a store. Asks are not empty.
type rowBase interface {
	get(ctx context.Context, key string) ([]byte, error) // nil: none
	rows(ctx context.Context, a Ask) ([]standing.Row, error)
}

// overlay is decision rows and what the entries of a batch changed of them.
type overlay struct {
	base rowBase

	mu      sync.Mutex            // guards the rest, and the base
	changed sortedmap.Map[[]byte] // by stored key; nil: deleted
}

var _ DecisionState = (*overlay)(nil)

// put takes in what an entry changes.
func (o *overlay) put(rows []standing.Row) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range rows {
		o.changed.Set(DecisionRows+r.Key, r.Value)
	}
}

// changes are the rows that differ from the base, by stored key, in its order.
func (o *overlay) changes() []standing.Row {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed.Len() == 0 {
		return nil
	}
	out := make([]standing.Row, 0, o.changed.Len())
	for key, value := range o.changed.From("") {
		out = append(out, standing.Row{Key: key, Value: value})
	}
	return out
}

// Get implements DecisionState.
func (o *overlay) Get(ctx context.Context, key string) ([]byte, bool, error) {
	key = DecisionRows + key
	o.mu.Lock()
	defer o.mu.Unlock()
	value, ok := o.changed.Get(key)
	if !ok {
		var err error
		if value, err = o.base.get(ctx, key); err != nil {
			return nil, false, err
		}
	}
	return value, value != nil, nil
}

// Floor implements DecisionState.
func (o *overlay) Floor(ctx context.Context, prefix, key string) (standing.Row, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for a := askFloor(DecisionRows+prefix, DecisionRows+key); !a.empty(); {
		last, changed := o.last(&a)
		rows, err := o.base.rows(ctx, a)
		if err != nil {
			return standing.Row{}, false, err
		}
		if len(rows) > 0 && (!changed || rows[0].Key > last.Key) {
			return shown(rows[0]), true, nil
		}
		if !changed {
			break
		}
		if last.Value != nil {
			return shown(last), true, nil
		}
		a.High = last.Key // deleted: what stands before it
	}
	return standing.Row{}, false, nil
}

// last is the change of the greatest key that an ask takes in.
func (o *overlay) last(a *Ask) (standing.Row, bool) {
	for key, value := range o.changed.Below(a.High) {
		return standing.Row{Key: key, Value: value}, key >= a.Low
	}
	return standing.Row{}, false
}

// Range implements DecisionState.
func (o *overlay) Range(ctx context.Context, prefix, after string, limit int) (out []standing.Row, err error) {
	if after != "" {
		after = DecisionRows + after
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	limit = min(limit, MaxAsk)
	for a := askRange(DecisionRows+prefix, after, limit); !a.empty() && len(out) < limit; {
		rows, err := o.base.rows(ctx, a)
		if err != nil {
			return nil, err
		}
		a.Low = o.merge(&out, rows, a, limit)
		a.Limit = min(2*a.Limit, MaxAsk) // where this batch deleted many, they are passed in few steps
	}
	return out, nil
}

// merge adds to out, up to limit rows, what the base's answer to an ask and the
// changes make together, and says from where on more is to be asked for.
func (o *overlay) merge(out *[]standing.Row, rows []standing.Row, a Ask, limit int) (next string) {
	next = a.High
	if len(rows) == a.Limit {
		next = after(rows[len(rows)-1].Key)
	}
	take := func(r standing.Row) bool {
		*out = append(*out, shown(r))
		return len(*out) < limit
	}
	for key, value := range o.changed.From(a.Low) {
		if key >= next {
			break
		}
		for ; len(rows) > 0 && rows[0].Key < key; rows = rows[1:] {
			if !take(rows[0]) {
				return next
			}
		}
		if len(rows) > 0 && rows[0].Key == key {
			rows = rows[1:]
		}
		if value != nil && !take(standing.Row{Key: key, Value: value}) {
			return next
		}
	}
	for _, r := range rows {
		if !take(r) {
			break
		}
	}
	return next
}

// shown is a row by the key that decisions know it by.
func shown(r standing.Row) standing.Row {
	return standing.Row{Key: r.Key[len(DecisionRows):], Value: r.Value}
}
