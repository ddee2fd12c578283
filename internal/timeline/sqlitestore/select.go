package sqlitestore

import (
	"context"
	"strings"

	"github.com/danvoulez/logline/internal/timeline"
)

const (
	// scanBudget is how many entries one Select looks at where no index
	// answers the whole filter; then it returns what it has.
	scanBudget = 20000
	// scanBytes is how many bytes of lines and payloads it searches for words.
	scanBytes = 64 << 20
	// maxUnion is how many types one statement merges by index; a pattern that
	// fits more is answered by looking at every entry.
	maxUnion = 32
)

// Select implements timeline.EntryReader. One condition, the most selective
// kind first, drives the statement through its index, in order of seq; the
// others are checked on the rows it finds.
func (s *Store) Select(ctx context.Context, id string, f *timeline.Filter) (timeline.Selection, error) {
	var none timeline.Selection
	key, err := s.key(ctx, id)
	if err != nil {
		return none, err
	}
	p := &plan{store: s, key: key, filter: f, from: f.From}
	if p.to, err = s.end(ctx, key, f.To); err != nil {
		return none, err
	}
	if err := p.bound(ctx); err != nil || p.from >= p.to {
		return none, err
	}
	if f.ByWords() {
		return p.search(ctx)
	}
	if err := p.build(ctx); err != nil || p.text == "" {
		return none, err
	}
	return p.run(ctx)
}

// end is the committed size, at most to.
func (s *Store) end(ctx context.Context, key tenantKey, to uint64) (uint64, error) {
	row, err := s.read.queryRow(ctx, `SELECT size FROM timeline_heads WHERE tenant = ?`, int64(key))
	if err != nil {
		return 0, err
	}
	var size uint64
	if err := row.Scan(&size); err != nil {
		return 0, readError("read head", err)
	}
	return min(size, to), nil
}

// plan is how one Select is answered.
type plan struct {
	store    *Store
	key      tenantKey
	filter   *timeline.Filter
	from, to uint64 // seqs that can match

	text     string
	args     []any
	types    []string // concrete types that fit the patterns; nil: not resolved
	checkTyp bool     // the patterns are checked on each row's line
	cut      uint64   // bound of the stretch looked at; see window
	windowed bool
}

// bound turns Since and Until into seqs: recorded_at never decreases.
func (p *plan) bound(ctx context.Context) (err error) {
	if p.filter.Since != "" {
		if p.from, err = p.bisect(ctx, p.filter.Since); err != nil {
			return err
		}
	}
	if p.filter.Until != "" {
		p.to, err = p.bisect(ctx, p.filter.Until)
	}
	return err
}

const timeText = `SELECT recorded_at FROM timeline_entries WHERE position = ?`

