package pgstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/timeline"
)

const (
	// scanBudget is about how many entries one Select looks at where no index
	// answers the whole filter; then it returns what it has.
	scanBudget = 20000
	// scanBytes is how many bytes of lines and payloads it searches for words:
	// they all come here.
	scanBytes = 16 << 20
	// maxUnion is how many types one statement merges by index; a pattern that
	// fits more is answered by looking at every entry.
	maxUnion = 32
)

// Select implements timeline.EntryReader. One condition, the most selective
// kind first, drives the statement through its index, in order of seq; the
// others are checked on the rows it finds.
//
// The planner has no hints. A driving condition is therefore written as a
// comparison of rows, (author, seq) >= ($1, $2), and ordered by the same columns,
// in a transaction that may not sort for it (inOrder): only the index on them
// gives that order, whatever the statistics say.
func (s *Store) Select(ctx context.Context, id string, f *timeline.Filter) (timeline.Selection, error) {
	var none timeline.Selection
	key, err := s.key(ctx, id)
	if err != nil {
		return none, err
	}
	p := &plan{key: key, filter: f, from: f.From, to: f.To}
	if err := p.bound(ctx, s); err != nil || p.from >= p.to {
		return none, err
	}
	if f.ByWords() {
		return p.search(ctx, s)
	}
	if err := p.build(ctx, s); err != nil || p.text == "" {
		return none, err
	}
	return p.run(ctx, s)
}

// inOrder makes sorting a plan's last resort for the rest of the transaction.
const inOrder = `SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)`

// ordered reads rows, each through scan, as the indexes have them in order.
func (s *Store) ordered(ctx context.Context, key tenantKey, scan func(pgx.Rows) error, text string, args ...any) error {
	b := about(key)
	b.Queue(inOrder)
	b.Queue(text, args...).Query(each(scan))
	return s.read(ctx, "query entries", b)
}

// plan is how one Select is answered.
type plan struct {
	key      tenantKey
	filter   *timeline.Filter
	from, to uint64 // seqs that can match

	text     string
	args     []any
	types    []string // concrete types that fit the patterns
	cut      uint64   // bound of the stretch looked at; see window
	windowed bool
	end      string // finds the first seq that a driving condition left out; "" where it leaves out none
	endArgs  []any
}

// bisectText finds the first seq in [$2, $3) with recorded_at >= $4, which
// never decreases with seq; no index is needed. The seq compared with is a bare
// column: row-level security lets no index answer for a calculation beside it.
const bisectText = `WITH RECURSIVE b (lo, hi) AS (
		SELECT least($2::bigint, h.size), least($3::bigint, h.size) FROM timeline_heads h WHERE h.tenant = $1
		UNION ALL
		SELECT CASE WHEN m.at < $4 THEN (b.lo + b.hi) / 2 + 1 ELSE b.lo END, CASE WHEN m.at < $4 THEN b.hi ELSE (b.lo + b.hi) / 2 END
		FROM b CROSS JOIN LATERAL (SELECT (b.lo + b.hi) / 2 AS mid OFFSET 0) c
			CROSS JOIN LATERAL (SELECT (SELECT e.recorded_at FROM timeline_entries e WHERE e.tenant = $1 AND e.seq = c.mid) AS at OFFSET 0) m
		WHERE b.lo < b.hi
	) SELECT lo FROM b WHERE lo >= hi`

// stepwise keeps a transaction's plans to single steps through an index: each
// of these statements takes many, and one that reads or sorts a timeline
// instead is as slow as all of them.
const stepwise = `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
	set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true)`

// distinctText steps from type to type through the index.
const distinctText = `WITH RECURSIVE d (type) AS (
		SELECT (SELECT e.type FROM timeline_entries e WHERE e.tenant = $1 ORDER BY e.type LIMIT 1)
		UNION ALL
		SELECT (SELECT e.type FROM timeline_entries e WHERE e.tenant = $1 AND e.type > d.type ORDER BY e.type LIMIT 1) FROM d WHERE d.type IS NOT NULL
	) SELECT type FROM d WHERE type IS NOT NULL`

// bound asks in one message for what the statement depends on: the committed
// size, the seqs that Since and Until mean, the types that fit the patterns.
func (p *plan) bound(ctx context.Context, s *Store) error {
	f := p.filter
	p.from, p.to = min(p.from, maxSeq), min(p.to, maxSeq)
	from, to := p.from, p.to
	b := about(p.key)
	b.Queue(stepwise)
	ask := func(into *uint64, text string, args ...any) {
		b.Queue(text, args...).QueryRow(func(row pgx.Row) error { return row.Scan(into) })
	}
	var size uint64
	ask(&size, sizeText, p.key)
	if f.Since != "" {
		ask(&p.from, bisectText, p.key, from, to, f.Since)
	}
	if f.Until != "" {
		ask(&p.to, bisectText, p.key, from, to, f.Until)
	}
	if len(f.Types) > 0 && !timeline.ExactTypes(f.Types) {
		b.Queue(distinctText, p.key).Query(each(func(rows pgx.Rows) error {
			var typ string
			err := rows.Scan(&typ)
			if f.MatchesType(typ) {
				p.types = append(p.types, typ)
			}
			return err
		}))
	} else {
		p.types = slices.Compact(slices.Sorted(slices.Values(f.Types)))
	}
	err := s.read(ctx, "query entries", b)
	p.to = min(p.to, size)
	return readError("query entries", noRow(err))
}

