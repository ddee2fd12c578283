package timeline

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/standing"
)

// folded is decision rows in memory: what a Refold has made of the entries so
// far.
type folded struct {
	rowsByKey sortedmap.Map[[]byte] // by stored key
	touched   map[string]bool       // since they were asked for last: whether the row was there then
}

// put takes in what an entry changes.
func (f *folded) put(rows []standing.Row) {
	for _, r := range rows {
		key := DecisionRows + r.Key
		was, touched := f.touched[key]
		if !touched {
			_, was = f.rowsByKey.Get(key)
			f.touched[key] = was
		}
		if r.Value != nil {
			f.rowsByKey.Set(key, bytes.Clone(r.Value))
			continue
		}
		f.rowsByKey.Delete(key)
		if !was { // it came and went
			delete(f.touched, key)
		}
	}
}

var _ rowBase = (*folded)(nil)

func (f *folded) get(_ context.Context, key string) ([]byte, error) {
	value, _ := f.rowsByKey.Get(key)
	return value, nil
}

func (f *folded) rows(_ context.Context, a Ask) ([]standing.Row, error) {
	return a.Of(&f.rowsByKey), nil
}

// changed are the rows that changed since it was asked last.
func (f *folded) changed() (out []standing.Row) {
	for _, key := range slices.Sorted(maps.Keys(f.touched)) {
		value, _ := f.rowsByKey.Get(key)
		out = append(out, standing.Row{Key: key, Value: value})
	}
	clear(f.touched)
	return out
}

// all are all rows.
func (f *folded) all() (out []standing.Row) {
	for key, value := range f.rowsByKey.From("") {
		out = append(out, standing.Row{Key: key, Value: value})
	}
	return out
}
