package backtest

import (
	"context"
	"strings"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/standing"
)

// rows is decision state in memory.
type rows struct{ m sortedmap.Map[[]byte] }

var _ rules.State = (*rows)(nil)

func (r *rows) Get(_ context.Context, key string) ([]byte, bool, error) {
	v, ok := r.m.Get(key)
	return v, ok, nil
}

func (r *rows) Floor(_ context.Context, prefix, key string) (standing.Row, bool, error) {
	if v, ok := r.m.Get(key); ok && strings.HasPrefix(key, prefix) {
		return standing.Row{Key: key, Value: v}, true, nil
	}
	if !strings.HasPrefix(key, prefix) && key > prefix {
		key = prefix + "\xff" // above all that begin so: keys are UTF-8
	}
	for k, v := range r.m.Below(key) {
		if !strings.HasPrefix(k, prefix) {
			break
		}
		return standing.Row{Key: k, Value: v}, true, nil
	}
	return standing.Row{}, false, nil
}

func (r *rows) Range(_ context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	var out []standing.Row
	for k, v := range r.m.From(max(prefix, after)) {
		if len(out) == limit || !strings.HasPrefix(k, prefix) {
			break
		}
		if k != after {
			out = append(out, standing.Row{Key: k, Value: v})
		}
	}
	return out, nil
}

// apply puts what an entry has changed.
func (r *rows) apply(changes []standing.Row) {
	for _, c := range changes {
		if c.Value == nil {
			r.m.Delete(c.Key)
		} else {
			r.m.Set(c.Key, c.Value)
		}
	}
}
