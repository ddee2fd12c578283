package timeline

import (
	"context"
	"fmt"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/span"
	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline/words"
)

// Limits of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	maxTypes     = 32
	maxWords     = 64
	maxAlso      = 32
	// maxScans bounds how often one query goes on looking for a first match.
	maxScans = 5
)

// Query asks for entries: all conditions hold at once, zero fields ask nothing.
type Query struct {
	Types   []string // patterns (* one segment, ** the rest); any of them
	Author  string   // LogLine ID
	Also    []string // others by whom it may be instead: the ghosts that the author has claimed
	Subject string
	Tag     string
	Status  string // effective
	Since   string // recorded_at >= Since
	Until   string // recorded_at < Until
	Cause   string // a span id that stands in the entry's causes
	Q       string // words that each begin one in title, subject, type or payload; see package words

	Descending bool
	Limit      int    // default 100, at most 1000
	Cursor     string // Next of the page before, of the same query
}

// Page is one page of a query, in order of seq. Next is the cursor of the next
// page, "" after the last. A page can be shorter than the limit, even empty,
// and still have a next one, where few entries match, or where its entries
// reach about MaxPageBytes.
type Page struct {
	Records []Record
	Next    string
}

// Query is one page of the entries that match and the reader may see. Bad
// input is query_invalid or cursor_invalid and names the fields.
func (l *Log) Query(ctx context.Context, tenant string, q Query, r standing.Reader) (Page, error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return Page{}, err
	}
	f, err := q.filter(r)
	if err != nil {
		return Page{}, err
	}
	digest := q.digest(id)
	if q.Cursor != "" {
		at, err := parseCursor(q.Cursor, digest)
		if err != nil {
			return Page{}, err
		}
		f.resume(at)
	}
	var page Page
	f.Bytes = MaxPageBytes
	for range maxScans {
		sel, err := l.selectBy(ctx, id, f, q.Also)
		if err != nil {
			return Page{}, err
		}
		page.Records = append(page.Records, sel.Records...)
		page.Next = ""
		if !sel.More {
			break
		}
		page.Next = formatCursor(sel.Resume, digest)
		f.Limit -= len(sel.Records)
		for i := range sel.Records {
			f.Bytes -= sel.Records[i].size()
		}
		if f.Limit <= 0 || f.Bytes <= 0 {
			break
		}
		f.resume(sel.Resume)
	}
	for i := range page.Records {
		if err := page.Records[i].parse(); err != nil {
			return Page{}, err
		}
	}
	return page, nil
}

// resume goes on at seq, in the filter's order.
func (f *Filter) resume(seq uint64) {
	if f.Descending {
		f.To = min(f.To, seq+1)
	} else {
		f.From = max(f.From, seq)
	}
}

// filter checks a query and makes it a store's.
func (q *Query) filter(r standing.Reader) (*Filter, error) {
	bad := fault.New(fault.Invalid, "query_invalid", "the query is not understood; correct the fields named")
	check := func(ok bool, name, want string) {
		if !ok {
			bad = bad.At("/"+name, want)
		}
	}
	isTime := func(s string) bool { _, err := span.ParseTime(s); return s == "" || err == nil }
	check(len(q.Types) <= maxTypes, "type", fmt.Sprintf("at most %d patterns", maxTypes))
	for _, p := range q.Types {
		check(span.ValidPattern(p), "type", fmt.Sprintf("%.128q is not a type or a pattern of one; write payment.requested, payment.* or payment.**", p))
	}
	check(q.Author == "" || span.IsIdentity(q.Author), "author", "a LogLine ID")
	check(len(q.Also) <= maxAlso && (q.Author != "" || len(q.Also) == 0), "author", fmt.Sprintf("one, with at most %d claimed ghosts", maxAlso))
	check(q.Cause == "" || span.IsUUID(q.Cause), "cause", "a span id")
	check(isTime(q.Since), "since", "a time YYYY-MM-DDTHH:MM:SS.mmmZ")
	check(isTime(q.Until), "until", "a time YYYY-MM-DDTHH:MM:SS.mmmZ")
	check(q.Limit >= 0 && q.Limit <= MaxLimit, "limit", fmt.Sprintf("1 to %d", MaxLimit))
	switch q.Status {
	case "", StatusExecuted, StatusPending, StatusRejected, StatusReverted, StatusGhost:
	default:
		check(false, "status", "executed, pending, rejected, reverted or ghost")
	}
	ws := words.Split(q.Q)
	check(q.Q == "" || len(ws) > 0, "q", "words: at least one letter or digit")
	check(len(ws) <= maxWords, "q", fmt.Sprintf("at most %d words", maxWords))
	if len(bad.Fields) > 0 {
		return nil, bad
	}
	f := &Filter{
		Types: q.Types, Author: q.Author, Subject: q.Subject, Tag: q.Tag, Status: q.Status, Cause: q.Cause,
		Words: ws, Since: q.Since, Until: q.Until, To: ^uint64(0), Descending: q.Descending, Limit: q.Limit, Sight: sight(r),
	}
	if f.Limit == 0 {
		f.Limit = DefaultLimit
	}
	return f, nil
}
