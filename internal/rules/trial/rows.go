package trial

import (
	"context"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/rules"
	"github.com/danvoulez/logline/internal/standing"
)

// rows is decision state in memory: rows in the order of their keys.
type rows []standing.Row

var _ rules.State = (*rows)(nil)

// find is where a key stands, or would.
func (r rows) find(key string) (int, bool) {
	return slices.BinarySearchFunc(r, key, func(row standing.Row, key string) int { return strings.Compare(row.Key, key) })
}

func (r *rows) Get(_ context.Context, key string) ([]byte, bool, error) {
	i, ok := r.find(key)
	if !ok {
		return nil, false, nil
	}
	return (*r)[i].Value, true, nil
}

func (r *rows) Floor(_ context.Context, prefix, key string) (standing.Row, bool, error) {
	i, ok := r.find(key)
	if !ok {
		i--
	}
	if i < 0 || !strings.HasPrefix((*r)[i].Key, prefix) {
		return standing.Row{}, false, nil
	}
	return (*r)[i], true, nil
}

func (r *rows) Range(_ context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	i, found := r.find(max(prefix, after))
	if found && after >= prefix {
		i++
	}
	var out []standing.Row
	for ; i < len(*r) && len(out) < limit && strings.HasPrefix((*r)[i].Key, prefix); i++ {
		out = append(out, (*r)[i])
	}
	return out, nil
}

// apply puts what an entry has changed.
func (r *rows) apply(changes []standing.Row) {
	for _, c := range changes {
		i, ok := r.find(c.Key)
		switch {
		case c.Value == nil && ok:
			*r = slices.Delete(*r, i, i+1)
		case c.Value == nil:
		case ok:
			(*r)[i].Value = c.Value
		default:
			*r = slices.Insert(*r, i, c)
		}
	}
}
