package pgstore

import (
	"strconv"
	"strings"

	"github.com/danvoulez/logline/internal/timeline"
)

// rest is the conditions that the driving one does not cover. They are on
// expressions, so that no index on the column itself answers them.
func (p *plan) rest(driving string) string {
	f := p.filter
	var text strings.Builder
	equal := func(column, value string) {
		if value != "" && column != driving {
			text.WriteString(` AND e.` + column + ` || '' = ` + p.arg(value))
		}
	}
	equal("subject", f.Subject)
	equal("status", f.Status)
	equal("author", f.Author)
	if f.Tag != "" && f.Cause != "" { // else the tag drives
		text.WriteString(` AND EXISTS (SELECT FROM timeline_tags g WHERE g.tenant = ` + p.arg(p.key) + ` AND g.tag = ` + p.arg(f.Tag) + ` AND g.seq = e.seq)`)
	}
	if len(f.Types) > 0 && driving != "type" {
		text.WriteString(` AND e.type || '' = ANY(` + p.arg(p.types) + `::text[])`)
	}
	text.WriteString(p.sight())
	return text.String()
}

// whole says whether the driving condition is all that SQL has to check.
func (p *plan) whole(driving string) bool {
	q := &plan{key: p.key, filter: p.filter, types: p.types}
	return q.rest(driving) == ""
}

// sight is what the reader may see.
func (p *plan) sight() string {
	if p.filter.Sight == nil {
		return ""
	}
	var any []string
	for _, a := range p.filter.Sight {
		// A number of the program's own, not a parameter: some are in no condition.
		seen := `e.visibility + 0 = ` + strconv.Itoa(timeline.VisibilityNumber(a.Visibility))
		if a.All {
			any = append(any, seen)
			continue
		}
		if a.Author != "" {
			any = append(any, `(`+seen+` AND e.author || '' = `+p.arg(a.Author)+`)`)
		}
		if a.OnBehalfOf != "" {
			any = append(any, `(`+seen+` AND e.on_behalf_of = `+p.arg(a.OnBehalfOf)+`)`)
		}
	}
	if len(any) == 0 {
		return ` AND false`
	}
	return ` AND (` + strings.Join(any, " OR ") + `)`
}
