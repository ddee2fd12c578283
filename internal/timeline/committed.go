package timeline

import (
	"context"

	"github.com/danvoulez/logline/internal/standing"
)

// Committed is the decision rows of a timeline outside of any session. Each
// question is answered as of the head that is committed then. It is for one
// goroutine.
type Committed struct {
	log    *Log
	tenant string
	asked  bool
	size   uint64 // of the head that answered first
	moved  bool
}

var _ DecisionState = (*Committed)(nil)

// Committed reads the decision rows of a tenant, an id or a slug.
func (l *Log) Committed(tenant string) *Committed { return &Committed{log: l, tenant: tenant} }

// Moved says that not all answers were as of the same head.
func (c *Committed) Moved() bool { return c.moved }

func (c *Committed) rows(ctx context.Context, w Wanted) ([]standing.Row, error) {
	size, rows, err := c.log.Rows(ctx, c.tenant, []Wanted{w})
	if err != nil {
		return nil, err
	}
	c.moved = c.moved || c.asked && size != c.size
	if !c.asked {
		c.asked, c.size = true, size
	}
	return rows[0], nil
}

// Get implements DecisionState.
func (c *Committed) Get(ctx context.Context, key string) ([]byte, bool, error) {
	rows, err := c.rows(ctx, Wanted{Key: key})
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	return rows[0].Value, true, nil
}

// Floor implements DecisionState.
func (c *Committed) Floor(ctx context.Context, prefix, key string) (standing.Row, bool, error) {
	rows, err := c.rows(ctx, Wanted{Prefix: prefix, Key: key})
	if err != nil || len(rows) == 0 {
		return standing.Row{}, false, err
	}
	return rows[0], true, nil
}

// Range implements DecisionState.
func (c *Committed) Range(ctx context.Context, prefix, after string, limit int) ([]standing.Row, error) {
	return c.rows(ctx, Wanted{Prefix: prefix, Key: after, Limit: limit})
}
