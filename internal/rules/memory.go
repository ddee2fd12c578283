package rules

import (
	"context"
	"strings"

	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/standing"
)

// Memory is a decision state that is nowhere else: of a trial, of a backtest. The
// zero value is that of a timeline that has none. It is for one goroutine.
type Memory struct{ rows sortedmap.Map[[]byte] }

var _ State = (*Memory)(nil)

// Get implements State.
func (m *Memory) Get(_ context.Context, key string) ([]byte, bool, error) {
	v, ok := m.rows.Get(key)
	return v, ok, nil
}

// Floor implements State.
func (m *Memory) Floor(_ context.Context, prefix, key string) (standing.Row, bool, error) {
	if v, ok := m.rows.Get(key); ok && strings.HasPrefix(key, prefix) {
		return standing.Row{Key: key, Value: v}, true, nil
	}
	if !strings.HasPrefix(key, prefix) && key > prefix {
		key = prefix + "\xff" // above all that begin so: keys are UTF-8
	}
	for k, v := range m.rows.Below(key) {
		if !strings.HasPrefix(k, prefix) {
			break
		}
		return standing.Row{Key: k, Value: v}, true, nil
	}
	return standing.Row{}, false, nil
}

// Range implements State.
func (m *Memory) Range(_ context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	var out []standing.Row
	for k, v := range m.rows.From(max(prefix, after)) {
		if len(out) == limit || !strings.HasPrefix(k, prefix) {
			break
		}
		if k != after {
			out = append(out, standing.Row{Key: k, Value: v})
		}
	}
	return out, nil
}

// Apply puts what Fold says that an entry changes.
func (m *Memory) Apply(changes []standing.Row) {
	for _, c := range changes {
		if c.Value == nil {
			m.rows.Delete(c.Key)
		} else {
			m.rows.Set(c.Key, c.Value)
		}
	}
}

// Clone is a state of its own that holds the same rows.
func (m *Memory) Clone() *Memory {
	out := &Memory{}
	for k, v := range m.rows.From("") {
		out.rows.Set(k, v)
	}
	return out
}