// bisect finds the first seq in bounds with recorded_at >= t.
func (p *plan) bisect(ctx context.Context, t string) (uint64, error) {
	st, err := p.store.read.get(ctx, timeText)
	if err != nil {
		return 0, err
	}
	lo, hi := p.from, p.to
	for lo < hi {
		mid := lo + (hi-lo)/2
		var at string
		if err := st.QueryRowContext(ctx, p.key.position(mid)).Scan(&at); err != nil {
			return 0, readError("find time", err)
		}
		if at < t {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// build writes the statement; an empty text means that nothing can match.
func (p *plan) build(ctx context.Context) error {
	f := p.filter
	switch {
	case f.Cause != "":
		p.linked(`timeline_links d`, `d.tenant = ? AND d.kind = ? AND d.id = ?`, int64(p.key), int(timeline.LinkCause), timeline.IDBytes(f.Cause))
	case f.Tag != "":
		p.linked(`timeline_tags d`, `d.tenant = ? AND d.tag = ?`, int64(p.key), f.Tag)
	case f.Subject != "":
		p.indexed("timeline_entries_subject", "subject", f.Subject)
	case f.Status != "" && f.Status != timeline.StatusExecuted:
		p.indexed("timeline_entries_status", "status", f.Status)
	case f.Author != "":
		p.indexed("timeline_entries_author", "author", f.Author)
	case len(f.Types) > 0:
		return p.byType(ctx)
	default:
		p.everything()
	}
	return nil
}

// linked goes through a side table, in order of its seq.
func (p *plan) linked(table, where string, args ...any) {
	lo, hi := int64(p.from), int64(p.to)
	p.text = `SELECT ` + recordColumns + ` FROM ` + table + ` CROSS JOIN timeline_entries e ON e.position = ? + d.seq WHERE ` + where +
		` AND d.seq >= ? AND d.seq < ?`
	p.args = append(p.args, int64(p.key)<<seqBits)
	p.args = append(p.args, args...)
	p.args = append(p.args, lo, hi)
	p.rest("")
	p.finish("d.seq")
}

// indexed goes through an index of timeline_entries that ends with position.
func (p *plan) indexed(index, column, value string) {
	p.text = `SELECT ` + recordColumns + ` FROM timeline_entries e INDEXED BY ` + index +
		` WHERE e.tenant = ? AND e.` + column + ` = ?` + p.between()
	if column == "status" {
		p.text += ` AND e.status <> 'executed'` // as the index has it
	}
	p.args = append([]any{int64(p.key), value}, p.betweenArgs()...)
	p.rest(column)
	p.finish("e.position")
}

// byType merges the types that fit the patterns, each through the index.
func (p *plan) byType(ctx context.Context) error {
	if err := p.resolveTypes(ctx); err != nil {
		return err
	}
	switch n := len(p.types); {
	case n == 0:
		return nil
	case n == 1:
		p.indexed("timeline_entries_type", "type", p.types[0])
		return nil
	case n > maxUnion || len(p.filter.Words) > 0:
		p.everything()
		return nil
	}
	var branches []string
	var args []any
	for _, typ := range p.types {
		b := &plan{store: p.store, key: p.key, filter: p.filter, from: p.from, to: p.to}
		b.text = `SELECT e.position AS position FROM timeline_entries e INDEXED BY timeline_entries_type WHERE e.tenant = ? AND e.type = ?` + p.between()
		b.args = append([]any{int64(p.key), typ}, p.betweenArgs()...)
		b.rest("type")
		b.finish("e.position")
		branches = append(branches, `SELECT position FROM (`+b.text+`)`)
		args = append(args, b.args...)
	}
	// Positions are put in order and cut first: sorting whole entries would hold
	// all of them in memory.
	merge := &plan{filter: p.filter, text: strings.Join(branches, " UNION ALL "), args: args}
	merge.finish("position")
	p.text = `SELECT ` + recordColumns + ` FROM (` + merge.text + `) u CROSS JOIN timeline_entries e ON e.position = u.position`
	p.args = merge.args
	p.finish("u.position")
	return nil
}

// everything goes through the entries themselves, a stretch of them at a time
// where conditions remain that few of them may meet.
func (p *plan) everything() {
	if p.filter.Sight != nil || len(p.filter.Types) > 0 || len(p.filter.Words) > 0 {
		p.window()
	}
	p.text = `SELECT ` + recordColumns + ` FROM timeline_entries e WHERE` + strings.TrimPrefix(p.between(), " AND")
	p.args = p.betweenArgs()
	p.rest("")
	p.finish("e.position")
}

// window narrows the bounds to what one Select may look at.
func (p *plan) window() {
	if p.to-p.from <= scanBudget {
		return
	}
	p.windowed = true
	if p.filter.Descending {
		p.cut = p.to - scanBudget - 1 // the first seq left for the next time
		p.from = p.to - scanBudget
	} else {
		p.cut = p.from + scanBudget
		p.to = p.cut
	}
}

func (p *plan) between() string { return ` AND e.position >= ? AND e.position < ?` }

func (p *plan) betweenArgs() []any {
	return []any{p.key.position(p.from), p.key.position(p.to)}
}

// finish orders by a column that the driving index is ordered by, and limits:
// one more than asked for tells whether there is more.
func (p *plan) finish(order string) {
	p.text += ` ORDER BY ` + order
	if p.filter.Descending {
		p.text += ` DESC`
	}
	limit := p.filter.Limit + 1
	if p.filtersRows() {
		limit = scanBudget + 1
	}
	p.text += ` LIMIT ?`
	p.args = append(p.args, limit)
}

// filtersRows says whether conditions remain that SQL does not evaluate.
func (p *plan) filtersRows() bool { return p.checkTyp || len(p.filter.Words) > 0 }

func (p *plan) run(ctx context.Context) (out timeline.Selection, err error) {
	rows, err := p.store.db.Read.QueryContext(ctx, p.text, p.args...)
	if err != nil {
		return out, readError("query entries", err)
	}
	defer rows.Close()
	budget := timeline.NewBudget(p.filter.Bytes)
	for looked, searched := 0, 0; rows.Next(); looked++ {
		r, err := scanRecord(rows)
		if err != nil {
			return timeline.Selection{}, err
		}
		ends := looked == scanBudget || searched >= scanBytes || len(out.Records) == p.filter.Limit
		if !ends {
			ok, err := p.matches(&r)
			if err != nil {
				return timeline.Selection{}, err
			}
			searched += len(r.Line) + len(r.Payload)
			if !ok {
				continue
			}
			ends = !budget.Takes(&r)
		}
		if ends {
			out.More, out.Resume = true, r.Seq
			return out, nil
		}
		out.Records = append(out.Records, r)
	}
	if err := ended("query entries", rows); err != nil {
		return timeline.Selection{}, err
	}
	if p.windowed {
		out.More, out.Resume = true, p.cut
	}
	return out, nil
}

func (p *plan) matches(r *timeline.Record) (bool, error) {
	if p.checkTyp {
		typ, err := timeline.TypeOf(r.Line)
		if err != nil || !p.filter.MatchesType(typ) {
			return false, err
		}
	}
	return p.filter.MatchesWords(r.Line, r.Payload)
}