// build writes the statement; an empty text means that nothing can match.
func (p *plan) build(ctx context.Context, s *Store) error {
	f := p.filter
	switch {
	case f.Cause != "":
		if id := timeline.IDBytes(f.Cause); id != nil {
			p.linked("timeline_links", []string{"kind", "id"}, int16(timeline.LinkCause), [16]byte(id))
		}
	case f.Tag != "":
		p.linked("timeline_tags", []string{"tag"}, f.Tag)
	case f.Subject != "":
		p.indexed("subject", f.Subject, ` AND e.subject IS NOT NULL`)
	case f.Status != "" && f.Status != timeline.StatusExecuted:
		p.indexed("status", f.Status, ` AND e.status <> 'executed'`) // as the index has it
	case f.Author != "":
		p.indexed("author", f.Author, "")
	case len(f.Types) > 0:
		return p.byType(ctx, s)
	default:
		p.everything()
	}
	return nil
}

// arg adds an argument and returns its place in the text.
func (p *plan) arg(v any) string {
	p.args = append(p.args, v)
	return fmt.Sprintf("$%d", len(p.args))
}

// between compares rows of an index that ends with seq, without the tenant,
// which is equal: an index is entered and left by the first column that is not.
// Were the tenant in the rows, that would be the tenant, whose equality
// row-level security adds, and all of its entries before would be read.
func (p *plan) between(table string, columns []string, values []string) string {
	row, from, to := "", "", ""
	for i, c := range columns {
		row, from, to = row+table+"."+c+", ", from+values[i]+", ", to+values[i]+", "
	}
	row, from, to = row+table+".seq", from+p.arg(int64(p.from)), to+p.arg(int64(p.to))
	return table + `.tenant = ` + p.arg(p.key) + ` AND (` + row + `) >= (` + from + `) AND (` + row + `) < (` + to + `)`
}

// order is by all columns of an index, or by those after the tenant, which the
// planner knows to be one where it has seen the policy.
func (p *plan) order(table string, columns ...string) string {
	text := ` ORDER BY `
	for i, c := range columns {
		if i > 0 {
			text += `, `
		}
		text += table + `.` + c + p.way()
	}
	return text
}

func (p *plan) way() string {
	if p.filter.Descending {
		return " DESC"
	}
	return ""
}

// limit is one more than asked for, which tells whether there is more.
func (p *plan) limit() string {
	if len(p.filter.Words) > 0 {
		return p.arg(scanBudget + 1)
	}
	return p.arg(p.filter.Limit + 1)
}

// driven is the rows of a table, as one of its indexes has them, that meet the
// driving condition, and no more of them than one Select looks at where they
// are not the answer yet. Then end finds where the next one goes on.
func (p *plan) driven(table, columns, where, order string, whole bool) string {
	from := `FROM ` + table + ` WHERE ` + where + order
	if whole {
		return `SELECT ` + columns + ` ` + from + ` LIMIT ` + p.limit()
	}
	_, short, _ := strings.Cut(table, " ")
	p.end = `SELECT ` + short + `.seq ` + from + ` LIMIT 1 OFFSET ` + fmt.Sprint(scanBudget)
	p.endArgs = p.args[:len(p.args):len(p.args)]
	return `SELECT ` + columns + ` ` + from + ` LIMIT ` + fmt.Sprint(scanBudget)
}

// linked goes through a side table, in order of its seq.
func (p *plan) linked(table string, columns []string, values ...any) {
	places := make([]string, len(values))
	for i, v := range values {
		places[i] = p.arg(v)
	}
	after := append(slices.Clone(columns), "seq")
	driven := p.driven(table+` d`, `d.*`, p.between("d", columns, places), p.order("d", append([]string{"tenant"}, after...)...), p.whole(""))
	// OFFSET 0 keeps the planner from joining in another order.
	p.text = `SELECT e.* FROM (` + driven + `) d CROSS JOIN LATERAL (SELECT * FROM timeline_entries
		WHERE tenant = ` + p.arg(p.key) + ` AND seq = d.seq OFFSET 0) e WHERE true` + p.rest("") + p.order("d", after...) + ` LIMIT ` + p.limit()
	p.cover()
}

// indexed goes through an index of timeline_entries.
func (p *plan) indexed(column, value, predicate string) {
	whole := p.whole(column)
	p.text = p.driven(`timeline_entries e`, `e.*`, p.between("e", []string{column}, []string{p.arg(value)})+predicate,
		p.order("e", "tenant", column, "seq"), whole)
	if !whole {
		p.text = `SELECT * FROM (` + p.text + `) e WHERE true` + p.rest(column) + p.order("e", column, "seq") + ` LIMIT ` + p.limit()
	}
	p.cover()
}

