package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/standing"
)

// MaxScan is how many entries one Scan gives.
const MaxScan = 256

// Scan is the entries with from <= seq < to that match and the reader may see,
// in order, at most about that many bytes of them and MaxScan. Every entry
// before next that is not among them was left out by query or reader; next is
// to, or less where a limit was reached. Limit, Cursor and Descending of the
// query are not looked at. The caller takes to from the committed size.
func (l *Log) Scan(ctx context.Context, tenant string, q Query, r standing.Reader, from, to uint64, bytes int) (records []Record, next uint64, err error) {
	id, err := l.id(ctx, tenant)
	if err != nil {
		return nil, from, err
	}
	q.Descending, q.Limit = false, MaxScan
	f, err := q.filter(r)
	if err != nil {
		return nil, from, err
	}
	f.From, f.To, f.Bytes = from, to, bytes
	sel, err := l.store.Select(ctx, id, f)
	if err != nil {
		return nil, from, err
	}
	for i := range sel.Records {
		if err := sel.Records[i].parse(); err != nil {
			return nil, from, err
		}
	}
	if sel.More {
		to = sel.Resume
	}
	return sel.Records, to, nil
}

// Sieve is the conditions of a query for records that are at hand.
type Sieve struct{ filter *Filter }

// Sieve checks the query as Log.Query does.
func (q *Query) Sieve() (*Sieve, error) {
	f, err := q.filter(standing.Reader{})
	if err != nil {
		return nil, err
	}
	f.Sight = nil
	return &Sieve{f}, nil
}

// Lets says whether every condition holds of a record; who may see it is
// Record.VisibleTo. Entry must be set.
func (s *Sieve) Lets(r *Record) (bool, error) {
	h := &r.Entry.Span
	row := Row{
		RecordedAt: r.Entry.RecordedAt, Type: h.Type, Author: h.Author, OnBehalfOf: h.OnBehalfOf, Subject: h.Subject,
		Visibility: h.Visibility, Status: r.Status, Tags: h.Tags,
	}
	if s.filter.Cause != "" {
		for _, c := range h.Causes {
			row.Links = append(row.Links, RowLink{Kind: LinkCause, ID: c})
		}
	}
	if !s.filter.Matches(&row) {
		return false, nil
	}
	return s.filter.MatchesWords(r.Line, r.Payload)
}

// AppendOpened appends the entry as somebody who may read it sees it: payload,
// salt and detail put back, or the word that they were redacted. Entry must be
// set.
func (r *Record) AppendOpened(dst []byte) []byte { return r.opened().AppendLine(dst) }
