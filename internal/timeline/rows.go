package timeline

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/sortedmap"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
)

// A timeline's state rows are of two kinds. Those of standing, few, are held by
// every process that appends. Those that decisions fold into (Folder), perhaps
// one for each entry, are read one by one: in a store their keys begin with
// DecisionRows, which no key of standing does and which sorts behind all of them.
const DecisionRows = "~"

// Bounds of a decision row. PostgreSQL indexes no text that is much longer.
const (
	MaxRowKey   = 2048     // bytes of a key, without DecisionRows
	MaxRowValue = 64 << 10 // bytes
)

// MaxAsk is how many rows one Ask can be answered with.
const MaxAsk = 1000

// Ask asks for the state rows whose keys are not below Low and below High, in
// the order of their keys' bytes, or the other way round, at most Limit of them
// (1 to MaxAsk). Low and High are texts as keys are: UTF-8 without NUL.
type Ask struct {
	Low, High  string
	Limit      int
	Descending bool
}

// Asked is the answer to several asks, as of one committed head.
type Asked struct {
	Size uint64
	Root span.Hash
	Rows [][]standing.Row // of each Ask
}

// RowReader reads single state rows.
type RowReader interface {
	// Rows answers all asks as of one committed head, with one question to the
	// medium; none at all is only the head.
	Rows(ctx context.Context, tenant string, asks []Ask) (Asked, error)
}

// after is the first text behind a key: no key holds a NUL.
func after(key string) string { return key + "\x01" }

// beyond is the first text behind all that begin with prefix, which is not
// empty.
func beyond(prefix string) string {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case last == utf8.MaxRune:
			continue // nothing stands behind it: what is before it is increased
		case last+1 == surrogates:
			last = surrogatesEnd
		default:
			last++
		}
		return prefix + string(last)
	}
	return ""
}

// The code points that UTF-8 leaves out.
const (
	surrogates    = 0xD800
	surrogatesEnd = 0xE000
)

// askKey asks for one row.
func askKey(key string) Ask { return Ask{Low: key, High: after(key), Limit: 1} }

// askFloor asks for the last row of a prefix that is not above key.
func askFloor(prefix, key string) Ask {
	return Ask{Low: prefix, High: min(after(key), beyond(prefix)), Limit: 1, Descending: true}
}

// askRange asks for rows of a prefix that are above a key.
func askRange(prefix, above string, limit int) Ask {
	a := Ask{Low: prefix, High: beyond(prefix), Limit: limit}
	if above != "" {
		a.Low = max(prefix, after(above))
	}
	return a
}

// empty says that no key can be in it.
func (a *Ask) empty() bool { return a.Low >= a.High || a.Limit <= 0 }

// single says that it asks for one key alone.
func (a *Ask) single() bool {
	return !a.Descending && len(a.High) == len(a.Low)+1 && a.High[len(a.Low)] == after("")[0] && a.High[:len(a.Low)] == a.Low
}

// Check holds an ask against what a store answers. A failure is a defect of the
// caller.
func (a *Ask) Check() error {
	if a.Limit < 1 || a.Limit > MaxAsk || !isText(a.Low) || !isText(a.High) {
		return fault.Newf(fault.Internal, "ask_invalid", "state rows are asked for from %.80q to %.80q, %d of them", a.Low, a.High, a.Limit)
	}
	return nil
}

// Order compares two keys as the ask wants them.
func (a *Ask) Order(x, y string) int {
	if a.Descending {
		x, y = y, x
	}
	return strings.Compare(x, y)
}

// Of is the answer of rows in memory; values are those of the map.
func (a *Ask) Of(rows *sortedmap.Map[[]byte]) (out []standing.Row) {
	if a.Descending {
		for key, value := range rows.Below(a.High) {
			if key < a.Low || len(out) == a.Limit {
				break
			}
			out = append(out, standing.Row{Key: key, Value: value})
		}
		return out
	}
	for key, value := range rows.From(a.Low) {
		if key >= a.High || len(out) == a.Limit {
			break
		}
		out = append(out, standing.Row{Key: key, Value: value})
	}
	return out
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// checkRow holds a row that a Folder made against what stores can keep.
func checkRow(r *standing.Row) error {
	if r.Key == "" || len(r.Key) > MaxRowKey || !isText(r.Key) || len(r.Value) > MaxRowValue {
		return fault.Newf(fault.Internal, "row_invalid",
			"a decision makes a state row with a key of %d bytes, %.80q, and %d bytes of value; a key is 1 to %d bytes of text, a value at most %d",
			len(r.Key), r.Key, len(r.Value), MaxRowKey, MaxRowValue)
	}
	return nil
}