// byType merges the types that fit the patterns, each through the index.
func (p *plan) byType(ctx context.Context, s *Store) error {
	switch n := len(p.types); {
	case n == 0:
		return nil
	case n == 1:
		p.indexed("type", p.types[0], "")
		return nil
	case n > maxUnion || len(p.filter.Words) > 0:
		p.everything()
		return nil
	}
	if !p.whole("type") {
		if err := p.shorten(ctx, s); err != nil {
			return err
		}
	}
	columns := []string{"type"}
	one := `SELECT e.seq FROM timeline_entries e WHERE ` + p.between("e", columns, []string{"t.type"}) + p.rest("type") + p.order("e", "tenant", "type", "seq") + ` LIMIT ` + p.limit()
	// Seqs are put in order and cut first: sorting whole entries would hold all
	// of them in memory.
	p.text = `SELECT e.* FROM (SELECT u.seq FROM unnest(` + p.arg(p.types) + `::text[]) t (type) CROSS JOIN LATERAL (` + one + `) u
		ORDER BY u.seq` + p.way() + ` LIMIT ` + p.limit() + `) d CROSS JOIN LATERAL (SELECT * FROM timeline_entries
		WHERE tenant = ` + p.arg(p.key) + ` AND seq = d.seq OFFSET 0) e`
	p.cover()
	return nil
}

// shorten narrows the bounds to a stretch in which the types have no more
// entries than one Select looks at.
func (p *plan) shorten(ctx context.Context, s *Store) error {
	q := &plan{key: p.key, filter: p.filter, from: p.from, to: p.to}
	least := `min`
	if p.filter.Descending {
		least = `max`
	}
	columns := []string{"type"}
	text := `SELECT ` + least + `(c.seq) FROM unnest(` + q.arg(p.types) + `::text[]) t (type) CROSS JOIN LATERAL (SELECT e.seq FROM timeline_entries e
		WHERE ` + q.between("e", columns, []string{"t.type"}) + q.order("e", "tenant", "type", "seq") + ` LIMIT 1 OFFSET ` + fmt.Sprint(scanBudget/len(p.types)) + `) c`
	var cut *uint64
	if err := s.ordered(ctx, p.key, func(rows pgx.Rows) error { return rows.Scan(&cut) }, text, q.args...); err != nil || cut == nil {
		return err
	}
	p.windowed, p.cut = true, *cut
	if p.filter.Descending {
		p.from = *cut + 1
	} else {
		p.to = *cut
	}
	return nil
}

// everything goes through the entries themselves, a stretch of them at a time
// where conditions remain that few of them may meet.
func (p *plan) everything() {
	if p.filter.Sight != nil || len(p.filter.Types) > 0 || len(p.filter.Words) > 0 {
		p.window()
	}
	p.text = `SELECT * FROM timeline_entries e WHERE ` + p.between("e", nil, nil) + p.rest("") + p.order("e", "tenant", "seq") + ` LIMIT ` + p.limit()
	p.cover()
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

// cover wraps the statement in what bounds a page in bytes.
func (p *plan) cover() {
	bytes := timeline.MaxPageBytes
	if len(p.filter.Words) > 0 {
		bytes = scanBytes
	}
	p.text = page(p.text, p.way(), p.arg(bytes))
}

func (p *plan) run(ctx context.Context, s *Store) (timeline.Selection, error) {
	var out timeline.Selection
	budget := timeline.NewBudget(p.filter.Bytes)
	looked, searched, last := 0, 0, uint64(0)
	err := s.ordered(ctx, p.key, func(rows pgx.Rows) error {
		if out.More {
			return nil
		}
		r, err := scanRecord(rows)
		if err != nil {
			return err
		}
		if looked++; looked <= scanBudget && len(out.Records) < p.filter.Limit {
			ok, err := p.filter.MatchesWords(r.Line, r.Payload)
			if err != nil {
				return err
			}
			searched, last = searched+len(r.Line)+len(r.Payload)+len(r.Detail), r.Seq
			if !ok {
				return nil
			}
			if budget.Takes(&r) {
				out.Records = append(out.Records, r)
				return nil
			}
		}
		out.More, out.Resume = true, r.Seq
		return nil
	}, p.text, p.args...)
	if err != nil {
		return timeline.Selection{}, err
	}
	switch {
	case out.More:
	case len(p.filter.Words) > 0 && searched > scanBytes: // the server sent no more
		if !p.filter.Descending {
			out.More, out.Resume = last+1 < p.to || p.windowed, last+1
		} else if last > p.from || p.windowed {
			out.More, out.Resume = true, last-1
		}
	case p.windowed:
		out.More, out.Resume = true, p.cut
	case p.end != "":
		err = s.ordered(ctx, p.key, func(rows pgx.Rows) error {
			out.More = true
			return rows.Scan(&out.Resume)
		}, p.end, p.endArgs...)
	}
	return out, err
}
