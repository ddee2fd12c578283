package timeline

import (
	"cmp"
	"context"
	"slices"
)

// selectBy is Select for entries by the filter's author or one of others. Each is
// asked for by itself, along the index of authors, however few entries they have
// among all; no store needs to know of it. They are merged as far as all of them
// were looked through.
func (l *Log) selectBy(ctx context.Context, tenant string, f *Filter, others []string) (Selection, error) {
	if len(others) == 0 {
		return l.store.Select(ctx, tenant, f)
	}
	head, err := l.store.Head(ctx, tenant)
	if err != nil {
		return Selection{}, err
	}
	authors := slices.Compact(slices.Sorted(slices.Values(append([]string{f.Author}, others...))))
	one := *f
	one.To = min(f.To, head.Size) // what comes meanwhile would be seen of some and not of others
	one.Bytes = max(f.Bytes/len(authors), 1)
	var all Selection
	for _, one.Author = range authors {
		sel, err := l.store.Select(ctx, tenant, &one)
		if err != nil {
			return Selection{}, err
		}
		all.Records = append(all.Records, sel.Records...)
		if sel.More && (!all.More || f.order(sel.Resume, all.Resume) < 0) {
			all.More, all.Resume = true, sel.Resume
		}
	}
	slices.SortFunc(all.Records, func(a, b Record) int { return f.order(a.Seq, b.Seq) })
	if n := slices.IndexFunc(all.Records, func(r Record) bool { return all.More && f.order(r.Seq, all.Resume) >= 0 }); n >= 0 {
		all.Records = all.Records[:n]
	}
	if len(all.Records) > f.Limit {
		all.More, all.Resume = true, all.Records[f.Limit].Seq
		all.Records = all.Records[:f.Limit]
	}
	return all, nil
}

// order compares two positions in the filter's order.
func (f *Filter) order(a, b uint64) int {
	if f.Descending {
		a, b = b, a
	}
	return cmp.Compare(a, b)
}
