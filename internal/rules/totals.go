package rules

import (
	"context"
	"time"

	"github.com/danvoulez/logline/internal/rules/contract"
	"github.com/danvoulez/logline/internal/rules/expr"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// Running totals answer what contracts count and sum: one row for each span that
// adds, and a window is the last row less the last one before it began. Rows that
// no window reaches are deleted. How far windows reach is told by the entries that
// activate contracts, and only ever grows, so that folding remains a function of
// the lines alone. A longer window of a later contract sees what is left, as a new
// question does that nobody has asked before.
const (
	// pruneEvery is after how many spans of one row of totals it is looked for
	// what can go, and pruneAtOnce how many rows go then: more than have come.
	pruneEvery  = 32
	pruneAtOnce = 64
)

// sums adds to the running totals of the author and the subject.
func (f *folder) sums(values map[string]float64, author, subject string) error {
	for id, v := range values {
		byAuthor, bySubject := contract.AggregateDims(id)
		path := sumPath(id, author, subject, byAuthor, bySubject)
		t, _, err := totalAt(f.ctx, f.State, path, above(path))
		if err != nil {
			return err
		}
		r := sumRow{Count: t.count + 1, Sum: t.sum.plus(decimalOf(v)).String()}
		f.put(row(sumKey(path, f.e.RecordedAt, f.e.Seq), r))
		if r.Count%pruneEvery != 0 {
			continue
		}
		if err := f.prune(id, path); err != nil {
			return err
		}
	}
	return nil
}

// prune deletes the oldest rows before the one that the longest window which ends
// now is reckoned from.
func (f *folder) prune(id, path string) error {
	var w windowRow
	ok, err := load(f.ctx, &f.overlay, windowKey(id), &w)
	if err != nil || !ok || w.Longest == unbounded {
		return err
	}
	begins := instant(f.e.RecordedAt).Add(-time.Duration(w.Longest) * time.Millisecond)
	base, ok, err := f.State.Floor(f.ctx, path, above(path+span.FormatTime(begins)))
	if err != nil || !ok {
		return failed(err)
	}
	rows, err := f.State.Range(f.ctx, path, "", pruneAtOnce)
	if err != nil {
		return failed(err)
	}
	for _, r := range rows {
		if r.Key >= base.Key {
			break
		}
		f.delete(r.Key)
	}
	return nil
}

// widen notes windows that are longer than any before.
func (f *folder) widen(windows map[string]int64) error {
	for id, longest := range windows {
		var w windowRow
		known, err := load(f.ctx, &f.overlay, windowKey(id), &w)
		if err != nil {
			return err
		}
		if known && (w.Longest == unbounded || longest != unbounded && longest <= w.Longest) {
			continue
		}
		f.put(row(windowKey(id), windowRow{longest}))
	}
	return nil
}

// Aggregate is a count or a sum of what the lines before this one hold. It
// counts from the position where a contract in force first asked for it, and not
// further back than contracts have looked at it since.
func (f *facts) Aggregate(a *expr.Aggregate, args expr.Args) (float64, error) {
	path := sumPath(contract.AggregateID(a), args.By, args.Subject, a.ByAuthor, a.BySubject)
	last, _, err := totalAt(f.ctx, f.w.State, path, above(path))
	if err != nil {
		return 0, err
	}
	if a.Windowed {
		before, ok, err := totalAt(f.ctx, f.w.State, path, above(path+span.FormatTime(f.now.Add(-args.Within))))
		if err == nil && !ok && last.count >= pruneEvery {
			before, err = f.oldest(path)
		}
		if err != nil {
			return 0, err
		}
		last.count -= before.count
		last.sum = last.sum.minus(before.sum)
	}
	if a.Op == expr.Count {
		return float64(last.count), nil
	}
	return last.sum.float(), nil
}

// total is a running count and sum.
type total struct {
	count int64
	sum   decimal
}

// totalAt is the running total up to a key; false where nothing is left of what
// stood there.
func totalAt(ctx context.Context, s State, path, key string) (total, bool, error) {
	found, ok, err := s.Floor(ctx, path, key)
	if err != nil || !ok {
		return total{sum: decimalOf(0)}, false, failed(err)
	}
	t, err := totalOf(found)
	return t, true, err
}

// oldest is what a window is reckoned from that began before all that is left:
// the first row, where something before it was deleted, else nothing.
func (f *facts) oldest(path string) (total, error) {
	rows, err := f.w.State.Range(f.ctx, path, "", 1)
	if err != nil || len(rows) == 0 {
		return total{sum: decimalOf(0)}, failed(err)
	}
	t, err := totalOf(rows[0])
	if err == nil && t.count == 1 {
		return total{sum: decimalOf(0)}, nil
	}
	return t, err
}

func totalOf(found standing.Row) (t total, err error) {
	var r sumRow
	if err := decodeRow(found.Key, found.Value, &r); err != nil {
		return t, err
	}
	t.count = r.Count
	t.sum, err = parseDecimal(r.Sum)
	return t, err
}

// failed is unavailable where there is an error.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return unavailable(err)
}
