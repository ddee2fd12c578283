package sqlitestore

import (
	"context"
	"slices"
	"strings"

	"github.com/danvoulez/logline/internal/timeline"
)

// rest adds the conditions that the driving one does not cover. The unary plus
// keeps the planner from choosing another index for them.
func (p *plan) rest(driving string) {
	f := p.filter
	equal := func(column, value string) {
		if value != "" && column != driving {
			p.text += ` AND +e.` + column + ` = ?`
			p.args = append(p.args, value)
		}
	}
	equal("subject", f.Subject)
	equal("status", f.Status)
	equal("author", f.Author)
	if f.Tag != "" && !strings.Contains(p.text, "timeline_tags") {
		p.text += ` AND EXISTS (SELECT 1 FROM timeline_tags g WHERE g.tenant = ? AND g.tag = ? AND g.seq = e.position - ?)`
		p.args = append(p.args, int64(p.key), f.Tag, int64(p.key)<<seqBits)
	}
	if len(f.Types) > 0 && driving != "type" {
		if exact := timeline.ExactTypes(f.Types); exact {
			p.in("type", f.Types)
		} else if p.types != nil && len(p.types) <= scanBudget/100 {
			p.in("type", p.types)
		} else {
			p.checkTyp = true
		}
	}
	p.sight()
}

func (p *plan) in(column string, values []string) {
	p.text += ` AND +e.` + column + ` IN (?` + strings.Repeat(", ?", len(values)-1) + `)`
	for _, v := range values {
		p.args = append(p.args, v)
	}
}

// sight adds what the reader may see.
func (p *plan) sight() {
	if p.filter.Sight == nil {
		return
	}
	var any []string
	for _, a := range p.filter.Sight {
		v := timeline.VisibilityNumber(a.Visibility)
		if a.All {
			any = append(any, `e.visibility = ?`)
			p.args = append(p.args, v)
			continue
		}
		if a.Author != "" {
			any = append(any, `(e.visibility = ? AND +e.author = ?)`)
			p.args = append(p.args, v, a.Author)
		}
		if a.OnBehalfOf != "" {
			any = append(any, `(e.visibility = ? AND e.on_behalf_of = ?)`)
			p.args = append(p.args, v, a.OnBehalfOf)
		}
	}
	if len(any) == 0 {
		p.text += ` AND 0`
		return
	}
	p.text += ` AND (` + strings.Join(any, " OR ") + `)`
}

// distinctText steps from type to type through the index.
const distinctText = `WITH RECURSIVE d(type) AS (
		SELECT (SELECT min(type) FROM timeline_entries WHERE tenant = ?1)
		UNION ALL
		SELECT (SELECT min(type) FROM timeline_entries WHERE tenant = ?1 AND type > d.type) FROM d WHERE d.type IS NOT NULL
	) SELECT type FROM d WHERE type IS NOT NULL`

// resolveTypes finds the types of this timeline that fit the patterns.
func (p *plan) resolveTypes(ctx context.Context) error {
	if timeline.ExactTypes(p.filter.Types) {
		p.types = slices.Compact(slices.Sorted(slices.Values(p.filter.Types)))
		return nil
	}
	rows, err := p.store.read.query(ctx, distinctText, int64(p.key))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var typ string
		if err := rows.Scan(&typ); err != nil {
			return readError("read types", err)
		}
		if p.filter.MatchesType(typ) {
			p.types = append(p.types, typ)
		}
	}
	return ended("read types", rows)
}
