package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/danvoulez/logline/internal/standing"
	"github.com/danvoulez/logline/internal/timeline"
)

// asksText answers many asks in one statement, so that all rows are those of the
// head, which comes first.
const asksText = `SELECT NULL::int AS n, NULL AS key, NULL AS value, size, root FROM timeline_heads WHERE tenant = $1
	UNION ALL SELECT a.n, s.key, s.value, NULL, NULL FROM unnest($2::int[], $3::text[], $4::text[], $5::int[]) a (n, low, high, many)
		CROSS JOIN LATERAL (SELECT key, value FROM timeline_state WHERE tenant = $1 AND key >= a.low AND key < a.high
			ORDER BY key LIMIT a.many) s
	UNION ALL SELECT a.n, s.key, s.value, NULL, NULL FROM unnest($6::int[], $7::text[], $8::text[], $9::int[]) a (n, low, high, many)
		CROSS JOIN LATERAL (SELECT key, value FROM timeline_state WHERE tenant = $1 AND key >= a.low AND key < a.high
			ORDER BY key DESC LIMIT a.many) s`

// columns are asks of one direction, as asksText takes them.
type columns struct {
	n, many   []int32
	low, high []string
}

func (c *columns) add(n int, a *timeline.Ask) {
	c.n, c.many = append(c.n, int32(n)), append(c.many, int32(a.Limit))
	c.low, c.high = append(c.low, a.Low), append(c.high, a.High)
}

// Rows implements timeline.RowReader.
func (s *Store) Rows(ctx context.Context, id string, asks []timeline.Ask) (timeline.Asked, error) {
	key, err := s.key(ctx, id)
	if err != nil {
		return timeline.Asked{}, err
	}
	var up, down columns
	for i := range asks {
		a := &asks[i]
		if err := a.Check(); err != nil {
			return timeline.Asked{}, err
		}
		if a.Descending {
			down.add(i, a)
		} else {
			up.add(i, a)
		}
	}
	out := timeline.Asked{Rows: make([][]standing.Row, len(asks))}
	found := false
	err = s.all(ctx, "read state rows", key, func(rows pgx.Rows) error {
		var n *int
		var name *string
		var size *uint64
		var value, root []byte
		if err := rows.Scan(&n, &name, &value, &size, &root); err != nil {
			return err
		}
		if n != nil {
			out.Rows[*n] = append(out.Rows[*n], standing.Row{Key: *name, Value: value})
			return nil
		}
		found, out.Size = true, *size
		out.Root, err = timeline.HashOf(root)
		return err
	}, asksText, key, up.n, up.low, up.high, up.many, down.n, down.low, down.high, down.many)
	if err == nil && !found {
		err = readError("read state rows", errNoHead)
	}
	if err != nil {
		return timeline.Asked{}, err
	}
	return out, nil
}
